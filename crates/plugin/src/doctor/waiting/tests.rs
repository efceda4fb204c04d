//! Asks about objects that wait, as a server sends them.

use serde_json::{Value, json};
use tintype_core::claim::Grant;

use super::*;
use crate::doctor::cluster::Listed;
use crate::doctor::rig::{cluster, read};

fn claim(name: &str, more: &Value) -> Value {
    let mut claim = json!({"metadata": {"namespace": "db", "name": name, "uid": name,
            "labels": {"app": "db"}},
        "spec": {"storageClassName": "fast", "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}}}, "status": {"phase": "Pending"}});
    for (field, value) in more.as_object().into_iter().flatten() {
        claim["spec"][field] = value.clone();
    }
    claim
}

/// Bound to a volume of driver `d`.
fn bound(cluster: &mut Cluster, name: &str) {
    let mut document = claim(name, &json!({"volumeName": name}));
    document["status"]["phase"] = "Bound".into();
    cluster.claims.items.push(read(document));
    cluster.volumes.items.push(read(
        json!({"metadata": {"name": name, "uid": name}, "spec": {
            "claimRef": {"namespace": "db", "name": name, "uid": name},
            "storageClassName": "fast", "csi": {"driver": "d", "volumeHandle": name}}}),
    ));
}

fn restore() -> Value {
    json!({"dataSource": {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot",
        "name": "nightly"}})
}

fn snapshot(status: &Value) -> Value {
    json!({"metadata": {"namespace": "db", "name": "nightly", "uid": "s"},
        "spec": {"source": {"persistentVolumeClaimName": "data"},
            "volumeSnapshotClassName": "one"}, "status": status})
}

#[track_caller]
fn finds(cluster: &Cluster, state: State, object: &str, words: &str) {
    let found = all(cluster);
    let hit = |it: &Finding| it.state == state && it.object == object && it.says.contains(words);
    assert!(found.iter().any(hit), "{found:?}");
}

const COPY: &str = "PersistentVolumeClaim db/copy";

#[test]
fn a_restore_says_what_its_snapshot_lacks() {
    let mut cluster = cluster();
    cluster.claims.items.push(read(claim("copy", &restore())));
    let missing = "VolumeSnapshot db/nightly does not exist";
    finds(&cluster, State::Wrong, COPY, missing);
    bound(&mut cluster, "data");
    let status = json!({"boundVolumeSnapshotContentName": "c", "readyToUse": false});
    cluster.snapshots.items = vec![read(snapshot(&status))];
    let content = json!({"metadata": {"name": "c", "uid": "c"}, "spec": {"driver": "d",
        "deletionPolicy": "Delete", "volumeSnapshotClassName": "one",
        "source": {"volumeHandle": "data"},
        "volumeSnapshotRef": {"namespace": "db", "name": "nightly", "uid": "s"}},
        "status": {"error": {"message": "the disk is on fire"}}});
    cluster.contents.items = vec![read(content)];
    // It becomes ready by itself, or says itself why it does not.
    finds(&cluster, State::Look, COPY, "not ready to use yet");
    let content = "VolumeSnapshotContent c";
    finds(&cluster, State::Wrong, content, "the disk is on fire");
}

#[test]
fn a_claim_says_what_its_provisioner_said_last() {
    let mut cluster = cluster();
    cluster.claims.items.push(read(claim("copy", &json!({}))));
    finds(
        &cluster,
        State::Look,
        COPY,
        "the csi-provisioner of driver d goes on",
    );
    let told = ("copy".to_owned(), "the disk is on fire".to_owned());
    cluster.warnings.extend([told]);
    finds(&cluster, State::Wrong, COPY, "the disk is on fire");
    let late = json!({"metadata": {"name": "fast"}, "provisioner": "d",
        "volumeBindingMode": "WaitForFirstConsumer"});
    cluster.storage_classes.items = vec![read(late)];
    finds(
        &cluster,
        State::Look,
        COPY,
        "once a pod that uses it is placed",
    );
}

#[test]
fn what_may_not_be_read_is_no_cause() {
    let mut cluster = cluster();
    cluster.claims.items.push(read(claim("copy", &restore())));
    cluster.storage_classes = Listed {
        items: Vec::new(),
        whole: false,
    };
    finds(&cluster, State::Look, COPY, "could be read");
    let error = json!({"error": {"message": "the disk is on fire"},
        "boundVolumeSnapshotContentName": "c"});
    cluster.snapshots.items = vec![read(snapshot(&error))];
    cluster.contents.whole = false;
    let object = "VolumeSnapshot db/nightly";
    finds(&cluster, State::Wrong, object, "the disk is on fire");
}

#[test]
fn a_source_of_another_namespace_needs_a_grant() {
    let mut cluster = cluster();
    let source = json!({"dataSourceRef": {"apiGroup": "snapshot.storage.k8s.io",
        "kind": "VolumeSnapshot", "namespace": "prod", "name": "nightly"}});
    cluster.claims.items.push(read(claim("copy", &source)));
    finds(&cluster, State::Wrong, COPY, "no ReferenceGrant");
    let grant = json!({"from": [{"kind": "PersistentVolumeClaim", "namespace": "db"}],
        "to": [{"group": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot"}]});
    let key = Key::namespaced("prod", "to-db");
    cluster.grants.items.push(Grant::of(key, &grant));
    let missing = "VolumeSnapshot prod/nightly does not exist";
    finds(&cluster, State::Wrong, COPY, missing);
}

const GROUP: &str = "VolumeGroupSnapshot db/all";

#[test]
fn a_group_names_the_claim_or_the_member_that_holds_it_up() {
    let mut cluster = cluster();
    let class =
        json!({"metadata": {"name": "together"}, "driver": "d", "deletionPolicy": "Delete"});
    cluster.group_classes.items.push(read(class));
    let uid = "0b6fd1ab-5a5c-4d4e-9d41-2f4f7d0d6f5e";
    let mut group = json!({"metadata": {"namespace": "db", "name": "all", "uid": uid,
            "finalizers": ["groupsnapshot.storage.kubernetes.io/volumegroupsnapshot-bound-protection"]},
        "spec": {"source": {"selector": {"matchLabels": {"app": "db"}}},
            "volumeGroupSnapshotClassName": "together"}});
    cluster.groups.items = vec![read(group.clone())];
    finds(&cluster, State::Wrong, GROUP, "no PersistentVolumeClaim");
    bound(&mut cluster, "data");
    cluster.claims.items.push(read(claim("wal", &json!({}))));
    finds(
        &cluster,
        State::Wrong,
        GROUP,
        "PersistentVolumeClaims wal have no volume yet",
    );
    cluster.claims.items.pop();
    bound(&mut cluster, "wal");

    let name = format!("groupsnapcontent-{uid}");
    group["status"] = json!({"boundVolumeGroupSnapshotContentName": name});
    cluster.groups.items = vec![read(group)];
    let content = |status: &Value| {
        read(json!({"metadata": {"name": name, "uid": "g"},
        "spec": {"driver": "d", "deletionPolicy": "Delete",
            "volumeGroupSnapshotClassName": "together",
            "source": {"volumeHandles": ["data", "wal"]},
            "volumeGroupSnapshotRef": {"namespace": "db", "name": "all", "uid": uid}},
        "status": status}))
    };
    let failed = json!({"error": {"message": "the disk is on fire"}});
    cluster.group_contents.items = vec![content(&failed)];
    let object = format!("VolumeGroupSnapshotContent {name}");
    finds(&cluster, State::Wrong, &object, "the disk is on fire");
}
