//! One group of two volumes as real documents, and everything that may happen to it: users, the
//! garbage collector, caches that lag until they are told, processes that forget what they
//! remembered when they crash.
//!
//! Who decides is elsewhere: our machines in `controller` and `sidecar`, upstream's halves in
//! `theirs` and `their_sidecar`.

use std::sync::Arc;

use serde_json::{Value, json};
use tintype_api::{keys, names};
use tintype_core::object::{
    Claim, Class, Content, Group, GroupClass, GroupContent, Meta, Snapshot,
};
use tintype_core::retry::Schedule;
use tintype_core::write::Kind;
use tintype_core::{DeletionPolicy, Seen, Time, content, group_content};

use super::super::server::Server;
use super::rows::{Rows, listed, tell};
use super::storage::{How, Storage};
use super::their_sidecar::TheirSidecar;
use super::theirs::TheirController;

pub(super) const GROUP: &str = "nightly";
pub(super) const CLAIMS: [&str; 2] = ["data", "wal"];
pub(super) const VOLUMES: [&str; 2] = ["vol-1", "vol-2"];
pub(super) const NAMESPACE: &str = "ns";
pub(super) const DRIVER: &str = "csi.example.com";
pub(super) const CLASS: &str = "gold";
pub(super) const UID: &str = "0b6fd1ab-5a5c-4d4e-9d41-2f4f7d0d6f5e";
pub(super) const SCHEDULE: Schedule = Schedule {
    start: 1_000,
    max: 300_000,
};
/// Longer than any back-off.
const LONG: u64 = 400_000;

/// How a walk begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setup {
    pub(super) policy: DeletionPolicy,
    /// Controller and sidecar are upstream's.
    pub(super) theirs: [bool; 2],
    /// The group snapshot is on storage before anybody asks for it.
    pub(super) imported: bool,
    /// A client of an old version may write the status of the group content (D3).
    pub(super) old_clients: bool,
    /// Laws that are known to be broken.
    pub(super) pardons: &'static [&'static str],
}

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

const CONTROLLER: [Kind; 5] = [
    Kind::Group,
    Kind::GroupContent,
    Kind::Snapshot,
    Kind::Content,
    Kind::Claim,
];
const SIDECAR: [Kind; 2] = [Kind::GroupContent, Kind::Content];

/// What the objects of the group are called.
pub(super) struct Names {
    pub(super) content: String,
    pub(super) member_snapshots: [String; 2],
    pub(super) member_contents: [String; 2],
}

impl Names {
    fn of(setup: Setup) -> Self {
        if setup.imported {
            return Self {
                content: "static".to_owned(),
                member_snapshots: [0, 1].map(|at| format!("static-{at}")),
                member_contents: [0, 1].map(|at| format!("static-content-{at}")),
            };
        }
        Self {
            content: names::group_content_name(UID),
            member_snapshots: VOLUMES.map(|it| names::member_snapshot_name(UID, it)),
            member_contents: VOLUMES.map(|it| names::member_content_name(UID, it)),
        }
    }
}

