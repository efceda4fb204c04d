//! Holds structural schemas: what a document may contain and what is missing from it.
//!
//! Does not know which kind a schema belongs to, nor whether it came from a CRD or describes a built-in kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use regex::Regex;
use serde_json::Value;

pub(crate) mod cel;
mod compile;
mod default;
mod document;
pub(crate) mod error;
mod format;
mod lists;
mod prune;
#[cfg(test)]
mod tests;
mod validate;

use self::cel::Rule;
pub(crate) use self::compile::definition;

/// JSON types a schema can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [
            Self::Object,
            Self::Array,
            Self::String,
            Self::Integer,
            Self::Number,
            Self::Boolean,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == text)
    }
}

/// The type of a value as Kubernetes names it in messages.
pub(crate) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() && n.as_f64().is_some_and(|f| f.fract() != 0.0) => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Members of an object that are not listed one by one.
#[derive(Debug, Default)]
pub(crate) enum Additional {
    #[default]
    None,
    Any,
    Of(Box<Node>),
}

/// How the items of a list relate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ListType {
    #[default]
    Atomic,
    Set,
    Map,
}

/// How a strategic merge patch treats a list or an object of a built-in kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Merge {
    /// Items are matched by this member; the empty text matches primitive items by value.
    pub(crate) key: Option<&'static str>,
    /// `$retainKeys` is honoured.
    pub(crate) retain_keys: bool,
}

/// Bounds on one value.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    minimum: Option<f64>,
    maximum: Option<f64>,
    exclusive_minimum: bool,
    exclusive_maximum: bool,
    multiple_of: Option<f64>,
    min_length: Option<u64>,
    max_length: Option<u64>,
    pattern: Option<Regex>,
    min_items: Option<u64>,
    max_items: Option<u64>,
    unique_items: bool,
    min_properties: Option<u64>,
    max_properties: Option<u64>,
    one_of_values: Option<Vec<Value>>,
}

/// Schemas over the same value.
#[derive(Debug, Default)]
pub(crate) struct Junctors {
    all_of: Vec<Node>,
    any_of: Vec<Node>,
    one_of: Vec<Node>,
    not: Option<Node>,
}

/// One place in a document.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) kind: Option<Kind>,
    pub(crate) int_or_string: bool,
    pub(crate) nullable: bool,
    pub(crate) preserve_unknown: bool,
    pub(crate) embedded: bool,
    pub(crate) list_type: ListType,
    /// An object that has one owner: `x-kubernetes-map-type: atomic`.
    pub(crate) atomic: bool,
    pub(crate) merge: Merge,
    pub(crate) format: Option<Box<str>>,
    /// Name of a definition that says the rest.
    pub(crate) reference: Option<Box<str>>,
    pub(crate) properties: BTreeMap<Box<str>, Node>,
    pub(crate) additional: Additional,
    pub(crate) items: Option<Box<Node>>,
    pub(crate) required: Vec<Box<str>>,
    pub(crate) list_keys: Vec<Box<str>>,
    pub(crate) default: Option<Value>,
    pub(crate) limits: Option<Box<Limits>>,
    pub(crate) junctors: Option<Box<Junctors>>,
    pub(crate) rules: Vec<Rule>,
}

impl Node {
    /// What is known of a member.
    pub(crate) fn member(&self, name: &str) -> Option<&Self> {
        match (self.properties.get(name), &self.additional) {
            (Some(node), _) => Some(node),
            (None, Additional::Of(node)) => Some(node),
            (None, Additional::None | Additional::Any) => None,
        }
    }
}

/// Named schemas that others refer to.
pub(crate) type Definitions = BTreeMap<Box<str>, Arc<Node>>;

/// A whole schema.
#[derive(Debug)]
pub(crate) struct Schema {
    root: Arc<Node>,
    definitions: Definitions,
    has_rules: bool,
}

impl Schema {
    pub(crate) fn new(root: Arc<Node>, definitions: Definitions, has_rules: bool) -> Self {
        Self {
            root,
            definitions,
            has_rules,
        }
    }

    pub(crate) fn root(&self) -> &Node {
        self.resolve(&self.root)
    }

    /// Follows references; one that leads nowhere is returned as it is, and then allows anything.
    pub(crate) fn resolve<'a>(&'a self, mut node: &'a Node) -> &'a Node {
        // Definitions that refer to each other in a ring would never end; none of ours does.
        for _ in 0..8 {
            match node
                .reference
                .as_deref()
                .and_then(|name| self.definitions.get(name))
            {
                Some(next) => node = next,
                None => break,
            }
        }
        node
    }
}
