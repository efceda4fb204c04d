//! The caches of the controller, and whom a change in each of them wakes.

use std::sync::Arc;

use kube::Client;
use tintype_api::keys;
use tintype_core::object::{Class, Content, Key, Node, Snapshot, Volume};
use tintype_core::orphan;
use tintype_runtime::{Cache, Change, ClaimRow, Queue, Term, catch_up};

use crate::group_caches::GroupCaches;

/// Index of [`Caches::snapshots`]: by source claim.
pub(crate) const BY_CLAIM: usize = 0;
/// Index of [`Caches::snapshots`]: those that cannot go on, by what a change of it might cure.
pub(crate) const UNSETTLED: usize = 1;
/// Index of [`Caches::claims`]: unbound claims by the snapshot they are filled from.
pub(crate) const BY_SOURCE: usize = 0;
/// Index of [`Caches::claims`]: by volume.
pub(crate) const BY_VOLUME: usize = 1;
/// Index of [`Caches::classes`]: default classes by driver.
pub(crate) const DEFAULTS: usize = 0;
/// Index of [`Caches::snapshots`]: by the group snapshot they belong to.
pub(crate) const MEMBERS: usize = 2;
/// Index of [`Caches::snapshots`]: by source claim, those that are not ready, or are to go. Those
/// that are settled cost the others of their claim nothing (D16).
pub(crate) const OPEN_OF_CLAIM: usize = 3;
/// Index of [`Caches::claims`]: by namespace.
pub(crate) const CLAIMS_IN: usize = 2;
/// Index of [`Caches::claims`]: those with our finalizer, by namespace.
pub(crate) const HELD_IN: usize = 3;
/// Index of [`Caches::volumes`]: by driver and CSI id.
pub(crate) const BY_HANDLE: usize = 0;
/// Index of [`Caches::contents`]: by driver and the CSI id of their group snapshot.
pub(crate) const BY_GROUP_HANDLE: usize = 0;

/// Everything the controller watches.
#[derive(Debug)]
pub(crate) struct Caches {
    pub(crate) snapshots: Arc<Cache<Snapshot>>,
    pub(crate) contents: Arc<Cache<Content>>,
    pub(crate) classes: Arc<Cache<Class>>,
    pub(crate) claims: Arc<Cache<ClaimRow>>,
    pub(crate) volumes: Arc<Cache<Volume>>,
    /// Only with `--enable-distributed-snapshotting`.
    pub(crate) nodes: Option<Arc<Cache<Node>>>,
    /// Only with the gate `CSIVolumeGroupSnapshot`, and filled only where its kinds are served.
    pub(crate) groups: Option<Arc<GroupCaches>>,
}

/// Who is to be looked at: one queue for each machine.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    pub(crate) snapshots: Arc<Queue>,
    pub(crate) contents: Arc<Queue>,
    pub(crate) claims: Arc<Queue>,
    pub(crate) groups: Arc<Queue>,
}

impl Caches {
    pub(crate) fn new(distributed: bool, groups: bool) -> Arc<Self> {
        Arc::new(Self {
            snapshots: Cache::new(vec![
                Snapshot::claim_key,
                unsettled,
                Snapshot::group_key,
                open_of_claim,
            ]),
            contents: Cache::new(vec![group_handle]),
            classes: Cache::new(vec![default_of]),
            claims: Cache::new(vec![filled_from, volume_of, claim_namespace, held]),
            volumes: Cache::new(vec![volume_handle]),
            nodes: distributed.then(|| Cache::new(vec![])),
            groups: groups.then(|| Arc::new(GroupCaches::new())),
        })
    }

    /// Waits for all first lists.
    pub(crate) async fn synced(&self) {
        tokio::join!(
            self.snapshots.synced(),
            self.contents.synced(),
            self.classes.synced(),
            self.claims.synced(),
            self.volumes.synced(),
        );
        if let Some(nodes) = &self.nodes {
            nodes.synced().await;
        }
        if let Some(groups) = &self.groups {
            groups.synced().await;
        }
    }

    /// A claim is being filled from the snapshot.
    pub(crate) fn is_being_restored(&self, snapshot: &Snapshot) -> bool {
        let claims = self.claims.group(BY_SOURCE, &snapshot.meta.key);
        claims.iter().any(|it| snapshot.is_kept_by(&it.claim))
    }

