//! One object at a time: create, read, replace, patch, delete.

use serde_json::json;

use super::*;

#[tokio::test]
async fn an_object_is_created_read_and_deleted() {
    let world = World::new();
    let created = world.post(MAPS, config_map("one")).await.expect(201);
    assert_eq!(created["metadata"]["namespace"], "default");
    assert!(created["metadata"]["uid"].is_string());
    assert!(created["metadata"].get("generation").is_none());
    assert_eq!(world.get(&at("one")).await.expect(200), created);
    let again = world.post(MAPS, config_map("one")).await.expect(409);
    assert_eq!(again["message"], "configmaps \"one\" already exists");
    let deleted = world.delete(&at("one")).await.expect(200);
    let details = json!({"kind": "configmaps", "name": "one", "uid": created["metadata"]["uid"]});
    assert_eq!(
        (&deleted["status"], &deleted["details"]),
        (&json!("Success"), &details)
    );
    assert_eq!(
        world.delete(&at("one")).await.expect(404)["reason"],
        "NotFound"
    );
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let world = World::new();
    let created = world.post(MAPS, config_map("one")).await.expect(201);
    let world = world.restart();
    assert_eq!(world.get(&at("one")).await.expect(200), created);
    let next = world.post(MAPS, config_map("two")).await.expect(201);
    let rv = |object: &Value| -> u64 {
        object["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    };
    assert!(rv(&next) > rv(&created));
}

#[tokio::test]
async fn a_stale_replacement_meets_a_conflict() {
    let world = World::new();
    let mut first = world.post(MAPS, config_map("one")).await.expect(201);
    first["data"]["a"] = json!("2");
    let second = world.put(&at("one"), first.clone()).await.expect(200);
    assert_ne!(
        second["metadata"]["resourceVersion"],
        first["metadata"]["resourceVersion"]
    );
    assert_eq!(
        world.put(&at("one"), first).await.expect(409)["message"],
        "Operation cannot be fulfilled on configmaps \"one\": the object has been modified; \
         please apply your changes to the latest version and try again"
    );
    let same = world.put(&at("one"), second.clone()).await.expect(200);
    assert_eq!(same, second, "a write that changes nothing writes nothing");
    let blind = world.put(&at("one"), config_map("one")).await.expect(200);
    assert_eq!(blind["data"]["a"], "1");
    assert_eq!(blind["metadata"]["uid"], second["metadata"]["uid"]);
}

#[tokio::test]
async fn a_foreign_uid_or_name_is_refused() {
    let world = World::new();
    world.post(MAPS, config_map("one")).await.expect(201);
    let mut object = config_map("one");
    object["metadata"]["uid"] = json!("11111111-1111-1111-1111-111111111111");
    let conflict = world.put(&at("one"), object).await.expect(409);
    let message = conflict["message"].as_str().unwrap();
    assert!(
        message.contains("Key: /registry/configmaps/default/one"),
        "{message}"
    );
    assert_eq!(
        world.put(&at("one"), config_map("two")).await.expect(400)["message"],
        "the name of the object (two) does not match the name on the URL (one)"
    );
    let mut elsewhere = config_map("q");
    elsewhere["metadata"]["namespace"] = json!("other");
    assert_eq!(
        world.post(MAPS, elsewhere).await.expect(400)["message"],
        "the namespace of the provided object does not match the namespace sent on the request"
    );
}

#[tokio::test]
async fn a_merge_patch_changes_only_what_it_names() {
    let world = World::new();
    world.post(MAPS, config_map("one")).await.expect(201);
    let patched = world
        .merge(&at("one"), json!({"data": {"b": "2"}}))
        .await
        .expect(200);
    assert_eq!(patched["data"], json!({"a": "1", "b": "2"}));
    let stale = json!({"metadata": {"resourceVersion": "1"}, "data": {"b": "3"}});
    world.merge(&at("one"), stale).await.expect(409);
    world.merge(&at("none"), json!({})).await.expect(404);
    let plain = world
        .ask("PATCH", &at("one"), &[("content-type", "text/plain")], "{}")
        .await;
    assert_eq!(plain.expect(415)["reason"], "UnsupportedMediaType");
}

#[tokio::test]
async fn finalizers_hold_a_deleted_object() {
    let world = World::new();
    let mut object = config_map("held");
    object["metadata"]["finalizers"] = json!(["e.com/x"]);
    world.post(MAPS, object).await.expect(201);
    let held = world.delete(&at("held")).await.expect(200);
    assert!(held["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(held["metadata"]["deletionGracePeriodSeconds"], 0);
    let again = world.delete(&at("held")).await.expect(200);
    assert_eq!(
        again["metadata"]["resourceVersion"],
        held["metadata"]["resourceVersion"]
    );
    let added = json!({"metadata": {"finalizers": ["e.com/x", "e.com/y"]}});
    world.merge(&at("held"), added).await.expect(422);
    world
        .merge(&at("held"), json!({"metadata": {"finalizers": null}}))
        .await
        .expect(200);
    world.get(&at("held")).await.expect(404);
}

#[tokio::test]
async fn delete_preconditions_and_propagation_are_kept() {
    let world = World::new();
    let created = world.post(MAPS, config_map("one")).await.expect(201);
    let options = |preconditions: Value| json!({"preconditions": preconditions}).to_string();
    let body = options(json!({"uid": "other"}));
    let refused = world.ask("DELETE", &at("one"), &[], body).await.expect(409);
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("the UID in the precondition (other)")
    );
    let body = options(json!({"resourceVersion": "1"}));
    world.ask("DELETE", &at("one"), &[], body).await.expect(409);
    let held = world
        .delete(&format!("{}?propagationPolicy=Foreground", at("one")))
        .await;
    assert_eq!(
        held.expect(200)["metadata"]["finalizers"],
        json!(["foregroundDeletion"])
    );
    let body = json!({"propagationPolicy": "Background",
        "preconditions": {"uid": created["metadata"]["uid"]}});
    world
        .ask("DELETE", &at("one"), &[], body.to_string())
        .await
        .expect(200);
    world.get(&at("one")).await.expect(404);
}

#[tokio::test]
async fn names_are_generated() {
    let world = World::new();
    let body = json!({"metadata": {"generateName": "gen-"}});
    let one = world.post(MAPS, body.clone()).await.expect(201);
    let two = world.post(MAPS, body).await.expect(201);
    let name = one["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("gen-") && name.len() == 9, "{name}");
    assert_ne!(one["metadata"]["name"], two["metadata"]["name"]);
    let nameless = world.post(MAPS, json!({"metadata": {}})).await.expect(422);
    assert_eq!(
        nameless["message"],
        "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required"
    );
}

#[tokio::test]
async fn a_dry_run_leaves_nothing() {
    let world = World::new();
    let rv = world.api.store.rv();
    let path = format!("{MAPS}?dryRun=All");
    let dry = world.post(&path, config_map("dry")).await.expect(201);
    assert!(dry["metadata"].get("resourceVersion").is_none());
    world.get(&at("dry")).await.expect(404);
    world.post(MAPS, config_map("real")).await.expect(201);
    world.post(&path, config_map("real")).await.expect(409);
    world
        .delete(&format!("{}?dryRun=All", at("real")))
        .await
        .expect(200);
    world.get(&at("real")).await.expect(200);
    assert_eq!(world.api.store.rv(), rv.max(4) + 1);
}

#[tokio::test]
async fn repeated_and_unknown_members_are_warned_of_or_refused() {
    let world = World::new();
    let twice = r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"d","name":"d"}}"#;
    let strict = format!("{MAPS}?fieldValidation=Strict");
    let refused = world.ask("POST", &strict, &[], twice).await.expect(400);
    assert_eq!(
        refused["message"],
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: \
         duplicate field \"metadata.name\""
    );
    let warned = world.ask("POST", MAPS, &[], twice).await;
    assert_eq!(
        warned.warnings,
        [r#"299 - "duplicate field \"metadata.name\"""#]
    );
    warned.expect(201);
}

#[tokio::test]
async fn bodies_of_other_kinds_and_forms_are_refused() {
    let world = World::new();
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}});
    assert_eq!(
        world.post(MAPS, secret).await.expect(400)["message"],
        "Secret in version \"v1\" cannot be handled as a ConfigMap: converting (v1.Secret) to \
         (core.ConfigMap): unknown conversion"
    );
    let broken = world.ask("POST", MAPS, &[], "{\"a\":").await.expect(400);
    assert_eq!(
        broken["message"],
        "the object provided is unrecognized (must be of type ConfigMap): couldn't get \
         version/kind; json parse error: unexpected end of JSON input ({\"a\":)"
    );
    world.ask("POST", MAPS, &[], "[]").await.expect(400);
    world
        .ask("POST", MAPS, &[("content-type", "text/plain")], "x")
        .await
        .expect(415);
    let huge = format!("{{\"data\":{{\"a\":\"{}\"}}}}", "x".repeat(3 << 20));
    world.ask("POST", MAPS, &[], huge).await.expect(413);
    let yaml = "metadata:\n  name: from-yaml\ndata:\n  k: v\n";
    let created = world
        .ask("POST", MAPS, &[("content-type", "application/yaml")], yaml)
        .await
        .expect(201);
    assert_eq!(created["data"]["k"], "v");
    world
        .ask("GET", &at("from-yaml"), &[("accept", "text/html")], "")
        .await
        .expect(406);
}

