//! Says whether what a claim is to be filled from can be used (spec restore 6.1, 6.2).

use std::sync::Arc;

use tintype_api::keys;

use super::complaint::Complaint;
use super::facts::{Repeat, Sighting};
use crate::Seen;
use crate::object::{Claim, ClaimPhase, Content, DataSourceKind, Snapshot, Volume, VolumeMode};
use crate::topology::{self, Segments};

/// The data source, as looked up by the shell.
#[derive(Debug, Clone)]
pub enum SourceSight {
    /// The claim names none that can be looked up.
    None,
    /// A snapshot and its content.
    Snapshot {
        /// The snapshot.
        snapshot: Seen<Arc<Snapshot>>,
        /// The content its status names, once it was read.
        content: Seen<Arc<Content>>,
        /// The volume it was cut from, if that is still there.
        origin: Option<Arc<Volume>>,
    },
    /// A claim and its volume.
    Claim {
        /// The claim.
        claim: Seen<Arc<Claim>>,
        /// Its volume.
        volume: Seen<Arc<Volume>>,
    },
}

/// What the data comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceFact {
    /// The volume starts empty.
    Nothing,
    /// A cache is not filled.
    Unknown,
    /// Somebody else's kind.
    Foreign,
    /// It cannot be used (yet).
    Refused(Complaint),
    /// The snapshot is ready; its content was not looked at yet.
    Unseen,
    /// In order but for our finalizer; somebody else keeps it while the claim waits.
    Unprotected,
    /// In order but for our finalizer, and nobody else keeps it.
    Exposed,
    /// All in order.
    Fine,
}

/// What a claim is filled from has to stay for its sake: a call may be under way.
///
/// Claims of other drivers count as long as they wait: nothing tells how far their provisioner is.
pub fn holds_its_source(claim: &Claim, driver: &str) -> bool {
    let marked = claim
        .meta
        .finalizers
        .iter()
        .any(|it| it.starts_with(keys::FINALIZER_IN_FLIGHT_PREFIX));
    claim.phase == ClaimPhase::Pending && (marked || claim.provisioner.as_deref() != Some(driver))
}

impl Sighting {
    /// From where the source of the data can be reached; empty if nobody knows.
    pub fn source_reach(&self) -> &[Segments] {
        match &self.source {
            SourceSight::Snapshot {
                origin: Some(volume),
                ..
            }
            | SourceSight::Claim {
                volume: Seen::Present(volume),
                ..
            } => &volume.reach,
            SourceSight::Snapshot { origin: None, .. }
            | SourceSight::Claim { .. }
            | SourceSight::None => &[],
        }
    }

    /// The pod was placed where the source of the data cannot be reached.
    pub fn source_elsewhere(&self) -> bool {
        let claim = self.claim.present();
        let selected = claim.and_then(|it| it.selected_node.as_deref());
        let node = self.nodes.iter().find(|it| Some(&*it.name) == selected);
        node.and_then(|it| it.labels.as_ref())
            .is_some_and(|labels| !topology::reachable(self.source_reach(), labels))
    }

    /// What the snapshot needs at least, in bytes; none if it does not say, or says nothing.
    pub fn restore_size(&self) -> Option<u64> {
        match &self.source {
            SourceSight::Snapshot { snapshot, .. } => snapshot
                .present()
                .and_then(|it| it.restore_size.as_deref())
                .and_then(tintype_api::quantity::parse_bytes)
                .filter(|it| *it > 0),
            SourceSight::None | SourceSight::Claim { .. } => None,
        }
    }

    /// What the volume has that the snapshot was cut from, in bytes.
    pub fn origin_size(&self) -> Option<u64> {
        match &self.source {
            SourceSight::Snapshot { origin, .. } => origin.as_ref().and_then(|it| it.capacity),
            SourceSight::None | SourceSight::Claim { .. } => None,
        }
    }

    pub(super) fn source_fact(&self, claim: &Claim) -> SourceFact {
        let Some(source) = &claim.source else {
            return SourceFact::Nothing;
        };
        match source.kind {
            DataSourceKind::Foreign => return SourceFact::Foreign,
            DataSourceKind::WrongGroup => return SourceFact::Refused(Complaint::SourceGroup),
            DataSourceKind::Snapshot | DataSourceKind::Claim => {}
        }
        if source.key.name.is_empty() {
            return SourceFact::Refused(Complaint::SourceUnnamed);
        }
        let abilities = self.settings.abilities;
        if source.kind == DataSourceKind::Snapshot && !abilities.snapshots {
            return SourceFact::Refused(Complaint::RestoreUnsupported);
        }
        if source.kind == DataSourceKind::Claim && !abilities.clones {
            return SourceFact::Refused(Complaint::CloneUnsupported);
        }
        if source.key.namespace != claim.meta.key.namespace {
            let namespace = &claim.meta.key.namespace;
            if !self.settings.cross_namespace {
                return SourceFact::Refused(Complaint::SourceElsewhere);
            }
            if !self.grants.iter().any(|it| it.allows(namespace, source)) {
                return SourceFact::Refused(Complaint::NotGranted);
            }
        }
        match &self.source {
            SourceSight::None => SourceFact::Unknown,
            SourceSight::Snapshot {
                snapshot, content, ..
            } => match snapshot {
                Seen::Unknown => SourceFact::Unknown,
                Seen::NotCached | Seen::Absent => SourceFact::Refused(Complaint::SnapshotMissing),
                Seen::Present(snapshot) => self.snapshot_fact(claim, snapshot, content),
            },
            SourceSight::Claim {
                claim: from,
                volume,
            } => match from {
                Seen::Unknown => SourceFact::Unknown,
                Seen::NotCached | Seen::Absent => {
                    SourceFact::Refused(Complaint::SourceClaimMissing)
                }
                Seen::Present(from) => self.source_claim_fact(claim, from, volume),
            },
        }
    }

