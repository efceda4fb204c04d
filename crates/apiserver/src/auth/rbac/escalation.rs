//! Finds the rights in some rules that other rules do not have: nobody gives what they lack.
//!
//! Words the answer as Kubernetes does. Knows nothing of users and roles.

use std::collections::BTreeSet;

use super::rule::{ALL, Rule, covers, holds};
use crate::schema::error::go_quote;

/// The rights of `wanted` that `held` lacks, worded one a line; empty if there is none.
pub(crate) fn lacking(held: &[Rule], wanted: &[Rule]) -> Vec<String> {
    let parts = wanted.iter().flat_map(parts);
    let missing: Vec<Rule> = parts
        .filter(|part| !held.iter().any(|rule| has(rule, part)))
        .collect();
    let lines: BTreeSet<String> = joined(missing).iter().map(describe).collect();
    lines.into_iter().collect()
}

/// A rule as rules about one thing and one verb each.
fn parts(rule: &Rule) -> Vec<Rule> {
    let one = |text: &String| -> Box<[String]> { [text.clone()].into() };
    let mut parts = Vec::new();
    for group in &rule.groups {
        for resource in &rule.resources {
            for verb in &rule.verbs {
                let part = |names: Box<[String]>| Rule {
                    verbs: one(verb),
                    groups: one(group),
                    resources: one(resource),
                    names,
                    urls: Box::default(),
                };
                if rule.names.is_empty() {
                    parts.push(part(Box::default()));
                } else {
                    parts.extend(rule.names.iter().map(|name| part(one(name))));
                }
            }
        }
    }
    for url in &rule.urls {
        parts.extend(rule.verbs.iter().map(|verb| Rule {
            verbs: one(verb),
            urls: one(url),
            ..Rule::default()
        }));
    }
    parts
}

/// Whether a rule holds all of a part.
fn has(rule: &Rule, part: &Rule) -> bool {
    let each = |wanted: &[String], mine: &[String]| wanted.iter().all(|text| holds(mine, text));
    let resource = |wanted: &String| {
        holds(&rule.resources, wanted)
            || wanted.split_once('/').is_some_and(|(_, sub)| {
                rule.resources
                    .iter()
                    .any(|mine| mine.strip_prefix("*/") == Some(sub))
            })
    };
    let url = |wanted: &String| {
        rule.urls
            .iter()
            .any(|mine| mine == wanted || covers(mine, wanted))
    };
    each(&part.verbs, &rule.verbs)
        && each(&part.groups, &rule.groups)
        && part.resources.iter().all(resource)
        && part.urls.iter().all(url)
        && (rule.names.is_empty()
            || !part.names.is_empty() && part.names.iter().all(|name| rule.names.contains(name)))
}

/// Joins parts that differ in their verb alone.
fn joined(parts: Vec<Rule>) -> Vec<Rule> {
    let mut joined: Vec<Rule> = Vec::new();
    for part in parts {
        let same = |rule: &&mut Rule| {
            rule.urls.is_empty()
                && (&rule.groups, &rule.resources, &rule.names, &rule.urls)
                    == (&part.groups, &part.resources, &part.names, &part.urls)
        };
        match joined.iter_mut().find(same) {
            Some(rule) => rule.verbs = [&rule.verbs[..], &part.verbs[..]].concat().into(),
            None => joined.push(part),
        }
    }
    joined
}

/// `{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}`.
fn describe(rule: &Rule) -> String {
    let parts = [
        ("APIGroups", &rule.groups),
        ("Resources", &rule.resources),
        ("NonResourceURLs", &rule.urls),
        ("ResourceNames", &rule.names),
        ("Verbs", &rule.verbs),
    ];
    let parts = parts.iter().filter(|(_, texts)| !texts.is_empty());
    let parts: Vec<String> = parts
        .map(|(name, texts)| format!("{name}:{}", quoted(texts)))
        .collect();
    format!("{{{}}}", parts.join(", "))
}

/// `["a" "b"]`, as Go prints a list of texts.
pub(crate) fn quoted(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| go_quote(text)).collect();
    format!("[{}]", texts.join(" "))
}

impl Rule {
    /// What a cluster's administrator may do.
    pub(crate) fn everything() -> [Self; 2] {
        let all = || -> Box<[String]> { [ALL.to_owned()].into() };
        [
            Self {
                verbs: all(),
                groups: all(),
                resources: all(),
                ..Self::default()
            },
            Self {
                verbs: all(),
                urls: all(),
                ..Self::default()
            },
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(held: &Value, wanted: &Value, missing: &[&str]) {
        let rules = |list: &Value| Rule::all_of(&json!({"rules": list}));
        assert_eq!(
            lacking(&rules(held), &rules(wanted)),
            missing,
            "{held} {wanted}"
        );
    }

    #[test]
    fn what_is_held_may_be_given() {
        let read = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]);
        let all = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
        check(&read, &read, &[]);
        check(&all, &read, &[]);
        check(
            &read,
            &all,
            &[r#"{APIGroups:["*"], Resources:["*"], Verbs:["*"]}"#],
        );
        check(
            &json!([]),
            &read,
            &[r#"{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}"#],
        );
        let more = json!([{"apiGroups": ["", "apps"], "resources": ["pods", "pods/log"], "verbs": ["get"]}]);
        check(
            &read,
            &more,
            &[
                r#"{APIGroups:[""], Resources:["pods/log"], Verbs:["get"]}"#,
                r#"{APIGroups:["apps"], Resources:["pods"], Verbs:["get"]}"#,
                r#"{APIGroups:["apps"], Resources:["pods/log"], Verbs:["get"]}"#,
            ],
        );
        let scale = json!([{"apiGroups": ["apps"], "resources": ["*/scale"], "verbs": ["*"]}]);
        let one =
            json!([{"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["get"]}]);
        check(&scale, &one, &[]);
        check(
            &one,
            &scale,
            &[r#"{APIGroups:["apps"], Resources:["*/scale"], Verbs:["*"]}"#],
        );
    }

    #[test]
    fn a_right_to_some_names_is_no_right_to_all() {
        let rule = |names: &[&str]| json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": names}]);
        check(&rule(&[]), &rule(&["a"]), &[]);
        check(&rule(&["a", "b"]), &rule(&["b"]), &[]);
        check(
            &rule(&["a"]),
            &rule(&["a", "b"]),
            &[r#"{APIGroups:[""], Resources:["secrets"], ResourceNames:["b"], Verbs:["get"]}"#],
        );
        check(
            &rule(&["a"]),
            &rule(&[]),
            &[r#"{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}"#],
        );
    }

    #[test]
    fn paths_are_covered_by_their_beginnings() {
        let rule = |urls: &[&str]| json!([{"nonResourceURLs": urls, "verbs": ["get"]}]);
        check(&rule(&["/api/*"]), &rule(&["/api/v1", "/api/*"]), &[]);
        check(&rule(&["*"]), &rule(&["/x"]), &[]);
        check(
            &rule(&["/api"]),
            &rule(&["/api/*"]),
            &[r#"{NonResourceURLs:["/api/*"], Verbs:["get"]}"#],
        );
        let everything = json!([{"verbs": ["*"], "nonResourceURLs": ["*"]}]);
        check(
            &rule(&["*"]),
            &everything,
            &[r#"{NonResourceURLs:["*"], Verbs:["*"]}"#],
        );
    }
}
