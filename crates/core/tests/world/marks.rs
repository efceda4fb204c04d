//! A small world of one object that becomes invalid, valid, goes and comes back, and of two replicas that label it at the
//! same time: visits every state and asks whether the label was ever written wrongly, twice, or not at all.
//!
//! Everything is read from and rendered to real documents. A cache is as far behind as it likes.

use std::sync::Arc;

use serde_json::{Value, json};
use tintype_api::keys;
use tintype_core::mark::{self, Marked};
use tintype_core::write::{Kind, Part, Verb, Write};
use tintype_core::{Seen, Verdict};

use super::explore::{self, holds};

/// Somebody else's label.
const OTHER: &str = "team";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Object {
    version: u8,
    invalid: bool,
    labelled: bool,
    deleting: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct World {
    kind: Kind,
    object: Option<Object>,
    /// The version of the next write.
    next: u8,
    /// What each replica sees.
    sees: [Seen<Object>; 2],
    /// The label was written, and nothing has changed since.
    settled: bool,
    /// What users, faults and crashes may still do.
    changes: u8,
    faults: u8,
    crashes: u8,
    harm: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
    /// Somebody makes it invalid, or valid.
    Edited,
    /// Somebody puts the label on by hand, or takes it off.
    LabelledByHand,
    Deleted,
    /// The last finalizer goes.
    Gone,
    /// Another of the same name.
    MadeAnew,
    /// The replica's watch has told everything.
    Told(usize),
    /// The replica begins anew, with empty caches.
    Dies(usize),
    /// The replica does what it wants to do.
    Works(usize),
    /// It does, and never hears of it.
    ReplyLost(usize),
}

const MOVES: [Move; 13] = [
    Move::Edited,
    Move::LabelledByHand,
    Move::Deleted,
    Move::Gone,
    Move::MadeAnew,
    Move::Told(0),
    Move::Told(1),
    Move::Dies(0),
    Move::Dies(1),
    Move::Works(0),
    Move::Works(1),
    Move::ReplyLost(0),
    Move::ReplyLost(1),
];

const fn label(kind: Kind) -> &'static str {
    match kind {
        Kind::Content => keys::LABEL_INVALID_CONTENT,
        _ => keys::LABEL_INVALID_SNAPSHOT,
    }
}

/// The object as a server has it, read as the controller reads it.
fn read(kind: Kind, it: Object) -> Arc<Marked> {
    let mut labels = json!({ OTHER: "a" });
    if it.labelled {
        labels[label(kind)] = "".into();
    }
    let mut metadata =
        json!({"name": "o", "labels": labels, "resourceVersion": it.version.to_string()});
    if it.deleting {
        metadata["deletionTimestamp"] = "2026-01-31T12:00:00Z".into();
    }
    let marked = if kind == Kind::Content {
        let name = if it.invalid { "" } else { "s" };
        let spec = json!({"driver": "d", "deletionPolicy": "Delete", "source": {"volumeHandle": "v"},
            "volumeSnapshotRef": {"name": name, "namespace": "n"}});
        let document = json!({"metadata": metadata, "spec": spec});
        Marked::of_content(&serde_json::from_value(document).unwrap())
    } else {
        let mut spec = json!({"source": {"persistentVolumeClaimName": "c"}});
        if it.invalid {
            spec["volumeSnapshotClassName"] = "".into();
        }
        let document = json!({"metadata": metadata, "spec": spec});
        Marked::of_snapshot(&serde_json::from_value(document).unwrap())
    };
    Arc::new(marked)
}

impl World {
    const fn new(kind: Kind) -> Self {
        let object = Object {
            version: 1,
            invalid: false,
            labelled: false,
            deleting: false,
        };
        Self {
            kind,
            object: Some(object),
            next: 2,
            sees: [Seen::Unknown; 2],
            settled: false,
            changes: 4,
            faults: 1,
            crashes: 1,
            harm: None,
        }
    }

    /// What is there now, as a watch tells it.
    fn now(&self) -> Seen<Object> {
        self.object.map_or(Seen::NotCached, Seen::Present)
    }

    fn put(&mut self, change: impl FnOnce(&mut Object)) -> Option<()> {
        let object = self.object.as_mut()?;
        change(object);
        object.version = self.next;
        self.next += 1;
        Some(())
    }

    fn user(&mut self, change: impl FnOnce(&mut Object)) -> Option<()> {
        self.changes = self.changes.checked_sub(1)?;
        self.settled = false;
        self.put(change)
    }

