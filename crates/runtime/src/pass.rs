//! Passes keys through a machine: observe once, then decide, apply and fold until rest.
//!
//! Written once for every role. A panic in one pass is caught and backed off; it costs no other
//! key anything.

use std::collections::HashMap;
use std::fmt::Debug;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use tintype_core::object::Key;
use tintype_core::retry::{Backoff, Schedule};
use tintype_core::write::{Event, Write};
use tintype_core::{Stamp, Time, Timer, Verdict};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug, debug_span, error, warn};

use crate::metrics::{MachineMetrics, Outcome};
use crate::{Applier, ApplyError, Chain, Clock, Metrics, Queue, Reply};

/// More steps than any object needs; then others get their turn.
const MAX_STEPS: usize = 24;
/// News is certain after a conflict; should it have come before the pass began, this is soon
/// enough.
const AFTER_CONFLICT: Duration = Duration::from_secs(1);
/// How long a stopping role waits for calls that are under way.
const DRAIN: Duration = Duration::from_millis(1500);

/// A machine of `tintype-core`, joined to its caches and calls.
pub trait Machine: Send + Sync + 'static {
    /// What is gathered for one key.
    type Seen: Send + Sync;
    /// One step.
    type Step: Copy + Debug + Send + Sync;
    /// Why there is nothing to do.
    type Why: Copy + Debug + Send + Sync;

    /// For logs and metrics.
    const NAME: &'static str;

    /// Gathers what caches and memory hold for the key.
    fn observe(&self, key: &Key, now: Time) -> Self::Seen;

    /// The next step, or why there is none.
    fn decide(&self, seen: &Self::Seen) -> Verdict<Self::Step, Self::Why>;

    /// The write the step comes to; none if it is a call.
    fn render(&self, step: Self::Step, seen: &Self::Seen, wall: Stamp) -> Option<Write>;

    /// The object as cached, for a write that must send all of it.
    fn document(&self, _write: &Write) -> Option<Box<str>> {
        None
    }

    /// Remembers that a write is on its way, where its effect counts even if the reply gets lost.
    fn trying(&self, _key: &Key, _seen: &mut Self::Seen, _step: Self::Step) {}

    /// Puts the reply to a write into what was seen, into caches and memory.
    fn fold(&self, key: &Key, seen: &mut Self::Seen, step: Self::Step, reply: Reply);

    /// Makes the call the step stands for and folds its outcome in.
    fn call(
        &self,
        key: &Key,
        step: Self::Step,
        seen: &mut Self::Seen,
    ) -> impl Future<Output = ()> + Send;

    /// The server refused the write for good; `true` if that was folded in as a fact.
    fn refused(&self, _key: &Key, _seen: &mut Self::Seen, _step: Self::Step, _why: &str) -> bool {
        false
    }

    /// What people are told of a write that the server will not have, and that is tried again.
    fn refusal(
        &self,
        _key: &Key,
        _seen: &Self::Seen,
        _step: Self::Step,
        _why: &str,
    ) -> Option<Event> {
        None
    }

    /// How long the timer of a [`Verdict::Wait`] runs.
    fn delay(&self, seen: &Self::Seen, timer: Timer) -> Duration;
}

/// The cause of waiting while the API server will not have a write, or does not answer.
#[derive(Debug)]
struct ForServer;

/// What a pass came to, and when its key is passed again: on change, or after a delay too.
type Next = (Outcome, Option<Duration>);

/// What failed last for a key.
#[derive(Debug, Default)]
struct Failure {
    /// The write, if it was one.
    of: Option<Write>,
    /// The server will not have it: whatever else is heard of the key, it is left alone. Without an
    /// answer, news says that there may be one again.
    refused: bool,
    backoff: Backoff,
    /// What was told of it.
    told: Option<String>,
}

/// Workers of one machine and their queue.
#[derive(Debug)]
pub struct Engine<M: Machine> {
    machine: M,
    queue: Arc<Queue>,
    applier: Applier,
    clock: Clock,
    schedule: Schedule,
    failures: Mutex<HashMap<Key, Failure>>,
    metrics: MachineMetrics,
}

impl<M: Machine> Engine<M> {
    /// An engine that takes keys from `queue`.
    pub fn new(
        machine: M,
        queue: Arc<Queue>,
        applier: Applier,
        clock: Clock,
        schedule: Schedule,
        metrics: &Metrics,
    ) -> Arc<Self> {
        Arc::new(Self {
            metrics: metrics.machine(M::NAME, &queue),
            machine,
            queue,
            applier,
            clock,
            schedule,
            failures: Mutex::default(),
        })
    }

    /// Runs `workers` workers until `shutdown`, then lets calls under way end.
    pub async fn run(self: Arc<Self>, workers: usize, shutdown: CancellationToken) {
        let mut tasks = JoinSet::new();
        for _ in 0..workers.max(1) {
            let (engine, shutdown) = (self.clone(), shutdown.clone());
            tasks.spawn(async move { engine.work(shutdown).await });
        }
        shutdown.cancelled().await;
        let drained =
            tokio::time::timeout(DRAIN, async { while tasks.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            debug!(machine = M::NAME, "calls under way are left to the driver");
        }
    }

    async fn work(&self, shutdown: CancellationToken) {
        loop {
            let key = tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                key = self.queue.next() => key,
            };
            let span = debug_span!("pass", machine = M::NAME, %key);
            let next = AssertUnwindSafe(self.pass(&key).instrument(span))
                .catch_unwind()
                .await;
            let (outcome, after) = next.unwrap_or_else(|_| {
                let delay = self.back_off(&key, None, false);
                error!(machine = M::NAME, %key, "a pass panicked; the key is left alone for {delay:?}");
                (Outcome::Panic, Some(delay))
            });
            self.metrics.passed(outcome);
            if let Some(delay) = after {
                self.queue.add_after(key.clone(), delay);
            }
            self.queue.done(&key);
        }
    }

