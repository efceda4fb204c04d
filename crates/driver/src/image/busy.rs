//! Lets one at a time attach, detach or cut a volume; several volumes are taken together or not yet.
//!
//! It does not know what is done with them.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
pub(super) struct Busy {
    ids: Mutex<BTreeSet<String>>,
    news: Condvar,
}

/// Free again when dropped.
#[derive(Debug)]
pub(super) struct Held<'a> {
    busy: &'a Busy,
    ids: Vec<String>,
}

impl Busy {
    /// Waits until none of these is held by anybody, and takes them all.
    pub(super) fn hold<'a>(&self, ids: impl IntoIterator<Item = &'a str>) -> Held<'_> {
        let ids: BTreeSet<String> = ids.into_iter().map(str::to_owned).collect();
        let mut taken = self.lock();
        while !taken.is_disjoint(&ids) {
            taken = self
                .news
                .wait(taken)
                .unwrap_or_else(PoisonError::into_inner);
        }
        taken.extend(ids.iter().cloned());
        let ids = ids.into_iter().collect();
        Held { busy: self, ids }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        // Nothing in here can panic half-way.
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut taken = self.busy.lock();
        for id in &self.ids {
            taken.remove(id);
        }
        drop(taken);
        self.busy.news.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn one_at_a_time_and_no_deadlock() {
        let busy = Busy::default();
        let inside = AtomicU32::new(0);
        thread::scope(|scope| {
            for number in 0..8 {
                let (busy, inside) = (&busy, &inside);
                scope.spawn(move || {
                    for _ in 0..500 {
                        let ids = if number % 2 == 0 {
                            ["a", "b"]
                        } else {
                            ["b", "a"]
                        };
                        let held = busy.hold(ids);
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                        drop(held);
                    }
                });
            }
        });
        assert!(busy.lock().is_empty());
    }

    #[test]
    fn others_do_not_wait() {
        let busy = Busy::default();
        let _one = busy.hold(["a", "a"]);
        let _two = busy.hold(["b"]);
    }
}
