//! Boils what was seen of one content down to the small facts [`decide`](super::decide) reads.

use std::sync::Arc;

use tintype_api::keys;

use super::memory::{Cause, Memory, Outcome};
use super::render::create_parameters;
use crate::object::{Class, Content, ContentSource};
use crate::{DeletionPolicy, Seen, Time};

/// What the shell gathered for one content.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// The content.
    pub content: Seen<Arc<Content>>,
    /// The class it names; none if it names none.
    pub class: Option<Seen<Arc<Class>>>,
    /// The driver this sidecar stands next to.
    pub driver: Arc<str>,
    /// What this process remembers.
    pub memory: Memory,
    /// Now.
    pub now: Time,
}

/// Everything the decision depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Facts {
    /// The content itself.
    pub content: Seen<ContentFact>,
    /// The class it is made with.
    pub class: ClassFact,
    /// What the last call came to.
    pub outcome: Outcome,
    /// A refusal is certain to have left nothing behind.
    pub confirmed: bool,
    /// The driver's answer holds something the status does not say.
    pub news: bool,
    /// The status says what is in the way now.
    pub said: bool,
    /// The driver may be called.
    pub call_due: bool,
    /// The last call failed.
    pub failing: bool,
}

/// Where the storage snapshot comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// It is cut from a volume.
    Volume,
    /// It was there first.
    Existing,
    /// It is cut with its group.
    Group,
    /// Neither or both sources, or an empty handle.
    Unclear,
}

/// The content's own facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentFact {
    /// It is for this sidecar's driver.
    pub ours: bool,
    /// `deletionTimestamp` is set.
    pub deleting: bool,
    /// Our finalizer is on it.
    pub protected: bool,
    /// Where the storage snapshot comes from.
    pub origin: Origin,
    /// It belongs to a group snapshot on storage, which alone deletes it there.
    pub in_group: bool,
    /// No snapshot was ever bound to it: `volumeSnapshotRef.uid` is empty.
    pub unbound: bool,
    /// The being-created mark.
    pub being_created: bool,
    /// The being-deleted mark.
    pub being_deleted: bool,
    /// The storage snapshot's handle is known.
    pub handle: bool,
    /// `status.readyToUse`.
    pub ready: bool,
    /// `spec.deletionPolicy`.
    pub policy: DeletionPolicy,
}

impl ContentFact {
    /// Upstream: shouldDelete.
    pub fn may_go(self) -> bool {
        self.deleting
            && ((self.origin == Origin::Existing && self.unbound)
                || (self.being_deleted && !self.being_created))
    }
}

/// The class a dynamic content is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClassFact {
    /// The cache of classes is not filled.
    Unknown,
    /// None named, or not there.
    Missing,
    /// It is another driver's, or has parameters of the reserved prefix that nobody knows.
    Unusable,
    /// In order.
    Usable,
}

impl ClassFact {
    /// Of the class a content for this driver names, if it names one.
    pub(crate) fn of(driver: &str, class: Option<&Seen<Arc<Class>>>) -> Self {
        match class {
            None | Some(Seen::NotCached | Seen::Absent) => Self::Missing,
            Some(Seen::Unknown) => Self::Unknown,
            Some(Seen::Present(class)) if wrong_with(driver, class).is_none() => Self::Usable,
            Some(Seen::Present(_)) => Self::Unusable,
        }
    }
}

/// Why nothing can be made with this class for this driver, and the cure.
fn wrong_with(driver: &str, class: &Class) -> Option<String> {
    if *class.driver == *driver {
        return create_parameters(class).err();
    }
    Some(format!(
        "is for driver {}, and this content for {driver}; name a class of that driver",
        class.driver
    ))
}

/// What classes are called where contents name them.
pub(crate) struct ClassWords {
    /// The kind.
    pub(crate) kind: &'static str,
    /// The field of the content.
    pub(crate) field: &'static str,
}

const SINGLE: ClassWords = ClassWords {
    kind: "VolumeSnapshotClass",
    field: "spec.volumeSnapshotClassName",
};

impl ClassWords {
    /// What is wrong with the class of that name for this driver, and the cure.
    pub(crate) fn trouble(
        &self,
        driver: &str,
        name: Option<&str>,
        class: Option<&Seen<Arc<Class>>>,
    ) -> Option<String> {
        let Self { kind, field } = self;
        match (ClassFact::of(driver, class), name) {
            (ClassFact::Unknown | ClassFact::Usable, _) => None,
            (ClassFact::Missing, None) => Some(format!("no {kind} is named; set {field}")),
            (ClassFact::Missing, Some(name)) => Some(format!(
                "{kind} \"{name}\" does not exist; create it, or name another in {field} of this content"
            )),
            (ClassFact::Unusable, _) => {
                let class = class.and_then(Seen::present)?;
                let why = wrong_with(driver, class)?;
                Some(format!("{kind} \"{}\" {why}", class.meta.key.name))
            }
        }
    }
}

