//! Boils what was seen of one group snapshot down to the small facts [`decide`](super::decide)
//! reads.

use std::sync::Arc;

use tintype_api::keys;

use super::member;
use super::{Complaint, render};
use crate::Seen;
use crate::object::{
    Claim, ClaimPhase, Class, Group, GroupContent, GroupContentSource, GroupSource, Key, Snapshot,
    Volume, disagreement,
};
use crate::pair::{ClassFact, ClassSight, ContentFact, Memory, Publication, Sight, error_is_news};
use crate::snapshot::{NodeFact, Placement};

/// What the shell gathered for one group snapshot: rows of caches, and its own memory.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// The group snapshot.
    pub group: Seen<Arc<Group>>,
    /// It was written, or read past the cache, in this pass.
    pub fresh: bool,
    /// The group content of the name it is bound to or will have.
    pub content: Seen<Arc<GroupContent>>,
    /// The group content was read past the cache in this pass.
    pub looked_up: bool,
    /// The class it names, or the defaults of its driver.
    pub class: ClassSight,
    /// The claims its selector picks, by name; once a group content stands, those of its volumes.
    pub claims: Seen<Vec<Picked>>,
    /// Its members, one for each volume of its group content.
    pub members: Vec<member::Sighting>,
    /// Every snapshot that belongs to it.
    pub owned: Seen<Vec<Arc<Snapshot>>>,
    /// A member that a claim is being filled from right now.
    pub restored: Option<Key>,
    /// Whose sidecar is to look after the group content.
    pub placement: Placement,
    /// What this process remembers.
    pub memory: Memory,
}

/// A claim whose volume is to be cut.
#[derive(Debug, Clone)]
pub struct Picked {
    /// The claim.
    pub claim: Arc<Claim>,
    /// Its volume; `NotCached` if it names none.
    pub volume: Seen<Arc<Volume>>,
}

/// Everything the decision depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Facts {
    /// The group snapshot itself.
    pub group: Seen<GroupFact>,
    /// It was written, or read past the cache, in this pass.
    pub fresh: bool,
    /// Its group content.
    pub content: Seen<ContentFact>,
    /// The group content was read past the cache in this pass.
    pub looked_up: bool,
    /// Which class applies.
    pub class: ClassFact,
    /// The claims it is cut from.
    pub claims: ClaimsFact,
    /// One of them lacks our finalizer, and can have it.
    pub claim_unprotected: bool,
    /// The node from which all their volumes can be reached.
    pub node: NodeFact,
    /// Its members.
    pub members: MembersFact,
    /// The snapshots that go with it.
    pub owned: OwnedFact,
    /// A claim is being filled from a member.
    pub being_restored: bool,
    /// What of the group content's status it does not say yet.
    pub publication: Publication,
    /// The complaint its status voices now.
    pub said: Option<Complaint>,
    /// What the process remembers.
    pub memory: Memory,
}

/// The group snapshot's own facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GroupFact {
    /// `deletionTimestamp` is set.
    pub deleting: bool,
    /// Which source it names.
    pub source: SourceFact,
    /// Our finalizer is on it.
    pub protected: bool,
    /// Its spec names a class.
    pub class_named: bool,
    /// Its status names a group content.
    pub bound: bool,
    /// `status.readyToUse` is true.
    pub ready: bool,
    /// A cut may be in flight for it: it holds its claims.
    pub in_flight: bool,
    /// Its status voices an error.
    pub complains: bool,
    /// A group content can be named for it.
    pub content_expected: bool,
}

/// Which source `spec.source` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceFact {
    /// Labels of claims.
    Selector,
    /// Labels that nothing can have, or an operator nobody knows.
    BadSelector,
    /// A group content made by an administrator.
    Content,
    /// Neither, both, or an empty name.
    Unclear,
}

/// The claims a group snapshot is cut from: all in order, or the first thing that is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClaimsFact {
    /// A cache is not filled.
    Unknown,
    /// The selector picks none.
    None,
    /// Some have no volume yet, or lost it.
    NotBound,
    /// The volume of some is not there.
    VolumeMissing,
    /// The volume of some belongs to another claim.
    VolumeOfAnother,
    /// The volume of some is not a CSI volume.
    VolumeNotCsi,
    /// Their volumes are of several drivers.
    SeveralDrivers,
    /// They are of several storage classes.
    SeveralClasses,
    /// Some are being deleted, and can no longer be protected.
    Deleting,
    /// All in order.
    Bound,
}

