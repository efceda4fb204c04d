//! Reads a label selector and says which labels it picks.
//!
//! All of `matchLabels` and `matchExpressions` count (D1). A selector that cannot be read picks
//! nothing and says what is wrong with it: read loosely, it might pick every claim there is.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::secret::is_subdomain;

/// Labels of an object.
pub type Labels = BTreeMap<Box<str>, Box<str>>;

/// A `LabelSelector`: every requirement must hold; none at all picks everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Selector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Requirement {
    key: Box<str>,
    rule: Rule,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Rule {
    In(Vec<Box<str>>),
    /// Also holds for an object without the label.
    NotIn(Vec<Box<str>>),
    Exists,
    DoesNotExist,
}

impl Selector {
    /// Reads the selector; `Err` names the field, its value and the cure.
    pub fn read(selector: &LabelSelector) -> Result<Self, String> {
        let mut requirements = Vec::new();
        for (key, value) in selector.match_labels.iter().flatten() {
            check_key("matchLabels", key)?;
            check_value(key, value)?;
            requirements.push(Requirement {
                key: key.as_str().into(),
                rule: Rule::In(vec![value.as_str().into()]),
            });
        }
        for expression in selector.match_expressions.iter().flatten() {
            let key = &expression.key;
            check_key("matchExpressions", key)?;
            let values: Vec<Box<str>> = expression
                .values
                .iter()
                .flatten()
                .map(|it| it.as_str().into())
                .collect();
            for value in &values {
                check_value(key, value)?;
            }
            let rule = match (expression.operator.as_str(), values.is_empty()) {
                ("In", false) => Rule::In(values),
                ("NotIn", false) => Rule::NotIn(values),
                ("Exists", true) => Rule::Exists,
                ("DoesNotExist", true) => Rule::DoesNotExist,
                (operator @ ("In" | "NotIn"), true) => {
                    return Err(format!(
                        "matchExpressions of label \"{key}\" has operator {operator} and no values; give it at least one"
                    ));
                }
                (operator @ ("Exists" | "DoesNotExist"), false) => {
                    return Err(format!(
                        "matchExpressions of label \"{key}\" has operator {operator} and values; take them out"
                    ));
                }
                (operator, _) => {
                    return Err(format!(
                        "matchExpressions of label \"{key}\" has operator \"{operator}\"; use In, NotIn, Exists or DoesNotExist"
                    ));
                }
            };
            requirements.push(Requirement {
                key: key.as_str().into(),
                rule,
            });
        }
        Ok(Self(requirements))
    }

    /// It picks an object with these labels.
    pub fn picks(&self, labels: &Labels) -> bool {
        self.0.iter().all(|Requirement { key, rule }| {
            let value = labels.get(key);
            match rule {
                Rule::In(values) => value.is_some_and(|it| values.contains(it)),
                Rule::NotIn(values) => value.is_none_or(|it| !values.contains(it)),
                Rule::Exists => value.is_some(),
                Rule::DoesNotExist => value.is_none(),
            }
        })
    }
}

impl fmt::Display for Selector {
    /// As `kubectl get --selector` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Requirement { key, rule }) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            match rule {
                Rule::In(values) if values.len() == 1 => write!(f, "{key}={}", values[0])?,
                Rule::In(values) => write!(f, "{key} in ({})", values.join(","))?,
                Rule::NotIn(values) => write!(f, "{key} notin ({})", values.join(","))?,
                Rule::Exists => f.write_str(key)?,
                Rule::DoesNotExist => write!(f, "!{key}")?,
            }
        }
        Ok(())
    }
}

fn check_key(field: &str, key: &str) -> Result<(), String> {
    let (prefix, name) = key
        .split_once('/')
        .map_or((None, key), |(prefix, name)| (Some(prefix), name));
    if prefix.is_none_or(is_subdomain) && !name.is_empty() && is_word(name) {
        return Ok(());
    }
    Err(format!(
        "{field} names label \"{key}\", which is no label key: at most 63 letters, digits, '-', '_' and '.', begun and ended by a letter or digit, with a DNS name and '/' before them if need be"
    ))
}

