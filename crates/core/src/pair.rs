//! Says how a snapshot and its content stand to each other, of one volume and of a group alike:
//! whether they belong together, which class applies, what of the content's status is news.
//!
//! Decides nothing: [`snapshot`](crate::snapshot) and [`group`](crate::group) do.

use std::sync::Arc;

use serde_json::{Value, json};
use tintype_api::Reason;

use crate::object::{Class, ContentError, Group, Meta, SnapshotRef};
use crate::write::{Event, Kind, Part, Write};
use crate::{DeletionPolicy, Seen, Stamp};

/// The class, as looked up by the shell.
#[derive(Debug, Clone)]
pub enum ClassSight {
    /// The snapshot names a class.
    Named(Seen<Arc<Class>>),
    /// It names none: all default classes of the volume's driver, if that is known.
    Defaults(Option<Vec<Arc<Class>>>),
}

/// What the process remembers about one snapshot between passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Memory {
    /// What it waits for may come before anything is written: see [`patience`](crate::patience).
    pub in_grace: bool,
    /// The API server refused to take the content.
    pub creation_refused: bool,
    /// The back-off after that refusal is over.
    pub retry_due: bool,
}

/// `deletionPolicy`, or the most careful reading where it is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Policy {
    /// The bound finalizer is needed.
    Delete,
    /// It is not.
    Retain,
}

impl Policy {
    /// The policy of a class or content.
    pub const fn of(policy: DeletionPolicy) -> Self {
        match policy {
            DeletionPolicy::Delete => Self::Delete,
            DeletionPolicy::Retain => Self::Retain,
        }
    }
}

/// A class that applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Choice {
    /// Its deletion policy.
    pub policy: Policy,
    /// Its driver is the volume's (or the volume is not known yet).
    pub drives_volume: bool,
    /// Its secret templates resolve.
    pub secrets_resolve: bool,
}

/// Which class applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClassFact {
    /// The cache of classes is not filled.
    Unknown,
    /// The class named is not there.
    Missing,
    /// None named, and the driver has no default.
    NoDefault,
    /// None named, and the driver has several defaults.
    SeveralDefaults,
    /// None named, and the driver is not known yet.
    Undecided,
    /// This one.
    Chosen(Choice),
}

impl ClassSight {
    /// The class that applies, if there is exactly one.
    pub fn only(&self) -> Option<&Class> {
        match self {
            Self::Named(class) => class.present().map(AsRef::as_ref),
            Self::Defaults(Some(classes)) => match classes.as_slice() {
                [only] => Some(only),
                [] | [_, ..] => None,
            },
            Self::Defaults(None) => None,
        }
    }

    /// Which class applies to volumes of `driver`, if that is known.
    pub(crate) fn fact(
        &self,
        driver: Option<&str>,
        secrets_resolve: impl Fn(&Class) -> bool,
    ) -> ClassFact {
        let chosen = |class: &Class| {
            ClassFact::Chosen(Choice {
                policy: Policy::of(class.policy),
                drives_volume: driver.is_none_or(|driver| *class.driver == *driver),
                secrets_resolve: secrets_resolve(class),
            })
        };
        match self {
            Self::Named(Seen::Unknown) => ClassFact::Unknown,
            Self::Named(Seen::NotCached | Seen::Absent) => ClassFact::Missing,
            Self::Named(Seen::Present(class)) => chosen(class),
            Self::Defaults(None) => ClassFact::Undecided,
            Self::Defaults(Some(classes)) => match classes.as_slice() {
                [] => ClassFact::NoDefault,
                [only] => chosen(only),
                [_, ..] => ClassFact::SeveralDefaults,
            },
        }
    }
}

/// How a content looks from its snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sight {
    /// It points back: same namespace, name and uid.
    Ours,
    /// It names this snapshot and no uid yet: made to be adopted.
    Unclaimed,
    /// It points elsewhere.
    OfAnother,
    /// It cuts a volume where a ready handle was expected, or the reverse.
    WrongOrigin,
}

