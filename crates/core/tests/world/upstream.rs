//! Plays upstream's halves: snapshot-controller and csi-snapshotter 8.6, from what they write and
//! when.
//!
//! One step is the next request a sync would make, given its caches with its own writes folded in.
//! Where upstream sends a patch that no version guards, the world applies it to whatever is there.
//! Does not know queues: a sync may run at any time.

use tintype_core::content::Outcome;
use tintype_core::{DeletionPolicy, Seen};

use super::controller::Request;
use super::driver::{Answer, Driver};
use super::model::{Claim, Content, Harm, Queued, Ready, Said, Snap, Trouble, World};

impl World {
    /// The next request of their snapshot and content syncs.
    pub(crate) fn their_controller(mut self, name: usize, how: Request) -> Option<Self> {
        let caches = [
            self.controller.snaps.contains(&Seen::Unknown),
            self.controller.contents.contains(&Seen::Unknown),
            self.controller.claim == Seen::Unknown,
            self.controller.class == Seen::Unknown,
        ];
        if caches.contains(&true) || how == Request::Denied {
            return None; // It waits for all caches.
        }
        let folds = how == Request::Works;
        if !folds {
            self.fault().then_some(())?;
        }
        for at in 0..2 {
            if let Some(content) = self.their_content_sync(at) {
                self.put_content(at, content);
                if folds {
                    self.controller.contents[at] = present(self.contents[at]);
                }
                return Some(self);
            }
        }
        let snap = *self.controller.snaps[name].present()?;
        self.their_snapshot_sync(name, snap, folds)?;
        Some(self)
    }

    /// Spec controller 2.10.
    fn their_content_sync(&self, at: usize) -> Option<Content> {
        let cached = *self.controller.contents[at].present()?;
        let mut content = self.contents[at]?;
        let uid = cached.owner?;
        if !cached.deleting && !cached.protected {
            // The server takes no new finalizer on what is being deleted.
            content.protected = !content.deleting || content.protected;
            return changed(self.contents[at], content);
        }
        let candidate = self
            .controller
            .snaps
            .iter()
            .filter_map(Seen::present)
            .any(|it| it.uid == uid && it.deleting && (it.source_finalizer || it.bound_finalizer));
        if candidate && !cached.being_deleted {
            content.being_deleted = true;
            content.being_created = self.map(cached.being_created, content.being_created);
            return changed(self.contents[at], content);
        }
        None
    }

    /// Spec controller 2.3 and 2.4.
    fn their_snapshot_sync(&mut self, name: usize, snap: Snap, folds: bool) -> Option<()> {
        let imported = self.setup.0.imported;
        let at = self.content_of(snap.uid);
        if self.controller.class.present().is_none() {
            // D7: a ready snapshot too.
            if snap.error != Some(Said::Theirs) {
                return self.their_error(name, snap, snap.ready, folds);
            }
            if !snap.deleting {
                return None;
            }
        }
        if !imported && self.their_claim_release(None, folds).is_some() {
            return Some(());
        }
        if snap.deleting {
            return self.their_deletion(name, at, snap, folds);
        }
        let content = self.controller.contents[at].present().copied();
        let foreign = content.is_some_and(|it| it.owner.is_some_and(|uid| uid != snap.uid));
        if foreign || (imported && content.is_none()) {
            return self.their_error(name, snap, Ready::No, folds);
        }
        let bound =
            snap.bound && content.is_some() && self.setup.0.policy == DeletionPolicy::Delete;
        if !snap.source_finalizer || (bound && !snap.bound_finalizer) {
            return self.their_finalizers(name, snap, bound, folds);
        }
        if snap.ready == Ready::Yes && snap.bound {
            return match content {
                Some(_) => None,
                None => self.their_error(name, snap, Ready::No, folds),
            };
        }
        match content {
            Some(content) if imported && (content.owner.is_none() || !content.classed) => {
                let mut now = self.contents[at]?;
                now.owner = Some(snap.uid);
                now.classed = true;
                self.store(at, now, folds)
            }
            Some(content) => self.their_status_copy(name, content, folds),
            None => self.their_creation(name, at, snap, folds),
        }
    }

    fn their_finalizers(
        &mut self,
        name: usize,
        seen: Snap,
        bound: bool,
        folds: bool,
    ) -> Option<()> {
        let mut snap = self.snaps[name]?;
        let none = !seen.source_finalizer && !seen.bound_finalizer;
        if (none && snap != seen) || snap.deleting {
            return None; // A conflict, or forbidden.
        }
        snap.source_finalizer = true;
        snap.bound_finalizer |= bound;
        self.put_snapshot(name, snap);
        self.fold_snapshot(name, folds);
        Some(())
    }

