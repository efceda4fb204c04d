//! Hands out keys, each to one worker at a time.
//!
//! A key that is added while a worker has it is handed out again afterwards. A key has at most one
//! timer; news never waits for it. Knows nothing of failures: how long to wait is said by whoever
//! sets the timer.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tintype_core::object::Key;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::metrics::{QueueMetrics, Standing};

/// A queue of keys.
#[derive(Debug, Default)]
pub struct Queue {
    inner: Mutex<Inner>,
    news: Notify,
    metrics: OnceLock<QueueMetrics>,
}

#[derive(Debug, Default)]
struct Inner {
    ready: VecDeque<Key>,
    /// Since when.
    queued: HashMap<Key, Instant>,
    /// Since when.
    running: HashMap<Key, Instant>,
    timers: BTreeMap<(Instant, u64), Key>,
    timer_of: HashMap<Key, (Instant, u64)>,
    counter: u64,
}

impl Queue {
    /// The key is to be passed as soon as a worker is free.
    pub fn add(&self, key: Key) {
        let mut inner = self.lock();
        inner.drop_timer(&key);
        let ready = inner.put(key, Instant::now(), self.metrics.get());
        drop(inner);
        if ready {
            self.news.notify_one();
        }
    }

    /// The key is to be passed in `delay`, unless news comes first; replaces an earlier timer.
    pub fn add_after(&self, key: Key, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        let mut inner = self.lock();
        inner.drop_timer(&key);
        if let Some(metrics) = self.metrics.get() {
            metrics.put_off();
        }
        if inner.queued.contains_key(&key) {
            return;
        }
        inner.counter += 1;
        let at = (Instant::now() + delay, inner.counter);
        inner.timers.insert(at, key.clone());
        inner.timer_of.insert(key, at);
        drop(inner);
        self.news.notify_one();
    }

    /// The next key; the worker must give it back with [`Queue::done`].
    pub async fn next(&self) -> Key {
        loop {
            let timer = {
                let mut inner = self.lock();
                let now = Instant::now();
                inner.ring(now, self.metrics.get());
                if let Some(key) = inner.ready.pop_front() {
                    let since = inner.queued.remove(&key);
                    if let (Some(metrics), Some(since)) = (self.metrics.get(), since) {
                        metrics.handed_out(now - since);
                    }
                    inner.running.insert(key.clone(), now);
                    if !inner.ready.is_empty() {
                        self.news.notify_one();
                    }
                    return key;
                }
                inner.timers.keys().next().map(|it| it.0)
            };
            match timer {
                None => self.news.notified().await,
                Some(at) => {
                    tokio::select! {
                        () = self.news.notified() => {}
                        () = tokio::time::sleep_until(at) => {}
                    }
                }
            }
        }
    }

    /// The worker is done with the key; it is queued again if news came meanwhile.
    pub fn done(&self, key: &Key) {
        let mut inner = self.lock();
        let since = inner.running.remove(key);
        if let (Some(metrics), Some(since)) = (self.metrics.get(), since) {
            metrics.done(since.elapsed());
        }
        if inner.queued.contains_key(key) {
            inner.ready.push_back(key.clone());
            drop(inner);
            self.news.notify_one();
        }
    }

    /// Keys waiting for a worker.
    pub fn len(&self) -> usize {
        self.lock().queued.len()
    }

    /// No key waits for a worker.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// From now on what happens here is counted; only the first call counts.
    pub(crate) fn count(&self, metrics: QueueMetrics) {
        // A queue has one name: a second one would count everything twice.
        let _ = self.metrics.set(metrics);
    }

    /// How it stands now.
    pub(crate) fn standing(&self) -> Standing {
        let inner = self.lock();
        let now = Instant::now();
        let first = inner.ready.front().and_then(|key| inner.queued.get(key));
        let running = || inner.running.values().map(|since| now - *since);
        Standing {
            depth: i64::try_from(inner.ready.len()).unwrap_or(i64::MAX),
            oldest: first.map_or(Duration::ZERO, |since| now - *since),
            unfinished: running().sum(),
            longest: running().max().unwrap_or_default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn drop_timer(&mut self, key: &Key) {
        if let Some(at) = self.timer_of.remove(key) {
            self.timers.remove(&at);
        }
    }

    /// Queues the key unless it is; `true` if a worker may have it now.
    fn put(&mut self, key: Key, now: Instant, metrics: Option<&QueueMetrics>) -> bool {
        if self.queued.contains_key(&key) {
            return false;
        }
        if let Some(metrics) = metrics {
            metrics.added();
        }
        self.queued.insert(key.clone(), now);
        let ready = !self.running.contains_key(&key);
        if ready {
            self.ready.push_back(key);
        }
        ready
    }

    /// Moves keys whose timer is over to the ready ones.
    fn ring(&mut self, now: Instant, metrics: Option<&QueueMetrics>) {
        while let Some(entry) = self.timers.first_entry() {
            if entry.key().0 > now {
                return;
            }
            let key = entry.remove();
            self.timer_of.remove(&key);
            self.put(key, now, metrics);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::cluster(name)
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_runs_once_at_a_time_and_again_after_news() {
        let queue = Queue::default();
        queue.add(key("a"));
        queue.add(key("a"));
        queue.add(key("b"));
        assert_eq!(queue.next().await, key("a"));
        queue.add(key("a"));
        assert_eq!(queue.next().await, key("b"));
        // "a" still runs, so it is not handed out.
        assert!(
            tokio::time::timeout(Duration::from_secs(9), queue.next())
                .await
                .is_err()
        );
        queue.done(&key("a"));
        assert_eq!(queue.next().await, key("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn timers_ring_in_order_and_news_comes_first() {
        let queue = Queue::default();
        let start = Instant::now();
        queue.add_after(key("slow"), Duration::from_secs(60));
        queue.add_after(key("quick"), Duration::from_secs(1));
        assert_eq!(queue.next().await, key("quick"));
        assert_eq!(start.elapsed().as_secs(), 1);
        queue.add(key("slow"));
        assert_eq!(queue.next().await, key("slow"));
        assert_eq!(start.elapsed().as_secs(), 1);
        queue.done(&key("slow"));
        // Its timer went with the news.
        assert!(
            tokio::time::timeout(Duration::from_secs(120), queue.next())
                .await
                .is_err()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_set_while_running_is_kept() {
        let queue = Queue::default();
        queue.add(key("a"));
        let running = queue.next().await;
        queue.add_after(key("a"), Duration::from_secs(5));
        queue.done(&running);
        assert_eq!(queue.next().await, key("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn many_workers_drain_it() {
        let queue = std::sync::Arc::new(Queue::default());
        for number in 0..1000 {
            queue.add(key(&format!("k{number}")));
        }
        let workers: Vec<_> = (0..8)
            .map(|_| {
                let queue = queue.clone();
                tokio::spawn(async move {
                    let mut count = 0;
                    while let Ok(key) =
                        tokio::time::timeout(Duration::from_secs(1), queue.next()).await
                    {
                        tokio::task::yield_now().await;
                        queue.done(&key);
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        let mut total = 0;
        for worker in workers {
            total += worker.await.unwrap();
        }
        assert_eq!(total, 1000);
    }
}