    /// Spec restore 6.2, checks 8–17.
    fn snapshot_fact(
        &self,
        claim: &Claim,
        snapshot: &Snapshot,
        content: &Seen<Arc<Content>>,
    ) -> SourceFact {
        let protected = snapshot.meta.has_finalizer(keys::FINALIZER_PROVISIONER);
        // Whoever had begun before the deletion goes on (spec restore 6.2, check 8).
        let begun = protected || claim.meta.has_finalizer(&self.settings.mark);
        if snapshot.meta.deleting && !begun {
            return SourceFact::Refused(Complaint::SnapshotDeleting);
        }
        if snapshot.bound.is_none() {
            return SourceFact::Refused(Complaint::SnapshotNotBound);
        }
        if snapshot.ready != Some(true) {
            return SourceFact::Refused(Complaint::SnapshotNotReady);
        }
        let content = match content {
            Seen::Unknown | Seen::NotCached => return SourceFact::Unseen,
            Seen::Absent => {
                return SourceFact::Refused(Complaint::ContentMissing);
            }
            Seen::Present(content) => content,
        };
        if let Some(complaint) = self.content_trouble(claim, snapshot, content) {
            return SourceFact::Refused(complaint);
        }
        // The server takes no finalizer for what is being deleted.
        if protected || snapshot.meta.deleting || self.memory.unprotectable {
            SourceFact::Fine
        } else if snapshot.meta.key.namespace == claim.meta.key.namespace {
            // The controller keeps a snapshot that a waiting claim beside it names.
            SourceFact::Unprotected
        } else {
            SourceFact::Exposed
        }
    }

    fn content_trouble(
        &self,
        claim: &Claim,
        snapshot: &Snapshot,
        content: &Content,
    ) -> Option<Complaint> {
        if !content.points_at(&snapshot.meta.key, &snapshot.meta.uid) {
            Some(Complaint::ContentOfAnother)
        } else if content.driver != self.settings.driver {
            Some(Complaint::SnapshotOfOtherDriver)
        } else if content.status.as_ref().is_none_or(|it| it.handle.is_none()) {
            Some(Complaint::NoHandle)
        } else if self.restore_size() > claim.requested {
            Some(Complaint::TooSmall)
        } else if self.restore_size().is_none() && self.origin_size() > claim.requested {
            Some(Complaint::TooSmallForOrigin)
        } else if self.settings.prevent_mode_change
            && content.mode.is_some_and(|it| it != claim.mode)
            && !content.mode_change_allowed
        {
            Some(Complaint::ModeChange)
        } else {
            None
        }
    }

    fn source_claim_fact(
        &self,
        claim: &Claim,
        from: &Claim,
        volume: &Seen<Arc<Volume>>,
    ) -> SourceFact {
        if from.phase != ClaimPhase::Bound {
            return SourceFact::Refused(Complaint::SourceClaimNotBound);
        }
        let protected = from.meta.has_finalizer(keys::FINALIZER_CLONE);
        let begun = claim.meta.has_finalizer(&self.settings.mark);
        if from.meta.deleting && !begun {
            return SourceFact::Refused(Complaint::SourceClaimDeleting);
        }
        let volume = match volume {
            Seen::Unknown => return SourceFact::Unknown,
            Seen::NotCached | Seen::Absent => {
                return SourceFact::Refused(Complaint::SourceClaimNotBound);
            }
            Seen::Present(volume) => volume,
        };
        let ours = volume
            .csi
            .as_ref()
            .is_some_and(|it| *it.driver == *self.settings.driver);
        if !ours {
            SourceFact::Refused(Complaint::SourceClaimOfOtherDriver)
        } else if !volume.belongs_to(&from.meta.key, &from.meta.uid) {
            SourceFact::Refused(Complaint::SourceClaimNotBound)
        } else if from.requested > claim.requested {
            SourceFact::Refused(Complaint::SmallerThanClaim)
        } else if volume.mode.unwrap_or(VolumeMode::Filesystem) != claim.mode {
            SourceFact::Refused(Complaint::CloneModeChange)
        } else if protected || from.meta.deleting || self.memory.unprotectable {
            SourceFact::Fine
        } else {
            SourceFact::Exposed
        }
    }

    /// Whether the handle that a call in doubt was made with can still be had; nothing else is
    /// asked of the source.
    pub(super) fn source_to_repeat(&self) -> Repeat {
        let named = self.claim.present().and_then(|it| it.source.as_ref());
        match &self.source {
            SourceSight::None if named.is_none() => Repeat::Possible,
            SourceSight::None => Repeat::Impossible,
            SourceSight::Snapshot {
                snapshot, content, ..
            } => match (snapshot, content) {
                (_, Seen::Present(_)) => Repeat::Possible,
                (Seen::Unknown, _) => Repeat::Unknown,
                (Seen::Present(snapshot), Seen::Unknown | Seen::NotCached)
                    if snapshot.bound.is_some() =>
                {
                    Repeat::LookUpContent
                }
                (Seen::NotCached | Seen::Absent | Seen::Present(_), _) => Repeat::Impossible,
            },
            SourceSight::Claim { claim, volume } => match (claim, volume) {
                (_, Seen::Present(_)) => Repeat::Possible,
                (Seen::Unknown, _) | (_, Seen::Unknown) => Repeat::Unknown,
                (_, Seen::NotCached | Seen::Absent) => Repeat::Impossible,
            },
        }
    }
}
