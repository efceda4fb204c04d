//! Shows the checks a cluster with one thing wrong at a time.

use serde_json::json;

use super::*;
use crate::doctor::cluster::{Lacking, Listed};
use crate::doctor::rig::{cluster, read};

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
fn a_claim_whose_namespace_was_dropped_is_told_of() {
    let mut cluster = cluster();
    let applied = json!({"spec": {"dataSourceRef": {"apiGroup": "snapshot.storage.k8s.io",
        "kind": "VolumeSnapshot", "namespace": "prod", "name": "nightly"}}});
    let claim = json!({"metadata": {"namespace": "dev", "name": "copy",
        "annotations": {LAST_APPLIED: applied.to_string()}}, "spec": applied["spec"]});
    cluster.claims.items.push(read(claim));
    assert_eq!(emptied(&cluster), [], "it was kept");
    let spec = cluster.claims.items[0].spec.as_mut().unwrap();
    spec.data_source_ref.as_mut().unwrap().namespace = None;
    finds(&cluster, State::Wrong, "from nightly of its own namespace");
    let spec = cluster.claims.items[0].spec.as_mut().unwrap();
    spec.data_source_ref = None;
    finds(
        &cluster,
        State::Wrong,
        "EMPTY, no copy of VolumeSnapshot prod/nightly; delete it, and use `tintype restore prod/nightly --to dev/copy`",
    );
    cluster.namespace = Some("other".to_owned());
    assert_eq!(emptied(&cluster), []);
}

#[test]
fn what_may_not_be_read_is_told_of() {
    let mut cluster = cluster();
    cluster.lacking.push(Lacking {
        resource: "volumesnapshotcontents.snapshot.storage.k8s.io".to_owned(),
        why: "user \"jane\" cannot list".to_owned(),
    });
    finds(&cluster, State::Look, "user \"jane\" cannot list; ask for");
    // Nothing is concluded from what was not seen.
    cluster.classes = Listed {
        items: Vec::new(),
        whole: false,
    };
    assert_eq!(without_snapshots(&cluster), []);
}

#[test]
fn a_lease_says_whether_its_program_lives() {
    let mut cluster = cluster();
    finds(
        &cluster,
        State::Look,
        "has no lease snapshot-controller-leader",
    );
    cluster.leases = Listed::whole(vec![lease("a", "1970-01-01T00:16:35.000000Z")]);
    finds(&cluster, State::Ok, "a holds its lease");
    cluster.leases = Listed::whole(vec![lease("a", "1970-01-01T00:15:00.000000Z")]);
    finds(
        &cluster,
        State::Wrong,
        "a has not renewed its lease for 100 s",
    );
    cluster.leases = Listed::whole(vec![lease("", "1970-01-01T00:16:35.000000Z")]);
    finds(&cluster, State::Wrong, "nobody holds its lease");
    cluster.leases.whole = false;
    assert_eq!(programs(&cluster), [], "nothing says which programs run");
}

#[test]
fn two_defaults_of_a_driver_are_one_too_many() {
    let mut cluster = cluster();
    assert_eq!(defaults(&cluster), []);
    let mut second = cluster.classes.items[0].clone();
    second.metadata.name = Some("two".to_owned());
    cluster.classes.items.push(second);
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
    cluster.classes.items.clear();
    finds(&cluster, State::Look, "no VolumeSnapshotClass");
}

#[test]
fn finalizers_that_hold_for_nobody_are_told_of() {
    let mut cluster = cluster();
    cluster.snapshots.items.push(read(
        json!({"metadata": {"namespace": "db", "name": "nightly",
        "finalizers": [keys::FINALIZER_PROVISIONER]},
        "spec": {"source": {"persistentVolumeClaimName": "data"}}}),
    ));
    finds(&cluster, State::Look, "no claim is being filled");
    cluster
        .claims
        .items
        .push(read(json!({"metadata": {"namespace": "db", "name": "copy",
        "finalizers": ["provisioner.tintype.dev/d"]},
        "spec": {"dataSource": {"apiGroup": "snapshot.storage.k8s.io",
            "kind": "VolumeSnapshot", "name": "nightly"}}, "status": {"phase": "Pending"}})));
    assert_eq!(leftovers(&cluster), []);
    let claim = &mut cluster.claims.items[0].metadata;
    claim.deletion_timestamp = Some(read(json!("2026-01-01T00:00:00Z")));
    finds(
        &cluster,
        State::Look,
        "is being deleted, and provisioner.tintype.dev/d keeps it",
    );
    cluster.namespace = Some("other".to_owned());
    assert_eq!(leftovers(&cluster), []);
}
