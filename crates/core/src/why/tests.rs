//! Asks why of documents as a server sends them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::claim::{Abilities, Memory, Settings, SourceSight};
use crate::object::{Claim, Class, Content, Snapshot, StorageClass};
use crate::pair::{self, ClassSight};
use crate::snapshot::Placement;
use crate::{Seen, Time};

fn read<O: serde::de::DeserializeOwned, R>(document: Value, of: fn(&O) -> R) -> Seen<Arc<R>> {
    Seen::Present(Arc::new(of(&serde_json::from_value(document).unwrap())))
}

fn class() -> Seen<Arc<Class>> {
    let class = json!({"metadata": {"name": "fast"}, "driver": "d", "deletionPolicy": "Delete"});
    read(class, Class::of)
}

fn snapshot_of(status: &Value) -> snapshot::Sighting {
    let protected = [
        "snapshot.storage.kubernetes.io/volumesnapshot-as-source-protection",
        "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection",
    ];
    let document = json!({"metadata": {"namespace": "db", "name": "nightly", "uid": "u",
            "finalizers": protected},
        "spec": {"source": {"persistentVolumeClaimName": "data"},
            "volumeSnapshotClassName": "fast"}, "status": status});
    snapshot::Sighting {
        snapshot: read(document, Snapshot::of),
        fresh: true,
        content: Seen::Absent,
        looked_up: true,
        class: ClassSight::Named(class()),
        claim: Seen::Absent,
        volume: Seen::Absent,
        group_key: None,
        group: Seen::Absent,
        being_restored: false,
        keep_mode: true,
        placement: Placement::Anywhere,
        memory: pair::Memory::default(),
    }
}

fn content_of(status: &Value) -> content::Sighting {
    let document = json!({"metadata": {"name": "content", "uid": "c",
            "finalizers": ["snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection"]},
        "spec": {"driver": "d", "deletionPolicy": "Delete", "volumeSnapshotClassName": "fast",
            "source": {"volumeHandle": "v"},
            "volumeSnapshotRef": {"namespace": "db", "name": "nightly", "uid": "u"}},
        "status": status});
    content::Sighting {
        content: read(document, Content::of),
        class: Some(class()),
        driver: "d".into(),
        memory: content::Memory::default(),
        now: Time(0),
    }
}

fn claim_of(class: Seen<Arc<StorageClass>>) -> claim::Sighting {
    let document = json!({"metadata": {"namespace": "db", "name": "data", "uid": "p",
            "annotations": {"volume.kubernetes.io/storage-provisioner": "d"}},
        "spec": {"storageClassName": "fast", "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}}}, "status": {"phase": "Pending"}});
    let mut settings = Settings::new("d");
    settings.abilities = Abilities::default();
    claim::Sighting {
        claim: read(document, Claim::of),
        annotations: BTreeMap::new(),
        class,
        attributes: Seen::Absent,
        volume: Seen::Absent,
        source: SourceSight::None,
        grants: Vec::new(),
        nodes: Arc::new([]),
        settings: Arc::new(settings),
        memory: Memory::default(),
        now: Time(0),
    }
}

#[track_caller]
fn stuck(answer: &Answer, words: &str) {
    assert!(
        matches!(answer, Answer::Stuck(it) if it.contains(words)),
        "{answer:?}"
    );
}

#[track_caller]
fn waits(answer: &Answer, words: &str) {
    assert!(
        matches!(answer, Answer::Waits(it) if it.contains(words)),
        "{answer:?}"
    );
}

#[test]
fn a_snapshot_without_its_claim_says_so() {
    stuck(
        &snapshot(&snapshot_of(&Value::Null)),
        "PersistentVolumeClaim",
    );
    let bound = json!({"boundVolumeSnapshotContentName": "content", "readyToUse": false});
    let mut seen = snapshot_of(&bound);
    stuck(&snapshot(&seen), "content");
    seen.snapshot = Seen::Absent;
    assert_eq!(snapshot(&seen), Answer::Well);
}

#[test]
fn a_content_says_what_the_driver_said() {
    let failed = json!({"error": {"message": "the disk is on fire"}});
    stuck(&content(&content_of(&failed)), "the disk is on fire");
    waits(
        &content(&content_of(&Value::Null)),
        "csi-snapshotter of driver d",
    );
    let ready = json!({"snapshotHandle": "s", "readyToUse": true});
    assert_eq!(content(&content_of(&ready)), Answer::Well);
    let mut seen = content_of(&Value::Null);
    seen.class = Some(Seen::Absent);
    stuck(
        &content(&seen),
        "VolumeSnapshotClass \"fast\" does not exist",
    );
}

#[test]
fn a_claim_says_what_its_provisioner_would() {
    stuck(
        &claim(&claim_of(Seen::Absent), None),
        "StorageClass \"fast\" does not exist",
    );
    let class = |mode: &str| {
        let class = json!({"metadata": {"name": "fast"}, "provisioner": "d",
            "volumeBindingMode": mode});
        read(class, StorageClass::of)
    };
    let late = claim_of(class("WaitForFirstConsumer"));
    waits(&claim(&late, None), "once a pod");
    let now = claim_of(class("Immediate"));
    waits(&claim(&now, None), "csi-provisioner of driver d");
    stuck(&claim(&now, Some("the disk is on fire")), "on fire");
    // What was said before it was made to wait for a pod helps nobody now.
    waits(&claim(&late, Some("the disk is on fire")), "once a pod");
}
