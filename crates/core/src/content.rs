//! Decides the life of a `VolumeSnapshotContent`, driver side: makes the storage snapshot it asks
//! for, follows it until it is ready, and removes it.
//!
//! Does not know snapshots, claims or volumes: all it hears of the cluster side is the content.
//!
//! **Guarantees.** The being-created mark is written before the first `CreateSnapshot` and taken
//! off only once the outcome is known: the handle is written, or a refusal is certain. A refusal
//! that follows an uncertain attempt, or a mark somebody else left, counts only when it is repeated.
//! While the mark is on, nothing but finding out happens to the content. A storage snapshot is
//! deleted only for a content that is being deleted, marked so by its snapshot, under policy
//! `Delete`; the finalizer goes only after that.
//!
//! **Assumptions.** The driver is idempotent by name and answers `DeleteSnapshot` of an unknown id
//! with success (CSI 1.x). One instance acts at a time.
//!
//! **Caveats.** A driver that refuses twice a name it has created leaks that snapshot; no CSI call
//! finds a snapshot by name.

mod facts;
mod memory;
mod refusal;
mod render;

pub(crate) use facts::ClassWords;
pub use facts::{ClassFact, ContentFact, Facts, Origin, Sighting};
pub use memory::{CallFailure, Cause, Memory, Outcome, Reply};
pub use refusal::refusal;
pub use render::{create_parameters, list_secret, render, snapshot_name};

use crate::{DeletionPolicy, Seen, Timer, Verdict};

/// One write, or one call to the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Write down that a create call may be in flight, before making it.
    MarkCreating,
    /// Call `CreateSnapshot`; also the readiness poll of a dynamic snapshot.
    CreateOnStorage,
    /// Call `ListSnapshots` for a snapshot that was there before its content.
    AskStatus,
    /// Write what the driver said into the status.
    RecordStatus,
    /// Take the being-created mark off.
    ClearMark,
    /// Say on the content why it does not go on.
    RecordFailure,
    /// Call `DeleteSnapshot`.
    DeleteOnStorage,
    /// Take our finalizer off.
    Release,
}

/// Why there is nothing to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Waiting {
    /// The content is not there (any more), or is another driver's.
    NotOurs,
    /// Ready; nothing owed.
    Settled,
    /// A cache is not filled yet.
    ForCaches,
    /// Neither or both sources, or a volume and no snapshot to cut it for: it has to be made anew.
    ForSource,
    /// Its class is missing, names another driver, or has parameters nobody may use.
    ForClass,
    /// The driver's next answer.
    ForDriver,
    /// The snapshot, or group snapshot, it belongs to has not asked for its going.
    ForSnapshot,
    /// It is cut with its group.
    ForGroup,
    /// Somebody else's finalizer holds it.
    ForOthers,
}

type Next = Verdict<Step, Waiting>;

/// Returns the next step for a content, or why there is none.
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
        Origin::Unclear if content.ready => Verdict::Rest(settled(content)),
        Origin::Unclear => say(facts, Waiting::ForSource),
        // What was cut with its group is followed like one that was there first.
        Origin::Group if content.handle && content.in_group => follow(facts, content),
        Origin::Group => Verdict::Rest(Waiting::ForGroup),
        Origin::Volume => make(facts, content),
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

/// Dynamic: from a volume. Upstream: syncContent, createSnapshotWrapper.
fn make(facts: &Facts, content: ContentFact) -> Next {
    if content.unbound {
        return Verdict::Rest(Waiting::ForSnapshot);
    }
    // The handle is written, so what the mark stands for is known.
    if content.being_created && content.handle {
        return Verdict::Do(Step::ClearMark);
    }
    // Deleted by hand it stays until its snapshot goes, and is still made for it.
    if content.ready {
        return Verdict::Rest(settled(content));
    }
    match facts.class {
        ClassFact::Unknown => return Verdict::Rest(Waiting::ForCaches),
        // A content that is going has to come to a certain end with what there is (D32).
        ClassFact::Missing | ClassFact::Unusable if content.deleting && content.being_created => {}
        ClassFact::Missing | ClassFact::Unusable => return say(facts, Waiting::ForClass),
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

/// Pre-provisioned: the storage snapshot was there first. Upstream: checkandUpdateContentStatus.
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

/// Says once what is in the way, then waits for the cure.
fn say(facts: &Facts, why: Waiting) -> Next {
    if facts.said {
        Verdict::Rest(why)
    } else {
        Verdict::Do(Step::RecordFailure)
    }
}

fn settled(content: ContentFact) -> Waiting {
    if content.deleting {
        Waiting::ForSnapshot
    } else {
        Waiting::Settled
    }
}

/// The content may go. Upstream: syncContent, deleteCSISnapshot.
fn remove(facts: &Facts, content: ContentFact) -> Next {
    if !content.protected {
        return Verdict::Rest(Waiting::ForOthers);
    }
    let owed = content.policy == DeletionPolicy::Delete && content.handle && !content.in_group;
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
