//! The cluster's side of groups, among odd objects: a group snapshot, its group content, its
//! members and what they are cut from.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use tintype_api::names;
use tintype_core::group::{self, Picked, Sighting, Step, member};
use tintype_core::object::{
    Claim, Content, Group, GroupClass, GroupContent, Key, Snapshot, Volume,
};
use tintype_core::pair::{ClassSight, Memory};
use tintype_core::snapshot::Placement;
use tintype_core::write::{Kind, Write};
use tintype_core::{Seen, Stamp, Timer, Verdict};

use crate::MAX_STEPS;
use crate::cluster::{answer, row};
use crate::documents::{self, UID, check};
use crate::group_documents::{self, GROUP_CONTENT};
use crate::server::Server;

/// One group snapshot called `monday`, and everything it can see.
#[derive(Debug)]
struct Cluster {
    server: Server,
    class: Value,
    volume: Value,
}

impl Cluster {
    fn group(&self) -> Seen<Arc<Group>> {
        row(self.server.get(Kind::Group, "monday"), Group::of)
    }

    fn class_of(&self, group: Option<&Group>) -> ClassSight {
        let class = row(Some(&self.class), GroupClass::of).map(|it| it.0.clone());
        match group.and_then(|it| it.class.as_deref()) {
            Some("gold") => ClassSight::Named(class),
            Some(_) => ClassSight::Named(Seen::NotCached),
            None => ClassSight::Defaults(Some(class.present().cloned().into_iter().collect())),
        }
    }

    /// The claim, if the selector may pick it: here every selector that can be read does.
    fn picked(&self, group: Option<&Group>) -> Seen<Vec<Picked>> {
        let open = |it: &&Group| !it.meta.deleting && it.ready != Some(true) && it.dynamic();
        let Some(_) = group.filter(open) else {
            return Seen::NotCached;
        };
        let claim = row(self.server.get(Kind::Claim, "data"), Claim::of);
        let picked = claim.present().map(|claim| Picked {
            claim: claim.clone(),
            volume: row(Some(&self.volume), Volume::of),
        });
        Seen::Present(picked.into_iter().collect())
    }

    fn member(&self, group: &Group, content: &GroupContent, handle: &str) -> member::Sighting {
        let keys = member::Keys::of(group, handle);
        let info = content.members().iter().find(|it| &*it.volume == handle);
        member::Sighting {
            volume_handle: handle.into(),
            info: info.cloned(),
            volume: row(Some(&self.volume), Volume::of).present().cloned(),
            snapshot: row(
                self.server.get(Kind::Snapshot, &keys.snapshot.name),
                Snapshot::of,
            ),
            content: row(
                self.server.get(Kind::Content, &keys.content.name),
                Content::of,
            ),
            keys,
        }
    }

    /// As the controller gathers it.
    fn sighting(&self, memory: Memory, fresh: bool, looked_up: bool) -> Sighting {
        let group = self.group();
        let seen = group.present().map(AsRef::as_ref);
        let name = seen.and_then(Group::content_name);
        let content = name.map_or(Seen::NotCached, |name| {
            row(self.server.get(Kind::GroupContent, &name), GroupContent::of)
        });
        let members = match (seen, content.present()) {
            (Some(group), Some(content)) if group.dynamic() => content
                .volumes()
                .iter()
                .map(|it| self.member(group, content, it))
                .collect(),
            _ => Vec::new(),
        };
        let owned = members.iter().filter_map(|it| it.snapshot.present());
        Sighting {
            claims: self.picked(seen),
            owned: Seen::Present(owned.cloned().collect()),
            class: self.class_of(seen),
            restored: None,
            placement: Placement::Anywhere,
            fresh,
            looked_up,
            memory,
            members,
            content,
            group,
        }
    }

    /// Passes over the group snapshot until it rests.
    fn settle(&mut self) -> Result<Vec<Step>, TestCaseError> {
        let mut memory = Memory {
            in_grace: true,
            ..Memory::default()
        };
        let (mut fresh, mut looked_up) = (false, false);
        let mut steps = Vec::new();
        loop {
            let seen = self.sighting(memory, fresh, looked_up);
            let step = match group::decide(&seen.facts()) {
                Verdict::Do(step) => step,
                Verdict::Wait(Timer::Grace, _) if memory.in_grace => {
                    memory.in_grace = false;
                    continue;
                }
                Verdict::Wait(..) | Verdict::Rest(_) => return Ok(steps),
            };
            prop_assert!(steps.len() < MAX_STEPS, "never at rest: {steps:?}");
            self.witness(step, &seen)?;
            told(step, &seen)?;
            steps.push(step);
            let write = group::render(step, &seen, Stamp(1_800_000_000));
            let write = write.expect("each step of this machine is a write or a look");
            if let Some(event) = &write.event {
                prop_assert!(!event.message.is_empty(), "{event:?}");
            }
            // What the server will not have is said, or left alone for a while.
            let Ok(object) = self.server.apply(&write) else {
                return Ok(steps);
            };
            if !readable(&write, object.as_ref()) {
                return Ok(steps);
            }
            fresh |= write.kind == Kind::Group;
            looked_up |= step == Step::LookUpContent;
            // An answer that nothing is there is remembered as that.
            if step == Step::LookUpContent && object.is_none() {
                return self.settle_without_content(memory, fresh, steps);
            }
        }
    }

