//! Names the one body type that requests and responses have inside the server, whatever door they came through.
//!
//! Knows nothing of HTTP semantics, formats or limits.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Any error a body may end with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request or response body; watches stream, all else is one chunk.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

pub(crate) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

pub(crate) fn boxed<B>(body: B) -> Body
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}

/// A streamed body that ends, in good order, when `stop` is cancelled; a body of known length is left to finish.
pub(crate) fn until(body: Body, stop: CancellationToken) -> Body {
    if body.size_hint().exact().is_some() {
        return body;
    }
    Until {
        inner: body,
        stopped: Box::pin(stop.cancelled_owned()),
    }
    .boxed_unsync()
}

struct Until {
    inner: Body,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl HttpBody for Until {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.stopped.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The client was too slow to send its request body.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum BodyStalled {
    #[error("no byte of the request body arrived for {} s", .0.as_secs())]
    Silent(Duration),
    #[error("the request body had not arrived whole after {} s", .0.as_secs())]
    Slow(Duration),
}

/// A request body that fails once the client has been silent for too long, or takes too long in all.
#[derive(Debug)]
pub(crate) struct Impatient<B> {
    inner: B,
    patience: Duration,
    longest: Duration,
    end: Instant,
    timer: Pin<Box<Sleep>>,
}

impl<B> Impatient<B> {
    /// `patience` is for the next byte, `longest` for all of them.
    pub(crate) fn new(inner: B, patience: Duration, longest: Duration) -> Self {
        Self {
            inner,
            patience,
            longest,
            end: Instant::now() + longest,
            timer: Box::pin(sleep(patience.min(longest))),
        }
    }
}

impl<B> HttpBody for Impatient<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let now = Instant::now();
        if now < self.end
            && let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context)
        {
            let deadline = (now + self.patience).min(self.end);
            self.timer.as_mut().reset(deadline);
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(self.timer.as_mut().poll(context));
        let stalled = if Instant::now() >= self.end {
            BodyStalled::Slow(self.longest)
        } else {
            BodyStalled::Silent(self.patience)
        };
        Poll::Ready(Some(Err(Box::new(stalled))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use http_body_util::StreamBody;

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_ends_its_request_body_with_an_error() {
        let silent = StreamBody::new(stream::pending::<Result<Frame<Bytes>, BoxError>>());
        let patience = Duration::from_secs(30);
        let error = Impatient::new(silent, patience, patience * 2)
            .collect()
            .await
            .expect_err("nothing ever arrives");
        assert_eq!(
            error.downcast_ref(),
            Some(&BodyStalled::Silent(patience)),
            "{error}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_byte_by_byte_is_not_waited_for_for_ever() {
        let start = Instant::now();
        let trickle = stream::unfold((), |()| async {
            sleep(Duration::from_secs(9)).await;
            Some((Ok::<_, BoxError>(Frame::data(Bytes::from_static(b"x"))), ()))
        });
        let longest = Duration::from_secs(60);
        let body = StreamBody::new(Box::pin(trickle));
        let error = Impatient::new(body, Duration::from_secs(30), longest)
            .collect()
            .await
            .expect_err("it never ends");
        assert_eq!(error.downcast_ref(), Some(&BodyStalled::Slow(longest)));
        assert_eq!(start.elapsed(), longest);
    }

    #[tokio::test]
    async fn a_stream_ends_in_good_order_when_it_is_stopped() {
        let stop = CancellationToken::new();
        let endless = stream::pending::<Result<Frame<Bytes>, BoxError>>();
        let body = until(boxed(StreamBody::new(endless)), stop.clone());
        stop.cancel();
        let bytes = body.collect().await.expect("no error").to_bytes();
        assert!(bytes.is_empty());
    }

    #[tokio::test]
    async fn a_body_of_known_length_is_not_cut_by_a_stop() {
        let stop = CancellationToken::new();
        stop.cancel();
        let body = until(full("whole"), stop);
        let bytes = body.collect().await.expect("no error").to_bytes();
        assert_eq!(bytes, "whole");
    }

    #[tokio::test]
    async fn a_body_that_arrives_passes_unchanged() {
        let body = Impatient::new(
            Full::new(Bytes::from("hello")),
            Duration::from_secs(30),
            Duration::from_secs(60),
        );
        let bytes = body.collect().await.expect("complete").to_bytes();
        assert_eq!(bytes, "hello");
    }
}