/// The members of a dynamic group snapshot: all in order, or the first that is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MembersFact {
    /// It makes none: its snapshots are made by hand, as it was.
    Foreign,
    /// The driver's list is not one snapshot for each volume.
    Wrong,
    /// One of them is not settled.
    Open(member::Facts),
    /// All are made and say all there is to say.
    Settled,
}

/// The snapshots that go when their group snapshot goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OwnedFact {
    /// Their cache is not filled.
    Unknown,
    /// One was not asked to go yet.
    Staying,
    /// All that are left are going.
    Going,
}

impl Sighting {
    /// The facts of what was seen.
    pub fn facts(&self) -> Facts {
        let group = self.group.present();
        let content = self.content.present();
        let members = self.members_fact();
        let settled = matches!(members, MembersFact::Foreign | MembersFact::Settled);
        Facts {
            group: self
                .group
                .as_ref()
                .map(|it| group_fact(it, self.content.as_ref().map(AsRef::as_ref))),
            content: match group {
                Some(group) => self
                    .content
                    .as_ref()
                    .map(|content| content_fact(group, content)),
                None => Seen::NotCached,
            },
            fresh: self.fresh,
            looked_up: self.looked_up,
            class: self.class_fact(),
            claims: self.claims_fact(),
            claim_unprotected: self.unprotected_claim().is_some(),
            node: self.placement.fact(),
            members,
            owned: match &self.owned {
                Seen::Unknown => OwnedFact::Unknown,
                Seen::Present(_) if self.staying().is_some() => OwnedFact::Staying,
                Seen::NotCached | Seen::Absent | Seen::Present(_) => OwnedFact::Going,
            },
            being_restored: self.restored.is_some(),
            publication: match (group, content) {
                (Some(group), Some(content)) => publication(group, content, settled),
                (_, _) => Publication::Nothing,
            },
            said: group.and_then(|it| {
                let error = it.error.as_deref()?;
                Complaint::all().find(|complaint| complaint.text(self) == error)
            }),
            memory: self.memory,
        }
    }

    /// The class that applies, if there is exactly one.
    pub fn chosen_class(&self) -> Option<&Class> {
        self.class.only()
    }

    /// The claims that were picked.
    pub fn picked(&self) -> &[Picked] {
        self.claims.present().map_or(&[], Vec::as_slice)
    }

    /// The driver of all the volumes, if it is one.
    pub fn driver(&self) -> Option<&str> {
        let mut drivers = self.picked().iter().filter_map(Picked::driver);
        let first = drivers.next()?;
        drivers.all(|it| it == first).then_some(first)
    }

    /// All claims are of one storage class, or all of none.
    fn of_one_class(&self) -> bool {
        let mut classes = self.picked().iter().map(Picked::class);
        let first = classes.next();
        classes.all(|it| Some(it) == first)
    }

    /// The first claim that can be protected and is not.
    pub fn unprotected_claim(&self) -> Option<&Picked> {
        let open = |it: &&Picked| !it.claim.meta.deleting && !it.protected();
        self.picked().iter().find(open)
    }

    /// The first snapshot that is to go with the group and was not asked to.
    pub fn staying(&self) -> Option<&Arc<Snapshot>> {
        let all = self.owned.present()?;
        all.iter().find(|it| !it.meta.deleting)
    }

    /// The first member that is not settled.
    pub fn open_member(&self) -> Option<(&member::Sighting, member::Facts)> {
        let group = self.group.present()?;
        self.members
            .iter()
            .map(|it| (it, it.facts(group)))
            .find(|(_, facts)| member::stand(facts) != member::Stand::Settled)
    }

    /// What is wrong with the driver's list of members.
    pub fn disagreement(&self) -> Option<String> {
        let content = self.content.present()?;
        let told = content.handle().is_some() && !content.members().is_empty();
        told.then(|| disagreement(content.members(), content.volumes()))?
    }

    fn members_fact(&self) -> MembersFact {
        let dynamic = self.group.present().is_some_and(|it| it.dynamic());
        if !dynamic {
            return MembersFact::Foreign;
        }
        if self.disagreement().is_some() {
            return MembersFact::Wrong;
        }
        self.open_member()
            .map_or(MembersFact::Settled, |(_, facts)| MembersFact::Open(facts))
    }

    fn class_fact(&self) -> ClassFact {
        let group = self.group.present();
        self.class.fact(self.driver(), |class| {
            group.is_none_or(|it| render::deletion_secret(class, it).is_ok())
        })
    }