#[tokio::test]
async fn unknown_paths_resources_and_methods_are_told_apart() {
    let world = World::new();
    assert_eq!(world.get("/nope").await.expect(404), "404 page not found\n");
    assert_eq!(
        world.get("/apis/nope.io/v1/things").await.expect(404),
        "404 page not found\n"
    );
    let unknown = world
        .get("/api/v1/namespaces/default/nonsense")
        .await
        .expect(404);
    assert_eq!(
        unknown["message"],
        "the server could not find the requested resource"
    );
    world.put(MAPS, config_map("x")).await.expect(405);
    let nowhere = world
        .post("/api/v1/namespaces/nowhere/configmaps", config_map("a"))
        .await;
    assert_eq!(
        nowhere.expect(404)["message"],
        "namespaces \"nowhere\" not found"
    );
}

#[tokio::test]
async fn a_terminating_namespace_takes_nothing_new() {
    let world = World::new();
    let body = json!({"metadata": {"name": "gone"}});
    let created = world.post("/api/v1/namespaces", body).await.expect(201);
    assert_eq!(created["spec"]["finalizers"], json!(["kubernetes"]));
    assert_eq!(
        created["metadata"]["labels"]["kubernetes.io/metadata.name"],
        "gone"
    );
    let mut going = world.delete("/api/v1/namespaces/gone").await.expect(200);
    assert_eq!(going["status"]["phase"], "Terminating");
    let refused = world
        .post("/api/v1/namespaces/gone/configmaps", config_map("a"))
        .await;
    assert_eq!(
        refused.expect(403)["message"],
        "configmaps \"a\" is forbidden: unable to create new content in namespace gone because \
         it is being terminated"
    );
    going["spec"]["finalizers"] = json!([]);
    world
        .put("/api/v1/namespaces/gone/finalize", going)
        .await
        .expect(200);
    world.get("/api/v1/namespaces/gone").await.expect(404);
    world.delete("/api/v1/namespaces/default").await.expect(403);
}

