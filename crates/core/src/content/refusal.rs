//! Says on a content which write of its life the API server will not have.
//!
//! The write is tried again by itself, ever less often; without a word nobody would know why nothing
//! happens.

use tintype_api::Reason;

use super::Step;
use super::facts::Sighting;
use crate::object::Content;
use crate::write::{Event, Kind};

/// What is told of a write that was refused; none of a call. `why`: the server's words.
pub fn refusal(step: Step, seen: &Sighting, why: &str) -> Option<Event> {
    let content = seen.content.present()?;
    let (reason, what) = match step {
        Step::MarkCreating => (
            making(content),
            "it cannot be marked as being created, so the driver is not called",
        ),
        Step::RecordStatus | Step::RecordFailure => {
            (making(content), "what the driver says cannot be written")
        }
        Step::ClearMark => (
            making(content),
            "the mark that it is being created cannot be taken off",
        ),
        Step::Release => (
            Reason::SnapshotDeleteError,
            "it cannot be let go, though nothing is left to do",
        ),
        Step::CreateOnStorage | Step::AskStatus | Step::DeleteOnStorage => return None,
    };
    let about = (Kind::Content, &content.meta);
    let said = ("csi-snapshotter", why);
    Some(Event::refused(about, reason, what, said))
}

/// Upstream's word for what goes wrong while a snapshot is made: the first attempt, or a later one.
pub(super) const fn making(content: &Content) -> Reason {
    if content.status.is_none() {
        Reason::SnapshotCreationFailed
    } else {
        Reason::SnapshotContentCheckandUpdateFailed
    }
}
