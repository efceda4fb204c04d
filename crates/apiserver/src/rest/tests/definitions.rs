//! CustomResourceDefinitions: resources that come, change and go.

use serde_json::json;

use super::*;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const WIDGETS: &str = "/apis/x.example.com/v1/namespaces/default/widgets";

fn definition() -> Value {
    let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "size": {"type": "integer", "minimum": 1},
            "color": {"type": "string", "default": "red"}}},
        "status": {"type": "object", "properties": {"phase": {"type": "string"}}}}}});
    let version = |name: &str, storage: bool| {
        json!({"name": name, "served": true, "storage": storage, "schema": schema,
            "subresources": {"status": {}},
            "selectableFields": [{"jsonPath": ".spec.color"}]})
    };
    let mut old = version("v1beta1", false);
    old["deprecated"] = json!(true);
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.x.example.com"},
        "spec": {"group": "x.example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wg"]},
            "versions": [version("v1", true), old]}})
}

fn widget(name: &str, size: u64) -> Value {
    json!({"apiVersion": "x.example.com/v1", "kind": "Widget", "metadata": {"name": name},
        "spec": {"size": size}})
}

async fn with_widgets() -> World {
    let world = World::new();
    world.post(DEFINITIONS, definition()).await.expect(201);
    world
}

fn one() -> String {
    format!("{DEFINITIONS}/widgets.x.example.com")
}

