//! Turns stored objects into the version a request asked for, and back for the store.
//!
//! Versions of a custom resource convert by `None`, where only apiVersion changes and what the other
//! schema does not know is dropped, or were converted by a webhook before. Events convert between
//! their two groups. Does not serve.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::{Value, json};

use super::events;
use crate::registry::Target;
use crate::store::{Draft, Object};

/// How the stored form of a target's objects meets the asked one.
#[derive(Debug, Clone)]
pub(crate) struct Converter {
    pub(super) target: Target,
    /// How the bytes of an object begin that needs no conversion.
    head: String,
    /// What a webhook made, by key and resourceVersion.
    converted: Arc<Mutex<Converted>>,
}

type Converted = HashMap<(Arc<str>, u64), Value>;

impl Converter {
    pub(crate) fn new(target: &Target) -> Self {
        let kind = json!(target.resource.kind);
        let head = format!(
            "{{\"kind\":{kind},\"apiVersion\":\"{}\",",
            target.api_version()
        );
        Self {
            target: target.clone(),
            head,
            converted: Arc::default(),
        }
    }

    /// Whether the object is stored in another version.
    pub(super) fn is_foreign(&self, object: &Object) -> bool {
        !object.json().starts_with(self.head.as_bytes())
    }

    pub(super) fn remember(&self, object: &Object, converted: Value) {
        let at = (object.key.clone(), object.rv);
        self.converted().insert(at, converted);
    }

    /// Lets go of what a webhook made.
    pub(crate) fn forget(&self) {
        self.converted().clear();
    }

    fn converted(&self) -> MutexGuard<'_, Converted> {
        self.converted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the stored bytes can be served as they are.
    fn fits(&self, object: &Object) -> bool {
        object.json().starts_with(self.head.as_bytes())
            && object.rv > self.target.resource.fits_since
    }

    /// The object as asked for.
    pub(crate) fn json(&self, object: &Object) -> Bytes {
        if self.fits(object) {
            return object.json().clone();
        }
        self.value(object).to_string().into()
    }

    pub(crate) fn value(&self, object: &Object) -> Value {
        let made = match &self.target.resource.conversion {
            Some(_) => self
                .converted()
                .get(&(object.key.clone(), object.rv))
                .cloned(),
            None => None,
        };
        let mut value = made.unwrap_or_else(|| object.value());
        if !self.fits(object) {
            self.convert(&mut value);
        }
        value
    }

    fn convert(&self, value: &mut Value) {
        let target = &self.target;
        if target.resource.plural == "events" && !target.custom() {
            events::convert(value, &target.resource.group);
        }
        value["apiVersion"] = json!(target.api_version());
        value["kind"] = json!(target.resource.kind);
        if target.custom()
            && let Some(schema) = target.schema()
        {
            schema.prune(value);
            schema.default(value);
        }
    }

    /// Encodes an object of the asked version for the store, if it needs no webhook.
    pub(super) fn plain_draft(&self, value: &Value) -> Draft {
        let target = &self.target;
        if target.resource.plural == "events" && !target.custom() {
            let mut stored = value.clone();
            events::convert(&mut stored, "");
            return Draft::encode(&stored);
        }
        let storage = target.storage_api_version();
        if value["apiVersion"] == json!(storage) {
            return Draft::encode(value);
        }
        let mut stored = value.clone();
        stored["apiVersion"] = json!(storage);
        Draft::encode(&stored)
    }
}

/// Joins encoded objects into a list.
pub(crate) fn list_json(
    target: &Target,
    metadata: &Value,
    items: impl IntoIterator<Item = Bytes>,
) -> Bytes {
    let mut out = Vec::with_capacity(4096);
    let head = format!(
        "{{\"kind\":{},\"apiVersion\":\"{}\",\"metadata\":{metadata},\"items\":[",
        json!(target.resource.list_kind),
        target.api_version(),
    );
    out.extend_from_slice(head.as_bytes());
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&item);
    }
    out.extend_from_slice(b"]}");
    out.into()
}

/// Only kind and metadata of an object.
pub(crate) fn metadata_only(value: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": value["metadata"]})
}