#[tokio::test]
async fn both_event_groups_share_their_objects() {
    let world = World::new();
    let event = json!({"metadata": {"name": "e"}, "involvedObject": {"namespace": "default"},
        "message": "m", "reason": "R", "type": "Normal"});
    world
        .post("/api/v1/namespaces/default/events", event)
        .await
        .expect(201);
    let new = world
        .get("/apis/events.k8s.io/v1/namespaces/default/events/e")
        .await
        .expect(200);
    assert_eq!(
        (&new["note"], &new["apiVersion"]),
        (&json!("m"), &json!("events.k8s.io/v1"))
    );
    let listed = world.get("/apis/events.k8s.io/v1/events").await.expect(200);
    assert_eq!(listed["items"][0], new);
    let path = "/apis/events.k8s.io/v1/namespaces/default/events/e";
    world
        .merge(path, json!({"note": "other"}))
        .await
        .expect(200);
    let old = world
        .get("/api/v1/namespaces/default/events/e")
        .await
        .expect(200);
    assert_eq!(
        (&old["message"], &old["apiVersion"]),
        (&json!("other"), &json!("v1"))
    );
    assert!(old.get("note").is_none());
}

#[tokio::test]
async fn who_may_not_is_told_so() {
    let world = World::new();
    let user = User::authenticated("nobody".into(), Vec::new());
    let request = Request::get(at("one")).body(body::full("")).unwrap();
    let response = world.api.handle(&user, request).await;
    assert_eq!(response.status(), 403);
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let status: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(
        status["details"],
        json!({"kind": "configmaps", "name": "one"})
    );
    let metrics = world.get("/metrics").await.expect(200);
    let line = "apiserver_request_total{code=\"403\",component=\"apiserver\",dry_run=\"\",\
                group=\"\",resource=\"configmaps\",scope=\"resource\",subresource=\"\",\
                verb=\"GET\",version=\"v1\"} 1";
    assert!(metrics.as_str().unwrap().contains(line), "{metrics}");
}

