//! Refuses CustomResourceDefinitions that define no resource, with the words of Kubernetes.
//!
//! Does not know other definitions: conflicts of names are told in the status.

use serde_json::{Value, json};

use super::crd::{condition, list, storage_version, text, texts};
use crate::names::{label_1035_problems, label_problems, subdomain_problems};
use crate::schema::Schema;
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
    if !matches!(text(spec, "scope"), "Cluster" | "Namespaced") {
        let known = ["Cluster".to_owned(), "Namespaced".to_owned()];
        errors.push(FieldError::not_supported(
            "spec.scope",
            &spec["scope"],
            &known,
        ));
    }
    check_versions(spec, old, &mut errors);
    check_names(names, &mut errors);
    check_conversion(spec, &mut errors);
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

fn check_versions(spec: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let versions = list(spec, "versions");
    let mut seen: Vec<&str> = Vec::new();
    for (at, version) in versions.iter().enumerate() {
        let path = format!("spec.versions[{at}]");
        let name = text(version, "name");
        for problem in label_1035_problems(name) {
            errors.push(FieldError::invalid_text(
                &format!("{path}.name"),
                name,
                &problem,
            ));
        }
        if seen.contains(&name) {
            errors.push(FieldError::duplicate(&format!("{path}.name"), &json!(name)));
        }
        seen.push(name);
        check_columns(version, &path, errors);
    }
    let storing = versions
        .iter()
        .filter(|version| version["storage"] == json!(true))
        .count();
    if storing != 1 {
        let why = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid("spec.versions", &json!(versions), why));
    }
    let before = old.map(|old| list(&old["spec"], "versions"));
    check_schemas(versions, before.unwrap_or_default(), errors);
}

fn check_columns(version: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let known = ["boolean", "date", "integer", "number", "string"].map(str::to_owned);
    for (at, column) in list(version, "additionalPrinterColumns").iter().enumerate() {
        let path = format!("{path}.additionalPrinterColumns[{at}]");
        for field in ["name", "jsonPath"] {
            if text(column, field).is_empty() {
                errors.push(FieldError::required(&format!("{path}.{field}"), ""));
            }
        }
        if !known.iter().any(|kind| kind == text(column, "type")) {
            let path = format!("{path}.type");
            errors.push(FieldError::not_supported(&path, &column["type"], &known));
        }
    }
}

fn check_schemas(versions: &[Value], before: &[Value], errors: &mut Vec<FieldError>) {
    const SCHEMA: &str = "/schema/openAPIV3Schema";
    // Kubernetes names a schema that all versions share as the definition's own.
    let first = versions.first().and_then(|version| version.pointer(SCHEMA));
    let shared = versions
        .iter()
        .all(|version| version.pointer(SCHEMA) == first);
    let checked = if shared {
        versions.get(..1).unwrap_or_default()
    } else {
        versions
    };
    for (at, version) in checked.iter().enumerate() {
        let path = if shared {
            "spec.validation".to_owned()
        } else {
            format!("spec.versions[{at}].schema")
        };
        let Some(source) = version.pointer(SCHEMA) else {
            let path = format!("spec.versions[{at}].schema.openAPIV3Schema");
            errors.push(FieldError::required(&path, "schemas are required"));
            continue;
        };
        // What was taken once is not refused for its price later.
        let kept = before.iter().any(|before| {
            text(before, "name") == text(version, "name") && before.pointer(SCHEMA) == Some(source)
        });
        let found = match Schema::compile(source) {
            Err(found) => found,
            Ok(_) if kept => Vec::new(),
            Ok(schema) => schema.too_costly(),
        };
        errors.extend(found.into_iter().map(|error| FieldError {
            path: format!("{path}.{}", error.path),
            ..error
        }));
    }
}

fn check_names(names: &Value, errors: &mut Vec<FieldError>) {
    for field in ["plural", "singular"] {
        let name = text(names, field);
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
    let stored = texts(&new["status"], "storedVersions");
    let versions = list(&new["spec"], "versions");
    for (at, name) in stored.iter().enumerate() {
        if !versions.iter().any(|version| text(version, "name") == name) {
            let path = format!("status.storedVersions[{at}]");
            let why = "missing from spec.versions; v1 was previously a storage version, and must \
                       remain in spec.versions until a storage migration ensures no data remains \
                       persisted in v1 and removes v1 from status.storedVersions";
            errors.push(FieldError::invalid_text(
                &path,
                name,
                &why.replace("v1", name),
            ));
        }
    }
    if !storage_version(&new["spec"]).is_empty()
        && old.pointer("/status/storedVersions").is_some()
        && stored.is_empty()
    {
        errors.push(FieldError::required("status.storedVersions", ""));
    }
}