    /// Spec controller 2.6: the claim's finalizer, the content, then the bound name.
    fn their_creation(&mut self, name: usize, at: usize, snap: Snap, folds: bool) -> Option<()> {
        let Some(&claim) = self.controller.claim.present() else {
            return self.their_error(name, snap, Ready::No, folds);
        };
        if !claim.protected {
            if claim.deleting {
                return self.their_error(name, snap, Ready::No, folds);
            }
            if self.claim != Some(claim) {
                return None; // Conflict.
            }
            self.claim = Some(Claim {
                protected: true,
                ..claim
            });
            if folds {
                self.controller.claim = present(self.claim);
            }
            return Some(());
        }
        if !claim.bound || self.controller.class.present().is_none() {
            return self.their_error(name, snap, Ready::No, folds);
        }
        let made = Content::of(snap.uid, u8::from(self.destroyed[at]), false);
        if self.contents[at].is_none() {
            if self.promised[snap.uid] {
                self.does_harm(Harm::SecondContent);
            }
            self.destroyed[at] = false;
            self.put_content(at, made);
        }
        // That it exists counts as success, and the object built here is used from there on.
        if folds {
            self.controller.contents[at] = Seen::Present(made);
        }
        Some(())
    }

    /// Spec controller 2.7, on the snapshot as it is on the server.
    fn their_status_copy(&mut self, name: usize, content: Content, folds: bool) -> Option<()> {
        let live = self.snaps[name]?;
        let mut snap = live;
        let ready = content.ready == Ready::Yes;
        snap.bound = true;
        snap.dated |= content.recorded;
        snap.error = content.error.map(Said::OfContent);
        if ready {
            if live.ready != Ready::Yes {
                snap.error = None;
            }
            snap.ready = Ready::Yes;
        } else {
            snap.ready = Ready::No;
        }
        if snap == live {
            return None;
        }
        self.put_snapshot(name, snap);
        self.fold_snapshot(name, folds);
        Some(())
    }

    /// The error status helper: conditional on what the caller has cached.
    fn their_error(&mut self, name: usize, seen: Snap, ready: Ready, folds: bool) -> Option<()> {
        let mut snap = seen;
        snap.error = Some(Said::Theirs);
        snap.ready = ready;
        if snap == seen || self.snaps[name] != Some(seen) {
            return None;
        }
        self.put_snapshot(name, snap);
        self.fold_snapshot(name, folds);
        Some(())
    }

    /// Spec controller 2.9.
    fn their_deletion(&mut self, name: usize, at: usize, snap: Snap, folds: bool) -> Option<()> {
        if !snap.source_finalizer && !snap.bound_finalizer {
            return None;
        }
        let content = self.controller.contents[at]
            .present()
            .filter(|it| it.owner == Some(snap.uid))
            .copied();
        let deletes = content.is_some() && self.setup.0.policy == DeletionPolicy::Delete;
        if let Some(cached) = content {
            if !cached.being_deleted {
                let mut now = self.contents[at]?;
                now.being_deleted = true;
                now.being_created = self.map(cached.being_created, now.being_created);
                return self.store(at, now, folds);
            }
            if deletes && !cached.deleting {
                let Some(mut now) = self.contents[at] else {
                    self.controller.contents[at] = Seen::Absent;
                    return Some(());
                };
                now.deleting = true;
                return self.store(at, now, folds);
            }
        }
        if !self.setup.0.imported && self.their_claim_release(Some(name), folds).is_some() {
            return Some(());
        }
        let mut next = snap;
        next.source_finalizer = false;
        next.bound_finalizer &= deletes;
        if next == snap || self.snaps[name] != Some(snap) {
            return None;
        }
        self.put_snapshot(name, next);
        self.fold_snapshot(name, folds);
        Some(())
    }

    /// Spec controller 2.11: every snapshot that is not ready holds the claim (D16b).
    fn their_claim_release(&mut self, except: Option<usize>, folds: bool) -> Option<()> {
        let cached = *self.controller.claim.present()?;
        let used = (0..2).any(|name| {
            let snap = self.controller.snaps[name].present();
            Some(name) != except && snap.is_some_and(|it| it.ready != Ready::Yes)
        });
        let live = self.claim?;
        if used || !cached.protected || !live.protected {
            return None;
        }
        self.put_claim(Claim {
            protected: false,
            ..live
        });
        if folds {
            self.controller.claim = present(self.claim);
        }
        Some(())
    }

