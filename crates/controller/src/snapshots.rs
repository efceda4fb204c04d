//! Joins the snapshot machine to the controller's caches.

use std::sync::Arc;
use std::time::Duration;

use tintype_core::object::{ClaimPhase, Content, Group, Key, Snapshot, Volume};
use tintype_core::pair::ClassSight;
use tintype_core::patience::Stage;
use tintype_core::retry::Schedule;
use tintype_core::snapshot::{self, Placement, Sighting, Step, Waiting};
use tintype_core::write::{Event, Kind, Write};
use tintype_core::{Seen, Stamp, Time, Timer, Verdict};
use tintype_runtime::{Clock, Machine, Reply, Row as _, fold_reply};

use crate::caches::{Caches, DEFAULTS};
use crate::patience::Remembered;

/// The snapshot machine with everything around it.
#[derive(Debug)]
pub(crate) struct Snapshots {
    caches: Arc<Caches>,
    keep_mode: bool,
    patience: Remembered,
}

impl Snapshots {
    pub(crate) fn new(
        caches: Arc<Caches>,
        keep_mode: bool,
        clock: Clock,
        schedule: Schedule,
    ) -> Self {
        Self {
            caches,
            keep_mode,
            patience: Remembered::new(clock, schedule),
        }
    }

    fn placement(&self, content: &Seen<Arc<Content>>, volume: &Seen<Arc<Volume>>) -> Placement {
        let affinity = volume.present().and_then(|it| it.affinity.as_deref());
        let (Some(nodes), Some(affinity)) = (&self.caches.nodes, affinity) else {
            return Placement::Anywhere;
        };
        // What was placed once stays there.
        if content.present().is_some() {
            return Placement::Anywhere;
        }
        if !nodes.is_synced() {
            return Placement::Unknown;
        }
        let nodes = nodes.rows();
        Placement::among(&[affinity], nodes.iter().map(AsRef::as_ref))
    }

    fn class_of(&self, snapshot: &Snapshot, driver: Option<&str>) -> ClassSight {
        match (&snapshot.class, driver) {
            (Some(name), _) => {
                ClassSight::Named(self.caches.classes.get(&Key::cluster(name.as_ref())))
            }
            (None, Some(driver)) => ClassSight::Defaults(Some(
                self.caches.classes.group(DEFAULTS, &Key::cluster(driver)),
            )),
            (None, None) => ClassSight::Defaults(None),
        }
    }
}

impl Snapshots {
    /// With groups off, or their kinds not served, nothing is cached: then it is looked up (D2).
    fn group(&self, key: Option<&Key>) -> Seen<Arc<Group>> {
        let groups = self.caches.groups.as_ref();
        match groups.zip(key).map(|(groups, key)| groups.groups.get(key)) {
            Some(Seen::Unknown) | None => Seen::NotCached,
            Some(seen) => seen,
        }
    }
}

impl Machine for Snapshots {
    type Seen = Sighting;
    type Step = Step;
    type Why = Waiting;

    const NAME: &'static str = "snapshot";

    fn observe(&self, key: &Key, now: Time) -> Sighting {
        let snapshot = self.caches.snapshots.get(key);
        if snapshot.present().is_none() {
            self.patience.forget(key);
        }
        let row = snapshot.present().cloned();
        let content = row
            .as_ref()
            .and_then(|it| it.content_name())
            .map_or(Seen::NotCached, |name| {
                self.caches.contents.get(&Key::cluster(name))
            });
        let claim = row
            .as_ref()
            .and_then(|it| it.claim_key())
            .map_or(Seen::NotCached, |claim| self.caches.claims.get(&claim))
            .map(|row| row.claim.clone());
        let volume = claim
            .present()
            .filter(|it| it.phase == ClaimPhase::Bound)
            .and_then(|it| it.volume.as_deref())
            .map_or(Seen::NotCached, |name| {
                self.caches.volumes.get(&Key::cluster(name))
            });
        let stage = row
            .as_ref()
            .filter(|it| !it.meta.deleting && it.bound.is_none() && it.error.is_none())
            .map(|_| Stage::of(content.present().map(AsRef::as_ref)));
        let driver = volume
            .present()
            .and_then(|it| it.csi.as_ref())
            .map(|it| it.driver.as_ref());
        let group_key = row.as_ref().and_then(|it| {
            let by_content = || self.caches.groups.as_ref()?.group_of(content.present()?);
            it.group_key().or_else(by_content)
        });
        Sighting {
            class: row
                .as_ref()
                .map_or(ClassSight::Defaults(None), |it| self.class_of(it, driver)),
            group: self.group(group_key.as_ref()),
            group_key,
            being_restored: row
                .as_ref()
                .is_some_and(|it| self.caches.is_being_restored(it)),
            fresh: false,
            looked_up: false,
            memory: self.patience.recall(key, now, stage),
            placement: self.placement(&content, &volume),
            keep_mode: self.keep_mode,
            snapshot,
            content,
            claim,
            volume,
        }
    }

