//! Plays our controller: asks the snapshot machine and the guard, does what they say.
//!
//! Models what the shell does: own writes are folded, writes are conditional, the young content and
//! the refused one are remembered.

use tintype_core::pair::Memory;
use tintype_core::snapshot::{self, Complaint, Step};
use tintype_core::{DeletionPolicy, Seen, Verdict, guard};

use super::model::{Content, Harm, Ready, Said, Snap, World};

/// How a request to the API server goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Request {
    Works,
    /// It is done, but nobody hears.
    ReplyLost,
    /// The server will not have it.
    Denied,
}

impl World {
    /// One step of the snapshot machine.
    pub(crate) fn controller(mut self, name: usize, how: Request) -> Option<Self> {
        if self.controller.theirs {
            return self.their_controller(name, how);
        }
        let verdict = snapshot::decide(&self.snapshot_facts(name));
        if !self.controller.caught_up {
            return None;
        }
        let Verdict::Do(step) = verdict else {
            return None;
        };
        let snap = *self.controller.snaps[name].present()?;
        let at = self.content_of(snap.uid);
        match how {
            Request::Works => {}
            Request::ReplyLost if matches!(step, Step::LookUpContent | Step::LookUpSnapshot) => {
                return None;
            }
            Request::Denied if step != Step::CreateContent => return None,
            Request::ReplyLost | Request::Denied => self.fault().then_some(())?,
        }
        if how == Request::Denied {
            self.controller.fresh[name] = false;
            self.controller.memory[name].creation_refused = true;
            self.controller.memory[name].retry_due = false;
            return Some(self);
        }
        let folds = how == Request::Works;
        let done = match step {
            Step::Protect | Step::Publish | Step::Complain(_) | Step::Retract | Step::Release => {
                self.write_snapshot(name, step, snap, folds)
            }
            Step::ProtectClaim => self.protect_claim(folds),
            Step::LookUpSnapshot => {
                self.controller.snaps[name] = self.snaps[name].map_or(Seen::Absent, Seen::Present);
                self.controller.fresh[name] = true;
                Some(())
            }
            Step::LookUpContent => {
                self.controller.contents[at] =
                    self.contents[at].map_or(Seen::Absent, Seen::Present);
                self.controller.looked_up[name] = true;
                Some(())
            }
            // No snapshot of this world belongs to a group.
            Step::LookUpGroup | Step::JoinGroup => None,
            Step::CreateContent => self.create_content(name, at, snap, folds),
            Step::BindContent
            | Step::ProtectContent
            | Step::AskContentDeletion
            | Step::DeleteContent => self.write_content(at, step, snap, folds),
        };
        // A refused write, a lost reply and a rest each end the pass.
        if done.is_none() || !folds || self.snapshot_rests(name) {
            self.controller.looked_up[name] = false;
            self.controller.fresh[name] = false;
        }
        Some(self)
    }

    fn snapshot_rests(&self, name: usize) -> bool {
        !matches!(snapshot::decide(&self.snapshot_facts(name)), Verdict::Do(_))
    }

    fn write_snapshot(&mut self, name: usize, step: Step, seen: Snap, folds: bool) -> Option<()> {
        if self.snaps[name] != Some(seen) {
            return None; // Conflict.
        }
        let content = self.controller.contents[self.content_of(seen.uid)];
        let mut snap = seen;
        match step {
            Step::Protect => {
                snap.source_finalizer = true;
                let known =
                    content.present().is_some() || self.controller.class.present().is_some();
                if known && self.setup.0.policy == DeletionPolicy::Delete {
                    snap.bound_finalizer = true;
                }
            }
            Step::Publish => publish(&mut snap, *content.present()?),
            Step::Complain(complaint) => complain(&mut snap, complaint),
            Step::Retract => snap.error = None,
            Step::Release => {
                let content = self.contents[self.content_of(seen.uid)];
                if self.setup.0.policy == DeletionPolicy::Delete
                    && content.is_some_and(|it| it.owner == Some(seen.uid))
                {
                    self.does_harm(Harm::LetGoEarly);
                }
                snap.source_finalizer = false;
                snap.bound_finalizer = false;
            }
            Step::ProtectClaim
            | Step::CreateContent
            | Step::BindContent
            | Step::ProtectContent
            | Step::LookUpSnapshot
            | Step::LookUpContent
            | Step::LookUpGroup
            | Step::JoinGroup
            | Step::AskContentDeletion
            | Step::DeleteContent => return None,
        }
        self.put_snapshot(name, snap);
        if folds {
            self.controller.snaps[name] = self.snaps[name].map_or(Seen::Absent, Seen::Present);
            self.controller.fresh[name] = true;
        }
        Some(())
    }

