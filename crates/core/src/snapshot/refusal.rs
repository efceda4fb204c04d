//! Says on a snapshot which write of its life the API server will not have.
//!
//! The write is tried again by itself, ever less often; without a word nobody would know why nothing
//! happens. Where a refusal is a fact the machine decides on, that tells it
//! ([`Complaint::CreationRefused`](super::Complaint::CreationRefused)).

use tintype_api::Reason;

use super::Step;
use super::facts::Sighting;
use crate::object::Meta;
use crate::write::{Event, Kind};

/// What is told of a write that was refused; none of a look, which changes nothing. `why`: the
/// server's words.
pub fn refusal(step: Step, seen: &Sighting, why: &str) -> Option<Event> {
    let snapshot = &seen.snapshot.present()?.meta;
    let (reason, what) = match step {
        Step::Protect | Step::Release => (
            Reason::SnapshotFinalizerError,
            "the finalizers of the snapshot cannot be changed",
        ),
        Step::ProtectClaim => (
            Reason::SnapshotContentCreationFailed,
            "its claim cannot be protected while it is cut",
        ),
        Step::ProtectContent => (
            Reason::SnapshotFinalizerError,
            "its content cannot be protected",
        ),
        Step::BindContent => (
            Reason::SnapshotBindFailed,
            "it cannot be bound to its content",
        ),
        Step::JoinGroup => (
            Reason::SnapshotBindFailed,
            "it cannot be bound to its group snapshot",
        ),
        Step::Publish | Step::Complain(_) | Step::Retract => (
            Reason::SnapshotStatusUpdateFailed,
            "its status cannot be written",
        ),
        Step::AskContentDeletion | Step::DeleteContent => (
            Reason::SnapshotContentObjectDeleteError,
            "its content cannot be deleted",
        ),
        Step::CreateContent | Step::LookUpSnapshot | Step::LookUpContent | Step::LookUpGroup => {
            return None;
        }
    };
    Some(refused(snapshot, reason, what, why))
}

/// The same of the finalizer that a claim keeps though none of its snapshots needs it.
pub fn claim_refusal(snapshot: &Meta, claim: &str, why: &str) -> Event {
    let what = format!("its claim {claim} cannot be let go");
    refused(snapshot, Reason::ErrorPVCFinalizer, &what, why)
}

fn refused(snapshot: &Meta, reason: Reason, what: &str, why: &str) -> Event {
    let said = ("snapshot-controller", why);
    Event::refused((Kind::Snapshot, snapshot), reason, what, said)
}
