//! Ends a connection whose client does not take what is sent to it.
//!
//! Such a client would hold what waits to be sent for as long as it likes. A client that is slow but
//! takes a little all the time is waited for. Knows nothing of TLS or of requests.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// Within this time a client that is sent more than it takes must take so many bytes.
const PATIENCE: Duration = Duration::from_secs(60);
const LEAST: usize = 64 << 10;
/// A client that took everything for so long was not behind.
const CAUGHT_UP: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Stalled<S> {
    inner: S,
    behind: Option<Behind>,
}

/// Since when the client lets us wait.
#[derive(Debug)]
struct Behind {
    taken: usize,
    /// When it last took something, if it is not being waited for.
    took: Option<Instant>,
    over: Pin<Box<Sleep>>,
}

impl<S> Stalled<S> {
    pub(super) fn new(inner: S) -> Self {
        Self {
            inner,
            behind: None,
        }
    }

    fn took(&mut self, bytes: usize) {
        let now = Instant::now();
        let caught_up = |behind: &mut Behind| {
            behind
                .took
                .is_some_and(|took| now.duration_since(took) > CAUGHT_UP)
        };
        self.behind.take_if(caught_up);
        if let Some(behind) = &mut self.behind {
            behind.taken += bytes;
            behind.took = Some(now);
        }
    }

    /// The client takes nothing now.
    fn waits(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        self.behind.take_if(|behind| behind.taken >= LEAST);
        let behind = self.behind.get_or_insert_with(|| Behind {
            taken: 0,
            took: None,
            over: Box::pin(sleep(PATIENCE)),
        });
        behind.took = None;
        ready!(behind.over.as_mut().poll(context));
        Poll::Ready(io::Error::new(
            io::ErrorKind::TimedOut,
            format!(
                "the client took {} bytes in {} s",
                behind.taken,
                PATIENCE.as_secs()
            ),
        ))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalled<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.inner).poll_write(context, bytes) {
            Poll::Ready(written) => {
                self.took(*written.as_ref().unwrap_or(&0));
                Poll::Ready(written)
            }
            Poll::Pending => self.waits(context).map(Err),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalled<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_cut_off() {
        let (ours, _theirs) = duplex(1000);
        let start = Instant::now();
        let error = Stalled::new(ours).write_all(&[0; 5000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), PATIENCE.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_next_to_nothing_is_cut_off() {
        let (ours, mut theirs) = duplex(1000);
        let writing =
            tokio::spawn(async move { Stalled::new(ours).write_all(&vec![0; 500_000]).await });
        let reading = async {
            while theirs.read_u8().await.is_ok() {
                sleep(Duration::from_millis(500)).await;
            }
        };
        reading.await;
        assert_eq!(
            writing.await.unwrap().unwrap_err().kind(),
            io::ErrorKind::TimedOut
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_slow_but_keeps_taking_is_waited_for() {
        let (ours, mut theirs) = duplex(1000);
        let writing = tokio::spawn(async move {
            let mut ours = Stalled::new(ours);
            ours.write_all(&vec![0; 500_000]).await?;
            // And, having caught up, may be silent for as long as it likes.
            sleep(PATIENCE * 10).await;
            ours.write_all(&[0; 5_000]).await
        });
        let mut buffer = [0; 1000];
        while theirs.read(&mut buffer).await.unwrap() > 0 {
            sleep(Duration::from_millis(500)).await;
        }
        writing.await.unwrap().unwrap();
    }
}
