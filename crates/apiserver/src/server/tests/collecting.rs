//! Checks that what nobody owns or contains any more goes away.

use super::*;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const CONFIGS: &str = "/api/v1/namespaces/default/configmaps";

fn widgets() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": "widgets.example.com" },
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": { "plural": "widgets", "singular": "widget", "kind": "Widget" },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                } },
            }],
        },
    })
}

fn config(name: &str, owner: Option<&Value>) -> Value {
    let owners = owner.map(|owner| {
        json!([{
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": true,
        }])
    });
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": name, "ownerReferences": owners },
    })
}

impl Sandbox {
    async fn widget(&self, namespace: &str, metadata: Value) -> Value {
        let widget =
            json!({ "apiVersion": "example.com/v1", "kind": "Widget", "metadata": metadata });
        self.create(
            &format!("/apis/example.com/v1/namespaces/{namespace}/widgets"),
            widget,
        )
        .await
    }

    async fn define_widgets(&self) {
        self.create(DEFINITIONS, widgets()).await;
        let established = |definition: Option<&Value>| {
            let conditions = definition.and_then(|d| d["status"]["conditions"].as_array());
            conditions.is_some_and(|all| {
                all.iter()
                    .any(|c| c["type"] == "Established" && c["status"] == "True")
            })
        };
        self.until(&format!("{DEFINITIONS}/widgets.example.com"), established)
            .await;
    }
}

fn deletion(policy: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy })
}

#[tokio::test]
async fn dependents_follow_their_owner_also_a_custom_one() {
    let sandbox = sandbox();
    sandbox.define_widgets().await;
    let owner = sandbox.widget("default", json!({ "name": "owner" })).await;
    let child = sandbox.create(CONFIGS, config("child", Some(&owner))).await;
    sandbox
        .create(CONFIGS, config("grandchild", Some(&child)))
        .await;
    sandbox.create(CONFIGS, config("other", None)).await;
    let path = "/apis/example.com/v1/namespaces/default/widgets/owner";
    sandbox.delete(path, deletion("Background")).await;
    sandbox.until_gone(&format!("{CONFIGS}/child")).await;
    sandbox.until_gone(&format!("{CONFIGS}/grandchild")).await;
    sandbox
        .get(&format!("{CONFIGS}/other"))
        .await
        .expect("owned by nobody");
}

#[tokio::test]
async fn in_the_foreground_the_owner_goes_last() {
    let sandbox = sandbox();
    let owner = sandbox.create(CONFIGS, config("owner", None)).await;
    let mut child = config("child", Some(&owner));
    child["metadata"]["finalizers"] = json!(["example.com/hold"]);
    sandbox.create(CONFIGS, child).await;
    let owner_path = format!("{CONFIGS}/owner");
    let child_path = format!("{CONFIGS}/child");
    sandbox.delete(&owner_path, deletion("Foreground")).await;
    let deleting = |object: Option<&Value>| {
        object.is_some_and(|object| object["metadata"]["deletionTimestamp"].is_string())
    };
    sandbox.until(&child_path, deleting).await;
    sandbox
        .get(&owner_path)
        .await
        .expect("waits for its dependent");
    let released = json!({ "metadata": { "finalizers": null } });
    sandbox
        .client
        .call(Call::merge(&*child_path, released))
        .await
        .expect("patched");
    sandbox.until_gone(&child_path).await;
    sandbox.until_gone(&owner_path).await;
}

#[tokio::test]
async fn orphans_stay_without_their_owner() {
    let sandbox = sandbox();
    let owner = sandbox.create(CONFIGS, config("owner", None)).await;
    sandbox.create(CONFIGS, config("child", Some(&owner))).await;
    sandbox
        .delete(&format!("{CONFIGS}/owner"), deletion("Orphan"))
        .await;
    sandbox.until_gone(&format!("{CONFIGS}/owner")).await;
    let child = sandbox
        .get(&format!("{CONFIGS}/child"))
        .await
        .expect("stays");
    let owners = child["metadata"]["ownerReferences"].as_array();
    assert!(owners.is_none_or(Vec::is_empty), "{child}");
}

#[tokio::test]
async fn an_object_whose_owner_never_was_goes() {
    let sandbox = sandbox();
    let never = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "never", "uid": "0b8f4a1e-1111-4222-8333-444455556666" },
    });
    sandbox.create(CONFIGS, config("child", Some(&never))).await;
    sandbox.until_gone(&format!("{CONFIGS}/child")).await;
}

#[tokio::test]
async fn an_owner_in_another_namespace_is_no_owner() {
    let sandbox = sandbox();
    sandbox.namespace("team").await;
    let owner = sandbox.create(CONFIGS, config("owner", None)).await;
    sandbox.create(CONFIGS, config("child", Some(&owner))).await;
    let elsewhere = "/api/v1/namespaces/team/configmaps";
    sandbox
        .create(elsewhere, config("child", Some(&owner)))
        .await;
    sandbox.until_gone(&format!("{elsewhere}/child")).await;
    for name in ["owner", "child"] {
        let stays = sandbox.get(&format!("{CONFIGS}/{name}")).await;
        stays.expect("nothing happened to it");
    }
}

#[tokio::test]
async fn a_deleted_namespace_is_emptied_waits_for_finalizers_and_goes() {
    let sandbox = sandbox();
    sandbox.define_widgets().await;
    sandbox.namespace("team").await;
    for i in 0..20 {
        sandbox
            .widget("team", json!({ "name": format!("w{i}") }))
            .await;
    }
    let held = json!({ "name": "held", "finalizers": ["example.com/hold"] });
    sandbox.widget("team", held).await;
    let path = "/api/v1/namespaces/team";
    sandbox.delete(path, json!({})).await;
    let told = |namespace: Option<&Value>| {
        let conditions = namespace.and_then(|n| n["status"]["conditions"].as_array());
        let message = "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances";
        conditions.is_some_and(|all| all.iter().any(|c| c["message"] == message))
    };
    sandbox.until(path, told).await;
    let widgets = "/apis/example.com/v1/namespaces/team/widgets";
    let left = sandbox.get(widgets).await.expect("listed");
    assert_eq!(left["items"].as_array().map(Vec::len), Some(1));
    let released = json!({ "metadata": { "finalizers": null } });
    let held = format!("{widgets}/held");
    sandbox
        .client
        .call(Call::merge(held, released))
        .await
        .expect("patched");
    sandbox.until_gone(path).await;
    sandbox.namespace("team").await;
}
