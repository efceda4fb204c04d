//! Converts objects of the group kinds between the versions they are served in, and loses nothing.
//!
//! `v1` and `v1beta2` have one shape. In `v1beta1` a `VolumeGroupSnapshotContent` names its members in
//! `status.volumeSnapshotHandlePairList`, which has no room for their times, sizes and readiness. What it has no room
//! for travels in an annotation, as upstream's webhook (8.4 to 8.6) writes it:
//!
//! ```text
//!  v1, v1beta2                                   v1beta1
//!  status.volumeSnapshotInfoList ──────────────► status.volumeSnapshotHandlePairList   the two handles of each
//!                                ──────────────► annotation …/volume-snapshot-info-list  all of it, if that is more
//! ```
//!
//! On the way back the list of pairs says which members there are, and the annotation what else is known of each: a
//! client of the old version that edits the list is heard (upstream drops its edit), and one that does not loses
//! nothing. Knows no server and no webhook; documents are plain JSON, so fields it has never heard of pass through.

use serde_json::{Map, Value};

use crate::keys::{ANNOTATION_GROUP_DISPLACED, ANNOTATION_GROUP_INFO_LIST};
use crate::{GROUP_OF_GROUPS, GROUP_VERSIONS};

const CONTENT: &str = "VolumeGroupSnapshotContent";
const KINDS: [&str; 3] = ["VolumeGroupSnapshot", CONTENT, "VolumeGroupSnapshotClass"];
/// The version whose contents have another shape than the others'.
const PAIRS: &str = "v1beta1";
const INFO_LIST: &str = "volumeSnapshotInfoList";
const PAIR_LIST: &str = "volumeSnapshotHandlePairList";
/// What `v1beta1` cannot say of a member.
const ONLY_INFO: [&str; 3] = ["creationTime", "readyToUse", "restoreSize"];

/// An object cannot be converted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConversionError {
    /// It is no object of this group.
    #[error("apiVersion: {0}: is not of {GROUP_OF_GROUPS}; only its objects are converted here")]
    ForeignGroup(String),
    /// It is of a version that is not known.
    #[error(
        "apiVersion: {0}: is no version that can be converted; there are v1, v1beta2 and v1beta1"
    )]
    UnknownVersion(String),
    /// It is of a kind that is not known.
    #[error(
        "kind: {0:?}: is no kind of {GROUP_OF_GROUPS}; there are VolumeGroupSnapshot, VolumeGroupSnapshotContent and VolumeGroupSnapshotClass"
    )]
    UnknownKind(String),
    /// It is no object at all.
    #[error("not an object: {0}")]
    NoObject(String),
}

