//! A driver that refuses, is slow, late, times out both ways, restarts and forgets: every snapshot
//! comes to its end, none is cut twice, none is left behind.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use tintype_api::{VolumeSnapshot, VolumeSnapshotContent, keys};
use tintype_csi::v1;
use tokio::sync::watch;

use crate::proxy::{DEADLINE_EXCEEDED, FAILED_PRECONDITION, Fault, INTERNAL, Proxy};
use crate::rig::{PATIENCE, Rig, snapshotter};

const CREATE: &str = "CreateSnapshot";
const DELETE: &str = "DeleteSnapshot";

async fn with_data() -> Rig {
    let rig = Rig::start().await;
    rig.world.bound_claim("data", &json!({})).await;
    rig
}

#[tokio::test]
async fn a_refused_cut_says_why_and_is_made_once_the_driver_takes_it() {
    let rig = with_data().await;
    let (open, gate) = watch::channel(false);
    let refused = Fault::Refuse(FAILED_PRECONDITION, "the pool is in repair");
    rig.proxy.next(CREATE, vec![refused; 5]);
    rig.proxy.next(CREATE, [Fault::Hold(gate)]);
    rig.cut("monday", "data").await;
    let told = rig
        .complains("monday", "FailedPrecondition: the pool is in repair")
        .await;
    assert!(!told.ready());
    let content = told
        .metadata
        .uid
        .map(|it| format!("snapcontent-{it}"))
        .unwrap();
    rig.until("it was refused five times", || rig.proxy.count(CREATE) == 6)
        .await;
    open.send(true).unwrap();
    let ready = rig.ready("monday").await;
    assert_eq!(ready.status.unwrap().error, None);
    assert_eq!(rig.world.stored().await.1.len(), 1);
    let reasons = rig
        .told("default", &content, &["SnapshotCreationFailed"])
        .await;
    // Said once for as long as it is the same.
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    rig.delete("monday").await;
    rig.nothing_is_left().await;
    rig.stop().await;
}

#[tokio::test]
async fn a_cut_whose_answers_are_lost_is_one_cut() {
    let rig = with_data().await;
    rig.proxy.next(CREATE, vec![Fault::LoseReply; 3]);
    rig.cut("monday", "data").await;
    rig.ready("monday").await;
    assert_eq!(rig.world.stored().await.1.len(), 1);
    let names: Vec<_> = rig
        .proxy
        .calls::<v1::CreateSnapshotRequest>(CREATE)
        .into_iter()
        .map(|it| it.name)
        .collect();
    assert!(
        names.len() >= 4 && names.iter().all(|it| *it == names[0]),
        "{names:?}"
    );
    rig.delete("monday").await;
    rig.nothing_is_left().await;
    rig.stop().await;
}

/// Upstream's csi-mock suite: a snapshot before its claim, eight timeouts, everything deleted in
/// the middle.
#[tokio::test]
async fn eight_timeouts_hold_claim_and_content_until_the_cut_is_certain() {
    let rig = Rig::start().await;
    let (open, gate) = watch::channel(false);
    let timeout = Fault::Refuse(DEADLINE_EXCEEDED, "busy");
    rig.proxy.next(CREATE, vec![timeout; 8]);
    rig.proxy.next(CREATE, [Fault::Hold(gate)]);
    rig.cut("monday", "data").await;
    rig.complains("monday", "data does not exist").await;
    rig.world.bound_claim("data", &json!({})).await;
    rig.until("the ninth call is under way", || {
        rig.proxy.count(CREATE) >= 9
    })
    .await;

    let claims = rig.world.namespaced::<PersistentVolumeClaim>();
    let claim = claims.get("data").await.unwrap();
    let holds = |all: &Option<Vec<String>>, key: &str| all.iter().flatten().any(|it| it == key);
    assert!(holds(
        &claim.metadata.finalizers,
        keys::FINALIZER_CLAIM_AS_SOURCE
    ));
    claims
        .delete("data", &DeleteParams::default())
        .await
        .unwrap();
    let content = rig.content(|_| true).await;
    assert!(holds(&content.metadata.finalizers, keys::FINALIZER_CONTENT));
    let contents = rig.world.clusterwide::<VolumeSnapshotContent>();
    let name = content.metadata.name.clone().unwrap();
    contents
        .delete(&name, &DeleteParams::default())
        .await
        .unwrap();
    let snapshots = rig.world.namespaced::<VolumeSnapshot>();
    let snapshot = snapshots.get("monday").await.unwrap();
    assert!(holds(
        &snapshot.metadata.finalizers,
        keys::FINALIZER_SNAPSHOT_BOUND
    ));
    snapshots
        .delete("monday", &DeleteParams::default())
        .await
        .unwrap();
    for it in [
        claims.get("data").await.unwrap().metadata,
        contents.get(&name).await.unwrap().metadata,
    ] {
        assert!(it.deletion_timestamp.is_some(), "{it:?}");
    }

    open.send(true).unwrap();
    rig.world.gone(snapshots, &snapshot).await;
    rig.world.gone(contents, &content).await;
    rig.world.gone(claims, &claim).await;
    assert_eq!(rig.world.stored().await, (vec![], vec![]));
    rig.stop().await;
}

