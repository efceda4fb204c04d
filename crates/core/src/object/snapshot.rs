//! Reads what the machines need of a `VolumeSnapshot`.

use serde_json::Value;
use tintype_api::{VolumeSnapshot, keys};

use super::{Claim, Content, Key, Meta, Owner, filled};
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

/// What ties a snapshot to its group snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The group snapshot among its owners.
    pub owner: Option<Owner>,
    /// `status.volumeGroupSnapshotName`, if not empty.
    pub name: Option<Box<str>>,
    /// All of `metadata.ownerReferences`, as written: a patch must send the whole list.
    pub owners: Vec<Value>,
}

impl Membership {
    fn of(object: &VolumeSnapshot) -> Option<Box<Self>> {
        let owners = object
            .metadata
            .owner_references
            .as_deref()
            .unwrap_or_default();
        let status = object.status.as_ref();
        let it = Self {
            owner: Owner::among(owners),
            name: filled(status.and_then(|it| it.volume_group_snapshot_name.as_deref())),
            owners: owners
                .iter()
                .filter_map(|it| serde_json::to_value(it).ok())
                .collect(),
        };
        (it.owner.is_some() || it.name.is_some()).then(|| Box::new(it))
    }
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
    /// What ties it to a group snapshot, if anything does.
    pub group: Option<Box<Membership>>,
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
            group: Membership::of(object),
        }
    }

    /// It was made as a member of a group snapshot: cut with it, not alone.
    pub fn is_member(&self) -> bool {
        self.owner().is_some() && matches!(self.source, SnapshotSource::Claim(_))
    }

    /// The group snapshot among its owners.
    pub fn owner(&self) -> Option<&Owner> {
        self.group.as_ref()?.owner.as_ref()
    }

    /// The group snapshot it belongs to, by its owner or by its status.
    pub fn group_key(&self) -> Option<Key> {
        let group = self.group.as_ref()?;
        let by_owner = group.owner.as_ref().map(|it| &it.name);
        let name = by_owner.or(group.name.as_ref())?;
        Some(Key::namespaced(
            self.meta.key.namespace.clone(),
            name.as_ref(),
        ))
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

    /// The claim, which is being filled from it, keeps it (spec controller 2.9.2).
    ///
    /// One of another namespace does once the provisioner has said so, which it does after it has
    /// found a grant: else whoever may make claims anywhere could keep everybody's snapshots.
    pub fn is_kept_by(&self, claim: &Claim) -> bool {
        claim.meta.key.namespace == self.meta.key.namespace
            || self.meta.has_finalizer(keys::FINALIZER_PROVISIONER)
    }

    /// The name of the content that belongs to it: the bound one, or the one it will have.
    pub fn content_name(&self) -> Option<String> {
        match (&self.bound, &self.source) {
            (Some(name), _) | (None, SnapshotSource::Content(name)) => Some(name.to_string()),
            // A member's content has a name of the same hash.
            (None, SnapshotSource::Claim(_)) if self.is_member() => {
                let hash = self.meta.key.name.strip_prefix("snapshot-")?;
                Some(format!("snapcontent-{hash}"))
            }
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
    /// A member was cut before it was made; until then its group held the claim.
    pub fn holds_its_claim(&self, content: Seen<&Content>) -> bool {
        let failed = match content {
            Seen::Present(it) if it.handle().is_none() => !it.being_created && it.error().is_some(),
            Seen::Present(_) | Seen::Absent => self.error.is_some(),
            // One may have been made all the same, and its reply lost.
            Seen::Unknown | Seen::NotCached => false,
        };
        self.ready != Some(true) && !failed && !self.is_member()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn snapshot(finalizers: &[&str]) -> Snapshot {
        let object = json!({
            "metadata": {"namespace": "here", "name": "s", "uid": "s", "finalizers": finalizers},
            "spec": {"source": {"persistentVolumeClaimName": "data"}},
        });
        Snapshot::of(&serde_json::from_value(object).unwrap())
    }

    fn claim(namespace: &str) -> Claim {
        let object = json!({
            "metadata": {"namespace": namespace, "name": "c", "uid": "c"},
            "spec": {"dataSourceRef": {
                "apiGroup": tintype_api::GROUP, "kind": "VolumeSnapshot",
                "name": "s", "namespace": "here",
            }},
        });
        Claim::of(&serde_json::from_value(object).unwrap())
    }

    #[test]
    fn a_claim_elsewhere_keeps_a_snapshot_only_once_the_provisioner_says_so() {
        assert!(snapshot(&[]).is_kept_by(&claim("here")));
        assert!(!snapshot(&[]).is_kept_by(&claim("elsewhere")));
        assert!(snapshot(&[keys::FINALIZER_PROVISIONER]).is_kept_by(&claim("elsewhere")));
    }
}
