//! One group of two volumes as real documents, and everything that acts on them: the machines of
//! controller and sidecar through rows, facts and rendered writes, users, the garbage collector.
//!
//! Caches lag until they are told; a process that crashes forgets what it remembered.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tintype_api::{keys, names};
use tintype_core::group::{self, Picked, member};
use tintype_core::object::{
    Claim, Class, Content, Group, GroupClass, GroupContent, Key, Meta, Snapshot, Volume,
};
use tintype_core::pair::{ClassSight, Memory};
use tintype_core::retry::Schedule;
use tintype_core::snapshot::{self, Placement};
use tintype_core::write::{Kind, Write};
use tintype_core::{DeletionPolicy, Seen, Stamp, Time, Verdict, content, group_content, guard};

use super::super::server::{Refusal, Server};
use super::storage::{How, Storage};

pub(super) const GROUP: &str = "nightly";
pub(super) const CLAIMS: [&str; 2] = ["data", "wal"];
pub(super) const VOLUMES: [&str; 2] = ["vol-1", "vol-2"];
const NAMESPACE: &str = "ns";
pub(super) const DRIVER: &str = "csi.example.com";
const UID: &str = "0b6fd1ab-5a5c-4d4e-9d41-2f4f7d0d6f5e";
pub(super) const SCHEDULE: Schedule = Schedule {
    start: 1_000,
    max: 300_000,
};
/// Longer than any back-off.
const LONG: u64 = 400_000;

/// How a request to the API goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    Works,
    /// It is done, and the process does not hear of it.
    ReplyLost,
}

/// One event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    UserCreates,
    UserDeletes,
    UserDeletesMember(usize),
    UserDeletesClaim(usize),
    ContentDeletedByHand,
    /// A client of an old version writes the status, and the list of members is gone (D3).
    ListIsLost,
    ClassVanishes,
    ClassReturns,
    Collector,
    /// The controller's cache of this kind catches up.
    Told(Kind),
    /// The sidecar's does.
    SidecarTold(Kind),
    ControllerCrashes,
    SidecarCrashes,
    TimePasses,
    Group(Request),
    Member(usize, Request),
    Guard(usize),
    Sidecar(How),
    SidecarMember(usize),
}

/// Rows of a cache: none is an object that is surely not there.
pub(super) type Rows = HashMap<(Kind, String), Option<Value>>;

const CONTROLLER: [Kind; 5] = [
    Kind::Group,
    Kind::GroupContent,
    Kind::Snapshot,
    Kind::Content,
    Kind::Claim,
];
const SIDECAR: [Kind; 2] = [Kind::GroupContent, Kind::Content];

/// The documents, and all that acts on them.
pub(super) struct Cluster {
    pub(super) policy: DeletionPolicy,
    pub(super) server: Server,
    pub(super) storage: Storage,
    pub(super) class: bool,
    controller: Rows,
    pub(super) sidecar: Rows,
    /// Of the pass over the group, and of those over its members.
    fresh: [bool; 3],
    looked_up: [bool; 3],
    grace: bool,
    pub(super) group_memory: group_content::Memory,
    pub(super) member_memory: [content::Memory; 2],
    pub(super) now: Time,
}

pub(super) fn parse<T: serde::de::DeserializeOwned, R>(document: &Value, of: fn(&T) -> R) -> R {
    of(&serde_json::from_value(document.clone()).unwrap())
}

/// All moves a walk may make.
pub(super) fn moves() -> Vec<Move> {
    let mut all = vec![
        Move::UserDeletes,
        Move::ContentDeletedByHand,
        Move::ListIsLost,
        Move::ClassVanishes,
        Move::ClassReturns,
        Move::Collector,
        Move::ControllerCrashes,
        Move::SidecarCrashes,
        Move::TimePasses,
        Move::Group(Request::Works),
        Move::Group(Request::ReplyLost),
    ];
    for at in 0..2 {
        all.extend([
            Move::UserDeletesMember(at),
            Move::UserDeletesClaim(at),
            Move::Member(at, Request::Works),
            Move::Member(at, Request::ReplyLost),
            Move::Guard(at),
            Move::SidecarMember(at),
        ]);
    }
    all.extend(CONTROLLER.map(Move::Told));
    all.extend(SIDECAR.map(Move::SidecarTold));
    all.extend(How::ALL.map(Move::Sidecar));
    all
}

