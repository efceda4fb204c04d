//! Reads what the machines need of a `VolumeSnapshotContent`.

use std::sync::Arc;

use tintype_api::{VolumeSnapshotContent, keys};

use super::{Key, Meta, Uid, VolumeMode, entry, filled};
use crate::DeletionPolicy;
use crate::secret::Secret;

/// What `spec.source` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContentSource {
    /// `volumeHandle`: cut this volume.
    Volume(Box<str>),
    /// `snapshotHandle`: a snapshot that exists already.
    Snapshot(Box<str>),
    /// Neither is set.
    Neither,
    /// Both are set.
    Both,
}

/// `spec.volumeSnapshotRef`, as far as it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotRef {
    /// Namespace and name.
    pub key: Key,
    /// Empty until bound.
    pub uid: Uid,
}

/// A Secret named by the deletion-secret annotations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRef {
    /// `…/deletion-secret-namespace`.
    pub namespace: Box<str>,
    /// `…/deletion-secret-name`.
    pub name: Box<str>,
}

impl From<Secret> for SecretRef {
    fn from(it: Secret) -> Self {
        Self {
            namespace: it.namespace.into(),
            name: it.name.into(),
        }
    }
}

/// `status.error`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentError {
    /// `message`, empty if absent.
    pub message: Box<str>,
    /// `time`, RFC 3339.
    pub time: Option<Box<str>>,
}

/// `status`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContentStatus {
    /// `snapshotHandle`, if not empty.
    pub handle: Option<Box<str>>,
    /// `creationTime`, Unix nanoseconds.
    pub creation_time: Option<i64>,
    /// `restoreSize`, bytes; one below zero, which says nothing, is left out.
    pub restore_size: Option<i64>,
    /// `readyToUse`.
    pub ready: Option<bool>,
    /// `error`.
    pub error: Option<Box<ContentError>>,
    /// `volumeGroupSnapshotHandle`, if not empty.
    pub group_handle: Option<Box<str>>,
}

/// A `VolumeSnapshotContent`, as far as the machines read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Identity, version, finalizers.
    pub meta: Meta,
    /// `metadata.generation`: counts changes of the spec.
    pub generation: i64,
    /// `spec.driver`.
    pub driver: Arc<str>,
    /// `spec.deletionPolicy`.
    pub policy: DeletionPolicy,
    /// `spec.source`.
    pub source: ContentSource,
    /// `spec.volumeSnapshotRef`.
    pub snapshot: SnapshotRef,
    /// `spec.volumeSnapshotClassName`, if not empty.
    pub class: Option<Arc<str>>,
    /// The being-created mark: a create call may have had an effect nobody wrote down.
    pub being_created: bool,
    /// The being-deleted mark: the snapshot asked for this content to go.
    pub being_deleted: bool,
    /// Member of a dynamic group: cut with its group, not alone.
    pub member: bool,
    /// The deletion-secret pair; values may be empty.
    pub secret: Option<Box<SecretRef>>,
    /// `spec.sourceVolumeMode`, where set.
    pub mode: Option<VolumeMode>,
    /// The allow-volume-mode-change annotation is true.
    pub mode_change_allowed: bool,
    /// `status`.
    pub status: Option<ContentStatus>,
}

impl Content {
    /// Reads the object; what is missing is empty.
    pub fn of(object: &VolumeSnapshotContent) -> Self {
        let spec = &object.spec;
        let text = |it: &Option<String>| it.as_deref().unwrap_or_default().to_owned();
        let source = match (&spec.source.volume_handle, &spec.source.snapshot_handle) {
            (Some(handle), None) => ContentSource::Volume(handle.as_str().into()),
            (None, Some(handle)) => ContentSource::Snapshot(handle.as_str().into()),
            (None, None) => ContentSource::Neither,
            (Some(_), Some(_)) => ContentSource::Both,
        };
        let annotations = object.metadata.annotations.as_ref();
        let secret = entry(annotations, keys::ANNOTATION_DELETION_SECRET_NAME)
            .zip(entry(
                annotations,
                keys::ANNOTATION_DELETION_SECRET_NAMESPACE,
            ))
            .map(|(name, namespace)| {
                Box::new(SecretRef {
                    namespace: namespace.into(),
                    name: name.into(),
                })
            });
        Self {
            meta: Meta::of(&object.metadata),
            generation: object.metadata.generation.unwrap_or_default(),
            driver: spec.driver.as_str().into(),
            policy: DeletionPolicy::parse(&spec.deletion_policy),
            source,
            snapshot: SnapshotRef {
                key: Key::namespaced(
                    text(&spec.volume_snapshot_ref.namespace),
                    text(&spec.volume_snapshot_ref.name),
                ),
                uid: Uid::parse(spec.volume_snapshot_ref.uid.as_deref().unwrap_or_default()),
            },
            class: spec
                .volume_snapshot_class_name
                .as_deref()
                .filter(|name| !name.is_empty())
                .map(Arc::from),
            being_created: entry(annotations, keys::ANNOTATION_BEING_CREATED).is_some(),
            being_deleted: entry(annotations, keys::ANNOTATION_BEING_DELETED).is_some(),
            member: entry(annotations, keys::ANNOTATION_GROUP_HANDLE).is_some(),
            secret,
            mode: spec
                .source_volume_mode
                .as_deref()
                .map(|mode| VolumeMode::parse(Some(mode))),
            // The values Go reads as true.
            mode_change_allowed: matches!(
                entry(annotations, keys::ANNOTATION_ALLOW_MODE_CHANGE),
                Some("1" | "t" | "T" | "TRUE" | "true" | "True")
            ),
            status: object.status.as_ref().map(|status| ContentStatus {
                handle: filled(status.snapshot_handle.as_deref()),
                creation_time: status.creation_time,
                restore_size: status.restore_size.filter(|it| *it >= 0),
                ready: status.ready_to_use,
                error: status.error.as_ref().map(|error| {
                    Box::new(ContentError {
                        message: error.message.as_deref().unwrap_or_default().into(),
                        time: error.time.as_ref().map(|time| time.0.to_string().into()),
                    })
                }),
                group_handle: filled(status.volume_group_snapshot_handle.as_deref()),
            }),
        }
    }

    /// It and the snapshot with this key and uid belong together.
    pub fn points_at(&self, key: &Key, uid: &Uid) -> bool {
        self.snapshot.key == *key && self.snapshot.uid == *uid
    }

    /// The handle in status, else the one it was made for.
    pub fn handle(&self) -> Option<&str> {
        let in_spec = match &self.source {
            ContentSource::Snapshot(handle) if !handle.is_empty() => Some(handle.as_ref()),
            ContentSource::Snapshot(_)
            | ContentSource::Volume(_)
            | ContentSource::Neither
            | ContentSource::Both => None,
        };
        self.status
            .as_ref()
            .and_then(|it| it.handle.as_deref())
            .or(in_spec)
    }

    /// `status.error`.
    pub fn error(&self) -> Option<&ContentError> {
        self.status.as_ref().and_then(|it| it.error.as_deref())
    }

    /// `status.readyToUse` is true.
    pub fn ready(&self) -> bool {
        self.status.as_ref().and_then(|it| it.ready) == Some(true)
    }
}
