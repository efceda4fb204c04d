//! Calls the server from within its process, as a user with a client certificate of its own authority, or as a service
//! account with its tokens.
//!
//! A call passes the same authentication, authorization, admission and metrics as one over TLS; only the socket is
//! missing. Knows nothing of what is called.

mod account;
mod client;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, Response};
use tower::Service;

use self::account::Account;
use crate::auth::{PeerCertificate, PeerVerifier, Tokens};
use crate::body::{self, Body, BoxError};
use crate::door::Door;
use crate::pki::{self, Pki};
use crate::tls::Answer as _;

pub(crate) use client::{Call, CallError, LocalClient, Shape, WatchEvent};

/// Answers the requests of one user, in this process; `kube::Client::new` takes it.
#[derive(Debug, Clone)]
pub struct LocalService {
    door: Arc<Door>,
    proof: Proof,
}

/// How a caller shows who it is.
#[derive(Debug, Clone)]
enum Proof {
    Certificate(PeerCertificate),
    Tokens(Arc<Account>),
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
        let proof = Proof::Certificate(peer);
        Self { door, proof }
    }

    /// Has tokens issued for the account as they are needed.
    pub(crate) fn account(
        door: Arc<Door>,
        tokens: Arc<Tokens>,
        namespace: &str,
        name: &str,
    ) -> Self {
        let proof = Proof::Tokens(Arc::new(Account::new(tokens, namespace, name)));
        Self { door, proof }
    }

    async fn answer(self, mut request: Request<Body>) -> Response<Body> {
        match &self.proof {
            Proof::Certificate(peer) => {
                request.extensions_mut().insert(peer.clone());
            }
            Proof::Tokens(account) => match account.header(pki::now()) {
                Ok(header) => {
                    request.headers_mut().insert(AUTHORIZATION, header);
                }
                // Judged like any other false proof: 401, and the reason is for the log.
                Err(reason) => {
                    let peer = PeerCertificate::Invalid { reason };
                    request.extensions_mut().insert(peer);
                }
            },
        }
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
