//! Joins the group machine to the controller's caches.

use std::sync::Arc;
use std::time::Duration;

use tintype_core::group::{self, Sighting, Step, Waiting, member};
use tintype_core::object::{Affinity, Group, GroupContent, Key};
use tintype_core::pair::{ClassSight, Memory};
use tintype_core::patience::Stage;
use tintype_core::retry::Schedule;
use tintype_core::snapshot::Placement;
use tintype_core::write::{Event, Kind, Write};
use tintype_core::{Seen, Stamp, Time, Timer, Verdict};
use tintype_runtime::{Clock, Machine, Reply, fold_reply};

use crate::caches::Caches;
use crate::group_caches::GroupCaches;
use crate::patience::Remembered;

/// The group machine with everything around it.
#[derive(Debug)]
pub(crate) struct Groups {
    caches: Arc<Caches>,
    watched: Arc<GroupCaches>,
    clock: Clock,
    patience: Remembered,
}

impl Groups {
    pub(crate) fn new(
        caches: Arc<Caches>,
        watched: Arc<GroupCaches>,
        clock: Clock,
        schedule: Schedule,
    ) -> Self {
        Self {
            caches,
            watched,
            clock,
            patience: Remembered::new(clock, schedule),
        }
    }

    fn class_of(&self, group: &Group, driver: Option<&str>) -> ClassSight {
        let classes = &self.watched.classes;
        match (&group.class, driver) {
            (Some(name), _) => ClassSight::Named(
                classes
                    .get(&Key::cluster(name.as_ref()))
                    .map(|it| it.0.clone()),
            ),
            (None, _) if !classes.is_synced() => ClassSight::Defaults(None),
            (None, Some(driver)) => ClassSight::Defaults(Some(self.watched.defaults(driver))),
            (None, None) => ClassSight::Defaults(None),
        }
    }

    fn placement(&self, seen: &Sighting) -> Placement {
        let affinities: Vec<&Affinity> = seen
            .picked()
            .iter()
            .filter_map(|it| it.volume.present()?.affinity.as_deref())
            .collect();
        // What was placed once stays there.
        let placed = seen.content.present().is_some() || affinities.is_empty();
        let Some(nodes) = self.caches.nodes.as_ref().filter(|_| !placed) else {
            return Placement::Anywhere;
        };
        if !nodes.is_synced() {
            return Placement::Unknown;
        }
        let nodes = nodes.rows();
        Placement::among(&affinities, nodes.iter().map(AsRef::as_ref))
    }

    /// What caches hold, all of it; own writes are in them.
    fn gather(&self, key: &Key, now: Time) -> Sighting {
        let group = self.watched.groups.get(key);
        let open = group.present().is_some_and(|it| it.ready != Some(true));
        if group.present().is_none() {
            self.patience.forget(key);
        }
        if !open {
            self.watched.names.forget(key);
        }
        let mut seen = Sighting {
            group,
            fresh: false,
            content: Seen::NotCached,
            looked_up: false,
            class: ClassSight::Defaults(None),
            claims: Seen::NotCached,
            members: Vec::new(),
            owned: Seen::NotCached,
            restored: None,
            placement: Placement::Anywhere,
            memory: Memory::default(),
        };
        let Some(row) = seen.group.present().cloned() else {
            return seen;
        };
        seen.content = self.watched.content_of(&row);
        let content: Option<Arc<GroupContent>> = seen.content.present().cloned();
        let silent = !row.meta.deleting && row.bound.is_none() && row.error.is_none();
        let stage = silent.then(|| Stage::of_group(content.as_deref()));
        seen.memory = self.patience.recall(key, now, stage);
        seen.claims = self.caches.picked(&row, content.as_deref());
        seen.class = self.class_of(&row, seen.driver());
        seen.placement = self.placement(&seen);
        seen.members = self.caches.members_of(&row, content.as_deref());
        seen.owned = self.caches.owned_by(&row);
        let owned = seen.owned.present().map_or(&[][..], Vec::as_slice);
        seen.restored = owned
            .iter()
            .find(|it| self.caches.is_being_restored(it))
            .map(|it| it.meta.key.clone());
        seen
    }

