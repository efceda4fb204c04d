//! Walks the small world and, in step with it, one of real documents: rows, facts, rendered writes,
//! merge patches. Whatever the small world takes for granted about these has to come true here.
//!
//! Walks are random; their seed is printed, and a walk that fails leaves its moves in a file that
//! `TINTYPE_MOVES` plays again.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tintype_api::{keys, names};
use tintype_core::content::{self, Outcome};
use tintype_core::object::{Claim, Class, Content, Snapshot, Volume};
use tintype_core::pair::ClassSight;
use tintype_core::retry::Schedule;
use tintype_core::snapshot::{self, Placement};
use tintype_core::write::{Kind, Verb, Write};
use tintype_core::{Seen, Stamp, Time, Verdict, guard};

use super::controller::Request;
use super::driver::{Answer, Driver};
use super::explore::World as _;
use super::model::{self, Ready, Said, Setup, Trouble, World};
use super::moves::{Cache, Move};
use super::server::{Refusal, Server};
use super::sight::{failure, reply};

const NAMES: [&str; 2] = ["first", "second"];
const NAMESPACE: &str = "ns";
const DRIVER: &str = "csi.example.com";
const SCHEDULE: Schedule = Schedule {
    start: 1_000,
    max: 300_000,
};
/// Longer than any back-off.
const LONG: u64 = 400_000;

fn uid(at: usize) -> String {
    format!("0b6fd1ab-5a5c-4d4e-9d41-00000000000{at}")
}

/// Documents as one cache holds them.
type Rows = HashMap<String, Value>;

/// The real documents beside the small world.
pub(crate) struct Lockstep {
    world: World,
    server: Server,
    snapshots: Rows,
    contents: Rows,
    claims: Rows,
    sidecar_contents: Rows,
    memory: [content::Memory; 2],
    now: [Time; 2],
    /// Which complaint, which trouble a text stands for.
    said: HashMap<String, Said>,
    /// Contents by uid: which of their name they are.
    numbers: HashMap<String, u8>,
}

impl Lockstep {
    pub(crate) fn new(setup: Setup) -> Self {
        let mut it = Self {
            world: World::new(setup),
            server: Server::default(),
            snapshots: Rows::new(),
            contents: Rows::new(),
            claims: Rows::new(),
            sidecar_contents: Rows::new(),
            memory: Default::default(),
            now: [Time(1_000_000); 2],
            said: HashMap::new(),
            numbers: HashMap::new(),
        };
        for trouble in [
            Trouble::Refused,
            Trouble::Uncertain,
            Trouble::NotCalled,
            Trouble::DeleteFailed,
        ] {
            let memory = content::Memory {
                failure: Some(Arc::new(failure(trouble))),
                ..content::Memory::default()
            };
            let text = memory.failure_text().unwrap();
            it.said.insert(text, Said::OfContent(trouble));
        }
        let others: &[&str] = if setup.claim_used {
            &["kubernetes.io/pvc-protection"]
        } else {
            &[]
        };
        let phase = if setup.bound { "Bound" } else { "Pending" };
        it.server.put(
            Kind::Claim,
            json!({
                "metadata": {
                    "namespace": NAMESPACE, "name": "data", "uid": "claim",
                    "finalizers": others,
                },
                "spec": {"volumeName": "pv"},
                "status": {"phase": phase},
            }),
        );
        if setup.imported {
            let name = it.content_name(0);
            it.numbers.insert("imported".to_owned(), 0);
            it.server.put(
                Kind::Content,
                json!({
                    "metadata": {"name": name, "uid": "imported"},
                    "spec": {
                        "driver": DRIVER,
                        "deletionPolicy": setup.policy.as_str(),
                        "source": {"snapshotHandle": "snap"},
                        "volumeSnapshotRef": {"namespace": NAMESPACE, "name": NAMES[0]},
                    },
                }),
            );
        }
        for cache in [Cache::Contents, Cache::Claims, Cache::SidecarContents] {
            it.told(cache);
        }
        it
    }

    fn content_name(&self, at: usize) -> String {
        if self.world.setup.0.imported {
            "imported".to_owned()
        } else {
            names::content_name(&uid(at))
        }
    }

