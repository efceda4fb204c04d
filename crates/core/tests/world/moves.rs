//! Lists everything that can happen next, and lets it happen.

use std::mem;

use tintype_core::pair::Memory;
use tintype_core::{DeletionPolicy, Seen, Verdict, guard, orphan, snapshot};

use super::controller::Request;
use super::driver::Driver;
use super::model::{
    Before, Claim, Content, Harm, Queued, Ready, Recalled, Setup, Snap, Storage, World, seen,
};

/// One event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Move {
    UserCreates(usize),
    UserDeletes(usize),
    UserDeletesClaim,
    ClaimIsBound,
    ClassVanishes,
    /// By hand, with its finalizer left on.
    ContentDeletedByHand(usize),
    /// With its finalizer torn off, and what is behind it too.
    ContentDestroyed(usize),
    /// The snapshot goes with its finalizers torn off, and its content stays.
    SnapshotForced(usize),
    ControllerCrashes,
    SidecarCrashes,
    /// The other implementation takes over, as after an upgrade.
    ControllerSwapped,
    SidecarSwapped,
    /// The watches of the replicas that wait have come this far.
    StandbyTold,
    /// The leader gave its lease back, or was too late to renew it; the other replica leads.
    ControllerLeaseMoves,
    SidecarLeaseMoves,
    /// The controller that follows has read everything past its watches.
    CaughtUp,
    /// A cache is told all there is.
    Told(Cache),
    /// A list from before the last change fills an empty cache.
    Stale(Cache),
    /// A list from before anything was there.
    Early(Cache),
    /// A new list after a broken watch: what is gone was not seen going.
    Listed(Cache),
    GraceEnds(usize),
    CreationIsDue(usize),
    CallIsDue(usize),
    /// A call that timed out takes effect after all.
    LateEffect(usize),
    /// A call that timed out comes to nothing.
    LateNothing(usize),
    Controller(usize, Request),
    Guard(Request),
    Orphan(usize, Request),
    Sidecar(usize, Driver),
    SidecarReplyLost(usize),
    /// A sync of upstream's sidecar finds nothing to do.
    TheirSyncEnds(usize),
}

/// One kind in one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Cache {
    Snapshots,
    Contents,
    Claims,
    Classes,
    SidecarContents,
    SidecarClasses,
}

const DRIVERS: [Driver; 7] = [
    Driver::Works,
    Driver::NotYet,
    Driver::Refuses,
    Driver::TimesOutBefore,
    Driver::TimesOutAfter,
    Driver::TimesOutLate,
    Driver::NoSecret,
];

/// Everything that can happen under this setup.
pub(crate) fn all(setup: &Setup) -> Vec<Move> {
    let names = 0..setup.names;
    let contents = 0..if setup.imported { 1 } else { setup.snapshots };
    let mut moves = Vec::new();
    for name in names {
        moves.extend([
            Move::UserCreates(name),
            Move::UserDeletes(name),
            Move::SnapshotForced(name),
            Move::GraceEnds(name),
            Move::CreationIsDue(name),
            Move::Controller(name, Request::Works),
            Move::Controller(name, Request::ReplyLost),
            Move::Controller(name, Request::Denied),
        ]);
    }
    for at in contents {
        moves.extend(DRIVERS.map(|how| Move::Sidecar(at, how)));
        moves.extend([
            Move::SidecarReplyLost(at),
            Move::TheirSyncEnds(at),
            Move::Orphan(at, Request::Works),
            Move::Orphan(at, Request::ReplyLost),
            Move::CallIsDue(at),
            Move::LateEffect(at),
            Move::LateNothing(at),
            Move::ContentDeletedByHand(at),
            Move::ContentDestroyed(at),
        ]);
    }
    let caches = [
        Cache::Snapshots,
        Cache::Contents,
        Cache::Claims,
        Cache::Classes,
        Cache::SidecarContents,
        Cache::SidecarClasses,
    ];
    moves.extend(caches.map(Move::Told));
    if setup.stale {
        // Not of snapshots: no read but the first list says that a snapshot is not there, so that
        // list must be a quorum read, and is.
        for cache in [Cache::Contents, Cache::SidecarContents] {
            moves.extend([Move::Stale(cache), Move::Early(cache)]);
        }
        moves.push(Move::Listed(Cache::Contents));
    }
    if setup.replicas {
        moves.extend([
            Move::StandbyTold,
            Move::ControllerLeaseMoves,
            Move::SidecarLeaseMoves,
            Move::CaughtUp,
        ]);
    }
    moves.extend([
        Move::UserDeletesClaim,
        Move::ClaimIsBound,
        Move::ClassVanishes,
        Move::ControllerCrashes,
        Move::SidecarCrashes,
        Move::ControllerSwapped,
        Move::SidecarSwapped,
        Move::Guard(Request::Works),
        Move::Guard(Request::ReplyLost),
    ]);
    moves
}

