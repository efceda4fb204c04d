//! Reads what the machines need of a `VolumeSnapshot`.

use tintype_api::VolumeSnapshot;

use super::{Content, Key, Meta};
use crate::Seen;

/// What `spec.source` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotSource {
    /// `persistentVolumeClaimName`: cut this claim's volume.
    Claim(Box<str>),
    /// `volumeSnapshotContentName`: adopt this content.
    Content(Box<str>),
    /// Neither is set.
    Neither,
    /// Both are set.
    Both,
}

/// A `VolumeSnapshot`, as far as the machines read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Identity, version, finalizers.
    pub meta: Meta,
    /// `spec.source`.
    pub source: SnapshotSource,
    /// `spec.volumeSnapshotClassName`.
    pub class: Option<Box<str>>,
    /// `status.boundVolumeSnapshotContentName`, if not empty.
    pub bound: Option<Box<str>>,
    /// `status.readyToUse`.
    pub ready: Option<bool>,
    /// `status.creationTime`, RFC 3339.
    pub creation_time: Option<Box<str>>,
    /// `status.restoreSize`, as written.
    pub restore_size: Option<Box<str>>,
    /// `status.error.message`; an error without a message counts as an empty one.
    pub error: Option<Box<str>>,
    /// `status` is there at all.
    pub has_status: bool,
}

impl Snapshot {
    /// Reads the object; what is missing is empty.
    pub fn of(object: &VolumeSnapshot) -> Self {
        let boxed = |text: &Option<String>| text.as_deref().map(Box::from);
        let spec_source = &object.spec.source;
        let source = match (
            &spec_source.persistent_volume_claim_name,
            &spec_source.volume_snapshot_content_name,
        ) {
            (Some(claim), None) => SnapshotSource::Claim(claim.as_str().into()),
            (None, Some(content)) => SnapshotSource::Content(content.as_str().into()),
            (None, None) => SnapshotSource::Neither,
            (Some(_), Some(_)) => SnapshotSource::Both,
        };
        let status = object.status.as_ref();
        Self {
            meta: Meta::of(&object.metadata),
            source,
            class: boxed(&object.spec.volume_snapshot_class_name),
            bound: status
                .and_then(|it| it.bound_volume_snapshot_content_name.as_deref())
                .filter(|name| !name.is_empty())
                .map(Box::from),
            ready: status.and_then(|it| it.ready_to_use),
            creation_time: status
                .and_then(|it| it.creation_time.as_ref())
                .map(|time| time.0.to_string().into()),
            restore_size: status
                .and_then(|it| it.restore_size.as_ref())
                .map(|size| size.0.as_str().into()),
            error: status
                .and_then(|it| it.error.as_ref())
                .map(|error| error.message.as_deref().unwrap_or_default().into()),
            has_status: status.is_some(),
        }
    }

    /// The claim whose volume is cut, if it is a dynamic snapshot.
    pub fn claim_key(&self) -> Option<Key> {
        match &self.source {
            SnapshotSource::Claim(name) => Some(Key::namespaced(
                self.meta.key.namespace.clone(),
                name.as_ref(),
            )),
            SnapshotSource::Content(_) | SnapshotSource::Neither | SnapshotSource::Both => None,
        }
    }

    /// The name of the content that belongs to it: the bound one, or the one it will have.
    pub fn content_name(&self) -> Option<String> {
        match (&self.bound, &self.source) {
            (Some(name), _) | (None, SnapshotSource::Content(name)) => Some(name.to_string()),
            (None, SnapshotSource::Claim(_)) => {
                Some(tintype_api::names::content_name(&self.meta.uid.to_string()))
            }
            (None, SnapshotSource::Neither | SnapshotSource::Both) => None,
        }
    }

    /// A cut from its claim may be in flight: the claim must stay.
    ///
    /// A snapshot that failed and says so does not hold its claim (D16b). Whether it failed is the
    /// content's to say once there is one: with the being-created mark on it, the call that failed
    /// may have an effect yet, and with no error of its own the call is still to come.
    pub fn holds_its_claim(&self, content: Seen<&Content>) -> bool {
        let failed = match content {
            Seen::Present(it) if it.handle().is_none() => !it.being_created && it.error().is_some(),
            Seen::Present(_) | Seen::Absent => self.error.is_some(),
            // One may have been made all the same, and its reply lost.
            Seen::Unknown | Seen::NotCached => false,
        };
        self.ready != Some(true) && !failed
    }
}