#[tokio::test]
async fn a_definition_takes_effect_at_once() {
    let world = with_widgets().await;
    let stored = world.get(&one()).await.expect(200);
    let conditions: Vec<(&str, &str)> = stored["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (c["type"].as_str().unwrap(), c["status"].as_str().unwrap()))
        .collect();
    assert_eq!(
        conditions,
        [("NamesAccepted", "True"), ("Established", "True")]
    );
    assert_eq!(stored["status"]["storedVersions"], json!(["v1"]));
    assert_eq!(stored["status"]["acceptedNames"]["listKind"], "WidgetList");
    assert_eq!(stored["spec"]["names"]["singular"], "widget");
    let created = world.post(WIDGETS, widget("a", 1)).await.expect(201);
    assert_eq!(created["spec"], json!({"size": 1, "color": "red"}));
    assert_eq!(created["metadata"]["generation"], 1);
    let group = world.get("/apis/x.example.com").await.expect(200);
    assert_eq!(group["preferredVersion"]["version"], "v1");
    let world = world.restart();
    world.get(&format!("{WIDGETS}/a")).await.expect(200);
}

#[tokio::test]
async fn the_schema_prunes_and_validates() {
    let world = with_widgets().await;
    let mut object = widget("a", 1);
    object["spec"]["unknown"] = json!(5);
    let warned = world.post(WIDGETS, object).await;
    assert_eq!(
        warned.warnings,
        [r#"299 - "unknown field \"spec.unknown\"""#]
    );
    assert!(warned.expect(201)["spec"].get("unknown").is_none());
    assert_eq!(
        world.post(WIDGETS, widget("b", 0)).await.expect(422)["message"],
        "Widget.x.example.com \"b\" is invalid: spec.size: Invalid value: 0: spec.size in body \
         should be greater than or equal to 1"
    );
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_one_of_its_size_is_not() {
    let world = with_widgets().await;
    let sized = |bytes: usize| {
        let mut object = widget("big", 1);
        object["spec"]["color"] = json!("");
        let color = "x".repeat(bytes - object.to_string().len());
        object["spec"]["color"] = json!(color);
        (object.to_string(), color)
    };
    let limit = 3 << 20;
    let (body, _) = sized(limit + 1);
    let refused = world.ask("POST", WIDGETS, &[], body).await.expect(413);
    assert_eq!(refused["reason"], "RequestEntityTooLarge");
    let (body, color) = sized(limit);
    let taken = world.ask("POST", WIDGETS, &[], body).await.expect(201);
    assert!(taken["spec"]["color"] == json!(color));
}

#[tokio::test]
async fn spec_and_status_are_written_apart() {
    let world = with_widgets().await;
    world.post(WIDGETS, widget("a", 1)).await.expect(201);
    let path = format!("{WIDGETS}/a");
    let patch = json!({"spec": {"size": 3}, "status": {"phase": "X"}});
    let main = world.merge(&path, patch.clone()).await.expect(200);
    assert!(main.get("status").is_none());
    assert_eq!(main["metadata"]["generation"], 2);
    let patch = json!({"metadata": {"labels": {"no": "no"}}, "spec": {"size": 9},
        "status": {"phase": "Y"}});
    let status = world
        .merge(&format!("{path}/status"), patch)
        .await
        .expect(200);
    assert_eq!(status["spec"]["size"], 3);
    assert_eq!(status["status"]["phase"], "Y");
    assert_eq!(status["metadata"]["generation"], 2);
    assert!(status["metadata"].get("labels").is_none());
    let mut blind = widget("a", 5);
    blind["metadata"] = json!({"name": "a"});
    let refused = world
        .put(&format!("{path}/status"), blind)
        .await
        .expect(422);
    assert_eq!(
        refused["message"],
        "widgets.x.example.com \"a\" is invalid: metadata.resourceVersion: Invalid value: 0: must \
         be specified for an update"
    );
    let strategic = [("content-type", "application/strategic-merge-patch+json")];
    world
        .ask("PATCH", &path, &strategic, "{}")
        .await
        .expect(415);
}

#[tokio::test]
async fn every_served_version_shows_the_same_objects() {
    let world = with_widgets().await;
    world.post(WIDGETS, widget("a", 1)).await.expect(201);
    let old = "/apis/x.example.com/v1beta1/namespaces/default/widgets";
    let answer = world.get(&format!("{old}/a")).await;
    assert_eq!(
        answer.warnings,
        ["299 - \"x.example.com/v1beta1 Widget is deprecated\""]
    );
    assert_eq!(answer.expect(200)["apiVersion"], "x.example.com/v1beta1");
    let mut object = widget("b", 2);
    object["apiVersion"] = json!("x.example.com/v1beta1");
    let created = world.post(old, object).await.expect(201);
    assert_eq!(created["apiVersion"], "x.example.com/v1beta1");
    let stored = world
        .api
        .store
        .get("widgets.x.example.com", "default/b")
        .unwrap();
    assert_eq!(stored.value()["apiVersion"], "x.example.com/v1");
    let mut definition = world.get(&one()).await.expect(200);
    definition["spec"]["versions"][1]["served"] = json!(false);
    world.put(&one(), definition).await.expect(200);
    assert_eq!(world.get(old).await.expect(404), "404 page not found\n");
}

#[tokio::test]
async fn objects_are_selected_by_declared_fields() {
    let world = with_widgets().await;
    world.post(WIDGETS, widget("a", 1)).await.expect(201);
    let mut blue = widget("b", 1);
    blue["spec"]["color"] = json!("blue");
    world.post(WIDGETS, blue).await.expect(201);
    let list = world
        .get(&format!("{WIDGETS}?fieldSelector=spec.color%3Dblue"))
        .await
        .expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    world
        .get(&format!("{WIDGETS}?fieldSelector=spec.size%3D1"))
        .await
        .expect(400);
}

#[tokio::test]
async fn a_definition_goes_with_its_objects() {
    let world = with_widgets().await;
    world.post(WIDGETS, widget("a", 1)).await.expect(201);
    let going = world.delete(&one()).await.expect(200);
    assert_eq!(going["kind"], "CustomResourceDefinition");
    assert_eq!(world.get(WIDGETS).await.expect(404), "404 page not found\n");
    world.get(&one()).await.expect(404);
    assert!(
        world
            .api
            .store
            .list("widgets.x.example.com", "")
            .objects
            .is_empty()
    );
}

#[tokio::test]
async fn a_held_object_holds_its_definition() {
    let world = with_widgets().await;
    let mut held = widget("a", 1);
    held["metadata"]["finalizers"] = json!(["e.com/x"]);
    world.post(WIDGETS, held).await.expect(201);
    world.delete(&one()).await.expect(200);
    world.post(WIDGETS, widget("b", 1)).await.expect(405);
    let world = world.restart();
    let path = format!("{WIDGETS}/a");
    assert!(world.get(&path).await.expect(200)["metadata"]["deletionTimestamp"].is_string());
    world
        .merge(&path, json!({"metadata": {"finalizers": []}}))
        .await
        .expect(200);
    world.get(&one()).await.expect(404);
}

#[tokio::test]
async fn a_wrong_definition_is_refused() {
    let world = World::new();
    let mut wrong = definition();
    wrong["metadata"]["name"] = json!("wrong.x.example.com");
    assert_eq!(
        world.post(DEFINITIONS, wrong).await.expect(422)["message"],
        "CustomResourceDefinition.apiextensions.k8s.io \"wrong.x.example.com\" is invalid: \
         metadata.name: Invalid value: \"wrong.x.example.com\": must be \
         spec.names.plural+\".\"+spec.group"
    );
    let mut wrong = definition();
    for version in wrong["spec"]["versions"].as_array_mut().unwrap() {
        version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["size"] =
            json!({});
    }
    let causes = world.post(DEFINITIONS, wrong).await.expect(422)["details"]["causes"].clone();
    assert_eq!(
        causes[0]["field"],
        "spec.validation.openAPIV3Schema.properties[spec].properties[size].type"
    );
}

#[tokio::test]
async fn taken_names_are_not_accepted() {
    let world = with_widgets().await;
    let mut other = definition();
    other["metadata"]["name"] = json!("gadgets.x.example.com");
    other["spec"]["names"] = json!({"plural": "gadgets", "kind": "Gadget", "shortNames": ["wg"]});
    world.post(DEFINITIONS, other).await.expect(201);
    let stored = world
        .get(&format!("{DEFINITIONS}/gadgets.x.example.com"))
        .await
        .expect(200);
    let condition = |kind: &str| {
        let all = stored["status"]["conditions"].as_array().unwrap();
        all.iter().find(|c| c["type"] == kind).unwrap().clone()
    };
    assert_eq!(condition("NamesAccepted")["reason"], "ShortNamesConflict");
    assert_eq!(condition("Established")["status"], "False");
    world
        .get("/apis/x.example.com/v1/gadgets")
        .await
        .expect(404);
}

#[tokio::test]
async fn whatever_is_wrong_with_a_definition_is_told() {
    let world = World::new();
    let cases: [(&str, Value, &str); 12] = [
        ("/spec/scope", json!(""), "spec.scope: Required value"),
        (
            "/spec/names/plural",
            json!(""),
            "spec.names.plural: Required value",
        ),
        (
            "/spec/versions/1/name",
            json!("v1"),
            "must contain unique version names",
        ),
        (
            "/spec/versions/0/deprecationWarning",
            json!("old"),
            "spec.versions[0].deprecationWarning: Invalid value: \"old\": can only be set for \
             deprecated versions",
        ),
        (
            "/spec/versions/0/subresources/scale",
            json!({"specReplicasPath": ".status.n", "statusReplicasPath": ".status.n"}),
            "spec.versions[0].subresources.scale.specReplicasPath: Invalid value: \".status.n\": \
             should be a json path under .spec",
        ),
        (
            "/spec/versions/0/subresources/scale",
            json!({"specReplicasPath": ".spec.n", "labelSelectorPath": ".n"}),
            "spec.versions[0].subresources.scale.labelSelectorPath: Invalid value: \".n\": should \
             be a json path under either .spec or .status",
        ),
        (
            "/spec/versions/0/selectableFields",
            json!([{"jsonPath": ".spec.none"}]),
            "spec.versions[0].selectableFields[0].jsonPath: Invalid value: \".spec.none\": is an \
             invalid path: ",
        ),
        (
            "/spec/versions/0/selectableFields",
            json!([{"jsonPath": ".spec"}]),
            "must point to a field of type string, boolean or integer",
        ),
        (
            "/spec/versions/0/additionalPrinterColumns",
            json!([{"name": "A", "type": "text", "jsonPath": ".spec.color"}]),
            "spec.versions[0].additionalPrinterColumns[0].type: Invalid value: \"text\": must be \
             one of boolean,date,integer,number,string",
        ),
        (
            "/spec/preserveUnknownFields",
            json!(true),
            "spec.preserveUnknownFields: Invalid value: true: cannot set to true",
        ),
        (
            "/spec/versions/0/schema/openAPIV3Schema/properties/metadata",
            json!({"type": "object", "properties": {"labels": {"type": "object"}}}),
            "spec.versions[0].schema.openAPIV3Schema.metadata: Forbidden: must not specify anything \
             other than name and generateName",
        ),
        (
            "/spec/versions/0/schema/openAPIV3Schema/properties/kind",
            json!({"type": "integer"}),
            "openAPIV3Schema.properties[kind].type: Invalid value: \"integer\": must be string",
        ),
    ];
    for (at, wrong, expected) in cases {
        let mut definition = definition();
        let (parent, field) = at.rsplit_once('/').unwrap();
        definition.pointer_mut(parent).unwrap()[field] = wrong.clone();
        if at == "/spec/names/plural" {
            definition["metadata"]["name"] = json!(".x.example.com");
        }
        let refused = world.post(DEFINITIONS, definition).await.expect(422);
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains(expected), "{at}: {message}");
    }
}

#[tokio::test]
async fn versions_that_objects_were_stored_in_stay() {
    let world = with_widgets().await;
    world.post(WIDGETS, widget("a", 1)).await.expect(201);
    let mut moved = world.get(&one()).await.expect(200);
    moved["spec"]["versions"][0]["storage"] = json!(false);
    moved["spec"]["versions"][1]["storage"] = json!(true);
    let moved = world.put(&one(), moved).await.expect(200);
    assert_eq!(moved["status"]["storedVersions"], json!(["v1", "v1beta1"]));
    let mut without = moved.clone();
    without["spec"]["versions"]
        .as_array_mut()
        .unwrap()
        .remove(0);
    let refused = world.put(&one(), without.clone()).await.expect(422);
    let message = refused["message"].as_str().unwrap();
    let begin = "status.storedVersions[0]: Invalid value: \"v1\": missing from spec.versions; v1 was \
                 previously a storage version";
    assert!(message.contains(begin), "{message}");
    let status = format!("{}/status", one());
    for (stored, why) in [
        (json!([]), "must have at least one stored version"),
        (json!(["v1"]), "must have the storage version v1beta1"),
    ] {
        let patch = json!({"status": {"storedVersions": stored}});
        let refused = world.merge(&status, patch).await.expect(422);
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains(why), "{message}");
    }
    // Once all objects are written anew, nothing is stored in the older version.
    let path = "/apis/x.example.com/v1beta1/namespaces/default/widgets/a";
    let labels = json!({"metadata": {"labels": {"moved": "yes"}}});
    world.merge(path, labels).await.expect(200);
    let patch = json!({"status": {"storedVersions": ["v1beta1"]}});
    let stored = world.merge(&status, patch).await.expect(200);
    without["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"].clone();
    world.put(&one(), without).await.expect(200);
    let left = world.get(path).await.expect(200);
    assert_eq!(left["spec"], json!({"size": 1, "color": "red"}));
}
