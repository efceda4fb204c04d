//! Plays our sidecar: asks the content machine, does what it says.
//!
//! Models what the shell does: own writes are folded, writes are conditional, what is remembered of
//! a settled content is forgotten.

use tintype_core::content::{self, Outcome, Step};
use tintype_core::{Seen, Verdict};

use super::driver::{Answer, Driver};
use super::model::{Content, Harm, Ready, Recalled, Trouble, World};

impl World {
    /// What the machine says of this content now.
    pub(crate) fn content_verdict(&self, at: usize) -> Verdict<Step, content::Waiting> {
        content::decide(&self.settled_facts(at))
    }

    /// The facts once what is settled is forgotten.
    pub(crate) fn settled_facts(&self, at: usize) -> content::Facts {
        let mut world = *self;
        world.forget_settled(at);
        world.content_facts(at)
    }

    /// One step of the content machine; a reply may get lost.
    pub(crate) fn sidecar(mut self, at: usize, how: Driver, lost: bool) -> Option<Self> {
        if self.sidecar.theirs {
            return self.their_sidecar(at, how, lost);
        }
        self.forget_settled(at);
        let verdict = content::decide(&self.content_facts(at));
        let (Verdict::Do(step), true) = (verdict, self.sidecar.caught_up) else {
            return None;
        };
        let seen = *self.sidecar.contents[at].present()?;
        match step {
            Step::CreateOnStorage | Step::AskStatus | Step::DeleteOnStorage if lost => None,
            Step::CreateOnStorage | Step::AskStatus | Step::DeleteOnStorage
                if !self.sidecar.memory[at].due =>
            {
                self.does_harm(Harm::Hammered);
                Some(self)
            }
            Step::CreateOnStorage | Step::AskStatus | Step::DeleteOnStorage => {
                let answer = self.call(at, step, how)?;
                self.sidecar.memory[at].heard(answer);
                Some(self)
            }
            Step::MarkCreating
            | Step::RecordStatus
            | Step::ClearMark
            | Step::RecordFailure
            | Step::Release => {
                if how != Driver::Works || self.contents[at] != Some(seen) {
                    return None; // No call, so no driver; or a conflict.
                }
                if lost && !self.fault() {
                    return None;
                }
                let next = self.written(at, step, seen)?;
                self.put_content(at, next);
                if !lost {
                    self.sidecar.contents[at] =
                        self.contents[at].map_or(Seen::Absent, Seen::Present);
                    self.forget_settled(at);
                    match step {
                        Step::MarkCreating => {
                            self.sidecar.memory[at].fold(content::Memory::folded_mark);
                        }
                        Step::ClearMark => {
                            self.sidecar.memory[at].fold(content::Memory::folded_clear);
                        }
                        Step::RecordStatus => {
                            self.sidecar.memory[at].fold(content::Memory::folded_record);
                        }
                        Step::RecordFailure
                        | Step::Release
                        | Step::CreateOnStorage
                        | Step::AskStatus
                        | Step::DeleteOnStorage => {}
                    }
                }
                Some(self)
            }
        }
    }

    /// The content as the write leaves it.
    fn written(&self, at: usize, step: Step, mut content: Content) -> Option<Content> {
        let memory = self.sidecar.memory[at];
        match step {
            Step::MarkCreating => content.being_created = true,
            Step::ClearMark => content.being_created = false,
            Step::RecordStatus => {
                content.recorded = true;
                content.ready = if memory.reply? { Ready::Yes } else { Ready::No };
                content.error = None;
            }
            Step::RecordFailure => {
                let class = self.content_facts(at).class;
                content.error = Some(self.trouble(content, class, memory)?);
                if !content.deleting {
                    content.ready = Ready::No;
                }
            }
            Step::Release => content.protected = false,
            Step::CreateOnStorage | Step::AskStatus | Step::DeleteOnStorage => return None,
        }
        Some(content)
    }

    /// `content::Memory::about`.
    fn forget_settled(&mut self, at: usize) {
        let memory = &mut self.sidecar.memory[at];
        let Some(it) = self.sidecar.contents[at].present() else {
            *memory = Recalled::default();
            return;
        };
        let settled = it.ready == Ready::Yes && !it.being_created && !it.deleting;
        if settled || memory.of != Some(it.number) {
            *memory = Recalled {
                of: Some(it.number),
                ..Recalled::default()
            };
        }
    }
}

impl Recalled {
    /// Folds the driver's answer in.
    fn heard(&mut self, answer: Answer) {
        match answer {
            Answer::Exists { ready } => self.answered(ready),
            Answer::Refused => self.failed(Outcome::Refused, Trouble::Refused),
            Answer::Uncertain => self.failed(Outcome::Uncertain, Trouble::Uncertain),
            Answer::NotCalled => self.failed(Outcome::NotCalled, Trouble::NotCalled),
            Answer::Deleted => self.fold(content::Memory::folded_deleted),
            Answer::DeleteFailed => self.failed(Outcome::DeleteFailed, Trouble::DeleteFailed),
        }
    }
}
