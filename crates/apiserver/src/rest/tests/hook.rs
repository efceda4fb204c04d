//! Serves a webhook over real TLS, for the tests of whoever calls one.

use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::*;

#[derive(Debug, thiserror::Error)]
#[error("the webhook gives up")]
struct Broken;

/// Listens until it is dropped.
pub(super) struct Hook {
    pub port: u16,
    /// `caBundle` of a `clientConfig`.
    pub bundle: String,
    pub calls: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a webhook does about a review.
pub(super) enum Said {
    Review(Value),
    Text(u16, &'static str),
    /// The connection ends without an answer.
    Nothing,
    /// No answer ever comes.
    Never,
    /// The answer comes once all are there who meet.
    Together(Arc<tokio::sync::Barrier>, Value),
}

impl Hook {
    /// Answers every review with what `answer` makes of it, under the names of `127.0.0.1` and `hook.default.svc`.
    pub(super) async fn serve(answer: impl Fn(Value) -> Value + Send + Sync + 'static) -> Self {
        Self::serve_odd(move |review| Said::Review(answer(review))).await
    }

    /// The same, of one that may misbehave.
    pub(super) async fn serve_odd(answer: impl Fn(Value) -> Said + Send + Sync + 'static) -> Self {
        let names = ["127.0.0.1", "hook.default.svc"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let calls = Arc::new(AtomicUsize::new(0));
        let (acceptor, answer) = (TlsAcceptor::from(Arc::new(config)), Arc::new(answer));
        let counted = Arc::clone(&calls);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, answer, calls) = (acceptor.clone(), answer.clone(), counted.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let service = service_fn(|request: Request<hyper::body::Incoming>| {
                        calls.fetch_add(1, Ordering::SeqCst);
                        let answer = answer.clone();
                        async move {
                            let bytes = request.into_body().collect().await.unwrap().to_bytes();
                            let review = serde_json::from_slice(&bytes).unwrap();
                            let (code, text) = match answer(review) {
                                Said::Review(review) => (200, review.to_string()),
                                Said::Text(code, text) => (code, text.to_owned()),
                                Said::Nothing => return Err(Broken),
                                Said::Never => std::future::pending().await,
                                Said::Together(all, review) => {
                                    all.wait().await;
                                    (200, review.to_string())
                                }
                            };
                            let response = Response::builder().status(code);
                            Ok(response.body(Full::new(Bytes::from(text))).unwrap())
                        }
                    });
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self {
            port,
            bundle: STANDARD.encode(made.cert.pem()),
            calls,
            task,
        }
    }

    pub(super) fn config(&self) -> Value {
        let url = format!("https://127.0.0.1:{}/review", self.port);
        json!({"url": url, "caBundle": self.bundle})
    }

    pub(super) fn called(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}