#[tokio::test]
async fn a_cut_that_comes_after_its_snapshot_was_deleted_is_found_and_removed() {
    let rig = with_data().await;
    let (open, gate) = watch::channel(false);
    let (hold, held) = watch::channel(false);
    rig.proxy
        .next(CREATE, [Fault::Late(gate), Fault::Hold(held)]);
    rig.cut("monday", "data").await;
    rig.until("the second call is under way", || {
        rig.proxy.count(CREATE) >= 2
    })
    .await;
    let snapshots = rig.world.namespaced::<VolumeSnapshot>();
    let snapshot = snapshots.get("monday").await.unwrap();
    snapshots
        .delete("monday", &DeleteParams::default())
        .await
        .unwrap();
    open.send(true).unwrap();
    hold.send(true).unwrap();
    rig.world.gone(snapshots, &snapshot).await;
    rig.nothing_is_left().await;
    rig.stop().await;
}

/// The first attempt may have cut: a refusal after it proves nothing (spec tests 7.9, line 4).
#[tokio::test]
async fn a_refusal_after_a_timeout_does_not_hide_a_cut() {
    let rig = with_data().await;
    let (open, gate) = watch::channel(false);
    let refused = Fault::Refuse(INTERNAL, "the daemon restarts");
    rig.proxy
        .next(CREATE, [Fault::LoseReply, refused, Fault::Hold(gate)]);
    rig.cut("monday", "data").await;
    rig.until("the third call is under way", || {
        rig.proxy.count(CREATE) >= 3
    })
    .await;
    let snapshots = rig.world.namespaced::<VolumeSnapshot>();
    let snapshot = snapshots.get("monday").await.unwrap();
    snapshots
        .delete("monday", &DeleteParams::default())
        .await
        .unwrap();
    open.send(true).unwrap();
    rig.world.gone(snapshots, &snapshot).await;
    rig.nothing_is_left().await;
    rig.stop().await;
}

#[tokio::test]
async fn a_deletion_that_is_refused_or_not_heard_of_is_repeated_until_it_is_done() {
    let rig = with_data().await;
    rig.cut("monday", "data").await;
    let snapshot = rig.ready("monday").await;
    let content = format!("snapcontent-{}", snapshot.metadata.uid.unwrap());
    let refused = Fault::Refuse(FAILED_PRECONDITION, "it is mounted");
    let lost = Fault::Refuse(DEADLINE_EXCEEDED, "busy");
    rig.proxy
        .next(DELETE, [refused.clone(), refused, lost, Fault::LoseReply]);
    rig.delete("monday").await;
    rig.nothing_is_left().await;
    assert_eq!(rig.proxy.count(DELETE), 5);
    rig.told("default", &content, &["SnapshotDeleteError"])
        .await;
    rig.stop().await;
}

#[tokio::test]
async fn a_snapshot_that_is_ready_later_is_created_first_and_then_ready() {
    let rig = with_data().await;
    let unready = || {
        Fault::change(|it: &mut v1::CreateSnapshotResponse| {
            it.snapshot.as_mut().unwrap().ready_to_use = false;
        })
    };
    let (open, gate) = watch::channel(false);
    rig.proxy
        .next(CREATE, [unready(), unready(), Fault::Hold(gate)]);
    rig.cut("monday", "data").await;
    let created = rig.told("default", "monday", &["SnapshotCreated"]).await;
    assert!(
        !created.contains(&"SnapshotReady".to_owned()),
        "{created:?}"
    );
    let snapshots = rig.world.namespaced::<VolumeSnapshot>();
    let status = snapshots.get("monday").await.unwrap().status.unwrap();
    assert_eq!(status.ready_to_use, Some(false));
    assert!(status.creation_time.is_some());
    open.send(true).unwrap();
    rig.ready("monday").await;
    assert_eq!(rig.proxy.count(CREATE), 3);
    rig.told("default", "monday", &["SnapshotReady"]).await;
    rig.stop().await;
}

