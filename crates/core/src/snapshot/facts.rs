//! Boils what was seen of one snapshot down to the small facts [`decide`](super::decide) reads.

use std::sync::Arc;

use serde_json::{Value, json};
use tintype_api::keys;

use super::Complaint;
use crate::object::{
    Affinity, Claim, ClaimPhase, Class, Content, ContentSource, Group, Key, Node, Snapshot,
    SnapshotSource, Volume,
};
use crate::pair::{
    ClassFact, ClassSight, ContentFact, Memory, Policy, Publication, Sight, error_is_news,
};
use crate::{DeletionPolicy, Seen};

/// What the shell gathered for one snapshot: rows of caches, and its own memory.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// The snapshot.
    pub snapshot: Seen<Arc<Snapshot>>,
    /// The snapshot was written, or read past the cache, in this pass.
    pub fresh: bool,
    /// The content of the name it is bound to or will have.
    pub content: Seen<Arc<Content>>,
    /// The content was read past the cache in this pass.
    pub looked_up: bool,
    /// The class it names, or the defaults of its driver.
    pub class: ClassSight,
    /// The source claim.
    pub claim: Seen<Arc<Claim>>,
    /// The claim's volume.
    pub volume: Seen<Arc<Volume>>,
    /// Where the group snapshot it belongs to is, if it belongs to one: by its owner, its status, or
    /// the group its content was cut with.
    pub group_key: Option<Key>,
    /// That group snapshot.
    pub group: Seen<Arc<Group>>,
    /// A claim is being filled from this snapshot right now.
    pub being_restored: bool,
    /// `--prevent-volume-mode-conversion`: who restores cannot change the mode unasked.
    pub keep_mode: bool,
    /// Whose sidecar is to look after the content.
    pub placement: Placement,
    /// What this process remembers.
    pub memory: Memory,
}

/// Which node's sidecar a content, or a group content, is for (spec controller 2.6,
/// `--enable-distributed-snapshotting`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// Any: the driver has one sidecar, or the volumes can be reached from everywhere.
    Anywhere,
    /// The cache of nodes is not filled.
    Unknown,
    /// There is no node from which the volume, or all of them, can be reached.
    Nowhere,
    /// The node of this name.
    On(Arc<str>),
}

impl Placement {
    /// Of the nodes that all volumes with these affinities can be reached from, the first by name.
    pub fn among<'a>(affinities: &[&Affinity], nodes: impl IntoIterator<Item = &'a Node>) -> Self {
        let admitted = nodes
            .into_iter()
            .filter(|node| affinities.iter().all(|it| it.admits(node)));
        let first = admitted.map(|it| &it.meta.key.name).min();
        first.map_or(Self::Nowhere, |name| Self::On(name.clone()))
    }

    /// Whether somebody will look at what is made.
    pub(crate) const fn fact(&self) -> NodeFact {
        match self {
            Self::Anywhere | Self::On(_) => NodeFact::Settled,
            Self::Unknown => NodeFact::Unknown,
            Self::Nowhere => NodeFact::Missing,
        }
    }

    /// The labels by which that sidecar finds it.
    pub(crate) fn labels(&self) -> Option<Value> {
        match self {
            Self::On(node) => Some(json!({ keys::LABEL_MANAGED_BY: node })),
            Self::Anywhere | Self::Unknown | Self::Nowhere => None,
        }
    }
}

/// Everything the decision depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Facts {
    /// The snapshot itself.
    pub snapshot: Seen<SnapshotFact>,
    /// The snapshot was written, or read past the cache, in this pass.
    pub fresh: bool,
    /// Its content.
    pub content: Seen<ContentFact>,
    /// The content was read past the cache in this pass.
    pub looked_up: bool,
    /// Which class applies.
    pub class: ClassFact,
    /// The source claim and its volume.
    pub claim: ClaimFact,
    /// Our finalizer is on the claim.
    pub claim_protected: bool,
    /// Whose sidecar is to look after the content.
    pub node: NodeFact,
    /// The group snapshot it belongs to.
    pub group: GroupFact,
    /// A claim is being filled from this snapshot.
    pub being_restored: bool,
    /// What of the content's status the snapshot does not say yet.
    pub publication: Publication,
    /// The complaint its status voices now.
    pub said: Option<Complaint>,
    /// What the process remembers.
    pub memory: Memory,
}

/// The snapshot's own facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SnapshotFact {
    /// `deletionTimestamp` is set.
    pub deleting: bool,
    /// Which source it names.
    pub source: SourceFact,
    /// At least one of our finalizers is on it.
    pub protected: bool,
    /// The as-source finalizer is on it.
    pub source_finalizer: bool,
    /// The bound finalizer is on it.
    pub bound_finalizer: bool,
    /// Its spec names a class.
    pub class_named: bool,
    /// Its status names a content.
    pub bound: bool,
    /// `status.readyToUse` is true.
    pub ready: bool,
    /// A cut may be in flight for it: it holds its claim.
    pub in_flight: bool,
    /// Its status voices an error.
    pub complains: bool,
    /// A content can be named for it.
    pub content_expected: bool,
}

