//! Times how long snapshots and group snapshots take to be made and to go, from the changes of their
//! rows.

use std::sync::Arc;

use tintype_api::keys;
use tintype_core::object::{Group, Key, Meta, Snapshot, SnapshotSource, Uid};
use tintype_runtime::{Change, Operation, Operations, SnapshotType};

use crate::caches::Caches;

/// From now on; what is under way already counts from now (spec controller 2.14).
pub(crate) fn time(caches: &Arc<Caches>, operations: Arc<Operations>) {
    // The caches outlive their listeners; they do not hold each other.
    let weak = Arc::downgrade(caches);
    for snapshot in caches.snapshots.rows() {
        stands(&operations, &of_snapshot(caches, &snapshot));
    }
    let (to, all) = (operations.clone(), weak.clone());
    caches.snapshots.listen(move |change| {
        if let Some(caches) = all.upgrade() {
            changed(&to, change, |it| of_snapshot(&caches, it));
        }
    });
    let Some(groups) = &caches.groups else { return };
    for group in groups.groups.rows() {
        stands(&operations, &of_group(caches, &group));
    }
    groups.groups.listen(move |change| {
        if let Some(caches) = weak.upgrade() {
            changed(&operations, change, |it| of_group(&caches, it));
        }
    });
}

/// What there is to do for a snapshot, and for a group snapshot.
const SNAPSHOT: [Operation; 3] = [
    Operation::CreateSnapshot,
    Operation::CreateSnapshotAndReady,
    Operation::DeleteSnapshot,
];
const GROUP: [Operation; 3] = [
    Operation::CreateGroupSnapshot,
    Operation::CreateGroupSnapshotAndReady,
    Operation::DeleteGroupSnapshot,
];

/// How far a snapshot or a group snapshot is.
struct Standing {
    uid: Uid,
    /// To create it, to make it ready, to delete it.
    operations: [Operation; 3],
    kind: SnapshotType,
    driver: Option<String>,
    deleting: bool,
    /// Nothing but us is in the way of its going.
    may_go: bool,
    bound: bool,
    created: bool,
    ready: bool,
}

fn changed<T>(operations: &Operations, change: &Change<T>, of: impl Fn(&T) -> Standing) {
    let before = change.before.as_deref().map(&of);
    let after = change.after.as_deref().map(&of);
    let replaced = |before: &Standing| after.as_ref().is_none_or(|it| it.uid != before.uid);
    if let Some(gone) = before.filter(replaced) {
        let [_, _, deletion] = gone.operations;
        operations.succeeded(deletion, &gone.uid, gone.driver.as_deref());
        operations.forget(&gone.uid);
    }
    if let Some(after) = after {
        stands(operations, &after);
    }
}

/// Starts what has to be done, and ends what is done.
fn stands(operations: &Operations, it: &Standing) {
    let [create, and_ready, delete] = it.operations;
    let driver = it.driver.as_deref();
    if it.deleting {
        if it.may_go {
            operations.start(delete, &it.uid, it.kind, driver);
        }
    } else if !it.ready || !it.bound {
        if !it.created {
            operations.start(create, &it.uid, it.kind, driver);
        }
        if !it.ready {
            operations.start(and_ready, &it.uid, it.kind, driver);
        }
    }
    if it.created {
        operations.succeeded(create, &it.uid, driver);
    }
    if it.ready {
        operations.succeeded(and_ready, &it.uid, driver);
    }
}

fn of_snapshot(caches: &Caches, snapshot: &Snapshot) -> Standing {
    let kind = match snapshot.source {
        SnapshotSource::Content(_) => SnapshotType::PreProvisioned,
        SnapshotSource::Claim(_) | SnapshotSource::Neither | SnapshotSource::Both => {
            SnapshotType::Dynamic
        }
    };
    let ours = [
        keys::FINALIZER_SNAPSHOT_AS_SOURCE,
        keys::FINALIZER_SNAPSHOT_BOUND,
    ];
    Standing {
        uid: snapshot.meta.uid.clone(),
        operations: SNAPSHOT,
        kind,
        driver: driver(caches, snapshot),
        deleting: snapshot.meta.deleting,
        // One that a claim is filled from does not go yet.
        may_go: holds_one(&snapshot.meta, &ours) && !caches.is_being_restored(snapshot),
        bound: snapshot.bound.is_some(),
        created: snapshot.creation_time.is_some(),
        ready: snapshot.ready == Some(true),
    }
}

