//! Remembers what calls for one claim came to, and folds each answer in.

use std::sync::Arc;

use super::complaint::Complaint;
use super::render::Volume;
use super::request::{Request, Why};
use crate::Time;
use crate::doubt::Doubt;
use crate::object::Uid;
use crate::retry::{Backoff, Schedule};

/// How long a call that no retry can help is left alone, unless the class is another one then:
/// external-provisioner's five minutes.
const INFEASIBLE: u64 = 300_000;

/// What the last `CreateVolume` came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Outcome {
    /// Nothing is known since the process started.
    #[default]
    None,
    /// The volume exists.
    Created,
    /// The call may have had an effect.
    Uncertain,
    /// Surely nothing is on storage: not called, refused, or removed again.
    Nothing,
}

/// How a `CreateVolume` failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// Something was missing before the call could be made.
    NotCalled,
    /// The driver refused.
    Refused,
    /// The call may have had an effect.
    Uncertain,
    /// It made something else than was asked for, and that was removed again.
    Undone,
}

/// On each node: when the claim may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Turn {
    /// No lot was drawn.
    #[default]
    None,
    /// Not yet.
    Waits,
    /// Now, if there is room.
    Due,
    /// Now, and there is room.
    HasRoom,
}

/// Everything remembered about one claim.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// Uid of the claim all this is about.
    pub of: Uid,
    /// What the last call came to.
    pub outcome: Outcome,
    /// The server has said that the claim is marked, and nobody has tried to unmark it since: a cache
    /// may still show a mark that is gone.
    pub confirmed: bool,
    /// When the driver was called last.
    pub began: Time,
    /// When the driver may be called again.
    pub backoff: Backoff,
    /// What failed calls say together.
    pub doubt: Doubt,
    /// What was asked for: repeated to the letter while the outcome is uncertain.
    pub request: Option<Arc<Request>>,
    /// Nobody can use what is on storage: it was asked for only to find out what is there, and may be
    /// where no pod can reach it; or it may be half gone.
    pub stray: bool,
    /// What the driver made.
    pub volume: Option<Arc<Volume>>,
    /// What failed, in words.
    pub failure: Option<Arc<str>>,
    /// The failure was told.
    pub said: bool,
    /// The complaint that was told last, while it lasts.
    pub said_complaint: Option<Complaint>,
    /// It was told that somebody else is to fill it.
    pub populator_told: bool,
    /// The driver has no room where it was asked to make it.
    pub exhausted: bool,
    /// It is to be made where its source is, wherever the pod was placed.
    pub at_source: bool,
    /// The class under which the driver said that it can never be made.
    pub infeasible: Option<Uid>,
    /// The server will not have a finalizer on the source.
    pub unprotectable: bool,
    /// On each node: lots drawn for it.
    pub lots: Backoff,
    /// A lot was drawn, and the driver says there is room.
    pub turn: Turn,
}

impl Memory {
    /// There may be something on storage that nothing else in this process tells of.
    pub const fn in_debt(&self) -> bool {
        match self.outcome {
            Outcome::Created | Outcome::Uncertain => true,
            Outcome::None | Outcome::Nothing => false,
        }
    }

    /// The server says that the claim is marked. Nothing was called under a new mark; under one that
    /// was found, a process before this one may have called.
    pub fn folded_mark(&mut self, found: bool) {
        self.confirmed = true;
        match (self.outcome, found) {
            (Outcome::None, true) => self.doubt.uncertain(),
            (Outcome::None, false) => self.outcome = Outcome::Nothing,
            (Outcome::Created | Outcome::Uncertain | Outcome::Nothing, _) => {}
        }
    }

    /// A write is on its way that takes the mark off: it may, even if no reply ever comes.
    pub const fn folded_unmarking(&mut self) {
        self.confirmed = false;
    }