impl Cluster {
    pub(super) fn new(policy: DeletionPolicy) -> Self {
        let mut it = Self {
            policy,
            server: Server::default(),
            storage: Storage::default(),
            class: true,
            controller: Rows::new(),
            sidecar: Rows::new(),
            fresh: [false; 3],
            looked_up: [false; 3],
            grace: false,
            group_memory: group_content::Memory::default(),
            member_memory: Default::default(),
            now: Time(1_000_000),
        };
        for (at, name) in CLAIMS.iter().enumerate() {
            it.server.put(
                Kind::Claim,
                json!({
                    "metadata": {"namespace": NAMESPACE, "name": name, "uid": name,
                        "labels": {"tier": "db"}},
                    "spec": {"volumeName": VOLUMES[at], "storageClassName": "fast"},
                    "status": {"phase": "Bound"},
                }),
            );
        }
        it.play(Move::UserCreates);
        it.tell_all();
        it
    }

    pub(super) fn content_name() -> String {
        names::group_content_name(UID)
    }

    pub(super) fn member_snapshot(at: usize) -> String {
        names::member_snapshot_name(UID, VOLUMES[at])
    }

    pub(super) fn member_content(at: usize) -> String {
        names::member_content_name(UID, VOLUMES[at])
    }

    pub(super) fn group(&self) -> Option<Group> {
        let found = self.server.get(Kind::Group, GROUP)?;
        Some(parse(found, Group::of))
    }

    pub(super) fn group_content(&self) -> Option<GroupContent> {
        let found = self.server.get(Kind::GroupContent, &Self::content_name())?;
        Some(parse(found, GroupContent::of))
    }

    pub(super) fn snapshot(&self, at: usize) -> Option<Snapshot> {
        let found = self
            .server
            .get(Kind::Snapshot, &Self::member_snapshot(at))?;
        Some(parse(found, Snapshot::of))
    }

    pub(super) fn content(&self, at: usize) -> Option<Content> {
        let found = self.server.get(Kind::Content, &Self::member_content(at))?;
        Some(parse(found, Content::of))
    }

    pub(super) fn claim(&self, at: usize) -> Option<Claim> {
        let found = self.server.get(Kind::Claim, CLAIMS[at])?;
        Some(parse(found, Claim::of))
    }

    /// Makes the move; false if it changes nothing.
    pub(super) fn play(&mut self, step: Move) -> bool {
        match step {
            Move::UserCreates => {
                let group = json!({
                    "metadata": {"namespace": NAMESPACE, "name": GROUP, "uid": UID},
                    "spec": {
                        "source": {"selector": {"matchLabels": {"tier": "db"}}},
                        "volumeGroupSnapshotClassName": "gold",
                    },
                });
                self.server.put(Kind::Group, group);
                true
            }
            Move::UserDeletes => self.delete(Kind::Group, GROUP),
            Move::UserDeletesMember(at) => self.delete(Kind::Snapshot, &Self::member_snapshot(at)),
            Move::UserDeletesClaim(at) => self.delete(Kind::Claim, CLAIMS[at]),
            Move::ContentDeletedByHand => self.delete(Kind::GroupContent, &Self::content_name()),
            Move::ListIsLost => self.lose_list(),
            Move::ClassVanishes => std::mem::replace(&mut self.class, false),
            Move::ClassReturns => !std::mem::replace(&mut self.class, true),
            Move::Collector => self.collect(),
            Move::Told(kind) => tell(&self.server, &mut self.controller, kind),
            Move::SidecarTold(kind) => tell(&self.server, &mut self.sidecar, kind),
            Move::ControllerCrashes => {
                self.controller = listed(&self.server, &CONTROLLER);
                (self.fresh, self.looked_up) = ([false; 3], [false; 3]);
                self.grace = false;
                true
            }
            Move::SidecarCrashes => {
                self.sidecar = listed(&self.server, &SIDECAR);
                self.group_memory = group_content::Memory::default();
                self.member_memory = Default::default();
                true
            }
            Move::TimePasses => {
                self.now = self.now.plus(LONG);
                self.grace = false;
                true
            }
            Move::Group(how) => self.pass_group(how),
            Move::Member(at, how) => self.pass_member(at, how),
            Move::Guard(at) => self.pass_guard(at),
            Move::Sidecar(how) => self.pass_sidecar(how),
            Move::SidecarMember(at) => self.pass_sidecar_member(at),
        }
    }

