//! Reads what the machines need of a `VolumeGroupSnapshot`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use tintype_api::VolumeGroupSnapshot;

use super::{GroupContent, Meta, Selector, Uid};
use crate::Seen;

/// What `spec.source` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupSource {
    /// `selector`: cut the volumes of these claims.
    Selector(Selector),
    /// `selector` that cannot be read, and why.
    BadSelector(Box<str>),
    /// `volumeGroupSnapshotContentName`: adopt this group content.
    Content(Box<str>),
    /// Neither is set.
    Neither,
    /// Both are set.
    Both,
}

/// A `VolumeGroupSnapshot`, as far as the machines read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Identity, version, finalizers.
    pub meta: Meta,
    /// `spec.source`.
    pub source: GroupSource,
    /// `spec.volumeGroupSnapshotClassName`.
    pub class: Option<Box<str>>,
    /// `status.boundVolumeGroupSnapshotContentName`, if not empty.
    pub bound: Option<Box<str>>,
    /// `status.readyToUse`.
    pub ready: Option<bool>,
    /// `status.creationTime`, RFC 3339.
    pub creation_time: Option<Box<str>>,
    /// `status.error.message`; an error without a message counts as an empty one.
    pub error: Option<Box<str>>,
}

impl Group {
    /// Reads the object; what is missing is empty.
    pub fn of(object: &VolumeGroupSnapshot) -> Self {
        let spec_source = &object.spec.source;
        let source = match (
            &spec_source.selector,
            &spec_source.volume_group_snapshot_content_name,
        ) {
            (Some(selector), None) => match Selector::read(selector) {
                Ok(selector) => GroupSource::Selector(selector),
                Err(why) => GroupSource::BadSelector(why.into()),
            },
            (None, Some(content)) => GroupSource::Content(content.as_str().into()),
            (None, None) => GroupSource::Neither,
            (Some(_), Some(_)) => GroupSource::Both,
        };
        let status = object.status.as_ref();
        Self {
            meta: Meta::of(&object.metadata),
            source,
            class: object
                .spec
                .volume_group_snapshot_class_name
                .as_deref()
                .map(Box::from),
            bound: status
                .and_then(|it| it.bound_volume_group_snapshot_content_name.as_deref())
                .filter(|name| !name.is_empty())
                .map(Box::from),
            ready: status.and_then(|it| it.ready_to_use),
            creation_time: status
                .and_then(|it| it.creation_time.as_ref())
                .map(|time| time.0.to_string().into()),
            error: status
                .and_then(|it| it.error.as_ref())
                .map(|error| error.message.as_deref().unwrap_or_default().into()),
        }
    }

    /// Its volumes are cut for it; else the group snapshot was there first.
    pub const fn dynamic(&self) -> bool {
        matches!(
            self.source,
            GroupSource::Selector(_) | GroupSource::BadSelector(_)
        )
    }

    /// The name of the group content that belongs to it: the bound one, or the one it will have.
    pub fn content_name(&self) -> Option<String> {
        match (&self.bound, &self.source) {
            (Some(name), _) | (None, GroupSource::Content(name)) => Some(name.to_string()),
            (None, GroupSource::Selector(_) | GroupSource::BadSelector(_)) => Some(
                tintype_api::names::group_content_name(&self.meta.uid.to_string()),
            ),
            (None, GroupSource::Neither | GroupSource::Both) => None,
        }
    }

    /// A cut of its claims may be in flight: they must stay.
    ///
    /// As for a single snapshot (D16b): one that failed and says so does not hold them, unless a
    /// call that failed may have an effect yet.
    pub fn holds_its_claims(&self, content: Seen<&GroupContent>) -> bool {
        let failed = match content {
            Seen::Present(it) if it.handle().is_none() => !it.being_created && it.error().is_some(),
            Seen::Present(_) | Seen::Absent => self.error.is_some(),
            // One may have been made all the same, and its reply lost.
            Seen::Unknown | Seen::NotCached => false,
        };
        self.dynamic() && self.ready != Some(true) && !failed
    }
}

/// The group snapshot that owns a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its name, in the same namespace.
    pub name: Box<str>,
    /// Its uid.
    pub uid: Uid,
}

impl Owner {
    /// The group snapshot among the owners; members made by older releases name it by `v1beta1` or
    /// `v1beta2` (D15).
    pub(super) fn among(owners: &[OwnerReference]) -> Option<Self> {
        let group = |it: &&OwnerReference| {
            let (group, _) = it
                .api_version
                .split_once('/')
                .unwrap_or(("", &it.api_version));
            group == tintype_api::GROUP_OF_GROUPS && it.kind == "VolumeGroupSnapshot"
        };
        owners.iter().find(group).map(|it| Self {
            name: it.name.as_str().into(),
            uid: Uid::parse(&it.uid),
        })
    }
}
