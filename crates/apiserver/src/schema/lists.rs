//! Tells the items of sets and of keyed lists apart.
//!
//! Does not know what an item holds but for its keys.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::error::{FieldError, child};
use super::{Additional, ListType, Node, Schema};

/// The keys of an item of a keyed list, defaults filled in.
fn keys_of(node: &Node, item: &Value) -> Value {
    let items = node.items.as_deref();
    let mut keys = Map::new();
    for key in &node.list_keys {
        let default = || {
            items
                .and_then(|n| n.properties.get(key))
                .and_then(|n| n.default.clone())
        };
        if let Some(value) = item.get(key.as_ref()).cloned().or_else(default) {
            keys.insert(key.to_string(), value);
        }
    }
    Value::Object(keys)
}

/// The item of an older list that is the same one, where the schema says how to tell.
pub(super) fn counterpart<'a>(node: &Node, item: &Value, before: &'a [Value]) -> Option<&'a Value> {
    if !node.list_type.correlates() || before.is_empty() {
        return None;
    }
    let keys = keys_of(node, item);
    before.iter().find(|old| keys_of(node, old) == keys)
}

/// Items that a set or a keyed list holds twice.
pub(super) fn duplicates(schema: &Schema, document: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    walk(schema, schema.root(), document, "", &mut errors);
    errors
}

fn walk(schema: &Schema, node: &Node, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let node = schema.resolve(node);
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match (node.properties.get(name.as_str()), &node.additional) {
                    (Some(next), _) => walk(schema, next, member, &child(path, name), errors),
                    (None, Additional::Of(next)) => {
                        walk(schema, next, member, &format!("{path}[{name}]"), errors);
                    }
                    (None, Additional::None | Additional::Any) => {}
                }
            }
        }
        Value::Array(items) => {
            repeated(node, items, path, errors);
            let Some(next) = &node.items else { return };
            for (i, item) in items.iter().enumerate() {
                walk(schema, next, item, &format!("{path}[{i}]"), errors);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn repeated(node: &Node, items: &[Value], path: &str, errors: &mut Vec<FieldError>) {
    let keys: Vec<Value> = match node.list_type {
        ListType::Atomic => return,
        ListType::Set => items.to_vec(),
        ListType::Map => items.iter().map(|item| keys_of(node, item)).collect(),
    };
    let mut seen = HashSet::new();
    let mut told = HashSet::new();
    for (i, key) in keys.iter().enumerate() {
        let text = key.to_string();
        if !seen.insert(text.clone()) && told.insert(text) {
            errors.push(FieldError::duplicate(&format!("{path}[{i}]"), key));
        }
    }
}
