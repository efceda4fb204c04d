//! Decides how a `PersistentVolumeClaim` gets its volume: from nothing, from a snapshot, or from
//! another claim.
//!
//! Does not bind: the cluster's volume controller does, as soon as the volume is there.
//!
//! **Guarantees.** A volume is asked for only once everything it is made from is there and allows
//! it. Before the call the claim is *marked* with a finalizer, which the server has confirmed since
//! anybody tried to take it off; the mark goes only once the volume has its object or is surely not
//! on storage: so a claim that is deleted, whatever crashes, outlives every volume that no object
//! tells of. What was made, or may have been, for a claim that nobody wants any more is removed
//! again: the call is repeated until its outcome is certain, then the volume is deleted, after a
//! read past the cache found no object for it. So does what was made for a node that went, unless
//! this process made it and knows where it is. A refusal that follows an uncertain call, or a mark
//! that was found, counts only when it is repeated. A source is protected before the call if nobody
//! else keeps it, else as soon as the outcome of a call is in doubt; [`guard`](crate::guard) lets it
//! go.
//!
//! **Assumptions.** The driver is idempotent by name; the name is made of the claim's uid.
//!
//! **Caveats.** A driver that refuses twice in a row a name it has made a volume for leaks that
//! volume; no CSI call finds one by name. If class or source go before a call in doubt could be repeated by a new process,
//! the claim stays, and says what has to be brought back. So it does with a provisioner on each node
//! until the one whose mark it has has found out what is there.

mod complaint;
mod facts;
mod grant;
mod memory;
mod render;
mod request;
mod secrets;
mod settings;
mod source;

pub use complaint::Complaint;
pub use facts::{
    AttributesFact, Bound, ClaimFact, ClassFact, Facts, NodeFact, Repeat, Sighting, TopologyFact,
    meet,
};
pub use grant::{Grant, GrantFrom, GrantTo};
pub use memory::{Failure, Memory, Outcome, Turn};
pub use render::{Volume, complaint_event, populator_event, render};
pub(crate) use request::for_driver as parameters_for_driver;
pub use request::{AccessMode, Object, Request, RequestSource, Why, request};
pub use secrets::SecretRefs;
pub(crate) use secrets::for_deletion as deletion_secret;
pub use settings::{Abilities, OwnNode, Settings};
pub use source::{SourceFact, SourceSight, holds_its_source};

use crate::{Seen, Timer, Verdict};

/// One write, one look, or one call to the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Read the content of the snapshot the data comes from.
    LookUpContent,
    /// Read the claim's `VolumeAttributesClass`.
    LookUpAttributes,
    /// Read the volume's object past the cache, before anything is destroyed for want of it.
    LookUpVolume,
    /// Put the provisioner's finalizer on what the data comes from.
    ProtectSource,
    /// Put the in-flight finalizer on the claim, or have the server confirm that it is on it.
    Mark,
    /// Call `CreateVolume`.
    CreateOnStorage,
    /// Create the `PersistentVolume`, already pointing at the claim.
    CreateVolume,
    /// Take the in-flight finalizer off.
    Unmark,
    /// Call `DeleteVolume` for a volume that nobody wants.
    DeleteOrphan,
    /// Take the selected node back, so that the scheduler chooses again.
    Reschedule,
    /// On each node: wait for a random while before the claim is taken to this one.
    DrawLot,
    /// On each node: ask the driver whether there is room for it here.
    AskCapacity,
    /// On each node: select this one.
    TakeOver,
    /// Say in an event why it does not go on.
    Complain(Complaint),
    /// Say in an event that somebody else's program is expected to fill the volume.
    TellPopulator,
}

impl Step {
    /// Its write takes the in-flight finalizer off.
    pub const fn unmarks(self) -> bool {
        match self {
            Self::Unmark | Self::Reschedule | Self::TakeOver => true,
            Self::LookUpContent
            | Self::LookUpAttributes
            | Self::LookUpVolume
            | Self::ProtectSource
            | Self::Mark
            | Self::CreateOnStorage
            | Self::CreateVolume
            | Self::DeleteOrphan
            | Self::DrawLot
            | Self::AskCapacity
            | Self::Complain(_)
            | Self::TellPopulator => false,
        }
    }
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
    /// Late binding: a pod has to be placed first.
    ForConsumer,
    /// The driver's next answer.
    ForDriver,
    /// On each node: its turn to take the claim.
    ForTurn,
    /// Something has to be put right, or become ready, first.
    ForCure(Complaint),
}

type Next = Verdict<Step, Waiting>;

