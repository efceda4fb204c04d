//! Joins the content machine to its caches; the calls it asks for are in `storage`.

use std::sync::Arc;
use std::time::Duration;

use tintype_core::content::{self, Memory, Sighting, Step, Waiting};
use tintype_core::object::{Class, Content, Key};
use tintype_core::write::{Event, Write};
use tintype_core::{Seen, Stamp, Time, Timer, Verdict};
use tintype_runtime::{Cache, Machine, Reply, fold_reply};

use super::caller::Caller;
use crate::memory::Remembered;

/// How the driver can be asked about a snapshot it did not cut for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    /// `ListSnapshots`.
    List,
    /// `GetSnapshot`.
    Get,
    /// Not at all: the administrator is taken at their word.
    Never,
}

/// The content machine with everything around it.
pub(crate) struct Contents {
    pub(crate) cache: Arc<Cache<Content>>,
    pub(crate) classes: Arc<Cache<Class>>,
    pub(crate) caller: Caller,
    pub(crate) asks: Asks,
    pub(crate) memory: Remembered<Memory>,
}

impl Machine for Contents {
    type Seen = Sighting;
    type Step = Step;
    type Why = Waiting;

    const NAME: &'static str = "content";

    fn observe(&self, key: &Key, now: Time) -> Sighting {
        let content = self.cache.get(key);
        let memory = self
            .memory
            .recall(key)
            .about(content.present().map(AsRef::as_ref));
        if memory.is_blank() {
            self.memory.forget(key);
            self.caller.secrets.forget(key);
        }
        let class = content
            .present()
            .and_then(|it| it.class.clone())
            .map(|name| self.classes.get(&Key::cluster(name)));
        let mut seen = Sighting {
            content,
            class,
            driver: self.caller.driver.name.clone(),
            memory,
            now,
        };
        if let Some(cause) = seen.cause() {
            seen.memory = seen.memory.encouraged(&cause);
        }
        seen
    }

    fn decide(&self, seen: &Sighting) -> Verdict<Step, Waiting> {
        content::decide(&seen.facts())
    }

    fn render(&self, step: Step, seen: &Sighting, wall: Stamp) -> Option<Write> {
        content::render(step, seen, wall)
    }

    fn fold(&self, key: &Key, seen: &mut Sighting, step: Step, reply: Reply) {
        seen.see(fold_reply(&self.cache, key, reply));
        seen.memory.folded(step);
        self.memory.keep(key, seen.memory.clone());
        seen.now = self.caller.clock.now();
    }

    async fn call(&self, key: &Key, step: Step, seen: &mut Sighting) {
        match step {
            Step::CreateOnStorage => self.create(seen).await,
            Step::AskStatus => self.ask(seen).await,
            Step::DeleteOnStorage => self.delete(seen).await,
            Step::MarkCreating
            | Step::RecordStatus
            | Step::ClearMark
            | Step::RecordFailure
            | Step::Release => {
                // The content went while the step was decided.
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

    fn refusal(&self, _key: &Key, seen: &Sighting, step: Step, why: &str) -> Option<Event> {
        content::refusal(step, seen, why)
    }

    fn delay(&self, seen: &Sighting, _timer: Timer) -> Duration {
        Duration::from_millis(seen.memory.backoff.remaining(self.caller.clock.now()))
    }
}
