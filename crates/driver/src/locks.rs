//! Hands out a lock per object: many may read one, one may change it.
//!
//! It does not know what an object is. There is no lock for all.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::refusal::Kind;

/// What is locked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Key {
    Object(Kind, String),
    /// A path where a volume is shown.
    Target(String),
}

/// Read or change; a change wins if both are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hold {
    Read,
    Change,
}

/// Held until dropped.
#[derive(Debug)]
pub(crate) enum Guard {
    Read(#[expect(dead_code, reason = "held, not used")] OwnedRwLockReadGuard<()>),
    Change(#[expect(dead_code, reason = "held, not used")] OwnedRwLockWriteGuard<()>),
}

#[derive(Debug, Default)]
pub(crate) struct Locks {
    table: Mutex<HashMap<Key, Weak<RwLock<()>>>>,
}

/// Entries below which nobody looks for unused ones.
const FEW: usize = 256;

impl Locks {
    /// Takes all locks in the order of their keys, so that no two callers wait for each other.
    pub(crate) async fn take(&self, wanted: &[(Key, Hold)]) -> Vec<Guard> {
        let mut strongest: BTreeMap<&Key, Hold> = BTreeMap::new();
        for (key, hold) in wanted {
            let slot = strongest.entry(key).or_insert(*hold);
            *slot = (*slot).max(*hold);
        }
        let mut guards = Vec::with_capacity(strongest.len());
        for (key, hold) in strongest {
            let lock = self.lock_of(key);
            guards.push(match hold {
                Hold::Read => Guard::Read(lock.read_owned().await),
                Hold::Change => Guard::Change(lock.write_owned().await),
            });
        }
        guards
    }

    fn lock_of(&self, key: &Key) -> Arc<RwLock<()>> {
        // Nothing in here can panic half-way.
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = table.get(key).and_then(Weak::upgrade) {
            return lock;
        }
        if table.len() >= FEW && table.len() == table.capacity() {
            table.retain(|_, lock| lock.strong_count() > 0);
        }
        let lock = Arc::new(RwLock::new(()));
        table.insert(key.clone(), Arc::downgrade(&lock));
        lock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> Key {
        Key::Object(Kind::Volume, id.to_owned())
    }

    #[tokio::test]
    async fn opposite_orders_do_not_deadlock() {
        let locks = Arc::new(Locks::default());
        let mut tasks = Vec::new();
        for round in 0..200 {
            let locks = Arc::clone(&locks);
            tasks.push(tokio::spawn(async move {
                let (one, two) = if round % 2 == 0 {
                    ("a", "b")
                } else {
                    ("b", "a")
                };
                let _held = locks
                    .take(&[(key(one), Hold::Change), (key(two), Hold::Read)])
                    .await;
                tokio::task::yield_now().await;
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    }

    #[tokio::test]
    async fn readers_share_and_a_change_excludes() {
        let locks = Locks::default();
        let first = locks.take(&[(key("a"), Hold::Read)]).await;
        let second = locks.take(&[(key("a"), Hold::Read)]).await;
        let change = [(key("a"), Hold::Read), (key("a"), Hold::Change)];
        let mut waiting = Box::pin(locks.take(&change));
        assert!(
            std::future::poll_fn(|context| {
                std::task::Poll::Ready(waiting.as_mut().poll(context).is_pending())
            })
            .await
        );
        drop((first, second));
        drop(waiting.await);
        let _another = locks.take(&[(key("b"), Hold::Change)]).await;
    }

    #[tokio::test]
    async fn unused_locks_are_forgotten() {
        let locks = Locks::default();
        for number in 0..100_000 {
            drop(
                locks
                    .take(&[(key(&number.to_string()), Hold::Change)])
                    .await,
            );
        }
        assert!(locks.table.lock().unwrap().len() < 1000);
    }
}
