//! Remembers what exists, for looking up and for listing in pages.
//!
//! It does not know where things are kept. Whoever changes an object holds its lock and tells the
//! catalog after the backend has done the work.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::backend::Backend;
use crate::record::{Group, Recorded, Snapshot, Volume};
use crate::refusal::Refusal;
use crate::shelf::Found;

/// All objects of one kind.
#[derive(Debug)]
struct Table<T> {
    objects: BTreeMap<String, Arc<T>>,
    /// Ids whose record cannot be read, and why.
    damaged: BTreeMap<String, String>,
}

impl<T: Recorded> Table<T> {
    fn new(found: Found<T>) -> Self {
        let objects = found
            .whole
            .into_iter()
            .map(|it| (it.id().to_owned(), Arc::new(it)));
        Self {
            objects: objects.collect(),
            damaged: found.damaged.into_iter().collect(),
        }
    }

    fn find(&self, id: &str, backend: &dyn Backend) -> Result<Option<Arc<T>>, Refusal> {
        if let Some(problem) = self.damaged.get(id) {
            return Err(Refusal::Damaged {
                kind: T::KIND,
                id: id.to_owned(),
                path: backend.record_of(T::KIND, id),
                problem: problem.clone(),
            });
        }
        Ok(self.objects.get(id).cloned())
    }

    fn has(&self, id: &str) -> bool {
        self.objects.contains_key(id) || self.damaged.contains_key(id)
    }

    fn remove(&mut self, id: &str) {
        self.objects.remove(id);
        self.damaged.remove(id);
    }
}

#[derive(Debug)]
pub(crate) struct Catalog {
    volumes: RwLock<Table<Volume>>,
    snapshots: RwLock<Snapshots>,
    groups: RwLock<Table<Group>>,
}

#[derive(Debug)]
struct Snapshots {
    table: Table<Snapshot>,
    /// Source volume and snapshot.
    by_source: BTreeSet<(String, String)>,
}

/// Part of a list, and whether more follows.
pub(crate) struct Part<T> {
    pub(crate) entries: Vec<Arc<T>>,
    pub(crate) more: bool,
}

/// Takes `limit` entries, and looks whether there is one more.
fn part<T>(mut entries: impl Iterator<Item = Arc<T>>, limit: usize) -> Part<T> {
    let taken: Vec<_> = entries.by_ref().take(limit).collect();
    Part {
        entries: taken,
        more: entries.next().is_some(),
    }
}

impl Catalog {
    pub(crate) fn load(backend: &dyn Backend) -> Result<Self, Refusal> {
        let volumes = Table::new(backend.load_volumes()?);
        let table = Table::new(backend.load_snapshots()?);
        let by_source = table.objects.values().map(|it| source_key(it)).collect();
        Ok(Self {
            volumes: RwLock::new(volumes),
            snapshots: RwLock::new(Snapshots { table, by_source }),
            groups: RwLock::new(Table::new(backend.load_groups()?)),
        })
    }

    pub(crate) fn volume(
        &self,
        id: &str,
        backend: &dyn Backend,
    ) -> Result<Option<Arc<Volume>>, Refusal> {
        read(&self.volumes).find(id, backend)
    }

    pub(crate) fn snapshot(
        &self,
        id: &str,
        backend: &dyn Backend,
    ) -> Result<Option<Arc<Snapshot>>, Refusal> {
        read(&self.snapshots).table.find(id, backend)
    }

    pub(crate) fn group(
        &self,
        id: &str,
        backend: &dyn Backend,
    ) -> Result<Option<Arc<Group>>, Refusal> {
        read(&self.groups).find(id, backend)
    }

    /// Adds or replaces.
    pub(crate) fn put_volume(&self, volume: Volume) -> Arc<Volume> {
        let volume = Arc::new(volume);
        write(&self.volumes)
            .objects
            .insert(volume.id.clone(), Arc::clone(&volume));
        volume
    }

    pub(crate) fn put_snapshot(&self, snapshot: Snapshot) -> Arc<Snapshot> {
        let snapshot = Arc::new(snapshot);
        let mut snapshots = write(&self.snapshots);
        snapshots.by_source.insert(source_key(&snapshot));
        snapshots
            .table
            .objects
            .insert(snapshot.id.clone(), Arc::clone(&snapshot));
        snapshot
    }

    pub(crate) fn put_group(&self, group: Group) -> Arc<Group> {
        let group = Arc::new(group);
        write(&self.groups)
            .objects
            .insert(group.id.clone(), Arc::clone(&group));
        group
    }

    pub(crate) fn drop_group(&self, id: &str) {
        write(&self.groups).remove(id);
    }

    pub(crate) fn drop_volume(&self, id: &str) {
        write(&self.volumes).remove(id);
    }

    pub(crate) fn drop_snapshot(&self, id: &str) {
        let mut snapshots = write(&self.snapshots);
        if let Some(snapshot) = snapshots.table.objects.get(id).cloned() {
            snapshots.by_source.remove(&source_key(&snapshot));
        }
        snapshots.table.remove(id);
    }

    /// Whether there is anything of this id, damaged or not.
    pub(crate) fn has_volume(&self, id: &str) -> bool {
        read(&self.volumes).has(id)
    }

    pub(crate) fn has_snapshot(&self, id: &str) -> bool {
        read(&self.snapshots).table.has(id)
    }

    pub(crate) fn has_group(&self, id: &str) -> bool {
        read(&self.groups).has(id)
    }

    /// Snapshots of groups that were never finished, or are half deleted.
    pub(crate) fn leftovers(&self) -> Vec<Arc<Snapshot>> {
        let (snapshots, groups) = (read(&self.snapshots), read(&self.groups));
        let is_leftover = |it: &&Arc<Snapshot>| it.group.as_ref().is_some_and(|id| !groups.has(id));
        let found = snapshots.table.objects.values().filter(is_leftover);
        found.cloned().collect()
    }

    pub(crate) fn list_volumes(&self, after: &str, limit: usize) -> Part<Volume> {
        let volumes = read(&self.volumes);
        let range = (Bound::Excluded(after.to_owned()), Bound::Unbounded);
        part(
            volumes.objects.range(range).map(|(_, it)| Arc::clone(it)),
            limit,
        )
    }

    pub(crate) fn list_snapshots(&self, after: &str, limit: usize) -> Part<Snapshot> {
        let snapshots = read(&self.snapshots);
        let range = (Bound::Excluded(after.to_owned()), Bound::Unbounded);
        part(
            snapshots
                .table
                .objects
                .range(range)
                .map(|(_, it)| Arc::clone(it)),
            limit,
        )
    }

    pub(crate) fn list_snapshots_of(
        &self,
        source: &str,
        after: &str,
        limit: usize,
    ) -> Part<Snapshot> {
        let snapshots = read(&self.snapshots);
        let start = Bound::Excluded((source.to_owned(), after.to_owned()));
        let ids = snapshots.by_source.range((start, Bound::Unbounded));
        let ids = ids.take_while(|(of, _)| of == source);
        part(
            ids.filter_map(|(_, id)| snapshots.table.objects.get(id).cloned()),
            limit,
        )
    }
}

fn source_key(snapshot: &Snapshot) -> (String, String) {
    (snapshot.source_volume_id.clone(), snapshot.id.clone())
}

// Nothing under these locks can panic half-way.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
