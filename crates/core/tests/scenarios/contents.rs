//! The driver's side: `content_create_test`, `snapshot_delete_test` and the event filter of
//! upstream's sidecar.

use std::sync::Arc;

use serde_json::{Value, json};
use tintype_api::keys;
use tintype_core::content::{self, CallFailure, Memory, Outcome, Reply, Sighting, Step};
use tintype_core::object::{Class, Content};
use tintype_core::retry::Schedule;
use tintype_core::write::Kind;
use tintype_core::{Seen, Stamp, Time, Verdict};

use crate::documents::{CONTENT, DRIVER, class, content, going, imported_content, made, with};
use crate::server::Server;

/// How the driver answers every call.
#[derive(Debug, Clone, Copy)]
enum Driver {
    Ready,
    NotReady,
    Refuses,
    NeverAnswers,
}

/// What came of a content.
struct Outcomes {
    calls: Vec<Step>,
    events: Vec<&'static str>,
    content: Value,
    waits: bool,
}

/// Passes over the content until it rests or waits.
fn play(document: Value, class: Option<Value>, driver: Driver) -> Outcomes {
    let mut server = Server::default();
    server.put(Kind::Content, document);
    let class = class.map(|it| Arc::new(Class::of(&serde_json::from_value(it).unwrap())));
    let mut seen = Sighting {
        content: Seen::NotCached,
        class: None,
        driver: DRIVER.into(),
        memory: Memory::default(),
        now: Time(0),
    };
    seen.see(row(&server));
    let named = seen.content.present().is_some_and(|it| it.class.is_some());
    seen.class = named.then(|| class.map_or(Seen::NotCached, Seen::Present));
    let mut out = Outcomes {
        calls: Vec::new(),
        events: Vec::new(),
        content: Value::Null,
        waits: false,
    };
    for _ in 0..24 {
        let step = match content::decide(&seen.facts()) {
            Verdict::Do(step) => step,
            verdict => {
                out.waits = matches!(verdict, Verdict::Wait(..));
                let left = server.get(Kind::Content, CONTENT);
                out.content = left.cloned().unwrap_or_default();
                return out;
            }
        };
        let Some(write) = content::render(step, &seen, Stamp(1_800_000_000)) else {
            out.calls.push(step);
            hear(&mut seen.memory, step, driver);
            continue;
        };
        out.events
            .extend(write.event.as_ref().map(|it| it.reason.as_str()));
        server.apply(&write).expect("nobody else writes");
        seen.see(row(&server));
        match step {
            Step::MarkCreating => seen.memory.folded_mark(),
            Step::ClearMark => seen.memory.folded_clear(),
            Step::RecordStatus => seen.memory.folded_record(),
            _ => {}
        }
    }
    panic!("never at rest: {:?}", out.calls);
}

fn row(server: &Server) -> Seen<Arc<Content>> {
    let object = server.get(Kind::Content, CONTENT);
    object.map_or(Seen::Absent, |it| {
        Seen::Present(Arc::new(Content::of(
            &serde_json::from_value(it.clone()).unwrap(),
        )))
    })
}

fn hear(memory: &mut Memory, step: Step, driver: Driver) {
    let schedule = Schedule {
        start: 1_000,
        max: 300_000,
    };
    let mut failed = |outcome| {
        let failure = CallFailure {
            what: "Failed".into(),
            code: "Internal".into(),
            message: "no".into(),
            busy: false,
        };
        memory.folded_failure(outcome, failure, Time(0), schedule, 0);
    };
    let ready = match (driver, step) {
        (Driver::Refuses | Driver::NeverAnswers, Step::DeleteOnStorage) => {
            return failed(Outcome::DeleteFailed);
        }
        (Driver::Refuses, _) => return failed(Outcome::Refused),
        (Driver::NeverAnswers, _) => return failed(Outcome::Uncertain),
        (_, Step::DeleteOnStorage) => return memory.folded_deleted(),
        (Driver::Ready, _) => true,
        (Driver::NotReady, _) => false,
    };
    let reply = Reply {
        handle: "snap-1".into(),
        creation_time: Some(1_800_000_000_000_000_000),
        size: 1_048_576,
        ready,
        group: None,
    };
    memory.folded_reply(reply, Time(0), Stamp(0), 0);
}

fn gold() -> Value {
    class("gold", json!({}))
}

fn marked(content: &Value) -> bool {
    !content["metadata"]["annotations"][keys::ANNOTATION_BEING_CREATED].is_null()
}

#[test]
fn upstreams_cases_of_making_a_content() {
    for (case, document, call) in [
        ("1-1", imported_content(json!({})), Step::AskStatus),
        ("1-2", content(json!({})), Step::CreateOnStorage),
    ] {
        let out = play(document, Some(gold()), Driver::Ready);
        assert_eq!((out.calls, out.events), (vec![call], vec![]), "{case}");
        assert_eq!(out.content["status"], made()["status"], "{case}");
        assert!(!marked(&out.content) && !out.waits, "{case}");
    }
    // Upstream gives up on an imported one whose class is missing; the class only has the secret
    // to list with, so here it is followed without.
    let out = play(imported_content(json!({})), None, Driver::Ready);
    assert_eq!(out.content["status"]["readyToUse"], true, "1-6");
    // 1-7 to 1-9: on a timer until it is ready.
    let unready = made();
    let unready = with(unready, json!({"status": {"readyToUse": false}}));
    for (case, document) in [
        ("1-7", content(json!({}))),
        ("1-8", content(unready.clone())),
    ] {
        let out = play(document, Some(gold()), Driver::NotReady);
        assert_eq!(out.content["status"]["readyToUse"], false, "{case}");
        assert!(out.waits && !marked(&out.content), "{case}");
    }
    let out = play(content(unready), Some(gold()), Driver::Ready);
    assert_eq!(out.content["status"]["readyToUse"], true, "1-9");
    assert!(!out.waits, "1-9");
    // `snapshotter_test`: what is final takes the mark off, what is transient does not.
    let out = play(content(json!({})), Some(gold()), Driver::Refuses);
    assert_eq!(out.events, ["SnapshotCreationFailed"]);
    assert!(!marked(&out.content) && out.waits);
    let out = play(content(json!({})), Some(gold()), Driver::NeverAnswers);
    assert_eq!(out.events, ["SnapshotCreationFailed"]);
    assert!(marked(&out.content) && out.waits);
    let later = json!({"status": {"readyToUse": false}});
    let out = play(content(later), Some(gold()), Driver::Refuses);
    assert_eq!(out.events, ["SnapshotContentCheckandUpdateFailed"]);
}

