//! Remembers what calls for one claim came to, and folds each answer in.

use std::sync::Arc;

use super::complaint::Complaint;
use super::render::{Request, Volume};
use crate::Time;
use crate::retry::{Backoff, Schedule};

/// What the last `CreateVolume` came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Outcome {
    /// Nothing was called since the process started.
    #[default]
    None,
    /// The volume exists.
    Created,
    /// The call surely had no effect.
    Refused,
    /// The call may have had an effect.
    Uncertain,
    /// Something was missing before the call could be made.
    NotCalled,
}

/// Everything remembered about one claim.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// What the last call came to.
    pub outcome: Outcome,
    /// When the driver may be called again.
    pub backoff: Backoff,
    /// What was asked for: repeated to the letter while the outcome is uncertain.
    pub request: Option<Arc<Request>>,
    /// What the driver made.
    pub volume: Option<Arc<Volume>>,
    /// What failed, in words.
    pub failure: Option<Arc<str>>,
    /// The failure was told.
    pub said: bool,
    /// The complaint that was told last, while it lasts.
    pub said_complaint: Option<Complaint>,
}

impl Memory {
    /// The driver made the volume.
    pub fn folded_created(&mut self, volume: Volume) {
        self.outcome = Outcome::Created;
        self.volume = Some(Arc::new(volume));
        self.failure = None;
        self.said = false;
        self.backoff.succeeded();
    }

    /// The call failed.
    pub fn folded_failure(
        &mut self,
        outcome: Outcome,
        failure: &str,
        now: Time,
        schedule: Schedule,
        dice: u8,
    ) {
        // What may have been made stays in doubt until the driver says what became of it.
        if self.outcome != Outcome::Uncertain || outcome != Outcome::NotCalled {
            self.outcome = outcome;
        }
        if self.failure.as_deref() != Some(failure) {
            self.failure = Some(failure.into());
            self.said = false;
        }
        self.backoff.failed(now, schedule, dice);
    }

    /// Removing the orphan failed.
    pub fn folded_orphan_kept(&mut self, now: Time, schedule: Schedule, dice: u8) {
        self.backoff.failed(now, schedule, dice);
    }

    /// What was told was told.
    pub fn folded_complaint(&mut self, complaint: Complaint) {
        self.said_complaint = Some(complaint);
        self.said = true;
    }
}
