//! Rights: upstream's are enough, ours are smaller, and one controller more does no harm.

use serde::Deserialize as _;
use serde_json::{Value, json};
use tintype_api::VolumeSnapshot;
use tintype_sandbox::cluster::Options;

use crate::rig::{Rig, controller, snapshotter};

const OURS: &str = include_str!("../../../../deploy/rbac/snapshots.yaml");

/// Nobody was refused anything for want of a right.
fn nothing_was_forbidden(rig: &Rig) {
    let log = rig.log.lock().unwrap();
    let forbidden: Vec<_> = log.iter().filter(|(_, _, code)| *code == 403).collect();
    assert!(forbidden.is_empty(), "{forbidden:?}");
}

async fn a_whole_life(rig: &Rig) {
    rig.world.bound_claim("data", &json!({})).await;
    rig.cut("monday", "data").await;
    let ready = rig.ready("monday").await;
    assert!(ready.status.unwrap().error.is_none());
    rig.cut("lost", "nowhere").await;
    rig.complains("lost", "nowhere does not exist").await;
    rig.delete("lost").await;
    rig.delete("monday").await;
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn upstreams_rights_are_enough() {
    let rig = Rig::start().await;
    a_whole_life(&rig).await;
    nothing_was_forbidden(&rig);
    rig.stop().await;
}

#[tokio::test]
async fn the_smaller_rights_we_ship_are_enough_with_leader_election() {
    let mut rig = Rig::start().await;
    for document in serde_yaml_ng::Deserializer::from_str(OURS) {
        let object = Value::deserialize(document).unwrap();
        apply(&rig, object).await;
    }
    let elects = [
        "--leader-election",
        "--leader-election-namespace=kube-system",
    ];
    let next = controller(rig.client("tintype-snapshot-controller"), &elects);
    std::mem::replace(&mut rig.controller, next).stop().await;
    let client = rig.client("tintype-csi-snapshotter");
    let next = snapshotter(client, &rig.proxy, &elects);
    std::mem::replace(&mut rig.snapshotter, next).stop().await;
    rig.log.lock().unwrap().clear();
    a_whole_life(&rig).await;
    nothing_was_forbidden(&rig);
    rig.stop().await;
}

/// A controller that may not write is told about where its user looks, and goes on once it may.
#[tokio::test]
async fn what_the_server_refuses_is_told_once_and_done_as_soon_as_it_is_allowed() {
    const WITHHELD: &str = "volumesnapshots/status";
    let mut rig = Rig::start().await;
    for document in serde_yaml_ng::Deserializer::from_str(OURS) {
        let mut object = Value::deserialize(document).unwrap();
        if let Some(rules) = object["rules"].as_array_mut() {
            rules.retain(|it| it["resources"][0] != WITHHELD);
        }
        apply(&rig, object).await;
    }
    let client = rig.client("tintype-snapshot-controller");
    let next = controller(client, &[]);
    std::mem::replace(&mut rig.controller, next).stop().await;
    rig.world.bound_claim("data", &json!({})).await;
    rig.cut("monday", "data").await;
    let reason = "SnapshotStatusUpdateFailed";
    rig.told("default", "monday", &[reason]).await;
    let refused = || {
        let log = rig.log.lock().unwrap();
        log.iter().filter(|(_, _, code)| *code == 403).count()
    };
    rig.until("it is refused again and again", || refused() >= 5)
        .await;
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "withheld"}, "rules": [{"apiGroups": ["snapshot.storage.k8s.io"],
            "resources": [WITHHELD], "verbs": ["patch"]}]});
    apply(&rig, role).await;
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding", "metadata": {"name": "withheld"},
        "subjects": [{"kind": "ServiceAccount", "name": "tintype-snapshot-controller",
            "namespace": "kube-system"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
            "name": "withheld"}});
    apply(&rig, binding).await;
    rig.ready("monday").await;
    let reasons = rig.told("default", "monday", &["SnapshotReady"]).await;
    let told = reasons.iter().filter(|it| *it == reason).count();
    assert_eq!(told, 1, "{reasons:?}");
    rig.stop().await;
}

async fn apply(rig: &Rig, object: Value) {
    let kind = object["kind"].as_str().unwrap().to_lowercase() + "s";
    let group = object["apiVersion"].as_str().unwrap();
    let root = if group == "v1" {
        "/api".to_owned()
    } else {
        "/apis".to_owned()
    };
    let namespace = object["metadata"]["namespace"].as_str();
    let place = namespace.map_or(String::new(), |it| format!("/namespaces/{it}"));
    let path = format!("{root}/{group}{place}/{kind}");
    let request = http::Request::post(path)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(object.to_string().into_bytes())
        .unwrap();
    let client = rig.world.cluster.client();
    client.request::<Value>(request).await.unwrap();
}

/// As when a leader that was cut off works on: nothing is lost and nothing is made twice.
#[tokio::test]
async fn two_controllers_at_once_make_each_snapshot_once() {
    let mut rig = Rig::start().await;
    let second = controller(rig.client("snapshot-controller"), &[]);
    rig.world.bound_claim("data", &json!({})).await;
    let names: Vec<String> = (0..20).map(|at| format!("snap-{at}")).collect();
    for name in &names[..10] {
        rig.cut(name, "data").await;
    }
    rig.until("some are cut", || rig.proxy.count("CreateSnapshot") >= 3)
        .await;
    // One ends in the middle of the work; the other one does what is left.
    std::mem::replace(&mut rig.controller, second).stop().await;
    for name in &names[10..] {
        rig.cut(name, "data").await;
    }
    for name in &names {
        rig.ready(name).await;
    }
    assert_eq!(rig.world.stored().await.1.len(), 20);
    for name in &names {
        rig.delete(name).await;
    }
    nothing_was_forbidden(&rig);
    rig.nothing_is_left().await;
    rig.stop().await;
}

/// What is not driven by this sidecar is left alone, whatever it looks like.
#[tokio::test]
async fn a_snapshot_of_a_driver_without_sidecar_waits_and_can_be_deleted() {
    let other = |options: &mut Options| options.driver_name = "testdriver.csi.k8s.io".to_owned();
    let rig = Rig::start_with(other).await;
    rig.world.bound_claim("data", &json!({})).await;
    rig.cut("monday", "data").await;
    rig.ready("monday").await;
    let wrong = json!({"driver": "nobody.csi.example", "deletionPolicy": "Delete"});
    rig.world
        .create_clusterwide::<tintype_api::VolumeSnapshotClass>("wrong", wrong)
        .await;
    let source = json!({"persistentVolumeClaimName": "data"});
    let spec = json!({"volumeSnapshotClassName": "wrong", "source": source});
    rig.world
        .create::<VolumeSnapshot>("tuesday", json!({ "spec": spec }))
        .await;
    rig.complains("tuesday", "is for driver nobody.csi.example")
        .await;
    rig.delete("tuesday").await;
    rig.delete("monday").await;
    rig.nothing_is_left().await;
    rig.stop().await;
}
