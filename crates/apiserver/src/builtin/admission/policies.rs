//! Fills in and checks admission policies and their bindings.
//!
//! Expressions are compiled over the names that they will have. Does not evaluate them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::parts::{self, conditions, expression, rules, selector, selectors};
use super::{FAILURE_POLICIES, MATCH_POLICIES};
use crate::admission::{Known, condition_names};
use crate::builtin::values::{at, default, has, list, one_of_required, text};
use crate::names::{NameRule, label_1035_problems, name_problems, qualified_name_problems};
use crate::schema::error::FieldError;

const REASONS: [&str; 4] = [
    "Forbidden",
    "Invalid",
    "RequestEntityTooLarge",
    "Unauthorized",
];
const ACTIONS: [&str; 3] = ["Audit", "Deny", "Warn"];
/// As in Kubernetes.
const MOST_ANNOTATIONS: usize = 20;

/// ValidatingAdmissionPolicy.
pub(in crate::builtin) fn policy(new: &mut Value, _old: Option<&Value>) -> Vec<FieldError> {
    default(new, "/spec", "failurePolicy", "Fail");
    if has(new, "/spec/matchConstraints") {
        fill_in_resources(&mut new["spec"]["matchConstraints"]);
    }
    let spec = at(new, "/spec");
    let mut errors = Vec::new();
    errors.extend(one_of_required(
        spec,
        "/failurePolicy",
        "spec.failurePolicy",
        &FAILURE_POLICIES,
    ));
    let with_params = has(spec, "/paramKind");
    if with_params {
        errors.extend(param_kind(&spec["paramKind"], "spec.paramKind"));
    }
    let path = "spec.matchConstraints";
    if has(spec, "/matchConstraints") {
        errors.extend(resources(&spec["matchConstraints"], path));
        if list(spec, "/matchConstraints/resourceRules").is_empty() {
            errors.push(FieldError::required(&format!("{path}.resourceRules"), ""));
        }
    } else {
        errors.push(FieldError::required(path, ""));
    }
    let names = condition_names(with_params);
    errors.extend(conditions(
        list(spec, "/matchConditions"),
        &names,
        "spec.matchConditions",
    ));
    let mut known = Known::new(with_params);
    errors.extend(variables(list(spec, "/variables"), &mut known));
    let (validations, annotations) = (list(spec, "/validations"), list(spec, "/auditAnnotations"));
    if validations.is_empty() && annotations.is_empty() {
        let why = "validations or auditAnnotations must contain at least one item";
        errors.push(FieldError::required("spec.validations", why));
        errors.push(FieldError::required("spec.auditAnnotations", why));
    }
    for (i, one) in validations.iter().enumerate() {
        errors.extend(validation(one, &known, &format!("spec.validations[{i}]")));
    }
    errors.extend(audit_annotations(annotations, &known));
    errors
}

/// ValidatingAdmissionPolicyBinding.
pub(in crate::builtin) fn binding(new: &mut Value, _old: Option<&Value>) -> Vec<FieldError> {
    if has(new, "/spec/matchResources") {
        fill_in_resources(&mut new["spec"]["matchResources"]);
    }
    if has(new, "/spec/paramRef") {
        default(new, "/spec/paramRef", "parameterNotFoundAction", "Deny");
    }
    let spec = at(new, "/spec");
    let mut errors = Vec::new();
    let (path, policy) = ("spec.policyName", text(spec, "/policyName"));
    if policy.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    for problem in name_problems(NameRule::Subdomain, policy) {
        if !policy.is_empty() {
            errors.push(FieldError::invalid_text(path, policy, &problem));
        }
    }
    if has(spec, "/paramRef") {
        errors.extend(param_ref(&spec["paramRef"], "spec.paramRef"));
    }
    if has(spec, "/matchResources") {
        errors.extend(resources(&spec["matchResources"], "spec.matchResources"));
    }
    errors.extend(actions(
        list(spec, "/validationActions"),
        "spec.validationActions",
    ));
    errors
}

fn fill_in_resources(resources: &mut Value) {
    default(resources, "", "matchPolicy", "Equivalent");
    default(resources, "", "namespaceSelector", json!({}));
    default(resources, "", "objectSelector", json!({}));
    parts::fill_in_rules(resources, "resourceRules");
    parts::fill_in_rules(resources, "excludeResourceRules");
}

fn resources(resources: &Value, path: &str) -> Vec<FieldError> {
    let at_policy = format!("{path}.matchPolicy");
    let mut errors = Vec::new();
    errors.extend(one_of_required(
        resources,
        "/matchPolicy",
        &at_policy,
        &MATCH_POLICIES,
    ));
    errors.extend(selectors(resources, path));
    for field in ["resourceRules", "excludeResourceRules"] {
        errors.extend(rules(
            list(resources, &format!("/{field}")),
            &format!("{path}.{field}"),
        ));
    }
    errors
}