    /// Plays the move in both worlds and compares them; false if it is not possible in one of them.
    pub(crate) fn play(&mut self, step: Move) -> bool {
        let Some(next) = self.world.play(step) else {
            return false;
        };
        match step {
            Move::UserCreates(name) => self.user_creates(name, &next),
            Move::UserDeletes(name) => self.delete(Kind::Snapshot, NAMES[name]),
            Move::UserDeletesClaim => self.delete(Kind::Claim, "data"),
            Move::ClaimIsBound => {
                let bound = |it: &mut Value| it["status"]["phase"] = "Bound".into();
                self.server.edit(Kind::Claim, "data", bound);
            }
            Move::ContentDeletedByHand(at) => self.delete(Kind::Content, &self.content_name(at)),
            Move::ContentDestroyed(at) => self.server.remove(Kind::Content, &self.content_name(at)),
            Move::Told(cache) => self.told(cache),
            Move::Listed(_) => self.told(Cache::Contents),
            Move::CallIsDue(at) => self.now[at] = self.now[at].plus(LONG),
            Move::SidecarCrashes => self.memory = Default::default(),
            Move::Controller(name, how) => {
                if !self.controller(name, how, &next) {
                    return false;
                }
            }
            Move::Guard(how) => {
                if !self.guard(how) {
                    return false;
                }
            }
            Move::Sidecar(at, how) => {
                if !self.sidecar(at, how, false, &next) {
                    return false;
                }
            }
            Move::SidecarReplyLost(at) => {
                if !self.sidecar(at, Driver::Works, true, &next) {
                    return false;
                }
            }
            Move::ClassVanishes
            | Move::ControllerCrashes
            | Move::GraceEnds(_)
            | Move::CreationIsDue(_)
            | Move::LateEffect(_)
            | Move::LateNothing(_) => {}
            Move::ControllerSwapped
            | Move::SidecarSwapped
            | Move::StandbyTold
            | Move::ControllerLeaseMoves
            | Move::SidecarLeaseMoves
            | Move::CaughtUp
            | Move::TheirSyncEnds(_)
            | Move::SnapshotForced(_)
            | Move::Orphan(..)
            | Move::Stale(_)
            | Move::Early(_) => return false,
        }
        self.world = next;
        self.compare();
        true
    }