    fn store(&mut self, at: usize, content: Content, folds: bool) -> Option<()> {
        let changes = self.contents[at] != Some(content);
        self.put_content(at, content);
        if folds {
            self.controller.contents[at] = present(self.contents[at]);
        }
        (changes || folds).then_some(())
    }

    fn fold_snapshot(&mut self, name: usize, folds: bool) {
        if folds {
            self.controller.snaps[name] = present(self.snaps[name]);
        }
    }

    /// The next request or call of their sidecar's sync. Spec sidecar 3.4 to 3.8.
    pub(crate) fn their_sidecar(mut self, at: usize, how: Driver, lost: bool) -> Option<Self> {
        let cached = *self.sidecar.contents[at].present()?;
        if self.sidecar.class == Seen::Unknown
            || (self.filters() && self.sidecar.queued[at] == Queued::No)
        {
            return None;
        }
        if self.filters() && self.sidecar.queued[at] == Queued::Yes {
            self.sidecar.queued[at] = Queued::Running { again: false };
        }
        let called = self.sidecar.memory[at].outcome;
        let calls = self.their_call(cached, called);
        if let Some(call) = calls {
            if lost || !self.sidecar.memory[at].due {
                return None;
            }
            return self.they_call(at, call, how);
        }
        if how != Driver::Works {
            return None;
        }
        if lost {
            self.fault().then_some(())?;
        }
        let live = self.contents[at]?;
        let next = self.their_write(at, cached, live)?;
        self.put_content(at, next);
        if lost {
            // The sync ends with an error and starts anew.
            self.sidecar.memory[at].outcome = Outcome::None;
        } else {
            self.sidecar.contents[at] = present(self.contents[at]);
            let unmarks = live.being_created && !next.being_created;
            let done = match called {
                // Not ready yet: it stays queued.
                Outcome::Created => unmarks && self.sidecar.memory[at].due,
                Outcome::None => unmarks || !next.protected,
                Outcome::Deleted => !next.protected,
                Outcome::Refused
                | Outcome::Uncertain
                | Outcome::NotCalled
                | Outcome::DeleteFailed => false,
            };
            if done {
                self.their_sync_is_over(at);
            }
        }
        Some(self)
    }

    fn filters(&self) -> bool {
        self.setup.0.filters && self.sidecar.theirs
    }

    /// A sync that finds nothing to do is a good one, and the content is not queued again.
    pub(crate) fn their_sync_ends(mut self, at: usize) -> Option<Self> {
        if !self.filters()
            || self.sidecar.queued[at] == Queued::No
            || self.sidecar.class == Seen::Unknown
        {
            return None;
        }
        let idle = match self.sidecar.contents[at].present() {
            None => true,
            // What it wrote without hearing of it, it writes again.
            Some(&cached) if self.contents[at] != Some(cached) => false,
            Some(&cached) => {
                let mut tried = self;
                let called = self.sidecar.memory[at].outcome;
                let writes = tried.their_write(at, cached, cached);
                self.their_call(cached, called).is_none() && writes.is_none()
            }
        };
        idle.then(|| {
            self.their_sync_is_over(at);
            self
        })
    }

    fn their_sync_is_over(&mut self, at: usize) {
        if self.filters() {
            let again = self.sidecar.queued[at] == (Queued::Running { again: true });
            self.sidecar.queued[at] = if again { Queued::Yes } else { Queued::No };
        }
    }

    /// The event filter (spec sidecar 3.3): what comes and goes queues a content, and what changed
    /// in it; but not its finalizers, its status, and the being-created mark, unless it became ready.
    pub(crate) fn they_are_informed(&mut self) {
        if !self.filters() {
            return;
        }
        let watched = |it: Content| {
            (
                it.number,
                it.owner,
                it.deleting,
                it.being_deleted,
                it.classed,
            )
        };
        for at in 0..2 {
            let was = std::mem::replace(&mut self.sidecar.informed[at], self.contents[at]);
            let wakes = match (was, self.contents[at]) {
                (Some(was), Some(is)) => {
                    let ready = was.ready != Ready::Yes && is.ready == Ready::Yes;
                    ready || watched(was) != watched(is)
                }
                (was, is) => was != is,
            };
            self.sidecar.queued[at] = match self.sidecar.queued[at] {
                Queued::No if wakes => Queued::Yes,
                Queued::Running { again } => Queued::Running {
                    again: again || wakes,
                },
                same @ (Queued::No | Queued::Yes) => same,
            };
        }
    }

    /// An annotation after a patch of another: as it was cached (D9), or as it is.
    const fn map(&self, cached: bool, live: bool) -> bool {
        if self.setup.0.maps { cached } else { live }
    }

