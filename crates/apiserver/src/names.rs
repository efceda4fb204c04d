//! Checks names, labels, annotations, finalizers and owner references as Kubernetes does.
//!
//! Does not know which names are taken, nor which kinds follow which rule.

use serde_json::{Map, Value};

use crate::schema::error::{FieldError, child, go_quote};

/// What the name of an object may look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameRule {
    /// RFC 1123 subdomain: most kinds.
    Subdomain,
    /// RFC 1123 label: namespaces and the like.
    Label,
    /// RFC 1035 label: services.
    Label1035,
    /// Whatever fits between two slashes of a URL: RBAC.
    PathSegment,
}

/// Whose metadata is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// Built-in kinds know their finalizers.
    Builtin,
    Custom,
}

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// All annotations of one object together, keys and values.
const ANNOTATIONS_BYTES: usize = 256 * 1024;

fn no_more_than(characters: usize) -> String {
    format!("must be no more than {characters} characters")
}

fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// What is wrong with an RFC 1123 subdomain.
pub(crate) fn subdomain_problems(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if text.len() > 253 {
        problems.push(no_more_than(253));
    }
    if !text.split('.').all(is_label) {
        problems.push(SUBDOMAIN.into());
    }
    problems
}

/// What is wrong with an RFC 1123 label.
pub(crate) fn label_problems(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if text.len() > 63 {
        problems.push(no_more_than(63));
    }
    if !is_label(text) {
        problems.push(LABEL.into());
    }
    problems
}

/// What is wrong with an RFC 1035 label.
pub(crate) fn label_1035_problems(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if text.len() > 63 {
        problems.push(no_more_than(63));
    }
    if !is_label(text) || text.starts_with(|c: char| c.is_ascii_digit()) {
        problems.push(LABEL_1035.into());
    }
    problems
}

fn path_segment_problems(text: &str) -> Vec<String> {
    if text == "." || text == ".." {
        return vec![format!("may not be '{text}'")];
    }
    let bad = ['/', '%'].into_iter().filter(|c| text.contains(*c));
    bad.map(|c| format!("may not contain '{c}'")).collect()
}

/// What is wrong with a name under a rule.
pub(crate) fn name_problems(rule: NameRule, text: &str) -> Vec<String> {
    match rule {
        NameRule::Subdomain => subdomain_problems(text),
        NameRule::Label => label_problems(text),
        NameRule::Label1035 => label_1035_problems(text),
        NameRule::PathSegment => path_segment_problems(text),
    }
}

fn is_name_part(text: &str) -> bool {
    let alnum = |c: char| c.is_ascii_alphanumeric();
    text.starts_with(alnum)
        && text.ends_with(alnum)
        && text
            .chars()
            .all(|c| alnum(c) || matches!(c, '-' | '_' | '.'))
}

