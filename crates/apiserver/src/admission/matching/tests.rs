//! Tables of which write matches which rule, and in which version.

use serde_json::json;

use super::*;
use crate::admission::Operation;
use crate::auth::User;
use crate::registry::crd;

fn widgets(namespaced: bool) -> crate::registry::Resource {
    let version = |name: &str, served: bool| {
        json!({"name": name, "served": served, "storage": name == "v2",
            "schema": {"openAPIV3Schema": {"type": "object"}}, "subresources": {"status": {}}})
    };
    let scope = if namespaced { "Namespaced" } else { "Cluster" };
    let names = json!({"plural": "widgets", "kind": "Widget", "singular": "widget", "listKind": "WidgetList"});
    let conditions = [
        json!({"type": "Established", "status": "True"}),
        json!({"type": "NamesAccepted", "status": "True"}),
    ];
    crd::resource(&json!({"metadata": {"name": "widgets.x.io", "uid": "u"},
        "spec": {"group": "x.io", "scope": scope, "names": names,
            "versions": [version("v1", true), version("v2", true), version("v3", false)]},
        "status": {"acceptedNames": names, "conditions": conditions}}))
    .unwrap()
}

struct Case<'a> {
    operation: Operation,
    version: &'a str,
    subresource: &'a str,
    namespace: &'a str,
}

const CREATED: Case<'_> = Case {
    operation: Operation::Create,
    version: "v1",
    subresource: "",
    namespace: "default",
};

fn matched(case: &Case<'_>, hook: &Value) -> Option<String> {
    let resource = widgets(!case.namespace.is_empty());
    let user = User::anonymous();
    let request = Request {
        operation: case.operation,
        resource: &resource,
        version: case.version,
        subresource: case.subresource,
        name: "w",
        namespace: case.namespace,
        options: Value::Null,
        dry_run: false,
        user: &user,
    };
    let object = json!({"metadata": {"labels": {"colour": "red"}}});
    let old = json!({"metadata": {"labels": {"colour": "blue"}}});
    let pair = Pair {
        object: Some(&object),
        old: (case.operation != Operation::Create).then_some(&old),
    };
    let namespace = json!({"team": "a"});
    let found = Matching::of_policy(hook)
        .unwrap()
        .version(&request, pair, namespace.as_object());
    found.map(str::to_owned)
}

fn rule(change: &Value) -> Value {
    let mut rule = json!({"operations": ["*"], "apiGroups": ["x.io"], "apiVersions": ["v1"],
        "resources": ["widgets"], "scope": "*"});
    json_patch::merge(&mut rule, change);
    rule
}

#[test]
fn rules_match_group_version_resource_operation_and_name() {
    let plain = CREATED;
    let status = Case {
        subresource: "status",
        ..CREATED
    };
    for (case, change, expect) in [
        (&plain, json!({}), true),
        (&plain, json!({"operations": ["CREATE"]}), true),
        (&plain, json!({"operations": ["UPDATE", "DELETE"]}), false),
        (&plain, json!({"apiGroups": ["*"]}), true),
        (&plain, json!({"apiGroups": ["y.io"]}), false),
        (&plain, json!({"apiVersions": ["*"]}), true),
        (&plain, json!({"resources": ["*"]}), true),
        (&plain, json!({"resources": ["gadgets", "widgets"]}), true),
        (&plain, json!({"resources": ["widgets/status"]}), false),
        (&plain, json!({"resources": ["*/status"]}), false),
        (&plain, json!({"resources": ["widgets/*"]}), true),
        (&plain, json!({"resources": ["*/*"]}), true),
        (&status, json!({}), false),
        (&status, json!({"resources": ["*"]}), false),
        (&status, json!({"resources": ["widgets/status"]}), true),
        (&status, json!({"resources": ["*/status"]}), true),
        (&status, json!({"resources": ["widgets/*"]}), true),
        (&status, json!({"resources": ["*/*"]}), true),
        (&status, json!({"resources": ["gadgets/*"]}), false),
        (&plain, json!({"resourceNames": ["w"]}), true),
        (&plain, json!({"resourceNames": ["v"]}), false),
    ] {
        let found = matched(case, &json!({"resourceRules": [rule(&change)]}));
        assert_eq!(found.is_some(), expect, "{change}");
        let nothing =
            json!({"resourceRules": [rule(&json!({}))], "excludeResourceRules": [rule(&change)]});
        if case.subresource.is_empty() {
            assert_eq!(
                matched(case, &nothing).is_none(),
                expect,
                "excluded {change}"
            );
        }
    }
    assert_eq!(matched(&plain, &json!({})), None, "no rules match nothing");
}

#[test]
fn scope_and_namespaces_count_for_what_has_a_namespace() {
    let in_cluster = Case {
        namespace: "",
        ..CREATED
    };
    for (case, scope, selector, expect) in [
        (&CREATED, "*", json!({}), true),
        (&CREATED, "Namespaced", json!({}), true),
        (&CREATED, "Cluster", json!({}), false),
        (&CREATED, "*", json!({"matchLabels": {"team": "a"}}), true),
        (&CREATED, "*", json!({"matchLabels": {"team": "b"}}), false),
        (
            &in_cluster,
            "*",
            json!({"matchLabels": {"team": "b"}}),
            true,
        ),
        (&in_cluster, "Namespaced", json!({}), false),
        (&in_cluster, "Cluster", json!({}), true),
    ] {
        let hook = json!({"resourceRules": [rule(&json!({"scope": scope}))], "namespaceSelector": selector});
        assert_eq!(matched(case, &hook).is_some(), expect, "{scope} {selector}");
    }
}

#[test]
fn either_state_of_an_object_is_selected() {
    let updated = Case {
        operation: Operation::Update,
        ..CREATED
    };
    for (case, colour, expect) in [
        (&CREATED, "red", true),
        (&CREATED, "blue", false),
        (&updated, "red", true),
        (&updated, "blue", true),
        (&updated, "green", false),
    ] {
        let hook = json!({"resourceRules": [rule(&json!({}))], "objectSelector": {"matchLabels": {"colour": colour}}});
        assert_eq!(matched(case, &hook).is_some(), expect, "{colour}");
    }
}

#[test]
fn a_rule_for_another_version_sees_the_object_in_that_version() {
    let newer = Case {
        version: "v2",
        ..CREATED
    };
    for (case, versions, policy, expect) in [
        (&CREATED, json!(["v1"]), "Equivalent", Some("v1")),
        (&newer, json!(["v1"]), "Equivalent", Some("v1")),
        (&newer, json!(["v1"]), "Exact", None),
        (&newer, json!(["v1", "v2"]), "Exact", Some("v2")),
        (&newer, json!(["v1", "v2"]), "Equivalent", Some("v2")),
        (&newer, json!(["v3"]), "Equivalent", None),
    ] {
        let hook = json!({"resourceRules": [rule(&json!({"apiVersions": versions}))], "matchPolicy": policy});
        assert_eq!(
            matched(case, &hook).as_deref(),
            expect,
            "{versions} {policy}"
        );
    }
}
