//! Deletion policies that are switched while things go: what counts is what stands when the
//! content goes.

use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::json;
use tintype_api::{VolumeSnapshot, VolumeSnapshotContent, keys};

use crate::proxy::{FAILED_PRECONDITION, Fault};
use crate::rig::Rig;

async fn switch(contents: &Api<VolumeSnapshotContent>, name: &str, policy: &str) {
    let patch = Patch::Merge(json!({"spec": {"deletionPolicy": policy}}));
    let params = PatchParams::default();
    contents.patch(name, &params, &patch).await.unwrap();
}

/// A ready snapshot and the name of its content.
async fn cut(rig: &Rig, name: &str) -> String {
    rig.cut(name, "data").await;
    let ready = rig.ready(name).await;
    let status = ready.status.unwrap();
    status.bound_volume_snapshot_content_name.unwrap()
}

/// Upstream's clean-up path, and the reverse of it.
#[tokio::test]
async fn a_policy_counts_as_it_is_when_the_content_goes() {
    let rig = Rig::start().await;
    rig.world.bound_claim("data", &json!({})).await;
    let contents = rig.world.clusterwide::<VolumeSnapshotContent>();
    let delete = DeleteParams::default();

    // To Retain before the snapshot goes: the content stays, told of it, and so does the storage.
    let kept = cut(&rig, "kept").await;
    switch(&contents, &kept, "Retain").await;
    rig.delete("kept").await;
    let content = contents.get(&kept).await.unwrap();
    let annotations = content.metadata.annotations.clone().unwrap_or_default();
    assert_eq!(annotations[keys::ANNOTATION_BEING_DELETED], "yes");
    assert_eq!(rig.world.stored().await.1.len(), 1);
    // To Delete afterwards: both go with the content.
    switch(&contents, &kept, "Delete").await;
    contents.delete(&kept, &delete).await.unwrap();
    rig.world.gone(contents.clone(), &content).await;
    rig.nothing_is_left().await;

    // There and back again, before the snapshot goes: as if nothing had been.
    let wavering = cut(&rig, "wavering").await;
    switch(&contents, &wavering, "Retain").await;
    switch(&contents, &wavering, "Delete").await;
    rig.delete("wavering").await;
    rig.nothing_is_left().await;

    // To Retain at the last moment, while the driver refuses to delete: nothing is destroyed.
    let late = cut(&rig, "late").await;
    let refused = Fault::Refuse(FAILED_PRECONDITION, "it is mounted");
    rig.proxy.next("DeleteSnapshot", vec![refused; 100_000]);
    let before = rig.proxy.count("DeleteSnapshot");
    let snapshots = rig.world.namespaced::<VolumeSnapshot>();
    let snapshot = snapshots.get("late").await.unwrap();
    snapshots.delete("late", &delete).await.unwrap();
    rig.until("it is refused", || {
        rig.proxy.count("DeleteSnapshot") > before
    })
    .await;
    let content = contents.get(&late).await.unwrap();
    switch(&contents, &late, "Retain").await;
    rig.world.gone(contents, &content).await;
    rig.world.gone(snapshots, &snapshot).await;
    assert_eq!(rig.world.stored().await.1.len(), 1);
    rig.stop().await;
}
