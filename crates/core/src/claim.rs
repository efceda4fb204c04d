//! Decides how a `PersistentVolumeClaim` gets its volume: from nothing, from a snapshot, or from
//! another claim.
//!
//! Does not bind: the cluster's volume controller does, as soon as the volume is there.
//!
//! **Guarantees.** A volume is asked for only once everything it is made from is there and allows
//! it. What was made, or may have been, for a claim that went meanwhile is removed again: the call
//! is repeated until its outcome is certain, then the volume is deleted. The source is protected
//! before the call; [`guard`](crate::guard) lets it go.
//!
//! **Assumptions.** The driver is idempotent by name; the name is made of the claim's uid.

mod complaint;
mod facts;
mod memory;
mod render;

pub use complaint::Complaint;
pub use facts::{ClaimFact, ClassFact, Facts, Sighting, SourceFact, SourceSight};
pub use memory::{Memory, Outcome};
pub use render::{Request, RequestSource, Volume, complaint_event, render, request};

use crate::{Seen, Timer, Verdict};

/// One write, or one call to the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Read the content of the snapshot the data comes from.
    LookUpContent,
    /// Put the provisioner's finalizer on the snapshot the data comes from.
    ProtectSource,
    /// Call `CreateVolume`.
    CreateOnStorage,
    /// Create the `PersistentVolume`, already pointing at the claim.
    CreateVolume,
    /// Call `DeleteVolume` for a volume whose claim is gone.
    DeleteOrphan,
    /// Say in an event why it does not go on.
    Complain(Complaint),
}

/// Why there is nothing to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Waiting {
    /// Nobody asked this provisioner.
    NotOurs,
    /// It has its volume, or the volume has only to be bound.
    Settled,
    /// A cache is not filled yet.
    ForCaches,
    /// A volume populator fills it.
    ForPopulator,
    /// The driver's next answer.
    ForDriver,
    /// Something has to be put right, or become ready, first.
    ForCure(Complaint),
}

type Next = Verdict<Step, Waiting>;

/// Returns the next step for a claim, or why there is none.
pub fn decide(facts: &Facts) -> Next {
    match facts.claim {
        Seen::Unknown => Verdict::Rest(Waiting::ForCaches),
        Seen::NotCached | Seen::Absent => abandon(facts),
        Seen::Present(claim) if !claim.ours => Verdict::Rest(Waiting::NotOurs),
        Seen::Present(claim) if claim.bound => Verdict::Rest(Waiting::Settled),
        Seen::Present(claim) if claim.deleting => abandon(facts),
        Seen::Present(_) => provision(facts),
    }
}

/// Nobody waits for the volume any more.
fn abandon(facts: &Facts) -> Next {
    match (facts.volume, facts.outcome) {
        // The volume object exists: from here on it is the volume machine's.
        (Seen::Present(()), _) | (_, Outcome::None | Outcome::Refused | Outcome::NotCalled) => {
            Verdict::Rest(Waiting::NotOurs)
        }
        (Seen::Unknown, _) => Verdict::Rest(Waiting::ForCaches),
        (Seen::NotCached | Seen::Absent, Outcome::Created) => call(facts, Step::DeleteOrphan),
        (Seen::NotCached | Seen::Absent, Outcome::Uncertain) => call(facts, Step::CreateOnStorage),
    }
}

/// Spec restore 6.1–6.4.
fn provision(facts: &Facts) -> Next {
    match facts.volume {
        Seen::Unknown => return Verdict::Rest(Waiting::ForCaches),
        Seen::Present(()) => return Verdict::Rest(Waiting::Settled),
        Seen::NotCached | Seen::Absent => {}
    }
    if facts.outcome == Outcome::Created {
        return Verdict::Do(Step::CreateVolume);
    }
    match facts.class {
        ClassFact::Unknown => return Verdict::Rest(Waiting::ForCaches),
        ClassFact::Missing => return complain(facts, Complaint::ClassMissing),
        ClassFact::OfAnother => return Verdict::Rest(Waiting::NotOurs),
        ClassFact::Fine => {}
    }
    if facts.has_selector {
        return complain(facts, Complaint::Selector);
    }
    if !facts.sized {
        return complain(facts, Complaint::NoSize);
    }
    match facts.source {
        SourceFact::Unknown => return Verdict::Rest(Waiting::ForCaches),
        SourceFact::Foreign => return Verdict::Rest(Waiting::ForPopulator),
        SourceFact::Refused(complaint) => return complain(facts, complaint),
        SourceFact::Nothing | SourceFact::Fine => {}
        SourceFact::Unseen => return Verdict::Do(Step::LookUpContent),
        SourceFact::Unprotected => return Verdict::Do(Step::ProtectSource),
    }
    match facts.outcome {
        Outcome::Refused | Outcome::Uncertain | Outcome::NotCalled if !facts.said => {
            Verdict::Do(Step::Complain(Complaint::Driver))
        }
        Outcome::None
        | Outcome::Created
        | Outcome::Refused
        | Outcome::Uncertain
        | Outcome::NotCalled => call(facts, Step::CreateOnStorage),
    }
}

fn call(facts: &Facts, step: Step) -> Next {
    if facts.call_due {
        Verdict::Do(step)
    } else {
        Verdict::Wait(Timer::Retry, Waiting::ForDriver)
    }
}

fn complain(facts: &Facts, complaint: Complaint) -> Next {
    // A call that may have had an effect comes to its end whatever has become of the rest.
    if facts.outcome == Outcome::Uncertain {
        return call(facts, Step::CreateOnStorage);
    }
    if facts.said_complaint == Some(complaint) {
        Verdict::Rest(Waiting::ForCure(complaint))
    } else {
        Verdict::Do(Step::Complain(complaint))
    }
}