    /// One pass over one key.
    async fn pass(&self, key: &Key) -> Next {
        let mut seen = self.machine.observe(key, self.clock.now());
        let mut last = None;
        for _ in 0..MAX_STEPS {
            let step = match self.machine.decide(&seen) {
                Verdict::Do(step) => step,
                Verdict::Wait(timer, why) => {
                    let delay = self.machine.delay(&seen, timer);
                    debug!(?why, ?timer, ?delay, "waits");
                    // What was told of a write that is to come again stays told.
                    if let Some(failure) = self.failures().get_mut(key) {
                        *failure = Failure {
                            told: failure.told.take(),
                            ..Failure::default()
                        };
                    }
                    self.metrics.rests(key, &why);
                    // A timer that is over would spin; the machine looks again soon instead.
                    return (Outcome::Rest, Some(delay.max(Duration::from_millis(1))));
                }
                Verdict::Rest(why) => {
                    debug!(?why, "rests");
                    self.failures().remove(key);
                    self.metrics.rests(key, &why);
                    return (Outcome::Rest, None);
                }
            };
            let Some(write) = self.machine.render(step, &seen, self.clock.wall()) else {
                debug!(?step, "does");
                self.metrics.stepped(&step);
                self.machine.call(key, step, &mut seen).await;
                continue;
            };
            let asked = write.timeless();
            if let Some(delay) = self.left_alone(key, &asked) {
                debug!(?step, ?delay, "is left alone");
                return (Outcome::Delayed, Some(delay));
            }
            debug!(?step, "does");
            self.metrics.stepped(&step);
            // Every write names the version it changes: the same one twice means that the answer to
            // the first could not be read, and would be asked for for ever.
            if last.as_ref() == Some(&asked) {
                let delay = self.back_off(key, Some(asked), true);
                warn!(machine = M::NAME, %key, ?step, "an answer that says nothing; asked for again in {delay:?}");
                return (Outcome::Stuck, Some(delay));
            }
            self.machine.trying(key, &mut seen, step);
            let document = self.machine.document(&write);
            let reason = write.event.as_ref().map(|it| it.reason);
            match self.applier.apply(write, document.as_deref()).await {
                Ok(reply) => {
                    if let Some(reason) = reason {
                        self.metrics.told(reason);
                    }
                    self.machine.fold(key, &mut seen, step, reply);
                }
                Err(error) => {
                    if let Some(next) = self.failed(key, &mut seen, (step, &asked), error) {
                        return next;
                    }
                }
            }
            last = Some(asked);
        }
        (Outcome::Unfinished, Some(Duration::ZERO)) // Fairness: let other keys run.
    }

    /// What becomes of a pass whose write failed; none if it goes on.
    fn failed(
        &self,
        key: &Key,
        seen: &mut M::Seen,
        (step, asked): (M::Step, &Write),
        error: ApplyError,
    ) -> Option<Next> {
        match error {
            // The cache is behind; its news will wake us.
            error @ (ApplyError::Conflict(_) | ApplyError::Gone(_)) => {
                debug!(%error, ?step, "the world moved on");
                Some((Outcome::Conflict, Some(AFTER_CONFLICT)))
            }
            ApplyError::Denied { what, why } => {
                if self.machine.refused(key, seen, step, &why) {
                    return None;
                }
                let delay = self.back_off(key, Some(asked.clone()), true);
                warn!(machine = M::NAME, %key, ?step, "{what} was refused: {why}; tried again in {delay:?}");
                if let Some(event) = self.machine.refusal(key, seen, step, &why) {
                    self.tell_once(key, event);
                }
                Some((Outcome::Refused, Some(delay)))
            }
            error @ (ApplyError::Busy(_) | ApplyError::Transport { .. }) => {
                let refused = matches!(error, ApplyError::Busy(_));
                let delay = self.back_off(key, Some(asked.clone()), refused);
                warn!(machine = M::NAME, %key, ?step, error = %Chain(&error), "tried again in {delay:?}");
                Some((Outcome::Unreachable, Some(delay)))
            }
        }
    }

    /// How long this write is still left alone, if it is what was refused last.
    fn left_alone(&self, key: &Key, asked: &Write) -> Option<Duration> {
        let now = self.clock.now();
        let failures = self.failures();
        let failure = failures.get(key)?;
        let same = failure.refused && failure.of.as_ref() == Some(asked);
        (same && !failure.backoff.due(now))
            .then(|| Duration::from_millis(failure.backoff.remaining(now)))
    }

    /// Another write, or one that something was changed for, starts from the first delay.
    fn back_off(&self, key: &Key, of: Option<Write>, refused: bool) -> Duration {
        let now = self.clock.now();
        self.metrics.rests(key, &ForServer);
        let mut failures = self.failures();
        let failure = failures.entry(key.clone()).or_default();
        if failure.of != of {
            failure.of = of;
            failure.backoff = Backoff::default();
        }
        failure.refused = refused;
        failure.backoff.failed(now, self.schedule, rand::random());
        Duration::from_millis(failure.backoff.remaining(now))
    }

    /// Tells it, unless it was the last thing that was told of what fails.
    fn tell_once(&self, key: &Key, event: Event) {
        let mut failures = self.failures();
        let told = &mut failures.entry(key.clone()).or_default().told;
        if told.as_ref() != Some(&event.message) {
            *told = Some(event.message.clone());
            drop(failures);
            self.metrics.told(event.reason);
            self.applier.recorder().tell(event);
        }
    }

    fn failures(&self) -> MutexGuard<'_, HashMap<Key, Failure>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
