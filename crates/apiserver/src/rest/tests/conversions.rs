//! Versions of a custom resource that differ, converted by a webhook.

use serde_json::json;

use super::hook::Hook;
use super::*;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const OLD: &str = "/apis/x.example.com/v1/namespaces/default/boxes";
const NEW: &str = "/apis/x.example.com/v2/namespaces/default/boxes";

/// v1 has `spec.size`, v2 has `spec.extent.size`; v2 is stored.
fn definition(config: &Value) -> Value {
    let size = json!({"type": "object", "properties": {"size": {"type": "integer"}}});
    let version = |name: &str, spec: Value, storage: bool| {
        json!({"name": name, "served": true, "storage": storage,
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}})
    };
    let extent = json!({"type": "object", "properties": {"extent": size}});
    let mut old = version("v1", size, false);
    old["selectableFields"] = json!([{"jsonPath": ".spec.size"}]);
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "boxes.x.example.com"},
        "spec": {"group": "x.example.com", "scope": "Namespaced",
            "names": {"plural": "boxes", "kind": "Box"},
            "versions": [old, version("v2", extent, true)],
            "conversion": {"strategy": "Webhook", "webhook": {"clientConfig": config,
                "conversionReviewVersions": ["v1"]}}}})
}

fn convert(review: &Value) -> Value {
    let request = &review["request"];
    let wanted = &request["desiredAPIVersion"];
    let converted: Vec<Value> = request["objects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|object| {
            let mut object = object.clone();
            object["apiVersion"] = wanted.clone();
            // The first is what may be changed of the metadata, the second what may not.
            object["metadata"]["labels"] =
                json!({"converted-to": wanted.as_str().unwrap().replace('/', "_")});
            object["metadata"]["creationTimestamp"] = json!("1970-01-01T00:00:00Z");
            object["spec"] = match object["spec"]["extent"].as_object() {
                Some(extent) => json!(extent),
                None => json!({"extent": object["spec"]}),
            };
            object
        })
        .collect();
    json!({"apiVersion": review["apiVersion"], "kind": "ConversionReview",
        "response": {"uid": request["uid"], "convertedObjects": converted,
            "result": {"status": "Success"}}})
}

fn a_box(name: &str, size: u64) -> Value {
    json!({"apiVersion": "x.example.com/v1", "kind": "Box", "metadata": {"name": name},
        "spec": {"size": size}})
}

async fn with_boxes() -> (World, Hook) {
    let world = World::new();
    let hook = Hook::serve(|review| convert(&review)).await;
    let definition = definition(&hook.config());
    world.post(DEFINITIONS, definition).await.expect(201);
    (world, hook)
}

#[tokio::test]
async fn each_version_shows_its_own_shape() {
    let (world, _hook) = with_boxes().await;
    let made = world.post(OLD, a_box("a", 3)).await.expect(201);
    assert_eq!(made["spec"], json!({"size": 3}));
    assert_eq!(made["apiVersion"], "x.example.com/v1");
    assert_ne!(
        made["metadata"]["creationTimestamp"],
        "1970-01-01T00:00:00Z"
    );
    let new = world.get(&format!("{NEW}/a")).await.expect(200);
    assert_eq!(new["spec"], json!({"extent": {"size": 3}}));
    assert_eq!(
        new["metadata"]["labels"]["converted-to"],
        "x.example.com_v2"
    );
    let patched = world
        .merge(&format!("{OLD}/a"), json!({"spec": {"size": 4}}))
        .await
        .expect(200);
    assert_eq!(patched["spec"], json!({"size": 4}));
    let new = world.get(&format!("{NEW}/a")).await.expect(200);
    assert_eq!(new["spec"], json!({"extent": {"size": 4}}));
    let gone = world.delete(&format!("{OLD}/a")).await.expect(200);
    assert_eq!(gone["status"], "Success");
}

