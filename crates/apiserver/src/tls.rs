//! Accepts TLS connections and hands each request on, with the client's certificate, to a service.
//!
//! Cuts off clients that are slow to shake hands, to send a head, to send a body or to take an answer, and ends
//! everything within a second of shutdown. Knows nothing of users or of the Kubernetes API.

mod handshake;
mod stalled;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::audit::Source;
use crate::auth::{PeerCertificate, PeerVerifier};
use crate::body::{self, Body, Impatient};
use crate::pki::{self, Pki};
use handshake::MANY_AT_ONCE;
use stalled::Stalled;

const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);
/// Also ends connections that idle; clients open a new one when they need it.
const HEAD_PATIENCE: Duration = Duration::from_secs(32);
/// For the next byte of a body.
const BODY_PATIENCE: Duration = Duration::from_secs(30);
/// For all of it; what Kubernetes gives a whole request.
const WHOLE_BODY_PATIENCE: Duration = Duration::from_secs(60);
/// How long requests under way may take to end after shutdown was asked for, unless told otherwise.
pub(crate) const SHUTDOWN_PATIENCE: Duration = Duration::from_millis(700);
/// A connection that carries many requests is asked so often whether anybody is still there.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_PATIENCE: Duration = Duration::from_secs(20);
/// Requests under way over one connection; what Kubernetes allows.
const STREAMS: u32 = 250;
/// For all headers of a request; tokens and long field selectors are in them.
const HEAD_BYTES: u32 = 64 << 10;
/// What waits to be sent for one request.
const SEND_BYTES: usize = 64 << 10;
/// How long to wait before accepting again when the process has run out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers requests that came over any connection.
pub(crate) trait Answer: Send + Sync + 'static {
    fn answer(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send;
}

/// TLS as this server speaks it.
#[derive(Clone)]
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    verifier: PeerVerifier,
    shutdown_patience: Duration,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// `shutdown_patience` is how long requests under way may take to end once the server is to.
    pub(crate) fn new(
        pki: &Arc<Pki>,
        verifier: PeerVerifier,
        shutdown_patience: Duration,
    ) -> Result<Self, rustls::Error> {
        let config = handshake::config(Arc::clone(pki), &verifier)?;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            verifier,
            shutdown_patience,
        })
    }

    /// Serves until `shutdown`, then ends what is open.
    pub(crate) async fn serve<A: Answer>(
        &self,
        listener: TcpListener,
        answer: Arc<A>,
        shutdown: CancellationToken,
    ) {
        let entrance = Arc::new(Entrance {
            tls: self.clone(),
            answer,
            shutdown,
        });
        serve(listener, entrance).await;
    }
}

/// What every connection needs.
struct Entrance<A> {
    tls: Tls,
    answer: Arc<A>,
    shutdown: CancellationToken,
}

async fn serve<A: Answer>(listener: TcpListener, entrance: Arc<Entrance<A>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = entrance.shutdown.cancelled() => break,
            Some(_ended) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(Arc::clone(&entrance), stream));
                }
                Err(error) => refused(&error).await,
            },
        }
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    let patience = entrance.tls.shutdown_patience;
    if tokio::time::timeout(patience, drained).await.is_err() {
        connections.shutdown().await;
    }
}

/// One connection that failed before it was ours is of no matter; lack of resources is, and passes.
async fn refused(error: &io::Error) {
    let of_the_peer = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    );
    if !of_the_peer {
        tracing::warn!(%error, "cannot accept a connection");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

async fn connection<A: Answer>(entrance: Arc<Entrance<A>>, stream: TcpStream) {
    // Small writes, such as watch events, must not wait for more; failing to say so costs only time.
    let _ = stream.set_nodelay(true);
    let source = stream.peer_addr().ok().map(|addr| Source(addr.ip()));
    let handshake = entrance.tls.acceptor.accept(Stalled::new(stream));
    let handshake = tokio::time::timeout(HANDSHAKE_PATIENCE, handshake);
    let stream = tokio::select! {
        () = entrance.shutdown.cancelled() => return,
        shaken = handshake => match shaken {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => return tracing::debug!("TLS handshake took too long"),
        },
    };
    let peer = stream
        .get_ref()
        .1
        .peer_certificates()
        .map(|chain| entrance.tls.verifier.judge(chain, pki::now()));
    let client = Client { peer, source };
    let many = stream.get_ref().1.alpn_protocol() == Some(MANY_AT_ONCE);
    let ended = if many {
        many_at_once(entrance, client, stream).await
    } else {
        one_by_one(entrance, client, stream).await
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended early");
    }
}

type Stream = TlsStream<Stalled<TcpStream>>;

/// Who is at the other end of a connection.
#[derive(Clone)]
struct Client {
    peer: Option<PeerCertificate>,
    source: Option<Source>,
}

/// HTTP/1.1.
async fn one_by_one<A: Answer>(
    entrance: Arc<Entrance<A>>,
    client: Client,
    stream: Stream,
) -> hyper::Result<()> {
    let service = {
        let entrance = Arc::clone(&entrance);
        service_fn(move |request| request_of(Arc::clone(&entrance), client.clone(), request))
    };
    let http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    let mut http = std::pin::pin!(http);
    tokio::select! {
        ended = &mut http => ended,
        () = entrance.shutdown.cancelled() => {
            http.as_mut().graceful_shutdown();
            http.await
        }
    }
}

/// HTTP/2: all watches of a client go over one connection.
async fn many_at_once<A: Answer>(
    entrance: Arc<Entrance<A>>,
    client: Client,
    stream: Stream,
) -> hyper::Result<()> {
    let asked = Arc::new(AtomicBool::new(false));
    let service = {
        let (entrance, asked) = (Arc::clone(&entrance), Arc::clone(&asked));
        service_fn(move |request| {
            asked.store(true, Ordering::Relaxed);
            request_of(Arc::clone(&entrance), client.clone(), request)
        })
    };
    let http = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_PATIENCE)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_BYTES)
        .max_send_buf_size(SEND_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut http = std::pin::pin!(http);
    // A client that never asks anything, or never speaks at all, is not waited for.
    let first = tokio::time::sleep(HEAD_PATIENCE);
    tokio::select! {
        ended = &mut http => return ended,
        () = entrance.shutdown.cancelled() => {
            http.as_mut().graceful_shutdown();
            return http.await;
        }
        () = first => {}
    }
    if !asked.load(Ordering::Relaxed) {
        tracing::debug!("nothing was asked over a connection");
        return Ok(());
    }
    tokio::select! {
        ended = &mut http => ended,
        () = entrance.shutdown.cancelled() => {
            http.as_mut().graceful_shutdown();
            http.await
        }
    }
}

/// Answers one request. What it takes to find an answer is let go once the answer begins: a watch goes on for long, and
/// the connection would keep it all.
fn request_of<A: Answer>(
    entrance: Arc<Entrance<A>>,
    client: Client,
    request: Request<Incoming>,
) -> BoxFuture<'static, Result<Response<Body>, Infallible>> {
    let mut request =
        request.map(|body| body::boxed(Impatient::new(body, BODY_PATIENCE, WHOLE_BODY_PATIENCE)));
    if let Some(peer) = client.peer {
        request.extensions_mut().insert(peer);
    }
    if let Some(source) = client.source {
        request.extensions_mut().insert(source);
    }
    Box::pin(async move {
        let response = entrance.answer.answer(request).await;
        let shutdown = entrance.shutdown.clone();
        Ok(response.map(|body| body::until(body, shutdown)))
    })
}