fn of_group(caches: &Caches, group: &Group) -> Standing {
    Standing {
        uid: group.meta.uid.clone(),
        operations: GROUP,
        kind: if group.dynamic() {
            SnapshotType::Dynamic
        } else {
            SnapshotType::PreProvisioned
        },
        driver: driver_of_group(caches, group),
        deleting: group.meta.deleting,
        may_go: holds_one(&group.meta, &[keys::FINALIZER_GROUP_SNAPSHOT_BOUND]),
        bound: group.bound.is_some(),
        created: group.creation_time.is_some(),
        ready: group.ready == Some(true),
    }
}

fn holds_one(meta: &Meta, finalizers: &[&str]) -> bool {
    finalizers.iter().any(|it| meta.has_finalizer(it))
}

/// The driver of the group content, else of the class.
fn driver_of_group(caches: &Caches, group: &Group) -> Option<String> {
    let groups = caches.groups.as_ref()?;
    if let Some(content) = groups.content_of(group).present() {
        return Some(content.driver.to_string());
    }
    let class = Key::cluster(group.class.as_deref()?);
    let class = groups.classes.get(&class);
    class.present().map(|it| it.0.driver.to_string())
}

/// The driver of the content, else of the class.
fn driver(caches: &Caches, snapshot: &Snapshot) -> Option<String> {
    let content = snapshot
        .content_name()
        .and_then(|name| caches.contents.get(&Key::cluster(name)).present().cloned());
    if let Some(content) = content {
        return Some(content.driver.to_string());
    }
    let class = caches
        .classes
        .get(&Key::cluster(snapshot.class.as_deref()?));
    class.present().map(|it| it.driver.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use serde_json::{Value, json};
    use tintype_core::object::{Class, Content, GroupClass};
    use tintype_runtime::{Metrics, Row as _};

    use super::*;

    fn snapshot(version: u32, deleting: bool, status: &Value) -> Snapshot {
        let deleted = deleting.then_some("2026-01-01T00:00:00Z");
        Snapshot::read_reply(json!({
            "metadata": {
                "namespace": "ns", "name": "snap", "uid": "u1",
                "resourceVersion": version.to_string(),
                "deletionTimestamp": deleted,
                "finalizers": [keys::FINALIZER_SNAPSHOT_AS_SOURCE],
            },
            "spec": {
                "source": {"persistentVolumeClaimName": "data"},
                "volumeSnapshotClassName": "fast",
            },
            "status": status,
        }))
        .unwrap()
    }

    fn caches() -> (Arc<Caches>, Metrics) {
        let caches = Caches::new(false, true);
        let class = json!({
            "metadata": {"name": "fast", "uid": "c1", "resourceVersion": "1"},
            "driver": "fast.csi", "deletionPolicy": "Delete",
        });
        caches.classes.offer(Class::read_reply(class).unwrap());
        caches.snapshots.sweep(&HashSet::new());
        let metrics = Metrics::new().unwrap();
        time(&caches, metrics.operations().unwrap());
        (caches, metrics)
    }

    #[track_caller]
    fn has(metrics: &Metrics, operation: &str, status: &str, seconds: u64) {
        let line = format!(
            "snapshot_controller_operation_total_seconds_sum{{driver_name=\"fast.csi\",operation_name=\"{operation}\",operation_status=\"{status}\",snapshot_type=\"dynamic\"}} {seconds}"
        );
        let text = metrics.text().unwrap();
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }

    fn in_flight(metrics: &Metrics) -> String {
        let text = metrics.text().unwrap();
        let name = "snapshot_controller_operations_in_flight ";
        let found = text.lines().find_map(|it| it.strip_prefix(name));
        found.unwrap().to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn a_snapshot_is_timed_from_first_sight_to_ready_and_gone() {
        let (caches, metrics) = caches();
        let later = |seconds| tokio::time::advance(Duration::from_secs(seconds));
        caches.snapshots.offer(snapshot(1, false, &json!(null)));
        later(2).await;
        let bound = json!({"boundVolumeSnapshotContentName": "c", "creationTime": "2026-01-01T00:00:00Z", "readyToUse": false});
        caches.snapshots.offer(snapshot(2, false, &bound));
        has(&metrics, "CreateSnapshot", "success", 2);
        assert_eq!(in_flight(&metrics), "1");
        later(3).await;
        let mut ready = bound;
        ready["readyToUse"] = true.into();
        caches.snapshots.offer(snapshot(3, false, &ready));
        has(&metrics, "CreateSnapshotAndReady", "success", 5);
        assert_eq!(in_flight(&metrics), "0");
        caches.snapshots.offer(snapshot(4, true, &ready));
        later(1).await;
        caches
            .snapshots
            .remove(&Key::namespaced("ns", "snap"), &Uid::parse("u1"));
        has(&metrics, "DeleteSnapshot", "success", 1);
        assert_eq!(in_flight(&metrics), "0");
    }

    #[tokio::test(start_paused = true)]
    async fn a_snapshot_deleted_before_it_is_ready_is_cancelled() {
        let (caches, metrics) = caches();
        caches.snapshots.offer(snapshot(1, false, &json!(null)));
        tokio::time::advance(Duration::from_secs(4)).await;
        caches.snapshots.offer(snapshot(2, true, &json!(null)));
        caches
            .snapshots
            .remove(&Key::namespaced("ns", "snap"), &Uid::parse("u1"));
        has(&metrics, "CreateSnapshot", "cancel", 4);
        has(&metrics, "CreateSnapshotAndReady", "cancel", 4);
        assert_eq!(in_flight(&metrics), "0");
    }

    #[tokio::test(start_paused = true)]
    async fn d19b_what_vanishes_unseen_is_no_longer_in_flight() {
        let (caches, metrics) = caches();
        caches.snapshots.offer(snapshot(1, false, &json!(null)));
        assert_eq!(in_flight(&metrics), "2");
        caches.snapshots.sweep(&HashSet::new());
        assert_eq!(in_flight(&metrics), "0");
        assert!(
            !metrics
                .text()
                .unwrap()
                .contains("operation_total_seconds_sum")
        );
    }

    fn group(version: u32, deleting: bool, status: &Value) -> Group {
        let deleted = deleting.then_some("2026-01-01T00:00:00Z");
        Group::read_reply(json!({
            "metadata": {
                "namespace": "ns", "name": "nightly", "uid": "g1",
                "resourceVersion": version.to_string(),
                "deletionTimestamp": deleted,
                "finalizers": [keys::FINALIZER_GROUP_SNAPSHOT_BOUND],
            },
            "spec": {
                "source": {"selector": {"matchLabels": {"tier": "db"}}},
                "volumeGroupSnapshotClassName": "fast",
            },
            "status": status,
        }))
        .unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn d22_a_group_is_timed_and_cancelled_as_a_snapshot_is() {
        let (caches, metrics) = caches();
        let groups = caches.groups.as_ref().unwrap();
        let class = json!({
            "metadata": {"name": "fast", "uid": "c2", "resourceVersion": "1"},
            "driver": "fast.csi", "deletionPolicy": "Delete",
        });
        groups.classes.offer(GroupClass::read_reply(class).unwrap());
        groups.groups.offer(group(1, false, &json!(null)));
        assert_eq!(in_flight(&metrics), "2");
        tokio::time::advance(Duration::from_secs(3)).await;
        let cut = json!({"creationTime": "2026-01-01T00:00:00Z", "readyToUse": false});
        groups.groups.offer(group(2, false, &cut));
        has(&metrics, "CreateGroupSnapshot", "success", 3);
        groups.groups.offer(group(3, true, &cut));
        tokio::time::advance(Duration::from_secs(1)).await;
        let key = Key::namespaced("ns", "nightly");
        groups.groups.remove(&key, &Uid::parse("g1"));
        has(&metrics, "DeleteGroupSnapshot", "success", 1);
        has(&metrics, "CreateGroupSnapshotAndReady", "cancel", 4);
        assert_eq!(in_flight(&metrics), "0");
    }

    /// A member names no class; its driver is that of its content.
    #[tokio::test(start_paused = true)]
    async fn d22_a_member_is_deleted_under_the_name_of_its_driver() {
        let (caches, metrics) = caches();
        let content = json!({
            "metadata": {"name": "snapcontent-1", "uid": "c3", "resourceVersion": "1"},
            "spec": {"driver": "fast.csi", "deletionPolicy": "Delete",
                "source": {"volumeHandle": "v"}, "volumeSnapshotRef": {}},
        });
        caches.contents.offer(Content::read_reply(content).unwrap());
        let member = |version: &str| {
            Snapshot::read_reply(json!({
                "metadata": {
                    "namespace": "ns", "name": "snapshot-1", "uid": "m1",
                    "resourceVersion": version,
                    "deletionTimestamp": "2026-01-01T00:00:00Z",
                    "finalizers": [keys::FINALIZER_SNAPSHOT_AS_SOURCE],
                },
                "spec": {"source": {"persistentVolumeClaimName": "data"}},
                "status": {"boundVolumeSnapshotContentName": "snapcontent-1"},
            }))
            .unwrap()
        };
        caches.snapshots.offer(member("1"));
        tokio::time::advance(Duration::from_secs(2)).await;
        caches
            .contents
            .remove(&Key::cluster("snapcontent-1"), &Uid::parse("c3"));
        let key = Key::namespaced("ns", "snapshot-1");
        caches.snapshots.remove(&key, &Uid::parse("m1"));
        has(&metrics, "DeleteSnapshot", "success", 2);
    }
}