fn check_value(key: &str, value: &str) -> Result<(), String> {
    if is_word(value) {
        return Ok(());
    }
    Err(format!(
        "label \"{key}\" is compared with \"{value}\", which no label can have: at most 63 letters, digits, '-', '_' and '.', begun and ended by a letter or digit"
    ))
}

/// Empty, or what a label value and the name of a label key may be.
fn is_word(text: &str) -> bool {
    let inner = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_' | b'.');
    let edge = |it: Option<&u8>| it.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes.iter().all(|it| inner(*it))
        && edge(bytes.first())
        && edge(bytes.last())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn selector(document: Value) -> Result<Selector, String> {
        Selector::read(&serde_json::from_value(document).unwrap())
    }

    #[track_caller]
    fn picks(document: Value, labels: &[(&str, &str)], expected: bool) {
        let labels = labels
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect();
        let selector = selector(document).unwrap();
        assert_eq!(selector.picks(&labels), expected, "{selector} {labels:?}");
    }

    #[test]
    fn all_conditions_must_hold() {
        let both = json!({"matchLabels": {"app": "db"},
            "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]}]});
        picks(both.clone(), &[("app", "db"), ("tier", "b")], true);
        picks(both.clone(), &[("app", "db"), ("tier", "c")], false);
        picks(both.clone(), &[("app", "db")], false);
        picks(both, &[("tier", "a")], false);
        picks(json!({}), &[], true);
        picks(json!({}), &[("any", "thing")], true);
    }

    #[test]
    fn operators_mean_what_kubernetes_means() {
        let one =
            |operator: &str| json!({"matchExpressions": [{"key": "k", "operator": operator}]});
        let with = |operator: &str| json!({"matchExpressions": [{"key": "k", "operator": operator, "values": ["v", ""]}]});
        for (document, without, value, other, empty) in [
            (with("In"), false, true, false, true),
            (with("NotIn"), true, false, true, false),
            (one("Exists"), false, true, true, true),
            (one("DoesNotExist"), true, false, false, false),
        ] {
            picks(document.clone(), &[("other", "v")], without);
            picks(document.clone(), &[("k", "v")], value);
            picks(document.clone(), &[("k", "w")], other);
            picks(document, &[("k", "")], empty);
        }
    }

    #[test]
    fn prints_as_kubectl_takes_it() {
        let all = json!({"matchLabels": {"app": "db"}, "matchExpressions": [
            {"key": "a", "operator": "In", "values": ["x", "y"]},
            {"key": "b", "operator": "NotIn", "values": ["x"]},
            {"key": "c", "operator": "Exists"},
            {"key": "e.io/d", "operator": "DoesNotExist"}]});
        assert_eq!(
            selector(all).unwrap().to_string(),
            "app=db,a in (x,y),b notin (x),c,!e.io/d"
        );
    }

    #[test]
    fn what_cannot_be_read_is_told_and_picks_nothing() {
        let expression = |it: Value| json!({"matchExpressions": [it]});
        for (document, word) in [
            (
                expression(json!({"key": "k", "operator": "in", "values": ["v"]})),
                "\"in\"",
            ),
            (
                expression(json!({"key": "k", "operator": "In"})),
                "no values",
            ),
            (
                expression(json!({"key": "k", "operator": "Exists", "values": ["v"]})),
                "take them out",
            ),
            (
                expression(json!({"key": "a b", "operator": "DoesNotExist"})),
                "\"a b\"",
            ),
            (
                expression(json!({"key": "", "operator": "DoesNotExist"})),
                "no label key",
            ),
            (json!({"matchLabels": {"-k": "v"}}), "\"-k\""),
            (json!({"matchLabels": {"A_/k": "v"}}), "\"A_/k\""),
            (json!({"matchLabels": {"k": "no spaces"}}), "\"no spaces\""),
        ] {
            let error = selector(document).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
