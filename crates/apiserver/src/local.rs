//! Calls the server from within its process, as a user with a client certificate of its own authority.
//!
//! A call passes the same authentication, authorization, admission and metrics as one over TLS; only the socket is
//! missing. Knows nothing of what is called.

mod client;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use tower::Service;

use crate::auth::{PeerCertificate, PeerVerifier};
use crate::body::{self, Body, BoxError};
use crate::door::Door;
use crate::pki::{self, Pki};
use crate::tls::Answer as _;

pub(crate) use client::{Call, CallError, LocalClient, Shape, WatchEvent};

/// Answers the requests of one user, in this process; `kube::Client::new` takes it.
#[derive(Debug, Clone)]
pub struct LocalService {
    door: Arc<Door>,
    peer: PeerCertificate,
}

impl LocalService {
    /// Has a certificate issued for the user and judged as on a connection, once.
    pub(crate) fn new(
        door: Arc<Door>,
        pki: &Pki,
        verifier: &PeerVerifier,
        user: &str,
        groups: &[&str],
    ) -> Self {
        let now = pki::now();
        let peer = match pki.issue_local(user, groups, now) {
            Ok(issued) => verifier.judge(&[issued.certificate], now),
            Err(error) => {
                tracing::error!(%error, user, "no certificate; every call will be refused");
                let reason = error.to_string();
                PeerCertificate::Invalid { reason }
            }
        };
        Self { door, peer }
    }

    async fn answer(self, mut request: Request<Body>) -> Response<Body> {
        request.extensions_mut().insert(self.peer);
        self.door.answer(request).await
    }
}

impl<B> Service<Request<B>> for LocalService
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let service = self.clone();
        let request = request.map(body::boxed);
        Box::pin(async move { Ok(service.answer(request).await) })
    }
}