fn param_kind(kind: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (version, name) = (text(kind, "/apiVersion"), text(kind, "/kind"));
    let at_version = format!("{path}.apiVersion");
    if version.is_empty() {
        errors.push(FieldError::required(&at_version, ""));
    } else if version.matches('/').count() > 1 {
        let why = format!("unexpected GroupVersion string: {version}");
        errors.push(FieldError::invalid_text(&at_version, version, &why));
    }
    let at_kind = format!("{path}.kind");
    if name.is_empty() {
        errors.push(FieldError::required(&at_kind, ""));
    } else {
        let problems = label_1035_problems(&name.to_lowercase());
        if !problems.is_empty() {
            let why = format!(
                "may have mixed case, but should otherwise match: {}",
                problems.join(",")
            );
            errors.push(FieldError::invalid_text(&at_kind, name, &why));
        }
    }
    errors
}

fn variables(variables: &[Value], known: &mut Known) -> Vec<FieldError> {
    let (mut errors, mut names) = (Vec::new(), BTreeSet::new());
    for (i, variable) in variables.iter().enumerate() {
        let path = format!("spec.variables[{i}]");
        let (at_name, name) = (format!("{path}.name"), text(variable, "/name"));
        if name.is_empty() {
            errors.push(FieldError::required(&at_name, "name is not specified"));
        } else if !is_identifier(name) {
            let why = "name is not a valid CEL identifier";
            errors.push(FieldError::invalid_text(&at_name, name, why));
        } else if !names.insert(name) {
            errors.push(FieldError::duplicate(&at_name, &json!(name)));
        }
        errors.extend(expression(variable, "expression", &path, |source| {
            known.compile(source, "")
        }));
        known.add(name);
    }
    errors
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn validation(validation: &Value, known: &Known, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    errors.extend(expression(validation, "expression", path, |source| {
        known.compile(source, "bool")
    }));
    if !text(validation, "/messageExpression").is_empty() {
        errors.extend(expression(
            validation,
            "messageExpression",
            path,
            |source| known.compile(source, "string"),
        ));
    }
    let (at_message, message) = (format!("{path}.message"), text(validation, "/message"));
    if !message.is_empty() && message.trim().is_empty() {
        let why = "message must be non-empty if specified";
        errors.push(FieldError::invalid_text(&at_message, message, why));
    } else if message.trim().contains('\n') {
        let why = "message must not contain line breaks";
        errors.push(FieldError::invalid_text(&at_message, message, why));
    }
    if has(validation, "/reason") {
        let at_reason = format!("{path}.reason");
        errors.extend(one_of_required(validation, "/reason", &at_reason, &REASONS));
    }
    errors
}

fn audit_annotations(annotations: &[Value], known: &Known) -> Vec<FieldError> {
    let (mut errors, mut keys) = (Vec::new(), BTreeSet::new());
    if annotations.len() > MOST_ANNOTATIONS {
        let most = MOST_ANNOTATIONS as u64;
        errors.push(FieldError::too_many(
            "spec.auditAnnotations",
            annotations.len(),
            most,
        ));
    }
    for (i, annotation) in annotations.iter().enumerate() {
        let path = format!("spec.auditAnnotations[{i}]");
        let (at_key, key) = (format!("{path}.key"), text(annotation, "/key"));
        for problem in qualified_name_problems(key) {
            errors.push(FieldError::invalid_text(&at_key, key, &problem));
        }
        if !keys.insert(key) {
            errors.push(FieldError::duplicate(&at_key, &json!(key)));
        }
        errors.extend(expression(annotation, "valueExpression", &path, |source| {
            known.compile(source, "")
        }));
    }
    errors
}

fn param_ref(reference: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (by_name, by_selector) = (
        !text(reference, "/name").is_empty(),
        has(reference, "/selector"),
    );
    for (given, field) in [(by_name, "name"), (by_selector, "selector")] {
        if given && by_name && by_selector {
            let why = "name and selector are mutually exclusive";
            errors.push(FieldError::forbidden(&format!("{path}.{field}"), why));
        }
    }
    if !by_name && !by_selector {
        let why = "one of name or selector must be specified";
        errors.push(FieldError::required(path, why));
    }
    let (at_name, name) = (format!("{path}.name"), text(reference, "/name"));
    for problem in name_problems(NameRule::PathSegment, name) {
        errors.push(FieldError::invalid_text(&at_name, name, &problem));
    }
    errors.extend(selector(
        &reference["selector"],
        &format!("{path}.selector"),
    ));
    let at_action = format!("{path}.parameterNotFoundAction");
    let known = ["Allow", "Deny"];
    errors.extend(one_of_required(
        reference,
        "/parameterNotFoundAction",
        &at_action,
        &known,
    ));
    errors
}

fn actions(actions: &[Value], path: &str) -> Vec<FieldError> {
    if actions.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let (mut errors, mut seen) = (Vec::new(), BTreeSet::new());
    for (i, action) in actions.iter().enumerate() {
        let (path, name) = (format!("{path}[{i}]"), action.as_str().unwrap_or_default());
        if !ACTIONS.contains(&name) {
            errors.push(FieldError::not_supported(
                &path,
                action,
                &ACTIONS.map(String::from),
            ));
        }
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&path, action));
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        let why = "must not contain both Deny and Warn (repeating the same validation failure information in the API \
                   response and headers serves no purpose)";
        errors.push(FieldError::invalid(path, &json!(actions), why));
    }
    errors
}
