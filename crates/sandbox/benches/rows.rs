//! Counts the heap that one cached snapshot and one cached content take, key and indexes included.
//!
//! Counts what is asked of the allocator, so that the figure is the same on every machine. Prints
//! one line of JSON. Knows the caches and nothing of who fills them.
#![expect(
    clippy::print_stdout,
    reason = "a measurement tells its figure on the terminal"
)]

use std::sync::Arc;

use peak_alloc::PeakAlloc;
use serde_json::{Value, json};
use tintype_core::object::{Content, Key, Snapshot};
use tintype_runtime::{Cache, Row};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Enough that what is there once does not count; hash tables are then 61 % full.
const ROWS: usize = 20_000;
const CLAIMS: usize = 1_000;

fn main() -> anyhow::Result<()> {
    // As in the controller: by claim, and those that cannot go on.
    let snapshots = Cache::<Snapshot>::new(vec![Snapshot::claim_key, unsettled]);
    let snapshot = heap_of_one(&snapshots, snapshot)?;
    let content = heap_of_one(&Cache::<Content>::new(vec![]), content)?;
    println!(
        "{}",
        json!({"rows": ROWS, "snapshot_bytes": snapshot, "content_bytes": content})
    );
    Ok(())
}

fn heap_of_one<R: Row>(cache: &Arc<Cache<R>>, object: fn(usize) -> Value) -> anyhow::Result<usize> {
    let before = HEAP.current_usage();
    for number in 0..ROWS {
        cache.offer(R::read_reply(object(number))?);
    }
    anyhow::ensure!(
        cache.len() == ROWS,
        "{} of {ROWS} rows are there",
        cache.len()
    );
    Ok(HEAP.current_usage().saturating_sub(before) / ROWS)
}

fn unsettled(snapshot: &Snapshot) -> Option<Key> {
    (snapshot.ready != Some(true) && snapshot.bound.is_none()).then(|| Key::cluster(""))
}

fn uid(number: usize) -> String {
    format!("0b6fd1ab-5a5c-4d4e-9d41-{number:012x}")
}

/// As large as those of a nightly schedule in a real cluster.
fn snapshot(number: usize) -> Value {
    json!({
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshot",
        "metadata": {
            "namespace": "production",
            "name": format!("postgres-data-0-nightly-20260101-{number:06}"),
            "uid": uid(number),
            "resourceVersion": (1_000_000 + number).to_string(),
            "generation": 1,
            "creationTimestamp": "2026-01-01T03:00:00Z",
            "labels": {"app.kubernetes.io/name": "postgres", "schedule": "nightly"},
            "finalizers": [
                "snapshot.storage.kubernetes.io/volumesnapshot-as-source-protection",
                "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection"
            ]
        },
        "spec": {
            "volumeSnapshotClassName": "csi-hostpath-snapclass",
            "source": {"persistentVolumeClaimName": format!("postgres-data-{}", number % CLAIMS)}
        },
        "status": {
            "boundVolumeSnapshotContentName": format!("snapcontent-{}", uid(number)),
            "creationTime": "2026-01-01T03:00:01Z",
            "readyToUse": true,
            "restoreSize": "10Gi"
        }
    })
}

fn content(number: usize) -> Value {
    json!({
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshotContent",
        "metadata": {
            "name": format!("snapcontent-{}", uid(number)),
            "uid": uid(number + ROWS),
            "resourceVersion": (2_000_000 + number).to_string(),
            "generation": 1,
            "creationTimestamp": "2026-01-01T03:00:00Z",
            "finalizers": ["snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection"]
        },
        "spec": {
            "deletionPolicy": "Delete",
            "driver": "hostpath.csi.k8s.io",
            "source": {"volumeHandle": format!("pvc-{}", uid(number % CLAIMS))},
            "sourceVolumeMode": "Filesystem",
            "volumeSnapshotClassName": "csi-hostpath-snapclass",
            "volumeSnapshotRef": {
                "apiVersion": "snapshot.storage.k8s.io/v1",
                "kind": "VolumeSnapshot",
                "namespace": "production",
                "name": format!("postgres-data-0-nightly-20260101-{number:06}"),
                "uid": uid(number),
                "resourceVersion": "999999"
            }
        },
        "status": {
            "snapshotHandle": format!("snapshot-{}", uid(number)),
            "creationTime": 1_767_236_401_000_000_000_i64,
            "readyToUse": true,
            "restoreSize": 10_737_418_240_i64
        }
    })
}
