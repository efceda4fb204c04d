//! Serves metrics and health of one role over HTTP.
//!
//! Knows what is asked and what the role says of itself, not how it comes to say it.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::lease::Pulse;
use crate::{Chain, Metrics};

/// Connections served at once; Prometheus and the kubelet need a handful.
const CONNECTIONS: usize = 64;
/// How long a request may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries to take a connection when the system has no room for more.
const NO_ROOM: Duration = Duration::from_millis(100);

/// The endpoint cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// It is no address.
    #[error("{flag}={address} is no address; write HOST:PORT or :PORT, such as :8080")]
    NoAddress {
        /// The flag.
        flag: &'static str,
        /// As given.
        address: String,
    },
    /// Somebody else has the port.
    #[error("{flag}={address}: the port is taken; stop what listens there, or choose another")]
    Taken {
        /// The flag.
        flag: &'static str,
        /// As given.
        address: String,
    },
    /// It cannot be listened on.
    #[error("cannot listen on {flag}={address}")]
    Listen {
        /// The flag.
        flag: &'static str,
        /// As given.
        address: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is no path.
    #[error("--metrics-path={0} is no path; it begins with a slash, such as /metrics")]
    NoPath(String),
}

/// What a role says of itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Health {
    ready: Arc<AtomicBool>,
    pub(crate) pulse: Pulse,
}

impl Health {
    /// The caches are filled.
    pub(crate) fn is_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }
}

/// What is served, and where.
#[derive(Debug, Clone)]
pub(crate) struct Pages {
    pub(crate) metrics_path: String,
    pub(crate) metrics: Metrics,
    pub(crate) health: Health,
    /// `/healthz/leader-election` is there only while replicas are elected.
    pub(crate) election: bool,
}

/// An address that is listened on, and the flag it came from.
#[derive(Debug)]
pub(crate) struct Endpoint {
    listener: TcpListener,
}

impl Endpoint {
    /// Listens; `:PORT` means every address of the host.
    pub(crate) async fn open(flag: &'static str, address: &str) -> Result<Self, HttpError> {
        let (given, no_address) = (
            address.to_owned(),
            HttpError::NoAddress {
                flag,
                address: address.to_owned(),
            },
        );
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) => (host.trim_matches(['[', ']']), port.parse::<u16>()),
            None => return Err(no_address),
        };
        let Ok(port) = port else {
            return Err(no_address);
        };
        let bound = if host.is_empty() {
            match TcpListener::bind(("::", port)).await {
                // A host without IPv6.
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                    TcpListener::bind(("0.0.0.0", port)).await
                }
                bound => bound,
            }
        } else {
            TcpListener::bind((host, port)).await
        };
        bound
            .map(|listener| Self { listener })
            .map_err(|source| match source.kind() {
                io::ErrorKind::AddrInUse => HttpError::Taken {
                    flag,
                    address: given,
                },
                _ => HttpError::Listen {
                    flag,
                    address: given,
                    source,
                },
            })
    }

    /// Where it listens: with port 0 the system chose one.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `end`.
    pub(crate) async fn serve(self, pages: Pages, end: CancellationToken) {
        match self.address() {
            Ok(address) => info!(%address, path = pages.metrics_path, "serves metrics and health"),
            Err(error) => warn!(%error, "serves metrics and health at an unknown address"),
        }
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        let pages = Arc::new(pages);
        loop {
            let Ok(slot) = slots.clone().acquire_owned().await else {
                return;
            };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = end.cancelled() => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (pages, end) = (pages.clone(), end.clone());
                    tokio::spawn(async move {
                        tokio::select! {
                            () = converse(stream, pages) => {}
                            () = end.cancelled() => {}
                        }
                        drop(slot);
                    });
                }
                Err(error) => {
                    warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(NO_ROOM).await;
                }
            }
        }
    }
}

async fn converse(stream: TcpStream, pages: Arc<Pages>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = pages.answer(request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(answer) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        debug!(error = %Chain(&error), "a connection ended early");
    }
}