impl Sight {
    /// `adopts`: the snapshot names a content that is there; `fits`: the content's source is of the
    /// kind the snapshot asks for.
    pub(crate) fn of(points_at: &SnapshotRef, snapshot: &Meta, adopts: bool, fits: bool) -> Self {
        let named = points_at.key == snapshot.key;
        if named && points_at.uid == snapshot.uid {
            if fits { Self::Ours } else { Self::WrongOrigin }
        } else if adopts && !fits {
            Self::WrongOrigin
        } else if named && points_at.uid.is_empty() && adopts {
            Self::Unclaimed
        } else {
            Self::OfAnother
        }
    }
}

/// The content's facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentFact {
    /// How it looks from the snapshot.
    pub sight: Sight,
    /// `deletionTimestamp` is set.
    pub deleting: bool,
    /// Its finalizer is on it.
    pub protected: bool,
    /// The snapshot's going was marked on it.
    pub being_deleted: bool,
    /// The storage snapshot has a handle.
    pub cut: bool,
    /// `spec.deletionPolicy`.
    pub policy: DeletionPolicy,
    /// Adopted, but the class its snapshot names is not written into it.
    pub class_owed: bool,
}

/// What the snapshot's status does not say yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Publication {
    /// It says everything.
    Nothing,
    /// The content's name only, which can wait a moment.
    BoundOnly,
    /// The driver had something to say.
    News,
}

impl Publication {
    /// `begun`: the status says which content it is, and whether that is ready.
    pub(crate) const fn of(news: bool, begun: bool) -> Self {
        match (news, begun) {
            (true, _) => Self::News,
            (false, false) => Self::BoundOnly,
            (false, true) => Self::Nothing,
        }
    }
}

/// A snapshot's status does not say of errors what it should: `ours` is what it says, `theirs` the
/// error of a content that is not ready.
pub(crate) fn error_is_news(
    ready: bool,
    ours: Option<&str>,
    theirs: Option<&ContentError>,
) -> bool {
    if ready {
        // A ready snapshot has no error (D7), whatever its content goes through later.
        return ours.is_some();
    }
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => *ours != *theirs.message,
        (None, None) => false,
        (Some(_), None) | (None, Some(_)) => true,
    }
}

/// What to write into `status.error` of a snapshot, if anything: its content's error as it is, or
/// none where it voices one.
pub(crate) fn error_to_write(theirs: Option<&ContentError>, voices: bool) -> Option<Value> {
    let Some(error) = theirs else {
        return voices.then_some(Value::Null);
    };
    let mut told = json!({ "message": error.message });
    if let Some(time) = &error.time {
        told["time"] = time.as_ref().into();
    }
    Some(told)
}

/// The furthest a snapshot came with one write of its status; it is all that is told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    /// It can be used.
    Ready,
    /// It is cut.
    Cut,
    /// Its content is there.
    Bound,
}

impl Reached {
    /// `ready`: before and after; `cut`: only now it says when; `bound`: it said so before.
    pub(crate) const fn of(ready: (bool, bool), cut: bool, bound: bool) -> Option<Self> {
        match (ready, cut, bound) {
            ((false, true), _, _) => Some(Self::Ready),
            (_, true, _) => Some(Self::Cut),
            ((_, false), false, false) => Some(Self::Bound),
            (_, false, _) => None,
        }
    }
}

/// The reference a content has to its snapshot.
pub(crate) fn reference(api_version: &str, kind: &str, snapshot: &Meta) -> Value {
    json!({
        "apiVersion": api_version,
        "kind": kind,
        "namespace": snapshot.key.namespace,
        "name": snapshot.key.name,
        "uid": snapshot.uid.to_string(),
    })
}

/// What makes a group snapshot the owner of a member.
pub(crate) fn owner(group: &Group) -> Value {
    json!({
        "apiVersion": tintype_api::GROUP_API_VERSION,
        "kind": "VolumeGroupSnapshot",
        "name": group.meta.key.name,
        "uid": group.meta.uid.to_string(),
    })
}

/// Says in status and event why a snapshot does not go on.
pub(crate) fn complain(
    (kind, meta): (Kind, &Meta),
    (reason, text): (Reason, String),
    unreadies: bool,
    now: Stamp,
) -> Write {
    let mut status = json!({"error": {"time": now.rfc3339(), "message": text}});
    if unreadies {
        status["readyToUse"] = false.into();
    }
    Write::patch(kind, meta, Part::Status, json!({ "status": status }))
        .telling(Event::warning(kind, meta, reason, text))
}
