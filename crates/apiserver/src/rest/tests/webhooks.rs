//! Writes that validating webhooks are asked about: what they are told, and what becomes of what they say.

use std::sync::Mutex;

use serde_json::json;
use tokio::sync::Barrier;

use super::hook::{Hook, Said};
use super::*;
use crate::audit::Annotations;

const HOOKS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

/// A review that lets pass, changed.
fn answer(review: &Value, response: Value) -> Value {
    let mut response = response;
    response["uid"] = review["request"]["uid"].clone();
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
}

fn allowed(review: &Value) -> Value {
    answer(review, json!({"allowed": true}))
}

/// A configuration of one webhook for all writes of config maps, changed.
fn configuration(name: &str, client: &Value, change: &Value) -> Value {
    let mut hook = json!({"name": format!("{name}.example.com"), "clientConfig": client,
        "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 30,
        "rules": [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}]});
    json_patch::merge(&mut hook, change);
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name}, "webhooks": [hook]})
}

impl World {
    async fn ask_hook(&self, name: &str, hook: &Hook, change: &Value) {
        let made = configuration(name, &hook.config(), change);
        self.post(HOOKS, made).await.expect(201);
    }

    /// With a webhook that lets everything pass and keeps what it was asked.
    async fn listening(change: &Value) -> (Self, Hook, Arc<Mutex<Vec<Value>>>) {
        let (world, heard) = (Self::new(), Arc::new(Mutex::new(Vec::new())));
        let keep = Arc::clone(&heard);
        let hook = Hook::serve(move |review| {
            let said = allowed(&review);
            keep.lock().unwrap().push(review);
            said
        })
        .await;
        world.ask_hook("listen", &hook, change).await;
        (world, hook, heard)
    }
}

fn last(heard: &Mutex<Vec<Value>>) -> Value {
    heard.lock().unwrap().pop().expect("the webhook was asked")
}

#[tokio::test]
async fn a_webhook_is_told_the_whole_request() {
    let (world, _hook, heard) = World::listening(&json!({})).await;
    let path = format!("{MAPS}?fieldManager=me&fieldValidation=Strict");
    let made = world.post(&path, config_map("a")).await.expect(201);
    let mut review = last(&heard);
    assert_eq!(
        (&review["apiVersion"], &review["kind"]),
        (&json!("admission.k8s.io/v1"), &json!("AdmissionReview"))
    );
    let request = review["request"].as_object_mut().unwrap();
    let uid = request.remove("uid").unwrap();
    assert_eq!(uid.as_str().unwrap().len(), 36);
    let seen = request.remove("object").unwrap();
    for field in ["uid", "creationTimestamp", "managedFields"] {
        assert_eq!(seen["metadata"][field], made["metadata"][field], "{field}");
    }
    let kind = json!({"group": "", "version": "v1", "kind": "ConfigMap"});
    let resource = json!({"group": "", "version": "v1", "resource": "configmaps"});
    let expect = json!({"kind": kind, "resource": resource, "requestKind": kind,
        "requestResource": resource, "name": "a", "namespace": "default", "operation": "CREATE",
        "userInfo": {"username": "tester", "groups": ["system:authenticated"]},
        "oldObject": null, "dryRun": false,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1",
            "fieldManager": "me", "fieldValidation": "Strict"}});
    assert_eq!(review["request"], expect);

    let dry = format!("{}?dryRun=All", at("a"));
    world
        .merge(&dry, json!({"data": {"a": "2"}}))
        .await
        .expect(200);
    let request = &last(&heard)["request"];
    assert_eq!(request["operation"], "UPDATE");
    assert_eq!(request["oldObject"]["data"]["a"], "1");
    assert_eq!(request["object"]["data"]["a"], "2");
    assert_eq!(request["dryRun"], true);
    assert_eq!(
        request["options"],
        json!({"kind": "UpdateOptions", "apiVersion": "meta.k8s.io/v1", "dryRun": ["All"]})
    );

    let body =
        json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"});
    world
        .ask("DELETE", &at("a"), &[], body.to_string())
        .await
        .expect(200);
    let request = &last(&heard)["request"];
    assert_eq!(request["operation"], "DELETE");
    assert_eq!(
        (&request["object"], &request["name"]),
        (&Value::Null, &json!("a"))
    );
    assert_eq!(request["oldObject"]["data"]["a"], "1");
    assert_eq!(
        request["options"],
        json!({"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", "propagationPolicy": "Background"})
    );
    assert!(heard.lock().unwrap().is_empty());
}

