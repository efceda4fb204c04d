//! Counts what passes come to, which steps they take, and what keys wait for.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};
use tintype_api::Reason;
use tintype_core::object::Key;

use super::{MetricsError, registered};

/// What a pass came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing to do until something changes, or a timer is over.
    Rest,
    /// The object was not what was seen.
    Conflict,
    /// The API server will not have a write.
    Refused,
    /// What failed is left alone until its back-off is over.
    Delayed,
    /// The API server is busy or does not answer.
    Unreachable,
    /// More steps are to come; others have their turn first.
    Unfinished,
    /// An answer said nothing, and would have been asked for again.
    Stuck,
    /// It panicked.
    Panic,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Conflict => "conflict",
            Self::Refused => "refused",
            Self::Delayed => "delayed",
            Self::Unreachable => "unreachable",
            Self::Unfinished => "unfinished",
            Self::Stuck => "stuck",
            Self::Panic => "panic",
        }
    }
}

/// The metrics of all machines of a role.
pub(super) struct MachineVecs {
    passes: IntCounterVec,
    steps: IntCounterVec,
    outcomes: IntCounterVec,
    waits: IntGaugeVec,
}

impl MachineVecs {
    pub(super) fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let passes = Opts::new("tintype_passes_total", "Passes over a key, by outcome.");
        let steps = Opts::new("tintype_steps_total", "Steps taken, by kind.");
        let outcomes = Opts::new(
            "tintype_outcomes_total",
            "What objects came to, by the reason of the event that tells it.",
        );
        let waits = Opts::new("tintype_waits", "Objects that wait now, by cause.");
        Ok(Self {
            passes: registered(
                registry,
                IntCounterVec::new(passes, &["machine", "outcome"]),
            )?,
            steps: registered(registry, IntCounterVec::new(steps, &["machine", "step"]))?,
            outcomes: registered(
                registry,
                IntCounterVec::new(outcomes, &["machine", "reason"]),
            )?,
            waits: registered(registry, IntGaugeVec::new(waits, &["machine", "cause"]))?,
        })
    }

    pub(super) fn of(&self, machine: &'static str) -> MachineMetrics {
        MachineMetrics {
            machine,
            passes: self.passes.clone(),
            steps: self.steps.clone(),
            outcomes: self.outcomes.clone(),
            waits: self.waits.clone(),
            causes: Mutex::default(),
        }
    }
}

/// The metrics of one machine.
#[derive(Debug)]
pub(crate) struct MachineMetrics {
    machine: &'static str,
    passes: IntCounterVec,
    steps: IntCounterVec,
    outcomes: IntCounterVec,
    waits: IntGaugeVec,
    /// Keys that wait; what is gone waits for nothing, so this is no longer than the cache.
    causes: Mutex<HashMap<Key, String>>,
}

impl MachineMetrics {
    pub(crate) fn passed(&self, outcome: Outcome) {
        self.passes
            .with_label_values(&[self.machine, outcome.as_str()])
            .inc();
    }

    pub(crate) fn stepped(&self, step: &impl Debug) {
        let step = format!("{step:?}");
        let kind = step.split(|it: char| !it.is_ascii_alphanumeric()).next();
        self.steps
            .with_label_values(&[self.machine, kind.unwrap_or_default()])
            .inc();
    }

    /// An event of this reason is told.
    pub(crate) fn told(&self, reason: Reason) {
        self.outcomes
            .with_label_values(&[self.machine, reason.as_str()])
            .inc();
    }

    /// The key is at rest. Causes are named `For…`; all other reasons mean that it waits for
    /// nothing.
    pub(crate) fn rests(&self, key: &Key, why: &impl Debug) {
        let cause = Some(format!("{why:?}")).filter(|it| it.starts_with("For"));
        let mut causes = self.causes.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match &cause {
            Some(cause) => causes.insert(key.clone(), cause.clone()),
            None => causes.remove(key),
        };
        drop(causes);
        if before == cause {
            return;
        }
        if let Some(before) = before {
            self.waits
                .with_label_values(&[self.machine, &*before])
                .dec();
        }
        if let Some(cause) = cause {
            self.waits.with_label_values(&[self.machine, &*cause]).inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Metrics, Queue};

    #[derive(Debug)]
    #[expect(dead_code, reason = "read by Debug")]
    enum Why {
        Settled,
        ForDriver,
        ForCure(u8),
    }

    fn machine() -> (Metrics, MachineMetrics) {
        let metrics = Metrics::new().unwrap();
        let machine = metrics.machine("content", &Arc::new(Queue::default()));
        (metrics, machine)
    }

    #[test]
    fn waits_are_counted_while_they_last() {
        let (metrics, machine) = machine();
        let keys = ["a", "b", "c"].map(Key::cluster);
        for key in &keys {
            machine.rests(key, &Why::ForDriver);
            machine.rests(key, &Why::ForDriver);
        }
        machine.rests(&keys[0], &Why::Settled);
        machine.rests(&keys[1], &Why::ForCure(3));
        let text = metrics.text().unwrap();
        for line in [
            "tintype_waits{cause=\"ForDriver\",machine=\"content\"} 1",
            "tintype_waits{cause=\"ForCure(3)\",machine=\"content\"} 1",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(!text.contains("Settled"));
        assert_eq!(machine.causes.lock().unwrap().len(), 2);
    }

    #[test]
    fn passes_and_steps_are_counted_by_kind() {
        let (metrics, machine) = machine();
        machine.passed(Outcome::Rest);
        machine.passed(Outcome::Rest);
        machine.passed(Outcome::Conflict);
        machine.stepped(&Why::ForCure(1));
        machine.stepped(&Why::ForCure(2));
        machine.told(Reason::SnapshotReady);
        let text = metrics.text().unwrap();
        for line in [
            "tintype_passes_total{machine=\"content\",outcome=\"rest\"} 2",
            "tintype_passes_total{machine=\"content\",outcome=\"conflict\"} 1",
            "tintype_steps_total{machine=\"content\",step=\"ForCure\"} 2",
            "tintype_outcomes_total{machine=\"content\",reason=\"SnapshotReady\"} 1",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
