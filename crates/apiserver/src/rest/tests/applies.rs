//! Server-side apply: who owns which field, and who may change it.

use serde_json::json;

use super::*;

impl World {
    pub(super) async fn apply_as(
        &self,
        path: &str,
        manager: &str,
        more: &str,
        object: Value,
    ) -> Answer {
        let path = format!("{path}?fieldManager={manager}{more}");
        let header = [("content-type", "application/apply-patch+yaml")];
        self.ask("PATCH", &path, &header, object.to_string()).await
    }
}

pub(super) fn map(data: Value) -> Value {
    let mut map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}});
    map["data"] = data;
    map
}

/// The owned fields of each manager.
pub(super) fn owners(object: &Value) -> Value {
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    let one = |entry: &Value| {
        let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        let mut name = format!("{} {}", text("operation"), text("manager"));
        if entry.get("subresource").is_some() {
            name = format!("{name} {}", text("subresource"));
        }
        assert_eq!(entry["fieldsType"], "FieldsV1");
        assert!(entry["time"].is_string());
        (name, entry["fieldsV1"].clone())
    };
    entries.iter().map(one).collect()
}

#[tokio::test]
async fn applying_makes_an_object_and_takes_away_what_is_no_longer_applied() {
    let world = World::new();
    let made = world
        .apply_as(&at("one"), "a", "", map(json!({"x": "1", "y": "2"})))
        .await
        .expect(201);
    assert_eq!(
        owners(&made),
        json!({"Apply a": {"f:data": {"f:x": {}, "f:y": {}}}})
    );
    let again = world
        .apply_as(&at("one"), "a", "", map(json!({"x": "1", "y": "2"})))
        .await
        .expect(200);
    assert_eq!(again, made, "nothing is written where nothing changes");
    let other = world
        .apply_as(&at("one"), "b", "", map(json!({"y": "2", "z": "3"})))
        .await
        .expect(200);
    assert_eq!(other["data"], json!({"x": "1", "y": "2", "z": "3"}));
    let less = world
        .apply_as(&at("one"), "a", "", map(json!({})))
        .await
        .expect(200);
    assert_eq!(less["data"], json!({"y": "2", "z": "3"}), "b owns y too");
    assert_eq!(
        owners(&less)["Apply b"],
        json!({"f:data": {"f:y": {}, "f:z": {}}})
    );
    let none = world
        .apply_as(
            &at("one"),
            "b",
            "",
            json!({"apiVersion": "v1", "kind": "ConfigMap"}),
        )
        .await
        .expect(200);
    assert!(
        none.get("data").is_none_or(|data| data == &json!({})),
        "{none}"
    );
}

#[tokio::test]
async fn a_field_of_another_manager_is_a_conflict_unless_forced() {
    let world = World::new();
    let apply = async |manager: &str, more: &str, data: Value| {
        world.apply_as(&at("one"), manager, more, map(data)).await
    };
    apply("a", "", json!({"x": "1", "y": "2"}))
        .await
        .expect(201);
    let refused = apply("b", "", json!({"x": "9"})).await.expect(409);
    assert_eq!(
        refused["message"],
        "Apply failed with 1 conflict: conflict with \"a\": .data.x"
    );
    let cause = json!({"reason": "FieldManagerConflict", "message": "conflict with \"a\"", "field": ".data.x"});
    assert_eq!(refused["details"], json!({"causes": [cause]}));
    assert_eq!(refused["reason"], "Conflict");
    let refused = apply("b", "", json!({"x": "9", "y": "9"}))
        .await
        .expect(409);
    assert_eq!(
        refused["message"],
        "Apply failed with 2 conflicts: conflicts with \"a\":\n- .data.x\n- .data.y"
    );
    let forced = apply("b", "&force=true", json!({"x": "9"}))
        .await
        .expect(200);
    assert_eq!(
        owners(&forced),
        json!({"Apply a": {"f:data": {"f:y": {}}}, "Apply b": {"f:data": {"f:x": {}}}})
    );
    let path = format!("{}?fieldManager=edit", at("one"));
    let patched = world
        .merge(&path, json!({"data": {"y": "5"}}))
        .await
        .expect(200);
    assert_eq!(
        owners(&patched),
        json!({"Apply b": {"f:data": {"f:x": {}}}, "Update edit": {"f:data": {"f:y": {}}}})
    );
    let refused = apply("a", "", json!({"y": "6"})).await.expect(409);
    let message = refused["message"].as_str().unwrap();
    let begin = "Apply failed with 1 conflict: conflict with \"edit\" using v1 at 20";
    assert!(
        message.starts_with(begin) && message.ends_with("Z: .data.y"),
        "{message}"
    );
    apply("a", "", json!({"y": "5"})).await.expect(200);
    let version = world.get(&at("one")).await.expect(200)["metadata"]["resourceVersion"].clone();
    apply("a", "&dryRun=All", json!({"y": "5", "w": "1"}))
        .await
        .expect(200);
    let same = world.get(&at("one")).await.expect(200);
    assert_eq!(same["metadata"]["resourceVersion"], version);
}