    /// The law that is broken here, whatever happens next.
    pub(crate) fn broken(&self) -> Option<&'static str> {
        self.world.broken()
    }

    /// Nobody interferes any more: plays on until rest, and says what is wrong there.
    pub(crate) fn rest(&mut self) -> Option<&'static str> {
        let mut steps = Vec::new();
        for _ in 0..500 {
            let Some((step, _)) = self.world.alone() else {
                let wrong = self.world.broken().or_else(|| self.world.wrong_at_rest());
                if wrong.is_some() {
                    println!("{:?}", self.world);
                }
                return wrong;
            };
            if !self.play(step) {
                // The small world takes what changed and changed back for what it was.
                for cache in [
                    Cache::Snapshots,
                    Cache::Contents,
                    Cache::Claims,
                    Cache::SidecarContents,
                ] {
                    self.told(cache);
                }
                assert!(self.play(step), "{step:?}");
            }
            steps.push(step);
        }
        println!("over and over: {:?}", &steps[490..]);
        Some("it never rests")
    }

    fn user_creates(&mut self, name: usize, next: &World) {
        let setup = self.world.setup.0;
        let owner = next.snaps[name].unwrap().uid;
        let source = if setup.imported {
            json!({"volumeSnapshotContentName": self.content_name(0)})
        } else {
            json!({"persistentVolumeClaimName": "data"})
        };
        self.server.put(
            Kind::Snapshot,
            json!({
                "metadata": {"namespace": NAMESPACE, "name": NAMES[name], "uid": uid(owner)},
                "spec": {"source": source, "volumeSnapshotClassName": "gold"},
            }),
        );
    }

    fn delete(&mut self, kind: Kind, name: &str) {
        self.server.edit(kind, name, |it| {
            it["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        });
    }

    fn told(&mut self, cache: Cache) {
        let (kind, all): (_, Vec<String>) = match cache {
            Cache::Snapshots => (Kind::Snapshot, NAMES.map(str::to_owned).into()),
            Cache::Contents | Cache::SidecarContents => {
                let all = [self.content_name(0), self.content_name(1)];
                (Kind::Content, all.into())
            }
            Cache::Claims => (Kind::Claim, vec!["data".to_owned()]),
            Cache::Classes | Cache::SidecarClasses => return,
        };
        let rows = all
            .into_iter()
            .filter_map(|name| Some((name.clone(), self.server.get(kind, &name)?.clone())))
            .collect();
        match cache {
            Cache::Snapshots => self.snapshots = rows,
            Cache::Contents => self.contents = rows,
            Cache::SidecarContents => self.sidecar_contents = rows,
            Cache::Claims => self.claims = rows,
            Cache::Classes | Cache::SidecarClasses => {}
        }
    }

    fn class(&self) -> Class {
        let object = json!({
            "metadata": {"name": "gold", "uid": "class", "resourceVersion": "1"},
            "driver": DRIVER,
            "deletionPolicy": self.world.setup.0.policy.as_str(),
        });
        Class::of(&serde_json::from_value(object).unwrap())
    }

    /// What the shell would gather for this name.
    fn snapshot_sighting(&self, name: usize) -> snapshot::Sighting {
        let controller = &self.world.controller;
        let snapshot = as_seen(
            controller.snaps[name],
            self.snapshots.get(NAMES[name]),
            snapshot_of,
        );
        let at = controller.snaps[name]
            .present()
            .map(|it| self.world.content_of(it.uid));
        let content = at.map_or(Seen::NotCached, |at| {
            let row = self.contents.get(&self.content_name(at));
            as_seen(controller.contents[at], row, content_of)
        });
        let imported = self.world.setup.0.imported;
        let claim = if imported {
            Seen::NotCached
        } else {
            as_seen(controller.claim, self.claims.get("data"), claim_of)
        };
        let volume = json!({
            "metadata": {"name": "pv", "uid": "pv", "resourceVersion": "1"},
            "spec": {
                "claimRef": {"namespace": NAMESPACE, "name": "data", "uid": "claim"},
                "csi": {"driver": DRIVER, "volumeHandle": "vol"},
            },
        });
        let volume = Volume::of(&serde_json::from_value(volume).unwrap());
        snapshot::Sighting {
            snapshot,
            fresh: controller.fresh[name],
            content,
            looked_up: controller.looked_up[name],
            class: ClassSight::Named(controller.class.map(|()| Arc::new(self.class()))),
            volume: if claim.present().is_some() {
                Seen::Present(Arc::new(volume))
            } else {
                Seen::NotCached
            },
            claim,
            group_key: None,
            group: Seen::NotCached,
            being_restored: false,
            keep_mode: true,
            placement: Placement::Anywhere,
            memory: controller.memory[name],
        }
    }

    fn controller(&mut self, name: usize, how: Request, next: &World) -> bool {
        let sighting = self.snapshot_sighting(name);
        let facts = sighting.facts();
        assert_eq!(
            facts,
            self.world.snapshot_facts(name),
            "facts of a snapshot"
        );
        let Verdict::Do(step) = snapshot::decide(&facts) else {
            panic!("the small world does something, the real one rests");
        };
        if how == Request::Denied {
            return true;
        }
        let write = snapshot::render(step, &sighting, Stamp(0)).expect("a step renders");
        if let snapshot::Step::Complain(complaint) = step {
            self.remember(&write, Said::Complaint(complaint));
        }
        let folds = how == Request::Works;
        let at = sighting
            .snapshot
            .present()
            .map(|it| it.meta.uid.to_string())
            .map_or(0, |it| usize::from(it.ends_with('1')));
        match self.server.apply(&write) {
            Ok(object) => {
                if step == snapshot::Step::CreateContent {
                    let made = object.as_ref().unwrap()["metadata"]["uid"].to_string();
                    let number = next.contents[self.world.content_of(at)].unwrap().number;
                    self.numbers
                        .insert(made.trim_matches('"').to_owned(), number);
                }
                if folds {
                    self.fold(&write, object);
                }
            }
            Err(Refusal::Conflict | Refusal::Gone) => return false,
            Err(Refusal::Denied) => {}
        }
        true
    }

    fn fold(&mut self, write: &Write, object: Option<Value>) {
        let rows = match write.kind {
            Kind::Snapshot => &mut self.snapshots,
            Kind::Content => &mut self.contents,
            Kind::Claim => &mut self.claims,
            Kind::Volume | Kind::Group | Kind::GroupContent | Kind::AttributesClass => return,
        };
        match object {
            Some(object) => rows.insert(write.key.name.to_string(), object),
            None => rows.remove(&*write.key.name),
        };
    }

    /// Notes what the text of this write stands for; one text stands for one thing.
    fn remember(&mut self, write: &Write, said: Said) {
        let Verb::Patch { body, .. } = &write.verb else {
            panic!("a complaint is a patch");
        };
        let text = body["status"]["error"]["message"].as_str().unwrap();
        let before = self.said.insert(text.to_owned(), said);
        assert!(before.is_none_or(|it| it == said), "two meanings: {text}");
        let event = write.event.as_ref().expect("what is said is told");
        assert!(event.warning && event.message == text, "{event:?}");
    }

    fn guard(&mut self, how: Request) -> bool {
        let world = &self.world;
        let held = (0..2).any(|name| {
            let sighting = self.snapshot_sighting(name);
            let content = sighting.content.as_ref().map(AsRef::as_ref);
            let snapshot = sighting.snapshot.present();
            snapshot.is_some_and(|it| it.holds_its_claim(content))
        });
        let known = !world.controller.snaps.contains(&Seen::Unknown);
        let claim = as_seen(world.controller.claim, self.claims.get("data"), claim_of);
        let sighting = guard::Sighting {
            kind: Kind::Claim,
            finalizer: keys::FINALIZER_CLAIM_AS_SOURCE,
            object: claim.map(|it| it.meta.clone()),
            held: guard::held(known, held),
        };
        let facts = sighting.facts();
        assert_eq!(facts, world.guard_facts(), "facts of the guard");
        let write = guard::render(guard::Step::Release, &sighting).expect("it renders");
        let Ok(object) = self.server.apply(&write) else {
            return false;
        };
        if how == Request::Works {
            self.fold(&write, object);
        }
        true
    }

    fn content_sighting(&self, at: usize) -> content::Sighting {
        let row = self.sidecar_contents.get(&self.content_name(at));
        let content = as_seen(self.world.sidecar.contents[at], row, content_of);
        let mut sighting = content::Sighting {
            class: content
                .present()
                .and_then(|it| it.class.as_ref())
                .map(|_| self.world.sidecar.class.map(|()| Arc::new(self.class()))),
            content: Seen::NotCached,
            driver: DRIVER.into(),
            memory: self.memory[at].clone(),
            now: self.now[at],
        };
        sighting.see(content);
        sighting
    }

    fn sidecar(&mut self, at: usize, how: Driver, lost: bool, next: &World) -> bool {
        let mut sighting = self.content_sighting(at);
        let facts = sighting.facts();
        let imported = self.world.setup.0.imported;
        let mut model = self.world.settled_facts(at);
        if imported {
            model.class = facts.class; // Nothing is made with it.
        }
        assert_eq!(facts, model, "facts of a content");
        let Verdict::Do(step) = content::decide(&facts) else {
            panic!("the small world does something, the real one rests");
        };
        let now = self.now[at];
        let Some(write) = content::render(step, &sighting, Stamp(0)) else {
            let answer = { self.world }.call(at, step, how);
            hear(&mut sighting.memory, answer, now);
            self.memory[at] = sighting.memory;
            return true;
        };
        if step == content::Step::RecordFailure {
            let trouble = next.contents[at].and_then(|it| it.error).unwrap();
            self.remember(&write, Said::OfContent(trouble));
        }
        let Ok(object) = self.server.apply(&write) else {
            return false;
        };
        if lost {
            self.memory[at] = sighting.memory;
            return true;
        }
        let name = write.key.name.to_string();
        match object {
            Some(object) => self.sidecar_contents.insert(name, object),
            None => self.sidecar_contents.remove(&name),
        };
        let row = self.sidecar_contents.get(&self.content_name(at));
        sighting.see(row.map_or(Seen::Absent, |it| Seen::Present(Arc::new(content_of(it)))));
        match step {
            content::Step::MarkCreating => sighting.memory.folded_mark(),
            content::Step::ClearMark => sighting.memory.folded_clear(),
            content::Step::RecordStatus => sighting.memory.folded_record(),
            content::Step::RecordFailure
            | content::Step::Release
            | content::Step::CreateOnStorage
            | content::Step::AskStatus
            | content::Step::DeleteOnStorage => {}
        }
        self.memory[at] = sighting.memory;
        true
    }

    /// The documents say what the small world says.
    fn compare(&self) {
        for (name, key) in NAMES.iter().enumerate() {
            let snap = self.server.get(Kind::Snapshot, key).map(|it| self.snap(it));
            assert_eq!(snap, self.world.snaps[name], "{key} on the server");
        }
        let contents = if self.world.setup.0.imported { 1 } else { 2 };
        for at in 0..contents {
            let found = self.server.get(Kind::Content, &self.content_name(at));
            let found = found.map(|it| self.content(it));
            assert_eq!(found, self.world.contents[at], "content {at} on the server");
        }
        let claim = self.server.get(Kind::Claim, "data").map(claim_of);
        let claim = claim.map(|it| model::Claim {
            deleting: it.meta.deleting,
            protected: it.meta.has_finalizer(keys::FINALIZER_CLAIM_AS_SOURCE),
            bound: it.phase == tintype_core::object::ClaimPhase::Bound,
        });
        assert_eq!(claim, self.world.claim, "the claim on the server");
    }

    fn snap(&self, object: &Value) -> model::Snap {
        let row = snapshot_of(object);
        model::Snap {
            uid: usize::from(row.meta.uid.to_string().ends_with('1')),
            deleting: row.meta.deleting,
            source_finalizer: row.meta.has_finalizer(keys::FINALIZER_SNAPSHOT_AS_SOURCE),
            bound_finalizer: row.meta.has_finalizer(keys::FINALIZER_SNAPSHOT_BOUND),
            bound: row.bound.is_some(),
            ready: ready(row.ready),
            dated: row.creation_time.is_some(),
            error: row.error.as_deref().map(|it| self.said[it]),
        }
    }

    fn content(&self, object: &Value) -> model::Content {
        let row = content_of(object);
        let owner = row.snapshot.uid.to_string();
        let status = row.status.clone().unwrap_or_default();
        let error = status.error.map(|it| match self.said[&*it.message] {
            Said::OfContent(trouble) => trouble,
            Said::Complaint(_) | Said::Theirs => panic!("a content says what a snapshot says"),
        });
        model::Content {
            number: self.numbers[&row.meta.uid.to_string()],
            owner: (!owner.is_empty()).then(|| usize::from(owner.ends_with('1'))),
            deleting: row.meta.deleting,
            protected: row.meta.has_finalizer(keys::FINALIZER_CONTENT),
            being_created: row.being_created,
            being_deleted: row.being_deleted,
            recorded: status.handle.is_some(),
            ready: ready(status.ready),
            error,
            classed: row.class.is_some(),
        }
    }
}

/// The row behind what the small world says of a cache.
fn as_seen<T, R>(seen: Seen<T>, row: Option<&Value>, of: impl FnOnce(&Value) -> R) -> Seen<Arc<R>> {
    match (seen, row) {
        (Seen::Present(_), Some(row)) => Seen::Present(Arc::new(of(row))),
        (Seen::Present(_), None) => panic!("a row is missing"),
        (Seen::Unknown, _) => Seen::Unknown,
        (Seen::NotCached, _) => Seen::NotCached,
        (Seen::Absent, _) => Seen::Absent,
    }
}

fn snapshot_of(object: &Value) -> Snapshot {
    Snapshot::of(&serde_json::from_value(object.clone()).unwrap())
}

fn content_of(object: &Value) -> Content {
    Content::of(&serde_json::from_value(object.clone()).unwrap())
}

fn claim_of(object: &Value) -> Claim {
    Claim::of(&serde_json::from_value(object.clone()).unwrap())
}

const fn ready(flag: Option<bool>) -> Ready {
    match flag {
        None => Ready::Unset,
        Some(false) => Ready::No,
        Some(true) => Ready::Yes,
    }
}

fn hear(memory: &mut content::Memory, answer: Option<Answer>, now: Time) {
    let mut failed =
        |outcome, trouble| memory.folded_failure(outcome, failure(trouble), now, SCHEDULE, 0);
    match answer {
        Some(Answer::Exists { ready }) => memory.folded_reply(reply(ready), now, Stamp(0), 0),
        Some(Answer::Refused) => failed(Outcome::Refused, Trouble::Refused),
        Some(Answer::Uncertain) => failed(Outcome::Uncertain, Trouble::Uncertain),
        Some(Answer::NotCalled) => failed(Outcome::NotCalled, Trouble::NotCalled),
        Some(Answer::Deleted) => memory.folded_deleted(),
        Some(Answer::DeleteFailed) => failed(Outcome::DeleteFailed, Trouble::DeleteFailed),
        None => {}
    }
}