impl Sighting {
    /// The content as it is now; what is remembered of an earlier one of that name is forgotten.
    pub fn see(&mut self, content: Seen<Arc<Content>>) {
        let row = content.present().map(AsRef::as_ref);
        self.memory = std::mem::take(&mut self.memory).about(row);
        self.content = content;
    }

    /// What a call is made with now.
    pub fn cause(&self) -> Option<Cause> {
        let content = self.content.present()?;
        let about = (content.generation, &content.meta);
        Some(Cause::of(
            about,
            self.class.as_ref(),
            content.secret.as_deref(),
        ))
    }

    /// The facts of what was seen.
    pub fn facts(&self) -> Facts {
        let content = self.content.present();
        let message = content
            .and_then(|it| it.status.as_ref())
            .and_then(|it| it.error.as_ref())
            .map(|it| it.message.as_ref());
        Facts {
            content: self.content.as_ref().map(|it| self.content_fact(it)),
            class: self.class_fact(),
            outcome: self.memory.outcome,
            confirmed: self.memory.confirmed(),
            news: content.is_some_and(|it| self.memory.is_news_to(it)),
            said: message.is_some_and(|it| Some(it) == self.trouble().as_deref()),
            call_due: self.memory.backoff.due(self.now),
            failing: self.memory.backoff.failures() > 0,
        }
    }

    /// What is in the way now: source and class, as long as that lasts, else the last failure.
    pub(crate) fn trouble(&self) -> Option<String> {
        let content = self.content.present()?;
        if origin(content) == Origin::Unclear {
            return Some(unclear(content).to_owned());
        }
        // One that is going is finished without its class (D32); an imported one never needs it.
        let unneeded = content.meta.deleting && content.being_created
            || matches!(content.source, ContentSource::Snapshot(_));
        let class = (!unneeded)
            .then(|| SINGLE.trouble(&self.driver, content.class.as_deref(), self.class.as_ref()))
            .flatten();
        class.or_else(|| self.memory.failure_text())
    }

    fn class_fact(&self) -> ClassFact {
        ClassFact::of(&self.driver, self.class.as_ref())
    }

    fn content_fact(&self, content: &Content) -> ContentFact {
        ContentFact {
            ours: content.driver == self.driver,
            deleting: content.meta.deleting,
            protected: content.meta.has_finalizer(keys::FINALIZER_CONTENT),
            origin: origin(content),
            in_group: content
                .status
                .as_ref()
                .is_some_and(|it| it.group_handle.is_some()),
            unbound: content.snapshot.uid.is_empty(),
            being_created: content.being_created,
            being_deleted: content.being_deleted,
            handle: content.handle().is_some(),
            ready: content.ready(),
            policy: content.policy,
        }
    }
}

fn origin(content: &Content) -> Origin {
    match &content.source {
        ContentSource::Volume(_) if content.member => Origin::Group,
        // Nobody ever binds it, and without a uid its cut has no name.
        ContentSource::Volume(_) if content.snapshot.uid.is_empty() => Origin::Unclear,
        ContentSource::Volume(handle) if !handle.is_empty() => Origin::Volume,
        ContentSource::Snapshot(handle) if !handle.is_empty() => Origin::Existing,
        ContentSource::Volume(_)
        | ContentSource::Snapshot(_)
        | ContentSource::Neither
        | ContentSource::Both => Origin::Unclear,
    }
}

/// What is wrong with what it is made from, and the cure.
fn unclear(content: &Content) -> &'static str {
    match &content.source {
        ContentSource::Both => {
            "spec.source has both volumeHandle and snapshotHandle; create the content anew with one of them"
        }
        ContentSource::Neither => {
            "spec.source has neither volumeHandle nor snapshotHandle; create the content anew with one of them"
        }
        ContentSource::Volume(handle) if handle.is_empty() => {
            "spec.source.volumeHandle is empty; create the content anew with the id of a volume"
        }
        ContentSource::Snapshot(_) => {
            "spec.source.snapshotHandle is empty; create the content anew with the id of a snapshot"
        }
        ContentSource::Volume(_) => {
            "spec.volumeSnapshotRef.uid is empty, so there is no snapshot to cut the volume for; create a VolumeSnapshot, and its content is made for it"
        }
    }
}
