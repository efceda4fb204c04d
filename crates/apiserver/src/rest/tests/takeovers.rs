//! Server-side apply of what was written in other ways: by `kubectl apply`, by nobody known, through `scale`.

use serde_json::json;

use super::applies::{map, owners};
use super::*;

/// What `kubectl apply` without the server's help writes, as it is sent.
fn applied_by_client(data: &Value) -> Value {
    let mut object = map(data.clone());
    let mut applied = map(data.clone());
    applied["metadata"] = json!({"annotations": {}, "name": "one", "namespace": "default"});
    object["metadata"]["annotations"] = json!({LAST_APPLIED: format!("{applied}\n")});
    object
}

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

fn last_applied(object: &Value) -> Value {
    let text = &object["metadata"]["annotations"][LAST_APPLIED];
    let text = text.as_str().unwrap();
    assert!(text.ends_with("}\n"));
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn kubectl_moves_from_applying_by_itself_to_the_server() {
    let world = World::new();
    let mine = "fieldManager=kubectl-client-side-apply";
    let first = applied_by_client(&json!({"x": "1", "y": "1"}));
    world
        .post(&format!("{MAPS}?{mine}"), first)
        .await
        .expect(201);
    // The fields are another manager's, but what the annotation says may be changed.
    let taken = world
        .apply_as(
            &at("one"),
            "kubectl",
            "",
            map(json!({"x": "2<3", "y": "1"})),
        )
        .await
        .expect(200);
    assert_eq!(taken["data"], json!({"x": "2<3", "y": "1"}));
    assert_eq!(last_applied(&taken), map(json!({"x": "2<3", "y": "1"})));
    let text = taken["metadata"]["annotations"][LAST_APPLIED].to_string();
    assert!(text.contains("u003c"), "{text}");
    assert_eq!(
        owners(&taken),
        json!({"Apply kubectl": {"f:data": {"f:x": {}, "f:y": {}}},
            "Update kubectl-client-side-apply": {"f:data": {".": {}, "f:y": {}},
                "f:metadata": {"f:annotations": {".": {}, format!("f:{LAST_APPLIED}"): {}}}}})
    );
    // Then kubectl gives all of the older manager to the newer one.
    let entry = json!({"manager": "kubectl", "operation": "Apply", "apiVersion": "v1",
        "time": "2024-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1":
            {"f:data": {".": {}, "f:x": {}, "f:y": {}}}});
    let version = taken["metadata"]["resourceVersion"].clone();
    let patch = json!([{"op": "replace", "path": "/metadata/managedFields", "value": [entry]},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": version}]);
    let header = [("content-type", "application/json-patch+json")];
    let path = format!("{}?fieldManager=kubectl", at("one"));
    let moved = world
        .ask("PATCH", &path, &header, patch.to_string())
        .await
        .expect(200);
    assert_eq!(moved["metadata"]["managedFields"], json!([entry]));
    let less = world
        .apply_as(&at("one"), "kubectl", "", map(json!({"x": "2"})))
        .await
        .expect(200);
    assert_eq!(
        less["data"],
        json!({"x": "2"}),
        "nobody else holds y any more"
    );
    assert_eq!(last_applied(&less), map(json!({"x": "2"})));
}

#[tokio::test]
async fn what_somebody_changed_since_the_last_apply_is_a_conflict() {
    let world = World::new();
    let first = applied_by_client(&json!({"x": "1", "y": "1"}));
    world
        .post(&format!("{MAPS}?fieldManager=old"), first)
        .await
        .expect(201);
    let by = |manager: &str| format!("{}?fieldManager={manager}", at("one"));
    world
        .merge(&by("edit"), json!({"data": {"y": "5"}}))
        .await
        .expect(200);
    let both = json!({"x": "2", "y": "2"});
    let refused = world
        .apply_as(&at("one"), "kubectl", "", map(both.clone()))
        .await
        .expect(409);
    let causes = refused["details"]["causes"].as_array().unwrap();
    let fields: Vec<&Value> = causes.iter().map(|cause| &cause["field"]).collect();
    assert_eq!(fields, [".data.y"]);
    let other = world
        .apply_as(&at("one"), "tool", "", map(both.clone()))
        .await;
    let other = other.expect(409);
    assert_eq!(
        other["details"]["causes"].as_array().unwrap().len(),
        2,
        "only kubectl inherits"
    );
    let forced = world
        .apply_as(&at("one"), "kubectl", "&force=true", map(both.clone()))
        .await
        .expect(200);
    assert_eq!(forced["data"], both);
    assert_eq!(last_applied(&forced), map(both));
}

#[tokio::test]
async fn who_starts_anew_owns_nothing_until_somebody_applies() {
    let world = World::new();
    world.post(MAPS, map(json!({"x": "1"}))).await.expect(201);
    let none = world
        .merge(&at("one"), json!({"metadata": {"managedFields": [{}]}}))
        .await
        .expect(200);
    assert_eq!(none["metadata"].get("managedFields"), None);
    let still = world
        .merge(&at("one"), json!({"data": {"x": "2"}}))
        .await
        .expect(200);
    assert_eq!(still["metadata"].get("managedFields"), None);
    let refused = world
        .apply_as(&at("one"), "a", "", map(json!({"x": "3"})))
        .await;
    let refused = refused.expect(409);
    let message = refused["message"].as_str().unwrap();
    let begin = "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1";
    assert!(message.starts_with(begin), "{message}");
    let same = world
        .apply_as(&at("one"), "a", "", map(json!({"x": "2"})))
        .await;
    assert_eq!(
        owners(&same.expect(200)),
        json!({"Apply a": {"f:data": {"f:x": {}}},
            "Update before-first-apply": {"f:data": {".": {}, "f:x": {}}}})
    );
}

#[tokio::test]
async fn replicas_are_applied_through_scale() {
    let world = World::new();
    let path = "/apis/apps/v1/namespaces/default/deployments/w";
    let labels = json!({"app": "w"});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {
        "replicas": 2, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    world.apply_as(path, "a", "", deployment).await.expect(201);
    let scale = format!("{path}/scale");
    let to = |n: i64| {
        json!({"apiVersion": "autoscaling/v1", "kind": "Scale",
        "metadata": {"name": "w"}, "spec": {"replicas": n}})
    };
    let refused = world.apply_as(&scale, "hpa", "", to(5)).await.expect(409);
    assert_eq!(
        refused["message"],
        "Apply failed with 1 conflict: conflict with \"a\": .spec.replicas"
    );
    let tried = world
        .apply_as(&scale, "hpa", "&force=true&dryRun=All", to(4))
        .await;
    let tried = tried.expect(200);
    assert_eq!(
        (&tried["kind"], &tried["spec"]),
        (&json!("Scale"), &json!({"replicas": 4}))
    );
    let forced = world.apply_as(&scale, "hpa", "&force=true", to(5)).await;
    assert_eq!(forced.expect(200)["spec"]["replicas"], 5);
    let whole = world.get(path).await.expect(200);
    assert_eq!(
        owners(&whole)["Apply hpa scale"],
        json!({"f:spec": {"f:replicas": {}}})
    );
    assert_eq!(owners(&whole)["Apply a"]["f:spec"].get("f:replicas"), None);
    let again = world.apply_as(&scale, "hpa", "", to(5)).await.expect(200);
    assert_eq!(
        again["metadata"]["resourceVersion"],
        whole["metadata"]["resourceVersion"]
    );
    world
        .merge(
            &format!("{scale}?fieldManager=m"),
            json!({"spec": {"replicas": 6}}),
        )
        .await
        .expect(200);
    let refused = world.apply_as(&scale, "hpa", "", to(7)).await.expect(409);
    let message = refused["message"].as_str().unwrap();
    let begin = "Apply failed with 1 conflict: conflict with \"m\" with subresource \"scale\" \
                 using autoscaling/v1 at ";
    assert!(message.starts_with(begin), "{message}");
    let mut odd = to(6);
    odd["spec"]["image"] = json!("x");
    let odd = world.apply_as(&scale, "hpa", "", odd).await.expect(500);
    assert!(
        odd["message"]
            .as_str()
            .unwrap()
            .ends_with(".spec.image: field not declared in schema")
    );
    let mut other = to(6);
    other["kind"] = json!("Deployment");
    world.apply_as(&scale, "hpa", "", other).await.expect(400);
    let mut other = to(6);
    other["metadata"]["name"] = json!("v");
    world.apply_as(&scale, "hpa", "", other).await.expect(400);
}
