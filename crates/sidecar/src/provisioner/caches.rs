//! The caches of the provisioner, and whom a change in each of them wakes.

use std::sync::Arc;

use kube::Client;
use tintype_core::object::{ClaimPhase, DataSourceKind, Key, Snapshot, StorageClass, Volume};
use tintype_runtime::{Cache, ClaimRow, Queue, Tasks, watch};
use tokio_util::sync::CancellationToken;

/// Index of [`Caches::claims`]: unbound claims by the snapshot they are filled from.
pub(super) const BY_SNAPSHOT: usize = 0;
/// Index of [`Caches::claims`]: unbound claims by the claim they are filled from.
const BY_CLAIM: usize = 1;
/// Index of [`Caches::claims`]: unbound claims by storage class.
const BY_CLASS: usize = 2;

/// Everything the provisioner watches. Contents are read when needed: upstream's rights give no
/// watch on them.
#[derive(Debug)]
pub(super) struct Caches {
    pub(super) claims: Arc<Cache<ClaimRow>>,
    pub(super) volumes: Arc<Cache<Volume>>,
    pub(super) classes: Arc<Cache<StorageClass>>,
    pub(super) snapshots: Arc<Cache<Snapshot>>,
}

/// One queue per machine.
#[derive(Debug, Default)]
pub(super) struct Queues {
    pub(super) claims: Arc<Queue>,
    pub(super) volumes: Arc<Queue>,
    pub(super) sources: Arc<Queue>,
}

impl Caches {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            claims: Cache::new(vec![from_snapshot, from_claim, of_class]),
            volumes: Cache::new(vec![]),
            classes: Cache::new(vec![]),
            snapshots: Cache::new(vec![]),
        })
    }

    /// Starts the watches.
    pub(super) fn watch(&self, client: &Client, shutdown: &CancellationToken) -> Tasks {
        let mut tasks = Tasks::default();
        watch(&mut tasks, client, &self.claims, shutdown);
        watch(&mut tasks, client, &self.volumes, shutdown);
        watch(&mut tasks, client, &self.classes, shutdown);
        watch(&mut tasks, client, &self.snapshots, shutdown);
        tasks
    }

    pub(super) async fn synced(&self) {
        tokio::join!(
            self.claims.synced(),
            self.volumes.synced(),
            self.classes.synced(),
            self.snapshots.synced(),
        );
    }

    pub(super) fn wake(self: &Arc<Self>, queues: &Queues) {
        let (claims, sources, caches) =
            (queues.claims.clone(), queues.sources.clone(), self.clone());
        self.claims.listen(move |change| {
            for row in change.rows() {
                claims.add(row.claim.meta.key.clone());
                for copy in caches.claims.group(BY_CLAIM, &row.claim.meta.key) {
                    claims.add(copy.claim.meta.key.clone());
                }
                if let Some(source) = &row.claim.source {
                    sources.add(source.key.clone());
                }
            }
        });
        let (claims, volumes) = (queues.claims.clone(), queues.volumes.clone());
        self.volumes.listen(move |change| {
            for volume in change.rows() {
                volumes.add(volume.meta.key.clone());
                if let Some(claim) = &volume.claim {
                    claims.add(claim.key.clone());
                }
            }
        });
        let (claims, caches) = (queues.claims.clone(), self.clone());
        self.classes.listen(move |change| {
            for class in change.rows() {
                for row in caches.claims.group(BY_CLASS, &class.meta.key) {
                    claims.add(row.claim.meta.key.clone());
                }
            }
        });
        let (claims, sources, caches) =
            (queues.claims.clone(), queues.sources.clone(), self.clone());
        self.snapshots.listen(move |change| {
            for snapshot in change.rows() {
                sources.add(snapshot.meta.key.clone());
                for row in caches.claims.group(BY_SNAPSHOT, &snapshot.meta.key) {
                    claims.add(row.claim.meta.key.clone());
                }
            }
        });
    }
}

fn source_of(row: &ClaimRow, kind: DataSourceKind) -> Option<Key> {
    let source = row.claim.source.as_ref()?;
    let waits = row.claim.phase == ClaimPhase::Pending && source.kind == kind;
    waits.then(|| source.key.clone())
}

fn from_snapshot(row: &ClaimRow) -> Option<Key> {
    source_of(row, DataSourceKind::Snapshot)
}

fn from_claim(row: &ClaimRow) -> Option<Key> {
    source_of(row, DataSourceKind::Claim)
}

fn of_class(row: &ClaimRow) -> Option<Key> {
    let waits = row.claim.phase == ClaimPhase::Pending;
    row.claim
        .class
        .as_deref()
        .filter(|_| waits)
        .map(Key::cluster)
}