#[tokio::test]
async fn two_calls_for_one_name_are_never_under_way_at_once() {
    let rig = with_data().await;
    let (open, gate) = watch::channel(false);
    rig.proxy.next(CREATE, [Fault::Hold(gate)]);
    rig.cut("monday", "data").await;
    rig.until("the call is under way", || rig.proxy.count(CREATE) == 1)
        .await;
    let contents = rig.world.clusterwide::<VolumeSnapshotContent>();
    let content = rig.content(|_| true).await.metadata.name.unwrap();
    for number in 0..20 {
        let label = json!({"metadata": {"labels": {"poked": number.to_string()}}});
        let patch = Patch::Merge(&label);
        contents
            .patch(&content, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }
    open.send(true).unwrap();
    rig.ready("monday").await;
    assert_eq!(rig.proxy.most_at_once(CREATE), 1);
    assert_eq!(rig.world.stored().await.1.len(), 1);
    rig.stop().await;
}

#[tokio::test]
async fn a_sidecar_that_dies_in_the_middle_of_a_cut_is_followed_by_one_that_ends_it() {
    let mut rig = with_data().await;
    let (open, gate) = watch::channel(false);
    rig.proxy.next(CREATE, [Fault::Hold(gate)]);
    rig.cut("monday", "data").await;
    rig.until("the call is under way", || rig.proxy.count(CREATE) == 1)
        .await;
    let again = snapshotter(rig.client("csi-snapshotter"), &rig.proxy, &[]);
    let first = std::mem::replace(&mut rig.snapshotter, again);
    first.stop().await;
    open.send(true).unwrap();
    rig.ready("monday").await;
    assert_eq!(rig.world.stored().await.1.len(), 1);
    rig.delete("monday").await;
    rig.nothing_is_left().await;
    rig.stop().await;
}

/// A driver that restarts takes its socket along. The sidecar ends, as its pod's container does, and
/// starts anew beside the new one; a call that nobody heard the end of is followed up.
#[tokio::test]
async fn a_driver_that_restarts_is_met_again_and_no_cut_is_lost_or_made_twice() {
    let mut rig = with_data().await;
    rig.cut("before", "data").await;
    rig.ready("before").await;
    let (_shut, gate) = watch::channel(false);
    // One is cut and the answer gets lost, the other is not even heard of.
    let held = Fault::Hold(gate);
    rig.proxy
        .next(CREATE, [Fault::LoseReply, held.clone(), held]);
    rig.cut("heard", "data").await;
    rig.until("it is cut and asked for again", || {
        rig.proxy.count(CREATE) == 3
    })
    .await;
    rig.cut("unheard", "data").await;
    rig.until("another call is under way", || rig.proxy.count(CREATE) == 4)
        .await;

    let socket = rig.proxy.socket.clone();
    std::fs::remove_file(&socket).unwrap();
    let driver = rig.world.cluster.options().data_dir.socket();
    // The old one ends here, and all its connections.
    rig.proxy = Proxy::start(socket, driver);
    let again = snapshotter(rig.client("csi-snapshotter"), &rig.proxy, &[]);
    let why = std::mem::replace(&mut rig.snapshotter, again)
        .failure()
        .await;
    assert!(
        why.contains("the connection to CSI driver csi.tintype.dev is lost"),
        "{why}"
    );
    for name in ["before", "heard", "unheard"] {
        rig.ready(name).await;
    }
    assert_eq!(rig.world.stored().await.1.len(), 3);
    for name in ["before", "heard", "unheard"] {
        rig.delete(name).await;
    }
    rig.nothing_is_left().await;
    rig.stop().await;
}

/// What the driver lost is not cut again under its old date (D5), and can still be deleted.
#[tokio::test]
async fn a_snapshot_the_driver_forgot_is_not_cut_again_and_can_be_deleted() {
    let rig = with_data().await;
    rig.cut("monday", "data").await;
    rig.ready("monday").await;
    let handle = rig.world.stored().await.1.remove(0);
    let address = tintype_csi::Address::at(rig.world.cluster.options().data_dir.socket()).unwrap();
    let driver = tintype_csi::Client::connect(&address, PATIENCE)
        .await
        .unwrap();
    let gone = v1::DeleteSnapshotRequest {
        snapshot_id: handle,
        ..Default::default()
    };
    driver.delete_snapshot(gone).await.unwrap();
    rig.delete("monday").await;
    rig.nothing_is_left().await;
    assert_eq!(rig.proxy.count(CREATE), 1);
    rig.stop().await;
}

/// A wrong or empty answer about an imported snapshot is said and destroys nothing.
#[tokio::test]
async fn a_list_that_does_not_know_the_snapshot_destroys_nothing() {
    let rig = with_data().await;
    rig.cut("monday", "data").await;
    rig.ready("monday").await;
    let handle = rig.world.stored().await.1.remove(0);
    let empty = Fault::change(|it: &mut v1::ListSnapshotsResponse| it.entries.clear());
    let foreign = Fault::change(|it: &mut v1::ListSnapshotsResponse| {
        for entry in &mut it.entries {
            entry.snapshot.as_mut().unwrap().snapshot_id = "another".to_owned();
        }
    });
    rig.proxy.next("ListSnapshots", [empty, foreign]);
    let snapshot_ref = json!({"name": "imported", "namespace": "default"});
    let content = json!({"spec": {"driver": "csi.tintype.dev", "deletionPolicy": "Retain",
        "source": {"snapshotHandle": handle}, "volumeSnapshotRef": snapshot_ref}});
    rig.world
        .create_clusterwide::<VolumeSnapshotContent>("imported", content)
        .await;
    let source = json!({"volumeSnapshotContentName": "imported"});
    rig.world
        .create::<VolumeSnapshot>("imported", json!({"spec": {"source": source}}))
        .await;
    let ready = rig.ready("imported").await;
    assert_eq!(ready.status.unwrap().error, None);
    assert!(rig.proxy.count("ListSnapshots") >= 3);
    rig.told("default", "imported", &["SnapshotCreationFailed"])
        .await;
    rig.delete("imported").await;
    assert_eq!(rig.world.stored().await.1, [handle]);
    assert_eq!(rig.proxy.count(DELETE), 0);
    rig.stop().await;
}
