//! Says why a claim does not get its volume, and what helps: one text per cause.

use super::facts::{Sighting, SourceSight};

/// Something that has to be put right, or become ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Complaint {
    /// The storage class does not exist.
    ClassMissing,
    /// A selector is set; made volumes have no labels to select by.
    Selector,
    /// No storage request, or one that is no size.
    NoSize,
    /// The source has the right kind and the wrong group.
    SourceGroup,
    /// The source has no name.
    SourceUnnamed,
    /// The source is in another namespace.
    SourceElsewhere,
    /// The snapshot does not exist.
    SnapshotMissing,
    /// The snapshot is being deleted.
    SnapshotDeleting,
    /// The snapshot has no content yet.
    SnapshotNotBound,
    /// The snapshot's content does not exist.
    ContentMissing,
    /// The snapshot's content belongs to another snapshot.
    ContentOfAnother,
    /// The snapshot is of another driver than the storage class.
    SnapshotOfOtherDriver,
    /// The snapshot is not ready.
    SnapshotNotReady,
    /// The content has no handle.
    NoHandle,
    /// The claim asks for less than the snapshot needs.
    TooSmall,
    /// The claim would change the volume mode, and nobody allowed it.
    ModeChange,
    /// The source claim does not exist.
    SourceClaimMissing,
    /// The source claim is not bound.
    SourceClaimNotBound,
    /// The source claim is being deleted.
    SourceClaimDeleting,
    /// The source claim's volume is of another driver.
    SourceClaimOfOtherDriver,
    /// The claim asks for less than the source claim has.
    SmallerThanClaim,
    /// The claim's volume mode is not the source claim's.
    CloneModeChange,
    /// The driver failed.
    Driver,
}

impl Complaint {
    /// Cause and cure.
    pub fn text(self, seen: &Sighting) -> String {
        let claim = seen.claim.present();
        let source = claim
            .and_then(|it| it.source.as_ref())
            .map(|it| it.key.to_string())
            .unwrap_or_default();
        let class = claim.and_then(|it| it.class.as_deref()).unwrap_or_default();
        let (content_name, snapshot_driver) = match &seen.source {
            SourceSight::Snapshot { content, snapshot } => (
                snapshot
                    .present()
                    .and_then(|it| it.bound.clone())
                    .unwrap_or_default(),
                content
                    .present()
                    .map(|it| it.driver.to_string())
                    .unwrap_or_default(),
            ),
            SourceSight::None | SourceSight::Claim { .. } => Default::default(),
        };
        match self {
            Self::ClassMissing => format!(
                "StorageClass \"{class}\" does not exist; create it, or make the claim anew with another"
            ),
            Self::Selector => "spec.selector is set, but volumes made for a claim have no labels to select by; make the claim anew without it".to_owned(),
            Self::NoSize => "spec.resources.requests.storage is missing or no size; make the claim anew with one, such as 10Gi".to_owned(),
            Self::SourceGroup => format!(
                "spec.dataSource has kind {} in API group \"{}\"; a VolumeSnapshot needs apiGroup snapshot.storage.k8s.io, a PersistentVolumeClaim none",
                claim.and_then(|it| it.source.as_ref()).map_or("", |it| &it.kind_text),
                claim.and_then(|it| it.source.as_ref()).map_or("", |it| &it.group),
            ),
            Self::SourceUnnamed => "spec.dataSource.name is empty; make the claim anew with the name of a snapshot or claim".to_owned(),
            Self::SourceElsewhere => format!(
                "spec.dataSourceRef names {source} in another namespace; restore from a snapshot of the claim's own namespace"
            ),
            Self::SnapshotMissing => format!("VolumeSnapshot {source} does not exist; the volume is made as soon as it is ready"),
            Self::SnapshotDeleting => format!("VolumeSnapshot {source} is being deleted; restore from another snapshot"),
            Self::SnapshotNotBound => format!("VolumeSnapshot {source} has no content yet; the volume is made as soon as it is ready"),
            Self::SnapshotNotReady => format!("VolumeSnapshot {source} is not ready to use yet; the volume is made as soon as it is"),
            Self::ContentMissing => format!("VolumeSnapshotContent \"{content_name}\" of VolumeSnapshot {source} does not exist; its data cannot be found"),
            Self::ContentOfAnother => format!("VolumeSnapshotContent \"{content_name}\" named by VolumeSnapshot {source} belongs to another snapshot; see its spec.volumeSnapshotRef"),
            Self::SnapshotOfOtherDriver => format!(
                "VolumeSnapshot {source} is of driver {snapshot_driver}, StorageClass \"{class}\" of driver {}; use a class of the snapshot's driver",
                seen.driver
            ),
            Self::NoHandle => format!("VolumeSnapshotContent \"{content_name}\" of VolumeSnapshot {source} has no status.snapshotHandle; wait for its driver, or take the snapshot anew"),
            Self::TooSmall => format!(
                "the claim requests {}, VolumeSnapshot {source} needs {}; make the claim anew with at least that",
                size(claim.and_then(|it| it.requested)),
                size(seen.restore_size()),
            ),
            Self::ModeChange => format!(
                "the claim's volumeMode is {}, the snapshot's source had another; an administrator can allow it by annotating VolumeSnapshotContent \"{content_name}\" with snapshot.storage.kubernetes.io/allow-volume-mode-change=true",
                claim.map_or("", |it| it.mode.as_str())
            ),
            Self::SourceClaimMissing => format!("PersistentVolumeClaim {source}, the source, does not exist"),
            Self::SourceClaimNotBound => format!("PersistentVolumeClaim {source}, the source, is not bound yet; the volume is made as soon as it is"),
            Self::SourceClaimDeleting => format!("PersistentVolumeClaim {source}, the source, is being deleted"),
            Self::SourceClaimOfOtherDriver => format!(
                "the volume of PersistentVolumeClaim {source}, the source, is not of driver {}; volumes are copied within one driver only",
                seen.driver
            ),
            Self::SmallerThanClaim => format!(
                "the claim requests {}, less than its source PersistentVolumeClaim {source} has; make it anew with at least that",
                size(claim.and_then(|it| it.requested))
            ),
            Self::CloneModeChange => format!("the claim's volumeMode is not that of its source PersistentVolumeClaim {source}; make it anew with the same"),
            Self::Driver => seen.memory.failure.as_deref().unwrap_or_default().to_owned(),
        }
    }
}

fn size(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "no size".to_owned(), tintype_api::quantity::print_bytes)
}