impl World {
    /// What happens in the move; none if it cannot.
    pub(crate) fn happens(mut self, step: Move) -> Option<Self> {
        let setup = self.setup.0;
        match step {
            Move::UserCreates(name) => self.user_creates(name)?,
            Move::UserDeletes(name) => {
                let mut snap = self.snaps[name].filter(|it| !it.deleting)?;
                snap.deleting = true;
                self.put_snapshot(name, snap);
            }
            Move::SnapshotForced(name) => self.forces(name)?,
            Move::UserDeletesClaim => {
                let mut claim = self.claim.filter(|it| setup.claim_goes && !it.deleting)?;
                claim.deleting = true;
                self.put_claim(claim);
            }
            Move::ClaimIsBound => {
                let claim = self.claim.filter(|it| !it.bound && !it.deleting)?;
                self.claim = Some(Claim {
                    bound: true,
                    ..claim
                });
            }
            Move::ClassVanishes => {
                if !setup.class_goes {
                    return None;
                }
                self.class = false;
            }
            Move::ContentDeletedByHand(at) => {
                let mut content = self.contents[at].filter(|it| setup.by_hand && !it.deleting)?;
                content.deleting = true;
                self.put_content(at, content);
            }
            Move::ContentDestroyed(at) => {
                self.contents[at].filter(|it| setup.by_hand && it.number == 0)?;
                self.contents[at] = None;
                self.storage[at] = Storage::None;
                self.late[at] = false;
                self.destroyed[at] = true;
            }
            Move::ControllerCrashes => {
                self.left.crashes = self.left.crashes.checked_sub(1)?;
                self.restart_controller();
            }
            Move::SidecarCrashes => {
                self.left.crashes = self.left.crashes.checked_sub(1)?;
                self.restart_sidecar();
            }
            Move::ControllerSwapped => {
                mem::take(&mut self.left.swaps[0]).then_some(())?;
                self.controller.theirs ^= true;
                self.restart_controller();
            }
            Move::SidecarSwapped => {
                mem::take(&mut self.left.swaps[1]).then_some(())?;
                self.sidecar.theirs ^= true;
                self.restart_sidecar();
            }
            Move::CaughtUp => self.catches_up()?,
            Move::StandbyTold => self.standby_told(),
            Move::ControllerLeaseMoves => {
                mem::take(&mut self.left.leases[0]).then_some(())?;
                self.controller = self.standby.controller;
                self.controller.caught_up = false;
                self.standby.controller = World::new(setup).controller;
            }
            Move::SidecarLeaseMoves => {
                mem::take(&mut self.left.leases[1]).then_some(())?;
                self.sidecar = self.standby.sidecar;
                self.sidecar.caught_up = false;
                self.standby.sidecar = World::new(setup).sidecar;
            }
            Move::Told(cache) => self.told(cache),
            Move::Stale(cache) => self.stale(cache)?,
            Move::Early(cache) => self.early(cache)?,
            Move::Listed(_) => {
                for (cached, object) in self.controller.contents.iter_mut().zip(self.contents) {
                    *cached = seen(object);
                }
            }
            Move::GraceEnds(name) => self.controller.memory[name].in_grace = false,
            Move::CreationIsDue(name) => {
                let memory = &mut self.controller.memory[name];
                memory.retry_due = memory.creation_refused;
            }
            Move::CallIsDue(at) => self.sidecar.memory[at].due = true,
            Move::LateEffect(at) => {
                self.late[at].then(|| self.cut(at))?;
            }
            Move::LateNothing(at) => self.late[at] = false,
            Move::Controller(name, how) => return self.controller(name, how),
            Move::Guard(how) => return self.guard(how),
            Move::Orphan(at, how) => return self.orphan(at, how),
            Move::Sidecar(at, how) => return self.sidecar(at, how, false),
            Move::SidecarReplyLost(at) => return self.sidecar(at, Driver::Works, true),
            Move::TheirSyncEnds(at) => return self.their_sync_ends(at),
        }
        Some(self)
    }

