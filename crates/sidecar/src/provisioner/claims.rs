//! Joins the claim machine to its caches. The calls it makes are in `calls`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tintype_core::claim::{
    self, Complaint, Memory, Settings, Sighting, SourceSight, Step, Waiting,
};
use tintype_core::object::{AttributesClass, Claim, Content, ContentSource, DataSourceKind, Key};
use tintype_core::write::{Kind, Write};
use tintype_core::{Seen, Stamp, Time, Timer, Verdict};
use tintype_runtime::{ClaimRow, Machine, ProvisionMetrics, Reply, Row as _, fold_reply};
use tracing::info;

use super::Base;
use super::caches::{BY_HANDLE, BY_NAMESPACE};
use super::documents::Documents;
use crate::memory::Remembered;

/// The claim machine with everything around it.
pub(super) struct Claims {
    pub(super) base: Base,
    pub(super) identity: String,
    pub(super) settings: Arc<Settings>,
    pub(super) memory: Remembered<Memory>,
    pub(super) documents: Documents,
    pub(super) metrics: ProvisionMetrics,
    /// On each node: first and longest delay before a claim is taken.
    pub(super) lots: tintype_core::retry::Schedule,
}

impl std::fmt::Debug for Claims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claims").finish_non_exhaustive()
    }
}

impl Claims {
    fn source(&self, claim: &Claim) -> SourceSight {
        let Some(source) = &claim.source else {
            return SourceSight::None;
        };
        let caches = &self.base.caches;
        match source.kind {
            DataSourceKind::Snapshot => SourceSight::Snapshot {
                snapshot: caches.snapshots.get(&source.key),
                content: Seen::NotCached,
                origin: None,
            },
            DataSourceKind::Claim => {
                let from = caches.claims.get(&source.key).map(|it| it.claim.clone());
                let volume = from
                    .present()
                    .and_then(|it| it.volume.as_deref())
                    .map_or(Seen::NotCached, |name| {
                        caches.volumes.get(&Key::cluster(name))
                    });
                SourceSight::Claim {
                    claim: from,
                    volume,
                }
            }
            DataSourceKind::WrongGroup | DataSourceKind::Foreign => SourceSight::None,
        }
    }

    fn content(&self, reply: Reply, seen: &mut Sighting) {
        let SourceSight::Snapshot {
            content, origin, ..
        } = &mut seen.source
        else {
            return;
        };
        *content = match reply {
            Reply::Absent => Seen::Absent,
            Reply::Object(object) => {
                Content::read_reply(object).map_or(Seen::Absent, |it| Seen::Present(Arc::new(it)))
            }
        };
        *origin = content.present().and_then(|it| match &it.source {
            ContentSource::Volume(handle) => {
                let key = Key::cluster(handle.as_ref());
                let volumes = self.base.caches.volumes.group(BY_HANDLE, &key);
                volumes.into_iter().find(|volume| {
                    let csi = volume.csi.as_ref();
                    csi.is_some_and(|it| *it.driver == *self.settings.driver)
                })
            }
            ContentSource::Snapshot(_) | ContentSource::Neither | ContentSource::Both => None,
        });
    }

    fn grants(&self, claim: &Claim) -> Vec<Arc<claim::Grant>> {
        let (Some(grants), Some(source)) = (&self.base.caches.grants, &claim.source) else {
            return Vec::new();
        };
        let key = Key::cluster(source.key.namespace.clone());
        let rows = grants.group(BY_NAMESPACE, &key);
        rows.iter().map(|it| it.grant.clone()).collect()
    }

    fn volume(&self, name: Option<String>) -> Seen<()> {
        name.map_or(Seen::NotCached, |name| {
            let volume = self.base.caches.volumes.get(&Key::cluster(name));
            volume.map(|_| ())
        })
    }

    /// The claim, its volume and the memory of them, as they are now.
    pub(super) fn look(&self, key: &Key, seen: &mut Sighting) {
        let row = self.base.caches.claims.get(key);
        seen.claim = claim::meet(row.map(|it| it.claim.clone()), &mut seen.memory);
        let known_absent = matches!(seen.volume, Seen::Absent);
        seen.volume = match self.volume(seen.volume_name()) {
            // A read past the cache is worth more than a cache that has nothing.
            Seen::NotCached if known_absent => Seen::Absent,
            volume => volume,
        };
        seen.settle();
        if seen.claim.present().is_none() && !seen.memory.in_debt() {
            self.memory.forget(key);
        } else {
            self.memory.keep(key, seen.memory.clone());
        }
        seen.now = self.base.clock.now();
    }

