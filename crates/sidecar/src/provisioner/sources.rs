//! Joins the guard machine to the snapshots claims are filled from.

use std::sync::Arc;
use std::time::Duration;

use tintype_api::keys;
use tintype_core::guard::{self, Sighting, Step, Waiting};
use tintype_core::object::Key;
use tintype_core::write::{Kind, Write};
use tintype_core::{Stamp, Time, Timer, Verdict};
use tintype_runtime::{Machine, Reply, fold_reply};

use super::caches::{BY_SNAPSHOT, Caches};

/// The guard of source snapshots: counts the claims that wait, so the first of two restores to
/// finish does not let the snapshot go (D31), and what a crash left is found at the next start.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) caches: Arc<Caches>,
}

impl Machine for Sources {
    type Seen = Sighting;
    type Step = Step;
    type Why = Waiting;

    const NAME: &'static str = "source-snapshot";

    fn observe(&self, key: &Key, _now: Time) -> Sighting {
        let held = !self.caches.claims.group(BY_SNAPSHOT, key).is_empty();
        Sighting {
            kind: Kind::Snapshot,
            finalizer: keys::FINALIZER_PROVISIONER,
            object: self.caches.snapshots.get(key).map(|it| it.meta.clone()),
            held: guard::held(self.caches.claims.is_synced(), held),
        }
    }

    fn decide(&self, seen: &Sighting) -> Verdict<Step, Waiting> {
        guard::decide(&seen.facts())
    }

    fn render(&self, step: Step, seen: &Sighting, _wall: Stamp) -> Option<Write> {
        guard::render(step, seen)
    }

    fn fold(&self, key: &Key, seen: &mut Sighting, _step: Step, reply: Reply) {
        seen.object = fold_reply(&self.caches.snapshots, key, reply).map(|it| it.meta.clone());
    }

    async fn call(&self, _key: &Key, _step: Step, _seen: &mut Sighting) {}

    fn delay(&self, _seen: &Sighting, _timer: Timer) -> Duration {
        Duration::ZERO
    }
}
