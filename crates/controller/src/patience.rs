//! Keeps what is remembered of snapshots, or of group snapshots, that say nothing yet.
//!
//! Forgets whatever says nothing any more, so it stays small however many there are.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tintype_core::object::Key;
use tintype_core::pair::Memory;
use tintype_core::patience::{Patience, Stage};
use tintype_core::retry::Schedule;
use tintype_core::{Time, Timer};
use tintype_runtime::Clock;

/// The memory of one machine.
#[derive(Debug)]
pub(crate) struct Remembered {
    clock: Clock,
    schedule: Schedule,
    all: Mutex<HashMap<Key, Patience>>,
}

impl Remembered {
    /// An empty one; contents that were refused are tried again by `schedule`.
    pub(crate) fn new(clock: Clock, schedule: Schedule) -> Self {
        Self {
            clock,
            schedule,
            all: Mutex::default(),
        }
    }

    /// What a pass is to know of a snapshot that waits for this, or for nothing.
    pub(crate) fn recall(&self, key: &Key, now: Time, stage: Option<Stage>) -> Memory {
        let mut all = self.lock();
        // Who came when the content was there already does not know how long it has been.
        let new = stage == Some(Stage::Lacking);
        let Some(mut it) = all.get(key).copied().or(new.then(Patience::default)) else {
            return Memory::default();
        };
        it.sees(stage, now);
        if it.is_blank() {
            all.remove(key);
        } else {
            all.insert(key.clone(), it);
        }
        it.memory(now)
    }

    /// It is gone.
    pub(crate) fn forget(&self, key: &Key) {
        self.lock().remove(key);
    }

    /// Its content was made.
    pub(crate) fn content_made(&self, key: &Key) -> Memory {
        self.change(key, Patience::content_made)
    }

    /// The API server refused its content.
    pub(crate) fn content_refused(&self, key: &Key) -> Memory {
        self.change(key, |it, now| {
            it.content_refused(now, self.schedule, rand::random());
        })
    }

    fn change(&self, key: &Key, change: impl FnOnce(&mut Patience, Time)) -> Memory {
        let now = self.clock.now();
        let mut all = self.lock();
        let it = all.entry(key.clone()).or_default();
        change(it, now);
        it.memory(now)
    }

    /// How long the timer has to go.
    pub(crate) fn delay(&self, key: Option<&Key>, timer: Timer) -> Duration {
        let now = self.clock.now();
        let all = self.lock();
        let it = key.and_then(|it| all.get(it));
        Duration::from_millis(it.map_or(0, |it| it.remaining(timer, now)))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Patience>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
