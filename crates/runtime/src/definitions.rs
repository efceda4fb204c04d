//! Waits until the API server serves the kinds a role cannot do without.

use std::fmt;
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

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.plural, self.api_version)
    }
}

/// A kind cannot be had of the API server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KindsError {
    /// There is no definition of it.
    #[error(
        "the API server does not serve {what} ({why}); install the definitions with: tintype crds | kubectl apply -f -"
    )]
    NotServed {
        /// Its name in paths, group and version.
        what: String,
        /// What the server said.
        why: String,
    },
    /// It may not be read: whether there is any is not known.
    #[error(
        "no right to read {what} ({why}); give the service account of this role get, list and watch of it"
    )]
    Forbidden {
        /// Its name in paths, group and version.
        what: String,
        /// What the server said.
        why: String,
    },
    /// The server says nothing that helps.
    #[error("cannot tell whether the API server serves {what} ({why})")]
    Unanswered {
        /// Its name in paths, group and version.
        what: String,
        /// What became of the request.
        why: String,
    },
}

impl KindsError {
    fn of(kind: Kind, error: &kube::Error) -> Self {
        let (what, why) = (kind.to_string(), Chain(error).to_string());
        match error {
            kube::Error::Api(status) if status.code == 404 => Self::NotServed { what, why },
            kube::Error::Api(status) if status.code == 403 => Self::Forbidden { what, why },
            _ => Self::Unanswered { what, why },
        }
    }
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
    for kind in kinds {
        let unanswered = |why| KindsError::Unanswered {
            what: kind.to_string(),
            why,
        };
        let path = format!("/apis/{}/{}?limit=1", kind.api_version, kind.plural);
        let request = Request::get(path).body(Vec::new());
        let request = request.map_err(|it| unanswered(Chain(&it).to_string()))?;
        match tokio::time::timeout_at(deadline, client.request::<Value>(request)).await {
            Ok(Ok(_)) => {}
            Ok(Err(it)) => return Err(KindsError::of(*kind, &it)),
            Err(_) => return Err(unanswered("no answer".to_owned())),
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
        answers(missing, StatusCode::NOT_FOUND, "404 page not found")
    }

    /// Answers so to the first `times` requests.
    fn answers(times: u32, status: StatusCode, text: &'static str) -> (Client, Arc<AtomicU32>) {
        let asked = Arc::new(AtomicU32::new(0));
        let count = asked.clone();
        let service = tower::service_fn(move |_: Request<Body>| {
            let served = count.fetch_add(1, Ordering::Relaxed) >= times;
            let (status, body) = if served {
                (StatusCode::OK, "{}")
            } else {
                (status, text)
            };
            async move {
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
        let error = error.to_string();
        assert!(error.contains("volumesnapshots of snapshot"), "{error}");
        assert!(
            error.contains("tintype crds | kubectl apply -f -"),
            "{error}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_right_is_not_taken_for_a_missing_definition() {
        for (status, text, words) in [
            (
                StatusCode::FORBIDDEN,
                "may not",
                "no right to read volumesnapshots",
            ),
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "ill",
                "cannot tell whether",
            ),
        ] {
            let (client, _) = answers(u32::MAX, status, text);
            let end = CancellationToken::new();
            let waited = await_kinds(&client, &KINDS, Duration::ZERO, &end).await;
            let error = waited.unwrap_err().to_string();
            assert!(error.contains(words) && error.contains(text), "{error}");
            assert!(!error.contains("tintype crds"), "{error}");
        }
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
