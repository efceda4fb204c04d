//! The driver's side of groups: group contents of any shape, and a driver that answers anything.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;
use tintype_api::keys;
use tintype_core::content::{self, CallFailure, Outcome};
use tintype_core::group_content::{self, Memory, Reply, Sighting, Step};
use tintype_core::object::{Class, Content, GroupClass, GroupContent, MemberInfo};
use tintype_core::retry::Schedule;
use tintype_core::write::{Kind, Verb, Write};
use tintype_core::{Seen, Stamp, Time, Verdict};

use crate::MAX_STEPS;
use crate::cluster::answer;
use crate::documents::{self, DRIVER, check};
use crate::group_documents::{self, GROUP_CONTENT};
use crate::server::Server;

const SCHEDULE: Schedule = Schedule {
    start: 1_000,
    max: 300_000,
};

/// What the driver may come up with. Sizes below nothing never get here: the client takes them for
/// what they are, unknown.
#[derive(Debug, Clone)]
enum Answer {
    Says(Reply),
    Fails(Outcome),
}

fn answers() -> impl Strategy<Value = Vec<Answer>> {
    let member = (
        select(&["vol-1", "vol-2", ""][..]),
        select(&["snap-1", "snap-2", ""][..]),
        proptest::option::of(any::<i64>()),
        proptest::option::of(any::<bool>()),
        proptest::option::of(0..i64::MAX),
    )
        .prop_map(
            |(volume, handle, creation_time, ready, restore_size)| MemberInfo {
                volume: volume.into(),
                handle: handle.into(),
                creation_time,
                ready,
                restore_size,
            },
        );
    let says = (
        select(&["group-1", "another", "é\n"][..]),
        proptest::option::of(any::<i64>()),
        any::<bool>(),
        vec(member, 0..3),
    )
        .prop_map(|(handle, creation_time, ready, members)| {
            Answer::Says(Reply {
                handle: handle.into(),
                creation_time,
                ready,
                members: members.into(),
            })
        });
    let fails = select(&[Outcome::Refused, Outcome::Uncertain, Outcome::NotCalled][..]);
    vec(prop_oneof![says, fails.prop_map(Answer::Fails)], 8)
}

fn row(server: &Server) -> Seen<Arc<GroupContent>> {
    answer(
        server.get(Kind::GroupContent, GROUP_CONTENT),
        GroupContent::of,
    )
}

/// Nothing is done to storage, and no group content let go, that nobody asked for.
fn witness(step: Step, content: &Value) -> Result<(), TestCaseError> {
    let annotations = &content["metadata"]["annotations"];
    let deleting = !content["metadata"]["deletionTimestamp"].is_null();
    let spec = &content["spec"];
    let unbound = spec["volumeGroupSnapshotRef"]["uid"]
        .as_str()
        .is_none_or(str::is_empty);
    let marked = |key: &str| annotations.get(key).is_some();
    let created = marked(keys::ANNOTATION_GROUP_BEING_CREATED);
    let asked = deleting
        && ((!spec["source"]["groupSnapshotHandles"].is_null() && unbound)
            || (marked(keys::ANNOTATION_GROUP_BEING_DELETED) && !created));
    prop_assert_eq!(&spec["driver"], DRIVER);
    match step {
        Step::Common(content::Step::DeleteOnStorage) => {
            prop_assert!(asked && spec["deletionPolicy"] == "Delete", "{content}");
        }
        Step::Common(content::Step::Release) => prop_assert!(asked, "{content}"),
        Step::Common(content::Step::CreateOnStorage) => {
            prop_assert!(!unbound, "{content}");
            let known = !content["status"]["volumeGroupSnapshotHandle"].is_null();
            prop_assert!(known || created, "{content}");
            let volumes = spec["source"]["volumeHandles"].as_array();
            prop_assert!(volumes.is_some_and(|it| !it.is_empty()), "{content}");
        }
        Step::Common(
            content::Step::MarkCreating
            | content::Step::AskStatus
            | content::Step::RecordStatus
            | content::Step::ClearMark
            | content::Step::RecordFailure,
        )
        | Step::RestoreList => {}
    }
    Ok(())
}

/// What the definitions would refuse is never written.
fn conforms(write: &Write) -> Result<(), TestCaseError> {
    if let Verb::Patch { body, .. } = &write.verb {
        let status = &body["status"];
        let handle = status["volumeGroupSnapshotHandle"].as_str();
        prop_assert!(handle.is_none_or(|it| !it.is_empty()), "{status}");
        let list = status["volumeSnapshotInfoList"].as_array();
        for member in list.into_iter().flatten() {
            let size = member["restoreSize"].as_i64();
            prop_assert!(size.is_none_or(|it| it >= 0), "{status}");
        }
    }
    Ok(())
}

