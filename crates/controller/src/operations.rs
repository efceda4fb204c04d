//! Times how long snapshots take to be made and to go, from the changes of their rows.

use std::sync::Arc;

use tintype_api::keys;
use tintype_core::object::{Key, Snapshot, SnapshotSource};
use tintype_runtime::{Change, Operation, Operations, SnapshotType};

use crate::caches::{BY_SOURCE, Caches};

/// From now on; what is under way already counts from now (spec controller 2.14).
pub(crate) fn time(caches: &Arc<Caches>, operations: Arc<Operations>) {
    for snapshot in caches.snapshots.rows() {
        stands(caches, &operations, &snapshot);
    }
    // The caches outlive their listeners; they do not hold each other.
    let weak = Arc::downgrade(caches);
    caches.snapshots.listen(move |change| {
        if let Some(caches) = weak.upgrade() {
            changed(&caches, &operations, change);
        }
    });
}

fn changed(caches: &Caches, operations: &Operations, change: &Change<Snapshot>) {
    let Change { before, after } = change;
    let replaced = |before: &&Arc<Snapshot>| {
        after
            .as_ref()
            .is_none_or(|after| after.meta.uid != before.meta.uid)
    };
    if let Some(gone) = before.as_ref().filter(replaced) {
        let uid = &gone.meta.uid;
        let driver = driver(caches, gone);
        operations.succeeded(Operation::DeleteSnapshot, uid, driver.as_deref());
        operations.forget(uid);
    }
    if let Some(after) = after {
        stands(caches, operations, after);
    }
}

/// Starts what has to be done for the snapshot, and ends what is done.
fn stands(caches: &Caches, operations: &Operations, snapshot: &Snapshot) {
    let uid = &snapshot.meta.uid;
    let kind = match snapshot.source {
        SnapshotSource::Content(_) => SnapshotType::PreProvisioned,
        SnapshotSource::Claim(_) | SnapshotSource::Neither | SnapshotSource::Both => {
            SnapshotType::Dynamic
        }
    };
    let created = snapshot.creation_time.is_some();
    let ready = snapshot.ready == Some(true);
    let driver = driver(caches, snapshot);
    let driver = driver.as_deref();
    if snapshot.meta.deleting {
        // One that a claim is filled from does not go yet.
        let restored = !caches
            .claims
            .group(BY_SOURCE, &snapshot.meta.key)
            .is_empty();
        let ours = [
            keys::FINALIZER_SNAPSHOT_AS_SOURCE,
            keys::FINALIZER_SNAPSHOT_BOUND,
        ];
        if !restored && ours.iter().any(|it| snapshot.meta.has_finalizer(it)) {
            operations.start(Operation::DeleteSnapshot, uid, kind, driver);
        }
    } else if !ready || snapshot.bound.is_none() {
        if !created {
            operations.start(Operation::CreateSnapshot, uid, kind, driver);
        }
        if !ready {
            operations.start(Operation::CreateSnapshotAndReady, uid, kind, driver);
        }
    }
    if created {
        operations.succeeded(Operation::CreateSnapshot, uid, driver);
    }
    if ready {
        operations.succeeded(Operation::CreateSnapshotAndReady, uid, driver);
    }
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
    use tintype_core::object::{Class, Uid};
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
        let caches = Caches::new(false, false);
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
}
