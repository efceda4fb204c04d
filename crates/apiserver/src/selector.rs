//! Parses label and field selectors and matches objects against them.
//!
//! Does not know which fields a kind offers for selection: the caller passes their list.

use serde_json::{Map, Value};

use crate::names::{label_value_problems, qualified_name_problems};
use crate::schema::error::go_quote;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
    Greater(i64),
    Less(i64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

/// `labelSelector=` of a request, and the `LabelSelector` of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LabelSelector {
    requirements: Vec<Requirement>,
}

impl LabelSelector {
    /// Parses `a=b,c!=d,e in (f,g),h,!i,j>1`; the empty text selects everything.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut requirements = Vec::new();
        for part in split_outside_parentheses(text)? {
            let part = part.trim();
            if !part.is_empty() {
                requirements.push(requirement(part)?);
            }
        }
        Ok(Self { requirements })
    }

    /// Reads `matchLabels` and `matchExpressions`.
    pub(crate) fn from_object(selector: &Value) -> Result<Self, String> {
        let mut requirements = Vec::new();
        let labels = selector.get("matchLabels").and_then(Value::as_object);
        for (key, value) in labels.into_iter().flatten() {
            let value = value.as_str().unwrap_or_default().to_owned();
            requirements.push(Requirement {
                key: key.clone(),
                test: Test::In(vec![value]),
            });
        }
        let expressions = selector.get("matchExpressions").and_then(Value::as_array);
        for expression in expressions.into_iter().flatten() {
            let text = |key: &str| {
                expression
                    .get(key)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            let values = || -> Vec<String> {
                let list = expression.get("values").and_then(Value::as_array);
                list.into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .map(Into::into)
                    .collect()
            };
            let test = match text("operator") {
                "In" => Test::In(values()),
                "NotIn" => Test::NotIn(values()),
                "Exists" => Test::Exists,
                "DoesNotExist" => Test::Absent,
                other => {
                    return Err(format!(
                        "{} is not a valid label selector operator",
                        go_quote(other)
                    ));
                }
            };
            requirements.push(Requirement {
                key: text("key").into(),
                test,
            });
        }
        Ok(Self { requirements })
    }

    /// Whether every object passes.
    pub(crate) fn selects_all(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether these labels pass every requirement; no labels at all is `None`.
    pub(crate) fn matches(&self, labels: Option<&Map<String, Value>>) -> bool {
        self.requirements.iter().all(|requirement| {
            let value = labels
                .and_then(|l| l.get(&requirement.key))
                .and_then(Value::as_str);
            match (&requirement.test, value) {
                (Test::Exists, found) => found.is_some(),
                (Test::Absent, found) => found.is_none(),
                (Test::In(values), Some(found)) => values.iter().any(|v| v == found),
                (Test::NotIn(values), Some(found)) => values.iter().all(|v| v != found),
                (Test::NotIn(_), None) => true,
                (Test::Greater(than), Some(found)) => found.parse::<i64>().is_ok_and(|n| n > *than),
                (Test::Less(than), Some(found)) => found.parse::<i64>().is_ok_and(|n| n < *than),
                (Test::In(_) | Test::Greater(_) | Test::Less(_), None) => false,
            }
        })
    }
}

fn split_outside_parentheses(text: &str) -> Result<Vec<&str>, String> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0_i32, 0);
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[from..i]);
                from = i + 1;
            }
            _ => {}
        }
        if !(0..=1).contains(&depth) {
            return Err(format!("unbalanced parentheses in {}", go_quote(text)));
        }
    }
    if depth != 0 {
        return Err(format!("unbalanced parentheses in {}", go_quote(text)));
    }
    parts.push(&text[from..]);
    Ok(parts)
}