    /// Who follows a leader reads everything past the watches, once: that one may have written what
    /// they have not told of yet.
    pub(crate) async fn catch_up(&self, term: &Term, client: &Client) {
        if !term.follows() {
            return;
        }
        let shutdown = term.end();
        let groups = async {
            if let Some(groups) = &self.groups {
                groups.catch_up(client, shutdown).await;
            }
        };
        tokio::join!(
            catch_up(client, &self.snapshots, None, shutdown),
            catch_up(client, &self.contents, None, shutdown),
            catch_up(client, &self.claims, None, shutdown),
            groups,
        );
    }

    /// From now on changes put keys into the queues.
    pub(crate) fn wake(self: &Arc<Self>, queues: &Queues) {
        self.snapshots_wake(queues);
        self.contents_wake(queues);
        self.claims_wake(queues);
        let (queue, caches) = (queues.snapshots.clone(), self.clone());
        self.classes
            .listen(move |_: &Change<Class>| caches.wake_unsettled(&queue));
        let (queue, caches) = (queues.snapshots.clone(), self.clone());
        self.volumes.listen(move |change| {
            for volume in change.rows() {
                let key = Key::cluster(volume.meta.key.name.clone());
                for row in caches.claims.group(BY_VOLUME, &key) {
                    caches.wake_waiting(&row.claim.meta.key, &queue);
                }
            }
        });
        if let Some(groups) = &self.groups {
            groups.wake(self, queues);
        }
        let Some(nodes) = &self.nodes else { return };
        let (queue, groups, caches) = (
            queues.snapshots.clone(),
            queues.groups.clone(),
            self.clone(),
        );
        nodes.listen(move |change| {
            let labels = |node: &Option<Arc<Node>>| node.as_ref().map(|it| it.labels.clone());
            // A node says how it is every few seconds; only where it stands matters here.
            if labels(&change.before) != labels(&change.after) {
                caches.wake_unsettled(&queue);
                if let Some(watched) = &caches.groups {
                    watched.wake_all_open(&groups);
                }
            }
        });
    }

    fn snapshots_wake(&self, queues: &Queues) {
        let to = (
            queues.snapshots.clone(),
            queues.contents.clone(),
            queues.claims.clone(),
        );
        self.snapshots.listen(move |change| {
            let (snapshots, contents, claims) = &to;
            for snapshot in change.rows() {
                snapshots.add(snapshot.meta.key.clone());
                // Whether the claim may go depends on its snapshots.
                if let Some(claim) = snapshot.claim_key() {
                    claims.add(claim);
                }
            }
            // A content that it left behind is on its own from now on.
            let gone = change.before.as_ref().filter(|_| change.after.is_none());
            if let Some(content) = gone.and_then(|it| it.content_name()) {
                contents.add(Key::cluster(content));
            }
        });
    }

    fn contents_wake(self: &Arc<Self>, queues: &Queues) {
        let to = (
            queues.snapshots.clone(),
            queues.contents.clone(),
            queues.claims.clone(),
        );
        let caches = self.clone();
        self.contents.listen(move |change| {
            let (snapshots, contents, claims) = &to;
            for content in change.rows() {
                let owner = &content.snapshot.key;
                snapshots.add(owner.clone());
                // A failed snapshot holds its claim while its content is marked.
                if let Some(snapshot) = caches.snapshots.get(owner).present()
                    && let Some(claim) = snapshot.claim_key()
                {
                    claims.add(claim);
                }
            }
            if let Some(content) = change.after.as_ref().filter(|it| orphan::concerns(it)) {
                contents.add(content.meta.key.clone());
            }
        });
    }

    fn claims_wake(self: &Arc<Self>, queues: &Queues) {
        let (queue, claim_queue) = (queues.snapshots.clone(), queues.claims.clone());
        let caches = self.clone();
        self.claims.listen(move |change| {
            for row in change.rows() {
                claim_queue.add(row.claim.meta.key.clone());
                caches.wake_waiting(&row.claim.meta.key, &queue);
                // A restore that ends lets its snapshot go.
                if let Some(source) = &row.claim.source {
                    queue.add(source.key.clone());
                }
            }
        });
    }

    /// Those of this claim that are not ready, or are to go.
    fn wake_waiting(&self, claim: &Key, queue: &Queue) {
        for snapshot in self.snapshots.group(OPEN_OF_CLAIM, claim) {
            queue.add(snapshot.meta.key.clone());
        }
    }