impl SnapshotFact {
    /// All finalizers it needs beside a content of this policy are on it. A member is bound by its
    /// group, not by a finalizer of its own.
    pub const fn protected_beside(self, policy: DeletionPolicy) -> bool {
        match self.source {
            SourceFact::Group => self.source_finalizer,
            SourceFact::Claim | SourceFact::Content | SourceFact::Unclear => {
                self.protected_for(Policy::of(policy))
            }
        }
    }

    /// All finalizers this policy asks for are on it.
    pub const fn protected_for(self, policy: Policy) -> bool {
        self.source_finalizer
            && match policy {
                Policy::Delete => self.bound_finalizer,
                Policy::Retain => true,
            }
    }
}

/// Which source `spec.source` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceFact {
    /// A claim.
    Claim,
    /// A content made by an administrator.
    Content,
    /// A claim, cut with its group snapshot and not alone.
    Group,
    /// Neither, both, or an empty name.
    Unclear,
}

/// The group snapshot it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupFact {
    /// It belongs to none.
    None,
    /// Whether it still is there is not known: not cached, or groups are not watched (D2).
    Unseen,
    /// It is surely gone, and perhaps another has its name.
    Gone,
    /// It is being deleted.
    Going,
    /// It stands, and is not yet its owner.
    Stranger,
    /// It stands.
    Stands,
}

/// The source claim and its volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClaimFact {
    /// Its cache is not filled.
    Unknown,
    /// No such claim.
    Missing,
    /// It is being deleted.
    Deleting,
    /// It has no volume yet, or lost it.
    NotBound,
    /// The cache of volumes is not filled.
    VolumeUnknown,
    /// Its volume is not there.
    VolumeMissing,
    /// Its volume belongs to another claim.
    VolumeOfAnother,
    /// Its volume is not a CSI volume.
    VolumeNotCsi,
    /// All in order.
    Bound,
}

/// The node whose sidecar is to look after the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeFact {
    /// Known, or not needed.
    Settled,
    /// The cache of nodes is not filled.
    Unknown,
    /// There is no node the volume can be reached from.
    Missing,
}

impl Sighting {
    /// The facts of what was seen.
    pub fn facts(&self) -> Facts {
        let snapshot = self.snapshot.present();
        let claim = self.claim.present();
        Facts {
            snapshot: self
                .snapshot
                .as_ref()
                .map(|it| snapshot_fact(it, self.content.as_ref().map(AsRef::as_ref))),
            content: match snapshot {
                Some(snapshot) => self
                    .content
                    .as_ref()
                    .map(|content| content_fact(snapshot, content)),
                None => Seen::NotCached,
            },
            fresh: self.fresh,
            looked_up: self.looked_up,
            class: self.class_fact(),
            claim: self.claim_fact(),
            claim_protected: claim
                .is_some_and(|it| it.meta.has_finalizer(keys::FINALIZER_CLAIM_AS_SOURCE)),
            node: self.placement.fact(),
            group: self.group_fact(),
            being_restored: self.being_restored,
            publication: match (snapshot, self.content.present()) {
                (Some(snapshot), Some(content)) => {
                    publication(snapshot, content, self.group_name_owed().is_some())
                }
                (_, _) => Publication::Nothing,
            },
            said: snapshot.and_then(|it| {
                let error = it.error.as_deref()?;
                Complaint::all().find(|complaint| complaint.text(self) == error)
            }),
            memory: self.memory,
        }
    }

    /// The name of its group snapshot, if its status does not say it yet.
    pub(super) fn group_name_owed(&self) -> Option<&Key> {
        let snapshot = self.snapshot.present()?;
        let said = snapshot.group.as_ref().and_then(|it| it.name.as_ref());
        self.group_key.as_ref().filter(|_| said.is_none())
    }

    fn group_fact(&self) -> GroupFact {
        let Some(snapshot) = self.snapshot.present() else {
            return GroupFact::None;
        };
        let owner = snapshot.owner();
        match &self.group {
            _ if self.group_key.is_none() => GroupFact::None,
            Seen::Unknown | Seen::NotCached => GroupFact::Unseen,
            Seen::Absent => GroupFact::Gone,
            Seen::Present(it) if owner.is_some_and(|owner| owner.uid != it.meta.uid) => {
                GroupFact::Gone
            }
            Seen::Present(it) if it.meta.deleting => GroupFact::Going,
            Seen::Present(_) if owner.is_none() => GroupFact::Stranger,
            Seen::Present(_) => GroupFact::Stands,
        }
    }

    /// The class that applies, if there is exactly one.
    pub fn chosen_class(&self) -> Option<&Class> {
        self.class.only()
    }

    fn class_fact(&self) -> ClassFact {
        let volume = self.volume.present().and_then(|it| it.csi.as_ref());
        let snapshot = self.snapshot.present();
        self.class
            .fact(volume.map(|it| it.driver.as_ref()), |class| {
                snapshot.is_none_or(|it| super::render::deletion_secret(class, it).is_ok())
            })
    }