/// What is wrong with a label key, an annotation key or a finalizer.
pub(crate) fn qualified_name_problems(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let mut parts = text.split('/');
    let (prefix, name) = match (parts.next(), parts.next(), parts.next()) {
        (Some(name), None, _) => (None, name),
        (Some(prefix), Some(name), None) => (Some(prefix), name),
        _ => {
            return vec![format!(
                "a qualified name {QUALIFIED} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if let Some(prefix) = prefix {
        if prefix.is_empty() {
            problems.push("prefix part must be non-empty".into());
        } else {
            problems.extend(
                subdomain_problems(prefix)
                    .iter()
                    .map(|p| format!("prefix part {p}")),
            );
        }
    }
    if name.is_empty() {
        problems.push("name part must be non-empty".into());
    } else if name.len() > 63 {
        problems.push(format!("name part {}", no_more_than(63)));
    }
    if !is_name_part(name) {
        problems.push(format!("name part {QUALIFIED}"));
    }
    problems
}

/// What is wrong with the value of a label.
pub(crate) fn label_value_problems(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if text.len() > 63 {
        problems.push(no_more_than(63));
    }
    if !text.is_empty() && !is_name_part(text) {
        problems.push(LABEL_VALUE.into());
    }
    problems
}

/// Checks a map of labels at `path`.
pub(crate) fn validate_labels(labels: &Map<String, Value>, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (key, value) in labels {
        let bad_key = qualified_name_problems(key);
        errors.extend(
            bad_key
                .iter()
                .map(|p| FieldError::invalid_text(path, key, p)),
        );
        let text = value.as_str().unwrap_or_default();
        let bad_value = label_value_problems(text);
        errors.extend(
            bad_value
                .iter()
                .map(|p| FieldError::invalid_text(path, text, p)),
        );
    }
    errors
}

fn validate_annotations(annotations: &Map<String, Value>, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut bytes = 0;
    for (key, value) in annotations {
        // Upper case is tolerated in the prefix of an annotation, not in that of a label.
        let bad_key = qualified_name_problems(&key.to_lowercase());
        errors.extend(
            bad_key
                .iter()
                .map(|p| FieldError::invalid_text(path, key, p)),
        );
        bytes += key.len() + value.as_str().map_or(0, str::len);
    }
    if bytes > ANNOTATIONS_BYTES {
        errors.push(FieldError::too_long(path, ANNOTATIONS_BYTES as u64));
    }
    errors
}

fn validate_finalizers(finalizers: &[Value], path: &str, family: Family) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    for name in finalizers.iter().map(text) {
        let bad = qualified_name_problems(&name);
        errors.extend(bad.iter().map(|p| FieldError::invalid_text(path, &name, p)));
    }
    if family == Family::Builtin {
        let standard = ["kubernetes", "orphan", "foregroundDeletion"];
        for (i, name) in finalizers.iter().map(text).enumerate() {
            if !name.contains('/') && !standard.contains(&name.as_str()) {
                errors.push(FieldError::invalid_text(
                    &format!("{path}[{i}]"),
                    &name,
                    "name is neither a standard finalizer name nor is it fully qualified",
                ));
            }
        }
    }
    let has = |name: &str| finalizers.iter().any(|f| f.as_str() == Some(name));
    if has("orphan") && has("foregroundDeletion") {
        errors.push(FieldError::invalid(
            path,
            &Value::Array(finalizers.to_vec()),
            "finalizer orphan and foregroundDeletion cannot be both set",
        ));
    }
    errors
}

fn validate_owners(owners: &[Value], path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut controller: Option<&Value> = None;
    for owner in owners {
        let text = |key: &str| owner.get(key).and_then(Value::as_str).unwrap_or_default();
        if text("apiVersion").is_empty() {
            errors.push(FieldError::invalid_text(
                &child(path, "apiVersion"),
                "",
                "version must not be empty",
            ));
        }
        for key in ["kind", "name", "uid"] {
            if text(key).is_empty() {
                errors.push(FieldError::invalid_text(
                    &child(path, key),
                    "",
                    "must not be empty",
                ));
            }
        }
        if owner.get("controller").and_then(Value::as_bool) == Some(true) {
            if let Some(first) = controller {
                let name = |v: &Value| {
                    v.get("name")
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                        .to_owned()
                };
                errors.push(FieldError::invalid(
                    path,
                    &Value::Array(owners.to_vec()),
                    &format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {} and {}",
                        name(first),
                        name(owner)
                    ),
                ));
            } else {
                controller = Some(owner);
            }
        }
    }
    errors
}

fn list<'a>(meta: &'a Value, key: &str) -> &'a [Value] {
    meta.get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn text<'a>(meta: &'a Value, key: &str) -> &'a str {
    meta.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Checks the `metadata` of an object about to be stored.
pub(crate) fn validate_object_meta(
    meta: &Value,
    namespaced: bool,
    rule: NameRule,
    family: Family,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let generate = text(meta, "generateName");
    if !generate.is_empty() {
        // The random suffix comes after a trailing dash.
        let masked = match generate.strip_suffix('-') {
            Some(stem) if rule != NameRule::PathSegment => format!("{stem}a"),
            _ => generate.to_owned(),
        };
        let bad = name_problems(rule, &masked);
        errors.extend(
            bad.iter()
                .map(|p| FieldError::invalid_text("metadata.generateName", generate, p)),
        );
    }
    let name = text(meta, "name");
    if name.is_empty() {
        errors.push(FieldError::required(
            "metadata.name",
            "name or generateName is required",
        ));
    } else {
        let bad = name_problems(rule, name);
        errors.extend(
            bad.iter()
                .map(|p| FieldError::invalid_text("metadata.name", name, p)),
        );
    }
    errors.extend(validate_namespace(text(meta, "namespace"), namespaced));
    if let Some(labels) = meta.get("labels").and_then(Value::as_object) {
        errors.extend(validate_labels(labels, "metadata.labels"));
    }
    if let Some(annotations) = meta.get("annotations").and_then(Value::as_object) {
        errors.extend(validate_annotations(annotations, "metadata.annotations"));
    }
    errors.extend(validate_owners(
        list(meta, "ownerReferences"),
        "metadata.ownerReferences",
    ));
    errors.extend(validate_finalizers(
        list(meta, "finalizers"),
        "metadata.finalizers",
        family,
    ));
    errors
}

fn validate_namespace(namespace: &str, namespaced: bool) -> Vec<FieldError> {
    const PATH: &str = "metadata.namespace";
    match (namespaced, namespace.is_empty()) {
        (true, true) => vec![FieldError::required(PATH, "")],
        (true, false) => {
            let bad = label_problems(namespace);
            bad.iter()
                .map(|p| FieldError::invalid_text(PATH, namespace, p))
                .collect()
        }
        (false, false) => vec![FieldError::forbidden(PATH, "not allowed on this type")],
        (false, true) => Vec::new(),
    }
}