    fn protect_claim(&mut self, folds: bool) -> Option<()> {
        let mut claim = *self.controller.claim.present()?;
        // The server takes no new finalizer on what is being deleted.
        if self.claim != Some(claim) || claim.deleting {
            return None;
        }
        claim.protected = true;
        self.claim = Some(claim);
        if folds {
            self.controller.claim = Seen::Present(claim);
        }
        Some(())
    }

    fn create_content(&mut self, name: usize, at: usize, snap: Snap, folds: bool) -> Option<()> {
        let memory = self.controller.memory[name];
        if memory.creation_refused && !memory.retry_due {
            self.does_harm(Harm::Hammered);
        }
        if self.contents[at].is_some() {
            return None; // It exists: news is on its way.
        }
        if self.promised[snap.uid] || self.snapshot(snap.uid).is_some_and(|it| it.bound) {
            self.does_harm(Harm::SecondContent);
        }
        let number = u8::from(self.destroyed[at]);
        self.destroyed[at] = false;
        self.put_content(at, Content::of(snap.uid, number, true));
        if folds {
            self.controller.contents[at] = self.contents[at].map_or(Seen::Absent, Seen::Present);
            self.controller.memory[name] = Memory {
                in_grace: true,
                ..Memory::default()
            };
        }
        Some(())
    }

    fn write_content(&mut self, at: usize, step: Step, snap: Snap, folds: bool) -> Option<()> {
        let seen = *self.controller.contents[at].present()?;
        if self.contents[at] != Some(seen) {
            return None; // Conflict.
        }
        let mut content = seen;
        match step {
            Step::BindContent => {
                content.owner = Some(snap.uid);
                content.classed = true;
                content.protected |= !content.deleting;
            }
            Step::ProtectContent => content.protected = true,
            Step::AskContentDeletion => content.being_deleted = true,
            Step::DeleteContent => {
                if self.setup.0.policy == DeletionPolicy::Retain {
                    self.does_harm(Harm::Discarded);
                }
                content.deleting = true;
            }
            Step::Protect
            | Step::Publish
            | Step::Complain(_)
            | Step::Retract
            | Step::Release
            | Step::ProtectClaim
            | Step::CreateContent
            | Step::LookUpSnapshot
            | Step::LookUpContent
            | Step::LookUpGroup
            | Step::JoinGroup => return None,
        }
        self.put_content(at, content);
        if folds {
            self.controller.contents[at] = self.contents[at].map_or(Seen::Absent, Seen::Present);
        }
        Some(())
    }

    /// A cut is to come or may be under way, and nothing hides it from the controller.
    fn is_known_to_be_cut(&self, uid: usize) -> bool {
        let wanted = self.snapshot(uid).filter(|it| !it.deleting);
        let (Some(_), Some(content)) = (wanted, self.contents[uid]) else {
            return false;
        };
        let known = self.controller.contents[uid] == Seen::Present(content);
        let cut = content.recorded || content.deleting;
        !cut && (content.error.is_none() || (content.being_created && known))
    }

    /// One step of the claim's guard.
    pub(crate) fn guard(mut self, how: Request) -> Option<Self> {
        if self.controller.theirs {
            return None; // Part of their snapshot sync.
        }
        let verdict = guard::decide(&self.guard_facts());
        let (Verdict::Do(guard::Step::Release), true) = (verdict, self.controller.caught_up) else {
            return None;
        };
        let mut claim = *self.controller.claim.present()?;
        if self.claim != Some(claim) || how == Request::Denied {
            return None;
        }
        if how == Request::ReplyLost {
            self.fault().then_some(())?;
        }
        claim.protected = false;
        if (0..2).any(|uid| self.is_known_to_be_cut(uid)) {
            self.does_harm(Harm::ClaimLetGo);
        }
        self.put_claim(claim);
        if how == Request::Works {
            self.controller.claim = self.claim.map_or(Seen::Absent, Seen::Present);
        }
        Some(self)
    }
}

impl Content {
    /// A new content for the snapshot of this uid.
    pub(crate) const fn of(uid: usize, number: u8, protected: bool) -> Self {
        Self {
            number,
            owner: Some(uid),
            deleting: false,
            protected,
            being_created: false,
            being_deleted: false,
            recorded: false,
            ready: Ready::Unset,
            error: None,
            classed: true,
        }
    }
}

fn publish(snap: &mut Snap, content: Content) {
    let ready = content.ready == Ready::Yes || snap.ready == Ready::Yes;
    snap.ready = if ready { Ready::Yes } else { Ready::No };
    snap.bound = true;
    snap.dated |= content.recorded;
    snap.error = content.error.filter(|_| !ready).map(Said::OfContent);
}

fn complain(snap: &mut Snap, complaint: Complaint) {
    snap.error = Some(Said::Complaint(complaint));
    if complaint.unreadies() {
        snap.ready = Ready::No;
    }
}