    /// Puts the reply where the next look finds it.
    fn put(&self, key: &Key, seen: &Sighting, step: Step, reply: Reply) {
        let group = seen.group.present();
        let open = seen.open_member();
        match step {
            Step::Protect
            | Step::LookUpGroup
            | Step::Publish
            | Step::Complain(_)
            | Step::Retract
            | Step::Release => drop(fold_reply(&self.watched.groups, key, reply)),
            Step::ProtectClaim => {
                if let Some(picked) = seen.unprotected_claim() {
                    let claim = &picked.claim.meta.key;
                    drop(fold_reply(&self.caches.claims, claim, reply));
                }
            }
            Step::CreateContent
            | Step::BindContent
            | Step::ProtectContent
            | Step::LookUpContent
            | Step::AskContentDeletion
            | Step::DeleteContent => {
                if let Some(name) = group.and_then(|it| it.content_name()) {
                    let content = Key::cluster(name);
                    drop(fold_reply(&self.watched.contents, &content, reply));
                }
            }
            Step::Member(member::Step::MakeSnapshot) => {
                if let Some((member, _)) = open {
                    let snapshot = &member.keys.snapshot;
                    drop(fold_reply(&self.caches.snapshots, snapshot, reply));
                }
            }
            Step::Member(
                member::Step::MakeContent | member::Step::BindContent | member::Step::Record,
            ) => {
                if let Some((member, _)) = open {
                    let content = &member.keys.content;
                    drop(fold_reply(&self.caches.contents, content, reply));
                }
            }
            Step::DeleteMember => {
                if let Some(snapshot) = seen.staying() {
                    let snapshot = &snapshot.meta.key;
                    drop(fold_reply(&self.caches.snapshots, snapshot, reply));
                }
            }
        }
    }
}

impl Machine for Groups {
    type Seen = Sighting;
    type Step = Step;
    type Why = Waiting;

    const NAME: &'static str = "group-snapshot";

    fn observe(&self, key: &Key, now: Time) -> Sighting {
        self.gather(key, now)
    }

    fn decide(&self, seen: &Sighting) -> Verdict<Step, Waiting> {
        group::decide(&seen.facts())
    }

    fn render(&self, step: Step, seen: &Sighting, wall: Stamp) -> Option<Write> {
        group::render(step, seen, wall)
    }

    fn document(&self, write: &Write) -> Option<Box<str>> {
        let row = (write.kind == Kind::Claim).then(|| self.caches.claims.get(&write.key))?;
        row.present().map(|it| it.document.clone())
    }

    fn fold(&self, key: &Key, seen: &mut Sighting, step: Step, reply: Reply) {
        self.put(key, seen, step, reply);
        let now = self.clock.now();
        if step == Step::CreateContent {
            self.patience.content_made(key);
        }
        let of_group = matches!(
            step,
            Step::Protect
                | Step::LookUpGroup
                | Step::Publish
                | Step::Complain(_)
                | Step::Retract
                | Step::Release
        );
        let before = (seen.fresh, seen.looked_up);
        *seen = self.gather(key, now);
        seen.fresh = before.0 || of_group;
        seen.looked_up = before.1 || step == Step::LookUpContent;
    }

    async fn call(&self, _key: &Key, _step: Step, _seen: &mut Sighting) {}

    fn refused(&self, key: &Key, seen: &mut Sighting, step: Step, why: &str) -> bool {
        if step != Step::CreateContent {
            return false;
        }
        tracing::warn!(group = %key, "the API server refused the group content: {why}");
        seen.memory = self.patience.content_refused(key);
        true
    }

    fn refusal(&self, _key: &Key, seen: &Sighting, step: Step, why: &str) -> Option<Event> {
        group::refusal(step, seen, why)
    }

    fn delay(&self, seen: &Sighting, timer: Timer) -> Duration {
        let key = seen.group.present().map(|it| &it.meta.key);
        self.patience.delay(key, timer)
    }
}