    /// One step of a replica; whether it was heard of what came of it.
    fn works(mut self, at: usize, heard: bool) -> Option<Self> {
        let seen = self.sees[at].map(|it| read(self.kind, it));
        let Verdict::Do(step) = mark::decide(mark::facts(&seen)) else {
            return None;
        };
        let write = mark::render(step, self.kind, label(self.kind), &seen)?;
        if !heard {
            self.faults = self.faults.checked_sub(1)?;
        }
        if self.takes(&write) {
            self.written(&write);
            if heard {
                self.sees[at] = self.now();
            }
            return Some(self);
        }
        // A conflict: news is coming.
        None
    }

    /// The object is there, and in the version the write is for.
    fn takes(&self, write: &Write) -> bool {
        let Verb::Patch { body, .. } = &write.verb else {
            return true;
        };
        let wanted = &body["metadata"]["resourceVersion"];
        self.object.is_some_and(|it| {
            let version = it.version.to_string();
            wanted.is_null() || wanted.as_str() == Some(&version)
        })
    }

    fn written(&mut self, write: &Write) {
        let Some(puts) = puts(self.kind, write) else {
            self.harm = Some("something else than the label is written");
            return;
        };
        let before = self.object;
        self.put(|it| it.labelled = puts);
        self.harm = self.harm.or(match before {
            Some(it) if it.deleting => Some("an object that goes is written to"),
            Some(it) if it.invalid != puts => Some("the label says what is not so"),
            Some(it) if it.labelled == puts => Some("a write changes nothing"),
            _ if self.settled => Some("the label is written again though nothing changed"),
            _ => None,
        });
        self.settled = true;
    }
}

/// Whether the write puts the label on or takes it off; none if it does anything else.
fn puts(kind: Kind, write: &Write) -> Option<bool> {
    let Verb::Patch {
        part: Part::Object,
        body,
    } = &write.verb
    else {
        return None;
    };
    let metadata = body
        .as_object()
        .filter(|it| it.len() == 1)?
        .get("metadata")?;
    let mut fields = metadata.as_object()?.clone();
    fields.remove("resourceVersion");
    let labels = fields.remove("labels")?;
    let labels = labels.as_object().filter(|it| it.len() == 1)?;
    let value = labels.get(label(kind)).filter(|_| fields.is_empty())?;
    let fits = write.kind == kind && write.event.is_none() && *write.key.name == *"o";
    (fits && (value.is_null() || value == "")).then_some(*value != Value::Null)
}

impl explore::World for World {
    type Move = Move;

    fn play(mut self, step: Move) -> Option<Self> {
        let before = self;
        match step {
            Move::Edited => self.user(|it| it.invalid = !it.invalid)?,
            Move::LabelledByHand => self.user(|it| it.labelled = !it.labelled)?,
            Move::Deleted => {
                self.object.filter(|it| !it.deleting)?;
                self.user(|it| it.deleting = true)?;
            }
            Move::Gone => {
                self.object.filter(|it| it.deleting)?;
                self.object = None;
            }
            Move::MadeAnew => {
                self.changes = self.changes.checked_sub(1)?;
                if self.object.is_some() {
                    return None;
                }
                self.object = Self::new(self.kind).object;
                self.settled = false;
                self.put(|_| {})?;
            }
            Move::Told(at) => self.sees[at] = self.now(),
            Move::Dies(at) => {
                self.crashes = self.crashes.checked_sub(1)?;
                self.sees[at] = Seen::Unknown;
            }
            Move::Works(at) => return self.works(at, true),
            Move::ReplyLost(at) => return self.works(at, false),
        }
        (self != before).then_some(self)
    }

    fn broken(&self) -> Option<&'static str> {
        self.harm
    }

    fn alone(self) -> Option<(Move, Self)> {
        [Move::Told(0), Move::Told(1), Move::Works(0), Move::Works(1)]
            .into_iter()
            .find_map(|step| Some((step, self.play(step)?)))
    }

    fn wrong_at_rest(&self) -> Option<&'static str> {
        let it = self.object.filter(|it| !it.deleting)?;
        (it.invalid != it.labelled).then_some("at rest the label says what is not so")
    }
}

#[test]
fn two_replicas_label_what_is_invalid_once_and_nothing_else() {
    for kind in [Kind::Snapshot, Kind::Content] {
        holds(&format!("labels, {kind:?}"), World::new(kind), &MOVES);
    }
}
