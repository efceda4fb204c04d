//! Turns JSON into the values that CEL rules see, as the schema types them.
//!
//! Does not know the rules. Field names that CEL cannot spell are escaped.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use kube_cel::cel::objects::{Key, Map};
use kube_cel::cel::{IdedExpr, Value as CelValue};
use serde_json::Value;

use crate::schema::format::nanoseconds;
use crate::schema::{Kind, Node, Schema};

const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// The name by which a rule reaches a field.
pub(super) fn escape(name: &str) -> String {
    if RESERVED.contains(&name) {
        return format!("__{name}__");
    }
    if !name.contains(['.', '-', '/']) && !name.contains("__") {
        return name.to_owned();
    }
    name.replace("__", "__underscores__")
        .replace('.', "__dot__")
        .replace('-', "__dash__")
        .replace('/', "__slash__")
}

/// The value of `self` or `oldSelf`. Of the metadata of a resource only the names are seen.
pub(super) fn of(schema: &Schema, node: &Node, value: &Value, resource: bool) -> CelValue {
    let node = schema.resolve(node);
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(b) => CelValue::Bool(*b),
        Value::Number(number) => match (node.kind, number.as_i64()) {
            (Some(Kind::Number), _) | (_, None) => {
                CelValue::Float(number.as_f64().unwrap_or_default())
            }
            (_, Some(int)) => CelValue::Int(int),
        },
        Value::String(text) => string(node, text),
        Value::Array(items) => {
            let any = Node::default();
            let item_node = node.items.as_deref().unwrap_or(&any);
            CelValue::List(Arc::new(
                items
                    .iter()
                    .map(|i| of(schema, item_node, i, false))
                    .collect(),
            ))
        }
        Value::Object(members) => {
            let any = Node::default();
            let mut map: HashMap<Key, CelValue> = HashMap::with_capacity(members.len());
            for (name, member) in members {
                if resource && name == "metadata" {
                    map.insert(key("metadata"), names_only(member));
                    continue;
                }
                let (cel_name, next) = match node.properties.get(name.as_str()) {
                    Some(next) => (escape(name), next),
                    None => (name.clone(), node.member(name).unwrap_or(&any)),
                };
                let embedded = schema.resolve(next).embedded;
                map.insert(
                    Key::String(Arc::new(cel_name)),
                    of(schema, next, member, embedded),
                );
            }
            CelValue::Map(Map { map: Arc::new(map) })
        }
    }
}

fn key(name: &str) -> Key {
    Key::String(Arc::new(name.to_owned()))
}

fn names_only(meta: &Value) -> CelValue {
    let mut map = HashMap::new();
    for name in ["name", "generateName"] {
        if let Some(text) = meta.get(name).and_then(Value::as_str) {
            map.insert(key(name), CelValue::from(text));
        }
    }
    CelValue::Map(Map { map: Arc::new(map) })
}

fn string(node: &Node, text: &str) -> CelValue {
    static TIMESTAMP: LazyLock<Option<IdedExpr>> =
        LazyLock::new(|| super::parse("timestamp(v)").ok());
    static DURATION: LazyLock<Option<IdedExpr>> =
        LazyLock::new(|| super::parse("duration(v)").ok());
    let plain = CelValue::from(text);
    if node.kind != Some(Kind::String) {
        return plain;
    }
    let (converter, written) = match node.format.as_deref() {
        Some("date-time") => (&TIMESTAMP, text.to_owned()),
        Some("date") => (&TIMESTAMP, format!("{text}T00:00:00Z")),
        Some("duration") => match nanoseconds(text) {
            Some(nanos) => (&DURATION, format!("{nanos}ns")),
            None => return plain,
        },
        Some("byte") => {
            use base64::Engine as _;
            return match base64::engine::general_purpose::STANDARD.decode(text) {
                Ok(bytes) => CelValue::Bytes(Arc::new(bytes)),
                Err(_) => plain,
            };
        }
        _ => return plain,
    };
    let written = CelValue::from(written.as_str());
    let converted = converter
        .as_ref()
        .map(|call| super::run(call, &[("v", &written)], &mut super::PER_CALL.clone()));
    match converted {
        Some(Ok(value)) => value,
        // The schema says of such a text that it does not have the format.
        Some(Err(_)) | None => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_kubernetes_does() {
        let cases = [
            ("namespace", "__namespace__"),
            ("a-b", "a__dash__b"),
            ("a.b/c", "a__dot__b__slash__c"),
            ("my__field", "my__underscores__field"),
            ("my_field", "my_field"),
            ("plain", "plain"),
        ];
        for (name, expect) in cases {
            assert_eq!(escape(name), expect);
        }
    }
}