#[tokio::test]
async fn every_way_of_writing_is_asked_about() {
    let (world, hook, heard) = World::listening(&json!({})).await;
    let asked = || {
        let reviews = std::mem::take(&mut *heard.lock().unwrap());
        let shown = reviews.iter().map(|review| {
            let text = |field: &str| review["request"][field].as_str().unwrap().to_owned();
            format!("{} {}", text("operation"), text("name"))
        });
        shown.collect::<Vec<String>>()
    };
    let apply = [("content-type", "application/apply-patch+yaml")];
    let by = |name: &str| format!("{}?fieldManager=me", at(name));
    world
        .ask("PATCH", &by("b"), &apply, config_map("b").to_string())
        .await
        .expect(201);
    assert_eq!(asked(), ["CREATE b"]);
    let mut changed = config_map("b");
    changed["data"]["a"] = json!("2");
    world
        .ask("PATCH", &by("b"), &apply, changed.to_string())
        .await
        .expect(200);
    assert_eq!(asked(), ["UPDATE b"]);
    world.put(&at("b"), changed).await.expect(200);
    assert_eq!(asked(), ["UPDATE b"], "though nothing changes");
    let mut generated = config_map("");
    generated["metadata"] = json!({"generateName": "g-"});
    let made = world.post(MAPS, generated).await.expect(201);
    let name = made["metadata"]["name"].as_str().unwrap().to_owned();
    assert_eq!(asked(), [format!("CREATE {name}")]);
    world.delete(MAPS).await.expect(200);
    assert_eq!(asked(), ["DELETE b".to_owned(), format!("DELETE {name}")]);
    let before = hook.called();
    world
        .post(
            "/api/v1/namespaces/default/secrets",
            json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "s"}}),
        )
        .await
        .expect(201);
    world.get(MAPS).await.expect(200);
    assert_eq!(
        hook.called(),
        before,
        "other kinds and reads are not its business"
    );
}

#[tokio::test]
async fn subresources_are_told_apart() {
    let rules = |resources: Value| {
        json!({"rules": [{"operations": ["*"], "apiGroups": ["*"],
        "apiVersions": ["*"], "resources": resources}]})
    };
    let change = rules(json!([
        "*/scale",
        "namespaces",
        "namespaces/finalize",
        "serviceaccounts/token"
    ]));
    let (world, _hook, heard) = World::listening(&change).await;
    world.post("/apis/apps/v1/namespaces/default/deployments", json!({"apiVersion": "apps/v1",
        "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": 1,
            "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "i"}]}}}})).await.expect(201);
    assert!(heard.lock().unwrap().is_empty());
    let scale = "/apis/apps/v1/namespaces/default/deployments/d/scale";
    world
        .merge(scale, json!({"spec": {"replicas": 3}}))
        .await
        .expect(200);
    let request = &last(&heard)["request"];
    assert_eq!(
        request["kind"],
        json!({"group": "autoscaling", "version": "v1", "kind": "Scale"})
    );
    assert_eq!(
        (&request["subResource"], &request["requestSubResource"]),
        (&json!("scale"), &json!("scale"))
    );
    assert_eq!(request["resource"]["resource"], "deployments");
    assert_eq!(
        (
            &request["object"]["kind"],
            &request["object"]["spec"],
            &request["oldObject"]["spec"]
        ),
        (
            &json!("Scale"),
            &json!({"replicas": 3}),
            &json!({"replicas": 1})
        )
    );
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}});
    world
        .post("/api/v1/namespaces", namespace)
        .await
        .expect(201);
    let request = &last(&heard)["request"];
    assert_eq!(
        (&request["name"], &request["namespace"]),
        (&json!("n"), &json!("n"))
    );
    world
        .post(
            "/api/v1/namespaces/default/serviceaccounts",
            json!({"apiVersion": "v1",
        "kind": "ServiceAccount", "metadata": {"name": "s"}}),
        )
        .await
        .expect(201);
    world
        .post(
            "/api/v1/namespaces/default/serviceaccounts/s/token",
            json!({}),
        )
        .await
        .expect(201);
    let request = &last(&heard)["request"];
    assert_eq!(request["kind"]["kind"], "TokenRequest");
    assert_eq!(
        (&request["name"], &request["subResource"]),
        (&json!("s"), &json!("token"))
    );
}