    /// All caches catch up; true if one did.
    pub(super) fn tell_all(&mut self) -> bool {
        let mut news = false;
        for kind in CONTROLLER {
            news |= self.play(Move::Told(kind));
        }
        for kind in SIDECAR {
            news |= self.play(Move::SidecarTold(kind));
        }
        news
    }

    fn delete(&mut self, kind: Kind, name: &str) -> bool {
        let stands = |it: &&Value| it["metadata"]["deletionTimestamp"].is_null();
        if !self.server.get(kind, name).as_ref().is_some_and(stands) {
            return false;
        }
        self.server.edit(kind, name, |it| {
            it["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        });
        true
    }

    fn lose_list(&mut self) -> bool {
        if self
            .group_content()
            .is_none_or(|it| it.members().is_empty())
        {
            return false;
        }
        self.server
            .edit(Kind::GroupContent, &Self::content_name(), |it| {
                let status = it["status"].as_object_mut().unwrap();
                status.remove("volumeSnapshotInfoList");
            });
        true
    }

    /// Deletes members whose owner is gone.
    fn collect(&mut self) -> bool {
        if self.group().is_some() {
            return false;
        }
        let first = self.delete(Kind::Snapshot, &Self::member_snapshot(0));
        let second = self.delete(Kind::Snapshot, &Self::member_snapshot(1));
        first || second
    }

    pub(super) fn class(&self) -> Seen<Arc<Class>> {
        if !self.class {
            return Seen::NotCached;
        }
        let class = json!({
            "metadata": {"name": "gold", "uid": "class", "resourceVersion": "1"},
            "driver": DRIVER,
            "deletionPolicy": self.policy.as_str(),
        });
        Seen::Present(parse(&class, GroupClass::of).0)
    }

    fn claim_row(&self, at: usize) -> Option<Arc<Claim>> {
        let row = seen(&self.controller, Kind::Claim, CLAIMS[at], Claim::of);
        row.present().cloned()
    }

    /// What the shell would gather for the group.
    fn sighting(&self) -> group::Sighting {
        let rows = &self.controller;
        let group = seen(rows, Kind::Group, GROUP, Group::of);
        let name = Self::content_name();
        let content = seen(rows, Kind::GroupContent, &name, GroupContent::of);
        let row = group.present().cloned();
        let waits = row
            .as_ref()
            .is_some_and(|it| !it.meta.deleting && it.bound.is_none() && it.error.is_none());
        let cut_from = row.filter(|it| !it.meta.deleting && it.ready != Some(true));
        group::Sighting {
            claims: cut_from.map_or(Seen::NotCached, |_| Seen::Present(self.picked(&content))),
            members: content
                .present()
                .map_or_else(Vec::new, |it| self.members(it)),
            owned: Seen::Present(
                (0..2)
                    .filter_map(|at| {
                        let name = Self::member_snapshot(at);
                        seen(rows, Kind::Snapshot, &name, Snapshot::of)
                            .present()
                            .cloned()
                    })
                    .collect(),
            ),
            fresh: self.fresh[0],
            looked_up: self.looked_up[0],
            class: ClassSight::Named(self.class()),
            restored: None,
            placement: Placement::Anywhere,
            memory: Memory {
                in_grace: self.grace && waits,
                ..Memory::default()
            },
            group,
            content,
        }
    }

    fn picked(&self, content: &Seen<Arc<GroupContent>>) -> Vec<Picked> {
        let covered = |at: &usize| {
            let volumes = content.present().map(|it| it.volumes());
            volumes.is_none_or(|all| all.iter().any(|it| **it == *VOLUMES[*at]))
        };
        let pick = |at| {
            Some(Picked {
                claim: self.claim_row(at)?,
                volume: Seen::Present(volume(at)),
            })
        };
        (0..2).filter(covered).filter_map(pick).collect()
    }

    fn members(&self, content: &GroupContent) -> Vec<member::Sighting> {
        let rows = &self.controller;
        let member = |handle: &str| {
            let at = VOLUMES.iter().position(|it| *it == handle).unwrap();
            member::Sighting {
                volume_handle: handle.into(),
                keys: member::Keys {
                    snapshot: Key::namespaced(NAMESPACE, Self::member_snapshot(at)),
                    content: Key::cluster(Self::member_content(at)),
                },
                info: content
                    .members()
                    .iter()
                    .find(|it| *it.volume == *handle)
                    .cloned(),
                volume: Some(volume(at)),
                snapshot: seen(
                    rows,
                    Kind::Snapshot,
                    &Self::member_snapshot(at),
                    Snapshot::of,
                ),
                content: seen(rows, Kind::Content, &Self::member_content(at), Content::of),
            }
        };
        content.volumes().iter().map(|it| member(it)).collect()
    }

    fn pass_group(&mut self, how: Request) -> bool {
        let sighting = self.sighting();
        let Verdict::Do(step) = group::decide(&sighting.facts()) else {
            (self.fresh[0], self.looked_up[0]) = (false, false);
            return false;
        };
        let write = group::render(step, &sighting, Stamp(0)).expect("a step renders");
        self.grace |= step == group::Step::CreateContent;
        self.written(0, &write, how);
        true
    }

    fn pass_member(&mut self, at: usize, how: Request) -> bool {
        let rows = &self.controller;
        let snapshot = seen(
            rows,
            Kind::Snapshot,
            &Self::member_snapshot(at),
            Snapshot::of,
        );
        let group_key = snapshot.present().and_then(|it| it.group_key());
        let sighting = snapshot::Sighting {
            fresh: self.fresh[1 + at],
            content: seen(rows, Kind::Content, &Self::member_content(at), Content::of),
            looked_up: self.looked_up[1 + at],
            class: ClassSight::Defaults(None),
            claim: seen(rows, Kind::Claim, CLAIMS[at], Claim::of),
            volume: Seen::Present(volume(at)),
            group: group_key.as_ref().map_or(Seen::NotCached, |_| {
                seen(rows, Kind::Group, GROUP, Group::of)
            }),
            group_key,
            being_restored: false,
            keep_mode: true,
            placement: Placement::Anywhere,
            memory: Memory::default(),
            snapshot,
        };
        let Verdict::Do(step) = snapshot::decide(&sighting.facts()) else {
            (self.fresh[1 + at], self.looked_up[1 + at]) = (false, false);
            return false;
        };
        let write = snapshot::render(step, &sighting, Stamp(0)).expect("a step renders");
        self.written(1 + at, &write, how);
        true
    }

    fn pass_guard(&mut self, at: usize) -> bool {
        let group = seen(&self.controller, Kind::Group, GROUP, Group::of);
        let name = Self::content_name();
        let content = seen(
            &self.controller,
            Kind::GroupContent,
            &name,
            GroupContent::of,
        );
        let content = content.as_ref().map(AsRef::as_ref);
        let covered = content
            .present()
            .is_none_or(|it| it.volumes().iter().any(|it| **it == *VOLUMES[at]));
        let held = group
            .present()
            .is_some_and(|it| covered && it.holds_its_claims(content));
        let sighting = guard::Sighting {
            kind: Kind::Claim,
            finalizer: keys::FINALIZER_CLAIM_AS_SOURCE,
            object: self
                .claim_row(at)
                .map_or(Seen::NotCached, |it| Seen::Present(it.meta.clone())),
            held: guard::held(true, held),
        };
        let Verdict::Do(step) = guard::decide(&sighting.facts()) else {
            return false;
        };
        let write = guard::render(step, &sighting).expect("a step renders");
        if let Ok(object) = self.server.apply(&write) {
            fold(&mut self.controller, &write, object);
        }
        true
    }

    /// Sends a write of the controller's and folds the reply; a pass ends with any refusal.
    fn written(&mut self, pass: usize, write: &Write, how: Request) {
        let answer = self.server.apply(write);
        match (answer, how) {
            (Ok(object), Request::Works) => {
                fold(&mut self.controller, write, object);
                let own = if pass == 0 {
                    Kind::Group
                } else {
                    Kind::Snapshot
                };
                let other = if pass == 0 {
                    Kind::GroupContent
                } else {
                    Kind::Content
                };
                let read = write.verb == tintype_core::write::Verb::Get;
                self.fresh[pass] |= write.kind == own;
                self.looked_up[pass] |= read && write.kind == other;
            }
            (Ok(_), Request::ReplyLost)
            | (Err(Refusal::Conflict | Refusal::Gone | Refusal::Denied), _) => {
                (self.fresh[pass], self.looked_up[pass]) = (false, false);
            }
        }
    }
}

fn volume(at: usize) -> Arc<Volume> {
    let volume = json!({
        "metadata": {"name": VOLUMES[at], "uid": VOLUMES[at], "resourceVersion": "1"},
        "spec": {
            "claimRef": {"namespace": NAMESPACE, "name": CLAIMS[at], "uid": CLAIMS[at]},
            "csi": {"driver": DRIVER, "volumeHandle": VOLUMES[at]},
        },
    });
    Arc::new(parse(&volume, Volume::of))
}

fn every(kind: Kind) -> Vec<String> {
    let two = |name: fn(usize) -> String| vec![name(0), name(1)];
    match kind {
        Kind::Group => vec![GROUP.to_owned()],
        Kind::GroupContent => vec![Cluster::content_name()],
        Kind::Snapshot => two(Cluster::member_snapshot),
        Kind::Content => two(Cluster::member_content),
        Kind::Claim => CLAIMS.map(str::to_owned).into(),
        Kind::Volume | Kind::AttributesClass => Vec::new(),
    }
}

/// The cache hears of everything; of what it had and is gone it hears that too.
fn tell(server: &Server, rows: &mut Rows, kind: Kind) -> bool {
    let mut news = false;
    for name in every(kind) {
        let found = server.get(kind, &name).cloned();
        let key = (kind, name);
        let before = rows.get(&key);
        if before.is_none_or(Option::is_none) && found.is_none() {
            continue;
        }
        news |= before != Some(&found);
        rows.insert(key, found);
    }
    news
}

/// What a process that starts lists: of what is not there it knows nothing.
fn listed(server: &Server, kinds: &[Kind]) -> Rows {
    let mut rows = Rows::new();
    for kind in kinds {
        tell(server, &mut rows, *kind);
    }
    rows
}

pub(super) fn seen<T: serde::de::DeserializeOwned, R>(
    rows: &Rows,
    kind: Kind,
    name: &str,
    of: fn(&T) -> R,
) -> Seen<Arc<R>> {
    match rows.get(&(kind, name.to_owned())) {
        None => Seen::NotCached,
        Some(None) => Seen::Absent,
        Some(Some(document)) => Seen::Present(Arc::new(parse(document, of))),
    }
}

pub(super) fn fold(rows: &mut Rows, write: &Write, object: Option<Value>) {
    rows.insert((write.kind, write.key.name.to_string()), object);
}

/// The finalizer is on it.
pub(super) fn protected(meta: &Meta) -> bool {
    meta.has_finalizer(keys::FINALIZER_CLAIM_AS_SOURCE)
}
