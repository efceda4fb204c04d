//! Accepts TLS connections and has their requests answered.
//!
//! At the end it takes no more connections and lets those that are open finish what they are at. Knows nothing of what is
//! asked.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tintype_runtime::Chain;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::args::ArgsError;
use crate::pages::Pages;

/// API servers keep a few connections each.
const CONNECTIONS: usize = 512;
const HANDSHAKE: Duration = Duration::from_secs(10);
/// For the head of a request; ends connections that idle too. Upstream's idle time.
const HEAD: Duration = Duration::from_secs(15);
/// What a request under way is given at the end; upstream's time to write.
const FINISH: Duration = Duration::from_secs(10);
/// Between two tries to take a connection when the system has no room for more.
const NO_ROOM: Duration = Duration::from_millis(100);

/// The webhook cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}; choose another --port, or stop what listens there")]
pub(crate) struct ListenError {
    address: SocketAddr,
    source: io::Error,
}

/// Listens at the address the flags name.
pub(crate) async fn listen(address: &str, port: u16) -> anyhow::Result<TcpListener> {
    let open = async |ip: IpAddr| {
        let address = SocketAddr::new(ip, port);
        let listener = TcpListener::bind(address).await;
        listener.map_err(|source| ListenError { address, source })
    };
    if !address.is_empty() {
        let ip = address
            .parse()
            .map_err(|_| ArgsError::BindAddress(address.to_owned()))?;
        return Ok(open(ip).await?);
    }
    match open(Ipv6Addr::UNSPECIFIED.into()).await {
        // A host without IPv6.
        Err(error)
            if error.source.kind() != io::ErrorKind::AddrInUse
                && error.source.kind() != io::ErrorKind::PermissionDenied =>
        {
            Ok(open(Ipv4Addr::UNSPECIFIED.into()).await?)
        }
        listener => Ok(listener?),
    }
}

/// Serves until `end`, then finishes what is under way.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: TlsAcceptor,
    pages: Arc<Pages>,
    end: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut open = JoinSet::new();
    loop {
        let slot = tokio::select! {
            () = end.cancelled() => break,
            slot = slots.clone().acquire_owned() => slot,
        };
        let accepted = tokio::select! {
            () = end.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        while open.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                let (tls, pages, end) = (tls.clone(), pages.clone(), end.clone());
                open.spawn(async move {
                    converse(stream, tls, pages, end).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(NO_ROOM).await;
            }
        }
    }
    drop(listener);
    let finished = async { while open.join_next().await.is_some() {} };
    if tokio::time::timeout(FINISH, finished).await.is_err() {
        tracing::warn!("some requests were not answered in time and were cut off");
    }
}

async fn converse(stream: TcpStream, tls: TlsAcceptor, pages: Arc<Pages>, end: CancellationToken) {
    // Failing to say so costs only time.
    let _ = stream.set_nodelay(true);
    let shaken = tokio::select! {
        () = end.cancelled() => return,
        shaken = tokio::time::timeout(HANDSHAKE, tls.accept(stream)) => shaken,
    };
    let stream = match shaken {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "TLS was not agreed on"),
        Err(_) => return tracing::debug!("TLS took too long to agree on"),
    };
    let service = service_fn(move |request| {
        let pages = pages.clone();
        async move { Ok::<_, Infallible>(pages.answer(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = end.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = %Chain(&error), "a connection ended early");
    }
}
