//! Fills in what a document leaves out and its schema has a default for.
//!
//! Does not know what a default means. Nulls that a schema does not allow count as left out.

use serde_json::Value;

use super::error::{FieldError, NO_FIELD, child};
use super::{Additional, Kind, Node, Schema};

impl Schema {
    /// Applies defaults, then drops nulls of fields that may not be null.
    pub(crate) fn default(&self, document: &mut Value) {
        self.fill(document, self.root());
        self.drop_nulls(document, self.root());
    }

    fn fill(&self, value: &mut Value, node: &Node) {
        let node = self.resolve(node);
        match value {
            Value::Object(members) => {
                for (name, property) in &node.properties {
                    let Some(default) = &property.default else {
                        continue;
                    };
                    let left_out = match members.get(name.as_ref()) {
                        None => true,
                        Some(found) => found.is_null() && !property.nullable,
                    };
                    if left_out {
                        members.insert(name.to_string(), default.clone());
                    }
                }
                for (name, member) in members {
                    if let Some(next) = node.member(name) {
                        self.fill_one(member, next);
                    }
                }
            }
            Value::Array(items) => {
                let Some(item_node) = &node.items else { return };
                for item in items {
                    self.fill_one(item, item_node);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn fill_one(&self, value: &mut Value, node: &Node) {
        if value.is_null()
            && !node.nullable
            && let Some(default) = &node.default
        {
            *value = default.clone();
        }
        self.fill(value, node);
    }

    fn drop_nulls(&self, value: &mut Value, node: &Node) {
        let node = self.resolve(node);
        match value {
            Value::Object(members) => {
                members.retain(|name, member| {
                    let Some(next) = node.member(name) else {
                        return true;
                    };
                    if member.is_null() {
                        return next.nullable;
                    }
                    self.drop_nulls(member, next);
                    true
                });
            }
            Value::Array(items) => {
                let Some(item_node) = &node.items else { return };
                for item in items {
                    self.drop_nulls(item, item_node);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// Defaults that the schema itself would refuse or prune.
    pub(super) fn wrong_defaults(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        self.check_defaults(&self.root, "openAPIV3Schema", &mut errors);
        errors
    }

    fn check_defaults(&self, node: &Node, path: &str, errors: &mut Vec<FieldError>) {
        if let Some(default) = &node.default {
            let at = child(path, "default");
            let mut filled = default.clone();
            self.fill(&mut filled, node);
            let wrong = self.validate_at(node, &filled, None, "");
            errors.extend(wrong.into_iter().map(|e| FieldError {
                path: if e.path == NO_FIELD {
                    at.clone()
                } else {
                    child(&at, &e.path)
                },
                ..e
            }));
        }
        for (name, property) in &node.properties {
            self.check_defaults(property, &format!("{path}.properties[{name}]"), errors);
        }
        if let Additional::Of(next) = &node.additional {
            self.check_defaults(next, &child(path, "additionalProperties"), errors);
        }
        if let (Some(Kind::Array), Some(items)) = (node.kind, &node.items) {
            self.check_defaults(items, &child(path, "items"), errors);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_fill_what_is_left_out() {
        let schema = Schema::compile(&json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "color": {"type": "string", "default": "red"},
            "nested": {"type": "object", "default": {}, "properties": {"on": {"type": "boolean", "default": true}}},
            "maybe": {"type": "string", "nullable": true},
            "size": {"type": "integer"},
            "items": {"type": "array", "items": {"type": "object", "properties": {"v": {"type": "integer", "default": 7}}}},
        }}}})).unwrap();
        let cases = [
            (
                json!({"spec": {}}),
                json!({"spec": {"color": "red", "nested": {"on": true}}}),
            ),
            (json!({}), json!({})),
            (
                json!({"spec": {"color": null, "nested": {}, "maybe": null, "size": null, "items": [{}, {"v": 1}]}}),
                json!({"spec": {"color": "red", "nested": {"on": true}, "maybe": null, "items": [{"v": 7}, {"v": 1}]}}),
            ),
        ];
        for (mut input, expect) in cases {
            schema.default(&mut input);
            assert_eq!(input, expect);
        }
    }

    #[test]
    fn a_default_that_breaks_its_schema_is_refused() {
        let errors = Schema::compile(
            &json!({"type": "object", "properties": {"a": {"type": "integer", "default": "x"}}}),
        )
        .unwrap_err();
        assert_eq!(errors[0].path, "openAPIV3Schema.properties[a].default");
    }
}
