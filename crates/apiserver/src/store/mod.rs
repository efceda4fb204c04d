//! Keeps every object: all reads from memory, all writes durable before they are seen.
//!
//! There is one line of resourceVersions for everything. Readers and watchers see only what is on
//! disk, in the order of that line. Does not know kinds or what is in an object.

mod commit;
mod disk;
mod durable;
mod object;
mod open;
mod overlay;
#[cfg(test)]
mod power_tests;
#[cfg(test)]
mod tests;
mod window;

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use redb::StorageBackend;
use tokio::sync::watch;

pub(crate) use commit::{Expect, Write, WriteError};
pub(crate) use object::{Draft, Object};
pub use open::OpenError;
pub(crate) use window::{Bounds, Event, Expired};

use commit::Queue;
use disk::{Disk, DiskError, Loaded};
use window::Window;

#[derive(Debug, Clone)]
pub(crate) struct Store {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
}

/// What readers see. Only the committer changes it.
#[derive(Debug)]
struct Shared {
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    rv: u64,
    /// Windows begin here: what happened in an earlier run is not kept.
    opened_at: u64,
    bounds: Bounds,
    buckets: HashMap<Arc<str>, Bucket>,
}

#[derive(Debug)]
struct Bucket {
    objects: BTreeMap<Arc<str>, Arc<Object>>,
    window: Window,
    news: watch::Sender<u64>,
}

/// Objects of one resource as they were together at `rv`, in the order of their keys.
#[derive(Debug)]
pub(crate) struct Listing {
    pub rv: u64,
    pub objects: Vec<Arc<Object>>,
}

impl Store {
    /// Opens the store in a folder, which is made if it is not there.
    pub(crate) fn open(dir: &Path) -> Result<Self, OpenError> {
        let (lock, disk, loaded) = open::open_dir(dir)?;
        Self::start(disk, loaded, Bounds::default(), lock).map_err(|source| OpenError::Io {
            action: "start the writer of",
            path: dir.to_owned(),
            source,
        })
    }

    /// Opens the store over any storage, for tests that cut the power, fill the disk or compact.
    #[cfg_attr(not(test), expect(dead_code, reason = "the seam for fault tests"))]
    pub(crate) fn open_backend(
        backend: Arc<dyn StorageBackend>,
        bounds: Bounds,
    ) -> Result<Self, DiskError> {
        let (disk, loaded) = Disk::open(backend, None)?;
        Ok(Self::start(disk, loaded, bounds, ())?)
    }

    fn start(
        disk: Disk,
        loaded: Loaded,
        bounds: Bounds,
        keep: impl Send + 'static,
    ) -> std::io::Result<Self> {
        let rv = loaded.rv;
        let buckets = loaded
            .objects
            .into_iter()
            .map(|(resource, objects)| (resource, Bucket::new(objects, rv, bounds)))
            .collect();
        let state = State {
            rv,
            opened_at: rv,
            bounds,
            buckets,
        };
        let shared = Arc::new(Shared {
            state: RwLock::new(state),
        });
        let queue = Queue::start(&shared, disk, rv, keep)?;
        Ok(Self {
            shared,
            queue: Arc::new(queue),
        })
    }

    /// The resourceVersion of the last write that readers can see.
    pub(crate) fn rv(&self) -> u64 {
        self.shared.read(|state| state.rv)
    }

    pub(crate) fn get(&self, resource: &str, key: &str) -> Option<Arc<Object>> {
        self.shared.get(resource, key)
    }

    /// Objects whose key begins with `prefix`, now.
    pub(crate) fn list(&self, resource: &str, prefix: &str) -> Listing {
        self.shared.read(|state| Listing {
            rv: state.rv,
            objects: state.buckets.get(resource).map_or_else(Vec::new, |bucket| {
                bucket
                    .range(prefix, "")
                    .map(|(_, object)| object.clone())
                    .collect()
            }),
        })
    }

    /// How many objects there are whose key begins with `prefix`.
    pub(crate) fn count(&self, resource: &str, prefix: &str) -> usize {
        self.shared.read(|state| {
            let bucket = state.buckets.get(resource);
            bucket.map_or(0, |bucket| bucket.range(prefix, "").count())
        })
    }