    fn wake_unsettled(&self, queue: &Queue) {
        for snapshot in self.snapshots.group(UNSETTLED, &Key::cluster("")) {
            queue.add(snapshot.meta.key.clone());
        }
    }
}

/// Not ready and not bound: a class, a claim or a volume may be what it lacks.
fn unsettled(snapshot: &Snapshot) -> Option<Key> {
    (snapshot.ready != Some(true) && snapshot.bound.is_none()).then(|| Key::cluster(""))
}

fn open_of_claim(snapshot: &Snapshot) -> Option<Key> {
    let open = snapshot.ready != Some(true) || snapshot.meta.deleting;
    snapshot.claim_key().filter(|_| open)
}

fn default_of(class: &Class) -> Option<Key> {
    class.default.then(|| Key::cluster(class.driver.as_ref()))
}

/// Only a claim that still waits for its volume holds its source (spec controller 2.9.2).
fn filled_from(row: &ClaimRow) -> Option<Key> {
    let source = row.claim.source.as_ref()?;
    let from_snapshot = source.kind == tintype_core::object::DataSourceKind::Snapshot;
    let pending = row.claim.phase == tintype_core::object::ClaimPhase::Pending;
    (from_snapshot && pending).then(|| source.key.clone())
}

/// A volume, snapshot or group snapshot on storage.
pub(crate) fn on_storage(driver: &str, handle: &str) -> Key {
    Key::cluster(format!("{driver}^{handle}"))
}

fn volume_handle(volume: &Volume) -> Option<Key> {
    let csi = volume.csi.as_ref()?;
    Some(on_storage(&csi.driver, &csi.handle))
}

fn group_handle(content: &Content) -> Option<Key> {
    let handle = content.status.as_ref()?.group_handle.as_deref()?;
    Some(on_storage(&content.driver, handle))
}

#[expect(clippy::unnecessary_wraps, reason = "an index may leave rows out")]
fn claim_namespace(row: &ClaimRow) -> Option<Key> {
    Some(Key::cluster(row.claim.meta.key.namespace.clone()))
}

fn held(row: &ClaimRow) -> Option<Key> {
    let meta = &row.claim.meta;
    let held = meta.has_finalizer(keys::FINALIZER_CLAIM_AS_SOURCE);
    held.then(|| Key::cluster(meta.key.namespace.clone()))
}

fn volume_of(row: &ClaimRow) -> Option<Key> {
    row.claim.volume.as_deref().map(Key::cluster)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tintype_runtime::Row as _;

    use super::*;

    fn snapshot(name: &str, ready: bool) -> Snapshot {
        let object = json!({
            "metadata": {"namespace": "ns", "name": name, "uid": name,
                "resourceVersion": if ready { "2" } else { "1" }},
            "spec": {"source": {"persistentVolumeClaimName": "data"}},
            "status": {"readyToUse": ready},
        });
        Snapshot::read_reply(object).unwrap()
    }

    fn claim(version: &str) -> ClaimRow {
        let metadata =
            json!({"namespace": "ns", "name": "data", "uid": "p", "resourceVersion": version});
        let object = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": metadata, "spec": {"volumeName": "pv"}, "status": {"phase": "Bound"}});
        ClaimRow::read_reply(object).unwrap()
    }

    /// D16: upstream goes through all snapshots of the namespace for each one of them.
    #[test]
    fn d16_settled_snapshots_of_a_claim_cost_the_others_nothing() {
        let caches = Caches::new(false, false);
        caches.claims.offer(claim("1"));
        for at in 0..1_000 {
            caches.snapshots.offer(snapshot(&format!("old-{at}"), true));
        }
        for name in ["new-1", "new-2"] {
            caches.snapshots.offer(snapshot(name, false));
        }
        let key = Key::namespaced("ns", "data");
        // What the guard of the claim looks through.
        assert_eq!(caches.snapshots.group(OPEN_OF_CLAIM, &key).len(), 2);
        let queues = Queues::default();
        caches.wake(&queues);
        caches.claims.offer(claim("2"));
        assert_eq!((queues.snapshots.len(), queues.claims.len()), (2, 1));
        // One more is ready: only it, and the claim it held, are looked at.
        let queues = Queues::default();
        caches.wake(&queues);
        caches.snapshots.offer(snapshot("new-1", true));
        assert_eq!((queues.snapshots.len(), queues.claims.len()), (1, 1));
    }
}
