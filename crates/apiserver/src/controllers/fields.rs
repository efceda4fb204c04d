//! Reads the fields of objects that every controller needs.
//!
//! Knows nothing of kinds; what is missing reads as empty.

use serde_json::Value;

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub(super) fn name(object: &Value) -> &str {
    text(&object["metadata"]["name"])
}

pub(super) fn namespace(object: &Value) -> &str {
    text(&object["metadata"]["namespace"])
}

pub(super) fn uid(object: &Value) -> &str {
    text(&object["metadata"]["uid"])
}

pub(super) fn deleting(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// The resourceVersion, as a number since this server's are; 0 when there is none.
pub(super) fn version(object: &Value) -> u64 {
    text(&object["metadata"]["resourceVersion"])
        .parse()
        .unwrap_or(0)
}

/// An annotation that is set and not empty.
pub(super) fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object["metadata"]["annotations"][key]
        .as_str()
        .filter(|value| !value.is_empty())
}

pub(super) fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    let list = object["metadata"]["finalizers"].as_array();
    list.into_iter().flatten().filter_map(Value::as_str)
}

/// A part of an object as its JSON text: what is only passed on is kept so, in a fraction of the memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Kept(Box<str>);

impl Kept {
    pub(super) fn of(value: &Value) -> Self {
        Self(value.to_string().into())
    }

    pub(super) fn value(&self) -> Value {
        // It was a value, so it is one.
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}
