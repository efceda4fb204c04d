//! Decides which `CSIStorageCapacity` objects a provisioner keeps, and what has to be done for that.
//!
//! One object says how much room the driver has for one storage class on the nodes of one topology;
//! the scheduler reads it before it places a pod whose volume is made late. Does not know how the
//! driver is asked, nor whose the objects are.
//!
//! **Guarantees.** Objects that nobody needs go: of a class or a topology that is gone, or a second
//! for the same. What is told was said by the driver; an object is written only to tell something
//! else than it does.
//!
//! **Assumptions.** No other program keeps objects under the same two labels: the caller shows only
//! such objects.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tintype_api::{keys, quantity};

use crate::object::{StorageClass, Uid, Version};
use crate::retry::{Backoff, Schedule};
use crate::topology::{self, Node, Segments};
use crate::{Time, claim};

/// What one object is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Name of the storage class.
    pub class: Box<str>,
    /// Labels of the nodes that reach the storage; none: all nodes.
    pub segments: Segments,
}

/// What the driver said of a place (`GetCapacity`), in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Room {
    /// `available_capacity`.
    pub available: u64,
    /// `maximum_volume_size`.
    pub largest: Option<u64>,
}

/// An object as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// `metadata.uid`.
    pub uid: Uid,
    /// `metadata.resourceVersion`.
    pub version: Version,
    /// What it is about; none if its node selector is none that we write.
    pub place: Option<Place>,
    /// What it tells; none if it cannot be read.
    pub room: Option<Room>,
    /// `metadata.ownerReferences`.
    pub owners: Value,
}

/// What is remembered of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// The driver's last answer.
    pub room: Option<Room>,
    /// When it is asked again.
    pub again: Backoff,
}

/// What is remembered.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// By place.
    pub asked: BTreeMap<Place, Asked>,
    /// When something may be written again.
    pub writes: Backoff,
}

/// What the shell gathered.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// Places there should be an object for.
    pub places: BTreeSet<Place>,
    /// Objects there are, by name.
    pub objects: BTreeMap<String, Published>,
    /// `metadata.ownerReferences` they should have.
    pub owners: Value,
    /// What this process remembers.
    pub memory: Memory,
    /// Now.
    pub now: Time,
}

/// One call to the driver, or one write. Those of one decision are independent of each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Call `GetCapacity`.
    Ask(Place),
    /// Create the object of this place.
    Create(Place, Room),
    /// Tell something else in the object of this name.
    Update(String, Room),
    /// Delete the object of this name.
    Delete(String),
}

/// Which places need an object: each class of the driver in each topology.
///
/// Classes that bind at once only if `immediate` (`--capacity-for-immediate-binding`): no scheduler
/// asks for theirs.
pub fn places<'a>(
    classes: impl Iterator<Item = &'a StorageClass>,
    topologies: &BTreeSet<Segments>,
    driver: &str,
    immediate: bool,
) -> BTreeSet<Place> {
    let classes = classes.filter(|it| *it.provisioner == *driver && (it.waits || immediate));
    classes
        .flat_map(|class| {
            topologies.iter().map(|segments| Place {
                class: (&*class.meta.key.name).into(),
                segments: segments.clone(),
            })
        })
        .collect()
}

/// The topologies the driver has registered, each once.
pub fn topologies(nodes: &[Node]) -> BTreeSet<Segments> {
    nodes.iter().filter_map(topology::of).collect()
}

/// Everything that can be done now.
pub fn decide(seen: &Sighting) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut kept: BTreeMap<&Place, (&String, &Published)> = BTreeMap::new();
    let may_write = seen.memory.writes.due(seen.now);
    for (name, object) in &seen.objects {
        let needed = object.place.as_ref().filter(|it| seen.places.contains(it));
        match needed {
            Some(place) if !kept.contains_key(place) => {
                kept.insert(place, (name, object));
            }
            Some(_) | None if may_write => steps.push(Step::Delete(name.clone())),
            Some(_) | None => {}
        }
    }
    for place in &seen.places {
        let asked = seen.memory.asked.get(place).copied().unwrap_or_default();
        if asked.again.due(seen.now) {
            steps.push(Step::Ask(place.clone()));
            continue;
        }
        let Some(room) = asked.room.filter(|_| may_write) else {
            continue;
        };
        match kept.get(place) {
            None => steps.push(Step::Create(place.clone(), room)),
            Some((_, object)) if object.room == Some(room) && object.owners == seen.owners => {}
            Some((name, _)) => steps.push(Step::Update((*name).clone(), room)),
        }
    }
    steps
}

