//! Serves gRPC services on a bound socket: a panic in one call harms no other, and the end waits
//! for calls under way.
//!
//! It does not know what the services do, and never logs a request's contents.

use std::any::Any;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::service::Routes;
use tonic::transport::Server;
use tower::{Layer, Service};

use crate::Listener;

/// Why serving ended early.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The listening socket broke.
    #[error("serving the CSI socket failed")]
    Transport(#[from] tonic::transport::Error),
}

/// Serves until `shutdown` completes, then lets calls under way end for at most `drain`.
///
/// The socket file is removed at the end.
pub async fn serve(
    listener: Listener,
    services: Routes,
    shutdown: impl Future<Output = ()> + Send,
    drain: Duration,
) -> Result<(), ServeError> {
    let Listener { listener, file } = listener;
    let incoming = UnixListenerStream::new(listener);
    let (asked, asked_signal) = tokio::sync::oneshot::channel::<()>();
    let serving = Server::builder()
        .layer(Isolate)
        .add_routes(services)
        .serve_with_incoming_shutdown(incoming, async {
            shutdown.await;
            // The receiver lives in the branch below as long as this future does.
            let _ = asked.send(());
        });
    let patience = async {
        if asked_signal.await.is_ok() {
            tokio::time::sleep(drain).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        outcome = serving => outcome?,
        () = patience => tracing::warn!(?drain, "ending with CSI calls still under way"),
    }
    drop(file);
    Ok(())
}

/// Turns a panic into an answer and notes every call in the log.
#[derive(Clone, Copy, Debug)]
struct Isolate;

impl<S> Layer<S> for Isolate {
    type Service = Isolated<S>;

    fn layer(&self, inner: S) -> Isolated<S> {
        Isolated(inner)
    }
}

#[derive(Clone, Debug)]
struct Isolated<S>(S);

type Answer = Result<Response<Body>, Infallible>;

impl<S> Service<Request<Body>> for Isolated<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let method = request.uri().path().to_owned();
        let start = Instant::now();
        // Handlers start when polled, so only polling can panic.
        let mut answer = Box::pin(self.0.call(request));
        Box::pin(std::future::poll_fn(move |context| {
            let polled = catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(context)));
            match polled {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(answer)) => {
                    tracing::debug!(method, took = ?start.elapsed(), "answered");
                    Poll::Ready(answer)
                }
                Err(panic) => {
                    let said = words(panic.as_ref());
                    tracing::error!(method, panic = said, "a CSI call panicked");
                    let status = Status::internal(format!("{method} panicked: {said}"));
                    Poll::Ready(Ok(status.into_http()))
                }
            }
        }))
    }
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
