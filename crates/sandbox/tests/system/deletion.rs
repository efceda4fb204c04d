//! What deleting leaves: nothing with `Delete`, the storage with `Retain`.

use k8s_openapi::api::{
    core::v1::{PersistentVolume, PersistentVolumeClaim},
    storage::v1::StorageClass,
};
use serde_json::json;
use tintype_api::{VolumeSnapshot, VolumeSnapshotClass, VolumeSnapshotContent};

use crate::world::{World, from_snapshot};

#[tokio::test]
async fn with_delete_nothing_is_left() {
    let world = World::start().await;
    let claim = world.bound_claim("data", &json!({})).await;
    let snapshot = world.ready_snapshot("monday", "data", "tintype").await;
    let content = snapshot
        .status
        .unwrap()
        .bound_volume_snapshot_content_name
        .unwrap();
    let contents = world.clusterwide::<VolumeSnapshotContent>();
    let content = contents.get(&content).await.unwrap();
    let volumes = world.clusterwide::<PersistentVolume>();
    let volume = volumes
        .get(&claim.spec.unwrap().volume_name.unwrap())
        .await
        .unwrap();

    world
        .delete(world.namespaced::<VolumeSnapshot>(), "monday")
        .await;
    world.gone(contents, &content).await;
    world
        .delete(world.namespaced::<PersistentVolumeClaim>(), "data")
        .await;
    world.gone(volumes, &volume).await;
    assert_eq!(world.stored().await, (vec![], vec![]));
    world.stop().await;
}

#[tokio::test]
async fn with_retain_content_and_storage_stay() {
    let world = World::start().await;
    let class = json!({"driver": "csi.tintype.dev", "deletionPolicy": "Retain"});
    world
        .create_clusterwide::<VolumeSnapshotClass>("keep", class)
        .await;
    world.bound_claim("data", &json!({})).await;
    let snapshot = world.ready_snapshot("monday", "data", "keep").await;
    let content = snapshot
        .status
        .unwrap()
        .bound_volume_snapshot_content_name
        .unwrap();

    world
        .delete(world.namespaced::<VolumeSnapshot>(), "monday")
        .await;
    let content = world
        .clusterwide::<VolumeSnapshotContent>()
        .get(&content)
        .await
        .unwrap();
    assert_eq!(content.metadata.deletion_timestamp, None);
    let handle = content.status.unwrap().snapshot_handle.unwrap();
    assert_eq!(world.stored().await.1, [handle]);
    world.stop().await;
}

#[tokio::test]
async fn with_retain_a_volume_outlives_its_claim() {
    let world = World::start().await;
    let class = json!({"provisioner": "csi.tintype.dev", "reclaimPolicy": "Retain"});
    world
        .create_clusterwide::<StorageClass>("keep", class)
        .await;
    let claim = world
        .bound_claim("data", &json!({"storageClassName": "keep"}))
        .await;
    let volume = claim.spec.unwrap().volume_name.unwrap();

    world
        .delete(world.namespaced::<PersistentVolumeClaim>(), "data")
        .await;
    let released = |volume: Option<&PersistentVolume>| {
        let status = volume.and_then(|volume| volume.status.as_ref());
        status.and_then(|status| status.phase.as_deref()) == Some("Released")
    };
    world.until(world.clusterwide(), &volume, released).await;
    assert_eq!(world.stored().await.0.len(), 1);
    world.stop().await;
}

#[tokio::test]
async fn a_restored_volume_outlives_snapshot_and_source() {
    let world = World::start().await;
    world.bound_claim("data", &json!({})).await;
    world.ready_snapshot("monday", "data", "tintype").await;
    world
        .bound_claim("restored", &from_snapshot("monday"))
        .await;
    world
        .delete(world.namespaced::<VolumeSnapshot>(), "monday")
        .await;
    world
        .delete(world.namespaced::<PersistentVolumeClaim>(), "data")
        .await;
    let look = world.path("look");
    world
        .cluster
        .mount("default", "restored", &look)
        .await
        .unwrap();
    world.cluster.unmount(&look).await.unwrap();
    world.stop().await;
}
