//! Joins the guard machine to the claims snapshots are cut from.

use std::sync::Arc;
use std::time::Duration;

use tintype_api::keys;
use tintype_core::guard::{self, Sighting, Step, Waiting};
use tintype_core::object::Key;
use tintype_core::write::{Event, Kind, Write};
use tintype_core::{Seen, Stamp, Time, Timer, Verdict, snapshot};
use tintype_runtime::{Machine, Reply, Row as _, fold_reply};

use crate::caches::{BY_CLAIM, Caches, OPEN_OF_CLAIM};
use crate::group_caches::GroupCaches;

/// The guard of source claims.
#[derive(Debug)]
pub(crate) struct Claims {
    caches: Arc<Caches>,
}

impl Claims {
    pub(crate) const fn new(caches: Arc<Caches>) -> Self {
        Self { caches }
    }
}

impl Claims {
    fn held_by_group(&self, key: &Key) -> bool {
        let (Some(groups), Seen::Present(row)) = (&self.caches.groups, self.caches.claims.get(key))
        else {
            return false;
        };
        let volume = row.claim.volume.as_deref().map_or(Seen::NotCached, |name| {
            self.caches.volumes.get(&Key::cluster(name))
        });
        groups.holds(&row.claim, volume.present().map(AsRef::as_ref))
    }
}

impl Machine for Claims {
    type Seen = Sighting;
    type Step = Step;
    type Why = Waiting;

    const NAME: &'static str = "source-claim";

    fn observe(&self, key: &Key, _now: Time) -> Sighting {
        let held = self
            .caches
            .snapshots
            .group(OPEN_OF_CLAIM, key)
            .iter()
            .any(|snapshot| {
                let content = snapshot.content_name().map_or(Seen::Absent, |name| {
                    self.caches.contents.get(&Key::cluster(name))
                });
                snapshot.holds_its_claim(content.as_ref().map(AsRef::as_ref))
            });
        let of_groups = self.caches.groups.as_deref();
        let held = held || self.held_by_group(key);
        let all_cached =
            self.caches.snapshots.is_synced() && of_groups.is_none_or(GroupCaches::all_cached);
        Sighting {
            kind: Kind::Claim,
            finalizer: keys::FINALIZER_CLAIM_AS_SOURCE,
            object: self.caches.claims.get(key).map(|row| row.meta().clone()),
            held: guard::held(all_cached, held),
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
        seen.object = fold_reply(&self.caches.claims, key, reply).map(|row| row.meta().clone());
    }

    async fn call(&self, _key: &Key, _step: Step, _seen: &mut Sighting) {}

    fn refusal(&self, key: &Key, _seen: &Sighting, _step: Step, why: &str) -> Option<Event> {
        let of_claim = self.caches.snapshots.group(BY_CLAIM, key);
        let first = of_claim.iter().min_by_key(|it| &it.meta.key.name)?;
        Some(snapshot::claim_refusal(&first.meta, &key.name, why))
    }

    fn delay(&self, _seen: &Sighting, _timer: Timer) -> Duration {
        Duration::ZERO
    }
}
