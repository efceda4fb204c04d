//! Joins the guard machine to what claims are filled from: snapshots and other claims.

use std::sync::Arc;
use std::time::Duration;

use tintype_api::keys;
use tintype_core::claim::holds_its_source;
use tintype_core::guard::{self, Sighting, Step, Waiting};
use tintype_core::object::Key;
use tintype_core::write::{Kind, Write};
use tintype_core::{Seen, Stamp, Time, Timer, Verdict};
use tintype_runtime::{ClaimRow, Machine, Reply, fold_reply};

use super::caches::{BY_CLAIM, BY_SNAPSHOT, Caches};
use super::documents::Documents;

/// The guard of source snapshots: counts the claims in flight, so the first of two restores to
/// finish does not let the snapshot go (D31), and what a crash left is found at the next start.
#[derive(Debug)]
pub(super) struct Snapshots {
    pub(super) caches: Arc<Caches>,
    pub(super) driver: Arc<str>,
    pub(super) documents: Documents,
}

/// The guard of source claims: the same for copies of volumes.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) caches: Arc<Caches>,
    pub(super) driver: Arc<str>,
}

/// Whether somebody holds the source: `Unknown` until all who may are cached.
fn held(caches: &Caches, index: usize, key: &Key, driver: &str) -> Seen<()> {
    let waiting = caches.claims.group(index, key);
    let held = waiting
        .iter()
        .any(|row| holds_its_source(&row.claim, driver));
    guard::held(caches.claims.is_synced(), held)
}

impl Machine for Snapshots {
    type Seen = Sighting;
    type Step = Step;
    type Why = Waiting;

    const NAME: &'static str = "source-snapshot";

    fn observe(&self, key: &Key, _now: Time) -> Sighting {
        let snapshot = self.caches.snapshots.get(key);
        let finalizer = keys::FINALIZER_PROVISIONER;
        if !snapshot
            .present()
            .is_some_and(|it| it.meta.has_finalizer(finalizer))
        {
            self.documents.forget(key);
        }
        Sighting {
            kind: Kind::Snapshot,
            finalizer,
            object: snapshot.map(|it| it.meta.clone()),
            held: held(&self.caches, BY_SNAPSHOT, key, &self.driver),
        }
    }

    fn decide(&self, seen: &Sighting) -> Verdict<Step, Waiting> {
        guard::decide(&seen.facts())
    }

    fn render(&self, step: Step, seen: &Sighting, _wall: Stamp) -> Option<Write> {
        guard::render(step, seen)
    }

    fn document(&self, write: &Write) -> Option<Box<str>> {
        self.documents.of(write)
    }

    fn fold(&self, key: &Key, seen: &mut Sighting, _step: Step, reply: Reply) {
        seen.object = fold_reply(&self.caches.snapshots, key, reply).map(|it| it.meta.clone());
        self.documents.forget(key);
    }

    async fn call(&self, _key: &Key, _step: Step, _seen: &mut Sighting) {}

    fn delay(&self, _seen: &Sighting, _timer: Timer) -> Duration {
        Duration::ZERO
    }
}

impl Machine for Sources {
    type Seen = Sighting;
    type Step = Step;
    type Why = Waiting;

    const NAME: &'static str = "source-claim";

    fn observe(&self, key: &Key, _now: Time) -> Sighting {
        Sighting {
            kind: Kind::Claim,
            finalizer: keys::FINALIZER_CLONE,
            object: self.caches.claims.get(key).map(|it| it.claim.meta.clone()),
            held: held(&self.caches, BY_CLAIM, key, &self.driver),
        }
    }

    fn decide(&self, seen: &Sighting) -> Verdict<Step, Waiting> {
        guard::decide(&seen.facts())
    }

    fn render(&self, step: Step, seen: &Sighting, _wall: Stamp) -> Option<Write> {
        guard::render(step, seen)
    }

    fn document(&self, write: &Write) -> Option<Box<str>> {
        let row = self.caches.claims.get(&write.key);
        row.present().map(|it| it.document.clone())
    }

    fn fold(&self, key: &Key, seen: &mut Sighting, _step: Step, reply: Reply) {
        let row: Seen<Arc<ClaimRow>> = fold_reply(&self.caches.claims, key, reply);
        seen.object = row.map(|it| it.claim.meta.clone());
    }

    async fn call(&self, _key: &Key, _step: Step, _seen: &mut Sighting) {}

    fn delay(&self, _seen: &Sighting, _timer: Timer) -> Duration {
        Duration::ZERO
    }
}
