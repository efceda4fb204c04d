//! Keeps one row per object of a kind, as last seen or written.
//!
//! Never holds decoded objects. Own writes are folded in at once, and an older version from the
//! watch never replaces them; its news is passed on all the same, so nothing waits for a resync.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tintype_core::Seen;
use tintype_core::object::{Key, Uid};
use tokio::sync::watch;

use crate::Row;

/// What happened to a row; handed to everyone who listens.
#[derive(Debug)]
pub struct Change<R> {
    /// The row before, if there was one.
    pub before: Option<Arc<R>>,
    /// The row after, if there is one.
    pub after: Option<Arc<R>>,
}

impl<R> Change<R> {
    /// The rows on both sides of the change.
    pub fn rows(&self) -> impl Iterator<Item = &Arc<R>> {
        self.before.iter().chain(self.after.iter())
    }
}

/// Groups rows by a key made of them.
pub type Index<R> = fn(&R) -> Option<Key>;

/// How many deletions are remembered, to tell `Absent` from `NotCached`.
const GRAVES: usize = 4096;

type Listener<R> = Box<dyn Fn(&Change<R>) + Send + Sync>;

/// All rows of one kind.
pub struct Cache<R> {
    inner: RwLock<Inner<R>>,
    indexes: Vec<Index<R>>,
    listeners: RwLock<Vec<Listener<R>>>,
    synced: watch::Sender<bool>,
}

struct Inner<R> {
    synced: bool,
    rows: HashMap<Key, Arc<R>>,
    groups: Vec<HashMap<Key, HashSet<Key>>>,
    graves: Graves,
}

impl<R> std::fmt::Debug for Cache<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

/// Objects whose deletion was seen, oldest first.
#[derive(Default)]
struct Graves {
    order: VecDeque<(Key, Uid)>,
    found: HashSet<(Key, Uid)>,
    /// Names under which nothing has come since.
    empty: HashSet<Key>,
}

impl Graves {
    fn dig(&mut self, key: Key, uid: Uid) {
        self.empty.insert(key.clone());
        if !self.found.insert((key.clone(), uid.clone())) {
            return;
        }
        self.order.push_back((key, uid));
        if self.order.len() > GRAVES
            && let Some(oldest) = self.order.pop_front()
        {
            self.found.remove(&oldest);
            self.empty.remove(&oldest.0);
        }
    }
}

impl<R: Row> Cache<R> {
    /// An empty cache with these indexes.
    pub fn new(indexes: Vec<Index<R>>) -> Arc<Self> {
        Arc::new(Self {
            inner: RwLock::new(Inner {
                synced: false,
                rows: HashMap::new(),
                groups: indexes.iter().map(|_| HashMap::new()).collect(),
                graves: Graves::default(),
            }),
            indexes,
            listeners: RwLock::default(),
            synced: watch::Sender::new(false),
        })
    }