#[tokio::test]
async fn what_a_webhook_says_reaches_the_client() {
    let world = World::new();
    let hook = Hook::serve(|review| {
        let name = review["request"]["name"].as_str().unwrap().to_owned();
        let status = match name.as_str() {
            "worded" => json!({"code": 422, "reason": "Invalid", "message": "no such colour",
                "details": {"causes": [{"field": "data.a", "message": "no"}]}}),
            "silent" => Value::Null,
            _ => {
                return answer(
                    &review,
                    json!({"allowed": true, "warnings": ["mind the gap"]}),
                );
            }
        };
        answer(
            &review,
            json!({"allowed": false, "status": status, "warnings": ["look out"]}),
        )
    })
    .await;
    world.ask_hook("judge", &hook, &json!({})).await;
    let made = world.post(MAPS, config_map("fine")).await;
    assert_eq!(
        (made.code, made.warnings),
        (201, vec!["299 - \"mind the gap\"".to_owned()])
    );
    let refused = world.post(MAPS, config_map("worded")).await;
    assert_eq!(refused.warnings, ["299 - \"look out\""]);
    assert_eq!(
        refused.expect(422),
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "code": 422, "reason": "Invalid",
            "message": "admission webhook \"judge.example.com\" denied the request: no such colour",
            "details": {"causes": [{"field": "data.a", "message": "no"}]}})
    );
    let refused = world.post(MAPS, config_map("silent")).await.expect(400);
    assert_eq!(
        refused["message"],
        "admission webhook \"judge.example.com\" denied the request without explanation"
    );
    world.get(&at("worded")).await.expect(404);
    let dry = world
        .post(&format!("{MAPS}?dryRun=All"), config_map("worded"))
        .await;
    assert_eq!(dry.code, 422);
}

#[tokio::test]
async fn what_a_webhook_notes_is_for_the_audit_log() {
    let world = World::new();
    let hook = Hook::serve(|review| {
        let allowed = review["request"]["name"] == "fine";
        answer(
            &review,
            json!({"allowed": allowed, "auditAnnotations": {"seen": "yes"}}),
        )
    })
    .await;
    world.ask_hook("noting", &hook, &json!({})).await;
    for (name, code) in [("fine", 201), ("bad", 400)] {
        let response = world
            .raw("POST", MAPS, &[], config_map(name).to_string())
            .await;
        assert_eq!(response.status(), code);
        let noted = &response.extensions().get::<Annotations>().unwrap().0;
        assert_eq!(noted["noting.example.com/seen"], "yes");
    }
}

#[tokio::test]
async fn warnings_fit_into_a_header() {
    let world = World::new();
    let hook = Hook::serve(|review| {
        let warnings: Vec<String> = (0..40).map(|n| format!("{n}{}", "e".repeat(500))).collect();
        answer(&review, json!({"allowed": true, "warnings": warnings}))
    })
    .await;
    world.ask_hook("talks", &hook, &json!({})).await;
    let made = world.post(MAPS, config_map("a")).await;
    assert_eq!(made.code, 201);
    let all: usize = made.warnings.iter().map(String::len).sum();
    assert!(
        made.warnings.len() > 1 && all < 8192,
        "{} of {all} bytes",
        made.warnings.len()
    );
}