/// Returns the next step for a claim, or why there is none.
pub fn decide(facts: &Facts) -> Next {
    let claim = match facts.claim {
        Seen::Unknown => return Verdict::Rest(Waiting::ForCaches),
        Seen::NotCached | Seen::Absent => return abandon(facts, false),
        Seen::Present(claim) if !claim.marked && (claim.elsewhere || !claim.ours) => {
            return Verdict::Rest(Waiting::NotOurs);
        }
        Seen::Present(claim) => claim,
    };
    match (facts.volume, claim.bound) {
        (Seen::Unknown, _) => Verdict::Rest(Waiting::ForCaches),
        (Seen::Present(()), _) | (_, Bound::Here) if claim.marked => Verdict::Do(Step::Unmark),
        (Seen::Present(()), _) | (_, Bound::Here) => Verdict::Rest(Waiting::Settled),
        (Seen::NotCached | Seen::Absent, Bound::Elsewhere) => abandon(facts, claim.marked),
        (Seen::NotCached | Seen::Absent, Bound::No) => {
            if claim.deleting || claim.elsewhere || !claim.ours {
                abandon(facts, claim.marked)
            } else {
                provision(facts, claim)
            }
        }
    }
}

/// A volume may be on storage that no object tells of; a mark found on the claim says so too.
const fn in_doubt(facts: &Facts, marked: bool) -> bool {
    match facts.outcome {
        Outcome::Uncertain => true,
        Outcome::None => marked,
        Outcome::Created | Outcome::Nothing => false,
    }
}

/// Nobody waits for the volume any more.
fn abandon(facts: &Facts, marked: bool) -> Next {
    if facts.outcome != Outcome::Created && !in_doubt(facts, marked) {
        return if marked {
            Verdict::Do(Step::Unmark)
        } else {
            Verdict::Rest(Waiting::NotOurs)
        };
    }
    if facts.untold && matches!(facts.claim, Seen::Present(_)) {
        return Verdict::Do(Step::Complain(Complaint::Driver));
    }
    if facts.outcome == Outcome::Created {
        return unless_told_of(facts, |facts| call(facts, Step::DeleteOrphan));
    }
    unless_told_of(facts, |facts| find_out(facts, marked))
}

/// What may be on storage is nobody's, once a read past the cache finds no object that tells of it.
fn unless_told_of(facts: &Facts, next: impl Fn(&Facts) -> Next) -> Next {
    match facts.volume {
        Seen::Unknown => Verdict::Rest(Waiting::ForCaches),
        // The object exists: from here on it is the volume machine's.
        Seen::Present(()) => Verdict::Rest(Waiting::NotOurs),
        Seen::NotCached => call(facts, Step::LookUpVolume),
        Seen::Absent => next(facts),
    }
}

/// A call that may have had an effect is repeated, until its outcome is certain.
fn find_out(facts: &Facts, marked: bool) -> Next {
    match facts.repeat {
        Repeat::Remembered | Repeat::Possible if marked && !facts.confirmed => {
            call(facts, Step::Mark)
        }
        Repeat::Remembered | Repeat::Possible => call(facts, Step::CreateOnStorage),
        Repeat::Unknown => Verdict::Rest(Waiting::ForCaches),
        Repeat::LookUpContent => Verdict::Do(Step::LookUpContent),
        Repeat::LookUpAttributes => Verdict::Do(Step::LookUpAttributes),
        Repeat::Impossible => tell(facts, Complaint::InDoubt),
    }
}

/// What keeps a claim from its volume.
#[derive(Clone, Copy)]
enum Obstacle {
    Cure(Complaint),
    Wait(Waiting),
    Step(Step),
}

/// Spec restore 6.1–6.4.
fn provision(facts: &Facts, claim: ClaimFact) -> Next {
    match facts.outcome {
        Outcome::Created if facts.stray => {
            return unless_told_of(facts, |facts| call(facts, Step::DeleteOrphan));
        }
        Outcome::Created => return Verdict::Do(Step::CreateVolume),
        Outcome::None | Outcome::Uncertain | Outcome::Nothing => {}
    }
    let doubt = in_doubt(facts, claim.marked);
    if let Some(obstacle) = obstacle(facts, claim) {
        return blocked(facts, claim.marked, obstacle);
    }
    if facts.untold {
        return Verdict::Do(Step::Complain(Complaint::Driver));
    }
    if facts.exhausted && !doubt {
        return Verdict::Do(Step::Reschedule);
    }
    if !facts.call_due {
        return if claim.marked && !doubt {
            Verdict::Do(Step::Unmark)
        } else {
            Verdict::Wait(Timer::Retry, Waiting::ForDriver)
        };
    }
    if !claim.marked || !facts.confirmed {
        return Verdict::Do(Step::Mark);
    }
    let protect = match facts.source {
        SourceFact::Exposed => true,
        SourceFact::Unprotected => doubt,
        SourceFact::Nothing
        | SourceFact::Unknown
        | SourceFact::Foreign
        | SourceFact::Refused(_)
        | SourceFact::Unseen
        | SourceFact::Fine => false,
    };
    Verdict::Do(if protect {
        Step::ProtectSource
    } else {
        Step::CreateOnStorage
    })
}

