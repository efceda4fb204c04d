//! Objects that tell of room, of any shape and in any number: what stays in the end is one for each
//! place that needs one, telling what the driver said.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::{btree_map, btree_set};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use tintype_core::Time;
use tintype_core::capacity::{
    Memory, Place, Published, Room, Sighting, Step, decide, document, next, patch,
};
use tintype_core::retry::Schedule;
use tintype_core::topology::Segments;

use crate::documents::{anything, check};

const POLL: u64 = 60_000;
/// More rounds than it takes to ask, delete, create and update.
const ROUNDS: usize = 6;

fn place(class: &str, zone: &str) -> Place {
    Place {
        class: class.into(),
        segments: Segments::from([("zone".to_owned(), zone.to_owned())]),
    }
}

fn places() -> impl Strategy<Value = Place> {
    (select(&["late", "slow"][..]), select(&["a", "b", ""][..]))
        .prop_map(|(class, zone)| place(class, zone))
}

fn owners() -> Value {
    json!([{"kind": "Pod", "uid": "p"}])
}

fn room(available: u64) -> Room {
    Room {
        available,
        largest: None,
    }
}

/// As somebody left it: one of ours, of whatever age, or anything.
fn objects() -> impl Strategy<Value = Value> {
    let ours = (places(), any::<u64>(), any::<bool>()).prop_map(|(place, available, owned)| {
        let owners = if owned { owners() } else { json!([]) };
        document(&place, room(available), "d", "m", &owners)
    });
    let odd = (anything(), anything(), anything()).prop_map(|(topology, class, capacity)| {
        json!({"metadata": {"uid": "u"}, "nodeTopology": topology,
            "storageClassName": class, "capacity": capacity})
    });
    prop_oneof![3 => ours, 1 => odd, 1 => anything()]
}

/// The server and the driver do what one step asks for.
fn apply(seen: &mut Sighting, step: Step, names: &mut u32) {
    match step {
        Step::Ask(place) => {
            let said = room(u64::from(place.segments["zone"] == "a") + 1);
            seen.memory.folded_answer(&place, said, seen.now, POLL);
        }
        Step::Create(place, room) => {
            *names += 1;
            let made = document(&place, room, "d", "m", &seen.owners);
            let name = format!("made-{names}");
            seen.objects.insert(name, Published::of(&made));
        }
        Step::Update(name, room) => {
            let object = seen
                .objects
                .get_mut(&name)
                .expect("it updates what is there");
            let change = patch(object, room, &seen.owners);
            let place = object.place.clone().expect("it keeps what it can read");
            let mut made = document(
                &place,
                room,
                "d",
                "m",
                &change["metadata"]["ownerReferences"],
            );
            made["capacity"] = change["capacity"].clone();
            *object = Published::of(&made);
        }
        Step::Delete(name) => {
            seen.objects
                .remove(&name)
                .expect("it deletes what is there");
        }
    }
}

#[test]
fn whatever_objects_there_are_one_tells_the_truth_of_each_place() {
    let all = (
        btree_set(places(), 0..5),
        btree_map("[a-c]{1,2}", objects(), 0..8),
        any::<bool>(),
    );
    check(2_000, &all, |(places, objects, silent)| {
        let objects: BTreeMap<_, _> = objects.iter().collect();
        let objects = objects.into_iter();
        let mut seen = Sighting {
            places,
            objects: objects
                .map(|(name, it)| (name.clone(), Published::of(it)))
                .collect(),
            owners: owners(),
            memory: Memory::default(),
            now: Time(1),
        };
        if silent && let Some(place) = seen.places.first() {
            // One the driver does not speak of: nothing is told of it that nobody said.
            let schedule = Schedule { start: 9, max: 9 };
            seen.memory.folded_silence(place, Time(0), schedule, 0);
            seen.memory.folded_silence(place, Time(1), schedule, 0);
        }
        let mut names = 0;
        for _ in 0..ROUNDS {
            for step in decide(&seen) {
                apply(&mut seen, step, &mut names);
            }
        }
        prop_assert_eq!(decide(&seen), []);
        prop_assert_eq!(next(&seen).is_none(), seen.places.is_empty());
        let mut told = BTreeSet::new();
        for object in seen.objects.values() {
            let place = object.place.clone().expect("it keeps what it can read");
            let said = seen.memory.asked.get(&place).and_then(|it| it.room);
            prop_assert!(said.is_none() || object.room == said);
            prop_assert!(told.insert(place), "two for one place");
        }
        prop_assert!(told.is_subset(&seen.places));
        let spoken = |it: &&Place| {
            seen.memory
                .asked
                .get(it)
                .is_some_and(|it| it.room.is_some())
        };
        prop_assert!(
            seen.places
                .iter()
                .filter(spoken)
                .all(|it| told.contains(it))
        );
        Ok(())
    });
}
