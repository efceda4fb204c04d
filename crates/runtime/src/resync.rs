//! Looks at every object from time to time, whether or not news of it came.
//!
//! Spread over the whole period, so that work that is new never waits behind it (D16c).

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{Cache, Queue, Row};

/// Adds all keys of the cache to the queue, once per period, evenly; a period of zero does nothing.
pub async fn resync<R: Row>(
    cache: Arc<Cache<R>>,
    queue: Arc<Queue>,
    period: Duration,
    shutdown: CancellationToken,
) {
    if period.is_zero() {
        return;
    }
    loop {
        let keys = cache.keys();
        let share = u32::try_from(keys.len().max(1)).unwrap_or(u32::MAX);
        let pause = period / share;
        let mut keys = keys.into_iter();
        for _ in 0..share {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            if let Some(key) = keys.next() {
                queue.add(key);
            }
        }
    }
}
