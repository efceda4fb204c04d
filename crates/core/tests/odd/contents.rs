//! The driver's side: contents of any shape, and a driver that answers anything.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;
use tintype_api::keys;
use tintype_core::content::{self, CallFailure, Memory, Outcome, Reply, Sighting, Step};
use tintype_core::object::{Class, Content};
use tintype_core::retry::Schedule;
use tintype_core::write::{Kind, Verb, Write};
use tintype_core::{Seen, Stamp, Time, Verdict};

use crate::MAX_STEPS;
use crate::documents::{self, CONTENT, DRIVER, check};
use crate::server::Server;

const SCHEDULE: Schedule = Schedule {
    start: 1_000,
    max: 300_000,
};

/// What the driver may come up with. Answers without a handle never get here: the client takes
/// them for what they are, no answer.
#[derive(Debug, Clone)]
enum Answer {
    Says(Reply),
    Fails(Outcome),
}

fn answers() -> impl Strategy<Value = Vec<Answer>> {
    let nanos = prop_oneof![Just(0), Just(i64::MIN), Just(i64::MAX), any::<i64>()];
    let size = prop_oneof![Just(0), Just(-1), Just(i64::MAX), any::<i64>()];
    let says = (
        select(&["snap-1", "another", "é\n"][..]),
        proptest::option::of(nanos),
        size,
        any::<bool>(),
        proptest::option::of(Just("group-1".into())),
    )
        .prop_map(|(handle, creation_time, size, ready, group)| {
            Answer::Says(Reply {
                handle: handle.into(),
                creation_time,
                size,
                ready,
                group,
            })
        });
    let fails = select(&[Outcome::Refused, Outcome::Uncertain, Outcome::NotCalled][..]);
    vec(prop_oneof![says, fails.prop_map(Answer::Fails)], 8)
}

fn row(server: &Server) -> Seen<Arc<Content>> {
    let object = server.get(Kind::Content, CONTENT);
    let read = object.map(|it| serde_json::from_value(it.clone()));
    match read {
        None => Seen::Absent,
        Some(Ok(object)) => Seen::Present(Arc::new(Content::of(&object))),
        Some(Err(_)) => Seen::NotCached,
    }
}

/// Nothing is done to storage, and no content let go, that nobody asked for.
fn witness(step: Step, content: &Value) -> Result<(), TestCaseError> {
    let annotations = &content["metadata"]["annotations"];
    let deleting = !content["metadata"]["deletionTimestamp"].is_null();
    let spec = &content["spec"];
    let unbound = spec["volumeSnapshotRef"]["uid"]
        .as_str()
        .is_none_or(str::is_empty);
    let marked = |key: &str| annotations.get(key).is_some();
    let asked = deleting
        && ((!spec["source"]["snapshotHandle"].is_null() && unbound)
            || (marked(keys::ANNOTATION_BEING_DELETED) && !marked(keys::ANNOTATION_BEING_CREATED)));
    prop_assert_eq!(&spec["driver"], DRIVER);
    match step {
        Step::DeleteOnStorage => {
            prop_assert!(asked && spec["deletionPolicy"] == "Delete", "{content}");
        }
        Step::Release => prop_assert!(asked, "{content}"),
        Step::CreateOnStorage => {
            prop_assert!(!unbound, "{content}");
            let known = !content["status"]["snapshotHandle"].is_null();
            prop_assert!(known || marked(keys::ANNOTATION_BEING_CREATED), "{content}");
            let handle = spec["source"]["volumeHandle"].as_str();
            prop_assert!(handle.is_some_and(|it| !it.is_empty()), "{content}");
        }
        Step::MarkCreating
        | Step::AskStatus
        | Step::RecordStatus
        | Step::ClearMark
        | Step::RecordFailure => {}
    }
    Ok(())
}

/// What the definitions would refuse is never written.
fn conforms(write: &Write) -> Result<(), TestCaseError> {
    if let Verb::Patch { body, .. } = &write.verb {
        let status = &body["status"];
        prop_assert!(
            status["restoreSize"].as_i64().is_none_or(|it| it >= 0),
            "{status}"
        );
        let handle = status["snapshotHandle"].as_str();
        prop_assert!(handle.is_none_or(|it| !it.is_empty()), "{status}");
    }
    Ok(())
}

fn hear(memory: &mut Memory, step: Step, answer: Option<Answer>, now: Time) {
    let failure = CallFailure {
        what: "Failed".into(),
        code: "Internal".into(),
        message: "no".into(),
        busy: false,
    };
    match (step, answer) {
        (Step::DeleteOnStorage, Some(Answer::Fails(_))) => {
            memory.folded_failure(Outcome::DeleteFailed, failure, now, SCHEDULE, 0);
        }
        (Step::DeleteOnStorage, _) => memory.folded_deleted(),
        (_, Some(Answer::Says(reply))) => memory.folded_reply(reply, now, Stamp(1_800_000_000), 0),
        (_, Some(Answer::Fails(outcome))) => {
            memory.folded_failure(outcome, failure, now, SCHEDULE, 0);
        }
        (_, None) => memory.folded_failure(Outcome::Uncertain, failure, now, SCHEDULE, 0),
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
        let Verdict::Do(step) = content::decide(&seen.facts()) else {
            return Ok(steps);
        };
        steps.push(step);
        prop_assert!(steps.len() <= MAX_STEPS, "never at rest: {steps:?}");
        witness(step, server.get(Kind::Content, CONTENT).unwrap())?;
        let Some(write) = content::render(step, seen, Stamp(1_800_000_000)) else {
            let calls = [
                Step::CreateOnStorage,
                Step::AskStatus,
                Step::DeleteOnStorage,
            ];
            prop_assert!(calls.contains(&step), "{step:?} comes to no write");
            seen.memory.tried = seen.cause().map(Into::into);
            hear(&mut seen.memory, step, answers.pop(), seen.now);
            continue;
        };
        conforms(&write)?;
        if server.apply(&write).is_err() {
            return Ok(steps);
        }
        seen.see(row(server));
        match step {
            Step::MarkCreating => seen.memory.folded_mark(),
            Step::ClearMark => seen.memory.folded_clear(),
            Step::RecordStatus => seen.memory.folded_record(),
            Step::RecordFailure
            | Step::Release
            | Step::CreateOnStorage
            | Step::AskStatus
            | Step::DeleteOnStorage => {}
        }
    }
}

#[test]
fn whatever_a_content_is_and_the_driver_says_it_rests_soon_and_destroys_nothing_unasked() {
    let all = (documents::content(), documents::class(), answers());
    let taken = RefCell::new(HashSet::new());
    check(4_000, &all, |(document, class, mut answers)| {
        let mut server = Server::default();
        server.put(Kind::Content, document);
        let class = serde_json::from_value(class).ok();
        let class: Option<Arc<Class>> = class.map(|it| Arc::new(Class::of(&it)));
        let mut seen = Sighting {
            content: Seen::NotCached,
            class: None,
            driver: DRIVER.into(),
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
    assert_eq!(taken.into_inner().len(), 8, "the cases come to every step");
}
