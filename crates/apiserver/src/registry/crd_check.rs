//! Refuses CustomResourceDefinitions that define no resource, with the words of Kubernetes.
//!
//! Does not know other definitions: conflicts of names are told in the status.

mod versions;

use serde_json::{Value, json};

use super::crd::{condition, list, storage_version, text, texts};
use crate::names::{label_1035_problems, label_problems, subdomain_problems};
use crate::schema::error::FieldError;
use crate::webhook;

/// What is wrong with a definition, defaults applied.
pub(crate) fn check(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let spec = &new["spec"];
    let mut errors = Vec::new();
    let (group, names) = (text(spec, "group"), &spec["names"]);
    let expected = format!("{}.{group}", text(names, "plural"));
    let name = text(&new["metadata"], "name");
    if name != expected {
        let why = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid_text("metadata.name", name, why));
    }
    check_group(group, &mut errors);
    if text(spec, "scope").is_empty() {
        errors.push(FieldError::required("spec.scope", ""));
    } else if !matches!(text(spec, "scope"), "Cluster" | "Namespaced") {
        let known = ["Cluster".to_owned(), "Namespaced".to_owned()];
        errors.push(FieldError::not_supported(
            "spec.scope",
            &spec["scope"],
            &known,
        ));
    }
    if spec["preserveUnknownFields"] == json!(true) {
        let why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in \
                   spec.versions[*].schema instead";
        let path = "spec.preserveUnknownFields";
        errors.push(FieldError::invalid(path, &json!(true), why));
    }
    versions::check(spec, old, &mut errors);
    check_names(names, &mut errors);
    check_conversion(spec, &mut errors);
    check_stored(new, &mut errors);
    if let Some(old) = old {
        check_update(new, old, &mut errors);
    }
    errors
}

fn check_group(group: &str, errors: &mut Vec<FieldError>) {
    if group.is_empty() {
        errors.push(FieldError::required("spec.group", ""));
        return;
    }
    for problem in subdomain_problems(group) {
        errors.push(FieldError::invalid_text("spec.group", group, &problem));
    }
    if !group.contains('.') {
        let why = "should be a domain with at least one dot";
        errors.push(FieldError::invalid_text("spec.group", group, why));
    }
}

fn check_names(names: &Value, errors: &mut Vec<FieldError>) {
    for field in ["plural", "singular"] {
        let name = text(names, field);
        if name.is_empty() {
            errors.push(FieldError::required(&format!("spec.names.{field}"), ""));
        }
        for problem in label_1035_problems(name) {
            errors.push(FieldError::invalid_text(
                &format!("spec.names.{field}"),
                name,
                &problem,
            ));
        }
    }
    for field in ["kind", "listKind"] {
        let name = text(names, field);
        let path = format!("spec.names.{field}");
        if name.is_empty() {
            errors.push(FieldError::required(&path, ""));
            continue;
        }
        for problem in label_problems(&name.to_lowercase()) {
            let why = format!("may have mixed case, but should otherwise match: {problem}");
            errors.push(FieldError::invalid_text(&path, name, &why));
        }
    }
    if text(names, "kind") == text(names, "listKind") && !text(names, "kind").is_empty() {
        let why = "kind and listKind may not be the same";
        errors.push(FieldError::invalid_text(
            "spec.names.listKind",
            text(names, "listKind"),
            why,
        ));
    }
    for field in ["shortNames", "categories"] {
        for (at, name) in texts(names, field).iter().enumerate() {
            for problem in label_1035_problems(name) {
                let path = format!("spec.names.{field}[{at}]");
                errors.push(FieldError::invalid_text(&path, name, &problem));
            }
        }
    }
}

fn check_conversion(spec: &Value, errors: &mut Vec<FieldError>) {
    let conversion = &spec["conversion"];
    let hook = &conversion["webhook"];
    match text(conversion, "strategy") {
        "None" if !hook.is_null() => errors.push(FieldError::forbidden(
            "spec.conversion.webhookClientConfig",
            "should not be set when strategy is not set to Webhook",
        )),
        "None" => {}
        "Webhook" => {
            let path = "spec.conversion.webhookClientConfig";
            if hook["clientConfig"].is_object() {
                errors.extend(webhook::check_config(&hook["clientConfig"], path));
            } else {
                let why = "required when strategy is set to Webhook";
                errors.push(FieldError::required(path, why));
            }
            let versions = texts(hook, "conversionReviewVersions");
            if !versions.iter().any(|version| version == "v1") {
                errors.push(FieldError::invalid(
                    "spec.conversion.conversionReviewVersions",
                    &json!(versions),
                    "must include v1, the only version that is spoken here",
                ));
            }
        }
        _ => {
            let known = ["None", "Webhook"].map(str::to_owned);
            errors.push(FieldError::not_supported(
                "spec.conversion.strategy",
                &conversion["strategy"],
                &known,
            ));
        }
    }
}

fn check_update(new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let mut fixed = vec!["/spec/group", "/spec/names/plural"];
    if condition(old, "Established") == Some("True") {
        fixed.extend(["/spec/scope", "/spec/names/kind"]);
    }
    for field in fixed {
        if new.pointer(field) != old.pointer(field) {
            let path = field[1..].replace('/', ".");
            errors.push(FieldError::immutable(
                &path,
                new.pointer(field).unwrap_or(&Value::Null),
            ));
        }
    }
}

/// Objects may be stored in any of `storedVersions`, so that all of these must stay readable.
fn check_stored(new: &Value, errors: &mut Vec<FieldError>) {
    const PATH: &str = "status.storedVersions";
    let stored = texts(&new["status"], "storedVersions");
    if stored.is_empty() {
        let why = "must have at least one stored version";
        errors.push(FieldError::invalid(PATH, &json!(stored), why));
        return;
    }
    let storage = storage_version(&new["spec"]);
    if !storage.is_empty() && !stored.iter().any(|name| name == storage) {
        let why = format!("must have the storage version {storage}");
        errors.push(FieldError::invalid(PATH, &json!(stored), &why));
    }
    let versions = list(&new["spec"], "versions");
    for (at, name) in stored.iter().enumerate() {
        if !versions.iter().any(|version| text(version, "name") == name) {
            let path = format!("{PATH}[{at}]");
            let why = format!(
                "missing from spec.versions; {name} was previously a storage version, and must \
                 remain in spec.versions until a storage migration ensures no data remains \
                 persisted in {name} and removes {name} from status.storedVersions"
            );
            errors.push(FieldError::invalid_text(&path, name, &why));
        }
    }
}
