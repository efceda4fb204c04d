//! Group snapshots from the label to the going of them all, whatever the driver says to the cut.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;
use tintype_api::{
    VolumeGroupSnapshot, VolumeGroupSnapshotClass, VolumeGroupSnapshotContent, VolumeSnapshot,
    VolumeSnapshotContent, keys,
};

use crate::world::{World, from_snapshot};

/// The driver has answered, with a cut or with a refusal.
fn answered(group: Option<&VolumeGroupSnapshot>) -> bool {
    group
        .and_then(|it| it.status.as_ref())
        .is_some_and(|status| {
            status.bound_volume_group_snapshot_content_name.is_some()
                && (status.ready_to_use == Some(true) || status.error.is_some())
        })
}

fn is_let_go(claim: Option<&PersistentVolumeClaim>) -> bool {
    claim.is_some_and(|it| {
        let finalizers = it.metadata.finalizers.iter().flatten();
        !finalizers
            .clone()
            .any(|it| it == keys::FINALIZER_CLAIM_AS_SOURCE)
    })
}

/// Claims `data` and `wal` of tier `db`, `cache` of another, a default class, and a group of the first two.
async fn asked(world: &World) -> VolumeGroupSnapshotContent {
    let class = json!({"driver": "csi.tintype.dev", "deletionPolicy": "Delete"});
    world
        .create_clusterwide::<VolumeGroupSnapshotClass>("groups", class)
        .await;
    let default = json!({keys::ANNOTATION_DEFAULT_GROUP_CLASS: "true"});
    let default = Patch::Merge(json!({"metadata": {"annotations": default}}));
    world
        .clusterwide::<VolumeGroupSnapshotClass>()
        .patch("groups", &PatchParams::default(), &default)
        .await
        .unwrap();
    let claims = world.namespaced::<PersistentVolumeClaim>();
    for (name, tier) in [("data", "db"), ("wal", "db"), ("cache", "web")] {
        world.bound_claim(name, &json!({})).await;
        let label = Patch::Merge(json!({"metadata": {"labels": {"tier": tier}}}));
        claims
            .patch(name, &PatchParams::default(), &label)
            .await
            .unwrap();
    }
    let selector =
        json!({"matchExpressions": [{"key": "tier", "operator": "In", "values": ["db"]}]});
    world
        .create::<VolumeGroupSnapshot>(
            "nightly",
            json!({"spec": {"source": {"selector": selector}}}),
        )
        .await;
    let groups = world.namespaced::<VolumeGroupSnapshot>();
    let group = world.until(groups.clone(), "nightly", answered).await;
    assert_eq!(
        group.spec.volume_group_snapshot_class_name.as_deref(),
        Some("groups")
    );
    let uid = group.metadata.uid.unwrap();
    let contents = world.clusterwide::<VolumeGroupSnapshotContent>();
    let name = tintype_api::names::group_content_name(&uid);
    let content = contents.get(&name).await.unwrap();
    let volumes = content.spec.source.volume_handles.clone().unwrap();
    assert_eq!(volumes.len(), 2, "{volumes:?}");

    content
}

/// Deletes the group and waits until nothing of it is left.
async fn goes(world: &World, content: &VolumeGroupSnapshotContent) {
    let claims = world.namespaced::<PersistentVolumeClaim>();
    let groups = world.namespaced::<VolumeGroupSnapshot>();
    let contents = world.clusterwide::<VolumeGroupSnapshotContent>();
    world.delete(groups, "nightly").await;
    world.gone(contents, content).await;
    let all = ListParams::default();
    for snapshot in world
        .namespaced::<VolumeSnapshot>()
        .list(&all)
        .await
        .unwrap()
    {
        world.gone(world.namespaced(), &snapshot).await;
    }
    let left = world.clusterwide::<VolumeSnapshotContent>();
    for content in left.list(&all).await.unwrap() {
        world.gone(left.clone(), &content).await;
    }
    for claim in ["data", "wal", "cache"] {
        world.until(claims.clone(), claim, is_let_go).await;
    }
    assert_eq!(world.stored().await.1, Vec::<String>::new());
}

#[tokio::test]
async fn d1_a_group_is_asked_for_by_its_whole_selector() {
    let world = World::start().await;
    let content = asked(&world).await;
    // A backend that cannot cut at one moment says so, and the group says what it said.
    let group = world
        .namespaced::<VolumeGroupSnapshot>()
        .get("nightly")
        .await;
    let error = group.unwrap().status.unwrap().error.unwrap();
    assert!(
        error
            .message
            .unwrap()
            .contains("Failed to create group snapshot")
    );
    goes(&world, &content).await;
    world.stop().await;
}

#[tokio::test]
async fn a_group_has_a_ready_member_for_each_claim_and_goes_with_them() {
    let world = World::start_with(|options| options.allow_non_atomic_groups = true).await;
    let content = asked(&world).await;
    let uid = content.spec.volume_group_snapshot_ref.uid.clone().unwrap();
    for volume in content.spec.source.volume_handles.clone().unwrap() {
        let name = tintype_api::names::member_snapshot_name(&uid, &volume);
        let ready = crate::world::is_ready;
        let member = world.until(world.namespaced(), &name, ready).await;
        let owner = &member.metadata.owner_references.as_ref().unwrap()[0];
        assert_eq!(
            (owner.name.as_str(), owner.uid.as_str()),
            ("nightly", uid.as_str())
        );
        let in_group = keys::FINALIZER_SNAPSHOT_IN_GROUP.to_owned();
        assert!(member.metadata.finalizers.unwrap().contains(&in_group));
        let status = member.status.unwrap();
        assert_eq!(
            status.volume_group_snapshot_name.as_deref(),
            Some("nightly")
        );
        assert_eq!(
            status.bound_volume_snapshot_content_name,
            Some(tintype_api::names::member_content_name(&uid, &volume))
        );
        let claim = member.spec.source.persistent_volume_claim_name.unwrap();
        assert!(["data", "wal"].contains(&claim.as_str()), "{claim}");
        let restored = format!("{claim}-restored");
        world.bound_claim(&restored, &from_snapshot(&name)).await;
    }
    assert_eq!(world.stored().await.1.len(), 2);
    goes(&world, &content).await;
    world.stop().await;
}
