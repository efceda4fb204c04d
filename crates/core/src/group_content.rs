//! Decides the life of a `VolumeGroupSnapshotContent`, driver side: makes the group snapshot it
//! asks for, follows it until it is ready, and removes it with all its members.
//!
//! It lives as a single [`content`] does and is decided on by the same function,
//! with the same guarantees. What a group has more is the list of its members, and that is all that
//! is decided here. Does not know group snapshots, claims or members' snapshots: all it hears of
//! the cluster side is the group content, and, if its list was lost, the contents of its members.
//!
//! **Guarantees.** A list of members that does not fit the volumes is written down for deletion and
//! never called ready. A list that was lost is had back from the members' contents, else from the
//! driver (D3).
//!
//! **Assumptions.** The driver is idempotent by name and answers the deletion of an unknown group
//! with success. One instance acts at a time.

mod facts;
mod memory;
mod render;

pub use facts::{Facts, List, Sighting};
pub use memory::{Memory, Reply};
pub use render::{get_secret, group_snapshot_name, render};

use crate::content::{self, Waiting};
use crate::{Seen, Timer, Verdict};

/// One write, or one call to the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// What any content needs; the calls are `CreateVolumeGroupSnapshot`, `GetVolumeGroupSnapshot`
    /// and `DeleteVolumeGroupSnapshot`.
    Common(content::Step),
    /// Write a lost list of members anew, from their contents.
    RestoreList,
}

type Next = Verdict<Step, Waiting>;

/// Returns the next step for a group content, or why there is none.
pub fn decide(facts: &Facts) -> Next {
    let next = match content::decide(&facts.common) {
        Verdict::Do(step) => Verdict::Do(Step::Common(step)),
        Verdict::Wait(timer, why) => Verdict::Wait(timer, why),
        Verdict::Rest(why) => Verdict::Rest(why),
    };
    match facts.list {
        List::Restorable if stays(facts) && is_idle(next) => Verdict::Do(Step::RestoreList),
        List::Lost if stays(facts) => ask_again(facts, next),
        List::Whole | List::Restorable | List::Lost => next,
    }
}

/// Nobody has asked for its going: the list is of use yet.
fn stays(facts: &Facts) -> bool {
    matches!(facts.common.content, Seen::Present(it) if !it.may_go())
}

/// Nothing is owed but another call.
const fn is_idle(next: Next) -> bool {
    match next {
        Verdict::Do(Step::Common(step)) => matches!(step, content::Step::CreateOnStorage),
        Verdict::Do(Step::RestoreList) => false,
        Verdict::Rest(why) => !matches!(why, Waiting::NotOurs | Waiting::ForCaches),
        Verdict::Wait(..) => true,
    }
}

/// One that is ready would never be asked about again; one that is not is, anyway.
const fn ask_again(facts: &Facts, next: Next) -> Next {
    match next {
        Verdict::Rest(Waiting::Settled | Waiting::ForSnapshot) if facts.common.call_due => {
            Verdict::Do(Step::Common(content::Step::AskStatus))
        }
        Verdict::Rest(Waiting::Settled | Waiting::ForSnapshot) => {
            let timer = if facts.common.failing {
                Timer::Retry
            } else {
                Timer::Poll
            };
            Verdict::Wait(timer, Waiting::ForDriver)
        }
        Verdict::Do(_) | Verdict::Wait(..) | Verdict::Rest(_) => next,
    }
}

#[cfg(test)]
mod tests;
