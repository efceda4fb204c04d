//! Says on a group snapshot which write of its life the API server will not have.
//!
//! As of a single [`snapshot`](crate::snapshot::refusal): the write is tried again by itself, ever
//! less often, and without a word nobody would know why nothing happens.

use tintype_api::Reason;

use super::Step;
use super::facts::Sighting;
use crate::write::{Event, Kind};

/// What is told of a write that was refused; none of a look, which changes nothing. `why`: the
/// server's words.
pub fn refusal(step: Step, seen: &Sighting, why: &str) -> Option<Event> {
    let group = &seen.group.present()?.meta;
    let (reason, what) = match step {
        Step::Protect | Step::Release => (
            Reason::GroupSnapshotFinalizerError,
            "the finalizers of the group snapshot cannot be changed",
        ),
        Step::ProtectClaim => (
            Reason::GroupSnapshotContentCreationFailed,
            "one of its claims cannot be protected while it is cut",
        ),
        Step::ProtectContent => (
            Reason::GroupSnapshotFinalizerError,
            "its group content cannot be protected",
        ),
        Step::BindContent => (
            Reason::GroupSnapshotBindFailed,
            "it cannot be bound to its group content",
        ),
        Step::Member(_) => (
            Reason::GroupSnapshotBindFailed,
            "a member of it cannot be made or bound",
        ),
        Step::Publish | Step::Complain(_) | Step::Retract => (
            Reason::GroupSnapshotStatusUpdateFailed,
            "its status cannot be written",
        ),
        Step::AskContentDeletion | Step::DeleteContent | Step::DeleteMember => (
            Reason::GroupSnapshotContentObjectDeleteError,
            "its group content, or a member, cannot be deleted",
        ),
        Step::CreateContent | Step::LookUpGroup | Step::LookUpContent => return None,
    };
    let said = ("snapshot-controller", why);
    Some(Event::refused((Kind::Group, group), reason, what, said))
}
