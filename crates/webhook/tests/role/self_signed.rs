//! The webhook with its own authority, in the embedded API server, with the rights and objects of `deploy/webhook/`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tintype_webhook::{Args, Webhook};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::cluster::Cluster;

const GROUP: &str = "groupsnapshot.storage.k8s.io";
const CONTENT: &str = "VolumeGroupSnapshotContent";
const DEFINITION: &str = "volumegroupsnapshotcontents.groupsnapshot.storage.k8s.io";

struct Running {
    address: std::net::SocketAddr,
    _end: DropGuard,
}

/// With the flags of the Deployment but for the addresses.
async fn run(cluster: &Cluster) -> Running {
    let args = Args {
        self_signed: true,
        port: 0,
        bind_address: "127.0.0.1".to_owned(),
        service_namespace: "kube-system".to_owned(),
        enable_volume_group_snapshot_webhook: true,
        ..Args::default()
    };
    let webhook = Webhook::open(args, Some(cluster.webhook())).await.unwrap();
    let (address, end) = (webhook.address(), CancellationToken::new());
    tokio::spawn(webhook.serve(end.clone()));
    Running {
        address,
        _end: end.drop_guard(),
    }
}

fn bundle(definition: &Value) -> Option<&str> {
    definition["spec"]["conversion"]["webhook"]["clientConfig"]["caBundle"].as_str()
}

/// Waits for the webhook to have told everybody whom to trust.
async fn published(cluster: &Cluster) -> String {
    let definitions = cluster.api("apiextensions.k8s.io/v1", "CustomResourceDefinition", None);
    let definition = cluster
        .until(&definitions, DEFINITION, |it| bundle(it).is_some())
        .await;
    let told = bundle(&definition).unwrap().to_owned();
    let configurations = cluster.api(
        "admissionregistration.k8s.io/v1",
        "ValidatingWebhookConfiguration",
        None,
    );
    for name in [
        "validation-webhook.snapshot.storage.k8s.io",
        "validation-webhook.groupsnapshot.storage.k8s.io",
    ] {
        let same = |it: &Value| it["webhooks"][0]["clientConfig"]["caBundle"] == *told;
        cluster.until(&configurations, name, same).await;
    }
    told
}

fn content(version: &str) -> Value {
    json!({"apiVersion": format!("{GROUP}/{version}"), "kind": CONTENT, "metadata": {"name": "g"},
        "spec": {"driver": "d", "deletionPolicy": "Delete",
            "source": {"volumeHandles": ["v", "w"]},
            "volumeGroupSnapshotRef": {"name": "g", "namespace": "default"}}})
}

/// Upstream without a webhook drops the members when a client of the old version writes the status (D3).
#[tokio::test]
async fn d3_a_client_of_the_old_version_loses_no_member() {
    let cluster = Cluster::start().await;
    let webhook = run(&cluster).await;
    cluster.serve_at(webhook.address).await;
    published(&cluster).await;
    let (old, new) = (
        cluster.api(&format!("{GROUP}/v1beta1"), CONTENT, None),
        cluster.api(&format!("{GROUP}/v1"), CONTENT, None),
    );
    cluster.apply(&content("v1beta1")).await;
    let infos = json!([
        {"volumeHandle": "v", "snapshotHandle": "s", "creationTime": 7, "readyToUse": true, "restoreSize": 1024},
        {"volumeHandle": "w", "snapshotHandle": "t", "creationTime": 7, "readyToUse": false}]);
    cluster
        .patch_status(
            &new,
            "g",
            json!({"volumeGroupSnapshotHandle": "group", "volumeSnapshotInfoList": infos}),
        )
        .await;
    // The old client sees its own list, and writes the status as it knows it.
    let seen = serde_json::to_value(old.get("g").await.unwrap()).unwrap();
    let pairs = json!([{"volumeHandle": "v", "snapshotHandle": "s"}, {"volumeHandle": "w", "snapshotHandle": "t"}]);
    assert_eq!(seen["status"]["volumeSnapshotHandlePairList"], pairs);
    assert_eq!(seen["status"].get("volumeSnapshotInfoList"), None);
    let mut whole: kube::api::DynamicObject = serde_json::from_value(seen).unwrap();
    whole.data["status"]["readyToUse"] = true.into();
    old.replace_status("g", &kube::api::PostParams::default(), &whole)
        .await
        .unwrap();
    let kept = serde_json::to_value(new.get("g").await.unwrap()).unwrap();
    assert_eq!(kept["status"]["volumeSnapshotInfoList"], infos);
    assert_eq!(kept["status"]["readyToUse"], true);
    assert_eq!(kept["metadata"].get("annotations"), None);
}

#[tokio::test]
async fn replicas_agree_on_one_authority() {
    let cluster = Cluster::start().await;
    let replicas = tokio::join!(run(&cluster), run(&cluster), run(&cluster));
    let told = published(&cluster).await;
    let secrets = cluster.api("v1", "Secret", Some("kube-system"));
    let secret = secrets
        .get("snapshot-conversion-webhook-secret")
        .await
        .unwrap();
    let held = STANDARD
        .decode(secret.data["data"]["ca.crt"].as_str().unwrap())
        .unwrap();
    assert_eq!(STANDARD.decode(&told).unwrap(), held);
    assert_eq!(
        String::from_utf8(held)
            .unwrap()
            .matches("BEGIN CERTIFICATE")
            .count(),
        1
    );
    // Each of them is trusted by whoever was told.
    let api = cluster.api(&format!("{GROUP}/v1beta1"), CONTENT, None);
    let endpoints = cluster.api("v1", "Endpoints", Some("kube-system"));
    for (at, replica) in [replicas.0, replicas.1, replicas.2].iter().enumerate() {
        cluster.serve_at(replica.address).await;
        // The one that came last may not have its certificate yet.
        let answered = async {
            while let Err(error) = api.list(&kube::api::ListParams::default()).await {
                panic_unless_starting(&error);
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        if at == 0 {
            cluster.apply(&content("v1")).await;
        }
        tokio::time::timeout(crate::caller::PATIENCE, answered)
            .await
            .unwrap();
        let gone = kube::api::DeleteParams::default();
        endpoints
            .delete("snapshot-conversion-webhook-service", &gone)
            .await
            .unwrap();
    }
}

fn panic_unless_starting(error: &kube::Error) {
    let words = error.to_string();
    assert!(words.contains("conversion webhook for"), "{words}");
}
