//! Queues keys: each at most once, none while it is worked on, failed ones after a pause.
//!
//! Knows nothing of what the keys stand for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Queue<K> {
    ready: VecDeque<K>,
    state: BTreeMap<K, State>,
    due: BTreeSet<(Instant, K)>,
    failures: BTreeMap<K, u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    Busy,
    /// Woken while it was worked on.
    BusyAndWoken,
}

impl<K: Clone + Ord> Queue<K> {
    pub(super) fn new() -> Self {
        Self {
            ready: VecDeque::new(),
            state: BTreeMap::new(),
            due: BTreeSet::new(),
            failures: BTreeMap::new(),
        }
    }

    /// Something about the key changed.
    pub(super) fn wake(&mut self, key: K) {
        match self.state.get_mut(&key) {
            None => {
                self.state.insert(key.clone(), State::Ready);
                self.ready.push_back(key);
            }
            Some(state @ State::Busy) => *state = State::BusyAndWoken,
            Some(State::Ready | State::BusyAndWoken) => {}
        }
    }

    /// The next key to work on; it stays busy until one of the methods below is called for it.
    pub(super) fn pop(&mut self) -> Option<K> {
        let key = self.ready.pop_front()?;
        self.state.insert(key.clone(), State::Busy);
        Some(key)
    }

    /// There was nothing to do.
    pub(super) fn rested(&mut self, key: &K) {
        self.failures.remove(key);
        self.free(key.clone());
    }

    /// A step was made; there may be another.
    pub(super) fn again(&mut self, key: K) {
        self.failures.remove(&key);
        self.free(key.clone());
        self.wake(key);
    }

    /// A step failed; news wake the key sooner.
    pub(super) fn later(&mut self, key: K, at: Instant) {
        self.due.insert((at, key.clone()));
        self.free(key);
    }

    /// How long to wait after one more failure of the key.
    pub(super) fn pause(&mut self, key: &K, first: Duration, longest: Duration) -> Duration {
        let failures = self.failures.entry(key.clone()).or_default();
        let pause = first.saturating_mul(1 << (*failures).min(20));
        *failures += 1;
        pause.min(longest)
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    pub(super) fn wake_due(&mut self, now: Instant) {
        while self.due.first().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, key)) = self.due.pop_first() {
                self.wake(key);
            }
        }
    }

    fn free(&mut self, key: K) {
        if self.state.remove(&key) == Some(State::BusyAndWoken) {
            self.wake(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_queued_once_and_not_while_it_is_worked_on() {
        let mut queue = Queue::new();
        queue.wake("a");
        queue.wake("a");
        assert_eq!((queue.pop(), queue.pop()), (Some("a"), None));
        queue.wake("a");
        assert_eq!(queue.pop(), None, "busy");
        queue.rested(&"a");
        assert_eq!(queue.pop(), Some("a"), "woken meanwhile");
        queue.rested(&"a");
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn a_step_made_asks_for_another() {
        let mut queue = Queue::new();
        queue.wake("a");
        queue.pop();
        queue.again("a");
        assert_eq!(queue.pop(), Some("a"));
    }

    #[test]
    fn pauses_grow_up_to_a_limit_and_start_over_after_success() {
        let mut queue = Queue::new();
        let (first, longest) = (Duration::from_millis(10), Duration::from_millis(50));
        let pause = |queue: &mut Queue<_>| queue.pause(&"a", first, longest).as_millis();
        let pauses: Vec<_> = (0..4).map(|_| pause(&mut queue)).collect();
        assert_eq!(pauses, [10, 20, 40, 50]);
        queue.rested(&"a");
        assert_eq!(pause(&mut queue), 10);
    }

    #[test]
    fn a_failed_key_comes_back_when_it_is_due_or_when_news_come() {
        let mut queue = Queue::new();
        queue.wake("a");
        queue.pop();
        let now = Instant::now();
        let due = now + Duration::from_secs(1);
        queue.later("a", due);
        queue.wake_due(now);
        assert_eq!((queue.pop(), queue.next_due()), (None, Some(due)));
        queue.wake("a");
        assert_eq!(queue.pop(), Some("a"), "news");
        queue.rested(&"a");
        queue.wake_due(due);
        assert_eq!((queue.pop(), queue.next_due()), (Some("a"), None));
    }
}