#[test]
fn upstreams_cases_of_removing_a_content() {
    let asked = |it: Value| with(with(it, made()), going());
    let kept = json!({"spec": {"deletionPolicy": "Retain"}});
    let classless = json!({"spec": {"volumeSnapshotClassName": null}});
    for (case, document) in [
        ("1-1, 1-11", asked(content(json!({})))),
        ("1-13", asked(imported_content(json!({})))),
        (
            "1-14",
            with(asked(imported_content(json!({}))), classless.clone()),
        ),
        ("1-15", with(asked(content(json!({}))), classless)),
    ] {
        let out = play(document, None, Driver::Ready);
        assert_eq!(out.calls, [Step::DeleteOnStorage], "{case}");
        assert_eq!(out.content, Value::Null, "{case}");
    }
    for (case, document) in [
        ("1-2, 1-8, 1-10", asked(content(kept.clone()))),
        ("1-12", asked(imported_content(kept))),
        (
            "1-17",
            with(
                asked(content(json!({}))),
                json!({"status": {"volumeGroupSnapshotHandle": "group-1"}}),
            ),
        ),
    ] {
        let out = play(document, Some(gold()), Driver::Ready);
        assert_eq!(out.calls, [], "{case}");
        assert_eq!(out.content, Value::Null, "{case}");
    }
    for driver in [Driver::Refuses, Driver::NeverAnswers] {
        let out = play(asked(content(json!({}))), Some(gold()), driver);
        assert_eq!(out.events, ["SnapshotDeleteError"], "1-3, 1-5");
        let finalizers = &out.content["metadata"]["finalizers"];
        assert_eq!(*finalizers, json!([keys::FINALIZER_CONTENT]), "1-3, 1-5");
        assert!(out.waits, "1-3, 1-5");
    }
    // A class whose parameters cannot be used is in nobody's way.
    let odd = class(
        "gold",
        json!({"parameters": {"csi.storage.k8s.io/odd": "1"}}),
    );
    let out = play(asked(content(json!({}))), Some(odd), Driver::Ready);
    assert_eq!(out.content, Value::Null, "1-4");
    should_delete();
}

/// `shouldDelete`: what has to be there before anything is taken away.
fn should_delete() {
    let deleting = json!({"metadata": {"deletionTimestamp": "2027-01-15T08:00:00Z"}});
    let mark = json!({"metadata": {"annotations": {keys::ANNOTATION_BEING_DELETED: "yes"}}});
    let unbound = json!({"spec": {"volumeSnapshotRef": {"uid": null}}});
    let whole = || with(content(json!({})), made());
    for (case, document, goes) in [
        ("no timestamp", with(whole(), mark), false),
        ("neither mark", with(whole(), deleting.clone()), false),
        (
            "1-7, deleted by hand while bound",
            with(with(imported_content(json!({})), made()), deleting.clone()),
            false,
        ),
        (
            "an import nobody ever bound",
            with(
                with(with(imported_content(json!({})), made()), unbound),
                deleting,
            ),
            true,
        ),
        ("the mark", with(whole(), going()), true),
    ] {
        let out = play(document, Some(gold()), Driver::Ready);
        assert_eq!(out.content.is_null(), goes, "{case}");
        assert_eq!(out.calls.contains(&Step::DeleteOnStorage), goes, "{case}");
    }
}

/// What is wrong with a content is said on it, once, in an event of upstream's name.
#[test]
fn what_is_wrong_with_a_content_is_said_on_it_once() {
    for (case, patch, word) in [
        ("neither", json!({"volumeHandle": null}), "neither"),
        ("both", json!({"snapshotHandle": "snap-1"}), "both"),
        ("empty", json!({"volumeHandle": ""}), "is empty"),
        (
            "empty handle",
            json!({"volumeHandle": null, "snapshotHandle": ""}),
            "is empty",
        ),
    ] {
        let out = play(
            content(json!({"spec": {"source": patch}})),
            Some(gold()),
            Driver::Ready,
        );
        assert_eq!(out.events, ["ContentValidationError"], "{case}");
        let message = out.content["status"]["error"]["message"].as_str().unwrap();
        assert!(
            message.contains(word) && message.contains("anew"),
            "{message}"
        );
        assert!(out.calls.is_empty(), "{case}");
        let again = play(out.content, Some(gold()), Driver::Ready);
        assert!(again.events.is_empty(), "{case}");
    }
    let unbound = json!({"spec": {"volumeSnapshotRef": {"uid": null}}});
    let out = play(content(unbound), Some(gold()), Driver::Ready);
    assert_eq!(out.events, ["ContentValidationError"]);
    assert!(out.calls.is_empty());
}
