//! Joins the orphan machine to the contents whose snapshot may not be there.

use std::sync::Arc;
use std::time::Duration;

use tintype_core::object::Key;
use tintype_core::orphan::{self, Sighting, Step, Waiting};
use tintype_core::write::Write;
use tintype_core::{Seen, Stamp, Time, Timer, Verdict};
use tintype_runtime::{Machine, Reply, fold_reply};

use crate::caches::Caches;

/// Looks after contents that no snapshot looks after.
#[derive(Debug)]
pub(crate) struct Orphans {
    caches: Arc<Caches>,
}

impl Orphans {
    pub(crate) const fn new(caches: Arc<Caches>) -> Self {
        Self { caches }
    }
}

impl Machine for Orphans {
    type Seen = Sighting;
    type Step = Step;
    type Why = Waiting;

    const NAME: &'static str = "orphan-content";

    fn observe(&self, key: &Key, _now: Time) -> Sighting {
        let content = self.caches.contents.get(key);
        let owner = content.present().map(|it| it.snapshot.key.clone());
        Sighting {
            snapshot: owner.map_or(Seen::NotCached, |it| self.caches.snapshots.get(&it)),
            content,
            looked_up: false,
        }
    }

    fn decide(&self, seen: &Sighting) -> Verdict<Step, Waiting> {
        orphan::decide(&seen.facts())
    }

    fn render(&self, step: Step, seen: &Sighting, _wall: Stamp) -> Option<Write> {
        orphan::render(step, seen)
    }

    fn fold(&self, key: &Key, seen: &mut Sighting, step: Step, reply: Reply) {
        match step {
            Step::Protect | Step::AskDeletion => {
                seen.content = fold_reply(&self.caches.contents, key, reply);
            }
            Step::LookUpSnapshot => {
                if let Some(owner) = seen.content.present().map(|it| it.snapshot.key.clone()) {
                    seen.snapshot = fold_reply(&self.caches.snapshots, &owner, reply);
                    seen.looked_up = true;
                }
            }
        }
    }

    async fn call(&self, _key: &Key, _step: Step, _seen: &mut Sighting) {}

    fn delay(&self, _seen: &Sighting, _timer: Timer) -> Duration {
        Duration::ZERO
    }
}
