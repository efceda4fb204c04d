//! Lists: selectors, pages, resourceVersions, collections.

use serde_json::json;

use super::*;

fn names(list: &Value) -> Vec<&str> {
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect()
}

async fn labelled(world: &World, name: &str, label: &str) {
    let mut object = config_map(name);
    object["metadata"]["labels"] = json!({"l": label});
    world.post(MAPS, object).await.expect(201);
}

#[tokio::test]
async fn selectors_choose_objects() {
    let world = World::new();
    for (name, label) in [("a", "x"), ("b", "y"), ("c", "x")] {
        labelled(&world, name, label).await;
    }
    let check = async |query: &str, expected: &[&str]| {
        let list = world.get(&format!("{MAPS}?{query}")).await.expect(200);
        assert_eq!(names(&list), expected, "{query}");
    };
    check("labelSelector=l%3Dx", &["a", "c"]).await;
    check("labelSelector=l%20in%20(y,z)", &["b"]).await;
    check("labelSelector=l!%3Dx", &["b"]).await;
    check("fieldSelector=metadata.name%3Db", &["b"]).await;
    check(
        "fieldSelector=metadata.name!%3Db&labelSelector=l%3Dx",
        &["a", "c"],
    )
    .await;
    check("", &["a", "b", "c"]).await;
    world
        .get(&format!("{MAPS}?fieldSelector=spec.bogus%3Db"))
        .await
        .expect(400);
    world
        .get(&format!("{MAPS}?labelSelector=%2C%3D"))
        .await
        .expect(400);
    let all = world
        .get("/api/v1/configmaps?labelSelector=l")
        .await
        .expect(200);
    assert_eq!(
        (names(&all), &all["kind"]),
        (vec!["a", "b", "c"], &json!("ConfigMapList"))
    );
}

#[tokio::test]
async fn pages_show_one_moment() {
    let world = World::new();
    for name in ["a", "b", "c", "d", "e"] {
        world.post(MAPS, config_map(name)).await.expect(201);
    }
    let first = world.get(&format!("{MAPS}?limit=2")).await.expect(200);
    assert_eq!(
        (names(&first), &first["metadata"]["remainingItemCount"]),
        (vec!["a", "b"], &json!(3))
    );
    world.delete(&at("c")).await.expect(200);
    world.post(MAPS, config_map("bb")).await.expect(201);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = world
        .get(&format!("{MAPS}?limit=2&continue={token}"))
        .await
        .expect(200);
    assert_eq!(names(&second), ["c", "d"]);
    assert_eq!(
        second["metadata"]["resourceVersion"],
        first["metadata"]["resourceVersion"]
    );
    let token = second["metadata"]["continue"].as_str().unwrap();
    let third = world
        .get(&format!("{MAPS}?limit=2&continue={token}"))
        .await
        .expect(200);
    assert_eq!(names(&third), ["e"]);
    assert!(third["metadata"].get("continue").is_none());
    world
        .get(&format!("{MAPS}?continue=nonsense"))
        .await
        .expect(400);
    let world = world.restart();
    let expired = world
        .get(&format!("{MAPS}?limit=2&continue={token}"))
        .await
        .expect(410);
    assert_eq!(expired["reason"], "Expired");
    let message = expired["message"].as_str().unwrap();
    assert!(
        message.contains("or use the continue token in this response"),
        "{message}"
    );
    // What is left is shown as it is now, and says so by its resourceVersion.
    world.post(MAPS, config_map("dd")).await.expect(201);
    world.post(MAPS, config_map("f")).await.expect(201);
    let token = expired["metadata"]["continue"].as_str().unwrap();
    let rest = format!("{MAPS}?limit=2&continue={token}");
    let rest = world.get(&rest).await.expect(200);
    assert_eq!(names(&rest), ["dd", "e"]);
    assert_ne!(
        rest["metadata"]["resourceVersion"],
        first["metadata"]["resourceVersion"]
    );
    let token = rest["metadata"]["continue"].as_str().unwrap();
    world.post(MAPS, config_map("g")).await.expect(201);
    let last = format!("{MAPS}?limit=2&continue={token}");
    assert_eq!(
        names(&world.get(&last).await.expect(200)),
        ["f"],
        "one moment again"
    );
}

