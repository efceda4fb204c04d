//! Applies the patches that clients send: JSON patch, merge patch, strategic merge patch.
//!
//! Does not know the rules of the object: the result is checked elsewhere.

use serde_json::Value;

use crate::schema::Schema;

mod json;
mod strategic;

/// The patch types of a `Content-Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchKind {
    Json,
    Merge,
    Strategic,
}

/// Why a patch was not applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PatchError {
    /// Not a patch at all: `400`.
    #[error("{0}")]
    Malformed(String),
    /// A patch that does not fit the object: `422`.
    #[error("{0}")]
    Rejected(String),
    /// More operations than the server is willing to do: `413`.
    #[error("The allowed maximum operations in a JSON patch is {most}, got {got}")]
    TooMany { most: usize, got: usize },
    /// Copies of copies grow without end: `413`.
    #[error(
        "Unable to complete the copy, the accumulated size increase of copy is {got}, exceeding the limit {most}"
    )]
    CopiesTooMuch { most: usize, got: usize },
}

/// Applies a patch. `schema` is that of a built-in kind; strategic merges need it.
pub(crate) fn apply(
    kind: PatchKind,
    current: &Value,
    patch: &[u8],
    schema: Option<&Schema>,
) -> Result<Value, PatchError> {
    let malformed =
        |error: serde_json::Error| PatchError::Malformed(format!("error decoding patch: {error}"));
    if kind == PatchKind::Json {
        return json::apply(current, patch);
    }
    let patch: Value = serde_json::from_slice(patch).map_err(malformed)?;
    if !patch.is_object() {
        return Err(PatchError::Malformed(
            "error decoding patch: the patch must be an object".into(),
        ));
    }
    let mut result = current.clone();
    if kind == PatchKind::Merge {
        json_patch::merge(&mut result, &patch);
        return Ok(result);
    }
    strategic::merge(schema, &mut result, patch)?;
    Ok(result)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_merge_patch_replaces_lists_and_removes_nulls() {
        let current = json!({"a": {"b": 1, "c": [1, 2]}, "d": 1});
        let patched = apply(
            PatchKind::Merge,
            &current,
            br#"{"a": {"b": null, "c": [3], "e": {"f": null}}}"#,
            None,
        );
        assert_eq!(patched.unwrap(), json!({"a": {"c": [3], "e": {}}, "d": 1}));
        for bad in ["[", "[]", "\"x\""] {
            let refused = apply(PatchKind::Merge, &current, bad.as_bytes(), None).unwrap_err();
            assert!(matches!(refused, PatchError::Malformed(_)), "{bad}");
        }
    }
}
