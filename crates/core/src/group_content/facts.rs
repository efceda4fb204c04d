//! Boils what was seen of one group content down to the small facts [`decide`](super::decide)
//! reads.

use std::sync::Arc;

use tintype_api::{keys, names};

use super::memory::Memory;
use crate::content::{self, Cause, ClassFact, ClassWords, ContentFact, Origin};
use crate::object::{Class, Content, GroupContent, GroupContentSource, Key, MemberInfo};
use crate::{Seen, Time};

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
    /// What matters of any content.
    pub common: content::Facts,
    /// Its members in the status.
    pub list: List,
}

/// The list of members a group content that is cut must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum List {
    /// It is there, or none is wanted.
    Whole,
    /// It is gone, and the contents of the members say all that it said.
    Restorable,
    /// It is gone.
    Lost,
}

impl Sighting {
    /// The group content as it is now; what is remembered of an earlier one of that name is
    /// forgotten.
    pub fn see(&mut self, content: Seen<Arc<GroupContent>>) {
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
            .and_then(|it| it.error())
            .map(|it| it.message.as_ref());
        let calls = &self.memory.calls;
        Facts {
            common: content::Facts {
                content: self.content.as_ref().map(|it| self.content_fact(it)),
                class: ClassFact::of(&self.driver, self.class.as_ref()),
                outcome: calls.outcome,
                confirmed: calls.confirmed(),
                news: content.is_some_and(|it| self.memory.is_news_to(it)),
                said: message.is_some_and(|it| Some(it) == self.trouble().as_deref()),
                call_due: calls.backoff.due(self.now),
                failing: calls.backoff.failures() > 0,
            },
            list: self.list(),
        }
    }

    fn list(&self) -> List {
        let lost = |it: &&Arc<GroupContent>| {
            let dynamic = !it.volumes().is_empty();
            dynamic && it.handle().is_some() && it.members().is_empty()
        };
        match self.content.present().filter(lost) {
            None => List::Whole,
            Some(it) if self.found().len() == it.volumes().len() => List::Restorable,
            Some(_) => List::Lost,
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
    pub(crate) fn trouble(&self) -> Option<String> {
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
            .then(|| GROUP.trouble(&self.driver, content.class.as_deref(), self.class.as_ref()))
            .flatten();
        class.or_else(|| self.memory.calls.failure_text())
    }

    fn content_fact(&self, content: &GroupContent) -> ContentFact {
        ContentFact {
            ours: content.driver == self.driver,
            deleting: content.meta.deleting,
            protected: content.meta.has_finalizer(keys::FINALIZER_GROUP_CONTENT),
            origin: origin(content),
            in_group: false,
            unbound: content.group.uid.is_empty(),
            being_created: content.being_created,
            being_deleted: content.being_deleted,
            handle: content.handle().is_some(),
            ready: content.ready(),
            policy: content.policy,
        }
    }
}

const GROUP: ClassWords = ClassWords {
    kind: "VolumeGroupSnapshotClass",
    field: "spec.volumeGroupSnapshotClassName",
};

fn origin(content: &GroupContent) -> Origin {
    match &content.source {
        GroupContentSource::Volumes(volumes)
            if !volumes.is_empty() && volumes.iter().all(|it| !it.is_empty()) =>
        {
            Origin::Volume
        }
        GroupContentSource::Existing { handle, .. } if !handle.is_empty() => Origin::Existing,
        GroupContentSource::Volumes(_)
        | GroupContentSource::Existing { .. }
        | GroupContentSource::Neither
        | GroupContentSource::Both => Origin::Unclear,
    }
}
