//! Decides the life of a `VolumeSnapshot`, cluster side: from the wish to cut a claim's volume to
//! a content that is bound, ready, and one day gone.
//!
//! Does not talk to storage and does not know how: all it says to the driver's side is the content
//! object, all it hears is that object's status.
//!
//! **Guarantees.** A snapshot whose content was once bound never gets a second one (D5). A content
//! is deleted only on behalf of a snapshot that points at it, is pointed back at, and is itself
//! being deleted. The snapshot is let go only when a read past the cache, or a deletion seen on an
//! unbroken watch, has said that its content is gone, or when the policy is to retain it. The
//! source claim is protected before the content exists; [`guard`](crate::guard) lets it go.
//!
//! **Assumptions.** One instance acts at a time. The sidecar alone takes the content's finalizer
//! off, and only once the storage snapshot is gone or is to stay.
//!
//! **Caveats.** Between the last look at the cache and a write the world may move; every write is
//! conditional, and a refused one is followed by news.

mod complaint;
mod facts;
mod refusal;
mod render;

pub use complaint::Complaint;
pub use facts::{
    ClaimFact, Facts, GroupFact, NodeFact, Placement, Sighting, SnapshotFact, SourceFact,
};
pub use refusal::{claim_refusal, refusal};
pub use render::render;

use crate::pair::{ClassFact, ContentFact, Publication, Sight};
use crate::{DeletionPolicy, Seen, Timer, Verdict};

/// One write to the API server, or one read past the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Put our finalizers on the snapshot, and the default class in its spec if it named none.
    Protect,
    /// Put our finalizer on the source claim.
    ProtectClaim,
    /// Read the snapshot past the cache.
    LookUpSnapshot,
    /// Create the content object, with its finalizer.
    CreateContent,
    /// Tell a content made by an administrator which snapshot it now belongs to.
    BindContent,
    /// Put the finalizer on a content that came without.
    ProtectContent,
    /// Read the content past the cache.
    LookUpContent,
    /// Copy what the content says into the snapshot's status.
    Publish,
    /// Say on the snapshot why it does not go on.
    Complain(Complaint),
    /// Mark the content: its snapshot is going.
    AskContentDeletion,
    /// Delete the content object.
    DeleteContent,
    /// Take back what was said on the snapshot: the cure came.
    Retract,
    /// Read the group snapshot it belongs to past the cache.
    LookUpGroup,
    /// Make the group snapshot it belongs to its owner.
    JoinGroup,
    /// Take our finalizers off the snapshot.
    Release,
}

/// Why there is nothing to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Waiting {
    /// The snapshot is not there (any more).
    Gone,
    /// Ready, bound, nothing owed.
    Settled,
    /// A cache is not filled yet.
    ForCaches,
    /// The sidecar has the content and has not said ready.
    ForDriver,
    /// The content is going; the sidecar has to let it go first.
    ForContentRemoval,
    /// Deleting, with nothing of ours left on it; somebody else's finalizer holds it.
    ForOthers,
    /// Its group snapshot makes its content, or goes first.
    ForGroup,
    /// Something has to be put right first; the snapshot's status says what.
    ForCure(Complaint),
}

type Next = Verdict<Step, Waiting>;

/// Returns the next step for a snapshot, or why there is none.
pub fn decide(facts: &Facts) -> Next {
    let Seen::Present(snapshot) = facts.snapshot else {
        return match facts.snapshot {
            Seen::Unknown => Verdict::Rest(Waiting::ForCaches),
            Seen::NotCached | Seen::Absent | Seen::Present(_) => Verdict::Rest(Waiting::Gone),
        };
    };
    if snapshot.deleting {
        return remove(facts, snapshot);
    }
    match snapshot.source {
        SourceFact::Unclear => complain(facts, Complaint::SourceUnclear),
        SourceFact::Claim | SourceFact::Content | SourceFact::Group => match facts.content {
            Seen::Unknown => Verdict::Rest(Waiting::ForCaches),
            Seen::Present(content) => with_content(facts, snapshot, content),
            Seen::NotCached | Seen::Absent => without_content(facts, snapshot),
        },
    }
}

