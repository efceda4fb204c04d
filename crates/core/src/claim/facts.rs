//! Boils what was seen of one claim down to the small facts [`decide`](super::decide) reads.

use std::sync::Arc;

use tintype_api::{keys, names};

use super::complaint::Complaint;
use super::memory::{Memory, Outcome};
use crate::object::{
    Claim, ClaimPhase, Content, DataSourceKind, Snapshot, StorageClass, Volume, VolumeMode,
};
use crate::{Seen, Time};

/// What the shell gathered for one claim.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// The claim.
    pub claim: Seen<Arc<Claim>>,
    /// Its storage class.
    pub class: Seen<Arc<StorageClass>>,
    /// The volume that will be made for it, by name.
    pub volume: Seen<()>,
    /// Where the data comes from.
    pub source: SourceSight,
    /// The driver this sidecar stands next to.
    pub driver: Arc<str>,
    /// `--prevent-volume-mode-conversion`.
    pub prevent_mode_change: bool,
    /// What this process remembers.
    pub memory: Memory,
    /// Now.
    pub now: Time,
}

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
    },
    /// A claim and its volume.
    Claim {
        /// The claim.
        claim: Seen<Arc<Claim>>,
        /// Its volume.
        volume: Seen<Arc<Volume>>,
    },
}

/// Everything the decision depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Facts {
    /// The claim itself.
    pub claim: Seen<ClaimFact>,
    /// Its storage class.
    pub class: ClassFact,
    /// The volume object made for it.
    pub volume: Seen<()>,
    /// It has a selector.
    pub has_selector: bool,
    /// It asks for a size.
    pub sized: bool,
    /// What its data comes from.
    pub source: SourceFact,
    /// What the last call came to.
    pub outcome: Outcome,
    /// The failure of that call was told.
    pub said: bool,
    /// The complaint that was told last.
    pub said_complaint: Option<Complaint>,
    /// The driver may be called.
    pub call_due: bool,
}

/// The claim's own facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClaimFact {
    /// The cluster asks this driver's provisioner.
    pub ours: bool,
    /// It has a volume, or names one.
    pub bound: bool,
    /// `deletionTimestamp` is set.
    pub deleting: bool,
}

/// The storage class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClassFact {
    /// Its cache is not filled.
    Unknown,
    /// It does not exist.
    Missing,
    /// It names another provisioner.
    OfAnother,
    /// In order.
    Fine,
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
    /// All in order but for our finalizer on it.
    Unprotected,
    /// All in order.
    Fine,
}

impl Sighting {
    /// The facts of what was seen.
    pub fn facts(&self) -> Facts {
        let claim = self.claim.present();
        Facts {
            claim: self.claim.as_ref().map(|it| ClaimFact {
                ours: it.provisioner.as_deref() == Some(&*self.driver),
                bound: it.volume.is_some() || it.phase != ClaimPhase::Pending,
                deleting: it.meta.deleting,
            }),
            class: match &self.class {
                Seen::Unknown => ClassFact::Unknown,
                Seen::NotCached | Seen::Absent => ClassFact::Missing,
                Seen::Present(class) if *class.provisioner != *self.driver => ClassFact::OfAnother,
                Seen::Present(_) => ClassFact::Fine,
            },
            volume: self.volume,
            has_selector: claim.is_some_and(|it| it.has_selector),
            sized: claim.is_some_and(|it| it.requested.is_some_and(|it| it > 0)),
            source: claim.map_or(SourceFact::Nothing, |it| self.source_fact(it)),
            outcome: self.memory.outcome,
            said: self.memory.said,
            said_complaint: self.memory.said_complaint,
            call_due: self.memory.backoff.due(self.now),
        }
    }

    /// The name the volume has, on storage and as an object.
    pub fn volume_name(claim: &Claim) -> String {
        names::volume_name(&claim.meta.uid.to_string())
    }

    /// What the snapshot needs at least, in bytes.
    pub fn restore_size(&self) -> Option<u64> {
        match &self.source {
            SourceSight::Snapshot { snapshot, .. } => snapshot
                .present()
                .and_then(|it| it.restore_size.as_deref())
                .and_then(tintype_api::quantity::parse_bytes),
            SourceSight::None | SourceSight::Claim { .. } => None,
        }
    }

    fn source_fact(&self, claim: &Claim) -> SourceFact {
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
        if source.key.namespace != claim.meta.key.namespace {
            return SourceFact::Refused(Complaint::SourceElsewhere);
        }
        match &self.source {
            SourceSight::None => SourceFact::Unknown,
            SourceSight::Snapshot { snapshot, content } => match snapshot {
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
        if snapshot.meta.deleting && !protected {
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
        let refused = if !content.points_at(&snapshot.meta.key, &snapshot.meta.uid) {
            Some(Complaint::ContentOfAnother)
        } else if content.driver != self.driver {
            Some(Complaint::SnapshotOfOtherDriver)
        } else if content.status.as_ref().is_none_or(|it| it.handle.is_none()) {
            Some(Complaint::NoHandle)
        } else if self.restore_size() > claim.requested {
            Some(Complaint::TooSmall)
        } else if self.prevent_mode_change
            && content.mode.is_some_and(|it| it != claim.mode)
            && !content.mode_change_allowed
        {
            Some(Complaint::ModeChange)
        } else {
            None
        };
        match refused {
            Some(complaint) => SourceFact::Refused(complaint),
            None if protected => SourceFact::Fine,
            None => SourceFact::Unprotected,
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
        if from.meta.deleting {
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
            .is_some_and(|it| *it.driver == *self.driver);
        if !ours {
            SourceFact::Refused(Complaint::SourceClaimOfOtherDriver)
        } else if volume.capacity > claim.requested {
            SourceFact::Refused(Complaint::SmallerThanClaim)
        } else if volume.mode.unwrap_or(VolumeMode::Filesystem) != claim.mode {
            SourceFact::Refused(Complaint::CloneModeChange)
        } else {
            SourceFact::Fine
        }
    }
}
