//! Opens unix connections and tells when one was lost.
//!
//! It does not know gRPC.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::watch;

/// Why no connection could be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answered in time.
    #[error(
        "no CSI driver answered at {path:?} within {patience:?}; is it running, and is this its socket"
    )]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// How long we tried.
        patience: std::time::Duration,
        /// What the last try said.
        #[source]
        source: io::Error,
    },
}

/// How many connections have ended.
pub(crate) type Losses = watch::Sender<u64>;

/// A connection that counts its own end.
#[derive(Debug)]
pub(crate) struct Watched {
    stream: UnixStream,
    losses: Losses,
}

impl Watched {
    pub(crate) async fn open(path: PathBuf, losses: Losses) -> io::Result<Self> {
        let stream = UnixStream::connect(path).await?;
        Ok(Self { stream, losses })
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.losses.send_modify(|count| *count += 1);
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
