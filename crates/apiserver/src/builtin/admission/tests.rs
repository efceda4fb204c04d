//! Tables of what is filled in and what is refused.

use super::*;
use crate::builtin::{by_kind, prepare};

const GROUP: &str = "admissionregistration.k8s.io";

fn prepared(kind: &str, mut object: Value) -> (Value, Vec<String>) {
    let builtin = by_kind(GROUP, "v1", kind).unwrap();
    let errors = prepare(builtin, &mut object, None);
    (object, errors.iter().map(ToString::to_string).collect())
}

fn hook() -> Value {
    json!({"name": "check.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "clientConfig": {"service": {"name": "s", "namespace": "n"}},
        "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}]})
}

fn configuration(change: &Value) -> (Value, Vec<String>) {
    let mut hook = hook();
    json_patch::merge(&mut hook, change);
    prepared(
        "ValidatingWebhookConfiguration",
        json!({"webhooks": [hook]}),
    )
}

#[test]
fn a_webhook_is_filled_in_as_kubernetes_does() {
    let (made, errors) = configuration(&json!({}));
    assert!(errors.is_empty(), "{errors:?}");
    let made = &made["webhooks"][0];
    for (field, value) in [
        ("failurePolicy", json!("Fail")),
        ("matchPolicy", json!("Equivalent")),
        ("timeoutSeconds", json!(10)),
        ("namespaceSelector", json!({})),
        ("objectSelector", json!({})),
    ] {
        assert_eq!(made[field], value, "{field}");
    }
    assert_eq!(made["clientConfig"]["service"]["port"], 443);
    assert_eq!(made["rules"][0]["scope"], "*");
}

#[test]
fn a_webhook_that_cannot_be_is_refused_by_field() {
    let rule = |change: Value| {
        let mut rule = hook()["rules"][0].clone();
        json_patch::merge(&mut rule, &change);
        json!({"rules": [rule]})
    };
    for (change, error) in [
        (json!({"name": null}), "webhooks[0].name: Required value"),
        (
            json!({"name": "short.com"}),
            r#"webhooks[0].name: Invalid value: "short.com": should be a domain with at least three segments separated by dots"#,
        ),
        (
            json!({"sideEffects": null}),
            "webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun",
        ),
        (
            json!({"sideEffects": "Some"}),
            r#"webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun""#,
        ),
        (
            json!({"failurePolicy": "Perhaps"}),
            r#"webhooks[0].failurePolicy: Unsupported value: "Perhaps": supported values: "Fail", "Ignore""#,
        ),
        (
            json!({"matchPolicy": "Near"}),
            r#"webhooks[0].matchPolicy: Unsupported value: "Near": supported values: "Equivalent", "Exact""#,
        ),
        (
            json!({"timeoutSeconds": 31}),
            "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
        ),
        (
            json!({"timeoutSeconds": 0}),
            "webhooks[0].timeoutSeconds: Invalid value: 0: the timeout value must be between 1 and 30 seconds",
        ),
        (
            json!({"admissionReviewVersions": null}),
            "webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1",
        ),
        (
            json!({"admissionReviewVersions": ["v2"]}),
            r#"webhooks[0].admissionReviewVersions: Invalid value: ["v2"]: must include at least one of v1, v1beta1"#,
        ),
        (
            json!({"clientConfig": {"service": null}}),
            "webhooks[0].clientConfig: Required value: exactly one of url or service is required",
        ),
        (
            json!({"clientConfig": {"service": null, "url": "https://a.b/c?d=e"}}),
            r#"webhooks[0].clientConfig.url: Invalid value: "https://a.b/c?d=e": query parameters are not permitted in the URL"#,
        ),
        (
            json!({"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "Like"}]}}),
            r#"webhooks[0].namespaceSelector.matchExpressions[0].operator: Invalid value: "Like": not a valid selector operator"#,
        ),
        (
            json!({"objectSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}),
            "webhooks[0].objectSelector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
        ),
        (
            json!({"matchConditions": [{"name": "c", "expression": "objekt.a"}]}),
            "webhooks[0].matchConditions[0].expression: Invalid value: \"objekt.a\": compilation failed: ERROR: <input>:1:1: undeclared reference to 'objekt' (in container '')\n | objekt.a\n | ^",
        ),
        (
            json!({"matchConditions": [{"name": "c", "expression": "request.name"}]}),
            r#"webhooks[0].matchConditions[0].expression: Invalid value: "request.name": compilation failed: must evaluate to bool"#,
        ),
        (
            json!({"matchConditions": [{"name": "c", "expression": "true"}, {"name": "c", "expression": "true"}]}),
            r#"webhooks[0].matchConditions[1].name: Duplicate value: "c""#,
        ),
        (
            rule(json!({"operations": ["CREATE", "*"]})),
            r#"webhooks[0].rules[0].operations: Invalid value: ["CREATE","*"]: if '*' is present, must not specify other operations"#,
        ),
        (
            rule(json!({"operations": ["READ"]})),
            r#"webhooks[0].rules[0].operations[0]: Unsupported value: "READ": supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE""#,
        ),
        (
            rule(json!({"apiGroups": []})),
            "webhooks[0].rules[0].apiGroups: Required value",
        ),
        (
            rule(json!({"apiVersions": [""]})),
            "webhooks[0].rules[0].apiVersions[0]: Required value",
        ),
        (
            rule(json!({"resources": []})),
            "webhooks[0].rules[0].resources: Required value",
        ),
        (
            rule(json!({"resources": ["pods/*", "pods/status"]})),
            r#"webhooks[0].rules[0].resources[1]: Invalid value: "pods/status": if 'pods/*' is present, must not specify pods/status"#,
        ),
        (
            rule(json!({"resources": ["*/status", "pods/status"]})),
            r#"webhooks[0].rules[0].resources[1]: Invalid value: "pods/status": if '*/status' is present, must not specify pods/status"#,
        ),
        (
            rule(json!({"resources": ["*/*", "pods"]})),
            r#"webhooks[0].rules[0].resources: Invalid value: ["*/*","pods"]: if '*/*' is present, must not specify other resources"#,
        ),
        (
            rule(json!({"resources": ["*", "pods"]})),
            r#"webhooks[0].rules[0].resources: Invalid value: ["*","pods"]: if '*' is present, must not specify other resources without subresources"#,
        ),
        (
            rule(json!({"scope": "World"})),
            r#"webhooks[0].rules[0].scope: Unsupported value: "World": supported values: "*", "Cluster", "Namespaced""#,
        ),
    ] {
        let (_, errors) = configuration(&change);
        assert_eq!(errors, [error], "{change}");
    }
    let (_, errors) = prepared(
        "ValidatingWebhookConfiguration",
        json!({"webhooks": [hook(), hook()]}),
    );
    assert_eq!(
        errors,
        [r#"webhooks[1].name: Duplicate value: "check.example.com""#]
    );
}

#[test]
fn a_mutating_webhook_is_refused_not_forgotten() {
    let (_, errors) = prepared(
        "MutatingWebhookConfiguration",
        json!({"webhooks": [hook()]}),
    );
    let why = "webhooks: Forbidden: this server calls validating webhooks, not mutating ones";
    assert!(errors[0].starts_with(why), "{errors:?}");
    let (_, errors) = prepared("MutatingWebhookConfiguration", json!({"webhooks": []}));
    assert!(errors.is_empty(), "{errors:?}");
}
