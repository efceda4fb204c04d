//! What a second start finds, and what it must not touch.

use k8s_openapi::api::{core::v1::PersistentVolumeClaim, storage::v1::StorageClass};
use kube::api::DeleteParams;
use serde_json::json;
use tintype_api::{VolumeSnapshot, VolumeSnapshotClass};
use tintype_sandbox::cluster::{Cluster, FolderError, StartError};

use crate::world::{World, from_snapshot, options};

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let world = World::start().await;
    world.bound_claim("data", &json!({})).await;
    let before = world.ready_snapshot("monday", "data", "tintype").await;
    let folder = world.stop().await;

    let world = World::start_again(folder).await;
    let after = world
        .namespaced::<VolumeSnapshot>()
        .get("monday")
        .await
        .unwrap();
    assert_eq!(after, before);
    world
        .bound_claim("restored", &from_snapshot("monday"))
        .await;
    world
        .delete(world.namespaced::<VolumeSnapshot>(), "monday")
        .await;
    world
        .delete(world.namespaced::<PersistentVolumeClaim>(), "data")
        .await;
    world.stop().await;
}

#[tokio::test]
async fn a_class_that_was_deleted_stays_deleted() {
    let world = World::start().await;
    let delete = DeleteParams::default();
    world
        .clusterwide::<StorageClass>()
        .delete("tintype", &delete)
        .await
        .unwrap();
    let folder = world.stop().await;

    let world = World::start_again(folder).await;
    let class = world
        .clusterwide::<StorageClass>()
        .get_opt("tintype")
        .await
        .unwrap();
    assert!(class.is_none());
    let class = world
        .clusterwide::<VolumeSnapshotClass>()
        .get_opt("tintype")
        .await
        .unwrap();
    assert!(class.is_some());
    world.stop().await;
}

#[tokio::test]
async fn a_folder_in_use_is_refused() {
    let world = World::start().await;
    let mut options = options(world.path("").as_path());
    options.port = 0;
    let error = Cluster::start(options).await.unwrap_err();
    assert!(
        matches!(error, StartError::Folder(FolderError::Running { .. })),
        "{error}"
    );
    // The one that was there is unharmed.
    world.bound_claim("data", &json!({})).await;
    world.stop().await;
}

#[tokio::test]
async fn a_taken_port_leaves_no_folder_behind() {
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(folder.path());
    options.port = world.cluster.address().port();
    let error = Cluster::start(options).await.unwrap_err();
    assert!(matches!(error, StartError::Port { .. }), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    world.stop().await;
}

#[tokio::test]
async fn classes_are_not_installed_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(folder.path());
    options.default_classes = false;
    let cluster = Cluster::start(options).await.unwrap();
    let classes: kube::Api<StorageClass> = kube::Api::all(cluster.client());
    assert!(classes.get_opt("tintype").await.unwrap().is_none());
    cluster.stop().await;
}
