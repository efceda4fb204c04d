//! Reads what the machines need of a `VolumeGroupSnapshotContent`.

use std::sync::Arc;

use tintype_api::{VolumeGroupSnapshotContent, VolumeSnapshotInfo, keys};

use super::{ContentError, Key, Meta, SecretRef, SnapshotRef, Uid, entry, filled};
use crate::DeletionPolicy;

/// What `spec.source` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupContentSource {
    /// `volumeHandles`: cut these volumes.
    Volumes(Box<[Box<str>]>),
    /// `groupSnapshotHandles`: a group snapshot that exists already.
    Existing {
        /// `volumeGroupSnapshotHandle`.
        handle: Box<str>,
        /// `volumeSnapshotHandles`.
        snapshots: Box<[Box<str>]>,
    },
    /// Neither is set.
    Neither,
    /// Both are set.
    Both,
}

/// One entry of `status.volumeSnapshotInfoList`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MemberInfo {
    /// `volumeHandle`, empty if absent.
    pub volume: Box<str>,
    /// `snapshotHandle`, empty if absent.
    pub handle: Box<str>,
    /// `creationTime`, Unix nanoseconds.
    pub creation_time: Option<i64>,
    /// `readyToUse`.
    pub ready: Option<bool>,
    /// `restoreSize`, bytes; one below zero, which says nothing, is left out.
    pub restore_size: Option<i64>,
}

impl MemberInfo {
    fn of(info: &VolumeSnapshotInfo) -> Self {
        Self {
            volume: info.volume_handle.as_deref().unwrap_or_default().into(),
            handle: info.snapshot_handle.as_deref().unwrap_or_default().into(),
            creation_time: info.creation_time,
            ready: info.ready_to_use,
            restore_size: info.restore_size.filter(|it| *it >= 0),
        }
    }
}

/// `status`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupContentStatus {
    /// `volumeGroupSnapshotHandle`, if not empty.
    pub handle: Option<Box<str>>,
    /// `creationTime`, RFC 3339.
    pub creation_time: Option<Box<str>>,
    /// `readyToUse`.
    pub ready: Option<bool>,
    /// `error`.
    pub error: Option<Box<ContentError>>,
    /// `volumeSnapshotInfoList`, empty if absent.
    pub members: Box<[MemberInfo]>,
}

/// A `VolumeGroupSnapshotContent`, as far as the machines read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupContent {
    /// Identity, version, finalizers.
    pub meta: Meta,
    /// `metadata.generation`: counts changes of the spec.
    pub generation: i64,
    /// `spec.driver`.
    pub driver: Arc<str>,
    /// `spec.deletionPolicy`.
    pub policy: DeletionPolicy,
    /// `spec.source`.
    pub source: GroupContentSource,
    /// `spec.volumeGroupSnapshotRef`.
    pub group: SnapshotRef,
    /// `spec.volumeGroupSnapshotClassName`, if not empty.
    pub class: Option<Arc<str>>,
    /// The being-created mark: a create call may have had an effect nobody wrote down.
    pub being_created: bool,
    /// The being-deleted mark: the group snapshot asked for this group content to go.
    pub being_deleted: bool,
    /// The deletion-secret pair; values may be empty.
    pub secret: Option<Box<SecretRef>>,
    /// The node whose sidecar looks after it, by its label.
    pub managed_by: Option<Box<str>>,
    /// `status`.
    pub status: Option<GroupContentStatus>,
}

impl GroupContent {
    /// Reads the object; what is missing is empty.
    pub fn of(object: &VolumeGroupSnapshotContent) -> Self {
        let spec = &object.spec;
        let text = |it: &Option<String>| it.as_deref().unwrap_or_default().to_owned();
        let boxed = |all: &[String]| all.iter().map(|it| it.as_str().into()).collect();
        let source = match (
            &spec.source.volume_handles,
            &spec.source.group_snapshot_handles,
        ) {
            (Some(volumes), None) => GroupContentSource::Volumes(boxed(volumes)),
            (None, Some(handles)) => GroupContentSource::Existing {
                handle: handles.volume_group_snapshot_handle.as_str().into(),
                snapshots: boxed(&handles.volume_snapshot_handles),
            },
            (None, None) => GroupContentSource::Neither,
            (Some(_), Some(_)) => GroupContentSource::Both,
        };
        let annotations = object.metadata.annotations.as_ref();
        let secret = entry(annotations, keys::ANNOTATION_GROUP_DELETION_SECRET_NAME)
            .zip(entry(
                annotations,
                keys::ANNOTATION_GROUP_DELETION_SECRET_NAMESPACE,
            ))
            .map(|(name, namespace)| {
                Box::new(SecretRef {
                    namespace: namespace.into(),
                    name: name.into(),
                })
            });
        let reference = &spec.volume_group_snapshot_ref;
        Self {
            meta: Meta::of(&object.metadata),
            generation: object.metadata.generation.unwrap_or_default(),
            driver: spec.driver.as_str().into(),
            policy: DeletionPolicy::parse(&spec.deletion_policy),
            source,
            group: SnapshotRef {
                key: Key::namespaced(text(&reference.namespace), text(&reference.name)),
                uid: Uid::parse(reference.uid.as_deref().unwrap_or_default()),
            },
            class: spec
                .volume_group_snapshot_class_name
                .as_deref()
                .filter(|name| !name.is_empty())
                .map(Arc::from),
            being_created: entry(annotations, keys::ANNOTATION_GROUP_BEING_CREATED).is_some(),
            being_deleted: entry(annotations, keys::ANNOTATION_GROUP_BEING_DELETED).is_some(),
            secret,
            managed_by: object
                .metadata
                .labels
                .as_ref()
                .and_then(|it| it.get(keys::LABEL_MANAGED_BY))
                .map(|it| it.as_str().into()),
            status: object.status.as_ref().map(|status| GroupContentStatus {
                handle: filled(status.volume_group_snapshot_handle.as_deref()),
                creation_time: status
                    .creation_time
                    .as_ref()
                    .map(|time| time.0.to_string().into()),
                ready: status.ready_to_use,
                error: status.error.as_ref().map(|error| {
                    Box::new(ContentError {
                        message: error.message.as_deref().unwrap_or_default().into(),
                        time: error.time.as_ref().map(|time| time.0.to_string().into()),
                    })
                }),
                members: status
                    .volume_snapshot_info_list
                    .iter()
                    .flatten()
                    .map(MemberInfo::of)
                    .collect(),
            }),
        }
    }

