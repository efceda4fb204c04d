//! The caches of the provisioner, and whom a change in each of them wakes.

use std::sync::Arc;

use kube::Client;
use tintype_core::object::{ClaimPhase, DataSourceKind, Key, Snapshot, StorageClass, Volume};
use tintype_runtime::{Cache, Change, ClaimRow, Queue, Tasks, watch};
use tokio_util::sync::CancellationToken;

use super::capacities::Stir;
use super::places::Places;
use super::rows::{AttachmentRow, GrantRow, NodeRow};
use super::setup::filled_soon;

/// Index of [`Caches::claims`]: unbound claims by the snapshot they are filled from.
pub(super) const BY_SNAPSHOT: usize = 0;
/// Index of [`Caches::claims`]: unbound claims by the claim they are filled from.
pub(super) const BY_CLAIM: usize = 1;
/// Index of [`Caches::claims`]: unbound claims by storage class.
const BY_CLASS: usize = 2;
/// Index of [`Caches::claims`]: all unbound claims, under one key.
const UNBOUND: usize = 3;
/// Index of [`Caches::volumes`]: by the driver's handle.
pub(super) const BY_HANDLE: usize = 0;
/// Index of [`Caches::classes`]: by `provisioner`.
pub(super) const BY_DRIVER: usize = 0;
/// Index of [`Caches::grants`]: by namespace.
pub(super) const BY_NAMESPACE: usize = 0;
/// Index of [`Caches::attachments`]: by volume.
pub(super) const BY_VOLUME: usize = 0;

/// Everything the provisioner watches. Contents are read when needed: upstream's rights give no
/// watch on them.
#[derive(Debug)]
pub(super) struct Caches {
    pub(super) claims: Arc<Cache<ClaimRow>>,
    pub(super) volumes: Arc<Cache<Volume>>,
    pub(super) classes: Arc<Cache<StorageClass>>,
    pub(super) snapshots: Arc<Cache<Snapshot>>,
    pub(super) places: Places,
    /// Only for a driver that attaches.
    pub(super) attachments: Option<Arc<Cache<AttachmentRow>>>,
    /// Only with the gate for sources in other namespaces.
    pub(super) grants: Option<Arc<Cache<GrantRow>>>,
}

/// One queue per machine.
#[derive(Debug, Default)]
pub(super) struct Queues {
    pub(super) claims: Arc<Queue>,
    pub(super) volumes: Arc<Queue>,
    pub(super) snapshots: Arc<Queue>,
    pub(super) sources: Arc<Queue>,
}

/// What is watched besides what is always.
#[derive(Debug)]
pub(super) struct Also {
    pub(super) places: Places,
    pub(super) attachments: bool,
    pub(super) grants: bool,
}

impl Caches {
    pub(super) fn new(also: Also) -> Arc<Self> {
        let claims = Cache::new(vec![from_snapshot, from_claim, of_class, unbound]);
        let attachments = || Cache::<AttachmentRow>::new(vec![|it| it.volume.clone()]);
        let grants = || {
            Cache::<GrantRow>::new(vec![|it| {
                Some(Key::cluster(it.grant.key.namespace.clone()))
            }])
        };
        Arc::new(Self {
            claims,
            volumes: Cache::new(vec![by_handle]),
            classes: Cache::new(vec![|it| Some(Key::cluster(it.provisioner.as_ref()))]),
            snapshots: Cache::new(vec![]),
            places: also.places,
            attachments: also.attachments.then(attachments),
            grants: also.grants.then(grants),
        })
    }

    /// Starts the watches.
    pub(super) fn watch(&self, client: &Client, shutdown: &CancellationToken) -> Tasks {
        let mut tasks = Tasks::default();
        watch(&mut tasks, client, &self.claims, shutdown);
        watch(&mut tasks, client, &self.volumes, shutdown);
        watch(&mut tasks, client, &self.classes, shutdown);
        watch(&mut tasks, client, &self.snapshots, shutdown);
        if let Places::Watched(places) = &self.places {
            watch(&mut tasks, client, &places.nodes, shutdown);
            watch(&mut tasks, client, &places.csi_nodes, shutdown);
        }
        if let Some(attachments) = &self.attachments {
            watch(&mut tasks, client, attachments, shutdown);
        }
        if let Some(grants) = &self.grants {
            watch(&mut tasks, client, grants, shutdown);
        }
        tasks
    }

    pub(super) async fn synced(&self) {
        tokio::join!(
            self.claims.synced(),
            self.volumes.synced(),
            self.classes.synced(),
            filled_soon("VolumeSnapshots", self.snapshots.synced()),
        );
        if let Places::Watched(places) = &self.places {
            tokio::join!(places.nodes.synced(), places.csi_nodes.synced());
        }
        if let Some(attachments) = &self.attachments {
            attachments.synced().await;
        }
        if let Some(grants) = &self.grants {
            filled_soon("ReferenceGrants", grants.synced()).await;
        }
    }

