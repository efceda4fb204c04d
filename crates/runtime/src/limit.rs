//! Spaces requests out: a bucket of tokens that fills at a steady rate.
//!
//! Only for those who ask for it: the API server shares itself out fairly, and a small bucket here
//! is what makes hundreds of snapshots slow.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How many requests may leave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rate {
    /// `--kube-api-qps`.
    pub(crate) per_second: f64,
    /// `--kube-api-burst`: so many at once after a pause.
    pub(crate) burst: u32,
}

/// Tokens; below zero it is owed some.
#[derive(Debug)]
pub(crate) struct Bucket {
    rate: Rate,
    inner: Mutex<(f64, Instant)>,
}

impl Bucket {
    /// A full one.
    pub(crate) fn new(rate: Rate) -> Self {
        Self {
            rate,
            inner: Mutex::new((rate.burst.into(), Instant::now())),
        }
    }

    /// Takes a token; the request may leave after the delay.
    pub(crate) fn reserve(&self, now: Instant) -> Duration {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let (tokens, since) = *inner;
        let gained = now.saturating_duration_since(since).as_secs_f64() * self.rate.per_second;
        let left = (tokens + gained).min(self.rate.burst.into()) - 1.0;
        *inner = (left, now.max(since));
        let owed = (-left).max(0.0) / self.rate.per_second;
        Duration::try_from_secs_f64(owed).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_leaves_at_once_and_the_rest_at_the_rate() {
        let bucket = Bucket::new(Rate {
            per_second: 2.0,
            burst: 3,
        });
        let start = Instant::now();
        let at = |millis| {
            bucket
                .reserve(start + Duration::from_millis(millis))
                .as_millis()
        };
        assert_eq!([at(0), at(0), at(0), at(0), at(0)], [0, 0, 0, 500, 1000]);
        // Two are owed; after five seconds it is full again, and not more than full.
        assert_eq!([at(5_000), at(5_000), at(5_000), at(5_000)], [0, 0, 0, 500]);
    }
}
