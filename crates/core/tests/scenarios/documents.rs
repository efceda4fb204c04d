//! Documents that are in order, and patches of them.

use std::borrow::Borrow;

use serde_json::{Value, json};
use tintype_api::keys;

pub(crate) const UID: &str = "0b6fd1ab-5a5c-4d4e-9d41-2f4f7d0d6f5e";
pub(crate) const OTHER: &str = "ffffffff-5a5c-4d4e-9d41-2f4f7d0d6f5e";
pub(crate) const CONTENT: &str = "snapcontent-0b6fd1ab-5a5c-4d4e-9d41-2f4f7d0d6f5e";
pub(crate) const DRIVER: &str = "csi.example";

/// Puts `patch` over `document`, as a merge patch does.
pub(crate) fn with(mut document: Value, patch: impl Borrow<Value>) -> Value {
    json_patch::merge(&mut document, patch.borrow());
    document
}

/// Protected, of a claim, with a class, and without a status.
pub(crate) fn snapshot(patch: Value) -> Value {
    let document = json!({
        "metadata": {"namespace": "ns", "name": "monday", "uid": UID, "finalizers": [
            keys::FINALIZER_SNAPSHOT_AS_SOURCE, keys::FINALIZER_SNAPSHOT_BOUND]},
        "spec": {"source": {"persistentVolumeClaimName": "data"}, "volumeSnapshotClassName": "gold"},
    });
    with(document, patch)
}

/// The same of a content.
pub(crate) fn imported_snapshot(patch: Value) -> Value {
    let source = json!({"spec": {"source": {
        "persistentVolumeClaimName": null, "volumeSnapshotContentName": CONTENT}}});
    with(snapshot(source), patch)
}

/// Of a volume, protected, bound, and without a status.
pub(crate) fn content(patch: Value) -> Value {
    let document = json!({
        "metadata": {"name": CONTENT, "uid": "c", "finalizers": [keys::FINALIZER_CONTENT]},
        "spec": {"deletionPolicy": "Delete", "driver": DRIVER, "source": {"volumeHandle": "vol-1"},
            "volumeSnapshotClassName": "gold",
            "volumeSnapshotRef": {"namespace": "ns", "name": "monday", "uid": UID}},
    });
    with(document, patch)
}

/// The same of a snapshot that was there first.
pub(crate) fn imported_content(patch: Value) -> Value {
    let source = json!({"spec": {"source": {"volumeHandle": null, "snapshotHandle": "snap-1"}}});
    with(content(source), patch)
}

pub(crate) fn class(name: &str, patch: Value) -> Value {
    let document = json!({"metadata": {"name": name, "resourceVersion": "1"},
        "driver": DRIVER, "deletionPolicy": "Delete"});
    with(document, patch)
}

pub(crate) fn claim(patch: Value) -> Value {
    let document = json!({
        "metadata": {"namespace": "ns", "name": "data", "uid": "p"},
        "spec": {"volumeName": "pv"}, "status": {"phase": "Bound"},
    });
    with(document, patch)
}

pub(crate) fn volume() -> Value {
    json!({"metadata": {"name": "pv", "uid": "v", "resourceVersion": "1"}, "spec": {
        "claimRef": {"namespace": "ns", "name": "data", "uid": "p"},
        "csi": {"driver": DRIVER, "volumeHandle": "vol-1"}}})
}

/// `status` of a content the driver has made.
pub(crate) fn made() -> Value {
    json!({"status": {"snapshotHandle": "snap-1", "creationTime": 1_800_000_000_000_000_000_i64,
        "restoreSize": 1_048_576, "readyToUse": true}})
}

/// `status` of a snapshot that says all of it.
pub(crate) fn ready() -> Value {
    json!({"status": {"boundVolumeSnapshotContentName": CONTENT, "readyToUse": true,
        "creationTime": "2027-01-15T08:00:00Z", "restoreSize": "1Mi"}})
}

pub(crate) fn deleted() -> Value {
    json!({"metadata": {"deletionTimestamp": "2027-01-15T08:00:00Z"}})
}

/// `deleted`, and the snapshot asked for it.
pub(crate) fn going() -> Value {
    with(
        deleted(),
        json!({"metadata": {"annotations": {keys::ANNOTATION_BEING_DELETED: "yes"}}}),
    )
}