#[tokio::test]
async fn every_write_tells_what_it_owns() {
    let world = World::new();
    let agent = [("user-agent", "kubectl/v1.20.2 (linux/amd64)")];
    let mut object = map(json!({"x": "1"}));
    object["metadata"]["labels"] = json!({"l": "1"});
    let made = world
        .ask("POST", MAPS, &agent, object.to_string())
        .await
        .expect(201);
    let all = json!({"f:data": {".": {}, "f:x": {}},
        "f:metadata": {"f:labels": {".": {}, "f:l": {}}}});
    assert_eq!(owners(&made), json!({"Update kubectl": all}));
    let put = world.ask("PUT", &at("one"), &agent, made.to_string()).await;
    assert!(put.warnings.is_empty(), "{:?}", put.warnings);
    assert_eq!(put.expect(200), made);
    let path = format!("{}?fieldManager=other", at("one"));
    let gone = world
        .merge(&path, json!({"metadata": {"labels": null}}))
        .await
        .expect(200);
    assert_eq!(
        owners(&gone),
        json!({"Update kubectl": {"f:data": {".": {}, "f:x": {}}}})
    );
    let reset = world
        .merge(&at("one"), json!({"metadata": {"managedFields": [{}]}}))
        .await
        .expect(200);
    assert!(reset["metadata"].get("managedFields").is_none());
}

