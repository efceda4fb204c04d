//! Secrets: read once per operation, never in the way of deletion, never to be seen.

use k8s_openapi::api::core::v1::Secret;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use tintype_api::VolumeSnapshotClass;
use tintype_csi::v1;

use crate::proxy::{Fault, UNAUTHENTICATED};
use crate::rig::{Rig, class, work};

const CREATE: &str = "CreateSnapshot";

/// The line of upstream's rights that drivers with secrets are to add.
pub(crate) async fn may_read_secrets(rig: &Rig) {
    rig.grant("csi-snapshotter", "secrets", &["get", "list"])
        .await;
}

async fn with_class() -> Rig {
    let rig = Rig::start().await;
    may_read_secrets(&rig).await;
    rig.world.bound_claim("data", &json!({})).await;
    let parameters = json!({
        "csi.storage.k8s.io/snapshotter-secret-name": "key-${volumesnapshot.name}",
        "csi.storage.k8s.io/snapshotter-secret-namespace": "${volumesnapshot.namespace}",
    });
    rig.world
        .create_clusterwide::<VolumeSnapshotClass>("locked", class(&parameters))
        .await;
    rig
}

pub(crate) async fn secret(rig: &Rig, name: &str) {
    let values: Value = json!({"stringData": {"password": "hunter2"}});
    rig.world.create::<Secret>(name, values).await;
}

async fn cut(rig: &Rig, name: &str) {
    let source = json!({"persistentVolumeClaimName": "data"});
    let spec = json!({"volumeSnapshotClassName": "locked", "source": source});
    rig.world
        .create::<tintype_api::VolumeSnapshot>(name, json!({ "spec": spec }))
        .await;
}

fn reads(rig: &Rig) -> usize {
    let found = work(&rig.log);
    let secrets = found
        .iter()
        .filter(|(what, _)| what.starts_with("GET secrets"));
    secrets.map(|(_, count)| count).sum()
}

#[tokio::test]
async fn a_secret_is_read_once_for_making_and_once_for_deleting() {
    let rig = with_class().await;
    secret(&rig, "key-monday").await;
    let unready = || {
        Fault::change(|it: &mut v1::CreateSnapshotResponse| {
            it.snapshot.as_mut().unwrap().ready_to_use = false;
        })
    };
    rig.proxy.next(CREATE, [unready(), unready(), unready()]);
    cut(&rig, "monday").await;
    rig.ready("monday").await;
    let calls = rig.proxy.calls::<v1::CreateSnapshotRequest>(CREATE);
    assert_eq!(calls.len(), 4);
    assert!(calls.iter().all(|it| it.secrets["password"] == "hunter2"));
    assert!(calls.iter().all(|it| it.parameters.is_empty()));
    assert_eq!(reads(&rig), 1);
    rig.delete("monday").await;
    rig.nothing_is_left().await;
    let calls = rig
        .proxy
        .calls::<v1::DeleteSnapshotRequest>("DeleteSnapshot");
    assert_eq!(calls[0].secrets["password"], "hunter2");
    assert_eq!(reads(&rig), 2);
    rig.stop().await;
}

#[tokio::test]
async fn a_secret_the_driver_turns_down_is_read_again() {
    let rig = with_class().await;
    secret(&rig, "key-monday").await;
    let wrong = Fault::Refuse(UNAUTHENTICATED, "wrong password");
    rig.proxy.next(CREATE, [wrong.clone(), wrong]);
    cut(&rig, "monday").await;
    rig.ready("monday").await;
    assert_eq!(reads(&rig), 3);
    rig.stop().await;
}

#[tokio::test]
async fn a_missing_secret_is_told_by_name_and_no_call_is_made_without_it() {
    let rig = with_class().await;
    cut(&rig, "monday").await;
    rig.complains("monday", "Secret default/key-monday does not exist")
        .await;
    assert_eq!(rig.proxy.count(CREATE), 0);
    secret(&rig, "key-monday").await;
    let ready = rig.ready("monday").await;
    assert_eq!(ready.status.unwrap().error, None);
    rig.stop().await;
}

#[tokio::test]
async fn d6_a_missing_secret_does_not_hold_up_deletion() {
    let rig = with_class().await;
    secret(&rig, "key-monday").await;
    cut(&rig, "monday").await;
    rig.ready("monday").await;
    let secrets = rig.world.namespaced::<Secret>();
    secrets
        .delete("key-monday", &DeleteParams::default())
        .await
        .unwrap();
    rig.delete("monday").await;
    rig.nothing_is_left().await;
    rig.stop().await;
}
