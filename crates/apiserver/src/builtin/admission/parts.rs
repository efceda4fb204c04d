//! Checks what webhooks and policies have in common: rules, selectors, conditions.
//!
//! Does not know which kind it checks for.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::builtin::values::{default, list, one_of_required, text};
use crate::names::{label_value_problems, qualified_name_problems};
use crate::schema::cel::{Declared, Expression};
use crate::schema::error::FieldError;

const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const SCOPES: [&str; 3] = ["*", "Cluster", "Namespaced"];
const OPERATORS: [&str; 4] = ["In", "NotIn", "Exists", "DoesNotExist"];
/// As in Kubernetes.
const MOST_CONDITIONS: usize = 64;

pub(super) fn fill_in_rules(of: &mut Value, field: &str) {
    let rules = of.get_mut(field).and_then(Value::as_array_mut);
    for rule in rules.into_iter().flatten() {
        default(rule, "", "scope", "*");
    }
}

/// A list of rules at `path`.
pub(super) fn rules(rules: &[Value], path: &str) -> Vec<FieldError> {
    let each = rules.iter().enumerate();
    each.flat_map(|(i, one)| rule(one, &format!("{path}[{i}]")))
        .collect()
}

fn rule(rule: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (field, others) in [
        ("operations", "operations"),
        ("apiGroups", "API groups"),
        ("apiVersions", "API versions"),
    ] {
        let (entries, path) = (list(rule, &format!("/{field}")), format!("{path}.{field}"));
        if entries.is_empty() {
            errors.push(FieldError::required(&path, ""));
        } else if entries.len() > 1 && entries.contains(&json!("*")) {
            let why = format!("if '*' is present, must not specify other {others}");
            errors.push(FieldError::invalid(&path, &json!(entries), &why));
        }
        for (i, entry) in entries.iter().enumerate() {
            let path = format!("{path}[{i}]");
            let text = entry.as_str().unwrap_or_default();
            if field == "operations" && !OPERATIONS.contains(&text) {
                let known = OPERATIONS.map(String::from);
                errors.push(FieldError::not_supported(&path, entry, &known));
            }
            if field == "apiVersions" && text.is_empty() {
                errors.push(FieldError::required(&path, ""));
            }
        }
    }
    errors.extend(resources(
        list(rule, "/resources"),
        &format!("{path}.resources"),
    ));
    errors.extend(one_of_required(
        rule,
        "/scope",
        &format!("{path}.scope"),
        &SCOPES,
    ));
    errors.extend(names(
        list(rule, "/resourceNames"),
        &format!("{path}.resourceNames"),
    ));
    errors
}

fn resources(entries: &[Value], path: &str) -> Vec<FieldError> {
    if entries.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let texts: Vec<&str> = entries
        .iter()
        .map(|entry| entry.as_str().unwrap_or_default())
        .collect();
    let (mut errors, mut whole, mut everywhere) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for (i, entry) in texts.iter().enumerate() {
        let path = format!("{path}[{i}]");
        if entry.is_empty() {
            errors.push(FieldError::required(&path, ""));
            continue;
        }
        let Some((resource, sub)) = entry.split_once('/') else {
            continue;
        };
        for (taken, pattern) in [
            (whole.contains(resource), format!("{resource}/*")),
            (everywhere.contains(sub), format!("*/{sub}")),
        ] {
            if taken {
                let why = format!("if '{pattern}' is present, must not specify {entry}");
                errors.push(FieldError::invalid_text(&path, entry, &why));
            }
        }
        if sub == "*" {
            whole.insert(resource);
        }
        if resource == "*" {
            everywhere.insert(sub);
        }
    }
    let shown = json!(entries);
    if texts.len() > 1 && texts.contains(&"*/*") {
        let why = "if '*/*' is present, must not specify other resources";
        errors.push(FieldError::invalid(path, &shown, why));
    }
    let plain = |entry: &&str| *entry != "*" && !entry.contains('/');
    if texts.contains(&"*") && texts.iter().any(plain) {
        let why = "if '*' is present, must not specify other resources without subresources";
        errors.push(FieldError::invalid(path, &shown, why));
    }
    errors
}