    /// Objects whose key begins with `prefix` and comes after `after`, as they were at `rv`.
    pub(crate) fn list_at(
        &self,
        resource: &str,
        prefix: &str,
        after: &str,
        rv: u64,
    ) -> Result<Vec<Arc<Object>>, Expired> {
        self.shared.read(|state| {
            let Some(bucket) = state.buckets.get(resource) else {
                return state.expired_before(rv).map(|()| Vec::new());
            };
            let mut objects: BTreeMap<Arc<str>, Arc<Object>> = bucket
                .range(prefix, after)
                .map(|(key, object)| (key.clone(), object.clone()))
                .collect();
            bucket.window.undo(rv, &mut objects)?;
            objects.retain(|key, _| key.starts_with(prefix) && **key > *after);
            Ok(objects.into_values().collect())
        })
    }

    /// Changes of a resource after `rv`, oldest first, and the resourceVersion they reach up to.
    /// At least one if there are any, however small `max` is.
    pub(crate) fn since(
        &self,
        resource: &str,
        rv: u64,
        max: Bounds,
    ) -> Result<(Vec<Event>, u64), Expired> {
        self.shared.read(|state| {
            let Some(bucket) = state.buckets.get(resource) else {
                return state.expired_before(rv).map(|()| (Vec::new(), state.rv));
            };
            let (events, all) = bucket.window.since(rv, max)?;
            let reached = match events.last() {
                Some(last) if !all => last.rv,
                _ => state.rv,
            };
            Ok((events, reached))
        })
    }

    /// Tells when a resource changes. Subscribe first, read then, and nothing is missed.
    pub(crate) fn subscribe(&self, resource: &str) -> watch::Receiver<u64> {
        let mut state = self
            .shared
            .state
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        state.bucket(resource).news.subscribe()
    }

    /// The resourceVersion of the last change of a resource, or that of the store's opening.
    pub(crate) fn changed_at(&self, resource: &str) -> u64 {
        self.shared.read(|state| match state.buckets.get(resource) {
            Some(bucket) => *bucket.news.borrow(),
            None => state.opened_at,
        })
    }

    /// Whether the writer lives. A disk that is full does not end it.
    pub(crate) fn is_writable(&self) -> bool {
        self.queue.is_alive()
    }

    /// Returns only if the writer died: nothing can be written any more.
    pub(crate) async fn ended(&self) {
        self.queue.ended().await;
    }

    /// Writes; gives the object back as written, or as it was when deleted.
    pub(crate) async fn commit(&self, write: Write) -> Result<Arc<Object>, WriteError> {
        self.queue.send(write).await
    }
}

impl Shared {
    fn read<T>(&self, with: impl FnOnce(&State) -> T) -> T {
        with(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn get(&self, resource: &str, key: &str) -> Option<Arc<Object>> {
        self.read(|state| state.buckets.get(resource)?.objects.get(key).cloned())
    }

    fn publish(&self, events: Vec<(Arc<str>, Event)>) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        for (resource, event) in events {
            state.rv = event.rv;
            let bucket = state.bucket(&resource);
            match (&event.new, &event.old) {
                (Some(new), _) => {
                    bucket.objects.insert(new.key.clone(), new.clone());
                }
                (None, Some(old)) => {
                    bucket.objects.remove(&old.key);
                }
                (None, None) => {}
            }
            bucket.news.send_replace(event.rv);
            bucket.window.push(event);
        }
    }
}

impl State {
    fn bucket(&mut self, resource: &str) -> &mut Bucket {
        let (opened_at, bounds) = (self.opened_at, self.bounds);
        self.buckets
            .entry(resource.into())
            .or_insert_with(|| Bucket::new(BTreeMap::new(), opened_at, bounds))
    }

    fn expired_before(&self, rv: u64) -> Result<(), Expired> {
        if rv < self.opened_at {
            Err(Expired {
                oldest: self.opened_at,
            })
        } else {
            Ok(())
        }
    }
}

impl Bucket {
    fn new(objects: BTreeMap<Arc<str>, Arc<Object>>, opened_at: u64, bounds: Bounds) -> Self {
        Self {
            objects,
            window: Window::new(opened_at, bounds),
            news: watch::Sender::new(opened_at),
        }
    }

    fn range<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a Arc<Object>)> {
        let from = if after.is_empty() || after < prefix {
            Bound::Included(prefix)
        } else {
            Bound::Excluded(after)
        };
        self.objects
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(move |(key, _)| key.starts_with(prefix))
    }
}