#[tokio::test]
async fn reviews_say_who_may_do_what() {
    let world = World::new();
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let spec = json!({"resourceAttributes": {"verb": "get", "resource": "pods"}});
    let own = world.post(path, json!({"spec": spec})).await.expect(201);
    assert_eq!(own["status"], json!({"allowed": true}));
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let mut spec = spec;
    spec["user"] = json!("nobody");
    let other = world.post(path, json!({"spec": spec})).await.expect(201);
    assert_eq!(other["status"], json!({"allowed": false}));
    world
        .post(path, json!({"spec": {"user": "nobody"}}))
        .await
        .expect(422);
    world.get(path).await.expect(405);
    let who = world
        .post(
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            json!({}),
        )
        .await;
    assert_eq!(who.expect(201)["status"]["userInfo"]["username"], "tester");
}

#[tokio::test]
async fn replicas_are_read_and_written_through_scale() {
    let world = World::new();
    let path = "/apis/apps/v1/namespaces/default/deployments";
    let labels = json!({"app": "w"});
    let deployment = json!({"metadata": {"name": "w"}, "spec": {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    world.post(path, deployment).await.expect(201);
    let scale = format!("{path}/w/scale");
    assert_eq!(
        world.get(&scale).await.expect(200)["spec"],
        json!({"replicas": 1})
    );
    let scaled = world
        .merge(&scale, json!({"spec": {"replicas": 3}}))
        .await
        .expect(200);
    assert_eq!(scaled["spec"]["replicas"], 3);
    let whole = world.get(&format!("{path}/w")).await.expect(200);
    assert_eq!(
        (&whole["spec"]["replicas"], &whole["metadata"]["generation"]),
        (&json!(3), &json!(2))
    );
    for wrong in [json!("many"), json!(-1), json!(1.5)] {
        world
            .merge(&scale, json!({"spec": {"replicas": wrong}}))
            .await
            .expect(422);
    }
}

#[tokio::test]
async fn a_refused_body_is_read_to_its_end() {
    let world = World::new();
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let frames = futures::stream::once(async move {
        sender.send(()).unwrap();
        Ok(http_body::Frame::data(Bytes::from_static(b"{}")))
    });
    let body = http_body_util::StreamBody::new(Box::pin(frames)).boxed_unsync();
    let user = User::authenticated("tester".into(), Vec::new());
    let request = Request::put(MAPS).body(body).unwrap();
    assert_eq!(world.api.handle(&user, request).await.status(), 405);
    receiver
        .await
        .expect("else the connection could not carry the next request");
}

#[tokio::test]
async fn a_pod_that_is_nowhere_has_no_log_and_runs_no_commands() {
    let world = World::new();
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({"metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    world.post(pods, pod.clone()).await.expect(201);
    assert_eq!(world.get(&format!("{pods}/p/log")).await.expect(200), "");
    world.get(&format!("{pods}/q/log")).await.expect(404);
    let refused = world
        .post(&format!("{pods}/p/exec?command=ls"), json!({}))
        .await;
    assert_eq!(
        refused.expect(400)["message"],
        "pod p does not have a host assigned"
    );
    let mut placed = pod;
    placed["metadata"]["name"] = json!("q");
    placed["spec"]["nodeName"] = json!("n");
    world.post(pods, placed).await.expect(201);
    let refused = world.get(&format!("{pods}/q/log")).await.expect(501);
    assert_eq!(
        refused["message"],
        "pod q is on node n, and this server does not reach into nodes: ask there"
    );
}

#[tokio::test]
async fn a_pod_is_bound_to_one_node_and_evicted() {
    let world = World::new();
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({"metadata": {"name": "p", "annotations": {"a": "1"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    world.post(pods, pod).await.expect(201);
    let (binding, eviction) = (format!("{pods}/p/binding"), format!("{pods}/p/eviction"));
    let to = |node: &str| {
        json!({"apiVersion": "v1", "kind": "Binding",
            "metadata": {"name": "p", "annotations": {"b": "2"}}, "target": {"kind": "Node", "name": node}})
    };
    let refused = world.post(&binding, to("")).await.expect(422);
    assert_eq!(
        refused["message"],
        "Binding \"p\" is invalid: target.name: Required value"
    );
    let mut other = to("n");
    other["metadata"]["name"] = json!("q");
    world.post(&binding, other).await.expect(400);
    let dry = format!("{binding}?dryRun=All");
    world.post(&dry, to("n")).await.expect(201);
    let bound = world.post(&binding, to("n")).await.expect(201);
    assert_eq!(
        (&bound["status"], &bound["code"]),
        (&json!("Success"), &json!(201))
    );
    let pod = world.get(&format!("{pods}/p")).await.expect(200);
    assert_eq!(pod["spec"]["nodeName"], "n");
    assert_eq!(pod["metadata"]["annotations"], json!({"a": "1", "b": "2"}));
    let condition = &pod["status"]["conditions"][0];
    assert_eq!(
        (&condition["type"], &condition["status"]),
        (&json!("PodScheduled"), &json!("True"))
    );
    let refused = world.post(&binding, to("m")).await.expect(409);
    assert_eq!(
        refused["message"],
        "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"n\""
    );
    let evict = |uid: &Value| {
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"},
            "deleteOptions": {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}})
    };
    world
        .post(&eviction, evict(&json!("other")))
        .await
        .expect(409);
    let uid = &pod["metadata"]["uid"];
    world
        .post(&format!("{eviction}?dryRun=All"), evict(uid))
        .await
        .expect(201);
    world.get(&format!("{pods}/p")).await.expect(200);
    world.post(&eviction, evict(uid)).await.expect(201);
    world.get(&format!("{pods}/p")).await.expect(404);
    world.post(&eviction, evict(uid)).await.expect(404);
    world.post(&binding, to("n")).await.expect(404);
}

#[tokio::test]
async fn health_tells_each_check_when_asked() {
    let world = World::new();
    for (path, said) in [
        ("/readyz", "ok"),
        ("/livez/ping", "ok"),
        (
            "/healthz?verbose",
            "[+]ping ok\n[+]store ok\nhealthz check passed\n",
        ),
    ] {
        assert_eq!(world.get(path).await.expect(200), said);
    }
    world.get("/readyz/nothing").await.expect(404);
}