    fn user_creates(&mut self, name: usize) -> Option<()> {
        let setup = self.setup.0;
        let uid = if setup.names == 1 {
            self.born.iter().position(|it| !it)?
        } else {
            name
        };
        if self.born[uid] || uid >= setup.snapshots || self.snaps[name].is_some() {
            return None;
        }
        self.born[uid] = true;
        // Ours looks again in a moment before it complains of what is missing, if it may be.
        let whole = setup.bound && !setup.class_goes && !setup.claim_goes && !setup.imported;
        self.controller.memory[name].in_grace = !self.controller.theirs && !whole;
        self.put_snapshot(
            name,
            Snap {
                uid,
                deleting: false,
                source_finalizer: false,
                bound_finalizer: false,
                bound: false,
                ready: Ready::Unset,
                dated: false,
                error: None,
            },
        );
        Some(())
    }

    fn told(&mut self, cache: Cache) {
        match cache {
            Cache::Snapshots => {
                self.controller.snaps = self.snaps.map(seen);
                for name in 0..2 {
                    if self.snaps[name].is_none() {
                        self.controller.memory[name] = Memory::default();
                    }
                }
            }
            Cache::Contents => told(&mut self.controller.contents, self.contents),
            Cache::Claims => self.controller.claim = seen(self.claim),
            Cache::Classes => self.controller.class = seen(self.class.then_some(())),
            Cache::SidecarContents => {
                told(&mut self.sidecar.contents, self.contents);
                self.sidecar.caught_up = true;
                self.they_are_informed();
            }
            Cache::SidecarClasses => self.sidecar.class = seen(self.class.then_some(())),
        }
    }

    fn catches_up(&mut self) -> Option<()> {
        let it = &mut self.controller;
        (!it.caught_up).then_some(())?;
        it.caught_up = true;
        it.snaps = self.snaps.map(seen);
        it.contents = self.contents.map(seen);
        it.claim = seen(self.claim);
        Some(())
    }

    /// Only what still may lead keeps up: what led is of no more interest.
    fn standby_told(&mut self) {
        let (controller, sidecar) = (&mut self.standby.controller, &mut self.standby.sidecar);
        if self.left.leases[0] {
            controller.snaps = self.snaps.map(seen);
            told(&mut controller.contents, self.contents);
            controller.claim = seen(self.claim);
            controller.class = seen(self.class.then_some(()));
        }
        if self.left.leases[1] {
            told(&mut sidecar.contents, self.contents);
            sidecar.class = seen(self.class.then_some(()));
        }
    }

    fn stale(&mut self, cache: Cache) -> Option<()> {
        let before = self.before;
        match cache {
            Cache::Contents if self.controller.contents[0] == Seen::Unknown => {
                self.controller.contents = before.contents.map(seen);
            }
            Cache::SidecarContents if self.sidecar.contents[0] == Seen::Unknown => {
                self.sidecar.contents = before.contents.map(seen);
            }
            Cache::Snapshots
            | Cache::Contents
            | Cache::SidecarContents
            | Cache::Claims
            | Cache::Classes
            | Cache::SidecarClasses => return None,
        }
        Some(())
    }

    fn early(&mut self, cache: Cache) -> Option<()> {
        match cache {
            Cache::Contents if self.controller.contents[0] == Seen::Unknown => {
                self.controller.contents = [Seen::NotCached; 2];
            }
            Cache::SidecarContents if self.sidecar.contents[0] == Seen::Unknown => {
                self.sidecar.contents = [Seen::NotCached; 2];
            }
            Cache::Snapshots
            | Cache::Contents
            | Cache::SidecarContents
            | Cache::Claims
            | Cache::Classes
            | Cache::SidecarClasses => return None,
        }
        Some(())
    }

    fn restart_controller(&mut self) {
        let it = &mut self.controller;
        it.snaps = [Seen::Unknown; 2];
        it.contents = [Seen::Unknown; 2];
        it.claim = Seen::Unknown;
        it.class = Seen::Unknown;
        it.fresh = [false; 2];
        it.looked_up = [false; 2];
        it.owner_looked_up = [false; 2];
        it.memory = [Memory::default(); 2];
    }

    fn restart_sidecar(&mut self) {
        self.sidecar.contents = [Seen::Unknown; 2];
        self.sidecar.class = Seen::Unknown;
        self.sidecar.memory = [Recalled::default(); 2];
        self.sidecar.queued = [Queued::Yes; 2];
        self.sidecar.informed = [None; 2];
    }