    fn fold_claim(&self, key: &Key, seen: &mut Sighting, reply: Reply) {
        let row: Seen<Arc<ClaimRow>> = fold_reply(&self.base.caches.claims, key, reply);
        seen.claim = row.map(|it| it.claim.clone());
    }

    fn fold_protection(&self, seen: &mut Sighting, reply: Reply) {
        match &mut seen.source {
            SourceSight::Snapshot { snapshot, .. } => {
                if let Some(key) = snapshot.present().map(|it| it.meta.key.clone()) {
                    self.documents.keep(&key, &reply);
                    *snapshot = fold_reply(&self.base.caches.snapshots, &key, reply);
                }
            }
            SourceSight::Claim { claim: from, .. } => {
                if let Some(key) = from.present().map(|it| it.meta.key.clone()) {
                    let row: Seen<Arc<ClaimRow>> =
                        fold_reply(&self.base.caches.claims, &key, reply);
                    *from = row.map(|it| it.claim.clone());
                }
            }
            SourceSight::None => {}
        }
    }

    fn fold_volume(&self, key: &Key, seen: &mut Sighting, reply: Reply) {
        if let Some(claim) = seen.claim.present() {
            let took = self.base.clock.now().0.saturating_sub(seen.memory.began.0);
            let (class, kind) = labels(claim);
            self.metrics.made(class, kind, Duration::from_millis(took));
            info!(claim = %key, "volume has its object");
        }
        if let Some(name) = seen.volume_name() {
            let cache = &self.base.caches.volumes;
            seen.volume = fold_reply(cache, &Key::cluster(name), reply).map(|_| ());
        }
    }

    fn complain(&self, seen: &mut Sighting, complaint: Complaint) {
        if let Some(event) = claim::complaint_event(complaint, seen) {
            if let Some(claim) = seen.claim.present() {
                let (class, kind) = labels(claim);
                self.metrics.failed(class, kind);
            }
            self.base.recorder.tell(event);
        }
        seen.memory.folded_complaint(complaint);
    }

    fn tell_populator(&self, seen: &mut Sighting) {
        if let Some(event) = claim::populator_event(seen) {
            self.base.recorder.tell(event);
        }
        seen.memory.populator_told = true;
    }
}

/// What upstream's metrics tell claims apart by: class, and kind of source.
pub(super) fn labels(claim: &Claim) -> (&str, &str) {
    let class = claim.class.as_deref().unwrap_or_default();
    let source = claim.source.as_ref();
    (class, source.map_or("", |it| &it.kind_text))
}

