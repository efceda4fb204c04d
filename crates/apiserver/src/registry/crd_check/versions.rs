//! Checks the versions of a definition: names, schemas, columns, subresources, fields to select by.
//!
//! Does not know what else is in a definition.

use serde_json::{Value, json};

use super::super::crd::{list, text};
use crate::names::label_1035_problems;
use crate::schema::Schema;
use crate::schema::error::FieldError;

const LONGEST_WARNING: usize = 256;
const MOST_SELECTABLE: u64 = 8;
const SELECTABLE: &str = "must point to a field of type string, boolean or integer. Enum string \
                          fields and strings with formats are allowed.";

/// What is wrong with the versions of a definition's `spec`.
pub(super) fn check(spec: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let versions = list(spec, "versions");
    let mut seen: Vec<&str> = Vec::new();
    let mut unique = true;
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
        unique &= !seen.contains(&name);
        seen.push(name);
        check_deprecation(version, &path, errors);
    }
    let mut wrong = |why: &str| {
        errors.push(FieldError::invalid("spec.versions", &json!(versions), why));
    };
    if !unique {
        wrong("must contain unique version names");
    }
    let storing = versions
        .iter()
        .filter(|version| version["storage"] == json!(true))
        .count();
    if storing != 1 {
        wrong("must have exactly one version marked as storage version");
    }
    each(versions, "additionalPrinterColumns", |version, path| {
        check_columns(version, path, errors);
    });
    each(versions, "subresources", |version, path| {
        check_scale(&version["subresources"], path, errors);
    });
    each(versions, "selectableFields", |version, path| {
        check_selectable(version, path, errors);
    });
    let before = old.map(|old| list(&old["spec"], "versions"));
    check_schemas(versions, before.unwrap_or_default(), errors);
}

/// Each version with the path of its `field`. Kubernetes names what all versions share as the
/// definition's own, and only once.
fn each(versions: &[Value], field: &str, mut check: impl FnMut(&Value, &str)) {
    let Some(first) = versions.first() else {
        return;
    };
    if versions
        .iter()
        .all(|version| version.get(field) == first.get(field))
    {
        return check(first, &format!("spec.{field}"));
    }
    for (at, version) in versions.iter().enumerate() {
        check(version, &format!("spec.versions[{at}].{field}"));
    }
}

fn check_deprecation(version: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Some(warning) = version["deprecationWarning"].as_str() else {
        return;
    };
    let mut wrong = |why: &str| {
        let path = format!("{path}.deprecationWarning");
        errors.push(FieldError::invalid_text(&path, warning, why));
    };
    if version["deprecated"] != json!(true) {
        wrong("can only be set for deprecated versions");
    }
    if warning.is_empty() {
        wrong("must not be an empty string");
    }
    if warning.len() > LONGEST_WARNING {
        wrong(&format!("must be <= {LONGEST_WARNING} characters long"));
    }
    if let Some((at, _)) = warning.char_indices().find(|(_, c)| c.is_control()) {
        wrong(&format!(
            "must only contain printable UTF-8 characters; non-printable character found at index {at}"
        ));
    }
}

fn check_columns(version: &Value, path: &str, errors: &mut Vec<FieldError>) {
    const TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
    const FORMATS: [&str; 8] = [
        "byte",
        "date",
        "date-time",
        "double",
        "float",
        "int32",
        "int64",
        "password",
    ];
    for (at, column) in list(version, "additionalPrinterColumns").iter().enumerate() {
        let path = format!("{path}[{at}]");
        for (field, shown) in [("name", "name"), ("jsonPath", "JSONPath")] {
            if text(column, field).is_empty() {
                errors.push(FieldError::required(&format!("{path}.{shown}"), ""));
            }
        }
        for (field, known, needed) in [("type", &TYPES[..], true), ("format", &FORMATS[..], false)]
        {
            let given = text(column, field);
            let why = format!("must be one of {}", known.join(","));
            let path = format!("{path}.{field}");
            if given.is_empty() && needed {
                errors.push(FieldError::required(&path, &why));
            } else if !given.is_empty() && !known.contains(&given) {
                errors.push(FieldError::invalid_text(&path, given, &why));
            }
        }
    }
}

fn check_scale(subresources: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Some(scale) = subresources.get("scale").filter(|scale| scale.is_object()) else {
        return;
    };
    let paths: [(&str, &[&str], &str); 3] = [
        ("specReplicasPath", &[".spec."], ".spec"),
        ("statusReplicasPath", &[".status."], ".status"),
        (
            "labelSelectorPath",
            &[".spec.", ".status."],
            "either .spec or .status",
        ),
    ];
    for (field, below, shown) in paths {
        let path = format!("{path}.scale.{field}");
        let given = text(scale, field);
        if given.is_empty() {
            if field != "labelSelectorPath" {
                errors.push(FieldError::required(&path, ""));
            }
        } else if !below.iter().any(|prefix| given.starts_with(prefix)) {
            let why = format!("should be a json path under {shown}");
            errors.push(FieldError::invalid_text(&path, given, &why));
        }
    }
}

fn check_selectable(version: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let schema = &version["schema"]["openAPIV3Schema"];
    let mut seen: Vec<&str> = Vec::new();
    for (at, field) in list(version, "selectableFields").iter().enumerate() {
        let path = format!("{path}[{at}]");
        let given = text(field, "jsonPath");
        if given.is_empty() {
            errors.push(FieldError::required(&format!("{path}.jsonPath"), ""));
            continue;
        }
        let steps = given.strip_prefix('.').map(|rest| rest.split('.'));
        let found = steps.and_then(|mut steps| {
            steps.try_fold(schema, |at, step| at.get("properties")?.get(step))
        });
        let Some(found) = found else {
            let why = "is an invalid path: does not refer to a valid field";
            errors.push(FieldError::invalid_text(
                &format!("{path}.jsonPath"),
                given,
                why,
            ));
            continue;
        };
        if given.starts_with(".metadata.") {
            let why = "must not point to fields in metadata";
            errors.push(FieldError::invalid_text(&path, given, why));
        }
        if !matches!(text(found, "type"), "string" | "boolean" | "integer") {
            errors.push(FieldError::invalid_text(&path, given, SELECTABLE));
        }
        if seen.contains(&given) {
            errors.push(FieldError::duplicate(&path, &json!(given)));
        } else {
            seen.push(given);
        }
    }
    if seen.len() as u64 > MOST_SELECTABLE {
        errors.push(FieldError::too_many(path, seen.len(), MOST_SELECTABLE));
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
