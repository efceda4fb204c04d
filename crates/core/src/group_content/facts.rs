//! Boils what was seen of one group content down to the small facts [`decide`](super::decide)
//! reads.

use std::sync::Arc;

use tintype_api::{keys, names};

use super::memory::Memory;
use crate::content::{ClassFact, Outcome, create_parameters};
use crate::object::{Class, Content, GroupContent, GroupContentSource, Key, MemberInfo};
use crate::{DeletionPolicy, Seen, Time};

/// What the shell gathered for one group content.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// The group content.
    pub content: Seen<Arc<GroupContent>>,
    /// The class it names; none if it names none.
    pub class: Option<Seen<Arc<Class>>>,
    /// The driver this sidecar stands next to.
    pub driver: Arc<str>,
    /// The contents of its members, as far as they are cached.
    pub members: Vec<Arc<Content>>,
    /// What this process remembers.
    pub memory: Memory,
    /// Now.
    pub now: Time,
}

/// Everything the decision depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Facts {
    /// The group content itself.
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
    /// The last call failed, or its answer did not fit.
    pub failing: bool,
    /// The contents of the members say all that a lost list said.
    pub restorable: bool,
}

/// Where the group snapshot comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// It is cut from volumes.
    Volumes,
    /// It was there first.
    Existing,
    /// Neither or both sources, no volumes, or an empty handle.
    Unclear,
}

/// The group content's own facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentFact {
    /// It and its class are of this sidecar's driver.
    pub ours: bool,
    /// `deletionTimestamp` is set.
    pub deleting: bool,
    /// Our finalizer is on it.
    pub protected: bool,
    /// Where the group snapshot comes from.
    pub origin: Origin,
    /// No group snapshot was ever bound to it: `volumeGroupSnapshotRef.uid` is empty.
    pub unbound: bool,
    /// The being-created mark.
    pub being_created: bool,
    /// The being-deleted mark.
    pub being_deleted: bool,
    /// The handle of the group snapshot is known.
    pub handle: bool,
    /// Its members are in the status.
    pub listed: bool,
    /// `status.readyToUse`.
    pub ready: bool,
    /// `spec.deletionPolicy`.
    pub policy: DeletionPolicy,
}

impl ContentFact {
    /// Upstream: shouldDelete, of groups.
    pub fn may_go(self) -> bool {
        self.deleting
            && ((self.origin == Origin::Existing && self.unbound)
                || (self.being_deleted && !self.being_created))
    }
}

impl Sighting {
    /// The group content as it is now; what is remembered of an earlier one of that name is
    /// forgotten.
    pub fn see(&mut self, content: Seen<Arc<GroupContent>>) {
        let row = content.present().map(AsRef::as_ref);
        self.memory = std::mem::take(&mut self.memory).about(row);
        self.content = content;
    }

    /// The facts of what was seen.
    pub fn facts(&self) -> Facts {
        let content = self.content.present();
        let message = content
            .and_then(|it| it.error())
            .map(|it| it.message.as_ref());
        let calls = &self.memory.calls;
        Facts {
            content: self.content.as_ref().map(|it| self.content_fact(it)),
            class: self.class_fact(),
            outcome: calls.outcome,
            confirmed: calls.confirmed(),
            news: content.is_some_and(|it| self.memory.is_news_to(it)),
            said: message.is_some_and(|it| Some(it) == self.trouble().as_deref()),
            call_due: calls.backoff.due(self.now),
            failing: calls.backoff.failures() > 0,
            restorable: content.is_some_and(|it| {
                let found = self.found();
                !found.is_empty() && found.len() == it.volumes().len()
            }),
        }
    }

    /// Where the content of each member is, for the shell to look.
    pub fn member_keys(content: &GroupContent) -> impl Iterator<Item = Key> {
        let uid = content.group.uid.to_string();
        content
            .volumes()
            .iter()
            .map(move |it| Key::cluster(names::member_content_name(&uid, it)))
    }