    /// The server stores the snapshot, or drops it if nothing holds it.
    pub(crate) fn put_snapshot(&mut self, name: usize, snap: Snap) {
        self.promised[snap.uid] |= snap.ready == Ready::Yes;
        let held = snap.source_finalizer || snap.bound_finalizer;
        self.snaps[name] = (held || !snap.deleting).then_some(snap);
    }

    /// The server stores the content, or drops it if nothing holds it.
    pub(crate) fn put_content(&mut self, at: usize, content: Content) {
        self.contents[at] = (content.protected || !content.deleting).then_some(content);
        if self.contents[at].is_some() {
            return;
        }
        let imported = self.setup.0.imported;
        let there = self.storage[at] != Storage::None || self.late[at];
        let kept = if imported {
            self.setup.0.policy == DeletionPolicy::Retain || content.owner.is_none()
        } else {
            self.setup.0.policy == DeletionPolicy::Retain && content.recorded
        };
        if there && !kept {
            self.does_harm(Harm::Leaked);
        }
    }

    /// The server stores the claim, or drops it if nothing holds it.
    pub(crate) fn put_claim(&mut self, claim: Claim) {
        let used = self.setup.0.claim_used;
        self.claim = (claim.protected || used || !claim.deleting).then_some(claim);
        if self.claim.is_none() && (0..2).any(|uid| self.may_be_cut_now(uid)) {
            self.does_harm(Harm::ClaimWent);
        }
    }

    /// A content stands, its snapshot wants it, it did not fail, and it is still to be cut.
    fn may_be_cut_now(&self, uid: usize) -> bool {
        let wanted = self.snapshot(uid).is_some_and(|it| !it.deleting) && !self.setup.0.imported;
        wanted
            && self.storage[uid] == Storage::None
            && self.contents[uid]
                .is_some_and(|it| !it.deleting && !it.recorded && it.error.is_none())
    }

    /// A deletion, once asked for, stands; and what stale lists show is kept.
    pub(crate) fn follows(&mut self, was: &Self) {
        for (was, is) in was.snaps.iter().zip(self.snaps) {
            if let (Some(was), Some(is)) = (was, is)
                && was.uid == is.uid
                && was.deleting
                && !is.deleting
            {
                self.does_harm(Harm::TakenBack);
            }
        }
        for (was, is) in was.contents.iter().zip(self.contents) {
            if let (Some(was), Some(is)) = (was, is)
                && was.number == is.number
                && ((was.deleting && !is.deleting) || (was.being_deleted && !is.being_deleted))
            {
                self.does_harm(Harm::TakenBack);
            }
        }
        let fills = self.controller.contents.contains(&Seen::Unknown)
            || self.sidecar.contents.contains(&Seen::Unknown);
        if !self.setup.0.stale
            || (self.left.crashes == 0 && self.left.swaps == [false; 2] && !fills)
        {
            self.before = Before::default();
            return;
        }
        for at in 0..2 {
            if was.contents[at] != self.contents[at] {
                self.before.contents[at] = was.contents[at];
            }
        }
    }

    /// Something would still be written, or called, or is waited for.
    pub(crate) fn restless(&self) -> bool {
        let snapshots = (0..2).map(|name| rests(&snapshot::decide(&self.snapshot_facts(name))));
        let contents = (0..2).map(|at| rests(&self.content_verdict(at)));
        let guard = rests(&guard::decide(&self.guard_facts()));
        let orphans = (0..2).map(|at| rests(&orphan::decide(&self.orphan_facts(at))));
        let controller = snapshots.into_iter().chain(orphans).all(|it| it) && guard;
        let sidecar = contents.into_iter().all(|it| it);
        (!controller && !self.controller.theirs) || (!sidecar && !self.sidecar.theirs)
    }
}

const fn rests<Step, Why>(verdict: &Verdict<Step, Why>) -> bool {
    matches!(verdict, Verdict::Rest(_))
}

/// On an unbroken watch what goes is seen going.
fn told(cached: &mut [Seen<Content>; 2], objects: [Option<Content>; 2]) {
    for (cached, object) in cached.iter_mut().zip(objects) {
        *cached = match (object, *cached) {
            (Some(it), _) => Seen::Present(it),
            (None, Seen::Present(_) | Seen::Absent) => Seen::Absent,
            (None, Seen::Unknown | Seen::NotCached) => Seen::NotCached,
        };
    }
}
