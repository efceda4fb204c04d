//! Joins the group content machine to its caches; the calls it asks for are in `group_storage`.

use std::sync::Arc;
use std::time::Duration;

use tintype_core::content::{self, Waiting};
use tintype_core::group_content::{self, Memory, Sighting, Step};
use tintype_core::object::{Content, GroupClass, GroupContent, Key};
use tintype_core::write::Write;
use tintype_core::{Seen, Stamp, Time, Timer, Verdict};
use tintype_runtime::{Cache, Machine, Reply, fold_reply};

use super::caller::{Caller, Names};
use super::contents::Contents;
use super::group_caches::GroupCaches;
use crate::memory::Remembered;

/// The group content machine with everything around it.
pub(crate) struct GroupContents {
    pub(crate) cache: Arc<Cache<GroupContent>>,
    pub(crate) classes: Arc<Cache<GroupClass>>,
    /// Contents of single snapshots: what a lost list of members is had back from.
    pub(crate) contents: Arc<Cache<Content>>,
    pub(crate) caller: Caller,
    pub(crate) memory: Remembered<Memory>,
}

impl GroupContents {
    /// Works with the same driver as the machine of single contents.
    pub(crate) fn beside(single: &Contents, watched: GroupCaches, names: Names) -> Self {
        Self {
            cache: watched.contents,
            classes: watched.classes,
            contents: single.cache.clone(),
            caller: single.caller.naming(names),
            memory: Remembered::default(),
        }
    }
}

impl Machine for GroupContents {
    type Seen = Sighting;
    type Step = Step;
    type Why = Waiting;

    const NAME: &'static str = "group-content";

    fn observe(&self, key: &Key, now: Time) -> Sighting {
        let content = self.cache.get(key);
        let row = content.present().cloned();
        let memory = self.memory.recall(key).about(row.as_deref());
        if memory.calls.is_blank() {
            self.memory.forget(key);
            self.caller.secrets.forget(key);
        }
        let class = row.as_ref().and_then(|it| it.class.clone()).map(|name| {
            let class = self.classes.get(&Key::cluster(name));
            class.map(|it| it.0.clone())
        });
        // A list that is there says it all.
        let lost = row.filter(|it| it.members().is_empty() && it.handle().is_some());
        let members = lost.iter().flat_map(|it| {
            Sighting::member_keys(it)
                .filter_map(|key| self.contents.get(&key).present().cloned())
                .collect::<Vec<_>>()
        });
        let mut seen = Sighting {
            members: members.collect(),
            content,
            class,
            driver: self.caller.driver.name.clone(),
            memory,
            now,
        };
        if let Some(cause) = seen.cause() {
            seen.memory.calls = seen.memory.calls.encouraged(&cause);
        }
        seen
    }

    fn decide(&self, seen: &Sighting) -> Verdict<Step, Waiting> {
        group_content::decide(&seen.facts())
    }

    fn render(&self, step: Step, seen: &Sighting, wall: Stamp) -> Option<Write> {
        group_content::render(step, seen, wall)
    }

    fn fold(&self, key: &Key, seen: &mut Sighting, step: Step, reply: Reply) {
        seen.see(fold_reply(&self.cache, key, reply));
        if let Step::Common(step) = step {
            seen.memory.calls.folded(step);
        }
        self.memory.keep(key, seen.memory.clone());
        seen.now = self.caller.clock.now();
    }

    async fn call(&self, key: &Key, step: Step, seen: &mut Sighting) {
        match step {
            Step::Common(content::Step::CreateOnStorage) => self.create(seen).await,
            Step::Common(content::Step::AskStatus) => self.ask(seen).await,
            Step::Common(content::Step::DeleteOnStorage) => self.delete(seen).await,
            Step::Common(
                content::Step::MarkCreating
                | content::Step::RecordStatus
                | content::Step::ClearMark
                | content::Step::RecordFailure
                | content::Step::Release,
            )
            | Step::RestoreList => {
                // The group content went while the step was decided.
                seen.content = Seen::NotCached;
            }
        }
        self.memory.keep(key, seen.memory.clone());
        // What was said in the object meanwhile counts.
        if let Seen::Present(row) = self.cache.get(key) {
            seen.see(Seen::Present(row));
        }
        seen.now = self.caller.clock.now();
    }

    fn delay(&self, seen: &Sighting, _timer: Timer) -> Duration {
        Duration::from_millis(seen.memory.calls.backoff.remaining(self.caller.clock.now()))
    }
}