    pub(super) fn wake(self: &Arc<Self>, queues: &Queues) {
        self.wake_for_claims(queues);
        self.wake_for_sources(queues);
        self.wake_for_places(queues);
    }

    fn wake_for_claims(self: &Arc<Self>, queues: &Queues) {
        let (claims, sources, snapshots) = (
            queues.claims.clone(),
            queues.sources.clone(),
            queues.snapshots.clone(),
        );
        let caches = Arc::downgrade(self);
        self.claims.listen(move |change| {
            let Some(caches) = caches.upgrade() else {
                return;
            };
            for row in change.rows() {
                let key = &row.claim.meta.key;
                claims.add(key.clone());
                sources.add(key.clone());
                for copy in caches.claims.group(BY_CLAIM, key) {
                    claims.add(copy.claim.meta.key.clone());
                }
                match &row.claim.source {
                    Some(it) if it.kind == DataSourceKind::Snapshot => {
                        snapshots.add(it.key.clone());
                    }
                    Some(it) if it.kind == DataSourceKind::Claim => sources.add(it.key.clone()),
                    Some(_) | None => {}
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
    }

    fn wake_for_sources(self: &Arc<Self>, queues: &Queues) {
        let (claims, caches) = (queues.claims.clone(), Arc::downgrade(self));
        self.classes.listen(move |change| {
            let Some(caches) = caches.upgrade() else {
                return;
            };
            for class in change.rows() {
                for row in caches.claims.group(BY_CLASS, &class.meta.key) {
                    claims.add(row.claim.meta.key.clone());
                }
            }
        });
        let (claims, snapshots) = (queues.claims.clone(), queues.snapshots.clone());
        let caches = Arc::downgrade(self);
        self.snapshots.listen(move |change| {
            let Some(caches) = caches.upgrade() else {
                return;
            };
            for snapshot in change.rows() {
                snapshots.add(snapshot.meta.key.clone());
                for row in caches.claims.group(BY_SNAPSHOT, &snapshot.meta.key) {
                    claims.add(row.claim.meta.key.clone());
                }
            }
        });
        if let Some(grants) = &self.grants {
            let wake = self.wake_unbound(queues);
            grants.listen(move |_| wake());
        }
    }

    fn wake_for_places(self: &Arc<Self>, queues: &Queues) {
        if let Some(attachments) = &self.attachments {
            let volumes = queues.volumes.clone();
            attachments.listen(move |change| {
                for volume in change.rows().filter_map(|it| it.volume.clone()) {
                    volumes.add(volume);
                }
            });
        }
        let Places::Watched(places) = &self.places else {
            return;
        };
        let (wake, caches) = (self.wake_unbound(queues), Arc::downgrade(self));
        let changed = Arc::new(move || {
            if let Some(caches) = caches.upgrade() {
                if let Places::Watched(places) = &caches.places {
                    places.changed();
                }
                wake();
            }
        });
        let tell = changed.clone();
        places.nodes.listen(move |change| {
            if labels_changed(change) {
                tell();
            }
        });
        places.csi_nodes.listen(move |_| changed());
    }

    /// Classes and nodes say where room is to be told of.
    pub(super) fn wake_for_room(&self, stir: &Arc<Stir>) {
        let news = stir.clone();
        self.classes.listen(move |_| news.places());
        if let Places::Watched(places) = &self.places {
            let news = stir.clone();
            places.nodes.listen(move |change| {
                if labels_changed(change) {
                    news.places();
                }
            });
            let news = stir.clone();
            places.csi_nodes.listen(move |_| news.places());
        }
    }

    /// Every claim without a volume is looked at again.
    fn wake_unbound(self: &Arc<Self>, queues: &Queues) -> impl Fn() + Send + Sync + use<> {
        let (claims, caches) = (queues.claims.clone(), Arc::downgrade(self));
        move || {
            if let Some(caches) = caches.upgrade() {
                for row in caches.claims.group(UNBOUND, &Key::cluster("")) {
                    claims.add(row.claim.meta.key.clone());
                }
            }
        }
    }
}

/// A node says every few minutes that it is there; only its labels matter here.
fn labels_changed(change: &Change<NodeRow>) -> bool {
    let labels = |it: &Option<Arc<NodeRow>>| it.as_ref().map(|it| it.labels.clone());
    labels(&change.before) != labels(&change.after)
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

fn unbound(row: &ClaimRow) -> Option<Key> {
    let waits = row.claim.phase == ClaimPhase::Pending && row.claim.volume.is_none();
    waits.then(|| Key::cluster(""))
}

fn by_handle(volume: &Volume) -> Option<Key> {
    volume
        .csi
        .as_ref()
        .map(|it| Key::cluster(it.handle.as_ref()))
}
