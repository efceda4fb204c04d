//! Decides what is wrong with an object of the snapshot kinds before it is stored, as upstream's validation webhook did
//! at its fullest (3.0 to 7.x).
//!
//! The definitions' own rules say most of it since 8.0; what they cannot say is an empty name or namespace in a
//! reference, and a second default class of one driver.
//!
//! **Guarantees.** An update is never refused for what was wrong before it (ratcheting): finalizers of an object that an
//! older server let in can always be removed. What is wrong is told with the field, its value and what to do.
//!
//! Documents are plain JSON: what a server hands over is judged as it stands, fields of other types than expected
//! included. Does not know who asks.

mod complaint;
#[cfg(test)]
mod tests;

use serde_json::Value;
use tintype_api::keys;

pub use complaint::{Complaint, Problem};

/// The kinds that are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `VolumeSnapshot`.
    Snapshot,
    /// `VolumeSnapshotContent`.
    Content,
    /// `VolumeSnapshotClass`.
    Class,
    /// `VolumeGroupSnapshot`.
    Group,
    /// `VolumeGroupSnapshotContent`.
    GroupContent,
    /// `VolumeGroupSnapshotClass`.
    GroupClass,
}

/// What can be turned off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rules {
    /// `spec.sourceVolumeMode` of a content cannot change (`--prevent-volume-mode-conversion`).
    pub mode_is_fixed: bool,
}

/// Two fields of which exactly one must be set, and never another.
struct Source {
    field: &'static str,
    either: [&'static str; 2],
}

impl Kind {
    const fn source(self) -> Option<Source> {
        let either = match self {
            Self::Snapshot => ["persistentVolumeClaimName", "volumeSnapshotContentName"],
            Self::Content => ["volumeHandle", "snapshotHandle"],
            Self::Group => ["selector", "volumeGroupSnapshotContentName"],
            Self::GroupContent => ["volumeHandles", "groupSnapshotHandles"],
            Self::Class | Self::GroupClass => return None,
        };
        Some(Source {
            field: "spec.source",
            either,
        })
    }

    const fn class_name(self) -> Option<&'static str> {
        match self {
            Self::Snapshot => Some("spec.volumeSnapshotClassName"),
            Self::Group => Some("spec.volumeGroupSnapshotClassName"),
            // Empty in a content means none, and is written so.
            Self::Content | Self::GroupContent | Self::Class | Self::GroupClass => None,
        }
    }

    const fn reference(self) -> Option<&'static str> {
        match self {
            Self::Content => Some("spec.volumeSnapshotRef"),
            Self::GroupContent => Some("spec.volumeGroupSnapshotRef"),
            Self::Snapshot | Self::Group | Self::Class | Self::GroupClass => None,
        }
    }

    const fn default_mark(self) -> Option<&'static str> {
        match self {
            Self::Class => Some(keys::ANNOTATION_DEFAULT_CLASS),
            Self::GroupClass => Some(keys::ANNOTATION_DEFAULT_GROUP_CLASS),
            Self::Snapshot | Self::Content | Self::Group | Self::GroupContent => None,
        }
    }
}

/// What is wrong with an object that is made, or with a change of one.
pub fn complaints(kind: Kind, object: &Value, old: Option<&Value>, rules: Rules) -> Vec<Complaint> {
    let mut found = invalid(kind, object);
    if let Some(old) = old {
        let before = invalid(kind, old);
        found.retain(|it| !before.iter().any(|was| was.is_same_as(it)));
        // With no source, or two, there is nothing to hold on to; to change it is the cure.
        let broken = before.iter().any(|it| it.field.starts_with("spec.source"));
        found.extend(changes(kind, object, old, rules, broken));
    }
    found
}