fn requirement(part: &str) -> Result<Requirement, String> {
    if let Some(key) = part.strip_prefix('!') {
        return with_key(key.trim(), Test::Absent);
    }
    for (sign, equal) in [("!=", false), ("==", true), ("=", true)] {
        if let Some((key, value)) = part.split_once(sign) {
            let values = vec![checked_value(key.trim(), value.trim())?];
            let test = if equal {
                Test::In(values)
            } else {
                Test::NotIn(values)
            };
            return with_key(key.trim(), test);
        }
    }
    for sign in ['>', '<'] {
        if let Some((key, value)) = part.split_once(sign) {
            let number = value.trim().parse().map_err(|_| {
                format!("<nil>: Invalid value: {}: for 'Gt', 'Lt' operators, the value must be an integer", go_quote(value.trim()))
            })?;
            return with_key(
                key.trim(),
                if sign == '>' {
                    Test::Greater(number)
                } else {
                    Test::Less(number)
                },
            );
        }
    }
    let Some((key, rest)) = part.split_once(|c: char| c.is_whitespace() || c == '(') else {
        return with_key(part, Test::Exists);
    };
    set_requirement(key, part[key.len()..].trim()).ok_or_else(|| {
        format!(
            "found '{}', expected: in, notin, =, ==, !=, gt, lt",
            rest.trim()
        )
    })?
}

fn set_requirement(key: &str, rest: &str) -> Option<Result<Requirement, String>> {
    let (negated, rest) = match rest.strip_prefix("notin") {
        Some(rest) => (true, rest),
        None => (false, rest.strip_prefix("in")?),
    };
    let inner = rest.trim().strip_prefix('(')?.strip_suffix(')')?;
    let values: Result<Vec<String>, String> = inner
        .split(',')
        .map(|v| checked_value(key, v.trim()))
        .collect();
    Some(values.and_then(|values| {
        with_key(
            key,
            if negated {
                Test::NotIn(values)
            } else {
                Test::In(values)
            },
        )
    }))
}

fn with_key(key: &str, test: Test) -> Result<Requirement, String> {
    match qualified_name_problems(key).first() {
        Some(problem) => Err(format!(
            "<nil>: Invalid value: {}: {problem}",
            go_quote(key)
        )),
        None => Ok(Requirement {
            key: key.into(),
            test,
        }),
    }
}

fn checked_value(key: &str, value: &str) -> Result<String, String> {
    match label_value_problems(value).first() {
        Some(problem) => Err(format!(
            "values[0][{key}]: Invalid value: {}: {problem}",
            go_quote(value)
        )),
        None => Ok(value.into()),
    }
}

/// `fieldSelector=` of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSelector {
    terms: Vec<(String, bool, String)>,
}

impl FieldSelector {
    /// Parses `metadata.name=a,status.phase!=Running`; `\` escapes a comma, an equals sign and itself.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut terms = Vec::new();
        for term in split_unescaped(text) {
            if term.is_empty() {
                continue;
            }
            let (field, equal, value) = if let Some((f, v)) = term.split_once("!=") {
                (f, false, v)
            } else if let Some((f, v)) = term.split_once("==").or_else(|| term.split_once('=')) {
                (f, true, v)
            } else {
                return Err(format!(
                    "invalid selector: '{text}'; can't understand '{term}'"
                ));
            };
            terms.push((field.to_owned(), equal, unescape(value)?));
        }
        Ok(Self { terms })
    }

    /// Refuses fields that the kind does not offer; every kind offers its name and namespace.
    pub(crate) fn check(&self, supported: &[&str]) -> Result<(), String> {
        for (field, ..) in &self.terms {
            let known = field == "metadata.name"
                || field == "metadata.namespace"
                || supported.contains(&field.as_str());
            if !known {
                return Err(format!("field label not supported: {field}"));
            }
        }
        Ok(())
    }

    /// Whether every object passes.
    pub(crate) fn selects_all(&self) -> bool {
        self.terms.is_empty()
    }

    /// The one value a field must have, if the selector asks for one: lets a list be a look-up.
    pub(crate) fn required(&self, field: &str) -> Option<&str> {
        self.terms
            .iter()
            .find(|(f, equal, _)| *equal && f == field)
            .map(|(.., value)| value.as_str())
    }

    /// Whether an object passes; an absent field reads as the empty text.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.terms
            .iter()
            .all(|(field, equal, value)| (field_text(object, field) == *value) == *equal)
    }
}

