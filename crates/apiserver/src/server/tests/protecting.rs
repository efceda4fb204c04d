//! Checks that what is in use stays until it is not.

use super::*;

const CLAIM: &str = "/api/v1/namespaces/default/persistentvolumeclaims/c";
const PODS: &str = "/api/v1/namespaces/default/pods";

fn pod(name: &str, node: Option<&str>) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name },
        "spec": {
            "nodeName": node,
            "containers": [{ "name": "main", "image": "any" }],
            "volumes": [{ "name": "data", "persistentVolumeClaim": { "claimName": "c" } }],
        },
    })
}

#[tokio::test]
async fn a_claim_goes_once_no_scheduled_pod_uses_it() {
    let sandbox = sandbox();
    let (claims, _) = CLAIM.rsplit_once('/').expect("path");
    for name in ["c", "unused"] {
        let claim = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": { "name": name },
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "",
                "resources": { "requests": { "storage": "1Gi" } },
            },
        });
        sandbox.create(claims, claim).await;
    }
    sandbox.create(PODS, pod("user", Some("n1"))).await;
    sandbox.create(PODS, pod("unscheduled", None)).await;
    sandbox.delete(CLAIM, json!({})).await;
    // One that goes later shows that the controller has had its turn with the one before.
    let unused = format!("{claims}/unused");
    sandbox.delete(&unused, json!({})).await;
    sandbox.until_gone(&unused).await;
    let held = sandbox.get(CLAIM).await.expect("held");
    assert_eq!(
        held["metadata"]["finalizers"],
        json!(["kubernetes.io/pvc-protection"])
    );
    let now = json!({ "gracePeriodSeconds": 0 });
    sandbox.delete(&format!("{PODS}/user"), now).await;
    sandbox.until_gone(CLAIM).await;
}

#[tokio::test]
async fn every_namespace_has_its_default_service_account_again_and_again() {
    let sandbox = sandbox();
    sandbox.namespace("team").await;
    let path = "/api/v1/namespaces/team/serviceaccounts/default";
    sandbox.until(path, |account| account.is_some()).await;
    let uid = sandbox.get(path).await.expect("there")["metadata"]["uid"].clone();
    sandbox.delete(path, json!({})).await;
    sandbox
        .until(path, |account| {
            account.is_some_and(|account| account["metadata"]["uid"] != uid)
        })
        .await;
}