    fn claims_fact(&self) -> ClaimsFact {
        let picked = match &self.claims {
            Seen::Unknown => return ClaimsFact::Unknown,
            Seen::NotCached | Seen::Absent => return ClaimsFact::None,
            Seen::Present(picked) if picked.is_empty() => return ClaimsFact::None,
            Seen::Present(picked) => picked,
        };
        let worst = picked
            .iter()
            .map(Picked::fact)
            .find(|it| *it != ClaimsFact::Bound);
        match worst {
            Some(ClaimsFact::Deleting) | None if self.driver().is_none() => {
                ClaimsFact::SeveralDrivers
            }
            Some(ClaimsFact::Deleting) | None if !self.of_one_class() => ClaimsFact::SeveralClasses,
            Some(fact) => fact,
            None => ClaimsFact::Bound,
        }
    }
}

impl Picked {
    /// Our finalizer is on the claim.
    pub fn protected(&self) -> bool {
        self.claim
            .meta
            .has_finalizer(keys::FINALIZER_CLAIM_AS_SOURCE)
    }

    /// The driver of its volume, if that is known.
    pub fn driver(&self) -> Option<&str> {
        let csi = self.volume.present()?.csi.as_ref()?;
        Some(&csi.driver)
    }

    /// Its storage class, empty if it is of none.
    pub fn class(&self) -> &str {
        self.claim.class.as_deref().unwrap_or_default()
    }

    /// How this one claim stands.
    pub fn fact(&self) -> ClaimsFact {
        let claim = &self.claim;
        match claim.phase {
            ClaimPhase::Pending | ClaimPhase::Lost => return ClaimsFact::NotBound,
            ClaimPhase::Bound => {}
        }
        match &self.volume {
            Seen::Unknown => ClaimsFact::Unknown,
            Seen::NotCached | Seen::Absent => ClaimsFact::VolumeMissing,
            Seen::Present(volume) if !volume.belongs_to(&claim.meta.key, &claim.meta.uid) => {
                ClaimsFact::VolumeOfAnother
            }
            Seen::Present(volume) if volume.csi.is_none() => ClaimsFact::VolumeNotCsi,
            Seen::Present(_) if claim.meta.deleting && !self.protected() => ClaimsFact::Deleting,
            Seen::Present(_) => ClaimsFact::Bound,
        }
    }
}

fn group_fact(group: &Group, content: Seen<&GroupContent>) -> GroupFact {
    GroupFact {
        deleting: group.meta.deleting,
        source: match &group.source {
            GroupSource::Selector(_) => SourceFact::Selector,
            GroupSource::BadSelector(_) => SourceFact::BadSelector,
            GroupSource::Content(name) if !name.is_empty() => SourceFact::Content,
            GroupSource::Content(_) | GroupSource::Neither | GroupSource::Both => {
                SourceFact::Unclear
            }
        },
        protected: group
            .meta
            .has_finalizer(keys::FINALIZER_GROUP_SNAPSHOT_BOUND),
        class_named: group.class.is_some(),
        bound: group.bound.is_some(),
        ready: group.ready == Some(true),
        in_flight: group.holds_its_claims(content),
        complains: group.error.is_some(),
        content_expected: group.content_name().is_some_and(|name| !name.is_empty()),
    }
}

fn content_fact(group: &Group, content: &GroupContent) -> ContentFact {
    let pre_provisioned = matches!(group.source, GroupSource::Content(_));
    let expected = match &content.source {
        GroupContentSource::Volumes(_) => group.dynamic(),
        GroupContentSource::Existing { .. } => pre_provisioned,
        GroupContentSource::Neither | GroupContentSource::Both => false,
    };
    ContentFact {
        sight: Sight::of(&content.group, &group.meta, pre_provisioned, expected),
        deleting: content.meta.deleting,
        protected: content.meta.has_finalizer(keys::FINALIZER_GROUP_CONTENT),
        being_deleted: content.being_deleted,
        cut: content.handle().is_some(),
        policy: content.policy,
        class_owed: pre_provisioned && content.class.is_none() && group.class.is_some(),
    }
}

/// What the group snapshot lacks of what its group content says (spec group 4.6). It is ready only
/// once its members are made.
fn publication(group: &Group, content: &GroupContent, settled: bool) -> Publication {
    let status = content.status.as_ref();
    let ready = content.ready() && settled;
    let news = (group.creation_time.is_none()
        && status.is_some_and(|it| it.creation_time.is_some()))
        || (ready && group.ready != Some(true))
        || error_is_news(
            group.ready == Some(true),
            group.error.as_deref(),
            content.error().filter(|_| !ready),
        );
    Publication::of(news, group.bound.is_some() && group.ready.is_some())
}