    /// The rest of a pass that has read past the cache that there is no group content.
    fn settle_without_content(
        &mut self,
        memory: Memory,
        mut fresh: bool,
        mut steps: Vec<Step>,
    ) -> Result<Vec<Step>, TestCaseError> {
        loop {
            let mut seen = self.sighting(memory, fresh, true);
            if seen.content.present().is_none() {
                seen.content = Seen::Absent;
            }
            let Verdict::Do(step) = group::decide(&seen.facts()) else {
                return Ok(steps);
            };
            prop_assert!(steps.len() < MAX_STEPS, "never at rest: {steps:?}");
            self.witness(step, &seen)?;
            steps.push(step);
            let write = group::render(step, &seen, Stamp(1_800_000_000));
            let write = write.expect("each step of this machine is a write or a look");
            let Ok(object) = self.server.apply(&write) else {
                return Ok(steps);
            };
            if !readable(&write, object.as_ref()) {
                return Ok(steps);
            }
            fresh |= write.kind == Kind::Group;
        }
    }

    /// Nothing is destroyed, and nothing let go, but for a group snapshot that is being deleted.
    fn witness(&self, step: Step, seen: &Sighting) -> Result<(), TestCaseError> {
        let group = self.server.get(Kind::Group, "monday").unwrap();
        let deleting = !group["metadata"]["deletionTimestamp"].is_null();
        let name = seen.group.present().and_then(|it| it.content_name());
        let content = name.and_then(|it| self.server.get(Kind::GroupContent, &it));
        let points_back = content.is_some_and(|it| {
            let owner = &it["spec"]["volumeGroupSnapshotRef"];
            owner["uid"] == UID && owner["name"] == "monday" && owner["namespace"] == "ns"
        });
        let policy = content.map_or(&Value::Null, |it| &it["spec"]["deletionPolicy"]);
        match step {
            Step::AskContentDeletion => prop_assert!(deleting && points_back, "{content:?}"),
            Step::DeleteContent => {
                prop_assert!(deleting && points_back && policy == "Delete", "{content:?}");
            }
            Step::Release | Step::DeleteMember => prop_assert!(deleting, "{group}"),
            Step::CreateContent => {
                let bound = &group["status"]["boundVolumeGroupSnapshotContentName"];
                prop_assert!(!deleting && bound.as_str().is_none_or(str::is_empty));
            }
            Step::Member(_) => prop_assert!(!deleting && points_back, "{content:?}"),
            Step::Protect
            | Step::ProtectClaim
            | Step::LookUpGroup
            | Step::BindContent
            | Step::ProtectContent
            | Step::LookUpContent
            | Step::Publish
            | Step::Complain(_)
            | Step::Retract => {}
        }
        Ok(())
    }
}

/// Were it refused, that would be told in upstream's word for the place; a look is not.
fn told(step: Step, seen: &Sighting) -> Result<(), TestCaseError> {
    let reason = group::refusal(step, seen, "no").map(|it| {
        assert!(it.warning && it.message.contains("answers: no;"), "{it:?}");
        it.reason.as_str()
    });
    let wanted = match step {
        Step::Protect | Step::ProtectContent | Step::Release => Some("GroupSnapshotFinalizerError"),
        Step::ProtectClaim => Some("GroupSnapshotContentCreationFailed"),
        Step::BindContent | Step::Member(_) => Some("GroupSnapshotBindFailed"),
        Step::Publish | Step::Complain(_) | Step::Retract => {
            Some("GroupSnapshotStatusUpdateFailed")
        }
        Step::AskContentDeletion | Step::DeleteContent | Step::DeleteMember => {
            Some("GroupSnapshotContentObjectDeleteError")
        }
        Step::CreateContent | Step::LookUpGroup | Step::LookUpContent => None,
    };
    prop_assert_eq!(reason, wanted);
    Ok(())
}

