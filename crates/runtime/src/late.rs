//! Watches kinds a role can do without, from the start or as soon as they are served.
//!
//! Whether a kind is missing or may not be read is for the server to say: both are told in its
//! words, and neither is taken for the other.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kube::Client;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{Kind, KindsError, Tasks, await_kinds};

/// Between two looks for definitions that are not there.
const LOOK: Duration = Duration::from_secs(10);

/// Whether some kinds are watched yet. Clones share the answer.
#[derive(Debug, Clone, Default)]
pub struct LateKinds(Arc<AtomicBool>);

impl LateKinds {
    /// The kinds are served, and caches of them fill.
    pub fn watched(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Asks once whether the kinds are served, and starts `watches` in a task called `name` as soon
    /// as they are: no restart is needed for definitions, or rights, that come later.
    pub async fn open(
        &self,
        tasks: &mut Tasks,
        name: &'static str,
        (client, kinds): (&Client, &'static [Kind]),
        shutdown: &CancellationToken,
        watches: impl Future<Output = ()> + Send + 'static,
    ) {
        let mut told = None;
        match await_kinds(client, kinds, Duration::ZERO, shutdown).await {
            Ok(()) => self.0.store(true, Ordering::Release),
            Err(error) => {
                tell(name, &error);
                told = Some(error);
            }
        }
        let (late, client, end) = (self.clone(), client.clone(), shutdown.clone());
        tasks.spawn(name, async move {
            while !late.watched() {
                tokio::select! {
                    () = end.cancelled() => return,
                    () = tokio::time::sleep(LOOK) => {}
                }
                match await_kinds(&client, kinds, Duration::ZERO, &end).await {
                    _ if end.is_cancelled() => return,
                    Ok(()) => {
                        info!("{name}: served now");
                        late.0.store(true, Ordering::Release);
                    }
                    // Definitions came, and rights are what is missing now.
                    Err(error) if told.as_ref() != Some(&error) => {
                        tell(name, &error);
                        told = Some(error);
                    }
                    Err(_) => {}
                }
            }
            watches.await;
        });
    }
}

fn tell(name: &str, error: &KindsError) {
    warn!(%error, "{name}: left alone until this is put right");
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use http::{Request, Response, StatusCode};
    use kube::client::Body;

    use super::*;

    const KINDS: [Kind; 1] = [Kind {
        api_version: "groupsnapshot.storage.k8s.io/v1",
        plural: "volumegroupsnapshots",
    }];

    /// Answers `status` to the first `times` requests, then serves the kind.
    fn server(status: StatusCode, times: u32) -> Client {
        let asked = AtomicU32::new(0);
        let service = tower::service_fn(move |_: Request<Body>| {
            let served = asked.fetch_add(1, Ordering::Relaxed) >= times;
            let status = if served { StatusCode::OK } else { status };
            async move {
                let answer = Response::builder().status(status);
                answer.body(Body::from(b"{}".to_vec()))
            }
        });
        Client::new(service, "default")
    }

    async fn opened(client: Client) -> (LateKinds, Tasks, CancellationToken) {
        let (late, mut tasks, end) = (
            LateKinds::default(),
            Tasks::default(),
            CancellationToken::new(),
        );
        let started = end.clone();
        let kinds = (&client, &KINDS[..]);
        late.open(&mut tasks, "groups", kinds, &end.clone(), async move {
            started.cancel();
        })
        .await;
        (late, tasks, end)
    }

    #[tokio::test(start_paused = true)]
    async fn kinds_that_are_served_are_watched_at_once() {
        let (late, _tasks, started) = opened(server(StatusCode::NOT_FOUND, 0)).await;
        assert!(late.watched());
        started.cancelled().await;
    }

    #[tokio::test(start_paused = true)]
    async fn kinds_and_rights_that_come_later_are_noticed_without_a_restart() {
        for missing in [StatusCode::NOT_FOUND, StatusCode::FORBIDDEN] {
            let (late, _tasks, started) = opened(server(missing, 20)).await;
            assert!(!late.watched());
            started.cancelled().await;
            assert!(late.watched());
        }
    }
}