#[tokio::test]
async fn what_is_forgotten_is_gone() {
    let world = World::new();
    let a = world.post(MAPS, config_map("a")).await.expect(201);
    let rv = a["metadata"]["resourceVersion"].as_str().unwrap();
    let world = world.restart();
    world.post(MAPS, config_map("b")).await.expect(201);
    let old = rv.parse::<u64>().unwrap() - 1;
    let exact = format!("{MAPS}?resourceVersion={old}&resourceVersionMatch=Exact");
    assert_eq!(
        world.get(&exact).await.expect(410),
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "The resourceVersion for the provided list is too old.",
            "reason": "Expired", "code": 410})
    );
    for (token, why) in [
        (
            r#"{"v":"meta.k8s.io/v2","rv":1,"start":"a"}"#,
            "encoded version \"meta.k8s.io/v2\"",
        ),
        (
            r#"{"v":"meta.k8s.io/v1","rv":0,"start":"a"}"#,
            "encoded start resourceVersion",
        ),
    ] {
        let token = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE, token);
        let refused = world
            .get(&format!("{MAPS}?continue={token}"))
            .await
            .expect(400);
        let message = refused["message"].as_str().unwrap();
        assert!(
            message.starts_with("continue key is not valid: "),
            "{message}"
        );
        assert!(message.contains(why), "{message}");
    }
}

#[tokio::test]
async fn a_list_at_an_exact_version_is_of_that_time() {
    let world = World::new();
    let a = world.post(MAPS, config_map("a")).await.expect(201);
    world.post(MAPS, config_map("b")).await.expect(201);
    let rv = a["metadata"]["resourceVersion"].as_str().unwrap();
    let exact = format!("{MAPS}?resourceVersion={rv}&resourceVersionMatch=Exact");
    assert_eq!(names(&world.get(&exact).await.expect(200)), ["a"]);
    let newer = format!("{MAPS}?resourceVersion={rv}&resourceVersionMatch=NotOlderThan");
    assert_eq!(names(&world.get(&newer).await.expect(200)), ["a", "b"]);
    let future = world
        .get(&format!("{MAPS}?resourceVersion=999999"))
        .await
        .expect(504);
    assert_eq!(
        future["details"]["causes"][0]["reason"],
        "ResourceVersionTooLarge"
    );
    world
        .get(&format!("{MAPS}?resourceVersionMatch=Exact"))
        .await
        .expect(422);
}

#[tokio::test]
async fn a_collection_is_deleted_by_selector() {
    let world = World::new();
    for (name, label) in [("a", "x"), ("b", "y"), ("c", "x")] {
        labelled(&world, name, label).await;
    }
    let deleted = world
        .delete(&format!("{MAPS}?labelSelector=l%3Dx"))
        .await
        .expect(200);
    assert_eq!(
        (names(&deleted), &deleted["kind"]),
        (vec!["a", "c"], &json!("ConfigMapList"))
    );
    assert_eq!(names(&world.get(MAPS).await.expect(200)), ["b"]);
}

#[tokio::test]
async fn metadata_alone_is_served_on_demand() {
    let world = World::new();
    world.post(MAPS, config_map("a")).await.expect(201);
    let accept = [(
        "accept",
        "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
    )];
    let list = world.ask("GET", MAPS, &accept, "").await.expect(200);
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["items"][0]["kind"], "PartialObjectMetadata");
    assert!(list["items"][0].get("data").is_none());
}

#[tokio::test]
async fn discovery_lists_groups_and_resources() {
    let world = World::new();
    assert_eq!(
        world.get("/api").await.expect(200)["versions"],
        json!(["v1"])
    );
    let core = world.get("/api/v1").await.expect(200);
    let has = |name: &str| {
        core["resources"]
            .as_array()
            .unwrap()
            .iter()
            .any(|r| r["name"] == name)
    };
    for name in [
        "configmaps",
        "namespaces/finalize",
        "pods/binding",
        "pods/eviction",
    ] {
        assert!(has(name), "{name}: {core:#}");
    }
    let accept =
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let response = world.raw("GET", "/apis", &[("accept", accept)], "").await;
    assert_eq!(
        response.headers()["content-type"],
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    );
    let groups = world.get("/apis").await.expect(200);
    assert!(
        groups["groups"]
            .as_array()
            .unwrap()
            .iter()
            .any(|g| g["name"] == "storage.k8s.io")
    );
    assert_eq!(world.get("/healthz").await.expect(200), "ok");
    assert_eq!(world.get("/version").await.expect(200)["minor"], "36");
}
