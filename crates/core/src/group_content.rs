//! Decides the life of a `VolumeGroupSnapshotContent`, driver side: makes the group snapshot it
//! asks for, follows it until it is ready, and removes it with all its members.
//!
//! Does not know group snapshots, claims or members' snapshots: all it hears of the cluster side is
//! the group content, and, if its list of members was lost, their contents.
//!
//! **Guarantees.** Those of a single [`content`](crate::content): mark before the first call,
//! outcome written after it, nothing but finding out while the mark is on, deletion only for a
//! group content that is going, marked so by its group snapshot, under policy `Delete`. A list of
//! members that does not fit the volumes is written down for deletion and never called ready. A
//! list that was lost is had back from the members' contents, else from the driver (D3).
//!
//! **Assumptions.** The driver is idempotent by name and answers the deletion of an unknown group
//! with success. One instance acts at a time.

mod facts;
mod memory;
mod render;

pub use facts::{ContentFact, Facts, Origin, Sighting};
pub use memory::{Memory, Reply};
pub use render::{group_snapshot_name, render};

use crate::content::{ClassFact, Outcome};
use crate::{DeletionPolicy, Seen, Timer, Verdict};

/// One write, or one call to the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Write down that a create call may be in flight, before making it.
    MarkCreating,
    /// Call `CreateVolumeGroupSnapshot`; also the readiness poll of a dynamic group snapshot.
    CreateOnStorage,
    /// Call `GetVolumeGroupSnapshot` for one that was there first, or whose list was lost.
    AskStatus,
    /// Write what the driver said into the status.
    RecordStatus,
    /// Write a lost list of members anew, from their contents.
    RestoreList,
    /// Take the being-created mark off.
    ClearMark,
    /// Say on the group content why it does not go on.
    RecordFailure,
    /// Call `DeleteVolumeGroupSnapshot`.
    DeleteOnStorage,
    /// Take our finalizer off.
    Release,
}

/// Why there is nothing to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Waiting {
    /// The group content is not there (any more), or is another driver's.
    NotOurs,
    /// Ready; nothing owed.
    Settled,
    /// A cache is not filled yet.
    ForCaches,
    /// Neither or both sources: it has to be made anew.
    ForSource,
    /// Its class is missing, or has parameters nobody may use.
    ForClass,
    /// The driver's next answer.
    ForDriver,
    /// The group snapshot it belongs to has not asked for its going.
    ForGroup,
    /// Somebody else's finalizer holds it.
    ForOthers,
}

type Next = Verdict<Step, Waiting>;

/// Returns the next step for a group content, or why there is none.
pub fn decide(facts: &Facts) -> Next {
    let Seen::Present(content) = facts.content else {
        return Verdict::Rest(match facts.content {
            Seen::Unknown => Waiting::ForCaches,
            Seen::NotCached | Seen::Absent | Seen::Present(_) => Waiting::NotOurs,
        });
    };
    if !content.ours {
        return Verdict::Rest(Waiting::NotOurs);
    }
    if let Some(next) = settle_outcome(facts, content) {
        return next;
    }
    if content.may_go() {
        return remove(facts, content);
    }
    match content.origin {
        Origin::Unclear if facts.said => Verdict::Rest(Waiting::ForSource),
        Origin::Unclear => Verdict::Do(Step::RecordFailure),
        Origin::Volumes => make(facts, content),
        Origin::Existing => follow(facts, content),
    }
}

/// What the last call came to is written down before anything else happens.
fn settle_outcome(facts: &Facts, content: ContentFact) -> Option<Next> {
    match facts.outcome {
        Outcome::Created if facts.news => Some(Verdict::Do(Step::RecordStatus)),
        Outcome::Created if content.being_created => Some(Verdict::Do(Step::ClearMark)),
        Outcome::Refused if facts.confirmed && content.being_created => {
            Some(Verdict::Do(Step::ClearMark))
        }
        Outcome::Refused | Outcome::Uncertain | Outcome::NotCalled | Outcome::DeleteFailed
            if !facts.said =>
        {
            Some(Verdict::Do(Step::RecordFailure))
        }
        Outcome::None
        | Outcome::Created
        | Outcome::Refused
        | Outcome::Uncertain
        | Outcome::NotCalled
        | Outcome::DeleteFailed
        | Outcome::Deleted => None,
    }
}

/// Dynamic: from volumes. Upstream: syncGroupSnapshotContent, createGroupSnapshotWrapper.
fn make(facts: &Facts, content: ContentFact) -> Next {
    if content.unbound {
        return Verdict::Rest(Waiting::ForGroup);
    }
    // The handle is written, so what the mark stands for is known.
    if content.being_created && content.handle {
        return Verdict::Do(Step::ClearMark);
    }
    if content.handle && !content.listed && facts.restorable {
        return Verdict::Do(Step::RestoreList);
    }
    // Deleted by hand it stays until its group snapshot goes, and is still made for it.
    if content.ready && content.listed {
        return Verdict::Rest(settled(content));
    }
    if content.ready {
        return if facts.call_due {
            Verdict::Do(Step::AskStatus)
        } else {
            wait(facts)
        };
    }
    match facts.class {
        ClassFact::Unknown => return Verdict::Rest(Waiting::ForCaches),
        // One that is going has to come to a certain end with what there is (D32).
        ClassFact::Missing | ClassFact::Unusable if content.deleting && content.being_created => {}
        ClassFact::Missing | ClassFact::Unusable if facts.said => {
            return Verdict::Rest(Waiting::ForClass);
        }
        ClassFact::Missing | ClassFact::Unusable => {
            return Verdict::Do(Step::RecordFailure);
        }
        ClassFact::Usable => {}
    }
    if !facts.call_due {
        return wait(facts);
    }
    if content.handle || content.being_created {
        return Verdict::Do(Step::CreateOnStorage);
    }
    Verdict::Do(Step::MarkCreating)
}

/// Pre-provisioned: the group snapshot was there first. Upstream:
/// checkandUpdateGroupSnapshotContentStatus.
fn follow(facts: &Facts, content: ContentFact) -> Next {
    if content.being_created {
        // Nothing is ever created for it, so the mark is somebody's mistake.
        return Verdict::Do(Step::ClearMark);
    }
    if content.ready {
        return Verdict::Rest(settled(content));
    }
    if !facts.call_due {
        return wait(facts);
    }
    Verdict::Do(Step::AskStatus)
}

fn settled(content: ContentFact) -> Waiting {
    if content.deleting {
        Waiting::ForGroup
    } else {
        Waiting::Settled
    }
}

/// The group content may go. Upstream: syncGroupSnapshotContent, deleteCSIGroupSnapshot.
fn remove(facts: &Facts, content: ContentFact) -> Next {
    if !content.protected {
        return Verdict::Rest(Waiting::ForOthers);
    }
    let owed = content.policy == DeletionPolicy::Delete && content.handle;
    if owed && facts.outcome != Outcome::Deleted {
        return if facts.call_due {
            Verdict::Do(Step::DeleteOnStorage)
        } else {
            wait(facts)
        };
    }
    Verdict::Do(Step::Release)
}

fn wait(facts: &Facts) -> Next {
    let timer = if facts.failing {
        Timer::Retry
    } else {
        Timer::Poll
    };
    Verdict::Wait(timer, Waiting::ForDriver)
}

#[cfg(test)]
mod tests;