/// Milliseconds until there may be something to do though nothing changes; none if never.
pub fn next(seen: &Sighting) -> Option<u64> {
    let asked = |place| seen.memory.asked.get(place).copied().unwrap_or_default();
    let places = seen.places.iter();
    let again = places.map(|it| asked(it).again.remaining(seen.now));
    let writes = Some(seen.memory.writes.remaining(seen.now)).filter(|it| *it > 0);
    again.chain(writes).min()
}

impl Memory {
    /// The driver answered; it is asked again after `poll` milliseconds.
    pub fn folded_answer(&mut self, place: &Place, room: Room, now: Time, poll: u64) {
        let asked = self.asked.entry(place.clone()).or_default();
        asked.room = Some(room);
        asked.again.succeeded();
        asked.again.later(now, poll, 0);
    }

    /// The driver did not say: what it said before stays told.
    pub fn folded_silence(&mut self, place: &Place, now: Time, schedule: Schedule, dice: u8) {
        let asked = self.asked.entry(place.clone()).or_default();
        asked.again.failed(now, schedule, dice);
    }

    /// A volume of this class was made or removed: the driver is asked at once.
    pub fn stirred(&mut self, class: &str) {
        for (place, asked) in &mut self.asked {
            if *place.class == *class {
                asked.again.encouraged();
            }
        }
    }

    /// Places nobody needs are forgotten.
    pub fn forget_all_but(&mut self, places: &BTreeSet<Place>) {
        self.asked.retain(|place, _| places.contains(place));
    }
}

impl Published {
    /// Reads an object.
    pub fn of(document: &Value) -> Self {
        let size = |field: &str| document[field].as_str().and_then(quantity::parse_bytes);
        let metadata = &document["metadata"];
        let text = |field: &str| metadata[field].as_str().unwrap_or_default();
        Self {
            uid: Uid::parse(text("uid")),
            version: Version::parse(text("resourceVersion")),
            place: place_of(document),
            room: size("capacity").map(|available| Room {
                available,
                largest: size("maximumVolumeSize"),
            }),
            owners: metadata["ownerReferences"]
                .as_array()
                .map_or_else(|| json!([]), |it| it.clone().into()),
        }
    }
}

fn place_of(document: &Value) -> Option<Place> {
    let selector = document["nodeTopology"].as_object()?;
    let segments = match selector.get("matchLabels") {
        None => Segments::new(),
        Some(labels) => {
            let labels = labels.as_object()?.iter();
            let pair = |(key, value): (&String, &Value)| {
                let value = value.as_str()?.to_owned();
                Some((key.clone(), value))
            };
            labels.map(pair).collect::<Option<_>>()?
        }
    };
    let plain = selector.keys().all(|it| it == "matchLabels");
    plain.then_some(Place {
        class: document["storageClassName"].as_str()?.into(),
        segments,
    })
}

/// The document of a new object; `manager` is the value of the label that tells whose it is.
pub fn document(place: &Place, room: Room, driver: &str, manager: &str, owners: &Value) -> Value {
    let mut document = json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSIStorageCapacity",
        "metadata": {
            "generateName": "csisc-",
            "labels": {keys::LABEL_CAPACITY_DRIVER: driver, keys::LABEL_CAPACITY_MANAGER: manager},
        },
        "storageClassName": place.class,
        "nodeTopology": {"matchLabels": place.segments},
        "capacity": quantity::print_bytes(room.available),
    });
    if owners.as_array().is_some_and(|it| !it.is_empty()) {
        document["metadata"]["ownerReferences"] = owners.clone();
    }
    if let Some(largest) = room.largest {
        document["maximumVolumeSize"] = quantity::print_bytes(largest).into();
    }
    document
}

/// The merge patch that makes an object tell this; refused if it is not what was seen.
pub fn patch(object: &Published, room: Room, owners: &Value) -> Value {
    json!({
        "metadata": {
            "resourceVersion": object.version.to_string(),
            "ownerReferences": owners,
        },
        "capacity": quantity::print_bytes(room.available),
        "maximumVolumeSize": room.largest.map(quantity::print_bytes),
    })
}

/// Parameters of a class as `GetCapacity` gets them; `Err` names a reserved key nobody knows.
pub fn parameters(class: &StorageClass) -> Result<BTreeMap<String, String>, String> {
    claim::parameters_for_driver(class)
}

#[cfg(test)]
mod tests;