impl Pages {
    /// Refuses a path nothing could be asked under.
    pub(crate) fn check(&self) -> Result<(), HttpError> {
        if self.metrics_path.starts_with('/') {
            Ok(())
        } else {
            Err(HttpError::NoPath(self.metrics_path.clone()))
        }
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here");
        }
        match path {
            _ if path == self.metrics_path => self.print_metrics(),
            "/healthz" => plain(StatusCode::OK, "ok"),
            "/readyz" if self.health.ready.load(Ordering::Relaxed) => plain(StatusCode::OK, "ok"),
            "/readyz" => plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "the caches are not filled yet",
            ),
            "/healthz/leader-election" if self.election => {
                match self.health.pulse.overdue(Instant::now()) {
                    None => plain(StatusCode::OK, "ok"),
                    Some(late) => plain(
                        StatusCode::INTERNAL_SERVER_ERROR,
                        &format!(
                            "the lease ran out {} seconds ago and is not renewed",
                            late.as_secs()
                        ),
                    ),
                }
            }
            _ => plain(StatusCode::NOT_FOUND, "not found"),
        }
    }

    fn print_metrics(&self) -> Response<Full<Bytes>> {
        match self.metrics.text() {
            Ok(text) => {
                let mut answer = Response::new(Full::new(text.into()));
                let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                answer.headers_mut().insert(CONTENT_TYPE, kind);
                answer
            }
            Err(error) => {
                error!(error = %Chain(&error), "metrics could not be printed");
                plain(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "metrics could not be printed; see the log",
                )
            }
        }
    }
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes())));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn pages(election: bool) -> Pages {
        Pages {
            metrics_path: "/metrics".to_owned(),
            metrics: Metrics::new().unwrap(),
            health: Health::default(),
            election,
        }
    }

    async fn got(pages: &Pages, path: &str) -> (u16, String) {
        let answer = pages.answer(&Method::GET, path);
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_role_is_ready_once_its_caches_are_filled() {
        let pages = pages(false);
        assert_eq!(got(&pages, "/healthz").await, (200, "ok".to_owned()));
        assert_eq!(got(&pages, "/readyz").await.0, 503);
        pages.health.is_ready();
        assert_eq!(got(&pages, "/readyz").await, (200, "ok".to_owned()));
    }

    #[tokio::test]
    async fn upstreams_paths_are_served() {
        let alone = pages(false);
        let (status, text) = got(&alone, "/metrics").await;
        assert_eq!(status, 200);
        assert!(text.contains("process_start_time_seconds"), "{text}");
        assert_eq!(got(&alone, "/healthz/leader-election").await.0, 404);
        assert_eq!(got(&alone, "/").await.0, 404);
        // Who does not lead is well.
        let elected = pages(true);
        let answer = got(&elected, "/healthz/leader-election").await;
        assert_eq!(answer, (200, "ok".to_owned()));
        let posted = elected.answer(&Method::POST, "/metrics");
        assert_eq!(posted.status(), 405);
    }

    #[test]
    fn a_metrics_path_begins_with_a_slash() {
        let mut pages = pages(false);
        assert!(pages.check().is_ok());
        for bad in ["", "metrics"] {
            pages.metrics_path = bad.to_owned();
            let error = pages.check().unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("--metrics-path={bad} is no path")),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn a_taken_port_is_an_error_that_says_so() {
        let first = Endpoint::open("--http-endpoint", "127.0.0.1:0")
            .await
            .unwrap();
        let address = first.address().unwrap().to_string();
        let error = Endpoint::open("--http-endpoint", &address)
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "--http-endpoint={address}: the port is taken; stop what listens there, or choose another"
            )
        );
        for bad in ["", "8080", "localhost", "localhost:http", ":99999"] {
            let error = Endpoint::open("--metrics-address", bad).await.unwrap_err();
            assert!(matches!(error, HttpError::NoAddress { .. }), "{error}");
        }
    }

    #[tokio::test]
    async fn every_address_is_served_and_the_end_ends_it() {
        let endpoint = Endpoint::open("--http-endpoint", ":0").await.unwrap();
        let port = endpoint.address().unwrap().port();
        let end = CancellationToken::new();
        let serving = tokio::spawn(endpoint.serve(pages(false), end.clone()));
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let request = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
        end.cancel();
        serving.await.unwrap();
        assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
    }
}
