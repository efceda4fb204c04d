//! Keeps the documents of snapshots that carry our finalizer: taking it off needs all of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tintype_core::object::Key;
use tintype_core::write::{Verb, Write};
use tintype_runtime::Reply;

/// A document, and the version it is of.
type Document = (String, Box<str>);

/// Documents by key. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Documents(Arc<Mutex<HashMap<Key, Document>>>);

impl Documents {
    /// The reply to the write that put the finalizer on.
    pub(super) fn keep(&self, key: &Key, reply: &Reply) {
        let Reply::Object(object) = reply else {
            return self.forget(key);
        };
        let mut object = object.clone();
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        let version = object["metadata"]["resourceVersion"].as_str();
        let version = version.unwrap_or_default().to_owned();
        let text = object.to_string().into_boxed_str();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(key.clone(), (version, text));
    }

    /// The document this write was decided on, if it is kept.
    pub(super) fn of(&self, write: &Write) -> Option<Box<str>> {
        let Verb::ReplaceFinalizers { version, .. } = &write.verb else {
            return None;
        };
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (kept, text) = all.get(&write.key)?;
        (*kept == version.to_string()).then(|| text.clone())
    }

    /// The finalizer is off.
    pub(super) fn forget(&self, key: &Key) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(key);
    }
}
