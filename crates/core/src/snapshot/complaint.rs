//! Says why a snapshot does not go on, and what helps: one text per cause.
//!
//! The text in `status.error` is also how a later pass knows what was said already, so a text
//! depends on nothing that changes by itself.

use tintype_api::Reason;

use super::facts::Sighting;
use crate::object::SnapshotSource;

/// Something a person, or another controller, has to put right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Complaint {
    /// Neither or both sources, or an empty name.
    SourceUnclear,
    /// The class it names does not exist.
    ClassMissing,
    /// It names no class and its driver has no default.
    NoDefaultClass,
    /// It names no class and its driver has several defaults.
    SeveralDefaultClasses,
    /// Its class is for another driver than its volume's (D29).
    ClassOfOtherDriver,
    /// The class's secret templates cannot be resolved.
    SecretUnclear,
    /// The source claim does not exist.
    ClaimMissing,
    /// The source claim has no volume yet.
    ClaimNotBound,
    /// The source claim is being deleted.
    ClaimDeleting,
    /// The claim's volume does not exist.
    VolumeMissing,
    /// The claim's volume belongs to another claim.
    VolumeOfAnother,
    /// The claim's volume is not a CSI volume.
    VolumeNotCsi,
    /// There is no node the claim's volume can be reached from.
    NodeMissing,
    /// The API server refused the content.
    CreationRefused,
    /// The content it was bound to, or names, does not exist.
    ContentMissing,
    /// The content belongs to another snapshot.
    ContentOfAnother,
    /// The content is of the other kind (dynamic or pre-provisioned).
    ContentMismatch,
    /// A claim is being filled from it, so it cannot go yet.
    BeingRestored,
    /// It belongs to a group snapshot and goes with that.
    InGroup,
}