/// The answer says what the object is: one that does not is left alone for a while.
fn readable(write: &Write, object: Option<&Value>) -> bool {
    match write.kind {
        Kind::Group => !matches!(answer(object, Group::of), Seen::NotCached),
        Kind::GroupContent => !matches!(answer(object, GroupContent::of), Seen::NotCached),
        Kind::Snapshot => !matches!(answer(object, Snapshot::of), Seen::NotCached),
        Kind::Content => !matches!(answer(object, Content::of), Seen::NotCached),
        Kind::Claim => !matches!(answer(object, Claim::of), Seen::NotCached),
        Kind::Volume | Kind::AttributesClass => false,
    }
}

/// A snapshot or a content under the name of the first member, as found or odd.
fn named(kind: Kind, mut document: Value) -> (Kind, Value) {
    let name = match kind {
        Kind::Snapshot => names::member_snapshot_name(UID, "vol-1"),
        _ => names::member_content_name(UID, "vol-1"),
    };
    document["metadata"]["name"] = name.into();
    (kind, document)
}

fn cluster() -> impl Strategy<Value = Cluster> {
    let members = (
        proptest::option::weighted(0.3, documents::snapshot()),
        proptest::option::weighted(0.3, documents::content()),
    );
    let all = (
        group_documents::group(),
        proptest::option::of(group_documents::group_content()),
        group_documents::group_class(),
        documents::claim(),
        documents::volume(),
        members,
    );
    all.prop_map(|(group, content, class, claim, volume, members)| {
        let mut server = Server::default();
        server.put(Kind::Group, group);
        server.put(Kind::Claim, claim);
        if let Some(content) = content {
            server.put(Kind::GroupContent, content);
        }
        let (snapshot, content) = members;
        let snapshot = snapshot.map(|it| named(Kind::Snapshot, owned(it)));
        let content = content.map(|it| named(Kind::Content, it));
        for (kind, document) in snapshot.into_iter().chain(content) {
            server.put(kind, document);
        }
        Cluster {
            server,
            class,
            volume,
        }
    })
}

/// A snapshot the group owns, unless it is owned already.
fn owned(mut snapshot: Value) -> Value {
    let owners = &mut snapshot["metadata"]["ownerReferences"];
    if owners.is_null() {
        *owners = json!([{"apiVersion": "groupsnapshot.storage.k8s.io/v1",
            "kind": "VolumeGroupSnapshot", "name": "monday", "uid": UID}]);
    }
    snapshot
}

#[test]
fn whatever_a_group_sees_it_rests_soon_and_destroys_nothing_unasked() {
    let taken = RefCell::new(BTreeSet::new());
    check(4_000, &cluster(), |mut cluster| {
        let steps = cluster.settle()?;
        taken.borrow_mut().extend(steps.into_iter().map(name_of));
        // Left alone it has nothing more to do: what it said, it does not say again.
        let unreadable = cluster.unreadable();
        let again = cluster.settle()?;
        let writes = again
            .iter()
            .filter(|it| !matches!(it, Step::LookUpContent | Step::LookUpGroup));
        prop_assert!(unreadable || writes.count() == 0, "{again:?}");
        Ok(())
    });
    let all = [
        "AskContentDeletion",
        "BindContent",
        "Complain",
        "CreateContent",
        "DeleteContent",
        "DeleteMember",
        "LookUpContent",
        "LookUpGroup",
        "Member",
        "Protect",
        "ProtectClaim",
        "ProtectContent",
        "Publish",
        "Release",
        "Retract",
    ];
    let all = BTreeSet::from(all.map(str::to_owned));
    assert_eq!(taken.into_inner(), all, "the cases come to every step");
}

impl Cluster {
    /// Something is of other definitions than these, and is left alone for a while each time.
    fn unreadable(&self) -> bool {
        let strange = |kind: Kind, name: &str| {
            let object = self.server.get(kind, name);
            let write = Write {
                kind,
                key: Key::cluster(name),
                verb: tintype_core::write::Verb::Get,
                event: None,
            };
            object.is_some() && !readable(&write, object)
        };
        self.group().present().is_none()
            || strange(Kind::GroupContent, GROUP_CONTENT)
            || strange(Kind::Claim, "data")
            || strange(Kind::Snapshot, &names::member_snapshot_name(UID, "vol-1"))
            || strange(Kind::Content, &names::member_content_name(UID, "vol-1"))
    }
}

/// The step's name, without what it carries.
fn name_of(step: Step) -> String {
    let text = format!("{step:?}");
    text.split('(').next().unwrap_or_default().to_owned()
}

#[test]
fn reading_any_document_of_a_group_never_panics() {
    check(4_000, &documents::anything(), |value| {
        let wrapped = json!({"metadata": {"name": "a"}, "spec": value, "status": value});
        for document in [value, wrapped] {
            let document = Some(&document);
            row(document, Group::of);
            row(document, GroupContent::of);
            row(document, GroupClass::of);
        }
        Ok(())
    });
}
