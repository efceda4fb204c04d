//! Holds a set of fields as a tree, in the form of `FieldsV1`.
//!
//! Steps of a path are spelled as there: `f:spec`, `k:{"name":"a"}`, `v:"x"`, `i:0`. A step may be in
//! the set, have steps below it, or both. Does not know schemas.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FieldSet(BTreeMap<String, Step>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Step {
    member: bool,
    below: FieldSet,
}

impl FieldSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.0
            .values()
            .all(|step| !step.member && step.below.is_empty())
    }

    /// Adds one field.
    pub(crate) fn insert(&mut self, path: &[String]) {
        if let [first, rest @ ..] = path {
            let step = self.0.entry(first.clone()).or_default();
            match rest {
                [] => step.member = true,
                rest => step.below.insert(rest),
            }
        }
    }

    pub(crate) fn has(&self, step: &str) -> bool {
        self.0.get(step).is_some_and(|step| step.member)
    }

    /// Whether this very field is in the set.
    pub(crate) fn contains(&self, path: &[String]) -> bool {
        match path {
            [] => false,
            [last] => self.has(last),
            [first, rest @ ..] => self.below(first).is_some_and(|below| below.contains(rest)),
        }
    }

    pub(crate) fn below(&self, step: &str) -> Option<&Self> {
        self.0.get(step).map(|step| &step.below)
    }

    /// Whether the step, or anything below it, is in the set.
    pub(crate) fn touches(&self, step: &str) -> bool {
        let found = self.0.get(step);
        found.is_some_and(|step| step.member || !step.below.is_empty())
    }

    pub(crate) fn union(&mut self, other: &Self) {
        for (name, theirs) in &other.0 {
            let step = self.0.entry(name.clone()).or_default();
            step.member |= theirs.member;
            step.below.union(&theirs.below);
        }
    }

    /// Takes out exactly the fields of `other`; what is below one of them stays.
    pub(crate) fn subtract(&mut self, other: &Self) {
        for (name, theirs) in &other.0 {
            if let Some(step) = self.0.get_mut(name) {
                step.member &= !theirs.member;
                step.below.subtract(&theirs.below);
            }
        }
        self.tidy();
    }

    /// Takes out the fields of `other` with all below them.
    pub(crate) fn cut(&mut self, other: &Self) {
        for (name, theirs) in &other.0 {
            if theirs.member {
                self.0.remove(name);
            } else if let Some(step) = self.0.get_mut(name) {
                step.below.cut(&theirs.below);
            }
        }
        self.tidy();
    }

    pub(crate) fn intersection(&self, other: &Self) -> Self {
        let mut both = Self::default();
        for (name, mine) in &self.0 {
            if let Some(theirs) = other.0.get(name) {
                let step = Step {
                    member: mine.member && theirs.member,
                    below: mine.below.intersection(&theirs.below),
                };
                both.0.insert(name.clone(), step);
            }
        }
        both.tidy();
        both
    }

    fn tidy(&mut self) {
        self.0
            .retain(|_, step| step.member || !step.below.is_empty());
    }

    /// Reads `fieldsV1`; none if it is none.
    pub(crate) fn decode(fields: &Value) -> Option<Self> {
        let mut set = Self::default();
        for (name, below) in fields.as_object()? {
            // The dot says that the field that has these below it is in the set too.
            if name == "." {
                continue;
            }
            let below_set = Self::decode(below)?;
            let name = canonical(name)?;
            let member = below_set.0.is_empty() || below.get(".").is_some();
            let step = Step {
                member,
                below: below_set,
            };
            set.0.insert(name, step);
        }
        Some(set)
    }

    /// As `fieldsV1`.
    pub(crate) fn encode(&self) -> Value {
        let mut fields = Map::new();
        for (name, step) in &self.0 {
            let mut below = step.below.encode();
            if step.member && !step.below.is_empty() {
                below["."] = json!({});
            }
            fields.insert(name.clone(), below);
        }
        Value::Object(fields)
    }

    /// The fields as Kubernetes prints them: `.spec.ports[port=80].name`.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect("", &mut paths);
        paths
    }

    fn collect(&self, before: &str, paths: &mut Vec<String>) {
        for (name, step) in &self.0 {
            let path = format!("{before}{}", printed(name));
            if step.member {
                paths.push(path.clone());
            }
            step.below.collect(&path, paths);
        }
    }
}

/// Keys are compared as text, so they must be spelled in one way.
fn canonical(step: &str) -> Option<String> {
    let (kind, rest) = step.split_once(':')?;
    match kind {
        "f" => Some(step.to_owned()),
        "k" | "v" | "i" => {
            let value: Value = serde_json::from_str(rest).ok()?;
            Some(format!("{kind}:{value}"))
        }
        _ => None,
    }
}

/// A step as part of a printed path.
pub(super) fn printed(step: &str) -> String {
    let (kind, rest) = step.split_once(':').unwrap_or(("f", step));
    match kind {
        "f" => format!(".{rest}"),
        "k" => {
            let keys: Map<String, Value> = serde_json::from_str(rest).unwrap_or_default();
            let keys: Vec<String> = keys
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            format!("[{}]", keys.join(","))
        }
        "v" => format!("[={rest}]"),
        _ => format!("[{rest}]"),
    }
}
