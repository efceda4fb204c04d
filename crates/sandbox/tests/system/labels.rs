//! Invalid objects carry the label of old releases, where somebody asked for it.

use kube::{
    ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tintype_api::{VolumeSnapshotContent, keys};
use tokio_util::sync::CancellationToken;

use crate::world::World;

fn is_labelled(content: Option<&VolumeSnapshotContent>) -> bool {
    content.is_some_and(|it| it.labels().contains_key(keys::LABEL_INVALID_CONTENT))
}

fn is_plain(content: Option<&VolumeSnapshotContent>) -> bool {
    content.is_some() && !is_labelled(content)
}

#[tokio::test]
async fn an_invalid_object_carries_the_label_until_it_is_valid() {
    let world = World::start_with(|it| it.without = &["snapshot-controller"]).await;
    let args = tintype_controller::Args {
        label_invalid_objects: true,
        ..Default::default()
    };
    let end = CancellationToken::new();
    let running = tintype_controller::run(args, world.cluster.client(), end.clone());
    let running = tokio::spawn(running);
    // The definitions let an empty name in.
    let spec = json!({"driver": "elsewhere.example.com", "deletionPolicy": "Retain",
        "source": {"snapshotHandle": "s"}, "volumeSnapshotRef": {"name": "", "namespace": "default"}});
    world
        .create_clusterwide::<VolumeSnapshotContent>("blank", json!({ "spec": spec }))
        .await;
    let contents = world.clusterwide::<VolumeSnapshotContent>();
    world.until(contents.clone(), "blank", is_labelled).await;
    let named = Patch::Merge(json!({"spec": {"volumeSnapshotRef": {"name": "s"}}}));
    let params = PatchParams::default();
    contents.patch("blank", &params, &named).await.unwrap();
    world.until(contents, "blank", is_plain).await;
    end.cancel();
    running.await.unwrap().unwrap();
    world.stop().await;
}
