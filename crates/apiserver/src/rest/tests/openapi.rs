//! OpenAPI over HTTP: found by the index, fresh by hash and tag, in both forms.

use serde_json::json;

use super::*;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const ASKED: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

fn definition(description: &str) -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "gears.x.example.com"},
        "spec": {"group": "x.example.com", "scope": "Cluster",
            "names": {"plural": "gears", "kind": "Gear"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "description": description}}}]}})
}

async fn address(world: &World) -> String {
    let index = world.get("/openapi/v3").await.expect(200);
    let entry = &index["paths"]["apis/x.example.com/v1"]["serverRelativeURL"];
    entry.as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_definition_is_explained_as_long_as_it_is_there() {
    let world = World::new();
    assert_eq!(address(&world).await, "");
    world
        .post(DEFINITIONS, definition("A gear."))
        .await
        .expect(201);
    let first = address(&world).await;
    let document = world.get(&first).await.expect(200);
    let gear = &document["components"]["schemas"]["com.example.x.v1.Gear"];
    assert_eq!(gear["description"], "A gear.");
    let path = format!("{DEFINITIONS}/gears.x.example.com");
    let version = &definition("A wheel.")["spec"]["versions"];
    world
        .merge(&path, json!({"spec": {"versions": version}}))
        .await
        .expect(200);
    let second = address(&world).await;
    assert_ne!(first, second);
    world.delete(&path).await.expect(200);
    assert_eq!(address(&world).await, "");
    world.get(&second).await.expect(404);
}

#[tokio::test]
async fn an_address_with_its_hash_may_be_kept_for_ever() {
    let world = World::new();
    let index = world.get("/openapi/v3").await.expect(200);
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"]
        .as_str()
        .unwrap();
    let response = world.raw("GET", url, &[], "").await;
    let cache = response.headers()["cache-control"].to_str().unwrap();
    assert!(cache.contains("immutable"), "{cache}");
    let tag = response.headers()["etag"].to_str().unwrap().to_owned();
    let again = world.raw("GET", url, &[("if-none-match", &tag)], "").await;
    assert_eq!(again.status(), 304);
    let stale = world
        .raw("GET", "/openapi/v3/apis/apps/v1?hash=0", &[], "")
        .await;
    assert_eq!(stale.headers()["cache-control"], "no-cache, private");
}

#[tokio::test]
async fn older_clients_get_the_form_they_ask_for() {
    let world = World::new();
    let plain = world.get("/openapi/v2").await.expect(200);
    assert_eq!(plain["swagger"], "2.0");
    let accept = format!("{ASKED}, application/json");
    let response = world
        .raw("GET", "/openapi/v2", &[("accept", &accept)], "")
        .await;
    assert_eq!(response.headers()["content-type"], PROTOBUF);
    // The other form has another tag, or caches would mix them up.
    let other = world.raw("GET", "/openapi/v2", &[], "").await;
    assert_ne!(response.headers()["etag"], other.headers()["etag"]);
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    // Field 1, a string of three bytes.
    assert_eq!(&bytes[..5], b"\x0a\x032.0");
}

#[tokio::test]
async fn nothing_is_explained_where_nothing_is_served() {
    let world = World::new();
    for path in [
        "/openapi",
        "/openapi/v1",
        "/openapi/v3/apis/nope/v1",
        "/openapi/v3/api",
    ] {
        assert_eq!(world.get(path).await.code, 404, "{path}");
    }
}
