//! Applies JSON patches (RFC 6902) with the leniency of the library that the API server uses.
//!
//! Does not know what is patched. Lenient: `replace` of a missing member adds it, and `test` of a missing member against null holds.

use json_patch::{AddOperation, PatchOperation};
use serde_json::Value;

use super::PatchError;

const MOST_OPERATIONS: usize = 10_000;
/// Bytes that the `copy` operations of one patch may add, as much as a request may have.
const MOST_COPIED: usize = 3 << 20;
/// Nesting of the result: what cannot be read back must not be stored.
const DEEPEST: usize = 100;

pub(super) fn apply(current: &Value, patch: &[u8]) -> Result<Value, PatchError> {
    let operations: Vec<Value> = serde_json::from_slice(patch)
        .map_err(|e| PatchError::Malformed(format!("error decoding patch: {e}")))?;
    if operations.len() > MOST_OPERATIONS {
        return Err(PatchError::TooMany {
            most: MOST_OPERATIONS,
            got: operations.len(),
        });
    }
    let mut result = current.clone();
    let mut copied = 0;
    for operation in operations {
        let operation = read(operation)?;
        copied += copied_bytes(&result, &operation);
        if copied > MOST_COPIED {
            return Err(PatchError::CopiesTooMuch {
                most: MOST_COPIED,
                got: copied,
            });
        }
        if depth_after(&result, &operation) > DEEPEST {
            let path = operation.path();
            return Err(PatchError::Rejected(format!(
                "{path}: nests deeper than {DEEPEST}"
            )));
        }
        step(&mut result, operation)?;
    }
    Ok(result)
}

fn copied_bytes(document: &Value, operation: &PatchOperation) -> usize {
    match operation {
        PatchOperation::Copy(copy) => {
            let source = document.pointer(copy.from.as_str());
            source.map_or(0, |value| value.to_string().len())
        }
        _ => 0,
    }
}

/// How deep the place of an operation is, with what it puts there.
fn depth_after(document: &Value, operation: &PatchOperation) -> usize {
    let put = match operation {
        PatchOperation::Add(add) => Some(&add.value),
        PatchOperation::Replace(replace) => Some(&replace.value),
        PatchOperation::Copy(copy) => document.pointer(copy.from.as_str()),
        PatchOperation::Move(moved) => document.pointer(moved.from.as_str()),
        PatchOperation::Remove(_) | PatchOperation::Test(_) => None,
    };
    operation.path().count() + put.map_or(0, depth)
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fn read(mut operation: Value) -> Result<PatchOperation, PatchError> {
    // An absent value reads as null, as Go reads it.
    let op = operation.get("op").and_then(Value::as_str);
    if matches!(op, Some("add" | "replace" | "test"))
        && let Some(members) = operation.as_object_mut()
    {
        members.entry("value").or_insert(Value::Null);
    }
    serde_json::from_value(operation)
        .map_err(|e| PatchError::Malformed(format!("error decoding patch: {e}")))
}

fn step(document: &mut Value, operation: PatchOperation) -> Result<(), PatchError> {
    let operation = match operation {
        PatchOperation::Replace(replace) if missing_member(document, replace.path.as_str()) => {
            PatchOperation::Add(AddOperation {
                path: replace.path,
                value: replace.value,
            })
        }
        PatchOperation::Test(test)
            if test.value.is_null() && missing_member(document, test.path.as_str()) =>
        {
            return Ok(());
        }
        other => other,
    };
    let path = operation.path().to_string();
    json_patch::patch(document, std::slice::from_ref(&operation))
        .map_err(|error| PatchError::Rejected(format!("{path}: {}", error.kind)))
}

/// Whether the path leads to an object that has no such member.
fn missing_member(document: &Value, path: &str) -> bool {
    let Some((parent, last)) = path.rsplit_once('/') else {
        return false;
    };
    let name = last.replace("~1", "/").replace("~0", "~");
    document
        .pointer(parent)
        .and_then(Value::as_object)
        .is_some_and(|members| !members.contains_key(&name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(patch: &Value) -> Result<Value, PatchError> {
        apply(
            &json!({"a": {"b": 1}, "list": [1, 2], "k/~": 1}),
            patch.to_string().as_bytes(),
        )
    }

    #[test]
    fn operations_do_what_the_api_server_does() {
        let cases = [
            (
                json!([{"op": "add", "path": "/a/c", "value": 2}]),
                "/a/c",
                json!(2),
            ),
            (
                json!([{"op": "replace", "path": "/a/c", "value": 2}]),
                "/a/c",
                json!(2),
            ),
            (
                json!([{"op": "replace", "path": "/status", "value": {"x": 1}}]),
                "/status",
                json!({"x": 1}),
            ),
            (
                json!([{"op": "replace", "path": "/a/b"}]),
                "/a/b",
                Value::Null,
            ),
            (
                json!([{"op": "replace", "path": "/k~1~0", "value": 2}]),
                "/k~1~0",
                json!(2),
            ),
            (json!([{"op": "remove", "path": "/a/b"}]), "/a", json!({})),
            (
                json!([{"op": "add", "path": "/list/-", "value": 3}]),
                "/list",
                json!([1, 2, 3]),
            ),
            (
                json!([{"op": "move", "from": "/a/b", "path": "/z"}]),
                "/z",
                json!(1),
            ),
            (
                json!([{"op": "copy", "from": "/a", "path": "/z"}]),
                "/z",
                json!({"b": 1}),
            ),
            (
                json!([{"op": "test", "path": "/a/b", "value": 1}, {"op": "add", "path": "/ok", "value": true}]),
                "/ok",
                json!(true),
            ),
            (
                json!([{"op": "test", "path": "/a/none", "value": null}]),
                "/a/b",
                json!(1),
            ),
        ];
        for (patch, at, expect) in cases {
            assert_eq!(
                patched(&patch).unwrap().pointer(at),
                Some(&expect),
                "{patch}"
            );
        }
    }

    #[test]
    fn what_does_not_fit_is_rejected() {
        for patch in [
            json!([{"op": "remove", "path": "/a/none"}]),
            json!([{"op": "test", "path": "/a/b", "value": 2}]),
            json!([{"op": "add", "path": "/none/x", "value": 2}]),
            json!([{"op": "replace", "path": "/none/x", "value": 2}]),
            json!([{"op": "replace", "path": "/list/9", "value": 2}]),
        ] {
            assert!(
                matches!(patched(&patch), Err(PatchError::Rejected(_))),
                "{patch}"
            );
        }
        for patch in [
            json!({"op": "add"}),
            json!([{"op": "frob", "path": "/a"}]),
            json!([{"path": "/a"}]),
        ] {
            assert!(
                matches!(patched(&patch), Err(PatchError::Malformed(_))),
                "{patch}"
            );
        }
    }

    #[test]
    fn a_patch_can_grow_neither_without_end_nor_too_deep() {
        let refused = |patch: Value| patched(&patch).unwrap_err().to_string();
        let doubling: Vec<Value> = (0..30)
            .flat_map(|i| {
                [
                    json!({"op": "copy", "from": "/list", "path": format!("/x{i}")}),
                    json!({"op": "copy", "from": format!("/x{i}"), "path": "/list/-"}),
                ]
            })
            .collect();
        assert!(refused(doubling.into()).starts_with("Unable to complete the copy"));
        let mut deep: Vec<Value> = Vec::new();
        let mut path = String::new();
        for _ in 0..200 {
            path.push_str("/d");
            deep.push(json!({"op": "add", "path": path, "value": {}}));
        }
        assert!(refused(deep.into()).ends_with("nests deeper than 100"));
    }
}