/// What is wrong with an object whatever it was before.
pub fn invalid(kind: Kind, object: &Value) -> Vec<Complaint> {
    let mut found = Vec::new();
    if let Some(Source { field, either }) = kind.source() {
        let set = either.map(|it| set(object, &format!("{field}.{it}")));
        let problem = match set {
            [Some(_), Some(_)] => Some(Problem::Both(either)),
            [None, None] => Some(Problem::Neither(either)),
            [Some(_), None] | [None, Some(_)] => None,
        };
        found.extend(problem.map(|it| Complaint::of(object, field, it)));
    }
    if let Some(field) = kind.class_name()
        && set(object, field).is_some_and(|it| it == "")
    {
        found.push(Complaint::of(object, field, Problem::EmptyClass));
    }
    for part in kind
        .reference()
        .map(|it| ["name", "namespace"].map(|part| format!("{it}.{part}")))
        .into_iter()
        .flatten()
    {
        if set(object, &part).is_none_or(|it| it == "") {
            found.push(Complaint::of(object, &part, Problem::NoReference));
        }
    }
    found
}

fn changes(kind: Kind, object: &Value, old: &Value, rules: Rules, broken: bool) -> Vec<Complaint> {
    let mut fixed: Vec<String> = Vec::new();
    if let Some(Source { field, either }) = kind.source()
        && !broken
    {
        fixed.extend(either.map(|it| format!("{field}.{it}")));
    }
    if kind == Kind::GroupContent {
        fixed.extend(["name", "namespace"].map(|it| format!("spec.volumeGroupSnapshotRef.{it}")));
    }
    // It may be learned later, but not changed or forgotten; upstream panicked where a side lacked it.
    let mode = "spec.sourceVolumeMode";
    if kind == Kind::Content && rules.mode_is_fixed && set(old, mode).is_some() {
        fixed.push(mode.to_owned());
    }
    // A reference that was empty is repaired by filling it.
    let was_empty =
        |field: &str| field.contains("Ref.") && set(old, field).is_none_or(|it| it == "");
    fixed
        .into_iter()
        .filter(|field| set(old, field) != set(object, field) && !was_empty(field))
        .map(|field| {
            let problem = Problem::Changed(
                set(old, &field).map_or_else(|| "not set".into(), Value::to_string),
            );
            Complaint::of(object, &field, problem)
        })
        .collect()
}

/// The driver whose default this class wants to become: then its other classes have to be looked at.
pub fn wants_default<'a>(kind: Kind, object: &'a Value, old: Option<&Value>) -> Option<&'a str> {
    let driver = default_of(kind, object)?;
    let before = old.and_then(|old| default_of(kind, old));
    (before != Some(driver)).then_some(driver)
}

/// A class is refused that wants to become the default of its driver beside one of `others`, which are all classes of its
/// kind.
pub fn rival(
    kind: Kind,
    object: &Value,
    old: Option<&Value>,
    others: &[Value],
) -> Option<Complaint> {
    let driver = wants_default(kind, object, old)?;
    let name = |it: &Value| {
        it["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let own = name(object);
    let mut rivals: Vec<String> = others
        .iter()
        .filter(|it| name(it) != own && default_of(kind, it) == Some(driver))
        .map(name)
        .collect();
    rivals.sort();
    let field = format!("metadata.annotations[{}]", kind.default_mark()?);
    let problem = Problem::SecondDefault {
        driver: driver.to_owned(),
        other: rivals.into_iter().next()?,
    };
    Some(Complaint {
        field,
        value: "\"true\"".to_owned(),
        problem,
    })
}

/// The driver of a class that is marked as its default.
pub fn default_of(kind: Kind, class: &Value) -> Option<&str> {
    let mark = kind.default_mark()?;
    let marked = class["metadata"]["annotations"][mark] == "true";
    marked.then(|| class["driver"].as_str()).flatten()
}

/// The value at a dotted path; `null` is none.
fn set<'a>(object: &'a Value, field: &str) -> Option<&'a Value> {
    let found = field.split('.').try_fold(object, |it, part| it.get(part));
    found.filter(|it| !it.is_null())
}
