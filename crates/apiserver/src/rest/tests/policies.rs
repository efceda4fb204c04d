//! Writes that admission policies judge: bindings, parameters, actions, and what a client hears.

use serde_json::json;

use super::*;

const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";

fn policy(name: &str, spec: &Value) -> Value {
    let mut whole = json!({"matchConstraints": {"resourceRules": [{"operations": ["CREATE", "UPDATE"],
        "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}]}});
    json_patch::merge(&mut whole, spec);
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name}, "spec": whole})
}

fn binding(name: &str, spec: &Value) -> Value {
    let mut whole = json!({"policyName": name, "validationActions": ["Deny"]});
    json_patch::merge(&mut whole, spec);
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": format!("bind-{name}")}, "spec": whole})
}

fn rule(expression: &str) -> Value {
    json!({"validations": [{"expression": expression}]})
}

impl World {
    /// A policy that is bound.
    async fn bound(&self, name: &str, spec: &Value, how: &Value) {
        self.post(POLICIES, policy(name, spec)).await.expect(201);
        self.post(BINDINGS, binding(name, how)).await.expect(201);
    }

    async fn create_map(&self, name: &str, data: Value) -> Answer {
        let mut map = config_map(name);
        map["data"] = data;
        self.post(MAPS, map).await
    }

    async fn refused(&self, name: &str, data: Value) -> String {
        let answer = self.create_map(name, data).await.expect(422);
        answer["message"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_policy_holds_once_it_is_bound() {
    let world = World::new();
    let small = rule("object.data.size != 'large'");
    let made = world
        .post(POLICIES, policy("small", &small))
        .await
        .expect(201);
    assert_eq!(made["status"]["observedGeneration"], 1);
    assert_eq!(made["spec"]["failurePolicy"], "Fail");
    assert_eq!(
        made["spec"]["matchConstraints"]["matchPolicy"],
        "Equivalent"
    );
    world
        .create_map("a", json!({"size": "large"}))
        .await
        .expect(201);
    world
        .post(BINDINGS, binding("small", &json!({})))
        .await
        .expect(201);
    let refused = world
        .create_map("b", json!({"size": "large"}))
        .await
        .expect(422);
    let why = "ValidatingAdmissionPolicy 'small' with binding 'bind-small' denied request: failed expression: \
               object.data.size != 'large'";
    assert_eq!(
        refused,
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 422,
            "reason": "Invalid", "message": format!("configmaps \"b\" is forbidden: {why}"),
            "details": {"name": "b", "kind": "configmaps", "causes": [{"message": why}]}})
    );
    world
        .create_map("b", json!({"size": "small"}))
        .await
        .expect(201);
    world
        .merge(&at("b"), json!({"data": {"size": "large"}}))
        .await
        .expect(422);
    let dry = format!("{}?dryRun=All", at("b"));
    world
        .merge(&dry, json!({"data": {"size": "large"}}))
        .await
        .expect(422);
    let path = format!("{POLICIES}/small");
    let changed = json!({"spec": rule("object.data.size != 'huge'")});
    let changed = world.merge(&path, changed).await.expect(200);
    assert_eq!(changed["status"]["observedGeneration"], 2);
    world
        .merge(&at("b"), json!({"data": {"size": "large"}}))
        .await
        .expect(200);
    world
        .delete(&format!("{BINDINGS}/bind-small"))
        .await
        .expect(200);
    world
        .merge(&at("b"), json!({"data": {"size": "huge"}}))
        .await
        .expect(200);
}

#[tokio::test]
async fn an_answer_has_the_reason_of_the_policy() {
    for (reason, code) in [
        ("Forbidden", 403),
        ("Unauthorized", 401),
        ("RequestEntityTooLarge", 413),
        ("Invalid", 422),
    ] {
        let world = World::new();
        let spec = json!({"validations": [{"expression": "false", "reason": reason,
            "messageExpression": "'no ' + object.metadata.name + ' by ' + request.userInfo.username"}]});
        world.bound("no", &spec, &json!({})).await;
        let refused = world.create_map("x", json!({})).await.expect(code);
        assert_eq!(refused["reason"], reason);
        let message = refused["message"].as_str().unwrap();
        assert!(
            message.ends_with("denied request: no x by tester"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_binding_may_warn_instead() {
    let world = World::new();
    world
        .bound(
            "warn",
            &rule("false"),
            &json!({"validationActions": ["Warn", "Audit"]}),
        )
        .await;
    let made = world.create_map("a", json!({})).await;
    assert_eq!(made.code, 201);
    assert_eq!(
        made.warnings,
        [
            "299 - \"Validation failed for ValidatingAdmissionPolicy 'warn' with binding 'bind-warn': failed expression: false\""
        ]
    );
}

#[tokio::test]
async fn a_binding_may_narrow_what_a_policy_matches() {
    let world = World::new();
    let how = json!({"matchResources": {"objectSelector": {"matchLabels": {"strict": "yes"}}}});
    world.bound("narrow", &rule("false"), &how).await;
    world.create_map("a", json!({})).await.expect(201);
    let mut strict = config_map("b");
    strict["metadata"]["labels"] = json!({"strict": "yes"});
    world.post(MAPS, strict).await.expect(422);
}

#[tokio::test]
async fn expressions_see_old_object_namespace_and_rights() {
    let world = World::new();
    let spec = json!({"validations": [
        {"expression": "oldObject == null || oldObject.data.a <= object.data.a", "message": "a shrinks"},
        {"expression": "namespaceObject.metadata.labels['kubernetes.io/metadata.name'] == request.namespace"},
        {"expression": "authorizer.requestResource.check('update').allowed()"},
    ]});
    world.bound("see", &spec, &json!({})).await;
    world.create_map("m", json!({"a": "2"})).await.expect(201);
    world
        .merge(&at("m"), json!({"data": {"a": "3"}}))
        .await
        .expect(200);
    let refused = world
        .merge(&at("m"), json!({"data": {"a": "1"}}))
        .await
        .expect(422);
    let message = refused["message"].as_str().unwrap();
    assert!(message.ends_with("denied request: a shrinks"), "{message}");
}

#[tokio::test]
async fn what_cannot_be_evaluated_is_refused_or_ignored() {
    for (failure, code) in [("Fail", 422), ("Ignore", 201)] {
        let world = World::new();
        let mut spec = rule("object.data.none == 'x'");
        spec["failurePolicy"] = json!(failure);
        world.bound("odd", &spec, &json!({})).await;
        let told = world.create_map("a", json!({})).await.expect(code);
        if code == 422 {
            let message = told["message"].as_str().unwrap();
            let ends = "denied request: expression 'object.data.none == 'x'' resulted in error: no such key: none";
            assert!(message.ends_with(ends), "{message}");
        }
    }
}

/// A policy whose parameters are config maps that say how large others may be.
fn limited() -> Value {
    json!({"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConditions": [{"name": "not-a-limit", "expression": "!has(object.data.most)"}],
        "validations": [{"expression": "int(object.data.size) <= int(params.data.most)",
            "messageExpression": "'at most ' + params.data.most"}]})
}

#[tokio::test]
async fn parameters_are_found_by_name() {
    let world = World::new();
    let how = json!({"paramRef": {"name": "limit"}});
    world.bound("limited", &limited(), &how).await;
    let message = world.refused("a", json!({"size": "1"})).await;
    let ends = "denied request: failed to configure binding: no params found for policy binding with `Deny` \
                parameterNotFoundAction";
    assert!(message.ends_with(ends), "{message}");
    let allow = json!({"spec": {"paramRef": {"parameterNotFoundAction": "Allow"}}});
    let path = format!("{BINDINGS}/bind-limited");
    world.merge(&path, allow).await.expect(200);
    world
        .create_map("a", json!({"size": "9"}))
        .await
        .expect(201);
    let elsewhere = json!({"spec": {"paramRef": {"namespace": "kube-public"}}});
    world.merge(&path, elsewhere).await.expect(200);
    let mut limit = config_map("limit");
    limit["data"] = json!({"most": "5"});
    let there = "/api/v1/namespaces/kube-public/configmaps";
    world.post(there, limit).await.expect(201);
    let message = world.refused("b", json!({"size": "6"})).await;
    assert!(message.ends_with("denied request: at most 5"), "{message}");
    world
        .create_map("b", json!({"size": "5"}))
        .await
        .expect(201);
}

#[tokio::test]
async fn each_selected_parameter_has_its_say() {
    let world = World::new();
    for (name, most, used) in [("l1", "9", "yes"), ("l2", "5", "yes"), ("l3", "1", "no")] {
        let mut limit = config_map(name);
        limit["data"] = json!({"most": most});
        limit["metadata"]["labels"] = json!({"used": used});
        world.post(MAPS, limit).await.expect(201);
    }
    let how = json!({"paramRef": {"selector": {"matchLabels": {"used": "yes"}}}});
    world.bound("limited", &limited(), &how).await;
    world
        .create_map("a", json!({"size": "5"}))
        .await
        .expect(201);
    let message = world.refused("b", json!({"size": "6"})).await;
    assert!(message.ends_with("denied request: at most 5"), "{message}");
    let all = json!({"spec": {"paramRef": {"selector": {"matchLabels": null}}}});
    world
        .merge(&format!("{BINDINGS}/bind-limited"), all)
        .await
        .expect(200);
    let message = world.refused("c", json!({"size": "2"})).await;
    assert!(
        message.contains("resulted in error: no such key: most") || message.ends_with("at most 1"),
        "{message}"
    );
}

#[tokio::test]
async fn a_kind_of_parameters_that_nobody_serves_is_told() {
    let world = World::new();
    let mut spec = limited();
    spec["paramKind"] = json!({"apiVersion": "x.io/v1", "kind": "Limit"});
    world
        .bound("unknown", &spec, &json!({"paramRef": {"name": "l"}}))
        .await;
    let message = world.refused("a", json!({"size": "1"})).await;
    let ends = "ValidatingAdmissionPolicy 'unknown' denied request: failed to configure policy: failed to find resource \
                referenced by paramKind: 'x.io/v1, Kind=Limit'";
    assert!(message.ends_with(ends), "{message}");
}

#[tokio::test]
async fn a_custom_resource_judges_its_own_kind() {
    let world = World::new();
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "seats.x.example.com"}, "spec": {"group": "x.example.com", "scope": "Cluster",
            "names": {"plural": "seats", "kind": "Seat"}, "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"taken": {"type": "boolean"}}}}}]}});
    world
        .post(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            definition,
        )
        .await
        .expect(201);
    let spec = json!({
        "paramKind": {"apiVersion": "x.example.com/v1", "kind": "Seat"},
        "matchConstraints": {"resourceRules": [{"operations": ["*"], "apiGroups": ["x.example.com"],
            "apiVersions": ["v1"], "resources": ["seats"]}]},
        "validations": [{"expression": "request.operation == 'DELETE' || !object.taken || !params.taken || params.metadata.name == object.metadata.name",
            "messageExpression": "params.metadata.name + ' is taken'"}]});
    let how = json!({"paramRef": {"selector": {}, "parameterNotFoundAction": "Allow"}});
    world.bound("one", &spec, &how).await;
    let seats = "/apis/x.example.com/v1/seats";
    let seat = |name: &str, taken: bool| {
        json!({"apiVersion": "x.example.com/v1", "kind": "Seat",
        "metadata": {"name": name}, "taken": taken})
    };
    world.post(seats, seat("a", true)).await.expect(201);
    let refused = world.post(seats, seat("b", true)).await.expect(422);
    let message = refused["message"].as_str().unwrap();
    assert!(message.ends_with("denied request: a is taken"), "{message}");
    world.post(seats, seat("b", false)).await.expect(201);
    world
        .merge(&format!("{seats}/b"), json!({"taken": true}))
        .await
        .expect(422);
    world
        .merge(
            &format!("{seats}/a"),
            json!({"metadata": {"labels": {"x": "y"}}}),
        )
        .await
        .expect(200);
    world.delete(&format!("{seats}/a")).await.expect(200);
    world
        .merge(&format!("{seats}/b"), json!({"taken": true}))
        .await
        .expect(200);
}

#[tokio::test]
async fn policies_do_not_judge_themselves() {
    let world = World::new();
    let everything = json!({"matchConstraints": {"resourceRules": [{"operations": ["*"], "apiGroups": ["*"],
        "apiVersions": ["*"], "resources": ["*/*"]}]}, "validations": [{"expression": "false"}]});
    world.bound("never", &everything, &json!({})).await;
    world.create_map("a", json!({})).await.expect(422);
    world
        .delete(&format!("{BINDINGS}/bind-never"))
        .await
        .expect(200);
    world.delete(&format!("{POLICIES}/never")).await.expect(200);
    world.create_map("a", json!({})).await.expect(201);
}

#[tokio::test]
async fn a_policy_that_cannot_be_is_refused_by_field() {
    let world = World::new();
    for (spec, why) in [
        (
            rule("object.a +"),
            "spec.validations[0].expression: Invalid value: \"object.a +\": compilation failed: ",
        ),
        (
            rule("objekt.a == 1"),
            "compilation failed: ERROR: <input>:1:1: undeclared reference to 'objekt' (in container '')\n | objekt.a == 1\n | ^",
        ),
        (rule("params.a == 1"), "undeclared reference to 'params'"),
        (rule("request.nome == 'a'"), "undefined field 'nome'"),
        (rule("variables.x == 1"), "undefined field 'x'"),
        (rule("'a'"), "compilation failed: must evaluate to bool"),
        (
            json!({}),
            "spec.validations: Required value: validations or auditAnnotations must contain at least one item",
        ),
        (
            json!({"validations": [{"expression": "true", "messageExpression": "1"}]}),
            "spec.validations[0].messageExpression: Invalid value: \"1\": compilation failed: must evaluate to string",
        ),
        (
            json!({"validations": [{"expression": "true", "message": "a\nb"}]}),
            "spec.validations[0].message: Invalid value: \"a\\nb\": message must not contain line breaks",
        ),
        (
            json!({"validations": [{"expression": "true", "reason": "Because"}]}),
            "spec.validations[0].reason: Unsupported value: \"Because\": supported values: \"Forbidden\", \"Invalid\", \"RequestEntityTooLarge\", \"Unauthorized\"",
        ),
        (
            json!({"variables": [{"name": "a", "expression": "variables.b"}, {"name": "b", "expression": "1"}], "validations": [{"expression": "true"}]}),
            "spec.variables[0].expression: Invalid value: \"variables.b\": compilation failed: ERROR: <input>:1:10: undefined field 'b'",
        ),
        (
            json!({"variables": [{"name": "a-b", "expression": "1"}], "validations": [{"expression": "true"}]}),
            "spec.variables[0].name: Invalid value: \"a-b\": name is not a valid CEL identifier",
        ),
        (
            json!({"matchConstraints": {"resourceRules": null}, "validations": [{"expression": "true"}]}),
            "spec.matchConstraints.resourceRules: Required value",
        ),
        (
            json!({"matchConstraints": null, "validations": [{"expression": "true"}]}),
            "spec.matchConstraints: Required value",
        ),
        (
            json!({"paramKind": {"apiVersion": "a/b/c", "kind": "K"}, "validations": [{"expression": "true"}]}),
            "spec.paramKind.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
        ),
    ] {
        let refused = world.post(POLICIES, policy("p", &spec)).await.expect(422);
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains(why), "{spec}: {message}");
    }
    for (spec, why) in [
        (
            json!({"policyName": null}),
            "spec.policyName: Required value",
        ),
        (
            json!({"validationActions": null}),
            "spec.validationActions: Required value",
        ),
        (
            json!({"validationActions": ["Deny", "Warn"]}),
            "spec.validationActions: Invalid value: [\"Deny\",\"Warn\"]: must not contain both Deny and Warn",
        ),
        (
            json!({"validationActions": ["Audit", "Audit"]}),
            "spec.validationActions[1]: Duplicate value: \"Audit\"",
        ),
        (
            json!({"validationActions": ["Shout"]}),
            "spec.validationActions[0]: Unsupported value: \"Shout\"",
        ),
        (
            json!({"paramRef": {}}),
            "spec.paramRef: Required value: one of name or selector must be specified",
        ),
        (
            json!({"paramRef": {"name": "a", "selector": {}}}),
            "spec.paramRef.selector: Forbidden: name and selector are mutually exclusive",
        ),
        (
            json!({"paramRef": {"name": "a", "parameterNotFoundAction": "Guess"}}),
            "spec.paramRef.parameterNotFoundAction: Unsupported value: \"Guess\": supported values: \"Allow\", \"Deny\"",
        ),
    ] {
        let refused = world.post(BINDINGS, binding("p", &spec)).await.expect(422);
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains(why), "{spec}: {message}");
    }
}