#[tokio::test]
async fn a_webhook_that_fails_is_named_or_ignored() {
    let world = World::new();
    let stranger = Hook::serve(|review| allowed(&review)).await;
    let hook = Hook::serve_odd(|review| match review["request"]["name"].as_str().unwrap() {
        "garbage" => Said::Text(200, "certainly"),
        "broken" => Said::Text(500, "out of order"),
        "closes" => Said::Nothing,
        "sleeps" => Said::Never,
        "uid" => Said::Review(
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "response": {"uid": "x", "allowed": true}}),
        ),
        "version" => {
            let mut review = allowed(&review);
            review["apiVersion"] = json!("admission.k8s.io/v2");
            Said::Review(review)
        }
        "empty" => {
            Said::Review(json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}))
        }
        _ => Said::Review(allowed(&review)),
    })
    .await;
    let ours = hook.config();
    let mut foreign = ours.clone();
    foreign["caBundle"] = json!(stranger.bundle);
    let mut nobodys = ours.clone();
    nobodys["caBundle"] = Value::Null;
    let service = json!({"service": {"namespace": "default", "name": "none", "path": "/x"}, "caBundle": hook.bundle});
    let post = format!(
        "failed to call webhook: Post \"https://127.0.0.1:{}/review?timeout=30s\": ",
        hook.port
    );
    let nowhere = "failed to call webhook: Post \"https://none.default.svc:443/x?timeout=30s\": service \"none\" not found";
    let invalid = "received invalid webhook response: ";
    for (name, client, why) in [
        ("garbage", &ours, format!("{post}expected value")),
        ("broken", &ours, format!("{post}the server answered 500")),
        ("closes", &ours, format!("{post}connection ")),
        ("uid", &ours, format!("{invalid}expected response.uid=")),
        (
            "version",
            &ours,
            format!(
                "{invalid}expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got admission.k8s.io/v2"
            ),
        ),
        (
            "empty",
            &ours,
            format!("{invalid}webhook response was absent"),
        ),
        (
            "foreign",
            &foreign,
            format!("{post}invalid peer certificate"),
        ),
        (
            "nobodys",
            &nobodys,
            format!("{post}tls: clientConfig.caBundle names no authority"),
        ),
        ("service", &service, nowhere.to_owned()),
    ] {
        let path = format!("{HOOKS}/{name}");
        let made = configuration(name, client, &json!({"failurePolicy": "Fail"}));
        world.post(HOOKS, made).await.expect(201);
        let refused = world.post(MAPS, config_map(name)).await.expect(500);
        let message = refused["message"].as_str().unwrap();
        let begins = format!(
            "Internal error occurred: failed calling webhook \"{name}.example.com\": {why}"
        );
        assert!(message.starts_with(&begins), "{name}: {message}");
        assert_eq!(refused["reason"], "InternalError");
        let change = json!({"webhooks": configuration(name, client, &json!({"failurePolicy": "Ignore"}))["webhooks"]});
        world.merge(&path, change).await.expect(200);
        world.post(MAPS, config_map(name)).await.expect(201);
        world.delete(&path).await.expect(200);
    }
    world
        .post(
            HOOKS,
            configuration("sleeps", &ours, &json!({"timeoutSeconds": 1})),
        )
        .await
        .expect(201);
    let refused = world.post(MAPS, config_map("sleeps")).await.expect(500);
    let message = refused["message"].as_str().unwrap();
    assert!(
        message.ends_with("review?timeout=1s\": context deadline exceeded"),
        "{message}"
    );
}

#[tokio::test]
async fn all_webhooks_are_asked_at_once() {
    let world = World::new();
    let meeting = Arc::new(Barrier::new(3));
    let mut hooks = Vec::new();
    for name in ["a", "b", "c"] {
        let meeting = Arc::clone(&meeting);
        let hook = Hook::serve_odd(move |review| {
            let status = json!({"message": format!("{name} says no")});
            let said = answer(&review, json!({"allowed": name == "a", "status": status}));
            Said::Together(Arc::clone(&meeting), said)
        })
        .await;
        world.ask_hook(name, &hook, &json!({})).await;
        hooks.push(hook);
    }
    let refused = world.post(MAPS, config_map("x")).await.expect(400);
    assert_eq!(
        refused["message"],
        "admission webhook \"b.example.com\" denied the request: b says no"
    );
}

#[tokio::test]
async fn conditions_spare_the_webhook() {
    let condition =
        |expression: &str| json!({"matchConditions": [{"name": "c", "expression": expression}]});
    let ours = "request.userInfo.username == 'tester' && object.metadata.namespace == 'default' \
                && oldObject == null && authorizer.requestResource.check('create').allowed()";
    for (expression, policy, asked, code) in [
        (ours, "Fail", 1, 201),
        ("object.data.a == '2'", "Fail", 0, 201),
        ("object.data.none == '2'", "Ignore", 0, 201),
        ("object.data.none == '2'", "Fail", 0, 403),
    ] {
        let mut change = condition(expression);
        change["failurePolicy"] = json!(policy);
        let (world, hook, _) = World::listening(&change).await;
        let told = world.post(MAPS, config_map("a")).await;
        assert_eq!(
            (told.code, hook.called()),
            (code, asked),
            "{expression}: {}",
            told.body
        );
        if code == 403 {
            assert_eq!(
                told.body["message"],
                "configmaps \"a\" is forbidden: expression 'object.data.none == '2'' resulted in error: no such key: none"
            );
        }
    }
}

