//! Remembers what calls for one content came to, and folds each answer in.
//!
//! Does not survive the process; the marks on the object do.

use std::sync::Arc;

use super::Step;
use crate::doubt::Doubt;
use crate::object::{Class, Content, Meta, SecretRef, Uid, Version};
use crate::retry::{Backoff, Schedule};
use crate::{Seen, Stamp, Time};

/// What the last call came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Outcome {
    /// Nothing was called since the process started, or all is written down.
    #[default]
    None,
    /// The snapshot exists.
    Created,
    /// The call surely had no effect of its own.
    Refused,
    /// The call may have had an effect.
    Uncertain,
    /// Something was missing before the call could be made.
    NotCalled,
    /// The snapshot is gone.
    Deleted,
    /// Deleting it failed.
    DeleteFailed,
}

/// What the driver says of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// `snapshot_id`.
    pub handle: Box<str>,
    /// `creation_time`, Unix nanoseconds; absent where the driver gives none.
    pub creation_time: Option<i64>,
    /// `size_bytes`; 0 means unknown.
    pub size: i64,
    /// `ready_to_use`.
    pub ready: bool,
    /// `group_snapshot_id`, if not empty.
    pub group: Option<Box<str>>,
}

/// A call that failed, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallFailure {
    /// What was called, or what was missing.
    pub what: Box<str>,
    /// The gRPC code's name, or empty.
    pub code: Box<str>,
    /// What the driver said.
    pub message: Box<str>,
    /// The driver asked for time: it is at it already, or has too much to do.
    pub busy: bool,
}

/// What somebody may have changed to cure a failure: the content's spec, its class, its Secret's
/// name; and that it is to go, which makes it worth another try too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    generation: i64,
    class: Option<Version>,
    secret: Option<Box<SecretRef>>,
    deleting: bool,
}

impl Cause {
    /// What a call for a content of this generation is made with.
    pub(crate) fn of(
        (generation, meta): (i64, &Meta),
        class: Option<&Seen<Arc<Class>>>,
        secret: Option<&SecretRef>,
    ) -> Self {
        let class = class.and_then(Seen::present);
        Self {
            generation,
            class: class.map(|it| it.meta.version.clone()),
            secret: secret.cloned().map(Box::new),
            deleting: meta.deleting,
        }
    }
}

/// Everything remembered about one content.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// Uid of the content all this is about.
    pub of: Uid,
    /// What the last call came to.
    pub outcome: Outcome,
    /// When the driver may be called again.
    pub backoff: Backoff,
    /// The driver's last answer about the snapshot.
    pub reply: Option<Arc<Reply>>,
    /// The last failure.
    pub failure: Option<Arc<CallFailure>>,
    /// What it was tried with.
    pub tried: Option<Arc<Cause>>,
    /// This process wrote the being-created mark that is on the content.
    pub marked: bool,
    /// What failed attempts since the mark say together.
    pub doubt: Doubt,
    /// Polls in a row that found it not ready.
    pub polls: u8,
}

/// How long the next look at a snapshot that is not ready is put off, in milliseconds.
const POLL: [u64; 8] = [100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000];

impl Memory {
    /// What still counts now that the content looks like this: nothing of a content that had the
    /// same name, and nothing of one that is settled.
    #[must_use]
    pub fn about(self, content: Option<&Content>) -> Self {
        match content {
            Some(it) if it.meta.uid == self.of && !is_settled(it) => self,
            Some(it) => Self {
                of: it.meta.uid.clone(),
                ..Self::default()
            },
            None => Self::default(),
        }
    }

    /// What failed is tried at once when something changed that may be the cure.
    #[must_use]
    pub fn encouraged(mut self, by: &Cause) -> Self {
        if self.tried.as_deref().is_some_and(|it| it != by) {
            self.tried = Some(Arc::new(by.clone()));
            self.backoff.encouraged();
        }
        self
    }

    /// Nothing is remembered that the content does not say itself.
    pub fn is_blank(&self) -> bool {
        self.outcome == Outcome::None
            && !self.marked
            && self.reply.is_none()
            && self.failure.is_none()
    }