/// The documents, and all that acts on them.
pub(super) struct Cluster {
    pub(super) setup: Setup,
    pub(super) names: Names,
    pub(super) server: Server,
    pub(super) storage: Storage,
    pub(super) class: bool,
    pub(super) controller: Rows,
    pub(super) sidecar: Rows,
    /// Of the pass over the group, and of those over its members.
    pub(super) fresh: [bool; 3],
    pub(super) looked_up: [bool; 3],
    pub(super) grace: bool,
    pub(super) group_memory: group_content::Memory,
    pub(super) member_memory: [content::Memory; 2],
    pub(super) their_controller: TheirController,
    pub(super) their_sidecar: TheirSidecar,
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
    pub(super) fn new(setup: Setup) -> Self {
        let mut it = Self {
            setup,
            names: Names::of(setup),
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
            their_controller: TheirController::default(),
            their_sidecar: TheirSidecar::default(),
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
        if setup.imported {
            it.administrator_imports();
        }
        it.play(Move::UserCreates);
        it.tell_all();
        it
    }

    pub(super) fn group(&self) -> Option<Group> {
        let found = self.server.get(Kind::Group, GROUP)?;
        Some(parse(found, Group::of))
    }

    pub(super) fn group_content(&self) -> Option<GroupContent> {
        let found = self.server.get(Kind::GroupContent, &self.names.content)?;
        Some(parse(found, GroupContent::of))
    }

    pub(super) fn snapshot(&self, at: usize) -> Option<Snapshot> {
        let name = &self.names.member_snapshots[at];
        let found = self.server.get(Kind::Snapshot, name)?;
        Some(parse(found, Snapshot::of))
    }

    pub(super) fn content(&self, at: usize) -> Option<Content> {
        let name = &self.names.member_contents[at];
        let found = self.server.get(Kind::Content, name)?;
        Some(parse(found, Content::of))
    }

    pub(super) fn claim(&self, at: usize) -> Option<Claim> {
        let found = self.server.get(Kind::Claim, CLAIMS[at])?;
        Some(parse(found, Claim::of))
    }

    /// A member that the group owns. An imported one is a snapshot as any until then.
    pub(super) fn joined(&self, at: usize) -> bool {
        self.snapshot(at).is_some_and(|it| it.owner().is_some())
    }

    /// Makes the move; false if it changes nothing.
    pub(super) fn play(&mut self, step: Move) -> bool {
        let [their_controller, their_sidecar] = self.setup.theirs;
        match step {
            Move::UserCreates => self.user_creates(),
            Move::UserDeletes => self.delete(Kind::Group, GROUP),
            Move::UserDeletesMember(at) => {
                let name = self.names.member_snapshots[at].clone();
                let named = self.snapshot(at).is_some_and(|it| it.group_key().is_some());
                named && self.delete(Kind::Snapshot, &name)
            }
            Move::UserDeletesClaim(at) => self.delete(Kind::Claim, CLAIMS[at]),
            Move::ContentDeletedByHand => {
                self.delete(Kind::GroupContent, &self.names.content.clone())
            }
            Move::ListIsLost => self.setup.old_clients && self.lose_list(),
            Move::ClassVanishes => std::mem::replace(&mut self.class, false),
            Move::ClassReturns => !std::mem::replace(&mut self.class, true),
            Move::Collector => self.collect(),
            Move::Told(kind) => tell(&self.server, &self.names, &mut self.controller, kind),
            Move::SidecarTold(kind) => tell(&self.server, &self.names, &mut self.sidecar, kind),
            Move::ControllerCrashes => {
                self.controller = listed(&self.server, &self.names, &CONTROLLER);
                (self.fresh, self.looked_up) = ([false; 3], [false; 3]);
                self.grace = false;
                self.their_controller = TheirController::default();
                true
            }
            Move::SidecarCrashes => {
                self.sidecar = listed(&self.server, &self.names, &SIDECAR);
                self.group_memory = group_content::Memory::default();
                self.member_memory = Default::default();
                self.their_sidecar = TheirSidecar::default();
                true
            }
            Move::TimePasses => {
                self.now = self.now.plus(LONG);
                self.grace = false;
                self.their_controller.time_passes();
                self.their_sidecar.time_passes();
                true
            }
            Move::Group(how) if their_controller => self.their_group(how),
            Move::Group(how) => self.pass_group(how),
            Move::Member(at, how) if their_controller => self.their_member(at, how),
            Move::Member(at, how) => self.pass_member(at, how),
            // Theirs does not protect the claims of groups.
            Move::Guard(_) if their_controller => false,
            Move::Guard(at) => self.pass_guard(at),
            Move::Sidecar(how) if their_sidecar => self.their_sidecar(how),
            Move::Sidecar(how) => self.pass_sidecar(how),
            Move::SidecarMember(at) if their_sidecar => self.their_sidecar_member(at),
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

    fn user_creates(&mut self) -> bool {
        let source = if self.setup.imported {
            json!({"volumeGroupSnapshotContentName": self.names.content})
        } else {
            json!({"selector": {"matchLabels": {"tier": "db"}}})
        };
        let mut group = json!({
            "metadata": {"namespace": NAMESPACE, "name": GROUP, "uid": UID},
            "spec": {"source": source},
        });
        if !self.setup.imported {
            group["spec"]["volumeGroupSnapshotClassName"] = CLASS.into();
        }
        self.server.put(Kind::Group, group);
        true
    }

    /// Spec group 4.10: what is there before the group snapshot, and the members beside it.
    fn administrator_imports(&mut self) {
        let (handle, members) = self.storage.is_there_already();
        let policy = self.setup.policy.as_str();
        for (at, id) in members.iter().enumerate() {
            let names = &self.names;
            let (name, content) = (&names.member_snapshots[at], &names.member_contents[at]);
            let reference = json!({"namespace": NAMESPACE, "name": name});
            self.server.put(
                Kind::Content,
                json!({
                    "metadata": {"name": content, "uid": content},
                    "spec": {"deletionPolicy": policy, "driver": DRIVER,
                        "source": {"snapshotHandle": id}, "volumeSnapshotRef": reference},
                }),
            );
            self.server.put(
                Kind::Snapshot,
                json!({
                    "metadata": {"namespace": NAMESPACE, "name": name, "uid": name},
                    "spec": {"source": {"volumeSnapshotContentName": content}},
                }),
            );
        }
        let handles =
            json!({"volumeGroupSnapshotHandle": handle, "volumeSnapshotHandles": members});
        self.server.put(
            Kind::GroupContent,
            json!({
                "metadata": {"name": self.names.content, "uid": "static-uid"},
                "spec": {"deletionPolicy": policy, "driver": DRIVER,
                    "source": {"groupSnapshotHandles": handles},
                    "volumeGroupSnapshotRef": {"namespace": NAMESPACE, "name": GROUP}},
            }),
        );
    }

    pub(super) fn delete(&mut self, kind: Kind, name: &str) -> bool {
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
            .edit(Kind::GroupContent, &self.names.content, |it| {
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
        let mut found = false;
        for at in 0..2 {
            let owned = self.snapshot(at).is_some_and(|it| it.owner().is_some());
            let name = self.names.member_snapshots[at].clone();
            found |= owned && self.delete(Kind::Snapshot, &name);
        }
        found
    }

    pub(super) fn class(&self) -> Seen<Arc<Class>> {
        if !self.class {
            return Seen::NotCached;
        }
        let class = json!({
            "metadata": {"name": CLASS, "uid": "class", "resourceVersion": "1"},
            "driver": DRIVER,
            "deletionPolicy": self.setup.policy.as_str(),
        });
        Seen::Present(parse(&class, GroupClass::of).0)
    }
}

/// The finalizer is on it.
pub(super) fn protected(meta: &Meta) -> bool {
    meta.has_finalizer(keys::FINALIZER_CLAIM_AS_SOURCE)
}
