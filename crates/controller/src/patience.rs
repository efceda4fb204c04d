//! Remembers, for a snapshot or a group snapshot, how long what it waits for may still come
//! unasked, and when a content that was refused is tried again.
//!
//! Forgets whatever says nothing any more, so it stays small however many snapshots there are.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tintype_core::object::Key;
use tintype_core::pair::Memory;
use tintype_core::retry::{Backoff, Schedule};
use tintype_core::{Time, Timer};
use tintype_runtime::Clock;

/// What comes within this, milliseconds, is not waited for in writing: a driver that answers saves
/// the write of the bound name alone, a claim applied with its snapshot saves a complaint.
const GRACE: u64 = 1_000;

/// What is remembered of a snapshot while it or its content is young, or that was refused.
#[derive(Debug, Clone, Copy, Default)]
struct Remembered {
    /// When it was first seen waiting, or its content was made.
    began: Option<Time>,
    creation_refused: bool,
    backoff: Backoff,
}

impl Remembered {
    /// When the grace ends; zero if there is none.
    fn grace(&self) -> Time {
        self.began.map_or(Time(0), |it| it.plus(GRACE))
    }
}

/// The memory of one machine.
#[derive(Debug)]
pub(crate) struct Patience {
    clock: Clock,
    schedule: Schedule,
    memory: Mutex<HashMap<Key, Remembered>>,
}

impl Patience {
    /// An empty one; contents that were refused are tried again by `schedule`.
    pub(crate) fn new(clock: Clock, schedule: Schedule) -> Self {
        Self {
            clock,
            schedule,
            memory: Mutex::default(),
        }
    }

    /// What a pass is to know; `waits`: nothing was made or said of it yet.
    pub(crate) fn recall(&self, key: &Key, now: Time, waits: bool) -> Memory {
        let mut memory = self.lock();
        if waits {
            memory
                .entry(key.clone())
                .or_default()
                .began
                .get_or_insert(now);
        }
        let Some(it) = memory.get(key).copied() else {
            return Memory::default();
        };
        let in_grace = now < it.grace();
        if !waits && !in_grace && !it.creation_refused {
            memory.remove(key);
        }
        Memory {
            in_grace,
            creation_refused: it.creation_refused,
            retry_due: it.backoff.due(now),
        }
    }

    /// It is gone.
    pub(crate) fn forget(&self, key: &Key) {
        self.lock().remove(key);
    }

    /// Its content was made: from here on the driver may answer any moment.
    pub(crate) fn content_made(&self, key: &Key) -> Memory {
        let made = Remembered {
            began: Some(self.clock.now()),
            ..Remembered::default()
        };
        self.lock().insert(key.clone(), made);
        Memory {
            in_grace: true,
            ..Memory::default()
        }
    }

    /// The API server refused its content.
    pub(crate) fn content_refused(&self, key: &Key, memory: &mut Memory) {
        let mut all = self.lock();
        let it = all.entry(key.clone()).or_default();
        it.creation_refused = true;
        it.backoff
            .failed(self.clock.now(), self.schedule, rand::random());
        memory.creation_refused = true;
        memory.retry_due = false;
    }

    /// How long the timer has to go.
    pub(crate) fn delay(&self, key: Option<&Key>, timer: Timer) -> Duration {
        let now = self.clock.now();
        let memory = self.lock();
        let millis = match (timer, key.and_then(|it| memory.get(it))) {
            (Timer::Grace, Some(it)) => it.grace().0.saturating_sub(now.0),
            (Timer::Retry | Timer::Poll, Some(it)) => it.backoff.remaining(now),
            (Timer::Grace | Timer::Retry | Timer::Poll, None) => 0,
        };
        Duration::from_millis(millis)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Remembered>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
