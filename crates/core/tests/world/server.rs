//! Plays the API server for real documents: versions, merge patches, finalizers, deletion.
//!
//! Knows no schema. Refuses what the real one refuses and the machines must live with; panics at a
//! write that names no version, since none may.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tintype_core::write::{Kind, Part, Verb, Write};

/// Why a write did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Conflict,
    Gone,
    Denied,
}

/// All objects, by kind and name.
#[derive(Debug, Default)]
pub(crate) struct Server {
    objects: BTreeMap<(u8, String), Value>,
    version: u64,
}

const fn number(kind: Kind) -> u8 {
    match kind {
        Kind::Snapshot => 0,
        Kind::Content => 1,
        Kind::Claim => 2,
        Kind::Volume => 3,
        Kind::Group => 4,
        Kind::GroupContent => 5,
        Kind::AttributesClass => 6,
    }
}

impl Server {
    pub(crate) fn get(&self, kind: Kind, name: &str) -> Option<&Value> {
        self.objects.get(&(number(kind), name.to_owned()))
    }

    /// Stores the object as it is, under a new version; drops it if it is deleted and free.
    pub(crate) fn put(&mut self, kind: Kind, mut object: Value) -> Option<Value> {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let free = object["metadata"]["finalizers"]
            .as_array()
            .is_none_or(Vec::is_empty);
        if free && !object["metadata"]["deletionTimestamp"].is_null() {
            self.objects.remove(&(number(kind), name));
            return None;
        }
        self.objects.insert((number(kind), name), object.clone());
        Some(object)
    }

    /// A person edits, with force.
    pub(crate) fn edit(&mut self, kind: Kind, name: &str, change: impl FnOnce(&mut Value)) {
        let mut object = self.get(kind, name).unwrap().clone();
        change(&mut object);
        self.put(kind, object);
    }

    pub(crate) fn remove(&mut self, kind: Kind, name: &str) {
        self.objects.remove(&(number(kind), name.to_owned()));
    }

    /// Does the write; the object afterwards, if there is one.
    pub(crate) fn apply(&mut self, write: &Write) -> Result<Option<Value>, Refusal> {
        let (kind, name) = (write.kind, &*write.key.name);
        let current = self.get(kind, name).cloned();
        match &write.verb {
            Verb::Get => Ok(current),
            Verb::Create(body) => {
                if current.is_some() {
                    return Err(Refusal::Conflict);
                }
                let mut object = body.clone();
                object["metadata"]["uid"] = format!("made-{}", self.version).into();
                Ok(self.put(kind, object))
            }
            Verb::Patch { part, body } => {
                let current = current.ok_or(Refusal::Gone)?;
                let version = &body["metadata"]["resourceVersion"];
                assert!(version.is_string(), "unconditional: {write:?}");
                if *version != current["metadata"]["resourceVersion"] {
                    return Err(Refusal::Conflict);
                }
                let mut next = current.clone();
                json_patch::merge(&mut next, body);
                only(*part, &current, &mut next);
                self.replace(kind, &current, next)
            }
            Verb::ReplaceFinalizers {
                version,
                finalizers,
            } => {
                let current = current.ok_or(Refusal::Gone)?;
                if current["metadata"]["resourceVersion"] != *version.to_string() {
                    return Err(Refusal::Conflict);
                }
                let mut next = current.clone();
                next["metadata"]["finalizers"] = json!(finalizers);
                self.replace(kind, &current, next)
            }
            // Only the provisioner's; its worlds are elsewhere.
            Verb::ReplaceMeta { .. } => panic!("not of these machines: {write:?}"),
            Verb::Delete { uid, version } => {
                let Some(mut object) = current else {
                    return Ok(None);
                };
                let metadata = &mut object["metadata"];
                if metadata["resourceVersion"] != *version.to_string()
                    || metadata["uid"] != *uid.to_string()
                {
                    return Err(Refusal::Conflict);
                }
                metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
                Ok(self.put(kind, object))
            }
        }
    }

    fn replace(&mut self, kind: Kind, was: &Value, is: Value) -> Result<Option<Value>, Refusal> {
        let finalizers = |it: &Value| it["metadata"]["finalizers"].as_array().cloned();
        let old = finalizers(was).unwrap_or_default();
        let added = finalizers(&is)
            .unwrap_or_default()
            .iter()
            .any(|it| !old.contains(it));
        if added && !was["metadata"]["deletionTimestamp"].is_null() {
            return Err(Refusal::Denied);
        }
        Ok(self.put(kind, is))
    }
}

/// A patch of one part leaves the other as it was.
fn only(part: Part, was: &Value, is: &mut Value) {
    match part {
        Part::Object => is["status"] = was["status"].clone(),
        Part::Status => {
            let status = is["status"].take();
            *is = was.clone();
            is["status"] = status;
        }
    }
}