impl Complaint {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        [
            Self::SourceUnclear,
            Self::ClassMissing,
            Self::NoDefaultClass,
            Self::SeveralDefaultClasses,
            Self::ClassOfOtherDriver,
            Self::SecretUnclear,
            Self::ClaimMissing,
            Self::ClaimNotBound,
            Self::ClaimDeleting,
            Self::VolumeMissing,
            Self::VolumeOfAnother,
            Self::VolumeNotCsi,
            Self::NodeMissing,
            Self::CreationRefused,
            Self::ContentMissing,
            Self::ContentOfAnother,
            Self::ContentMismatch,
            Self::BeingRestored,
            Self::InGroup,
        ]
        .into_iter()
    }

    /// The event's reason: upstream's word for the place where it stops.
    pub fn reason(self, seen: &Sighting) -> Reason {
        let class_named = seen.snapshot.present().is_some_and(|it| it.class.is_some());
        match self {
            Self::SourceUnclear => Reason::SnapshotValidationError,
            Self::ClassMissing => Reason::GetSnapshotClassFailed,
            Self::NoDefaultClass | Self::SeveralDefaultClasses => {
                Reason::SetDefaultSnapshotClassFailed
            }
            Self::ClaimMissing
            | Self::ClaimNotBound
            | Self::VolumeMissing
            | Self::VolumeOfAnother
            | Self::VolumeNotCsi
                if !class_named =>
            {
                Reason::SetDefaultSnapshotClassFailed
            }
            Self::ClassOfOtherDriver
            | Self::SecretUnclear
            | Self::ClaimMissing
            | Self::ClaimNotBound
            | Self::ClaimDeleting
            | Self::VolumeMissing
            | Self::VolumeOfAnother
            | Self::VolumeNotCsi
            | Self::NodeMissing => Reason::SnapshotContentCreationFailed,
            Self::CreationRefused => Reason::CreateSnapshotContentFailed,
            Self::ContentMissing => Reason::SnapshotContentMissing,
            Self::ContentOfAnother => {
                if seen.snapshot.present().is_some_and(|it| it.bound.is_some()) {
                    Reason::SnapshotMisbound
                } else {
                    Reason::SnapshotContentMisbound
                }
            }
            Self::ContentMismatch => Reason::SnapshotContentMismatch,
            Self::BeingRestored | Self::InGroup => Reason::SnapshotDeletePending,
        }
    }

    /// What is missing may just not have come yet: objects are applied together, in any order, and
    /// caches fill one after the other. It is said only after a short grace.
    pub const fn may_pass(self) -> bool {
        match self {
            Self::ClassMissing
            | Self::NoDefaultClass
            | Self::ClaimMissing
            | Self::ClaimNotBound
            | Self::VolumeMissing
            | Self::NodeMissing
            | Self::ContentMissing => true,
            Self::SourceUnclear
            | Self::SeveralDefaultClasses
            | Self::ClassOfOtherDriver
            | Self::SecretUnclear
            | Self::ClaimDeleting
            | Self::VolumeOfAnother
            | Self::VolumeNotCsi
            | Self::CreationRefused
            | Self::ContentOfAnother
            | Self::ContentMismatch
            | Self::BeingRestored
            | Self::InGroup => false,
        }
    }

    /// The snapshot stops being ready with it.
    pub const fn unreadies(self) -> bool {
        match self {
            Self::SourceUnclear
            | Self::ClassOfOtherDriver
            | Self::SecretUnclear
            | Self::ClaimMissing
            | Self::ClaimNotBound
            | Self::ClaimDeleting
            | Self::VolumeMissing
            | Self::VolumeOfAnother
            | Self::VolumeNotCsi
            | Self::NodeMissing
            | Self::CreationRefused
            | Self::ContentMissing
            | Self::ContentOfAnother
            | Self::ContentMismatch => true,
            Self::ClassMissing
            | Self::NoDefaultClass
            | Self::SeveralDefaultClasses
            | Self::BeingRestored
            | Self::InGroup => false,
        }
    }

    /// Cause and cure.
    pub fn text(self, seen: &Sighting) -> String {
        let snapshot = seen.snapshot.present();
        let class = snapshot
            .and_then(|it| it.class.as_deref())
            .unwrap_or_default();
        let claim = snapshot
            .and_then(|it| it.claim_key())
            .map(|it| it.to_string())
            .unwrap_or_default();
        let volume = seen
            .claim
            .present()
            .and_then(|it| it.volume.as_deref())
            .unwrap_or_default();
        let driver = seen
            .volume
            .present()
            .and_then(|it| it.csi.as_ref())
            .map(|it| it.driver.as_ref())
            .unwrap_or_default();
        let content = snapshot
            .and_then(|it| it.content_name())
            .unwrap_or_default();
        match self {
            Self::SourceUnclear => source_text(snapshot.map(|it| &it.source)),
            Self::ClassMissing => format!(
                "VolumeSnapshotClass \"{class}\" does not exist; create it, or name another in spec.volumeSnapshotClassName"
            ),
            Self::NoDefaultClass => format!(
                "no class is named and driver {driver} has no default VolumeSnapshotClass; name one in spec.volumeSnapshotClassName, or annotate one with snapshot.storage.kubernetes.io/is-default-class=true"
            ),
            Self::SeveralDefaultClasses => format!(
                "no class is named and driver {driver} has several default VolumeSnapshotClasses; name one in spec.volumeSnapshotClassName, or leave only one annotated as default"
            ),
            Self::ClassOfOtherDriver => format!(
                "VolumeSnapshotClass \"{}\" is for driver {}, but volume {volume} of claim {claim} is of driver {driver}; name a class of that driver",
                seen.chosen_class().map_or(class, |it| &it.meta.key.name),
                seen.chosen_class().map_or("", |it| &it.driver),
            ),
            Self::SecretUnclear => {
                let why = seen
                    .chosen_class()
                    .zip(snapshot)
                    .and_then(|(class, it)| super::render::deletion_secret(class, it).err());
                format!(
                    "the secret named by the parameters of VolumeSnapshotClass \"{class}\" cannot be told: {}",
                    why.unwrap_or_default()
                )
            }
            Self::ClaimMissing => format!(
                "PersistentVolumeClaim {claim} does not exist; the snapshot is taken as soon as it does and is bound"
            ),
            Self::ClaimNotBound => format!(
                "PersistentVolumeClaim {claim} has no volume yet; the snapshot is taken as soon as it is bound"
            ),
            Self::ClaimDeleting => format!(
                "PersistentVolumeClaim {claim} is being deleted; take the snapshot before deleting the claim"
            ),
            Self::VolumeMissing => format!(
                "PersistentVolume \"{volume}\" of claim {claim} does not exist; nothing is left to take a snapshot of"
            ),
            Self::VolumeOfAnother => format!(
                "PersistentVolume \"{volume}\" named by claim {claim} belongs to another claim; see its spec.claimRef"
            ),
            Self::VolumeNotCsi => format!(
                "PersistentVolume \"{volume}\" of claim {claim} is not a CSI volume; only volumes of CSI drivers can be snapshotted"
            ),
            Self::NodeMissing => format!(
                "no node satisfies spec.nodeAffinity of PersistentVolume \"{volume}\" of claim {claim}; the snapshot is taken as soon as one does, by the sidecar on that node"
            ),
            Self::CreationRefused => format!(
                "the API server refused VolumeSnapshotContent \"{content}\"; it is tried again, and the controller's log has the answer"
            ),
            Self::ContentMissing if seen.is_import_to_come() => format!(
                "VolumeSnapshotContent \"{content}\" does not exist; the snapshot is bound to it as soon as it does"
            ),
            Self::ContentMissing => format!(
                "VolumeSnapshotContent \"{content}\" does not exist; nothing is cut again under this name: delete this snapshot and take a new one, or create the content anew from its snapshot handle"
            ),
            Self::ContentOfAnother => format!(
                "VolumeSnapshotContent \"{content}\" belongs to {}; see its spec.volumeSnapshotRef",
                seen.owner_of_content()
            ),
            Self::ContentMismatch => format!(
                "VolumeSnapshotContent \"{content}\" has the wrong kind of source: a snapshot of a claim needs spec.source.volumeHandle, one of an existing content needs spec.source.snapshotHandle"
            ),
            Self::InGroup => format!(
                "the snapshot belongs to VolumeGroupSnapshot {} and cannot go alone; it is deleted with that group snapshot",
                seen.group_key
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default()
            ),
            Self::BeingRestored => {
                "a PersistentVolumeClaim is being filled from this snapshot; it is deleted as soon as that claim is bound or deleted".to_owned()
            }
        }
    }
}

fn source_text(source: Option<&SnapshotSource>) -> String {
    let found = match source {
        Some(SnapshotSource::Both) => "both are set",
        Some(SnapshotSource::Claim(_)) => "persistentVolumeClaimName is empty",
        Some(SnapshotSource::Content(_)) => "volumeSnapshotContentName is empty",
        Some(SnapshotSource::Neither) | None => "neither is set",
    };
    format!(
        "spec.source must name exactly one of persistentVolumeClaimName and volumeSnapshotContentName: {found}; create the snapshot anew"
    )
}

impl Sighting {
    /// Whose the content is, if it is not this snapshot's.
    fn owner_of_content(&self) -> String {
        let own = self.snapshot.present().map(|it| &it.meta.key);
        match self.content.present().map(|it| &it.snapshot.key) {
            Some(key) if Some(key) != own => format!("VolumeSnapshot {key}"),
            Some(_) | None => "an earlier snapshot of this name".to_owned(),
        }
    }

    /// It is to adopt a content, and was never bound to one.
    fn is_import_to_come(&self) -> bool {
        self.snapshot
            .present()
            .is_some_and(|it| it.bound.is_none() && matches!(it.source, SnapshotSource::Content(_)))
    }
}