#[tokio::test]
async fn items_of_lists_are_owned_by_their_keys() {
    let world = World::new();
    let path = "/api/v1/namespaces/default/services/s";
    let service = |ports: Value| {
        json!({"apiVersion": "v1", "kind": "Service",
        "spec": {"ports": ports}})
    };
    let one = json!([{"name": "a", "port": 80}]);
    let made = world
        .apply_as(path, "a", "", service(one))
        .await
        .expect(201);
    let key = "k:{\"port\":80,\"protocol\":\"TCP\"}";
    assert_eq!(
        owners(&made)["Apply a"]["f:spec"]["f:ports"],
        json!({key: {".": {}, "f:name": {}, "f:port": {}}})
    );
    let two = json!([{"name": "b", "port": 81}]);
    let both = world
        .apply_as(path, "b", "", service(two))
        .await
        .expect(200);
    let names: Vec<&Value> = both["spec"]["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| &p["name"])
        .collect();
    assert_eq!(names, ["a", "b"]);
    let clash = json!([{"name": "c", "port": 80}]);
    let refused = world
        .apply_as(path, "b", "", service(clash))
        .await
        .expect(409);
    assert_eq!(
        refused["details"]["causes"][0]["field"],
        ".spec.ports[port=80,protocol=\"TCP\"].name"
    );
    let left = world
        .apply_as(path, "a", "", service(json!([])))
        .await
        .expect(200);
    assert_eq!(left["spec"]["ports"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn definitions_say_how_their_lists_are_owned() {
    let world = World::new();
    let list = |kind: &str| {
        json!({"type": "array", "x-kubernetes-list-type": kind,
        "items": {"type": "string"}})
    };
    let keyed = json!({"type": "array", "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["k"], "items": {"type": "object", "required": ["k"],
            "properties": {"k": {"type": "string"}, "v": {"type": "string"}}}});
    let pair =
        json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}});
    let mut whole = pair.clone();
    whole["x-kubernetes-map-type"] = json!("atomic");
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {"set": list("set"), "atomic": list("atomic"),
            "map": keyed, "pair": pair, "whole": whole}},
        "status": {"type": "object", "properties": {"n": {"type": "integer"}}}}});
    let definition = json!({"metadata": {"name": "things.e.com"}, "spec": {"group": "e.com",
        "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
        "versions": [{"name": "v1", "served": true, "storage": true,
            "subresources": {"status": {}}, "schema": {"openAPIV3Schema": schema}}]}});
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    world.post(definitions, definition).await.expect(201);
    let path = "/apis/e.com/v1/namespaces/default/things/t";
    let thing = |spec: Value| json!({"apiVersion": "e.com/v1", "kind": "Thing", "spec": spec});
    let first = json!({"set": ["x", "y"], "atomic": ["x"], "map": [{"k": "x", "v": "1"}],
        "pair": {"a": "1"}, "whole": {"a": "1"}});
    let made = world
        .apply_as(path, "a", "", thing(first))
        .await
        .expect(201);
    assert_eq!(
        owners(&made)["Apply a"]["f:spec"],
        json!({"f:set": {"v:\"x\"": {}, "v:\"y\"": {}}, "f:atomic": {},
            "f:map": {"k:{\"k\":\"x\"}": {".": {}, "f:k": {}, "f:v": {}}},
            "f:pair": {"f:a": {}}, "f:whole": {}})
    );
    let second = json!({"set": ["y", "z"], "map": [{"k": "z"}], "pair": {"b": "2"}});
    let both = world
        .apply_as(path, "b", "", thing(second))
        .await
        .expect(200);
    assert_eq!(
        both["spec"],
        json!({"set": ["x", "y", "z"], "atomic": ["x"],
            "map": [{"k": "x", "v": "1"}, {"k": "z"}], "pair": {"a": "1", "b": "2"},
            "whole": {"a": "1"}})
    );
    for (clash, field) in [
        (json!({"atomic": ["q"]}), ".spec.atomic"),
        (json!({"whole": {"b": "1"}}), ".spec.whole"),
    ] {
        let refused = world
            .apply_as(path, "c", "", thing(clash))
            .await
            .expect(409);
        assert_eq!(refused["details"]["causes"][0]["field"], field);
    }
    let less = world
        .apply_as(
            path,
            "a",
            "",
            thing(json!({"set": ["x"], "whole": {"a": "1"}})),
        )
        .await
        .expect(200);
    assert_eq!(
        less["spec"],
        json!({"set": ["x", "y", "z"], "map": [{"k": "z"}], "pair": {"b": "2"},
            "whole": {"a": "1"}})
    );
    let status = json!({"apiVersion": "e.com/v1", "kind": "Thing", "status": {"n": 1}});
    let with = world
        .apply_as(&format!("{path}/status"), "a", "", status)
        .await
        .expect(200);
    assert_eq!(
        owners(&with)["Apply a status"],
        json!({"f:status": {"f:n": {}}})
    );
    assert_eq!(
        (&with["status"]["n"], &with["spec"]),
        (&json!(1), &less["spec"])
    );
}

#[tokio::test]
async fn what_cannot_be_applied_is_refused() {
    let world = World::new();
    let header = [("content-type", "application/apply-patch+yaml")];
    let nameless = world
        .ask("PATCH", &at("one"), &header, "{}")
        .await
        .expect(422);
    assert_eq!(
        nameless["message"],
        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for \
         apply patch"
    );
    let forced = world
        .merge(&format!("{}?force=true", at("one")), json!({}))
        .await
        .expect(422);
    assert_eq!(
        forced["message"],
        "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for \
         non-apply patch"
    );
    let mut unknown = map(json!({}));
    unknown["bogus"] = json!(1);
    let refused = world
        .apply_as(&at("one"), "a", "", unknown)
        .await
        .expect(500);
    assert_eq!(
        refused["message"],
        "failed to create typed patch object (default/one; /v1, Kind=ConfigMap): .bogus: field not \
         declared in schema"
    );
    let mut owned = map(json!({}));
    owned["metadata"]["managedFields"] = json!([]);
    let refused = world.apply_as(&at("one"), "a", "", owned).await.expect(400);
    assert_eq!(refused["message"], "metadata.managedFields must be nil");
    let mut stale = map(json!({}));
    stale["metadata"]["uid"] = json!("u");
    world.apply_as(&at("one"), "a", "", stale).await.expect(409);
    let path = format!("{}?fieldManager=a", at("one"));
    world.ask("PATCH", &path, &header, "a: [").await.expect(400);
    let yaml = "apiVersion: v1\nkind: ConfigMap\ndata: {a: b, a: c}\n";
    let twice = world.ask("PATCH", &path, &header, yaml).await;
    assert_eq!(twice.warnings, ["299 - \"duplicate field \\\"data.a\\\"\""]);
    twice.expect(201);
    let strict = format!("{path}&fieldValidation=Strict");
    world.ask("PATCH", &strict, &header, yaml).await.expect(400);
}
