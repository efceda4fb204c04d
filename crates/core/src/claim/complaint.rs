//! Says why a claim does not get its volume, and what helps: one text per cause.

use super::facts::Sighting;
use super::request;
use super::source::SourceSight;

/// Something that has to be put right, or become ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Complaint {
    /// The storage class does not exist.
    ClassMissing,
    /// A selector is set; made volumes have no labels to select by.
    Selector,
    /// No storage request, or one that is no size.
    NoSize,
    /// The class's parameters cannot be used.
    Parameters,
    /// The claim asks for an access mode the driver cannot promise.
    AccessMode,
    /// The driver knows no attributes classes.
    AttributesUnsupported,
    /// The attributes class does not exist.
    AttributesMissing,
    /// The attributes class is of another driver.
    AttributesOfAnother,
    /// The driver does not restore snapshots.
    RestoreUnsupported,
    /// The driver does not copy volumes.
    CloneUnsupported,
    /// The selected node, or the driver's entry for it, is gone.
    NodeGone,
    /// The driver has registered no topology on the selected node.
    NodeWithoutDriver,
    /// The selected node lacks a label of the driver's topology.
    NodeWithoutLabel,
    /// The selected node is not where the class allows volumes.
    NodeNotAllowed,
    /// The driver is on no node yet.
    DriverNowhere,
    /// A volume may be on storage, and what is needed to find out is gone.
    InDoubt,
    /// Another provisioner of the driver may have made a volume.
    MarkedByOther,
    /// The source has the right kind and the wrong group.
    SourceGroup,
    /// The source has no name.
    SourceUnnamed,
    /// The source is in another namespace, and the feature for that is off.
    SourceElsewhere,
    /// The source is in another namespace, which does not allow it.
    NotGranted,
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
    /// The claim asks for less than the volume had that the snapshot was cut from; the snapshot
    /// itself does not say.
    TooSmallForOrigin,
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
    #[expect(
        clippy::too_many_lines,
        reason = "a flat list of texts: its pieces would only hide the one that is looked for"
    )]
    pub fn text(self, seen: &Sighting) -> String {
        let claim = seen.claim.present();
        let source = claim
            .and_then(|it| it.source.as_ref())
            .map(|it| it.key.to_string())
            .unwrap_or_default();
        let class = claim.and_then(|it| it.class.as_deref()).unwrap_or_default();
        let (content_name, snapshot_driver) = match &seen.source {
            SourceSight::Snapshot {
                content, snapshot, ..
            } => (
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
        let settings = &seen.settings;
        let node = claim
            .and_then(|it| it.selected_node.as_deref())
            .unwrap_or_default();
        let attributes = claim
            .and_then(|it| it.attributes_class.as_deref())
            .unwrap_or_default();
        match self {
            Self::Parameters | Self::AccessMode => claim
                .zip(seen.class.present())
                .and_then(|(claim, class)| request::trouble(seen, claim, class))
                .map(|it| it.1)
                .unwrap_or_default(),
            Self::AttributesUnsupported => format!(
                "the claim names VolumeAttributesClass \"{attributes}\", and driver {} knows none (no MODIFY_VOLUME); make the claim anew without it",
                settings.driver
            ),
            Self::AttributesMissing => format!(
                "VolumeAttributesClass \"{attributes}\" does not exist; create it, or make the claim anew with another"
            ),
            Self::AttributesOfAnother => format!(
                "VolumeAttributesClass \"{attributes}\" is not for driver {}; make the claim anew with one that is",
                settings.driver
            ),
            Self::RestoreUnsupported => format!(
                "driver {} does not restore snapshots (no CREATE_DELETE_SNAPSHOT)",
                settings.driver
            ),
            Self::CloneUnsupported => format!(
                "driver {} does not copy volumes (no CLONE_VOLUME); take a snapshot of {source} and restore that",
                settings.driver
            ),
            Self::NodeGone => format!(
                "node {node}, which was selected for the claim, is gone; the scheduler chooses again"
            ),
            Self::NodeWithoutDriver => format!(
                "driver {} has registered no topology on node {node}, which was selected for the claim; see that its node plugin runs there",
                settings.driver
            ),
            Self::NodeWithoutLabel => format!(
                "node {node}, which was selected for the claim, lacks a label of the topology of driver {}; see that its node plugin runs there",
                settings.driver
            ),
            Self::NodeNotAllowed => format!(
                "node {node}, which was selected for the claim, is not in the allowedTopologies of StorageClass \"{class}\""
            ),
            Self::DriverNowhere => format!(
                "driver {} has registered its topology on no node; the volume is made as soon as it has",
                settings.driver
            ),
            Self::InDoubt => format!(
                "a volume \"{}\" may be on storage for this claim, and what is needed to find out (StorageClass \"{class}\", or the source) is gone: bring it back; or, if storage has no such volume, take finalizer {} off the claim",
                seen.volume_name().unwrap_or_default(),
                settings.mark
            ),
            Self::MarkedByOther => format!(
                "the provisioner of another node may have made volume \"{}\" for this claim; it goes on here as soon as that one has made sure; if that node is gone for good, take finalizer {} off the claim",
                seen.volume_name().unwrap_or_default(),
                claim.and_then(|it| seen.mark_of_other(it)).unwrap_or_default(),
            ),
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
                "spec.dataSourceRef names {source} in another namespace, and the feature CrossNamespaceVolumeDataSource is off; turn it on, or import the snapshot here: a VolumeSnapshotContent with its snapshotHandle and deletionPolicy Retain, and a VolumeSnapshot that names it"
            ),
            Self::NotGranted => format!(
                "no ReferenceGrant in the namespace of {source} lets claims of this namespace be filled from it; create one there"
            ),
            Self::SnapshotMissing => format!("VolumeSnapshot {source} does not exist; the volume is made as soon as it is ready"),
            Self::SnapshotDeleting => format!("VolumeSnapshot {source} is being deleted; restore from another snapshot"),
            Self::SnapshotNotBound => format!("VolumeSnapshot {source} has no content yet; the volume is made as soon as it is ready"),
            Self::SnapshotNotReady => format!("VolumeSnapshot {source} is not ready to use yet; the volume is made as soon as it is"),
            Self::ContentMissing => format!("VolumeSnapshotContent \"{content_name}\" of VolumeSnapshot {source} does not exist; its data cannot be found"),
            Self::ContentOfAnother => format!("VolumeSnapshotContent \"{content_name}\" named by VolumeSnapshot {source} belongs to another snapshot; see its spec.volumeSnapshotRef"),
            Self::SnapshotOfOtherDriver => format!(
                "VolumeSnapshot {source} is of driver {snapshot_driver}, StorageClass \"{class}\" of driver {}; use a class of the snapshot's driver",
                settings.driver
            ),
            Self::NoHandle => format!("VolumeSnapshotContent \"{content_name}\" of VolumeSnapshot {source} has no status.snapshotHandle; wait for its driver, or take the snapshot anew"),
            Self::TooSmall => format!(
                "the claim requests {}, VolumeSnapshot {source} needs {}; make the claim anew with at least that",
                size(claim.and_then(|it| it.requested)),
                size(seen.restore_size()),
            ),
            Self::TooSmallForOrigin => format!(
                "the claim requests {}; VolumeSnapshot {source} does not say what it needs, and the volume it was cut from has {}: make the claim anew with at least that",
                size(claim.and_then(|it| it.requested)),
                size(seen.origin_size()),
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
                settings.driver
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
