//! Lets `kubectl apply --server-side` take over what `kubectl apply` made, without conflicts.
//!
//! The older way keeps what was applied in an annotation, and its fields belong to another manager.
//! Does not know who owns what, and heeds nobody but `kubectl`.

use serde_json::{Value, json};

use super::shape::{metadata_mut, text};
use crate::fields::{FieldSet, Place, changes, owned};
use crate::schema::error::go_json;

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The manager that `kubectl apply --server-side` calls itself unless told otherwise.
const KUBECTL: &str = "kubectl";
/// Of all annotations of an object, in bytes.
const LONGEST_ANNOTATIONS: usize = 256 << 10;

fn last_applied(object: &Value) -> Option<&str> {
    let text = object["metadata"]["annotations"][ANNOTATION].as_str()?;
    (!text.is_empty()).then_some(text)
}

/// The fields that `manager` applied in the older way and that are still as it left them. It may
/// change them, whoever owns them.
pub(super) fn inherited(
    manager: &str,
    place: Place<'_>,
    api_version: &str,
    live: &Value,
) -> FieldSet {
    let read = || -> Option<FieldSet> {
        let applied: Value = serde_json::from_str(last_applied(live)?).ok()?;
        if applied["apiVersion"] != api_version {
            return None;
        }
        let mut fields = owned(place, &applied).ok()?;
        let since = changes(place, Some(&applied), Some(live));
        fields.subtract(&since.set);
        fields.subtract(&since.removed);
        Some(fields)
    };
    if manager == KUBECTL {
        read().unwrap_or_default()
    } else {
        FieldSet::default()
    }
}

/// Writes the applied configuration into the annotation, if there is one: who goes back to the
/// older way shall find what was applied last.
pub(super) fn renew(manager: &str, object: &mut Value, config: &Value) {
    if manager != KUBECTL || last_applied(object).is_none() {
        return;
    }
    let mut applied = config.clone();
    if let Some(annotations) = applied
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut)
    {
        annotations.remove(ANNOTATION);
    }
    let Some(annotations) = metadata_mut(object)
        .get_mut("annotations")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    annotations.insert(ANNOTATION.into(), json!(go_json(&applied) + "\n"));
    let size: usize = annotations
        .keys()
        .map(|name| name.len() + text(annotations, name).len())
        .sum();
    if size > LONGEST_ANNOTATIONS {
        annotations.remove(ANNOTATION);
    }
}