/// In upstream's order; look-ups only once everything before them is in order.
fn obstacle(facts: &Facts, claim: ClaimFact) -> Option<Obstacle> {
    // What it made cannot be found from here.
    if claim.marked_by_other {
        return Some(Obstacle::Cure(Complaint::MarkedByOther));
    }
    match facts.class {
        ClassFact::Unknown => return Some(Obstacle::Wait(Waiting::ForCaches)),
        ClassFact::Missing => return Some(Obstacle::Cure(Complaint::ClassMissing)),
        ClassFact::OfAnother => return Some(Obstacle::Wait(Waiting::NotOurs)),
        ClassFact::Waits => return Some(Obstacle::Wait(Waiting::ForConsumer)),
        ClassFact::Fine => {}
    }
    match facts.node {
        NodeFact::Unneeded | NodeFact::Here => {}
        NodeFact::NotTaken => return Some(Obstacle::Wait(Waiting::NotOurs)),
        NodeFact::Free(turn) => return Some(take_over(turn)),
    }
    if let Some(complaint) = facts.shape {
        return Some(Obstacle::Cure(complaint));
    }
    match facts.source {
        SourceFact::Unknown => return Some(Obstacle::Wait(Waiting::ForCaches)),
        SourceFact::Foreign if facts.populator_told => {
            return Some(Obstacle::Wait(Waiting::ForPopulator));
        }
        SourceFact::Foreign => return Some(Obstacle::Step(Step::TellPopulator)),
        SourceFact::Refused(complaint) => return Some(Obstacle::Cure(complaint)),
        SourceFact::Unseen => return Some(Obstacle::Step(Step::LookUpContent)),
        SourceFact::Nothing | SourceFact::Unprotected | SourceFact::Exposed | SourceFact::Fine => {}
    }
    match facts.attributes {
        AttributesFact::Unneeded | AttributesFact::Fine => {}
        AttributesFact::Unseen => return Some(Obstacle::Step(Step::LookUpAttributes)),
        AttributesFact::Refused(complaint) => return Some(Obstacle::Cure(complaint)),
    }
    match facts.topology {
        TopologyFact::Fine => None,
        TopologyFact::Lacks(complaint) => Some(Obstacle::Cure(complaint)),
        TopologyFact::NodeGone if facts.said_complaint == Some(Complaint::NodeGone) => {
            Some(Obstacle::Step(Step::Reschedule))
        }
        TopologyFact::NodeGone => Some(Obstacle::Step(Step::Complain(Complaint::NodeGone))),
    }
}

/// One provisioner per node, and nobody chose a node: the first to write its own has it.
const fn take_over(turn: Turn) -> Obstacle {
    match turn {
        Turn::None => Obstacle::Step(Step::DrawLot),
        Turn::Waits => Obstacle::Wait(Waiting::ForTurn),
        Turn::Due => Obstacle::Step(Step::AskCapacity),
        Turn::HasRoom => Obstacle::Step(Step::TakeOver),
    }
}

/// A call that may have had an effect comes to its end whatever has become of the rest.
fn blocked(facts: &Facts, marked: bool, obstacle: Obstacle) -> Next {
    if in_doubt(facts, marked) {
        if facts.untold {
            return Verdict::Do(Step::Complain(Complaint::Driver));
        }
        if facts.repeat == Repeat::Remembered {
            // A look shows whether the source can be protected first.
            return match obstacle {
                Obstacle::Step(step @ (Step::LookUpContent | Step::LookUpAttributes))
                    if facts.call_due =>
                {
                    Verdict::Do(step)
                }
                Obstacle::Step(_) | Obstacle::Cure(_) | Obstacle::Wait(_) => {
                    call(facts, Step::CreateOnStorage)
                }
            };
        }
        // Whoever has the claim next knows nothing of the call.
        if matches!(obstacle, Obstacle::Step(step) if step.unmarks()) {
            return find_out(facts, marked);
        }
    } else if marked {
        return Verdict::Do(Step::Unmark);
    }
    match obstacle {
        Obstacle::Step(step) => Verdict::Do(step),
        Obstacle::Cure(complaint) => tell(facts, complaint),
        Obstacle::Wait(Waiting::ForTurn) => Verdict::Wait(Timer::Poll, Waiting::ForTurn),
        Obstacle::Wait(why) => Verdict::Rest(why),
    }
}

fn call(facts: &Facts, step: Step) -> Next {
    if facts.call_due {
        Verdict::Do(step)
    } else {
        Verdict::Wait(Timer::Retry, Waiting::ForDriver)
    }
}

fn tell(facts: &Facts, complaint: Complaint) -> Next {
    if facts.said_complaint == Some(complaint) {
        Verdict::Rest(Waiting::ForCure(complaint))
    } else {
        Verdict::Do(Step::Complain(complaint))
    }
}
