//! Looks at every object from time to time, whether or not news of it came.
//!
//! Spread over the whole period, so that work that is new never waits behind it (D16c).

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{Cache, Queue, Row};

/// Adds all keys of the cache to the queue, once per period, evenly; a period of zero does nothing.
pub async fn resync<R: Row>(
    cache: Arc<Cache<R>>,
    queue: Arc<Queue>,
    period: Duration,
    shutdown: CancellationToken,
) {
    if period.is_zero() {
        return;
    }
    loop {
        let keys = cache.keys();
        let share = u32::try_from(keys.len().max(1)).unwrap_or(u32::MAX);
        let pause = period / share;
        let mut keys = keys.into_iter();
        for _ in 0..share {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            if let Some(key) = keys.next() {
                queue.add(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tintype_core::object::Snapshot;

    use super::*;

    /// D16c: upstream queues all of them at one moment, and what is new behind them.
    #[tokio::test(start_paused = true)]
    async fn d16c_objects_are_looked_at_one_by_one_over_the_whole_period() {
        let cache = Cache::<Snapshot>::new(vec![]);
        for at in 0..60 {
            let object = json!({"metadata": {"namespace": "ns", "name": format!("snap-{at}"),
                "uid": format!("u{at}"), "resourceVersion": "1"}});
            cache.offer(Snapshot::read_reply(object).unwrap());
        }
        let (queue, shutdown) = (Arc::new(Queue::default()), CancellationToken::new());
        let period = Duration::from_secs(60);
        let looks = resync(cache, queue.clone(), period, shutdown.clone());
        let looks = tokio::spawn(looks);
        tokio::time::sleep(Duration::from_millis(500)).await;
        for second in 0..60 {
            assert_eq!(queue.len(), second, "after {second} seconds");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        shutdown.cancel();
        looks.await.unwrap();
    }
}
