//! Shows the checks a cluster with one thing wrong at a time.

use serde_json::{Value, json};

use super::*;

fn read<T: serde::de::DeserializeOwned>(document: Value) -> T {
    serde_json::from_value(document).unwrap()
}

fn cluster() -> Cluster {
    Cluster {
        missing_kinds: Vec::new(),
        versions: vec!["v1".to_owned()],
        snapshots: Vec::new(),
        contents: Vec::new(),
        classes: vec![read(json!({"metadata": {"name": "one", "annotations":
            {"snapshot.storage.kubernetes.io/is-default-class": "true"}},
            "driver": "d", "deletionPolicy": "Delete"}))],
        claims: Vec::new(),
        volumes: Vec::new(),
        storage_classes: vec![read(
            json!({"metadata": {"name": "fast"}, "provisioner": "d"}),
        )],
        leases: Some(Vec::new()),
        kept: Kept::Yes,
        now: 1_000,
        namespace: None,
    }
}

#[track_caller]
fn finds(cluster: &Cluster, state: State, words: &str) {
    let found = all(cluster);
    let hit = |it: &Finding| it.state == state && it.says.contains(words);
    assert!(found.iter().any(hit), "{found:?}");
}

fn lease(holder: &str, renewed: &str) -> Lease {
    read(
        json!({"metadata": {"namespace": "kube-system", "name": "snapshot-controller-leader"},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renewed}}),
    )
}

#[test]
fn missing_definitions_are_named_with_what_installs_them() {
    let mut cluster = cluster();
    finds(&cluster, State::Ok, "all kinds are served, in v1");
    cluster.missing_kinds = vec!["VolumeSnapshot"];
    finds(&cluster, State::Wrong, "tintype crds");
}

#[test]
fn a_server_that_drops_the_namespace_is_told_of() {
    let mut cluster = cluster();
    finds(&cluster, State::Ok, "keeps it");
    cluster.kept = Kept::Dropped;
    finds(&cluster, State::Look, "tintype restore");
}

#[test]
fn a_lease_says_whether_its_program_lives() {
    let mut cluster = cluster();
    finds(
        &cluster,
        State::Look,
        "has no lease snapshot-controller-leader",
    );
    cluster.leases = Some(vec![lease("a", "1970-01-01T00:16:35.000000Z")]);
    finds(&cluster, State::Ok, "a holds its lease");
    cluster.leases = Some(vec![lease("a", "1970-01-01T00:15:00.000000Z")]);
    finds(
        &cluster,
        State::Wrong,
        "a has not renewed its lease for 100 s",
    );
    cluster.leases = Some(vec![lease("", "1970-01-01T00:16:35.000000Z")]);
    finds(&cluster, State::Wrong, "nobody holds its lease");
    cluster.leases = None;
    finds(&cluster, State::Look, "leases may not be read");
}

#[test]
fn two_defaults_of_a_driver_are_one_too_many() {
    let mut cluster = cluster();
    assert_eq!(defaults(&cluster), []);
    let mut second = cluster.classes[0].clone();
    second.metadata.name = Some("two".to_owned());
    cluster.classes.push(second);
    finds(
        &cluster,
        State::Wrong,
        "one, two are all the default of driver d",
    );
}

#[test]
fn a_driver_without_a_snapshot_class_is_told_of() {
    let mut cluster = cluster();
    assert_eq!(without_snapshots(&cluster), []);
    cluster.classes.clear();
    finds(&cluster, State::Look, "no VolumeSnapshotClass");
}

#[test]
fn finalizers_that_hold_for_nobody_are_told_of() {
    let mut cluster = cluster();
    cluster.snapshots.push(read(
        json!({"metadata": {"namespace": "db", "name": "nightly",
        "finalizers": [keys::FINALIZER_PROVISIONER]},
        "spec": {"source": {"persistentVolumeClaimName": "data"}}}),
    ));
    finds(&cluster, State::Look, "no claim is being filled");
    cluster
        .claims
        .push(read(json!({"metadata": {"namespace": "db", "name": "copy",
        "finalizers": ["provisioner.tintype.dev/d"]},
        "spec": {"dataSource": {"apiGroup": "snapshot.storage.k8s.io",
            "kind": "VolumeSnapshot", "name": "nightly"}}, "status": {"phase": "Pending"}})));
    assert_eq!(leftovers(&cluster), []);
    let claim = &mut cluster.claims[0].metadata;
    claim.deletion_timestamp = Some(read(json!("2026-01-01T00:00:00Z")));
    finds(
        &cluster,
        State::Look,
        "is being deleted, and provisioner.tintype.dev/d keeps it",
    );
    cluster.namespace = Some("other".to_owned());
    assert_eq!(leftovers(&cluster), []);
}
