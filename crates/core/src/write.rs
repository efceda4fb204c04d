//! Describes one write to the API server, as a plain value.
//!
//! Every write names the version it was decided on; the server refuses it if the object moved on.
//! Does not know how it is sent.

use serde_json::Value;
use tintype_api::Reason;

use crate::object::{Key, Uid, Version};

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
