//! Fills in and checks roles and their bindings.
//!
//! Does not decide who may do what.

use serde_json::Value;

use super::values::{at, default, list, required, text};
use crate::schema::error::FieldError;

const GROUP: &str = "rbac.authorization.k8s.io";

/// Role and ClusterRole.
pub(super) fn role(new: &mut Value, _old: Option<&Value>) -> Vec<FieldError> {
    let namespaced = text(new, "/kind") == "Role";
    let mut errors = Vec::new();
    for (i, rule) in list(new, "/rules").iter().enumerate() {
        let path = format!("rules[{i}]");
        let empty = |field: &str| list(rule, &format!("/{field}")).is_empty();
        let mut need = |field: &str, why: &str| {
            if empty(field) {
                errors.push(FieldError::required(&format!("{path}.{field}"), why));
            }
        };
        need("verbs", "verbs must contain at least one value");
        if empty("nonResourceURLs") {
            need(
                "apiGroups",
                "resource rules must supply at least one api group",
            );
            need(
                "resources",
                "resource rules must supply at least one resource",
            );
            continue;
        }
        let urls = at(rule, "/nonResourceURLs");
        let at_urls = format!("{path}.nonResourceURLs");
        if namespaced {
            errors.push(FieldError::invalid(
                &at_urls,
                urls,
                "namespaced rules cannot apply to non-resource URLs",
            ));
        }
        if !(empty("apiGroups") && empty("resources") && empty("resourceNames")) {
            let why = "rules cannot apply to both regular resources and non-resource URLs";
            errors.push(FieldError::invalid(&at_urls, urls, why));
        }
    }
    errors
}

/// RoleBinding and ClusterRoleBinding.
pub(super) fn binding(new: &mut Value, old: Option<&Value>) -> Vec<FieldError> {
    let cluster = text(new, "/kind") == "ClusterRoleBinding";
    default(new, "/roleRef", "apiGroup", GROUP);
    if let Some(subjects) = new.get_mut("subjects").and_then(Value::as_array_mut) {
        for subject in subjects {
            if matches!(text(subject, "/kind"), "User" | "Group") {
                default(subject, "", "apiGroup", GROUP);
            }
        }
    }
    let mut errors = role_ref(new, cluster);
    for (i, subject) in list(new, "/subjects").iter().enumerate() {
        errors.extend(check_subject(subject, cluster, &format!("subjects[{i}]")));
    }
    if let Some(old) = old
        && at(new, "/roleRef") != at(old, "/roleRef")
    {
        errors.push(FieldError::invalid(
            "roleRef",
            at(new, "/roleRef"),
            "cannot change roleRef",
        ));
    }
    errors
}

fn role_ref(binding: &Value, cluster: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let unsupported = |field: &str, allowed: &[&str]| {
        let value = at(binding, &format!("/roleRef/{field}"));
        let known = value.as_str().is_some_and(|v| allowed.contains(&v));
        let allowed: Vec<String> = allowed.iter().map(|a| (*a).to_owned()).collect();
        (!known).then(|| FieldError::not_supported(&format!("roleRef.{field}"), value, &allowed))
    };
    errors.extend(unsupported("apiGroup", &[GROUP]));
    let kinds: &[&str] = if cluster {
        &["ClusterRole"]
    } else {
        &["ClusterRole", "Role"]
    };
    errors.extend(unsupported("kind", kinds));
    errors.extend(required(binding, "/roleRef/name", "roleRef.name"));
    errors
}

fn check_subject(subject: &Value, cluster: bool, path: &str) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = required(subject, "/name", &format!("{path}.name"))
        .into_iter()
        .collect();
    let group = text(subject, "/apiGroup");
    let at_group = format!("{path}.apiGroup");
    let wrong_group = |want: &str| {
        let value = Value::from(group);
        (group != want).then(|| FieldError::not_supported(&at_group, &value, &[want.to_owned()]))
    };
    match text(subject, "/kind") {
        "ServiceAccount" => {
            errors.extend(wrong_group(""));
            if cluster && text(subject, "/namespace").is_empty() {
                errors.push(FieldError::required(&format!("{path}.namespace"), ""));
            }
        }
        "User" | "Group" => errors.extend(wrong_group(GROUP)),
        other => {
            let all = ["Group", "ServiceAccount", "User"].map(String::from);
            errors.push(FieldError::not_supported(
                &format!("{path}.kind"),
                &other.into(),
                &all,
            ));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::builtin::told::texts;

    #[test]
    fn rules_name_what_they_are_about() {
        let cases = [
            (
                json!({"kind": "Role", "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]}),
                vec![],
            ),
            (
                json!({"kind": "Role", "rules": [{"verbs": [], "apiGroups": [""], "resources": ["pods"]}]}),
                vec!["rules[0].verbs: Required value: verbs must contain at least one value"],
            ),
            (
                json!({"kind": "ClusterRole", "rules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz"]}]}),
                vec![],
            ),
            (
                json!({"kind": "Role", "rules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz"]}]}),
                vec![
                    "rules[0].nonResourceURLs: Invalid value: [\"/healthz\"]: namespaced rules cannot apply to non-resource URLs",
                ],
            ),
            (
                json!({"kind": "Role", "rules": [{"verbs": ["get"]}]}),
                vec![
                    "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
                    "rules[0].resources: Required value: resource rules must supply at least one resource",
                ],
            ),
        ];
        for (mut new, expect) in cases {
            assert_eq!(texts(&role(&mut new, None)), expect);
        }
    }

    #[test]
    fn bindings_keep_their_role() {
        let mut new = json!({"kind": "RoleBinding", "roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s"}]});
        assert!(binding(&mut new, None).is_empty());
        assert_eq!(new["roleRef"]["apiGroup"], GROUP);
        let mut other = new.clone();
        other["roleRef"]["name"] = "q".into();
        assert!(texts(&binding(&mut other, Some(&new)))[0].ends_with("cannot change roleRef"));
        let mut bad = json!({"kind": "ClusterRoleBinding", "roleRef": {"kind": "Role", "name": ""}, "subjects": [{"kind": "ServiceAccount", "name": "s"}, {"kind": "Robot", "name": "r"}]});
        assert_eq!(
            texts(&binding(&mut bad, None)),
            [
                "roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\"",
                "roleRef.name: Required value",
                "subjects[0].namespace: Required value",
                "subjects[1].kind: Unsupported value: \"Robot\": supported values: \"Group\", \"ServiceAccount\", \"User\""
            ]
        );
    }
}