    /// This step was written to the API server.
    pub fn folded(&mut self, step: Step) {
        match step {
            Step::MarkCreating => self.folded_mark(),
            Step::ClearMark => self.folded_clear(),
            Step::RecordStatus => self.folded_record(),
            Step::RecordFailure
            | Step::Release
            | Step::CreateOnStorage
            | Step::AskStatus
            | Step::DeleteOnStorage => {}
        }
    }

    /// The being-created mark was written by this process: a new attempt begins, and what the last
    /// one came to says nothing about it.
    pub fn folded_mark(&mut self) {
        self.outcome = Outcome::None;
        self.marked = true;
        self.doubt.settled();
    }

    /// The answer was written down: from here on the status says it, and may say more.
    pub fn folded_record(&mut self) {
        self.outcome = Outcome::None;
    }

    /// The mark was taken off.
    pub fn folded_clear(&mut self) {
        self.marked = false;
        self.doubt.settled();
    }

    /// A create or status call was answered; `wall` stands in for a creation time nobody gave.
    pub fn folded_reply(&mut self, mut reply: Reply, now: Time, wall: Stamp, dice: u8) {
        let known = self.reply.as_ref().and_then(|it| it.creation_time);
        reply.creation_time = reply
            .creation_time
            .or(known)
            .or_else(|| wall.0.checked_mul(1_000_000_000));
        self.outcome = Outcome::Created;
        self.failure = None;
        self.tried = None;
        self.doubt.settled();
        self.backoff.succeeded();
        if !reply.ready {
            let step = usize::from(self.polls).min(POLL.len() - 1);
            self.polls = self.polls.saturating_add(1);
            self.backoff.later(now, POLL[step], dice);
        }
        self.reply = Some(Arc::new(reply));
    }

    /// A create or status call failed, or could not be made.
    pub fn folded_failure(
        &mut self,
        outcome: Outcome,
        failure: CallFailure,
        now: Time,
        schedule: Schedule,
        dice: u8,
    ) {
        match outcome {
            Outcome::Uncertain => self.doubt.uncertain(),
            Outcome::Refused => self.doubt.refused(),
            Outcome::None
            | Outcome::Created
            | Outcome::NotCalled
            | Outcome::Deleted
            | Outcome::DeleteFailed => {}
        }
        // To delete is another operation: that making it failed says nothing of how often to try.
        if (self.outcome == Outcome::DeleteFailed) != (outcome == Outcome::DeleteFailed) {
            self.backoff = Backoff::default();
        }
        let schedule = if failure.busy {
            schedule.patient()
        } else {
            schedule
        };
        self.outcome = outcome;
        self.failure = Some(Arc::new(failure));
        self.backoff.failed(now, schedule, dice);
    }

    /// The snapshot was deleted.
    pub fn folded_deleted(&mut self) {
        self.outcome = Outcome::Deleted;
        self.failure = None;
        self.tried = None;
        self.backoff.succeeded();
    }

    /// A refusal leaves nothing behind: no attempt before it may have, or it was repeated.
    pub fn confirmed(&self) -> bool {
        let doubt = Doubt {
            open: self.doubt.open || !self.marked,
            ..self.doubt
        };
        self.outcome == Outcome::Refused && doubt.is_believed()
    }

    /// The answer holds something the content's status does not say (spec sidecar 3.8).
    pub fn is_news_to(&self, content: &Content) -> bool {
        let Some(reply) = &self.reply else {
            return false;
        };
        let Some(status) = &content.status else {
            return true;
        };
        status.handle.is_none()
            || status.ready != Some(reply.ready)
            || status.creation_time.is_none()
            || (status.restore_size.is_none() && reply.size > 0)
            || (status.group_handle.is_none() && reply.group.is_some())
            || status.error.is_some()
    }

    /// What failed, for status and event; depends on nothing that changes by itself.
    pub fn failure_text(&self) -> Option<String> {
        let failure = self.failure.as_ref()?;
        let CallFailure {
            what,
            code,
            message,
            busy: _, // It says so.
        } = failure.as_ref();
        Some(if code.is_empty() {
            format!("{what}: {message}")
        } else {
            format!("{what}: the driver answered {code}: {message}")
        })
    }
}

fn is_settled(content: &Content) -> bool {
    content.ready() && !content.being_created && !content.meta.deleting
}
