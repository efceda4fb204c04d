//! Group snapshots behind a driver that fails, is slow, or says too little.

use kube::api::{DeleteParams, ListParams};
use serde_json::json;
use tintype_api::{VolumeGroupSnapshot, VolumeSnapshot, names};
use tintype_csi::v1;
use tokio::sync::watch;

use crate::groups::{
    CREATE, ask, claims_are_free, complains, delete, members, nothing_is_left, ready, with_claims,
};
use crate::proxy::{Fault, INTERNAL};

const DELETE: &str = "DeleteVolumeGroupSnapshot";

#[tokio::test]
async fn a_group_whose_answers_are_lost_is_one_cut() {
    let rig = with_claims(3, &json!({})).await;
    rig.proxy.next(CREATE, vec![Fault::LoseReply; 3]);
    rig.proxy.next(DELETE, vec![Fault::LoseReply; 2]);
    ask(&rig, "nightly").await;
    ready(&rig, "nightly").await;
    assert_eq!(rig.world.stored().await.1.len(), 3);
    let names = rig
        .proxy
        .calls::<v1::CreateVolumeGroupSnapshotRequest>(CREATE);
    let names: Vec<_> = names.into_iter().map(|it| it.name).collect();
    assert!(
        names.len() >= 4 && names.iter().all(|it| *it == names[0]),
        "{names:?}"
    );
    delete(&rig, "nightly").await;
    assert!(rig.proxy.count(DELETE) >= 3);
    nothing_is_left(&rig).await;
    rig.stop().await;
}

#[tokio::test]
async fn a_list_without_a_member_is_told_and_never_called_ready() {
    let rig = with_claims(3, &json!({})).await;
    let (open, gate) = watch::channel(false);
    let short = Fault::change(|it: &mut v1::CreateVolumeGroupSnapshotResponse| {
        it.group_snapshot.as_mut().unwrap().snapshots.pop();
    });
    rig.proxy.next(CREATE, [short, Fault::Hold(gate)]);
    ask(&rig, "nightly").await;
    complains(&rig, "nightly", "no snapshot of volume").await;
    let snapshots = rig.world.namespaced::<VolumeSnapshot>();
    let made = snapshots.list(&ListParams::default()).await.unwrap().items;
    assert!(made.is_empty(), "{made:?}");
    open.send(true).unwrap();
    let group = ready(&rig, "nightly").await;
    assert_eq!(group.status.as_ref().unwrap().error, None);
    assert_eq!(members(&rig, &group).await.len(), 3);
    delete(&rig, "nightly").await;
    nothing_is_left(&rig).await;
    rig.stop().await;
}

/// Refused, then deleted while a call is under way that may have an effect.
#[tokio::test]
async fn a_group_deleted_in_the_middle_of_its_cut_leaves_nothing() {
    let rig = with_claims(2, &json!({})).await;
    let (open, gate) = watch::channel(false);
    rig.proxy.next(
        CREATE,
        vec![Fault::Refuse(INTERNAL, "the pool is in repair"); 2],
    );
    rig.proxy.next(CREATE, [Fault::Hold(gate)]);
    ask(&rig, "nightly").await;
    complains(&rig, "nightly", "the pool is in repair").await;
    rig.until("a call is under way", || rig.proxy.count(CREATE) >= 3)
        .await;
    let groups = rig.world.namespaced::<VolumeGroupSnapshot>();
    let group = groups.get("nightly").await.unwrap();
    let now = DeleteParams::default();
    groups.delete("nightly", &now).await.unwrap();
    open.send(true).unwrap();
    rig.world.gone(groups, &group).await;
    nothing_is_left(&rig).await;
    claims_are_free(&rig).await;
    rig.stop().await;
}

/// It is followed by asking for it again, and what its members lacked at first is filled in.
#[tokio::test]
async fn a_group_that_takes_its_time_is_asked_about_until_it_is_ready() {
    let rig = with_claims(2, &json!({})).await;
    let (open, gate) = watch::channel(false);
    let young = Fault::change(|it: &mut v1::CreateVolumeGroupSnapshotResponse| {
        let group = it.group_snapshot.as_mut().unwrap();
        group.ready_to_use = false;
        for member in &mut group.snapshots {
            (member.ready_to_use, member.size_bytes) = (false, 0);
        }
    });
    rig.proxy.next(CREATE, [young, Fault::Hold(gate)]);
    ask(&rig, "nightly").await;
    rig.told("default", "nightly", &["GroupSnapshotCreated"])
        .await;
    let groups = rig.world.namespaced::<VolumeGroupSnapshot>();
    let status = groups.get("nightly").await.unwrap().status.unwrap();
    assert!(status.creation_time.is_some());
    assert_eq!(status.ready_to_use, Some(false));
    open.send(true).unwrap();
    let group = ready(&rig, "nightly").await;
    for member in members(&rig, &group).await {
        let size = member.status.unwrap().restore_size;
        assert!(size.is_some(), "{:?}", member.metadata.name);
    }
    delete(&rig, "nightly").await;
    nothing_is_left(&rig).await;
    rig.stop().await;
}

#[tokio::test]
async fn a_deletion_that_the_driver_refuses_is_told_and_tried_again() {
    let rig = with_claims(2, &json!({})).await;
    ask(&rig, "nightly").await;
    let group = ready(&rig, "nightly").await;
    members(&rig, &group).await;
    let (open, gate) = watch::channel(false);
    let refused = Fault::Refuse(INTERNAL, "a member is exported");
    rig.proxy.next(DELETE, [refused, Fault::Hold(gate)]);
    let groups = rig.world.namespaced::<VolumeGroupSnapshot>();
    let now = DeleteParams::default();
    groups.delete("nightly", &now).await.unwrap();
    let content = names::group_content_name(group.metadata.uid.as_deref().unwrap());
    rig.told("default", &content, &["GroupSnapshotDeleteError"])
        .await;
    // Nothing is let go meanwhile.
    groups.get("nightly").await.unwrap();
    open.send(true).unwrap();
    rig.world.gone(groups, &group).await;
    assert!(rig.proxy.count(DELETE) >= 2);
    nothing_is_left(&rig).await;
    claims_are_free(&rig).await;
    rig.stop().await;
}
