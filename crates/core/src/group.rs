//! Decides the life of a `VolumeGroupSnapshot`, cluster side: from the wish to cut several claims'
//! volumes at one moment to a group content that is bound, its members, and the going of them all.
//!
//! Does not talk to storage. To the driver's side it speaks through the group content; to the
//! machine of single [`snapshot`](crate::snapshot)s through the members, which live like any other
//! snapshot but for their cut and their going.
//!
//! **Guarantees.** Those of a single snapshot: no second group content for one that was bound, no
//! deletion but on behalf of a group snapshot that is being deleted itself, and letting go only on
//! evidence. The claims are protected before the group content exists, and which they are is fixed
//! with it. Members are made only from a list that has each volume once. The group snapshot is
//! ready only when all its members are made. It goes after its members were asked to go.
//!
//! **Assumptions.** One instance acts at a time. The sidecar alone takes the group content's
//! finalizer off, once the group snapshot on storage is gone or is to stay.
//!
//! **Caveats.** The claims are those of the cache: a claim labelled in the moment before the group
//! snapshot is created may be missed, where upstream's list past the cache would have it.

mod complaint;
mod facts;
pub mod member;
mod refusal;
mod render;

pub use complaint::Complaint;
pub use facts::{
    ClaimsFact, Facts, GroupFact, MembersFact, OwnedFact, Picked, Sighting, SourceFact,
};
pub use refusal::refusal;
pub use render::render;

use crate::pair::{ClassFact, ContentFact, Publication, Sight};
use crate::snapshot::NodeFact;
use crate::{DeletionPolicy, Seen, Timer, Verdict};

/// One write to the API server, or one read past the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Put our finalizer on the group snapshot, and the default class in its spec if it named none.
    Protect,
    /// Put our finalizer on the first claim that lacks it.
    ProtectClaim,
    /// Read the group snapshot past the cache.
    LookUpGroup,
    /// Create the group content, with its finalizer.
    CreateContent,
    /// Tell a group content made by an administrator which group snapshot it now belongs to.
    BindContent,
    /// Put the finalizer on a group content that came without.
    ProtectContent,
    /// Read the group content past the cache.
    LookUpContent,
    /// Do something for the first member that is not settled.
    Member(member::Step),
    /// Copy what the group content says into the group snapshot's status.
    Publish,
    /// Say on the group snapshot why it does not go on.
    Complain(Complaint),
    /// Mark the group content: its group snapshot is going.
    AskContentDeletion,
    /// Delete the first snapshot that is to go and was not asked to.
    DeleteMember,
    /// Delete the group content object.
    DeleteContent,
    /// Take back what was said on the group snapshot: the cure came.
    Retract,
    /// Take our finalizer off the group snapshot.
    Release,
}

/// Why there is nothing to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Waiting {
    /// The group snapshot is not there (any more).
    Gone,
    /// Ready, bound, nothing owed.
    Settled,
    /// A cache is not filled yet.
    ForCaches,
    /// The sidecar has the group content and has not said ready.
    ForDriver,
    /// The group content is going, or that of a member; the sidecar has to let it go first.
    ForContentRemoval,
    /// Deleting, with nothing of ours left on it; somebody else's finalizer holds it.
    ForOthers,
    /// Something has to be put right first; the group snapshot's status says what.
    ForCure(Complaint),
}

type Next = Verdict<Step, Waiting>;

/// Returns the next step for a group snapshot, or why there is none.
pub fn decide(facts: &Facts) -> Next {
    let Seen::Present(group) = facts.group else {
        return match facts.group {
            Seen::Unknown => Verdict::Rest(Waiting::ForCaches),
            Seen::NotCached | Seen::Absent | Seen::Present(_) => Verdict::Rest(Waiting::Gone),
        };
    };
    if group.deleting {
        return remove(facts, group);
    }
    match group.source {
        SourceFact::Unclear => return complain(facts, Complaint::SourceUnclear),
        SourceFact::BadSelector if !group.bound => {
            return complain(facts, Complaint::SelectorUnclear);
        }
        SourceFact::Selector | SourceFact::BadSelector | SourceFact::Content => {}
    }
    match facts.content {
        Seen::Unknown => Verdict::Rest(Waiting::ForCaches),
        Seen::Present(content) => with_content(facts, group, content),
        Seen::NotCached | Seen::Absent => without_content(facts, group),
    }
}

