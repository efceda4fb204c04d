//! Takes out of a document what its schema does not know.
//!
//! Does not know whether the sender wants to be told: it returns the paths of what went.

use serde_json::Value;

use super::error::child;
use super::{Additional, Node, Schema};

impl Schema {
    /// Removes unknown fields and returns their paths, for instance `spec.items[0].unknown`.
    pub(crate) fn prune(&self, document: &mut Value) -> Vec<String> {
        let mut gone = Vec::new();
        self.prune_object(document, self.root(), "", true, &mut gone);
        gone
    }

    fn prune_node(&self, value: &mut Value, node: &Node, path: &str, gone: &mut Vec<String>) {
        let node = self.resolve(node);
        match value {
            Value::Object(_) => self.prune_object(value, node, path, node.embedded, gone),
            Value::Array(items) => {
                let Some(item_node) = &node.items else { return };
                for (i, item) in items.iter_mut().enumerate() {
                    self.prune_node(item, item_node, &format!("{path}[{i}]"), gone);
                }
            }
            Value::Number(_) => whole(value),
            Value::Null | Value::Bool(_) | Value::String(_) => {}
        }
    }

    /// `resource` is true where `apiVersion`, `kind` and `metadata` are known without being listed.
    fn prune_object(
        &self,
        value: &mut Value,
        node: &Node,
        path: &str,
        resource: bool,
        gone: &mut Vec<String>,
    ) {
        let Some(members) = value.as_object_mut() else {
            return;
        };
        let scalar = node.kind.is_some_and(|k| k != super::Kind::Object) || node.int_or_string;
        if scalar {
            return;
        }
        let implied = |name: &str| resource && matches!(name, "apiVersion" | "kind" | "metadata");
        let keep_all = node.preserve_unknown || matches!(node.additional, Additional::Any);
        let unknown: Vec<String> = members
            .keys()
            .filter(|name| !keep_all && node.member(name).is_none() && !implied(name))
            .cloned()
            .collect();
        for name in unknown {
            members.remove(&name);
            gone.push(child(path, &name));
        }
        for (name, member) in members {
            match node.member(name) {
                // The server itself looks after the metadata of custom resources.
                Some(next) if next.reference.is_some() || !implied(name) => {
                    self.prune_node(member, next, &child(path, name), gone);
                }
                Some(_) => {}
                None => whole_everywhere(member),
            }
        }
    }
}

/// Go writes a whole floating point number without a fraction.
fn whole(value: &mut Value) {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if let Value::Number(number) = value
        && number.is_f64()
        && let Some(float) = number.as_f64()
        && float.fract() == 0.0
        && float.abs() <= EXACT
    {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
        let int = float as i64;
        *value = Value::from(int);
    }
}

fn whole_everywhere(value: &mut Value) {
    match value {
        Value::Number(_) => whole(value),
        Value::Array(items) => items.iter_mut().for_each(whole_everywhere),
        Value::Object(members) => members.values_mut().for_each(whole_everywhere),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unknown_fields_go_and_are_named() {
        let schema = Schema::compile(&json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "size": {"type": "integer"},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"a": {"type": "object", "properties": {"b": {"type": "string"}}}}},
            "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"x": {"type": "integer"}}}},
            "list": {"type": "array", "items": {"type": "object", "properties": {"k": {"type": "string"}}}},
            "template": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"spec": {"type": "object"}}},
            "port": {"x-kubernetes-int-or-string": true},
        }}}})).unwrap();
        let mut document = json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "a", "weird": 1}, "junk": 1, "spec": {
            "size": 2.0, "nope": {"deep": true}, "free": {"any": [1.0], "a": {"b": "", "c": 1}},
            "map": {"k": {"x": 1, "y": 2}}, "list": [{"k": "a", "z": 1}], "port": "80",
            "template": {"kind": "Pod", "apiVersion": "v1", "metadata": {}, "status": {}, "spec": {"a": 1}}}});
        let gone = schema.prune(&mut document);
        let mut expect = [
            "junk",
            "spec.nope",
            "spec.free.a.c",
            "spec.map.k.y",
            "spec.list[0].z",
            "spec.template.status",
            "spec.template.spec.a",
        ];
        let mut sorted: Vec<&str> = gone.iter().map(String::as_str).collect();
        sorted.sort_unstable();
        expect.sort_unstable();
        assert_eq!(sorted, expect);
        assert_eq!(document["spec"]["size"].to_string(), "2");
        assert_eq!(
            document["spec"]["free"],
            json!({"any": [1], "a": {"b": ""}})
        );
        assert_eq!(document["metadata"]["weird"], 1);
    }
}