/// `metadata.annotations` of a claim's document.
fn annotations(document: &str) -> BTreeMap<String, String> {
    let document: Value = serde_json::from_str(document).unwrap_or_default();
    let all = document["metadata"]["annotations"].as_object();
    all.into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

impl Machine for Claims {
    type Seen = Sighting;
    type Step = Step;
    type Why = Waiting;

    const NAME: &'static str = "claim";

    fn observe(&self, key: &Key, now: Time) -> Sighting {
        let caches = &self.base.caches;
        let row = caches.claims.get(key);
        let claim = row.present().map(|it| &*it.claim);
        let class = claim
            .and_then(|it| it.class.as_deref())
            .map_or(Seen::NotCached, |name| {
                caches.classes.get(&Key::cluster(name))
            });
        let templates = class.present().is_some_and(|it| it.uses_annotations());
        let document = row.present().filter(|_| templates);
        let mut seen = Sighting {
            annotations: document.map_or_else(BTreeMap::new, |it| annotations(&it.document)),
            class,
            attributes: Seen::NotCached,
            source: claim.map_or(SourceSight::None, |it| self.source(it)),
            grants: claim.map_or_else(Vec::new, |it| self.grants(it)),
            nodes: caches.places.list(),
            settings: self.settings.clone(),
            claim: Seen::NotCached,
            volume: Seen::NotCached,
            memory: self.memory.recall(key),
            now,
        };
        self.look(key, &mut seen);
        seen
    }

    fn decide(&self, seen: &Sighting) -> Verdict<Step, Waiting> {
        claim::decide(&seen.facts())
    }

    fn render(&self, step: Step, seen: &Sighting, _wall: Stamp) -> Option<Write> {
        claim::render(step, seen, &self.identity)
    }

    fn document(&self, write: &Write) -> Option<Box<str>> {
        match write.kind {
            Kind::Claim => {
                let row = self.base.caches.claims.get(&write.key);
                row.present().map(|it| it.document.clone())
            }
            Kind::Snapshot => self.documents.of(write),
            Kind::Content
            | Kind::Volume
            | Kind::AttributesClass
            | Kind::Group
            | Kind::GroupContent => None,
        }
    }

    fn trying(&self, key: &Key, seen: &mut Sighting, step: Step) {
        if step.unmarks() {
            seen.memory.folded_unmarking();
            self.memory.keep(key, seen.memory.clone());
            // Whoever has the claim next may make its object: a read that found none counts no more.
            seen.volume = Seen::NotCached;
        }
    }

    fn fold(&self, key: &Key, seen: &mut Sighting, step: Step, reply: Reply) {
        match step {
            Step::LookUpContent => self.content(reply, seen),
            Step::LookUpAttributes => {
                seen.attributes = match reply {
                    Reply::Absent => Seen::Absent,
                    Reply::Object(it) => Seen::Present(AttributesClass::of(&it).into()),
                };
            }
            Step::LookUpVolume => {
                if let Some(name) = seen.volume_name() {
                    let cache = &self.base.caches.volumes;
                    seen.volume = fold_reply(cache, &Key::cluster(name), reply).map(|_| ());
                }
            }
            Step::ProtectSource => self.fold_protection(seen, reply),
            Step::Mark => {
                let mark = &self.settings.mark;
                let claim = seen.claim.present();
                let found = claim.is_some_and(|it| it.meta.has_finalizer(mark));
                self.fold_claim(key, seen, reply);
                seen.memory.folded_mark(found);
            }
            Step::Unmark => self.fold_claim(key, seen, reply),
            Step::Reschedule => {
                self.fold_claim(key, seen, reply);
                seen.memory.folded_rescheduled();
            }
            Step::TakeOver => {
                self.fold_claim(key, seen, reply);
                seen.memory.turn = claim::Turn::None;
            }
            Step::CreateVolume => self.fold_volume(key, seen, reply),
            Step::CreateOnStorage
            | Step::DeleteOrphan
            | Step::DrawLot
            | Step::AskCapacity
            | Step::Complain(_)
            | Step::TellPopulator => {}
        }
        self.look(key, seen);
    }

    async fn call(&self, key: &Key, step: Step, seen: &mut Sighting) {
        match step {
            Step::CreateOnStorage => self.create(key, seen).await,
            Step::DeleteOrphan => self.delete_orphan(key, seen).await,
            Step::AskCapacity => self.ask_capacity(seen).await,
            Step::DrawLot => {
                let now = self.base.clock.now();
                seen.memory.folded_lot(now, self.lots, rand::random());
            }
            Step::Complain(complaint) => self.complain(seen, complaint),
            Step::TellPopulator => self.tell_populator(seen),
            Step::LookUpContent
            | Step::LookUpAttributes
            | Step::LookUpVolume
            | Step::ProtectSource
            | Step::Mark
            | Step::Unmark
            | Step::Reschedule
            | Step::TakeOver
            | Step::CreateVolume => {
                // What it speaks of went while the step was decided: it is decided anew.
                seen.claim = Seen::NotCached;
            }
        }
        // The claim may have gone during the call.
        self.look(key, seen);
    }

    fn refused(&self, key: &Key, seen: &mut Sighting, step: Step, why: &str) -> bool {
        if step != Step::ProtectSource {
            return false;
        }
        // As upstream: rights of older versions lack this one.
        info!(claim = %key, "the source gets no finalizer and may go while it is copied: {why}");
        seen.memory.unprotectable = true;
        self.memory.keep(key, seen.memory.clone());
        true
    }

    fn delay(&self, seen: &Sighting, timer: Timer) -> Duration {
        let now = self.base.clock.now();
        Duration::from_millis(match timer {
            Timer::Poll => seen.memory.lots.remaining(now),
            Timer::Grace | Timer::Retry => seen.memory.backoff.remaining(now),
        })
    }
}