    /// The handle in status, else the one it was made for.
    pub fn handle(&self) -> Option<&str> {
        let in_spec = match &self.source {
            GroupContentSource::Existing { handle, .. } if !handle.is_empty() => {
                Some(handle.as_ref())
            }
            GroupContentSource::Existing { .. }
            | GroupContentSource::Volumes(_)
            | GroupContentSource::Neither
            | GroupContentSource::Both => None,
        };
        self.status
            .as_ref()
            .and_then(|it| it.handle.as_deref())
            .or(in_spec)
    }

    /// The volumes it cuts; none if the group snapshot was there first.
    pub fn volumes(&self) -> &[Box<str>] {
        match &self.source {
            GroupContentSource::Volumes(volumes) => volumes,
            GroupContentSource::Existing { .. }
            | GroupContentSource::Neither
            | GroupContentSource::Both => &[],
        }
    }

    /// `status.volumeSnapshotInfoList`.
    pub fn members(&self) -> &[MemberInfo] {
        self.status.as_ref().map_or(&[], |it| &it.members)
    }

    /// The list has each of its volumes once, each with a snapshot of its own, and nothing else.
    pub fn lists_its_volumes(&self) -> bool {
        agrees(self.members(), self.volumes())
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

/// The members are one for each volume, each with a snapshot of its own.
pub(crate) fn agrees(members: &[MemberInfo], volumes: &[Box<str>]) -> bool {
    disagreement(members, volumes).is_none()
}

/// What is wrong with members that are not one for each volume.
pub(crate) fn disagreement(members: &[MemberInfo], volumes: &[Box<str>]) -> Option<String> {
    let listed = |volume: &str| members.iter().filter(|it| &*it.volume == volume).count();
    let missing: Vec<_> = volumes
        .iter()
        .filter(|it| listed(it) == 0)
        .map(AsRef::as_ref)
        .collect();
    let strange: Vec<_> = members
        .iter()
        .map(|it| &*it.volume)
        .filter(|it| !volumes.iter().any(|volume| **volume == **it))
        .collect();
    let doubled: Vec<_> = volumes
        .iter()
        .filter(|it| listed(it) > 1)
        .map(AsRef::as_ref)
        .collect();
    let unnamed = members.iter().filter(|it| it.handle.is_empty()).count();
    let shared = members.iter().enumerate().find(|(at, it)| {
        !it.handle.is_empty()
            && members[..*at]
                .iter()
                .any(|before| before.handle == it.handle)
    });
    let mut wrong = Vec::new();
    for (what, volumes) in [
        ("no snapshot of volume", missing),
        ("a snapshot of volume nobody asked for:", strange),
        ("more than one snapshot of volume", doubled),
    ] {
        if !volumes.is_empty() {
            wrong.push(format!("{what} {}", volumes.join(", ")));
        }
    }
    if unnamed > 0 {
        wrong.push(format!("{unnamed} snapshots without id"));
    }
    if let Some((_, it)) = shared {
        wrong.push(format!("snapshot id {} more than once", it.handle));
    }
    (!wrong.is_empty()).then(|| wrong.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(volume: &str, handle: &str) -> MemberInfo {
        MemberInfo {
            volume: volume.into(),
            handle: handle.into(),
            creation_time: None,
            ready: None,
            restore_size: None,
        }
    }

    #[test]
    fn members_are_one_for_each_volume() {
        let volumes = ["a".into(), "b".into()];
        for (members, wrong) in [
            (vec![member("b", "2"), member("a", "1")], None),
            (vec![member("a", "1")], Some("no snapshot of volume b")),
            (
                vec![member("a", "1"), member("b", "2"), member("c", "3")],
                Some("a snapshot of volume nobody asked for: c"),
            ),
            (
                vec![member("a", "1"), member("b", "2"), member("a", "3")],
                Some("more than one snapshot of volume a"),
            ),
            (
                vec![member("a", "1"), member("b", "")],
                Some("1 snapshots without id"),
            ),
            (
                vec![member("a", "1"), member("b", "1")],
                Some("snapshot id 1 more than once"),
            ),
            (vec![], Some("no snapshot of volume a, b")),
        ] {
            assert_eq!(disagreement(&members, &volumes).as_deref(), wrong);
        }
    }
}