/// No group content is known. Upstream: syncUnreadyGroupSnapshot.
fn without_content(facts: &Facts, group: GroupFact) -> Next {
    // It had one, or is to adopt one. Cutting again would put newer data under an old date.
    if group.bound || group.source == SourceFact::Content {
        return match facts.content {
            Seen::Absent => complain(facts, Complaint::ContentMissing),
            Seen::NotCached | Seen::Unknown | Seen::Present(_) => Verdict::Do(Step::LookUpContent),
        };
    }
    let next = create(facts, group);
    // Who gives up lets its claims go. A group content may have been made, and its reply lost.
    let unsure = match next {
        Verdict::Do(Step::Complain(_)) => !facts.looked_up,
        Verdict::Rest(Waiting::ForCure(_)) | Verdict::Wait(Timer::Retry | Timer::Poll, _) => {
            facts.content == Seen::NotCached
        }
        Verdict::Do(_) | Verdict::Rest(_) | Verdict::Wait(Timer::Grace, _) => false,
    };
    if unsure && group.protected {
        return Verdict::Do(Step::LookUpContent);
    }
    next
}

/// Everything a new group content needs, then the group content. Upstream:
/// createGroupSnapshotContent.
fn create(facts: &Facts, group: GroupFact) -> Next {
    let choice = match facts.class {
        ClassFact::Unknown => return Verdict::Rest(Waiting::ForCaches),
        ClassFact::Missing => return complain(facts, Complaint::ClassMissing),
        ClassFact::NoDefault => return complain(facts, Complaint::NoDefaultClass),
        ClassFact::SeveralDefaults => return complain(facts, Complaint::SeveralDefaultClasses),
        ClassFact::Undecided => None,
        ClassFact::Chosen(choice) => Some(choice),
    };
    match facts.claims {
        ClaimsFact::Unknown => return Verdict::Rest(Waiting::ForCaches),
        ClaimsFact::None => return complain(facts, Complaint::NoClaims),
        ClaimsFact::NotBound => return complain(facts, Complaint::ClaimsNotBound),
        ClaimsFact::VolumeMissing => return complain(facts, Complaint::VolumesMissing),
        ClaimsFact::VolumeOfAnother => return complain(facts, Complaint::VolumesOfAnother),
        ClaimsFact::VolumeNotCsi => return complain(facts, Complaint::VolumesNotCsi),
        ClaimsFact::SeveralDrivers => return complain(facts, Complaint::SeveralDrivers),
        ClaimsFact::SeveralClasses => return complain(facts, Complaint::SeveralClasses),
        ClaimsFact::Deleting => return complain(facts, Complaint::ClaimsDeleting),
        ClaimsFact::Bound => {}
    }
    let Some(choice) = choice else {
        // The claims' driver is known and still no class follows from it: caches are behind.
        return Verdict::Rest(Waiting::ForCaches);
    };
    if !choice.drives_volume {
        return complain(facts, Complaint::ClassOfOtherDriver);
    }
    if !choice.secrets_resolve {
        return complain(facts, Complaint::SecretUnclear);
    }
    match facts.node {
        NodeFact::Settled => {}
        NodeFact::Unknown => return Verdict::Rest(Waiting::ForCaches),
        NodeFact::Missing => return complain(facts, Complaint::NodeMissing),
    }
    // Before the group content, so that a group deleted before it is bound leaves nothing (D12).
    if !(group.protected && group.class_named) {
        return Verdict::Do(Step::Protect);
    }
    if facts.memory.creation_refused && !facts.memory.retry_due {
        return complain_for_now(facts, Complaint::CreationRefused);
    }
    // Who says that it failed does not hold its claims: the guard would let go what is cut next.
    if group.complains {
        return Verdict::Do(Step::Retract);
    }
    if facts.claim_unprotected {
        return Verdict::Do(Step::ProtectClaim);
    }
    // Nothing in a POST says which group snapshot was seen; it may have been bound long since.
    if !facts.fresh {
        return Verdict::Do(Step::LookUpGroup);
    }
    Verdict::Do(Step::CreateContent)
}

/// A group content of the right name is there. Upstream: syncUnreadyGroupSnapshot,
/// syncReadyGroupSnapshot.
fn with_content(facts: &Facts, group: GroupFact, content: ContentFact) -> Next {
    match content.sight {
        Sight::OfAnother if facts.looked_up || facts.said == Some(Complaint::ContentOfAnother) => {
            return complain(facts, Complaint::ContentOfAnother);
        }
        // Perhaps the cache still shows an earlier group content of that name.
        Sight::OfAnother => return Verdict::Do(Step::LookUpContent),
        Sight::WrongOrigin => return complain(facts, Complaint::ContentMismatch),
        Sight::Ours | Sight::Unclaimed => {}
    }
    if !group.protected {
        return Verdict::Do(Step::Protect);
    }
    if content.sight == Sight::Unclaimed || content.class_owed {
        return Verdict::Do(Step::BindContent);
    }
    if !content.protected && !content.deleting {
        return Verdict::Do(Step::ProtectContent);
    }
    if group.in_flight && !content.cut && facts.claim_unprotected {
        return Verdict::Do(Step::ProtectClaim);
    }
    if content.cut
        && let Some(next) = members(facts, group)
    {
        return next;
    }
    match facts.publication {
        Publication::Nothing => {}
        Publication::BoundOnly if facts.memory.in_grace => {
            return Verdict::Wait(Timer::Grace, Waiting::ForDriver);
        }
        Publication::BoundOnly | Publication::News => return Verdict::Do(Step::Publish),
    }
    Verdict::Rest(if group.ready {
        Waiting::Settled
    } else {
        Waiting::ForDriver
    })
}

