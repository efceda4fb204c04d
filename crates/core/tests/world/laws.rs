//! States the laws: what must hold in every state, and what must hold at rest.

use std::iter;

use tintype_core::{DeletionPolicy, Timer, Verdict};

use super::controller::Request;
use super::driver::Driver;
use super::explore;
use super::model::{Content, Ready, Snap, Storage, World};
use super::moves::{Cache, Move};

/// What happens, in this order of precedence, while nobody interferes.
const ALONE: [Move; 24] = [
    Move::CaughtUp,
    Move::Told(Cache::Snapshots),
    Move::Told(Cache::Contents),
    Move::Told(Cache::Claims),
    Move::Told(Cache::Classes),
    Move::Told(Cache::SidecarContents),
    Move::Told(Cache::SidecarClasses),
    Move::LateEffect(0),
    Move::LateEffect(1),
    Move::GraceEnds(0),
    Move::GraceEnds(1),
    Move::CreationIsDue(0),
    Move::CreationIsDue(1),
    Move::Controller(0, Request::Works),
    Move::Controller(1, Request::Works),
    Move::Guard(Request::Works),
    Move::Orphan(0, Request::Works),
    Move::Orphan(1, Request::Works),
    Move::Sidecar(0, Driver::Works),
    Move::Sidecar(1, Driver::Works),
    Move::CallIsDue(0),
    Move::CallIsDue(1),
    Move::TheirSyncEnds(0),
    Move::TheirSyncEnds(1),
];

const LIE: &str = "lie: the snapshot says ready, the storage does not";

impl explore::World for World {
    type Move = Move;

    fn play(self, step: Move) -> Option<Self> {
        let mut next = self.happens(step)?;
        if next == self {
            return None;
        }
        next.follows(&self);
        Some(next)
    }

    fn broken(&self) -> Option<&'static str> {
        if let Some(harm) = self.harm {
            return Some(harm.law());
        }
        let lies = self.snaps.iter().flatten().any(|it| {
            let at = self.content_of(it.uid);
            it.ready == Ready::Yes
                && !it.deleting
                && !self.destroyed[at]
                && self.storage[at] != Storage::Ready
        });
        let adopted = self.snaps.iter().flatten().any(|it| {
            let owner = self.contents[self.content_of(it.uid)].and_then(|it| it.owner);
            it.ready == Ready::Yes && !it.deleting && owner.is_some_and(|uid| uid != it.uid)
        });
        if lies && !self.pardons(LIE) {
            Some(LIE)
        } else if adopted {
            Some("adopted: ready with a content of another snapshot")
        } else {
            (0..2)
                .any(|at| self.keeps_failure(at))
                .then_some("untold: a call failed, and the content does not say so")
        }
    }

    fn alone(self) -> Option<(Move, Self)> {
        ALONE
            .iter()
            .find_map(|&step| Some((step, self.play(step)?)))
    }

    fn wrong_at_rest(&self) -> Option<&'static str> {
        let restless = self
            .restless()
            .then_some("restless: nothing changes, and yet something is written or waited for");
        let snaps = self.snaps.iter().flatten().map(|it| self.wrong_with(it));
        let contents = (0..2).map(|at| self.wrong_with_content(at));
        iter::once(restless)
            .chain(snaps)
            .chain(contents)
            .chain(iter::once(self.wrong_with_claim()))
            .flatten()
            .find(|law| !self.pardons(law))
    }
}

impl World {
    fn pardons(&self, law: &str) -> bool {
        self.setup.0.pardons.contains(&law)
    }

    /// The sidecar waits after a failure that is written nowhere.
    fn keeps_failure(&self, at: usize) -> bool {
        let cached = self.sidecar.contents[at].present();
        let silent = cached.is_some_and(|it| it.error.is_none()) && !self.sidecar.theirs;
        silent
            && self.sidecar.memory[at].failing
            && self.contents[at].as_ref() == cached
            && matches!(self.content_verdict(at), Verdict::Wait(Timer::Retry, _))
    }

    fn wrong_with(&self, snap: &Snap) -> Option<&'static str> {
        let at = self.content_of(snap.uid);
        if snap.deleting {
            return Some("stuck: a snapshot cannot be deleted");
        }
        if snap.ready == Ready::Yes {
            if self.destroyed[at] {
                return Some("lie: ready, and its content is known to be gone");
            }
            return snap.error.map(|_| "a ready snapshot has an error");
        }
        if snap.error.is_none() {
            return Some("silent: not ready, and nothing says why");
        }
        // An imported content that was made for the first of two names is not for the second.
        let owner = self.contents[at].map(|it| it.owner.unwrap_or(0));
        let two = self.setup.0.names == 2;
        let theirs = owner.is_some_and(|it| it != snap.uid)
            && (two || self.contents[at].is_some_and(|it| it.owner.is_some()));
        let content = self.contents[at].is_some();
        let claimable = self.claim.is_some_and(|it| it.bound && !it.deleting);
        let source = content || (!self.setup.0.imported && claimable);
        let class = self.setup.0.imported || self.class;
        (source && class && !self.destroyed[at] && !theirs)
            .then_some("stuck: nothing is in the way, and it is not ready")
    }

    fn wrong_with_content(&self, at: usize) -> Option<&'static str> {
        let content: Content = self.contents[at]?;
        let asked = content.owner.is_some_and(|uid| self.asked(uid));
        // What lost its snapshot stands until somebody deletes it.
        let forced = content.owner.and_then(|uid| self.forced[uid]);
        if let (Some(asked), false) = (forced, content.deleting) {
            return (content.being_deleted && !asked)
                .then_some("marked: a content nobody asked to delete");
        }
        if asked && self.setup.0.policy == DeletionPolicy::Delete {
            return Some("left over: a content whose snapshot is gone");
        }
        if asked && content.deleting {
            return Some("stuck: a content cannot be deleted");
        }
        if asked && !content.being_deleted {
            return Some("left over: a content that was not told that its snapshot is gone");
        }
        None
    }

    fn wrong_with_claim(&self) -> Option<&'static str> {
        let held = self.snaps.iter().flatten().any(|it| {
            let marked = self.contents[self.content_of(it.uid)].is_some_and(|it| it.being_created);
            it.ready != Ready::Yes && (it.error.is_none() || marked)
        });
        (self.claim.is_some_and(|it| it.protected) && !held)
            .then_some("left over: the claim's finalizer, and no snapshot needs the claim")
    }
}