/// No content is known. Upstream: syncUnreadySnapshot.
fn without_content(facts: &Facts, snapshot: SnapshotFact) -> Next {
    // It had one, or is to adopt one. Cutting again would put newer data under an old date (D5).
    if snapshot.bound || snapshot.source == SourceFact::Content {
        return match facts.content {
            Seen::Absent => complain(facts, Complaint::ContentMissing),
            Seen::NotCached | Seen::Unknown | Seen::Present(_) => Verdict::Do(Step::LookUpContent),
        };
    }
    if snapshot.source == SourceFact::Group {
        return Verdict::Rest(Waiting::ForGroup);
    }
    let next = create(facts, snapshot);
    // Who gives up lets its claim go. A content may have been made all the same, and its reply lost.
    let unsure = match next {
        Verdict::Do(Step::Complain(_)) => !facts.looked_up,
        Verdict::Rest(Waiting::ForCure(_)) | Verdict::Wait(Timer::Retry | Timer::Poll, _) => {
            facts.content == Seen::NotCached
        }
        Verdict::Do(_) | Verdict::Rest(_) | Verdict::Wait(Timer::Grace, _) => false,
    };
    if unsure && facts.claim_protected {
        return Verdict::Do(Step::LookUpContent);
    }
    next
}

/// Everything a new content needs, then the content. Upstream: createSnapshotContent.
fn create(facts: &Facts, snapshot: SnapshotFact) -> Next {
    let policy = match facts.class {
        ClassFact::Unknown => return Verdict::Rest(Waiting::ForCaches),
        ClassFact::Missing => return complain(facts, Complaint::ClassMissing),
        ClassFact::NoDefault => return complain(facts, Complaint::NoDefaultClass),
        ClassFact::SeveralDefaults => return complain(facts, Complaint::SeveralDefaultClasses),
        ClassFact::Undecided => None,
        ClassFact::Chosen(choice) => Some(choice),
    };
    // A class lets the snapshot be protected before its claim is looked at; a default one is named
    // in the same write.
    if let Some(choice) = policy
        && !(snapshot.protected_for(choice.policy) && snapshot.class_named)
    {
        return Verdict::Do(Step::Protect);
    }
    match facts.claim {
        ClaimFact::Unknown | ClaimFact::VolumeUnknown => {
            return Verdict::Rest(Waiting::ForCaches);
        }
        ClaimFact::Missing => return complain(facts, Complaint::ClaimMissing),
        ClaimFact::Deleting if !facts.claim_protected => {
            return complain(facts, Complaint::ClaimDeleting);
        }
        ClaimFact::NotBound => return complain(facts, Complaint::ClaimNotBound),
        ClaimFact::VolumeMissing => return complain(facts, Complaint::VolumeMissing),
        ClaimFact::VolumeOfAnother => return complain(facts, Complaint::VolumeOfAnother),
        ClaimFact::VolumeNotCsi => return complain(facts, Complaint::VolumeNotCsi),
        ClaimFact::Bound | ClaimFact::Deleting => {}
    }
    let Some(choice) = policy else {
        // The claim's driver is known and still no class follows from it: caches are behind.
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
    if facts.memory.creation_refused && !facts.memory.retry_due {
        return complain_for_now(facts, Complaint::CreationRefused);
    }
    // Who says that it failed does not hold its claim: the guard would let go what is cut next.
    if snapshot.complains {
        return Verdict::Do(Step::Retract);
    }
    if !facts.claim_protected {
        return Verdict::Do(Step::ProtectClaim);
    }
    // Nothing in a POST says which snapshot was seen; it may have been bound long since.
    if !facts.fresh {
        return Verdict::Do(Step::LookUpSnapshot);
    }
    Verdict::Do(Step::CreateContent)
}

/// A content of the right name is there. Upstream: syncUnreadySnapshot, syncReadySnapshot.
fn with_content(facts: &Facts, snapshot: SnapshotFact, content: ContentFact) -> Next {
    match content.sight {
        // Its group binds it.
        Sight::OfAnother if snapshot.source == SourceFact::Group => {
            return Verdict::Rest(Waiting::ForGroup);
        }
        Sight::OfAnother if facts.looked_up || facts.said == Some(Complaint::ContentOfAnother) => {
            return complain(facts, Complaint::ContentOfAnother);
        }
        // Perhaps the cache still shows an earlier content of that name.
        Sight::OfAnother => return Verdict::Do(Step::LookUpContent),
        Sight::WrongOrigin => return complain(facts, Complaint::ContentMismatch),
        Sight::Ours | Sight::Unclaimed => {}
    }
    if !snapshot.protected_beside(content.policy) {
        return Verdict::Do(Step::Protect);
    }
    if content.sight == Sight::Unclaimed || content.class_owed {
        return Verdict::Do(Step::BindContent);
    }
    if !content.protected && !content.deleting {
        return Verdict::Do(Step::ProtectContent);
    }
    if snapshot.in_flight
        && !content.cut
        && facts.claim == ClaimFact::Bound
        && !facts.claim_protected
    {
        return Verdict::Do(Step::ProtectClaim);
    }
    match facts.publication {
        Publication::Nothing => {}
        Publication::BoundOnly if facts.memory.in_grace => {
            return Verdict::Wait(Timer::Grace, Waiting::ForDriver);
        }
        Publication::BoundOnly | Publication::News => return Verdict::Do(Step::Publish),
    }
    // Upstream: syncReadySnapshot. How members of an imported group get their owner.
    if snapshot.ready && facts.group == GroupFact::Stranger {
        return Verdict::Do(Step::JoinGroup);
    }
    Verdict::Rest(if snapshot.ready {
        Waiting::Settled
    } else {
        Waiting::ForDriver
    })
}

/// The snapshot is being deleted. Upstream: processSnapshotWithDeletionTimestamp.
fn remove(facts: &Facts, snapshot: SnapshotFact) -> Next {
    if !snapshot.protected {
        return Verdict::Rest(Waiting::ForOthers);
    }
    // A member goes with its group and not before (D14).
    match facts.group {
        GroupFact::None | GroupFact::Gone => {}
        GroupFact::Unseen => return Verdict::Do(Step::LookUpGroup),
        GroupFact::Going => return Verdict::Rest(Waiting::ForGroup),
        GroupFact::Stranger | GroupFact::Stands => return complain(facts, Complaint::InGroup),
    }
    if snapshot.content_expected {
        match facts.content {
            Seen::Unknown => return Verdict::Rest(Waiting::ForCaches),
            Seen::NotCached => return Verdict::Do(Step::LookUpContent),
            // A content was made since, perhaps, and the reply lost; one that was bound never is.
            Seen::Absent if !snapshot.bound && !facts.looked_up => {
                return Verdict::Do(Step::LookUpContent);
            }
            Seen::Absent => {}
            Seen::Present(content) => match content.sight {
                Sight::Ours => {
                    if facts.being_restored {
                        return complain(facts, Complaint::BeingRestored);
                    }
                    // Else it would go at once, and with it what is known of a cut under way.
                    if !content.protected && !content.deleting {
                        return Verdict::Do(Step::ProtectContent);
                    }
                    if !content.being_deleted {
                        return Verdict::Do(Step::AskContentDeletion);
                    }
                    match content.policy {
                        DeletionPolicy::Delete if content.deleting => {
                            return Verdict::Rest(Waiting::ForContentRemoval);
                        }
                        DeletionPolicy::Delete => return Verdict::Do(Step::DeleteContent),
                        DeletionPolicy::Retain => {}
                    }
                }
                // Only a fresh look may say that this is not our content.
                Sight::OfAnother | Sight::Unclaimed | Sight::WrongOrigin if !facts.looked_up => {
                    return Verdict::Do(Step::LookUpContent);
                }
                Sight::OfAnother | Sight::Unclaimed | Sight::WrongOrigin => {}
            },
        }
    }
    Verdict::Do(Step::Release)
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
