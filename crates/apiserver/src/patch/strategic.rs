//! Merges strategic patches: lists of objects are matched by the key their schema names.
//!
//! Does not know the keys: the schema of the kind carries them. A list without one is replaced.

use serde_json::{Map, Value};

use super::PatchError;
use crate::schema::{Merge, Node, Schema};

const PATCH: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

pub(super) fn merge(
    schema: Option<&Schema>,
    current: &mut Value,
    patch: Value,
) -> Result<(), PatchError> {
    let Value::Object(patch) = patch else {
        return Err(PatchError::Malformed(
            "error decoding patch: the patch must be an object".into(),
        ));
    };
    let merger = Merger { schema };
    merger.object(schema.map(Schema::root), current, patch)
}

fn malformed(why: impl Into<String>) -> PatchError {
    PatchError::Malformed(why.into())
}

struct Merger<'a> {
    schema: Option<&'a Schema>,
}

impl<'a> Merger<'a> {
    /// The node that describes a member, and how its list is merged.
    fn member(&self, node: Option<&'a Node>, name: &str) -> (Option<&'a Node>, Merge) {
        let found = node.and_then(|n| n.member(name));
        let merge = found.map(|n| n.merge).unwrap_or_default();
        (found.zip(self.schema).map(|(n, s)| s.resolve(n)), merge)
    }