    /// Calls `listener` after every change, outside the cache's lock.
    pub fn listen(&self, listener: impl Fn(&Change<R>) + Send + Sync + 'static) {
        self.listeners
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Box::new(listener));
    }

    /// What is known of the object at `key`.
    ///
    /// `Absent` means that its deletion was seen on an unbroken watch, or a read past the cache
    /// said so, and nothing of that name has come since.
    pub fn get(&self, key: &Key) -> Seen<Arc<R>> {
        let inner = self.read();
        match inner.rows.get(key) {
            Some(row) => Seen::Present(row.clone()),
            None if !inner.synced => Seen::Unknown,
            None if inner.graves.empty.contains(key) => Seen::Absent,
            None => Seen::NotCached,
        }
    }

    /// All keys, in no order.
    pub fn keys(&self) -> Vec<Key> {
        self.read().rows.keys().cloned().collect()
    }

    /// All rows, in no order: for small kinds only.
    pub fn rows(&self) -> Vec<Arc<R>> {
        self.read().rows.values().cloned().collect()
    }

    /// The rows that the `index`-th index puts under `key`.
    pub fn group(&self, index: usize, key: &Key) -> Vec<Arc<R>> {
        let inner = self.read();
        let members = inner.groups.get(index).and_then(|it| it.get(key));
        members
            .into_iter()
            .flatten()
            .filter_map(|member| inner.rows.get(member).cloned())
            .collect()
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.read().rows.len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first list has been read whole.
    pub fn is_synced(&self) -> bool {
        self.read().synced
    }

    /// Waits for the first list to be read whole.
    pub async fn synced(&self) {
        let mut synced = self.synced.subscribe();
        // The sender lives as long as the cache, so this ends only with `true`.
        let _ = synced.wait_for(|it| *it).await;
    }

    /// News from the watch, or the reply to an own write.
    pub fn offer(&self, row: R) {
        let change = {
            let mut inner = self.write();
            let meta = row.meta();
            let grave = (meta.key.clone(), meta.uid.clone());
            if inner.graves.found.contains(&grave) {
                // A late reply must not bring back what is gone.
                return;
            }
            let before = inner.rows.get(&meta.key).cloned();
            let stale = before.as_ref().is_some_and(|before| {
                let before = before.meta();
                before.uid == meta.uid && meta.version.older_than(&before.version)
            });
            if stale {
                Change {
                    after: before.clone(),
                    before,
                }
            } else {
                let row = Arc::new(row);
                inner.put(&self.indexes, row.clone());
                Change {
                    before,
                    after: Some(row),
                }
            }
        };
        self.tell(&change);
    }

    /// The object was seen going, on an unbroken watch.
    pub fn remove(&self, key: &Key, uid: &Uid) {
        let before = {
            let mut inner = self.write();
            inner.graves.dig(key.clone(), uid.clone());
            match inner.rows.get(key) {
                Some(row) if row.meta().uid == *uid => inner.take(&self.indexes, key),
                Some(_) | None => None,
            }
        };
        self.tell(&Change {
            before,
            after: None,
        });
    }

    /// A read past the cache found nothing at `key`.
    pub fn absent(&self, key: &Key) {
        let held = self.read().rows.get(key).map(|it| it.meta().uid.clone());
        match held {
            Some(uid) => self.remove(key, &uid),
            None => self.write().graves.dig(key.clone(), Uid::Empty),
        }
    }

    /// A whole list was read: what is not in it is gone, but nobody saw it go.
    pub fn sweep(&self, listed: &HashSet<Key>) {
        let lost: Vec<_> = {
            let mut inner = self.write();
            let keys: Vec<_> = inner
                .rows
                .keys()
                .filter(|key| !listed.contains(key))
                .cloned()
                .collect();
            inner.synced = true;
            keys.iter()
                .filter_map(|key| inner.take(&self.indexes, key))
                .collect()
        };
        for row in lost {
            self.tell(&Change {
                before: Some(row),
                after: None,
            });
        }
        self.synced.send_replace(true);
    }

    /// A whole list was read past the watch: of the rows there were `before` it, those that are not
    /// in it and have not changed since are gone, but nobody saw them go.
    pub(crate) fn take_unlisted(&self, before: &[Arc<R>], listed: &HashSet<Key>) {
        for row in before {
            let key = &row.meta().key;
            let lost = {
                let mut inner = self.write();
                let same = inner.rows.get(key).is_some_and(|it| Arc::ptr_eq(it, row));
                if same && !listed.contains(key) {
                    inner.take(&self.indexes, key)
                } else {
                    None
                }
            };
            if lost.is_some() {
                self.tell(&Change {
                    before: lost,
                    after: None,
                });
            }
        }
    }

    fn tell(&self, change: &Change<R>) {
        let listeners = self
            .listeners
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        for listener in listeners.iter() {
            listener(change);
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner<R>> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner<R>> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: Row> Inner<R> {
    fn put(&mut self, indexes: &[Index<R>], row: Arc<R>) {
        let key = row.meta().key.clone();
        self.take(indexes, &key);
        self.graves.empty.remove(&key);
        for (index, groups) in indexes.iter().zip(&mut self.groups) {
            if let Some(group) = index(&row) {
                groups.entry(group).or_default().insert(key.clone());
            }
        }
        self.rows.insert(key, row);
    }

    fn take(&mut self, indexes: &[Index<R>], key: &Key) -> Option<Arc<R>> {
        let row = self.rows.remove(key)?;
        for (index, groups) in indexes.iter().zip(&mut self.groups) {
            let Some(group) = index(&row) else { continue };
            if let Some(members) = groups.get_mut(&group) {
                members.remove(key);
                if members.is_empty() {
                    groups.remove(&group);
                }
            }
        }
        Some(row)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;
    use tintype_core::object::Snapshot;

    use super::*;

    fn snapshot(name: &str, uid: &str, version: u32, claim: &str) -> Snapshot {
        Snapshot::read_reply(json!({
            "metadata": {"namespace": "ns", "name": name, "uid": uid, "resourceVersion": version.to_string()},
            "spec": {"source": {"persistentVolumeClaimName": claim}},
        }))
        .unwrap()
    }

    fn cache() -> Arc<Cache<Snapshot>> {
        Cache::new(vec![Snapshot::claim_key])
    }

    fn version(cache: &Cache<Snapshot>, key: &Key) -> String {
        cache.get(key).present().unwrap().meta.version.to_string()
    }

    #[test]
    fn tells_not_cached_from_absent() {
        let cache = cache();
        let key = Key::namespaced("ns", "a");
        assert!(matches!(cache.get(&key), Seen::Unknown));
        cache.sweep(&HashSet::new());
        assert!(matches!(cache.get(&key), Seen::NotCached));
        cache.offer(snapshot("a", "u1", 1, "data"));
        cache.remove(&key, &Uid::parse("u1"));
        assert!(matches!(cache.get(&key), Seen::Absent));
        cache.offer(snapshot("a", "u3", 3, "data"));
        cache.sweep(&HashSet::new());
        assert!(matches!(cache.get(&key), Seen::NotCached));
        // A relist that lacks it says nothing about why.
        cache.offer(snapshot("b", "u2", 2, "data"));
        cache.sweep(&HashSet::new());
        assert!(matches!(
            cache.get(&Key::namespaced("ns", "b")),
            Seen::NotCached
        ));
    }

    /// D10: upstream drops news that is older than an own write, and with it the key.
    #[test]
    fn d10_old_news_never_replaces_an_own_write_and_wakes_its_key_all_the_same() {
        let cache = cache();
        let key = Key::namespaced("ns", "a");
        let told = Arc::new(Mutex::new(0));
        let counter = told.clone();
        cache.listen(move |_| *counter.lock().unwrap() += 1);
        cache.offer(snapshot("a", "u1", 7, "data"));
        cache.offer(snapshot("a", "u1", 5, "data"));
        assert_eq!(version(&cache, &key), "7");
        assert_eq!(*told.lock().unwrap(), 2);
        // Another object of that name is never older.
        cache.offer(snapshot("a", "u2", 6, "data"));
        assert_eq!(version(&cache, &key), "6");
    }

    #[test]
    fn a_late_reply_does_not_bring_back_what_is_gone() {
        let cache = cache();
        let key = Key::namespaced("ns", "a");
        cache.offer(snapshot("a", "u1", 1, "data"));
        cache.remove(&key, &Uid::parse("u1"));
        cache.offer(snapshot("a", "u1", 2, "data"));
        assert!(cache.get(&key).present().is_none());
    }

    #[test]
    fn indexes_follow_the_rows() {
        let cache = cache();
        let (data, logs) = (Key::namespaced("ns", "data"), Key::namespaced("ns", "logs"));
        cache.offer(snapshot("a", "u1", 1, "data"));
        cache.offer(snapshot("b", "u2", 2, "data"));
        assert_eq!(cache.group(0, &data).len(), 2);
        cache.offer(snapshot("b", "u3", 3, "logs"));
        assert_eq!(cache.group(0, &data).len(), 1);
        assert_eq!(cache.group(0, &logs).len(), 1);
        cache.remove(&Key::namespaced("ns", "a"), &Uid::parse("u1"));
        assert!(cache.group(0, &data).is_empty());
    }
}