#[tokio::test]
async fn a_list_of_many_is_one_review() {
    let (world, hook) = with_boxes().await;
    for n in 1..=20 {
        world
            .post(OLD, a_box(&format!("b-{n}"), n % 4))
            .await
            .expect(201);
    }
    let before = hook.called();
    let list = world.get(OLD).await.expect(200);
    assert_eq!(hook.called() - before, 1);
    let sizes: u64 = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["spec"]["size"].as_u64().unwrap())
        .sum();
    assert_eq!(sizes, 30);
    let stored = hook.called();
    world.get(NEW).await.expect(200);
    assert_eq!(hook.called(), stored, "the stored version needs no webhook");
    let two = world
        .get(&format!("{OLD}?fieldSelector=spec.size%3D2"))
        .await
        .expect(200);
    assert_eq!(two["items"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn a_watch_tells_of_the_version_it_was_asked_for() {
    let (world, _hook) = with_boxes().await;
    world
        .post(
            NEW,
            json!({"apiVersion": "x.example.com/v2", "kind": "Box",
        "metadata": {"name": "a"}, "spec": {"extent": {"size": 1}}}),
        )
        .await
        .expect(201);
    let response = world.raw("GET", &format!("{OLD}?watch=1"), &[], "").await;
    let mut body = response.into_body();
    let mut next = async || -> Value {
        let frame = body.frame().await.unwrap().unwrap();
        serde_json::from_slice(frame.data_ref().unwrap()).unwrap()
    };
    assert_eq!(next().await["object"]["spec"], json!({"size": 1}));
    world
        .merge(&format!("{OLD}/a"), json!({"spec": {"size": 2}}))
        .await
        .expect(200);
    let event = next().await;
    assert_eq!(
        (&event["type"], &event["object"]["spec"]),
        (&json!("MODIFIED"), &json!({"size": 2}))
    );
    world.delete(&format!("{NEW}/a")).await.expect(200);
    let event = next().await;
    assert_eq!(
        (&event["type"], &event["object"]["apiVersion"]),
        (&json!("DELETED"), &json!("x.example.com/v1"))
    );
    assert_eq!(event["object"]["spec"], json!({"size": 2}));
}

#[tokio::test]
async fn a_webhook_that_fails_is_named() {
    let (world, hook) = with_boxes().await;
    world.post(OLD, a_box("a", 3)).await.expect(201);
    drop(hook);
    let refused = world.get(&format!("{OLD}/a")).await.expect(500);
    let message = refused["message"].as_str().unwrap();
    let begins =
        "conversion webhook for x.example.com/v2, Kind=Box failed: Post \"https://127.0.0.1:";
    assert!(message.starts_with(begins), "{message}");
    world.get(&format!("{NEW}/a")).await.expect(200);
    let wrong = Hook::serve(|review| {
        let mut answer = convert(&review);
        answer["response"]["convertedObjects"][0]["metadata"]["name"] = json!("other");
        answer
    })
    .await;
    let change = json!({"spec": {"conversion": {"webhook": {"clientConfig": wrong.config()}}}});
    let path = format!("{DEFINITIONS}/boxes.x.example.com");
    world.merge(&path, change).await.expect(200);
    let refused = world.get(&format!("{OLD}/a")).await.expect(500);
    let message = refused["message"].as_str().unwrap();
    assert!(
        message.contains("must have the same name: \"other\" != \"a\""),
        "{message}"
    );
}

#[tokio::test]
async fn a_service_is_found_through_its_endpoints() {
    let (world, hook) = with_boxes().await;
    world
        .post(
            "/api/v1/namespaces/default/services",
            json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "hook"}, "spec": {"ports": [{"port": 443}]}}),
        )
        .await
        .expect(201);
    let config = json!({"service": {"namespace": "default", "name": "hook", "path": "/convert"},
        "caBundle": hook.bundle, "url": null});
    let change = json!({"spec": {"conversion": {"webhook": {"clientConfig": config}}}});
    let path = format!("{DEFINITIONS}/boxes.x.example.com");
    world.merge(&path, change).await.expect(200);
    let refused = world.post(OLD, a_box("a", 3)).await.expect(500);
    let message = refused["message"].as_str().unwrap();
    assert!(
        message.ends_with("no endpoints available for service \"hook\""),
        "{message}"
    );
    world
        .post(
            "/api/v1/namespaces/default/endpoints",
            json!({"apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"name": "hook"}, "subsets": [{"addresses": [{"ip": "127.0.0.1"}],
            "ports": [{"port": hook.port}]}]}),
        )
        .await
        .expect(201);
    world.post(OLD, a_box("a", 3)).await.expect(201);
}

#[tokio::test]
async fn a_definition_that_names_no_webhook_is_refused() {
    let world = World::new();
    let refused = async |config: Value| -> String {
        let answer = world
            .post(DEFINITIONS, definition(&config))
            .await
            .expect(422);
        answer["message"].as_str().unwrap().to_owned()
    };
    let cases = [
        (
            json!({}),
            "spec.conversion.webhookClientConfig: Required value: exactly one of url or service is required",
        ),
        (
            json!({"url": "http://a.b"}),
            "spec.conversion.webhookClientConfig.url: Invalid value: \"http://a.b\": 'https' is the only allowed URL scheme",
        ),
        (
            json!({"service": {"name": "a"}}),
            "spec.conversion.webhookClientConfig.service.namespace: Required value",
        ),
        (
            Value::Null,
            "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook",
        ),
    ];
    for (config, why) in cases {
        let message = refused(config).await;
        assert!(message.contains(why), "{message}");
    }
}