/// Makes `object`, of any served version, one of `api_version` (`groupsnapshot.storage.k8s.io/…`).
///
/// # Errors
///
/// Names the field that does not say what can be converted. The object is unchanged then.
pub fn convert(object: &mut Value, api_version: &str) -> Result<(), ConversionError> {
    let to = version(api_version)?;
    let text = |field: &str| {
        object
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    if !object.is_object() {
        return Err(ConversionError::NoObject(object.to_string()));
    }
    let from = version(text("apiVersion"))?;
    let kind = text("kind");
    if !KINDS.contains(&kind) {
        return Err(ConversionError::UnknownKind(kind.to_owned()));
    }
    if kind == CONTENT {
        match (from == PAIRS, to == PAIRS) {
            (false, true) => to_pairs(object),
            (true, false) => to_infos(object),
            (true, true) | (false, false) => {}
        }
    }
    object["apiVersion"] = api_version.into();
    Ok(())
}

fn version(api_version: &str) -> Result<&str, ConversionError> {
    let version = api_version
        .strip_prefix(GROUP_OF_GROUPS)
        .and_then(|rest| rest.strip_prefix('/'))
        .ok_or_else(|| ConversionError::ForeignGroup(api_version.to_owned()))?;
    if GROUP_VERSIONS.contains(&version) {
        Ok(version)
    } else {
        Err(ConversionError::UnknownVersion(version.to_owned()))
    }
}

/// Names the members as `v1beta1` does, and keeps the rest of the list in an annotation if there is any.
fn to_pairs(content: &mut Value) {
    let Some(list) = take(content, INFO_LIST) else {
        return;
    };
    let Value::Array(infos) = &list else {
        put(content, PAIR_LIST, list);
        return;
    };
    let pairs = infos.iter().filter_map(pair).collect();
    // An annotation of that name that is already there is not ours: it steps aside.
    if let Some(theirs) = unannotate(content, ANNOTATION_GROUP_INFO_LIST) {
        annotate(content, ANNOTATION_GROUP_DISPLACED, theirs);
    }
    if infos.iter().any(|info| pair(info).as_ref() != Some(info)) {
        annotate(content, ANNOTATION_GROUP_INFO_LIST, list.to_string().into());
    }
    put(content, PAIR_LIST, Value::Array(pairs));
}

/// Names the members as `v1` does; what is known of them beside their handles comes from the annotation.
fn to_infos(content: &mut Value) {
    let Some(list) = take(content, PAIR_LIST) else {
        return;
    };
    let Value::Array(pairs) = list else {
        put(content, INFO_LIST, list);
        return;
    };
    let infos = match kept(content) {
        Some(kept) => {
            unannotate(content, ANNOTATION_GROUP_INFO_LIST);
            joined(pairs, kept)
        }
        None => pairs,
    };
    put(content, INFO_LIST, Value::Array(infos));
    if let Some(theirs) = unannotate(content, ANNOTATION_GROUP_DISPLACED) {
        annotate(content, ANNOTATION_GROUP_INFO_LIST, theirs);
    }
}

/// The list in the annotation; none if it is no list. Anybody can write annotations, and one that cannot be read must
/// not make the object, and every list it is in, unreadable.
fn kept(content: &Value) -> Option<Vec<Value>> {
    let text = content["metadata"]["annotations"][ANNOTATION_GROUP_INFO_LIST].as_str()?;
    serde_json::from_str(text).ok()
}

/// The members of `pairs`, each with all that is kept of it. Members that have no pair cannot have been left out on
/// purpose by somebody who sees pairs only, so they stay.
fn joined(pairs: Vec<Value>, mut kept: Vec<Value>) -> Vec<Value> {
    if kept.iter().filter_map(pair).eq(pairs.iter().cloned()) {
        return kept;
    }
    let mut infos = Vec::new();
    for given in pairs {
        let known = kept.iter().position(|it| pair(it).as_ref() == Some(&given));
        infos.push(known.map_or(given, |at| kept.remove(at)));
    }
    infos.extend(kept.into_iter().filter(|it| pair(it).is_none()));
    infos
}

/// How `v1beta1` names a member; it cannot name one that lacks a handle.
fn pair(info: &Value) -> Option<Value> {
    let mut pair = info.as_object()?.clone();
    for handle in ["volumeHandle", "snapshotHandle"] {
        pair.get(handle)?.as_str()?;
    }
    pair.retain(|field, _| !ONLY_INFO.contains(&field.as_str()));
    Some(Value::Object(pair))
}

fn take(content: &mut Value, field: &str) -> Option<Value> {
    content.get_mut("status")?.as_object_mut()?.remove(field)
}

fn put(content: &mut Value, field: &str, list: Value) {
    content["status"][field] = list;
}

fn annotations(content: &mut Value) -> Option<&mut Map<String, Value>> {
    content
        .pointer_mut("/metadata/annotations")?
        .as_object_mut()
}

fn annotate(content: &mut Value, key: &str, value: Value) {
    match annotations(content) {
        Some(annotations) => {
            annotations.insert(key.to_owned(), value);
        }
        // A list without metadata is no object of a server; there is nothing to keep it in.
        None => {
            if let Some(metadata) = content.get_mut("metadata").and_then(Value::as_object_mut) {
                let first = Map::from_iter([(key.to_owned(), value)]);
                metadata.insert("annotations".to_owned(), Value::Object(first));
            }
        }
    }
}

/// Takes an annotation off, and with the last one what held them.
fn unannotate(content: &mut Value, key: &str) -> Option<Value> {
    let annotations = annotations(content)?;
    let value = annotations.remove(key)?;
    if annotations.is_empty()
        && let Some(metadata) = content.get_mut("metadata").and_then(Value::as_object_mut)
    {
        metadata.remove("annotations");
    }
    Some(value)
}