fn hear(seen: &mut Sighting, step: content::Step, said: Option<Answer>) {
    let failure = CallFailure {
        what: "Failed".into(),
        code: "Internal".into(),
        message: "no".into(),
        busy: false,
    };
    let Some(content) = seen.content.present().cloned() else {
        return;
    };
    let (now, calls) = (seen.now, &mut seen.memory.calls);
    match (step, said) {
        (content::Step::DeleteOnStorage, Some(Answer::Fails(_))) => {
            calls.folded_failure(Outcome::DeleteFailed, failure, now, SCHEDULE, 0);
        }
        (content::Step::DeleteOnStorage, _) => calls.folded_deleted(),
        (_, Some(Answer::Says(reply))) => {
            let times = (now, Stamp(1_800_000_000));
            seen.memory
                .folded_reply(&content, reply, times, (SCHEDULE, 0));
        }
        (_, Some(Answer::Fails(outcome))) => {
            calls.folded_failure(outcome, failure, now, SCHEDULE, 0);
        }
        (_, None) => calls.folded_failure(Outcome::Uncertain, failure, now, SCHEDULE, 0),
    }
}

/// One pass, as the sidecar makes it; the steps it took.
fn pass(
    server: &mut Server,
    seen: &mut Sighting,
    answers: &mut Vec<Answer>,
) -> Result<Vec<Step>, TestCaseError> {
    let mut steps = Vec::new();
    loop {
        let Verdict::Do(step) = group_content::decide(&seen.facts()) else {
            return Ok(steps);
        };
        steps.push(step);
        prop_assert!(steps.len() <= MAX_STEPS, "never at rest: {steps:?}");
        witness(step, server.get(Kind::GroupContent, GROUP_CONTENT).unwrap())?;
        let Some(write) = group_content::render(step, seen, Stamp(1_800_000_000)) else {
            let Step::Common(call) = step else {
                return Err(TestCaseError::fail("a list comes to no write"));
            };
            seen.memory.calls.tried = seen.cause().map(Into::into);
            hear(seen, call, answers.pop());
            continue;
        };
        conforms(&write)?;
        if server.apply(&write).is_err() {
            return Ok(steps);
        }
        seen.see(row(server));
        if let Step::Common(step) = step {
            seen.memory.calls.folded(step);
        }
    }
}

#[test]
fn whatever_a_group_content_is_and_the_driver_says_it_rests_soon_and_destroys_nothing_unasked() {
    let all = (
        group_documents::group_content(),
        group_documents::group_class(),
        proptest::option::of(documents::content()),
        answers(),
    );
    let taken = RefCell::new(HashSet::new());
    check(4_000, &all, |(document, class, member, mut answers)| {
        let mut server = Server::default();
        server.put(Kind::GroupContent, document);
        let class = serde_json::from_value(class).ok();
        let class: Option<Arc<Class>> = class.map(|it| GroupClass::of(&it).0);
        let mut seen = Sighting {
            content: Seen::NotCached,
            class: None,
            driver: DRIVER.into(),
            members: members(&server, member),
            memory: Memory::default(),
            now: Time(0),
        };
        seen.see(row(&server));
        let name = seen.content.present().and_then(|it| it.class.clone());
        seen.class = name.map(|name| match &class {
            Some(class) if &*name == "gold" => Seen::Present(class.clone()),
            Some(_) | None => Seen::NotCached,
        });
        // An hour passes between two of them: whatever waits for a timer is due.
        for round in 0..10_u64 {
            seen.now = Time(round * 3_600_000);
            taken
                .borrow_mut()
                .extend(pass(&mut server, &mut seen, &mut answers)?);
        }
        Ok(())
    });
    assert_eq!(taken.into_inner().len(), 9, "the cases come to every step");
}

/// The content of the first member, under the name it would have.
fn members(server: &Server, member: Option<Value>) -> Vec<Arc<Content>> {
    let content = row(server);
    let key = content
        .present()
        .and_then(|it| Sighting::member_keys(it).next());
    let (Some(mut member), Some(key)) = (member, key) else {
        return Vec::new();
    };
    member["metadata"]["name"] = key.name.as_ref().into();
    let member = answer(Some(&member), Content::of);
    member.present().cloned().into_iter().collect()
}
