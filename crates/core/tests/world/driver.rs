//! Plays the storage driver: works, refuses, lies once, times out before, after and long before its
//! effect.
//!
//! Does not know objects of the cluster, except to say which of its effects do harm.

use tintype_core::DeletionPolicy;
use tintype_core::content::Step;

use super::model::{Harm, Storage, World};

/// How a call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Driver {
    Works,
    /// It is cut, but not ready to use yet.
    NotYet,
    Refuses,
    TimesOutBefore,
    TimesOutAfter,
    /// The effect comes after the answer.
    TimesOutLate,
    /// The secret is missing, so nothing is called.
    NoSecret,
}

/// What the caller hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Exists { ready: bool },
    Refused,
    Uncertain,
    NotCalled,
    Deleted,
    DeleteFailed,
}

impl World {
    /// Does the call this step stands for.
    pub(crate) fn call(&mut self, at: usize, step: Step, how: Driver) -> Option<Answer> {
        match step {
            Step::CreateOnStorage => self.create_snapshot(at, how),
            Step::AskStatus => self.ask_status(at, how),
            Step::DeleteOnStorage => self.delete_snapshot(at, how),
            Step::MarkCreating
            | Step::RecordStatus
            | Step::ClearMark
            | Step::RecordFailure
            | Step::Release => None,
        }
    }

    /// `CreateSnapshot` under the name of this uid; none if it cannot go this way now.
    pub(crate) fn create_snapshot(&mut self, at: usize, how: Driver) -> Option<Answer> {
        match how {
            Driver::Works => {
                self.cut(at);
                if self.storage[at] == Storage::Cut {
                    self.storage[at] = Storage::Ready;
                }
                Some(Answer::Exists { ready: true })
            }
            Driver::NotYet => {
                if !self.setup.0.slow || self.storage[at] == Storage::Ready {
                    return None;
                }
                self.cut(at);
                Some(Answer::Exists { ready: false })
            }
            Driver::Refuses => {
                self.fault().then_some(())?;
                if self.storage[at] != Storage::None || self.late[at] {
                    self.left.lies = self.left.lies.checked_sub(1)?;
                }
                Some(Answer::Refused)
            }
            Driver::TimesOutBefore => self.fault().then_some(Answer::Uncertain),
            Driver::TimesOutAfter => {
                self.fault().then_some(())?;
                self.cut(at);
                Some(Answer::Uncertain)
            }
            Driver::TimesOutLate => {
                self.fault().then_some(())?;
                if self.storage[at] != Storage::None || self.late[at] {
                    return None;
                }
                self.late[at] = !self.strays(at);
                Some(Answer::Uncertain)
            }
            Driver::NoSecret => self.fault().then_some(Answer::NotCalled),
        }
    }

    /// The effect of `CreateSnapshot`, which comes once per name.
    pub(crate) fn cut(&mut self, at: usize) {
        self.late[at] = false;
        if self.storage[at] != Storage::None || self.strays(at) {
            return;
        }
        self.storage[at] = Storage::Cut;
        if self.promised[at] {
            self.does_harm(Harm::SecondCut);
        }
        match self.contents[at] {
            None => self.does_harm(Harm::Leaked),
            Some(it) if !it.being_created && !it.recorded => self.does_harm(Harm::CutUnmarked),
            Some(_) => {}
        }
    }

    /// It is cut for a content that was destroyed: whoever did that is to clean up.
    fn strays(&self, at: usize) -> bool {
        let meant = self.sidecar.contents[at].present().map(|it| it.number);
        match self.contents[at] {
            None => self.destroyed[at],
            Some(it) => meant.is_some_and(|number| number != it.number),
        }
    }

    /// `ListSnapshots` for an imported snapshot.
    pub(crate) fn ask_status(&mut self, at: usize, how: Driver) -> Option<Answer> {
        match how {
            Driver::Works if self.storage[at] == Storage::None => Some(Answer::NotCalled),
            Driver::Works => Some(Answer::Exists { ready: true }),
            Driver::NotYet => self.setup.0.slow.then_some(Answer::Exists { ready: false }),
            Driver::Refuses => self.fault().then_some(Answer::Refused),
            Driver::TimesOutBefore => self.fault().then_some(Answer::Uncertain),
            Driver::TimesOutAfter | Driver::TimesOutLate | Driver::NoSecret => None,
        }
    }

    /// `DeleteSnapshot`.
    pub(crate) fn delete_snapshot(&mut self, at: usize, how: Driver) -> Option<Answer> {
        match how {
            Driver::Works => {
                self.destroy(at);
                Some(Answer::Deleted)
            }
            Driver::TimesOutAfter => {
                self.fault().then_some(())?;
                self.destroy(at);
                Some(Answer::DeleteFailed)
            }
            Driver::TimesOutBefore => self.fault().then_some(Answer::DeleteFailed),
            Driver::Refuses | Driver::NotYet | Driver::TimesOutLate | Driver::NoSecret => None,
        }
    }

    fn destroy(&mut self, at: usize) {
        if self.storage[at] == Storage::None {
            return;
        }
        self.storage[at] = Storage::None;
        let entitled = self.setup.0.policy == DeletionPolicy::Delete
            && match self.contents[at] {
                // Whoever deletes a content no snapshot is bound to means what is behind it.
                Some(it) => it.deleting && it.owner.is_none_or(|uid| self.asked(uid)),
                None => self.asked(at),
            };
        if !entitled {
            self.does_harm(Harm::DestroyedUnasked);
        }
    }
}
