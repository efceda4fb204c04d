//! From a claim to a snapshot to a restored volume.

use std::fs;

use k8s_openapi::api::{core::v1::PersistentVolume, storage::v1::StorageClass};
use serde_json::json;
use tintype_api::{VolumeSnapshot, VolumeSnapshotClass, VolumeSnapshotContent};

use crate::world::{World, from_snapshot};

#[tokio::test]
async fn a_claim_of_the_default_class_is_bound() {
    let world = World::start().await;
    let claim = world.bound_claim("data", &json!({})).await;
    let spec = claim.spec.unwrap();
    assert_eq!(spec.storage_class_name.as_deref(), Some("tintype"));
    let volume = spec.volume_name.unwrap();
    assert_eq!(volume, format!("pvc-{}", claim.metadata.uid.unwrap()));
    let volume = world
        .clusterwide::<PersistentVolume>()
        .get(&volume)
        .await
        .unwrap();
    assert_eq!(volume.spec.unwrap().csi.unwrap().driver, "csi.tintype.dev");
    assert_eq!(world.stored().await.0.len(), 1);
    world.stop().await;
}

#[tokio::test]
async fn a_snapshot_gets_ready_and_is_restored_with_its_data() {
    let world = World::start().await;
    world.bound_claim("data", &json!({})).await;
    let data = world.path("look");
    world.cluster.mount("default", "data", &data).await.unwrap();
    fs::write(data.join("letter"), "as it was").unwrap();

    let snapshot = world.ready_snapshot("monday", "data", "tintype").await;
    let status = snapshot.status.unwrap();
    let content = status.bound_volume_snapshot_content_name.unwrap();
    assert_eq!(
        content,
        format!("snapcontent-{}", snapshot.metadata.uid.unwrap())
    );
    let content = world
        .clusterwide::<VolumeSnapshotContent>()
        .get(&content)
        .await
        .unwrap();
    let handle = content.status.unwrap().snapshot_handle.unwrap();
    assert_eq!(world.stored().await.1, [handle]);

    fs::write(data.join("letter"), "overwritten").unwrap();
    world
        .bound_claim("restored", &from_snapshot("monday"))
        .await;
    let restored = world.path("look again");
    world
        .cluster
        .mount("default", "restored", &restored)
        .await
        .unwrap();
    assert_eq!(
        fs::read_to_string(restored.join("letter")).unwrap(),
        "as it was"
    );
    assert_eq!(
        fs::read_to_string(data.join("letter")).unwrap(),
        "overwritten"
    );
    world.cluster.unmount(&data).await.unwrap();
    world.cluster.unmount(&restored).await.unwrap();
    assert!(!restored.exists());
    world.stop().await;
}

#[tokio::test]
async fn a_snapshot_of_a_claim_that_comes_later_waits_for_it() {
    let world = World::start().await;
    let spec = json!({"source": {"persistentVolumeClaimName": "later"}});
    world
        .create::<VolumeSnapshot>("early", json!({"spec": spec}))
        .await;
    let told = |snapshot: Option<&VolumeSnapshot>| {
        let status = snapshot.and_then(|snapshot| snapshot.status.as_ref());
        status.is_some_and(|status| status.error.is_some())
    };
    world
        .until(world.namespaced::<VolumeSnapshot>(), "early", told)
        .await;
    world.bound_claim("later", &json!({})).await;
    let ready = world
        .until(world.namespaced(), "early", crate::world::is_ready)
        .await;
    assert_eq!(ready.status.unwrap().error, None);
    world.stop().await;
}

#[tokio::test]
async fn ten_snapshots_at_once_are_ten_snapshots() {
    let world = World::start().await;
    world.bound_claim("data", &json!({})).await;
    let names: Vec<String> = (0..10).map(|at| format!("snap-{at}")).collect();
    let snapshots = names
        .iter()
        .map(|name| world.ready_snapshot(name, "data", "tintype"));
    futures::future::join_all(snapshots).await;
    assert_eq!(world.stored().await.1.len(), 10);
    world.stop().await;
}

#[tokio::test]
async fn both_classes_are_the_default() {
    let world = World::start().await;
    let class = world
        .clusterwide::<StorageClass>()
        .get("tintype")
        .await
        .unwrap();
    let annotations = class.metadata.annotations.unwrap();
    assert_eq!(
        annotations["storageclass.kubernetes.io/is-default-class"],
        "true"
    );
    assert_eq!(class.allow_volume_expansion, Some(true));
    let class = world
        .clusterwide::<VolumeSnapshotClass>()
        .get("tintype")
        .await
        .unwrap();
    let annotations = class.metadata.annotations.unwrap();
    assert_eq!(
        annotations["snapshot.storage.kubernetes.io/is-default-class"],
        "true"
    );
    world.stop().await;
}
