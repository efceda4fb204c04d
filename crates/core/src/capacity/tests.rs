//! Shows the decision what there may be, and reads its steps.

use super::*;

const POLL: u64 = 60_000;

fn segments(zone: &str) -> Segments {
    Segments::from([("zone".to_owned(), zone.to_owned())])
}

fn place(zone: &str) -> Place {
    Place {
        class: "late".into(),
        segments: segments(zone),
    }
}

fn room(available: u64) -> Room {
    Room {
        available,
        largest: None,
    }
}

fn published(zone: &str, available: u64) -> Published {
    let mut document = document(&place(zone), room(available), "d", "m", &json!([]));
    document["metadata"]["uid"] = "u".into();
    document["metadata"]["resourceVersion"] = "7".into();
    Published::of(&document)
}

/// One place in zone a; the driver said ten bytes a moment ago.
fn told() -> Sighting {
    let mut memory = Memory::default();
    memory.folded_answer(&place("a"), room(10), Time(0), POLL);
    Sighting {
        places: BTreeSet::from([place("a")]),
        objects: BTreeMap::from([("one".to_owned(), published("a", 10))]),
        owners: json!([]),
        memory,
        now: Time(1),
    }
}

#[test]
fn the_driver_is_asked_first_and_then_an_object_is_made() {
    let mut seen = told();
    seen.objects.clear();
    seen.memory = Memory::default();
    assert_eq!(decide(&seen), [Step::Ask(place("a"))]);
    assert_eq!(next(&seen), Some(0));
    seen.memory
        .folded_answer(&place("a"), room(10), Time(0), POLL);
    assert_eq!(decide(&seen), [Step::Create(place("a"), room(10))]);
}

#[test]
fn nothing_is_written_while_it_tells_what_is_true() {
    let seen = told();
    assert_eq!(decide(&seen), []);
    assert_eq!(next(&seen), Some(POLL - 1));
}

#[test]
fn an_object_follows_the_driver_and_its_owner() {
    let mut seen = told();
    seen.memory
        .folded_answer(&place("a"), room(9), Time(0), POLL);
    assert_eq!(decide(&seen), [Step::Update("one".to_owned(), room(9))]);
    let mut seen = told();
    seen.owners = json!([{"uid": "p"}]);
    assert_eq!(decide(&seen), [Step::Update("one".to_owned(), room(10))]);
    let mut seen = told();
    let object = seen.objects.get_mut("one").unwrap();
    object.room = object.room.map(|it| Room {
        largest: Some(3),
        ..it
    });
    assert_eq!(decide(&seen), [Step::Update("one".to_owned(), room(10))]);
}

#[test]
fn what_nobody_needs_goes() {
    let mut seen = told();
    let two = seen.objects["one"].clone();
    seen.objects.insert("two".to_owned(), two);
    assert_eq!(decide(&seen), [Step::Delete("two".to_owned())]);
    seen.places.clear();
    let both = ["one", "two"].map(|it| Step::Delete(it.to_owned()));
    assert_eq!(decide(&seen), both);
    assert_eq!(next(&seen), None);
    seen.memory.forget_all_but(&seen.places);
    assert!(seen.memory.asked.is_empty());
    let mut odd = told();
    odd.objects.get_mut("one").unwrap().place = None;
    let steps = [
        Step::Delete("one".to_owned()),
        Step::Create(place("a"), room(10)),
    ];
    assert_eq!(decide(&odd), steps);
}

#[test]
fn a_silent_driver_is_asked_later_and_its_last_word_stays() {
    let mut seen = told();
    let schedule = Schedule {
        start: 1_000,
        max: 5_000,
    };
    seen.memory
        .folded_silence(&place("a"), Time(0), schedule, 0);
    assert_eq!(decide(&seen), []);
    assert_eq!(next(&seen), Some(999));
    seen.now = Time(1_000);
    assert_eq!(decide(&seen), [Step::Ask(place("a"))]);
}

#[test]
fn a_volume_made_or_removed_is_asked_about_at_once() {
    let mut seen = told();
    seen.memory.stirred("another");
    assert_eq!(decide(&seen), []);
    seen.memory.stirred("late");
    assert_eq!(decide(&seen), [Step::Ask(place("a"))]);
}

#[test]
fn a_refused_write_is_not_tried_again_at_once() {
    let mut seen = told();
    seen.objects.clear();
    let schedule = Schedule {
        start: 1_000,
        max: 5_000,
    };
    seen.memory.writes.failed(Time(0), schedule, 0);
    assert_eq!(decide(&seen), []);
    assert_eq!(next(&seen), Some(999));
}

#[test]
fn classes_of_the_driver_that_bind_late_have_places() {
    let class = |name: &str, driver: &str, waits| {
        let mode = if waits {
            "WaitForFirstConsumer"
        } else {
            "Immediate"
        };
        let class = json!({"metadata": {"name": name}, "provisioner": driver,
            "volumeBindingMode": mode});
        StorageClass::of(&serde_json::from_value(class).unwrap())
    };
    let classes = [
        class("late", "d", true),
        class("now", "d", false),
        class("other", "e", true),
    ];
    let zones = BTreeSet::from([segments("a"), segments("b")]);
    let named = |immediate| {
        let places = places(classes.iter(), &zones, "d", immediate);
        let text = |it: Place| format!("{}-{}", it.class, it.segments["zone"]);
        places.into_iter().map(text).collect::<Vec<_>>()
    };
    assert_eq!(named(false), ["late-a", "late-b"]);
    assert_eq!(named(true), ["late-a", "late-b", "now-a", "now-b"]);
}

#[test]
fn nodes_of_one_topology_count_once() {
    let node = |name: &str, zone: Option<&str>| Node {
        name: name.to_owned(),
        keys: vec!["zone".to_owned()],
        labels: zone.map(|it| segments(it).into_iter().collect()),
    };
    let mut bare = node("n5", Some("c"));
    bare.keys.clear();
    let nodes = [
        node("n1", Some("a")),
        node("n2", Some("a")),
        node("n3", Some("b")),
        node("n4", None),
        bare,
    ];
    let found: Vec<_> = topologies(&nodes).into_iter().collect();
    assert_eq!(found, [segments("a"), segments("b")]);
}

#[test]
fn an_object_is_read_as_it_was_written() {
    let one = published("a", 10);
    assert_eq!(one.place, Some(place("a")));
    assert_eq!(one.room, Some(room(10)));
    let patch = patch(&one, room(2048), &json!([]));
    assert_eq!(patch["metadata"]["resourceVersion"], "7");
    assert_eq!(patch["capacity"], "2Ki");
    assert!(patch["maximumVolumeSize"].is_null());
    let mut odd = document(&place("a"), room(1), "d", "m", &json!([]));
    odd["nodeTopology"]["matchExpressions"] = json!([]);
    assert_eq!(Published::of(&odd).place, None);
    odd["nodeTopology"] = Value::Null;
    assert_eq!(Published::of(&odd).place, None);
}