    fn item(&self, node: Option<&'a Node>) -> Option<&'a Node> {
        let items = node.and_then(|n| n.items.as_deref());
        items.zip(self.schema).map(|(n, s)| s.resolve(n))
    }

    fn object(
        &self,
        node: Option<&'a Node>,
        current: &mut Value,
        mut patch: Map<String, Value>,
    ) -> Result<(), PatchError> {
        match patch
            .remove(PATCH)
            .as_ref()
            .map(|v| v.as_str().unwrap_or_default())
        {
            None | Some("merge") => {}
            Some("replace") => {
                *current = without_directives(Value::Object(patch));
                return Ok(());
            }
            Some("delete") => {
                *current = Value::Object(Map::new());
                return Ok(());
            }
            Some(other) => {
                return Err(malformed(format!(
                    "unknown patch type found in map: {other}"
                )));
            }
        }
        if !current.is_object() {
            *current = Value::Object(Map::new());
        }
        let Some(members) = current.as_object_mut() else {
            return Ok(());
        };
        if let Some(keep) = patch.remove(RETAIN) {
            let keep = keep
                .as_array()
                .ok_or_else(|| malformed("invalid patch format of $retainKeys"))?;
            members.retain(|name, _| keep.iter().any(|k| k.as_str() == Some(name)));
        }
        let mut orders = Map::new();
        let mut deletions = Map::new();
        patch.retain(|name, value| {
            let (kind, into) = match (name.strip_prefix(ORDER), name.strip_prefix(DELETE_FROM)) {
                (Some(list), _) => (list, &mut orders),
                (None, Some(list)) => (list, &mut deletions),
                (None, None) => return true,
            };
            into.insert(kind.to_owned(), value.take());
            false
        });
        for (name, gone) in deletions {
            if let (Some(Value::Array(items)), Value::Array(gone)) = (members.get_mut(&name), gone)
            {
                items.retain(|item| !gone.contains(item));
            }
        }
        for (name, value) in patch {
            self.set(node, members, &name, value)?;
        }
        for (name, order) in orders {
            let (_, merge) = self.member(node, &name);
            if let (Some(Value::Array(items)), Value::Array(order)) =
                (members.get_mut(&name), order)
            {
                arrange(items, &order, merge.key.unwrap_or_default());
            }
        }
        Ok(())
    }

    fn set(
        &self,
        node: Option<&'a Node>,
        members: &mut Map<String, Value>,
        name: &str,
        value: Value,
    ) -> Result<(), PatchError> {
        let (next, merge) = self.member(node, name);
        match value {
            Value::Null => {
                members.remove(name);
            }
            Value::Object(patch) => {
                if patch.get(PATCH).and_then(Value::as_str) == Some("delete") {
                    members.remove(name);
                    return Ok(());
                }
                let current = members.entry(name).or_insert(Value::Null);
                self.object(next, current, patch)?;
            }
            Value::Array(patch) => match merge.key {
                None => {
                    members.insert(name.to_owned(), without_directives(Value::Array(patch)));
                }
                Some(key) => {
                    let current = members
                        .entry(name)
                        .or_insert_with(|| Value::Array(Vec::new()));
                    if !current.is_array() {
                        *current = Value::Array(Vec::new());
                    }
                    if let Some(items) = current.as_array_mut() {
                        self.list(next, items, patch, key)?;
                    }
                }
            },
            scalar @ (Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
                members.insert(name.to_owned(), scalar);
            }
        }
        Ok(())
    }

    fn list(
        &self,
        node: Option<&'a Node>,
        items: &mut Vec<Value>,
        patch: Vec<Value>,
        key: &str,
    ) -> Result<(), PatchError> {
        if key.is_empty() {
            for value in patch {
                if !items.contains(&value) {
                    items.push(value);
                }
            }
            return Ok(());
        }
        // `{$patch: replace}` as an item: the other items of the patch are the whole list.
        let replaces = |v: &Value| {
            v.get(PATCH).and_then(Value::as_str) == Some("replace") && v.get(key).is_none()
        };
        if patch.iter().any(replaces) {
            *items = patch
                .into_iter()
                .filter(|v| !replaces(v))
                .map(without_directives)
                .collect();
            return Ok(());
        }
        for value in patch {
            let Value::Object(value) = value else {
                return Err(malformed(format!(
                    "cannot merge a list by {key}: an item is not an object"
                )));
            };
            let Some(wanted) = value.get(key).cloned() else {
                return Err(malformed(format!(
                    "map: {} does not contain declared merge key: {key}",
                    Value::Object(value)
                )));
            };
            let at = items.iter().position(|item| item.get(key) == Some(&wanted));
            let delete = value.get(PATCH).and_then(Value::as_str) == Some("delete");
            match (at, delete) {
                (Some(_), true) => items.retain(|item| item.get(key) != Some(&wanted)),
                (None, true) => {}
                (Some(at), false) => self.object(self.item(node), &mut items[at], value)?,
                (None, false) => items.push(without_directives(Value::Object(value))),
            }
        }
        Ok(())
    }
}

/// Orders the items named in `order` that way; others stay where they are among them.
fn arrange(items: &mut [Value], order: &[Value], key: &str) {
    let wanted = |item: &Value| {
        order.iter().position(|o| {
            if key.is_empty() {
                o == item
            } else {
                o.get(key).is_some() && o.get(key) == item.get(key)
            }
        })
    };
    let slots: Vec<usize> = (0..items.len())
        .filter(|i| wanted(&items[*i]).is_some())
        .collect();
    let mut named: Vec<Value> = slots.iter().map(|i| items[*i].clone()).collect();
    named.sort_by_key(wanted);
    for (slot, item) in slots.into_iter().zip(named) {
        items[slot] = item;
    }
}

/// A value of a patch that becomes part of the object as it is.
fn without_directives(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .filter(|(name, value)| !name.starts_with('$') && !value.is_null())
                .map(|(name, value)| (name, without_directives(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(without_directives).collect()),
        scalar => scalar,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{PatchKind, apply};
    use super::*;

    fn check(current: &Value, patch: &Value, expect: &Value) {
        let pod = crate::builtin::by_kind("", "v1", "Pod").unwrap();
        let schema = crate::builtin::schema_of(pod);
        let got = apply(
            PatchKind::Strategic,
            current,
            patch.to_string().as_bytes(),
            Some(&schema),
        );
        assert_eq!(&got.unwrap(), expect, "{patch}");
    }

    #[test]
    fn lists_with_a_key_are_merged_item_by_item() {
        let pod = json!({"spec": {"containers": [{"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "b"}], "volumes": [{"name": "v", "emptyDir": {}}]}});
        check(
            &pod,
            &json!({"spec": {"containers": [{"name": "a", "image": "2", "env": [{"name": "Y", "value": "2"}]}]}}),
            &json!({"spec": {"containers": [{"name": "a", "image": "2", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]}, {"name": "b"}], "volumes": [{"name": "v", "emptyDir": {}}]}}),
        );
        check(
            &pod,
            &json!({"spec": {"containers": [{"name": "b", "$patch": "delete"}, {"name": "c"}], "volumes": null}}),
            &json!({"spec": {"containers": [{"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "c"}]}}),
        );
        check(
            &pod,
            &json!({"spec": {"containers": [{"$patch": "replace"}, {"name": "z"}]}}),
            &json!({"spec": {"containers": [{"name": "z"}], "volumes": [{"name": "v", "emptyDir": {}}]}}),
        );
        check(
            &pod,
            &json!({"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/"}}]}}),
            &json!({"spec": {"containers": [{"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "b"}], "volumes": [{"name": "v", "hostPath": {"path": "/"}}]}}),
        );
        check(
            &pod,
            &json!({"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "b", "image": "9"}]}}),
            &json!({"spec": {"containers": [{"name": "b", "image": "9"}, {"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}], "volumes": [{"name": "v", "emptyDir": {}}]}}),
        );
    }

    #[test]
    fn finalizers_are_a_set_and_other_lists_are_replaced() {
        let pod = json!({"metadata": {"finalizers": ["e.com/a"], "labels": {"x": "y"}}, "spec": {"tolerations": [{"key": "a"}], "containers": [{"name": "a", "args": ["1"]}]}});
        check(
            &pod,
            &json!({"metadata": {"finalizers": ["e.com/b", "e.com/a"], "labels": {"x": null, "z": "1"}}}),
            &json!({"metadata": {"finalizers": ["e.com/a", "e.com/b"], "labels": {"z": "1"}}, "spec": {"tolerations": [{"key": "a"}], "containers": [{"name": "a", "args": ["1"]}]}}),
        );
        check(
            &pod,
            &json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["e.com/a"]}, "spec": {"tolerations": [{"key": "b"}], "containers": [{"name": "a", "args": ["2"]}]}}),
            &json!({"metadata": {"finalizers": [], "labels": {"x": "y"}}, "spec": {"tolerations": [{"key": "b"}], "containers": [{"name": "a", "args": ["2"]}]}}),
        );
        check(
            &pod,
            &json!({"metadata": {"labels": {"$patch": "replace", "only": "1"}}, "spec": {"$patch": "delete"}}),
            &json!({"metadata": {"finalizers": ["e.com/a"], "labels": {"only": "1"}}}),
        );
    }

    #[test]
    fn a_patch_without_the_merge_key_is_refused() {
        let pod = crate::builtin::by_kind("", "v1", "Pod").unwrap();
        let schema = crate::builtin::schema_of(pod);
        let patch = br#"{"spec": {"containers": [{"image": "x"}]}}"#;
        let refused = apply(PatchKind::Strategic, &json!({}), patch, Some(&schema)).unwrap_err();
        assert!(matches!(refused, PatchError::Malformed(_)));
    }
}