    /// The driver is asked, and may have an effect from now on.
    pub fn folded_asked(&mut self, request: Arc<Request>, why: Why, now: Time) {
        self.began = now;
        let again = self.outcome == Outcome::Uncertain && self.request.as_ref() == Some(&request);
        // What was wanted when it was asked for first is where it is wanted.
        self.stray = (why == Why::FindOut && !again) || (self.stray && again);
        self.request = Some(request);
    }

    /// The driver says that something else has the name: what was made for another node, say, is
    /// found wherever it is, and goes.
    pub fn folded_name_taken(&mut self) {
        if let Some(request) = self.request.as_mut().filter(|it| it.topology.is_some()) {
            Arc::make_mut(request).topology = None;
            self.stray = true;
        }
    }

    /// The driver made the volume.
    pub fn folded_created(&mut self, volume: Volume) {
        self.outcome = Outcome::Created;
        self.doubt.settled();
        self.volume = Some(Arc::new(volume));
        self.failure = None;
        self.said = false;
        self.said_complaint = None;
        self.backoff.succeeded();
    }

    /// The volume that nobody wants is gone.
    pub fn folded_removed(&mut self) {
        self.outcome = Outcome::Nothing;
        self.doubt.settled();
        self.volume = None;
        self.request = None;
        self.stray = false;
        self.backoff.succeeded();
    }

    /// The call failed, in these words: [`Outcome::Nothing`] once it is sure that nothing is on
    /// storage.
    pub fn folded_failure(
        &mut self,
        failure: Failure,
        words: &str,
        now: Time,
        schedule: Schedule,
        dice: u8,
    ) {
        match failure {
            Failure::NotCalled => {}
            Failure::Refused => self.doubt.refused(),
            Failure::Uncertain => self.doubt.uncertain(),
            Failure::Undone => self.doubt.settled(),
        }
        self.outcome = match failure {
            Failure::NotCalled => self.outcome,
            Failure::Undone => Outcome::Nothing,
            Failure::Refused if self.doubt.is_believed() => Outcome::Nothing,
            Failure::Refused | Failure::Uncertain => Outcome::Uncertain,
        };
        if self.outcome == Outcome::Nothing {
            self.doubt.settled();
        }
        if self.failure.as_deref() != Some(words) {
            self.failure = Some(words.into());
            self.said = false;
        }
        self.said_complaint = None;
        self.backoff.failed(now, schedule, dice);
    }

    /// The driver said that it can never make this (`InvalidArgument`): it is left alone for long.
    pub fn folded_infeasible(&mut self, class: Uid, now: Time) {
        self.infeasible = Some(class);
        self.backoff.later(now, INFEASIBLE, 0);
    }

    /// The driver has no room where it was asked to make it.
    pub fn folded_exhausted(&mut self, source_elsewhere: bool) {
        if source_elsewhere && !self.at_source {
            self.at_source = true;
            self.backoff.succeeded();
        } else {
            self.at_source = false;
            self.exhausted = true;
        }
    }

    /// On each node: a lot was drawn; the claim may be taken after a random part of a delay that
    /// doubles each time.
    pub fn folded_lot(&mut self, now: Time, schedule: Schedule, dice: u8) {
        self.lots.failed(now, schedule, 0);
        let longest = self.lots.remaining(now);
        self.lots.later(now, longest / 255 * u64::from(dice), 0);
        self.turn = Turn::Waits;
    }

    /// The scheduler chooses again.
    pub fn folded_rescheduled(&mut self) {
        self.exhausted = false;
        self.said_complaint = None;
    }

    /// Removing the orphan failed; it may be gone, or half gone: nobody can use it any more.
    pub fn folded_orphan_kept(&mut self, now: Time, schedule: Schedule, dice: u8) {
        self.stray = true;
        self.backoff.failed(now, schedule, dice);
    }

    /// What was told was told.
    pub fn folded_complaint(&mut self, complaint: Complaint) {
        if complaint == Complaint::Driver {
            self.said = true;
        } else {
            self.said_complaint = Some(complaint);
        }
    }
}