    fn claim_fact(&self) -> ClaimFact {
        let claim = match &self.claim {
            Seen::Unknown => return ClaimFact::Unknown,
            Seen::NotCached | Seen::Absent => return ClaimFact::Missing,
            Seen::Present(claim) => claim,
        };
        match claim.phase {
            ClaimPhase::Pending | ClaimPhase::Lost => return ClaimFact::NotBound,
            ClaimPhase::Bound => {}
        }
        match &self.volume {
            Seen::Unknown => ClaimFact::VolumeUnknown,
            Seen::NotCached | Seen::Absent => ClaimFact::VolumeMissing,
            Seen::Present(volume) if !volume.belongs_to(&claim.meta.key, &claim.meta.uid) => {
                ClaimFact::VolumeOfAnother
            }
            Seen::Present(volume) if volume.csi.is_none() => ClaimFact::VolumeNotCsi,
            Seen::Present(_) if claim.meta.deleting => ClaimFact::Deleting,
            Seen::Present(_) => ClaimFact::Bound,
        }
    }
}

fn snapshot_fact(snapshot: &Snapshot, content: Seen<&Content>) -> SnapshotFact {
    let source_finalizer = snapshot
        .meta
        .has_finalizer(keys::FINALIZER_SNAPSHOT_AS_SOURCE);
    let bound_finalizer = snapshot.meta.has_finalizer(keys::FINALIZER_SNAPSHOT_BOUND);
    SnapshotFact {
        deleting: snapshot.meta.deleting,
        source: match &snapshot.source {
            // The claim of a member may be unknown.
            SnapshotSource::Claim(_) if snapshot.is_member() => SourceFact::Group,
            SnapshotSource::Claim(name) if !name.is_empty() => SourceFact::Claim,
            SnapshotSource::Content(name) if !name.is_empty() => SourceFact::Content,
            SnapshotSource::Claim(_)
            | SnapshotSource::Content(_)
            | SnapshotSource::Neither
            | SnapshotSource::Both => SourceFact::Unclear,
        },
        protected: source_finalizer
            || bound_finalizer
            || snapshot
                .meta
                .has_finalizer(keys::FINALIZER_SNAPSHOT_IN_GROUP),
        source_finalizer,
        bound_finalizer,
        class_named: snapshot.class.is_some(),
        bound: snapshot.bound.is_some(),
        ready: snapshot.ready == Some(true),
        in_flight: snapshot.holds_its_claim(content),
        complains: snapshot.error.is_some(),
        content_expected: snapshot.content_name().is_some_and(|name| !name.is_empty()),
    }
}

fn content_fact(snapshot: &Snapshot, content: &Content) -> ContentFact {
    let expected = match (&snapshot.source, &content.source) {
        (SnapshotSource::Claim(_), ContentSource::Volume(_))
        | (SnapshotSource::Content(_), ContentSource::Snapshot(_)) => true,
        (
            SnapshotSource::Claim(_)
            | SnapshotSource::Content(_)
            | SnapshotSource::Neither
            | SnapshotSource::Both,
            ContentSource::Volume(_)
            | ContentSource::Snapshot(_)
            | ContentSource::Neither
            | ContentSource::Both,
        ) => false,
    };
    let pre_provisioned = matches!(snapshot.source, SnapshotSource::Content(_));
    ContentFact {
        sight: Sight::of(&content.snapshot, &snapshot.meta, pre_provisioned, expected),
        deleting: content.meta.deleting,
        protected: content.meta.has_finalizer(keys::FINALIZER_CONTENT),
        being_deleted: content.being_deleted,
        cut: content.handle().is_some(),
        policy: content.policy,
        class_owed: pre_provisioned && content.class.is_none() && snapshot.class.is_some(),
    }
}

/// What the snapshot lacks of what its content says (spec controller 2.7).
fn publication(snapshot: &Snapshot, content: &Content, group_owed: bool) -> Publication {
    let status = content.status.as_ref();
    let ready = content.ready();
    // A member says of whom it is when it says how it is: one write.
    let news = (group_owed && content.handle().is_some())
        || (snapshot.creation_time.is_none()
            && status.is_some_and(|it| it.creation_time.is_some()))
        || (ready && snapshot.ready != Some(true))
        || restore_size_is_news(snapshot, status.and_then(|it| it.restore_size))
        || error_is_news(
            snapshot.ready == Some(true),
            snapshot.error.as_deref(),
            content.error().filter(|_| !ready),
        );
    Publication::of(news, snapshot.bound.is_some() && snapshot.ready.is_some())
}

fn restore_size_is_news(snapshot: &Snapshot, size: Option<i64>) -> bool {
    match (snapshot.restore_size.as_deref(), size) {
        (None, Some(_)) => true,
        (Some("0"), Some(size)) => size > 0,
        (Some(_), _) | (None, None) => false,
    }
}
