//! Fills in and checks the kinds that configure admission: webhooks, policies, bindings.
//!
//! Does not ask webhooks and does not evaluate.

mod parts;
mod policies;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use self::parts::{conditions, rules, selectors};
pub(super) use self::policies::{binding, policy};
use super::values::{at, default, list, one_of_required, text};
use crate::admission::{REVIEW_VERSIONS, condition_names};
use crate::names::subdomain_problems;
use crate::schema::error::FieldError;
use crate::webhook;

/// Without side effects that a dry run would have; what else there was belongs to an older version.
const SIDE_EFFECTS: [&str; 2] = ["None", "NoneOnDryRun"];
const FAILURE_POLICIES: [&str; 2] = ["Fail", "Ignore"];
const MATCH_POLICIES: [&str; 2] = ["Equivalent", "Exact"];
/// Seconds.
const LONGEST_TIMEOUT: i64 = 30;

/// ValidatingWebhookConfiguration.
pub(super) fn validating(new: &mut Value, _old: Option<&Value>) -> Vec<FieldError> {
    let hooks = new.get_mut("webhooks").and_then(Value::as_array_mut);
    for hook in hooks.into_iter().flatten() {
        fill_in(hook);
    }
    let (mut errors, mut names) = (Vec::new(), BTreeSet::new());
    for (i, hook) in list(new, "/webhooks").iter().enumerate() {
        let path = format!("webhooks[{i}]");
        errors.extend(check(hook, &path));
        let name = text(hook, "/name");
        if !name.is_empty() && !names.insert(name) {
            errors.push(FieldError::duplicate(&format!("{path}.name"), &json!(name)));
        }
    }
    errors
}

/// MutatingWebhookConfiguration. One that would never be called is worse than none.
pub(super) fn mutating(new: &mut Value, _old: Option<&Value>) -> Vec<FieldError> {
    if list(new, "/webhooks").is_empty() {
        return Vec::new();
    }
    let why = "this server calls validating webhooks, not mutating ones; leave the list empty, or set the fields where \
               the objects are made";
    vec![FieldError::forbidden("webhooks", why)]
}

fn fill_in(hook: &mut Value) {
    default(hook, "", "failurePolicy", "Fail");
    default(hook, "", "matchPolicy", "Equivalent");
    default(hook, "", "timeoutSeconds", 10);
    default(hook, "", "namespaceSelector", json!({}));
    default(hook, "", "objectSelector", json!({}));
    if hook["clientConfig"]["service"].is_object() {
        default(hook, "/clientConfig/service", "port", 443);
    }
    parts::fill_in_rules(hook, "rules");
}

fn check(hook: &Value, path: &str) -> Vec<FieldError> {
    let field = |name: &str| format!("{path}.{name}");
    let mut errors = full_name(text(hook, "/name"), &field("name"));
    errors.extend(rules(list(hook, "/rules"), &field("rules")));
    errors.extend(one_of_required(
        hook,
        "/failurePolicy",
        &field("failurePolicy"),
        &FAILURE_POLICIES,
    ));
    errors.extend(one_of_required(
        hook,
        "/matchPolicy",
        &field("matchPolicy"),
        &MATCH_POLICIES,
    ));
    if at(hook, "/sideEffects").is_null() {
        let why = format!("must specify one of {}", SIDE_EFFECTS.join(", "));
        errors.push(FieldError::required(&field("sideEffects"), &why));
    } else {
        errors.extend(one_of_required(
            hook,
            "/sideEffects",
            &field("sideEffects"),
            &SIDE_EFFECTS,
        ));
    }
    let timeout = at(hook, "/timeoutSeconds");
    if !timeout
        .as_i64()
        .is_some_and(|seconds| (1..=LONGEST_TIMEOUT).contains(&seconds))
    {
        let why = format!("the timeout value must be between 1 and {LONGEST_TIMEOUT} seconds");
        errors.push(FieldError::invalid(&field("timeoutSeconds"), timeout, &why));
    }
    errors.extend(selectors(hook, path));
    errors.extend(webhook::check_config(
        &hook["clientConfig"],
        &field("clientConfig"),
    ));
    errors.extend(conditions(
        list(hook, "/matchConditions"),
        &condition_names(false),
        &field("matchConditions"),
    ));
    errors.extend(review_versions(hook, &field("admissionReviewVersions")));
    errors
}

fn full_name(name: &str, path: &str) -> Vec<FieldError> {
    if name.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let problems = subdomain_problems(name);
    if !problems.is_empty() {
        return vec![FieldError::invalid_text(path, name, &problems.join(","))];
    }
    if name.split('.').count() < 3 {
        let why = "should be a domain with at least three segments separated by dots";
        return vec![FieldError::invalid_text(path, name, why)];
    }
    Vec::new()
}

fn review_versions(hook: &Value, path: &str) -> Vec<FieldError> {
    let versions = list(hook, "/admissionReviewVersions");
    let known = REVIEW_VERSIONS.join(", ");
    if versions.is_empty() {
        let why = format!("must specify one of {known}");
        return vec![FieldError::required(path, &why)];
    }
    let recognized = |version: &Value| REVIEW_VERSIONS.iter().any(|known| version == known);
    if versions.iter().any(recognized) {
        return Vec::new();
    }
    let why = format!("must include at least one of {known}");
    vec![FieldError::invalid(path, &json!(versions), &why)]
}

#[cfg(test)]
mod tests;
