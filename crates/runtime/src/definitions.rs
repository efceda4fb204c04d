//! Waits until the API server serves the kinds a role cannot do without.

use std::time::Duration;

use http::Request;
use kube::Client;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::Chain;

/// Upstream's delays: the first, and how much longer each next one is.
const FIRST: Duration = Duration::from_millis(100);
const FACTOR: f64 = 1.5;
/// No wait is shorter than this, whatever the flag says.
const LEAST: Duration = Duration::from_secs(1);

/// A kind, as its path has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Group and version.
    pub api_version: &'static str,
    /// Its name in paths.
    pub plural: &'static str,
}

/// The API server does not serve a kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the API server does not serve {plural} of {api_version} ({why}); install the definitions with: tintype crds | kubectl apply -f -"
)]
pub struct KindsError {
    /// Its name in paths.
    pub plural: &'static str,
    /// Group and version.
    pub api_version: &'static str,
    /// What the server said.
    pub why: String,
}

/// Asks for one object of each kind until all are served, `patience` is over, or `shutdown`.
pub async fn await_kinds(
    client: &Client,
    kinds: &[Kind],
    patience: Duration,
    shutdown: &CancellationToken,
) -> Result<(), KindsError> {
    let deadline = Instant::now() + patience.max(LEAST);
    let mut pause = FIRST;
    loop {
        let Err(error) = ask(client, kinds, deadline).await else {
            return Ok(());
        };
        if Instant::now() + pause >= deadline {
            return Err(error);
        }
        info!(%error, "waits for the definitions");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => return Ok(()),
        }
        pause = pause.mul_f64(FACTOR);
    }
}

async fn ask(client: &Client, kinds: &[Kind], deadline: Instant) -> Result<(), KindsError> {
    for Kind {
        api_version,
        plural,
    } in kinds
    {
        let error = |why| KindsError {
            plural,
            api_version,
            why,
        };
        let path = format!("/apis/{api_version}/{plural}?limit=1");
        let request = Request::get(path).body(Vec::new());
        let request = request.map_err(|it| error(Chain(&it).to_string()))?;
        match tokio::time::timeout_at(deadline, client.request::<Value>(request)).await {
            Ok(Ok(_)) => {}
            Ok(Err(it)) => return Err(error(Chain(&it).to_string())),
            Err(_) => return Err(error("no answer".to_owned())),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use http::{Response, StatusCode};
    use kube::client::Body;

    use super::*;

    const KINDS: [Kind; 2] = [
        Kind {
            api_version: "snapshot.storage.k8s.io/v1",
            plural: "volumesnapshots",
        },
        Kind {
            api_version: "snapshot.storage.k8s.io/v1",
            plural: "volumesnapshotclasses",
        },
    ];

    /// Serves nothing for the first `missing` requests.
    fn server(missing: u32) -> (Client, Arc<AtomicU32>) {
        let asked = Arc::new(AtomicU32::new(0));
        let count = asked.clone();
        let service = tower::service_fn(move |_: Request<Body>| {
            let served = count.fetch_add(1, Ordering::Relaxed) >= missing;
            async move {
                let (status, body) = if served {
                    (StatusCode::OK, "{}")
                } else {
                    (StatusCode::NOT_FOUND, "404 page not found")
                };
                let answer = Response::builder().status(status);
                answer.body(Body::from(body.as_bytes().to_vec()))
            }
        });
        (Client::new(service, "default"), asked)
    }

    #[tokio::test(start_paused = true)]
    async fn definitions_may_come_late() {
        let (client, asked) = server(5);
        let start = Instant::now();
        let patience = Duration::from_secs(30);
        let served = await_kinds(&client, &KINDS, patience, &CancellationToken::new()).await;
        assert_eq!(served, Ok(()));
        assert_eq!(asked.load(Ordering::Relaxed), 7);
        // 100 + 150 + 225 + 337 + 506.
        assert_eq!(start.elapsed().as_millis() / 100, 13);
    }

    #[tokio::test(start_paused = true)]
    async fn missing_definitions_are_an_error_that_says_how_to_get_them() {
        let (client, _) = server(u32::MAX);
        let start = Instant::now();
        let error = await_kinds(&client, &KINDS, Duration::ZERO, &CancellationToken::new())
            .await
            .unwrap_err();
        assert!(start.elapsed() <= LEAST);
        assert_eq!(error.plural, "volumesnapshots");
        assert!(
            error
                .to_string()
                .contains("tintype crds | kubectl apply -f -"),
            "{error}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_shutdown_ends_the_wait() {
        let (client, _) = server(u32::MAX);
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        let waited = await_kinds(&client, &KINDS, Duration::from_secs(900), &shutdown).await;
        assert_eq!(waited, Ok(()));
    }
}