fn field_text(object: &Value, field: &str) -> String {
    if field == "source" {
        // Events: the old place of the component, then the new one.
        let old = object
            .pointer("/source/component")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let new = object
            .get("reportingComponent")
            .and_then(Value::as_str)
            .unwrap_or_default();
        return if old.is_empty() {
            new.into()
        } else {
            old.into()
        };
    }
    match field.split('.').try_fold(object, |at, name| at.get(name)) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None if field == "spec.unschedulable" => "false".into(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

fn split_unescaped(text: &str) -> Vec<&str> {
    let (mut parts, mut from, mut escaped) = (Vec::new(), 0, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&text[from..i]);
                from = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(next @ ('\\' | ',' | '=')) => out.push(next),
                _ => {
                    return Err(format!(
                        "invalid field selector: invalid escape sequence: {text}"
                    ));
                }
            },
            other => out.push(other),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_are_matched_by_every_operator() {
        let labels = json!({"app": "web", "tier": "db", "n": "5"});
        let cases = [
            ("", true),
            ("app=web", true),
            ("app==web,tier=db", true),
            ("app!=web", false),
            ("other!=x", true),
            ("app", true),
            ("!app", false),
            ("!zone", true),
            ("app in (web, api)", true),
            ("app in(web)", true),
            ("app notin (web)", false),
            ("zone notin (a)", true),
            ("zone in (a)", false),
            ("app in (api),tier", false),
            ("n>4", true),
            ("n<5", false),
            ("empty=", false),
        ];
        for (text, expect) in cases {
            let selector = LabelSelector::parse(text).unwrap();
            assert_eq!(selector.matches(labels.as_object()), expect, "{text}");
        }
        assert!(!LabelSelector::parse("a=b").unwrap().matches(None));
    }

    #[test]
    fn a_bad_label_selector_is_refused() {
        for text in [
            "a in b",
            "a in (b",
            "bad key=x",
            "a=b c",
            "a)(",
            "a > x",
            "a near (b)",
        ] {
            assert!(LabelSelector::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn selectors_of_objects_are_read() {
        let selector = json!({"matchLabels": {"a": "b"}, "matchExpressions": [
            {"key": "c", "operator": "NotIn", "values": ["d"]}, {"key": "e", "operator": "DoesNotExist"}]});
        let selector = LabelSelector::from_object(&selector).unwrap();
        assert!(selector.matches(json!({"a": "b"}).as_object()));
        assert!(!selector.matches(json!({"a": "b", "e": ""}).as_object()));
        assert!(!selector.matches(json!({"a": "b", "c": "d"}).as_object()));
        assert!(
            LabelSelector::from_object(
                &json!({"matchExpressions": [{"key": "a", "operator": "Near"}]})
            )
            .is_err()
        );
    }

    #[test]
    fn fields_are_matched_by_path() {
        let pod =
            json!({"metadata": {"name": "a,b", "namespace": "ns"}, "spec": {"nodeName": "n1"}});
        let cases = [
            ("metadata.name=a\\,b", true),
            ("spec.nodeName==n1,metadata.namespace=ns", true),
            ("status.phase=", true),
            ("status.phase!=Running", true),
            ("spec.nodeName!=n1", false),
        ];
        for (text, expect) in cases {
            assert_eq!(
                FieldSelector::parse(text).unwrap().matches(&pod),
                expect,
                "{text}"
            );
        }
        assert!(FieldSelector::parse("nonsense").is_err());
        let selector = FieldSelector::parse("spec.x=1").unwrap();
        assert_eq!(
            selector.check(&["spec.y"]),
            Err("field label not supported: spec.x".into())
        );
        assert_eq!(
            FieldSelector::parse("metadata.name=z")
                .unwrap()
                .required("metadata.name"),
            Some("z")
        );
    }
}