    fn decide(&self, seen: &Sighting) -> Verdict<Step, Waiting> {
        snapshot::decide(&seen.facts())
    }

    fn render(&self, step: Step, seen: &Sighting, wall: Stamp) -> Option<Write> {
        snapshot::render(step, seen, wall)
    }

    fn document(&self, write: &Write) -> Option<Box<str>> {
        let row = (write.kind == Kind::Claim).then(|| self.caches.claims.get(&write.key))?;
        row.present().map(|it| it.document.clone())
    }

    fn fold(&self, key: &Key, seen: &mut Sighting, step: Step, reply: Reply) {
        match step {
            Step::Protect
            | Step::Publish
            | Step::Complain(_)
            | Step::Retract
            | Step::LookUpSnapshot
            | Step::JoinGroup
            | Step::Release => {
                seen.snapshot = fold_reply(&self.caches.snapshots, key, reply);
                seen.fresh = true;
                if let (Step::Protect, Some(snapshot)) = (step, seen.snapshot.present()) {
                    // The class may be named now.
                    seen.class = self.class_of(snapshot, None);
                }
            }
            Step::ProtectClaim => {
                let claim = seen.claim.present().map(|it| it.meta.key.clone());
                if let Some(claim) = claim {
                    seen.claim =
                        fold_reply(&self.caches.claims, &claim, reply).map(|row| row.claim.clone());
                }
            }
            Step::LookUpGroup => {
                let key = seen.group_key.clone();
                seen.group = match (&self.caches.groups, key) {
                    (Some(groups), Some(key)) => fold_reply(&groups.groups, &key, reply),
                    (_, _) => read_group(reply),
                };
            }
            Step::CreateContent
            | Step::BindContent
            | Step::ProtectContent
            | Step::LookUpContent
            | Step::AskContentDeletion
            | Step::DeleteContent => {
                let Some(name) = seen.snapshot.present().and_then(|it| it.content_name()) else {
                    return;
                };
                seen.content = fold_reply(&self.caches.contents, &Key::cluster(name), reply);
                seen.looked_up |= step == Step::LookUpContent;
                if step == Step::CreateContent {
                    seen.memory = self.patience.content_made(key);
                }
            }
        }
    }

    async fn call(&self, _key: &Key, _step: Step, _seen: &mut Sighting) {}

    fn refused(&self, key: &Key, seen: &mut Sighting, step: Step, why: &str) -> bool {
        if step != Step::CreateContent {
            return false;
        }
        tracing::warn!(snapshot = %key, "the API server refused the content: {why}");
        seen.memory = self.patience.content_refused(key);
        true
    }

    fn refusal(&self, _key: &Key, seen: &Sighting, step: Step, why: &str) -> Option<Event> {
        snapshot::refusal(step, seen, why)
    }

    fn delay(&self, seen: &Sighting, timer: Timer) -> Duration {
        let key = seen.snapshot.present().map(|it| &it.meta.key);
        self.patience.delay(key, timer)
    }
}

/// A group snapshot read past the cache. A kind that is not served has no objects.
fn read_group(reply: Reply) -> Seen<Arc<Group>> {
    match reply {
        Reply::Absent => Seen::Absent,
        Reply::Object(object) => match Group::read_reply(object) {
            Ok(group) => Seen::Present(Arc::new(group)),
            Err(error) => {
                tracing::warn!(%error, "a group snapshot of unexpected shape");
                Seen::NotCached
            }
        },
    }
}