    fn should_delete(&self, content: Content) -> bool {
        let unbound = self.setup.0.imported && content.owner.is_none();
        content.deleting && (unbound || (content.being_deleted && !content.being_created))
    }

    fn their_call(&self, cached: Content, called: Outcome) -> Option<Call> {
        if called != Outcome::None {
            return None; // What it came to is written first.
        }
        let imported = self.setup.0.imported;
        if self.should_delete(cached) {
            let owed = self.setup.0.policy == DeletionPolicy::Delete && cached.recorded;
            return owed.then_some(Call::Delete);
        }
        if cached.ready == Ready::Yes {
            return None;
        }
        if imported {
            return Some(Call::List);
        }
        let classed = self.sidecar.class.present().is_some();
        (classed && cached.being_created && cached.owner.is_some()).then_some(Call::Create)
    }

    fn they_call(mut self, at: usize, call: Call, how: Driver) -> Option<Self> {
        let answer = match call {
            Call::Create => self.create_snapshot(at, how)?,
            Call::List => self.ask_status(at, how)?,
            Call::Delete => {
                let gone = self.delete_snapshot(at, how)? == Answer::Deleted;
                let memory = &mut self.sidecar.memory[at];
                if gone {
                    memory.outcome = Outcome::Deleted;
                } else {
                    memory.due = false;
                }
                return Some(self);
            }
        };
        let memory = &mut self.sidecar.memory[at];
        memory.reply = None;
        memory.outcome = match answer {
            Answer::Exists { ready } => {
                memory.reply = Some(ready);
                Outcome::Created
            }
            Answer::Refused => Outcome::Refused,
            Answer::Uncertain => Outcome::Uncertain,
            Answer::NotCalled | Answer::Deleted | Answer::DeleteFailed => Outcome::NotCalled,
        };
        Some(self)
    }

    fn their_write(&mut self, at: usize, cached: Content, live: Content) -> Option<Content> {
        let mut next = live;
        let mut memory = self.sidecar.memory[at];
        let ends = |memory: &mut super::model::Recalled| {
            memory.outcome = Outcome::None;
            memory.due = false;
        };
        match memory.outcome {
            Outcome::Created => {
                let ready = memory.reply == Some(true);
                let told = if ready { Ready::Yes } else { Ready::No };
                if !live.recorded || live.ready != told {
                    next.recorded = true;
                    next.ready = told;
                    next.error = live.error.filter(|_| !ready);
                } else {
                    next.being_created = false;
                    ends(&mut memory);
                    memory.due = ready;
                }
            }
            Outcome::Refused if live.being_created && !self.setup.0.imported => {
                next.being_created = false;
            }
            Outcome::Refused | Outcome::Uncertain | Outcome::NotCalled => {
                next.error = Some(Trouble::Theirs);
                next.ready = Ready::No;
                ends(&mut memory);
            }
            Outcome::Deleted => {
                // Clears the handle, then takes the finalizer off.
                if live.recorded {
                    next.recorded = false;
                    next.ready = Ready::Unset;
                } else {
                    next.protected = false;
                    memory.outcome = Outcome::None;
                }
            }
            Outcome::None | Outcome::DeleteFailed => next = self.their_plain_write(cached, live)?,
        }
        let changes = next != live || memory != self.sidecar.memory[at];
        self.sidecar.memory[at] = memory;
        changes.then_some(next)
    }

    fn their_plain_write(&self, cached: Content, live: Content) -> Option<Content> {
        let mut next = live;
        if self.should_delete(cached) {
            if !cached.protected {
                return None;
            }
            next.protected = false;
        } else if cached.ready == Ready::Yes {
            if !cached.being_created {
                return None;
            }
            next.being_created = false;
        } else if self.setup.0.imported || cached.owner.is_none() {
            return None;
        } else if self.sidecar.class.present().is_none() {
            // D32: it fails before the call, and the mark stays.
            if cached.error == Some(Trouble::Theirs) {
                return None;
            }
            next.error = Some(Trouble::Theirs);
            next.ready = Ready::No;
        } else {
            next.being_created = true;
            next.being_deleted = self.map(cached.being_deleted, live.being_deleted);
        }
        Some(next)
    }
}

/// What their sidecar asks the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Create,
    List,
    Delete,
}

fn present<T>(object: Option<T>) -> Seen<T> {
    object.map_or(Seen::Absent, Seen::Present)
}

fn changed(was: Option<Content>, is: Content) -> Option<Content> {
    (was != Some(is)).then_some(is)
}