/// What the members need, if anything. Upstream: createMembers.
fn members(facts: &Facts, group: GroupFact) -> Option<Next> {
    let member = match facts.members {
        MembersFact::Foreign | MembersFact::Settled => return None,
        MembersFact::Wrong => return Some(complain(facts, Complaint::MembersWrong)),
        MembersFact::Open(member) => member,
    };
    match member::stand(&member) {
        // What is made a second time is made for a group that surely is there.
        member::Stand::Owes(member::Step::MakeSnapshot) if group.ready && !facts.fresh => {
            Some(Verdict::Do(Step::LookUpGroup))
        }
        member::Stand::Owes(step) => Some(Verdict::Do(Step::Member(step))),
        member::Stand::Taken => Some(complain(facts, Complaint::MemberTaken)),
        member::Stand::ForCaches => Some(Verdict::Rest(Waiting::ForCaches)),
        member::Stand::ForRemoval => Some(Verdict::Rest(Waiting::ForContentRemoval)),
        member::Stand::ForDriver | member::Stand::Settled => None,
    }
}

/// The group snapshot is being deleted. Upstream: processGroupSnapshotWithDeletionTimestamp.
fn remove(facts: &Facts, group: GroupFact) -> Next {
    if !group.protected {
        return Verdict::Rest(Waiting::ForOthers);
    }
    let content = match facts.content {
        _ if !group.content_expected => None,
        Seen::Unknown => return Verdict::Rest(Waiting::ForCaches),
        Seen::NotCached => return Verdict::Do(Step::LookUpContent),
        // One was made since, perhaps, and the reply lost; one that was bound never is.
        Seen::Absent if !group.bound && !facts.looked_up => {
            return Verdict::Do(Step::LookUpContent);
        }
        Seen::Absent => None,
        Seen::Present(content) => match content.sight {
            Sight::Ours => Some(content),
            // Only a fresh look may say that this is not our group content.
            Sight::OfAnother | Sight::Unclaimed | Sight::WrongOrigin if !facts.looked_up => {
                return Verdict::Do(Step::LookUpContent);
            }
            Sight::OfAnother | Sight::Unclaimed | Sight::WrongOrigin => None,
        },
    };
    if content.is_some() && facts.being_restored {
        return complain(facts, Complaint::BeingRestored);
    }
    if let Some(content) = content {
        // Else it would go at once, and with it what is known of a cut under way.
        if !content.protected && !content.deleting {
            return Verdict::Do(Step::ProtectContent);
        }
        if !content.being_deleted {
            return Verdict::Do(Step::AskContentDeletion);
        }
    }
    // First the members: nothing can be restored from a snapshot that is going.
    match facts.owned {
        OwnedFact::Unknown => return Verdict::Rest(Waiting::ForCaches),
        OwnedFact::Staying => return Verdict::Do(Step::DeleteMember),
        OwnedFact::Going => {}
    }
    match content {
        Some(content) if content.policy == DeletionPolicy::Delete => {
            if content.deleting {
                Verdict::Rest(Waiting::ForContentRemoval)
            } else {
                Verdict::Do(Step::DeleteContent)
            }
        }
        Some(_) | None => Verdict::Do(Step::Release),
    }
}

/// Says it once, then waits for the cure, which may be there before it is said.
fn complain(facts: &Facts, complaint: Complaint) -> Next {
    if facts.said == Some(complaint) {
        Verdict::Rest(Waiting::ForCure(complaint))
    } else if facts.memory.in_grace && complaint.may_pass() {
        Verdict::Wait(Timer::Grace, Waiting::ForCure(complaint))
    } else {
        Verdict::Do(Step::Complain(complaint))
    }
}

/// Says it once, then waits for the back-off to end.
fn complain_for_now(facts: &Facts, complaint: Complaint) -> Next {
    if facts.said == Some(complaint) {
        Verdict::Wait(Timer::Retry, Waiting::ForCure(complaint))
    } else {
        Verdict::Do(Step::Complain(complaint))
    }
}

#[cfg(test)]
mod tests;