/// Checks what an update may not do to `metadata`.
pub(crate) fn validate_object_meta_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if old.get("deletionTimestamp").is_some_and(|v| !v.is_null()) {
        let before = list(old, "finalizers");
        let added: Vec<String> = list(new, "finalizers")
            .iter()
            .filter(|f| !before.contains(f))
            .map(|f| go_quote(f.as_str().unwrap_or_default()))
            .collect();
        if !added.is_empty() {
            errors.push(FieldError::forbidden(
                "metadata.finalizers",
                &format!(
                    "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                    added.join(", ")
                ),
            ));
        }
    }
    let fixed = [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ];
    for key in fixed {
        let (a, b) = (
            new.get(key).unwrap_or(&Value::Null),
            old.get(key).unwrap_or(&Value::Null),
        );
        if a != b {
            errors.push(FieldError::immutable(&child("metadata", key), a));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(meta: &Value, namespaced: bool, family: Family, expect: &[&str]) {
        let got = validate_object_meta(meta, namespaced, NameRule::Subdomain, family);
        let got: Vec<String> = got.iter().map(ToString::to_string).collect();
        assert_eq!(got.len(), expect.len(), "{meta}: {got:?}");
        for (got, expect) in got.iter().zip(expect) {
            assert!(
                got.starts_with(expect),
                "{meta}: {got} does not start with {expect}"
            );
        }
    }

    #[test]
    fn metadata_is_checked_as_kubernetes_does() {
        let ok = json!({"name": "a.b-c", "labels": {"x.y/z": ""}, "annotations": {"X.y/Z": "any thing"}, "finalizers": ["e.com/x"]});
        check(&ok, false, Family::Builtin, &[]);
        check(
            &json!({}),
            false,
            Family::Builtin,
            &["metadata.name: Required value: name or generateName is required"],
        );
        check(
            &json!({"name": "gen-x1", "generateName": "gen-"}),
            false,
            Family::Custom,
            &[],
        );
        check(
            &json!({"name": "Not_Valid!"}),
            false,
            Family::Custom,
            &["metadata.name: Invalid value: \"Not_Valid!\": a lowercase RFC 1123 subdomain must"],
        );
        check(
            &json!({"name": "a".repeat(254)}),
            false,
            Family::Custom,
            &["metadata.name: Invalid value: \"aaa"],
        );
        check(
            &json!({"name": "a"}),
            true,
            Family::Custom,
            &["metadata.namespace: Required value"],
        );
        check(
            &json!({"name": "a", "namespace": "b"}),
            false,
            Family::Custom,
            &["metadata.namespace: Forbidden: not allowed on this type"],
        );
        check(
            &json!({"name": "a", "labels": {"bad key!": "v"}}),
            false,
            Family::Custom,
            &["metadata.labels: Invalid value: \"bad key!\": name part must consist"],
        );
        check(
            &json!({"name": "a", "labels": {"k": "a b"}}),
            false,
            Family::Custom,
            &["metadata.labels: Invalid value: \"a b\": a valid label must be"],
        );
        check(
            &json!({"name": "a", "annotations": {"k": "v".repeat(262_144)}}),
            false,
            Family::Custom,
            &["metadata.annotations: Too long: may not be more than 262144 bytes"],
        );
        check(
            &json!({"name": "a", "finalizers": ["nope"]}),
            false,
            Family::Custom,
            &[],
        );
        check(
            &json!({"name": "a", "finalizers": ["nope"]}),
            false,
            Family::Builtin,
            &["metadata.finalizers[0]: Invalid value: \"nope\": name is neither a standard"],
        );
        check(
            &json!({"name": "a", "finalizers": ["orphan", "foregroundDeletion"]}),
            false,
            Family::Builtin,
            &[
                "metadata.finalizers: Invalid value: [\"orphan\",\"foregroundDeletion\"]: finalizer orphan and",
            ],
        );
        check(
            &json!({"name": "a", "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p"}]}),
            false,
            Family::Custom,
            &["metadata.ownerReferences.uid: Invalid value: \"\": must not be empty"],
        );
    }

    #[test]
    fn names_follow_their_rule() {
        let cases = [
            (NameRule::Label, "kube-system", true),
            (NameRule::Label, "a.b", false),
            (NameRule::Label1035, "1a", false),
            (NameRule::Label1035, "a1", true),
            (NameRule::PathSegment, "system:node", true),
            (NameRule::PathSegment, "a/b", false),
            (NameRule::PathSegment, "..", false),
            (NameRule::Subdomain, "a..b", false),
        ];
        for (rule, name, good) in cases {
            assert_eq!(
                name_problems(rule, name).is_empty(),
                good,
                "{rule:?} {name}"
            );
        }
    }

    #[test]
    fn a_deleting_object_gets_no_new_finalizer_and_keeps_its_identity() {
        let old =
            json!({"name": "a", "uid": "1", "deletionTimestamp": "t", "finalizers": ["e.com/x"]});
        let new = json!({"name": "a", "uid": "2", "deletionTimestamp": "t", "finalizers": ["e.com/x", "e.com/y"]});
        let got: Vec<String> = validate_object_meta_update(&new, &old)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            got,
            [
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"e.com/y\"}",
                "metadata.uid: Invalid value: \"2\": field is immutable",
            ]
        );
        assert!(
            validate_object_meta_update(
                &json!({"name": "a", "uid": "1", "deletionTimestamp": "t"}),
                &old
            )
            .is_empty()
        );
    }
}