fn names(entries: &[Value], path: &str) -> Vec<FieldError> {
    let (mut errors, mut seen) = (Vec::new(), BTreeSet::new());
    for (i, entry) in entries.iter().enumerate() {
        let (path, name) = (format!("{path}[{i}]"), entry.as_str().unwrap_or_default());
        for problem in crate::names::name_problems(crate::names::NameRule::PathSegment, name) {
            errors.push(FieldError::invalid_text(&path, name, &problem));
        }
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&path, entry));
        }
    }
    errors
}

/// `namespaceSelector` and `objectSelector` of what stands at `path`.
pub(super) fn selectors(of: &Value, path: &str) -> Vec<FieldError> {
    let both = ["namespaceSelector", "objectSelector"].into_iter();
    both.flat_map(|field| selector(&of[field], &format!("{path}.{field}")))
        .collect()
}

/// A LabelSelector.
pub(super) fn selector(selector: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        let path = format!("{path}.matchLabels");
        for problem in qualified_name_problems(key) {
            errors.push(FieldError::invalid_text(&path, key, &problem));
        }
        let value = value.as_str().unwrap_or_default();
        for problem in label_value_problems(value) {
            errors.push(FieldError::invalid_text(&path, value, &problem));
        }
    }
    for (i, expression) in list(selector, "/matchExpressions").iter().enumerate() {
        let path = format!("{path}.matchExpressions[{i}]");
        let (operator, values) = (text(expression, "/operator"), list(expression, "/values"));
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                let why = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(FieldError::required(&format!("{path}.values"), why));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::forbidden(&format!("{path}.values"), why));
            }
            known if OPERATORS.contains(&known) => {}
            other => {
                let path = format!("{path}.operator");
                errors.push(FieldError::invalid_text(
                    &path,
                    other,
                    "not a valid selector operator",
                ));
            }
        }
        let key = text(expression, "/key");
        for problem in qualified_name_problems(key) {
            errors.push(FieldError::invalid_text(
                &format!("{path}.key"),
                key,
                &problem,
            ));
        }
    }
    errors
}

/// A list of `matchConditions` whose expressions may use `declared`.
pub(super) fn conditions(
    conditions: &[Value],
    declared: &[Declared<'_>],
    path: &str,
) -> Vec<FieldError> {
    let (mut errors, mut names) = (Vec::new(), BTreeSet::new());
    if conditions.len() > MOST_CONDITIONS {
        let most = MOST_CONDITIONS as u64;
        errors.push(FieldError::too_many(path, conditions.len(), most));
    }
    for (i, condition) in conditions.iter().enumerate() {
        let path = format!("{path}[{i}]");
        let at_name = format!("{path}.name");
        let name = text(condition, "/name");
        if name.is_empty() {
            errors.push(FieldError::required(&at_name, ""));
        } else {
            for problem in qualified_name_problems(name) {
                errors.push(FieldError::invalid_text(&at_name, name, &problem));
            }
            if !names.insert(name) {
                errors.push(FieldError::duplicate(&at_name, &json!(name)));
            }
        }
        let compile = |source: &str| Expression::compile(source, declared, "bool");
        errors.extend(expression(condition, "expression", &path, compile));
    }
    errors
}

/// An expression that must be there and must compile.
pub(super) fn expression(
    of: &Value,
    field: &str,
    path: &str,
    compile: impl Fn(&str) -> Result<Expression, String>,
) -> Option<FieldError> {
    let (path, source) = (format!("{path}.{field}"), text(of, &format!("/{field}")));
    if source.trim().is_empty() {
        let why = format!("{field} is not specified");
        return Some(FieldError::required(&path, &why));
    }
    let why = compile(source).err()?;
    let why = format!("compilation failed: {why}");
    Some(FieldError::invalid_text(&path, source, &why))
}
