//! Lets events go an hour after they were last told.
//!
//! Nobody deletes events: without an end they would fill memory and disk. Does not know what they say.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Api;
use crate::store::{Expect, Write, WriteError};

const EVENTS: &str = "events";
/// What a Kubernetes API server keeps them for.
const KEPT: SignedDuration = SignedDuration::from_hours(1);
const EVERY: Duration = Duration::from_secs(60);

impl Api {
    /// Goes on until `stop`.
    pub(crate) async fn let_events_go(&self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(EVERY) => self.expire_events(Timestamp::now()).await,
            }
        }
    }

    /// Deletes the events that are too old at `now`.
    pub(super) async fn expire_events(&self, now: Timestamp) {
        for event in self.store.list(EVENTS, "").objects {
            if last_told(&event.value()).is_none_or(|told| now.duration_since(told) < KEPT) {
                continue;
            }
            let write = Write {
                resource: EVENTS.into(),
                key: event.key.clone(),
                expect: Expect::Unchanged(event.rv),
                draft: None,
            };
            match self.store.commit(write).await {
                // Told again meanwhile, or deleted by somebody.
                Ok(_) | Err(WriteError::Changed | WriteError::Missing | WriteError::Exists) => {}
                Err(WriteError::Disk(error)) => {
                    tracing::warn!(%error, "cannot let old events go");
                    return;
                }
            }
        }
    }
}

/// When the event was written last, by what it says of itself.
fn last_told(event: &Value) -> Option<Timestamp> {
    const TIMES: [&str; 5] = [
        "/metadata/creationTimestamp",
        "/eventTime",
        "/firstTimestamp",
        "/lastTimestamp",
        "/series/lastObservedTime",
    ];
    TIMES
        .iter()
        .filter_map(|path| event.pointer(path)?.as_str()?.parse().ok())
        .max()
}
