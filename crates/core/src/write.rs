//! Describes one write to the API server, as a plain value.
//!
//! Every write names the version it was decided on; the server refuses it if the object moved on.
//! Does not know how it is sent.

use serde_json::{Map, Value, json};
use tintype_api::Reason;

use crate::object::{Key, Meta, Uid, Version};

/// The kinds that are written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `VolumeSnapshot`.
    Snapshot,
    /// `VolumeSnapshotContent`.
    Content,
    /// `VolumeGroupSnapshot`.
    Group,
    /// `VolumeGroupSnapshotContent`.
    GroupContent,
    /// `PersistentVolumeClaim`.
    Claim,
    /// `PersistentVolume`.
    Volume,
    /// `VolumeAttributesClass`.
    AttributesClass,
}

/// One request, and the event that goes with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// Kind of the object.
    pub kind: Kind,
    /// Where the object is.
    pub key: Key,
    /// What is done to it.
    pub verb: Verb,
    /// What is told once the write has succeeded.
    pub event: Option<Event>,
}

/// What is done to an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Verb {
    /// Read past the cache.
    Get,
    /// POST this document.
    Create(Value),
    /// JSON merge patch; holds `metadata.resourceVersion` where it must be conditional.
    Patch {
        /// The object itself or its `status` subresource.
        part: Part,
        /// The patch.
        body: Value,
    },
    /// PUT of the cached document with its finalizers replaced; the only verb upstream's rights
    /// leave for claims (and, in the provisioner, for snapshots).
    ReplaceFinalizers {
        /// The version it must still have.
        version: Version,
        /// The whole list it is to have.
        finalizers: Vec<String>,
    },
    /// PUT of the cached document with its finalizers replaced and annotations set or removed.
    ReplaceMeta {
        /// The version it must still have.
        version: Version,
        /// The whole list of finalizers it is to have.
        finalizers: Vec<String>,
        /// Annotations and their new values; those of `None` go.
        annotations: Vec<(&'static str, Option<String>)>,
    },
    /// DELETE under preconditions.
    Delete {
        /// The uid it must have.
        uid: Uid,
        /// The version it must have.
        version: Version,
    },
}

/// Which part of an object a patch goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// Everything but status.
    Object,
    /// The `status` subresource.
    Status,
}

/// An event about an object, said after the write it speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Kind of the object it is about.
    pub about: Kind,
    /// Where that object is.
    pub key: Key,
    /// Its uid.
    pub uid: Uid,
    /// Its version.
    pub version: Version,
    /// `Warning` or `Normal`.
    pub warning: bool,
    /// The reason.
    pub reason: Reason,
    /// What happened and what helps.
    pub message: String,
}

impl Write {
    /// What it asks the server for, whenever it was decided on: without its event, and without the
    /// time an error is said at.
    #[must_use]
    pub fn timeless(&self) -> Self {
        let mut it = Self {
            event: None,
            ..self.clone()
        };
        if let Verb::Patch { body, .. } = &mut it.verb
            && let Some(error) = body.pointer_mut("/status/error")
            && let Some(error) = error.as_object_mut()
        {
            error.remove("time");
        }
        it
    }

    /// This, and nothing told.
    pub(crate) const fn of(kind: Kind, key: Key, verb: Verb) -> Self {
        Self {
            kind,
            key,
            verb,
            event: None,
        }
    }

    /// Reads an object past the cache.
    pub(crate) const fn get(kind: Kind, key: Key) -> Self {
        Self::of(kind, key, Verb::Get)
    }

    /// Changes what `body` says of an object that is still as it was seen.
    pub(crate) fn patch(kind: Kind, meta: &Meta, part: Part, mut body: Value) -> Self {
        body["metadata"]["resourceVersion"] = meta.version.to_string().into();
        Self::of(kind, meta.key.clone(), Verb::Patch { part, body })
    }

    /// Sets one annotation, or removes it (`Value::Null`).
    pub(crate) fn annotate(kind: Kind, meta: &Meta, annotation: &str, value: Value) -> Self {
        let annotations = Map::from_iter([(annotation.to_owned(), value)]);
        let body = json!({"metadata": {"annotations": annotations}});
        Self::patch(kind, meta, Part::Object, body)
    }

    /// Replaces all finalizers.
    pub(crate) fn finalizers(kind: Kind, meta: &Meta, all: &[impl AsRef<str>]) -> Self {
        let all: Vec<_> = all.iter().map(AsRef::as_ref).collect();
        let body = json!({"metadata": {"finalizers": all}});
        Self::patch(kind, meta, Part::Object, body)
    }

    /// Deletes an object that is still as it was seen.
    pub(crate) fn delete(kind: Kind, meta: &Meta) -> Self {
        let verb = Verb::Delete {
            uid: meta.uid.clone(),
            version: meta.version.clone(),
        };
        Self::of(kind, meta.key.clone(), verb)
    }

    /// The same, and this told once it is done.
    pub(crate) fn telling(mut self, event: Event) -> Self {
        self.event = Some(event);
        self
    }
}

impl Event {
    /// Something went as it should.
    pub(crate) fn normal(about: Kind, meta: &Meta, reason: Reason, message: String) -> Self {
        Self {
            about,
            key: meta.key.clone(),
            uid: meta.uid.clone(),
            version: meta.version.clone(),
            warning: false,
            reason,
            message,
        }
    }

    /// Something is in the way.
    pub(crate) fn warning(about: Kind, meta: &Meta, reason: Reason, message: String) -> Self {
        Self {
            warning: true,
            ..Self::normal(about, meta, reason, message)
        }
    }

    /// The API server will not have a write of this program; `why`: the server's words.
    pub(crate) fn refused(
        (about, meta): (Kind, &Meta),
        reason: Reason,
        what: &str,
        (program, why): (&str, &str),
    ) -> Self {
        let message = format!(
            "{what}: the API server answers: {why}; it is tried again, see to the rights of the {program} and to admission policies"
        );
        Self::warning(about, meta, reason, message)
    }
}