#[tokio::test]
async fn labels_choose_which_writes_are_asked_about() {
    let change = json!({"namespaceSelector": {"matchLabels": {"guarded": "yes"}},
        "objectSelector": {"matchExpressions": [{"key": "free", "operator": "DoesNotExist"}]}});
    let (world, hook, _) = World::listening(&change).await;
    world.post(MAPS, config_map("a")).await.expect(201);
    assert_eq!(hook.called(), 0);
    let label = json!({"metadata": {"labels": {"guarded": "yes"}}});
    world
        .merge("/api/v1/namespaces/default", label)
        .await
        .expect(200);
    world.post(MAPS, config_map("b")).await.expect(201);
    assert_eq!(hook.called(), 1);
    let mut free = config_map("c");
    free["metadata"]["labels"] = json!({"free": ""});
    world.post(MAPS, free).await.expect(201);
    assert_eq!(hook.called(), 1);
}

#[tokio::test]
async fn a_rule_for_one_version_holds_for_all() {
    let version = |name: &str| {
        json!({"name": name, "served": true, "storage": name == "v1",
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}})
    };
    let change = json!({"rules": [{"operations": ["CREATE"], "apiGroups": ["x.example.com"],
        "apiVersions": ["v1"], "resources": ["boxes"]}]});
    let (world, _hook, heard) = World::listening(&change).await;
    world
        .post(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "boxes.x.example.com"}, "spec": {"group": "x.example.com",
            "scope": "Namespaced", "names": {"plural": "boxes", "kind": "Box"},
            "versions": [version("v1"), version("v2")]}}),
        )
        .await
        .expect(201);
    world
        .post(
            "/apis/x.example.com/v2/namespaces/default/boxes",
            json!({"apiVersion": "x.example.com/v2",
        "kind": "Box", "metadata": {"name": "b"}, "spec": {"size": 1}}),
        )
        .await
        .expect(201);
    let request = &last(&heard)["request"];
    for (field, version) in [
        ("kind", "v1"),
        ("resource", "v1"),
        ("requestKind", "v2"),
        ("requestResource", "v2"),
    ] {
        assert_eq!(request[field]["version"], version, "{field}");
    }
    assert_eq!(request["object"]["apiVersion"], "x.example.com/v1");
    assert_eq!(request["object"]["spec"], json!({"size": 1}));
}

#[tokio::test]
async fn a_configuration_can_always_be_taken_back() {
    let world = World::new();
    let everything = json!({"rules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}]});
    let nowhere = json!({"url": "https://127.0.0.1:1/x", "caBundle": ""});
    world
        .post(HOOKS, configuration("a", &nowhere, &everything))
        .await
        .expect(201);
    world.post(MAPS, config_map("x")).await.expect(500);
    world
        .merge(
            &format!("{HOOKS}/a"),
            json!({"metadata": {"labels": {"a": "b"}}}),
        )
        .await
        .expect(200);
    world
        .post(HOOKS, configuration("b", &nowhere, &everything))
        .await
        .expect(201);
    for name in ["a", "b"] {
        world.delete(&format!("{HOOKS}/{name}")).await.expect(200);
    }
    world.post(MAPS, config_map("x")).await.expect(201);
}

#[tokio::test]
async fn a_service_may_stand_for_a_host() {
    let (world, hook, heard) = World::listening(&json!({"failurePolicy": "Ignore"})).await;
    world.delete(&format!("{HOOKS}/listen")).await.expect(200);
    world
        .post(
            "/api/v1/namespaces/default/services",
            json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "hook"}, "spec": {"type": "ExternalName", "externalName": "localhost",
            "ports": [{"port": hook.port}]}}),
        )
        .await
        .expect(201);
    let client = json!({"service": {"namespace": "default", "name": "hook", "port": hook.port}, "caBundle": hook.bundle});
    world
        .post(HOOKS, configuration("there", &client, &json!({})))
        .await
        .expect(201);
    world.post(MAPS, config_map("a")).await.expect(201);
    assert_eq!(last(&heard)["request"]["name"], "a");
}