    /// What the contents of the members say of them (D3).
    pub fn found(&self) -> Vec<MemberInfo> {
        let Some(content) = self.content.present() else {
            return Vec::new();
        };
        content
            .volumes()
            .iter()
            .zip(Self::member_keys(content))
            .filter_map(|(volume, key)| {
                let member = self.members.iter().find(|it| it.meta.key == key)?;
                let status = member.status.as_ref()?;
                let ours = member.driver == content.driver
                    && status.group_handle.as_deref() == content.handle();
                let handle = status.handle.clone().filter(|_| ours)?;
                Some(MemberInfo {
                    volume: volume.clone(),
                    handle,
                    creation_time: status.creation_time,
                    ready: status.ready,
                    restore_size: status.restore_size,
                })
            })
            .collect()
    }

    /// The ids of all snapshots of the group, as far as they are known: what a call to the driver
    /// must name.
    pub fn snapshot_ids(&self) -> Vec<String> {
        let Some(content) = self.content.present() else {
            return Vec::new();
        };
        let listed = content.members().iter().map(|it| it.handle.to_string());
        let mut ids: Vec<String> = listed.filter(|it| !it.is_empty()).collect();
        if let GroupContentSource::Existing { snapshots, .. } = &content.source {
            ids = snapshots.iter().map(ToString::to_string).collect();
        }
        if ids.is_empty() {
            ids = self
                .found()
                .iter()
                .map(|it| it.handle.to_string())
                .collect();
        }
        ids
    }

    /// What is in the way now: source and class, as long as that lasts, else the last failure.
    pub(super) fn trouble(&self) -> Option<String> {
        let content = self.content.present()?;
        if origin(content) == Origin::Unclear {
            return Some(
                "spec.source must have exactly one of volumeHandles, with at least one volume, and groupSnapshotHandles; create the group content anew".to_owned(),
            );
        }
        // One that is going is finished without its class; an imported one never needs it.
        let unneeded = content.meta.deleting && content.being_created
            || matches!(content.source, GroupContentSource::Existing { .. });
        let class = (!unneeded && !content.ready())
            .then(|| self.class_text(content))
            .flatten();
        class.or_else(|| self.memory.calls.failure_text())
    }

    /// What is wrong with the class, and the cure.
    fn class_text(&self, content: &GroupContent) -> Option<String> {
        match self.class_fact() {
            ClassFact::Unknown | ClassFact::Usable => None,
            ClassFact::Missing => Some(content.class.as_ref().map_or_else(
                || {
                    "no VolumeGroupSnapshotClass is named; set spec.volumeGroupSnapshotClassName"
                        .to_owned()
                },
                |name| {
                    format!("VolumeGroupSnapshotClass \"{name}\" does not exist; create it again")
                },
            )),
            ClassFact::Unusable => self
                .class
                .as_ref()
                .and_then(|it| it.present())
                .and_then(|it| create_parameters(it).err()),
        }
    }

    fn class_fact(&self) -> ClassFact {
        match &self.class {
            None | Some(Seen::NotCached | Seen::Absent) => ClassFact::Missing,
            Some(Seen::Unknown) => ClassFact::Unknown,
            Some(Seen::Present(class)) if create_parameters(class).is_ok() => ClassFact::Usable,
            Some(Seen::Present(_)) => ClassFact::Unusable,
        }
    }

    fn content_fact(&self, content: &GroupContent) -> ContentFact {
        let class_is_ours = self
            .class
            .as_ref()
            .and_then(|it| it.present())
            .is_none_or(|it| *it.driver == *self.driver);
        ContentFact {
            ours: content.driver == self.driver && class_is_ours,
            deleting: content.meta.deleting,
            protected: content.meta.has_finalizer(keys::FINALIZER_GROUP_CONTENT),
            origin: origin(content),
            unbound: content.group.uid.is_empty(),
            being_created: content.being_created,
            being_deleted: content.being_deleted,
            handle: content.handle().is_some(),
            listed: !content.members().is_empty(),
            ready: content.ready(),
            policy: content.policy,
        }
    }
}

fn origin(content: &GroupContent) -> Origin {
    match &content.source {
        GroupContentSource::Volumes(volumes)
            if !volumes.is_empty() && volumes.iter().all(|it| !it.is_empty()) =>
        {
            Origin::Volumes
        }
        GroupContentSource::Existing { handle, .. } if !handle.is_empty() => Origin::Existing,
        GroupContentSource::Volumes(_)
        | GroupContentSource::Existing { .. }
        | GroupContentSource::Neither
        | GroupContentSource::Both => Origin::Unclear,
    }
}
