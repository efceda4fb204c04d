//! Leads at most once per cluster: takes a `Lease`, renews it, and says when it is lost.
//!
//! Sends only get, create and update: upstream's rights have no patch. Does not know what is done
//! by whoever leads.

mod candidate;
mod decide;
mod document;
mod names;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

pub use candidate::{Candidate, Leadership};
pub use decide::{Loss, Terms};
pub use names::{host_name, own_namespace};

/// Beyond the duration of its lease a leader may be this late before it counts as ill.
const TOLERANCE: Duration = Duration::from_secs(20);

/// Which lease, and who wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseConfig {
    /// Where the object is.
    pub namespace: String,
    /// Its name, before it is made fit for one.
    pub name: String,
    /// Who this is, before it is made fit; the host's name as a rule.
    pub identity: String,
    /// `--leader-election-labels`.
    pub labels: BTreeMap<String, String>,
    /// Durations.
    pub terms: Terms,
}

/// Durations that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// Others could lead before the leader has stopped.
    #[error(
        "--leader-election-lease-duration {duration:?} must be longer than --leader-election-renew-deadline {renew_deadline:?}"
    )]
    Duration {
        /// As given.
        duration: Duration,
        /// As given.
        renew_deadline: Duration,
    },
    /// There would be no second try.
    #[error(
        "--leader-election-renew-deadline {renew_deadline:?} must be longer than 1.2 times --leader-election-retry-period {retry_period:?}"
    )]
    Deadline {
        /// As given.
        renew_deadline: Duration,
        /// As given.
        retry_period: Duration,
    },
    /// A lease is measured in seconds.
    #[error("--leader-election-lease-duration {0:?} must be a second or more")]
    TooShort(Duration),
    /// Renewals would follow without a pause.
    #[error("--leader-election-retry-period is 0; give it a second or more")]
    NoPause,
}

impl Terms {
    /// Refuses what could make two leaders, as upstream does.
    pub fn check(&self) -> Result<(), TermsError> {
        let Self {
            duration,
            renew_deadline,
            retry_period,
        } = *self;
        if duration < Duration::from_secs(1) {
            return Err(TermsError::TooShort(duration));
        }
        if retry_period.is_zero() {
            return Err(TermsError::NoPause);
        }
        if duration <= renew_deadline {
            return Err(TermsError::Duration {
                duration,
                renew_deadline,
            });
        }
        if renew_deadline <= retry_period.mul_f64(1.2) {
            return Err(TermsError::Deadline {
                renew_deadline,
                retry_period,
            });
        }
        Ok(())
    }
}

/// The lease was lost; whoever led must stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the lease {lease} is lost: {why}; another replica leads now, or soon")]
pub struct LeaseLost {
    /// Namespace and name.
    pub lease: String,
    /// What happened.
    pub why: String,
}

/// What the health endpoint tells about leading.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<Mutex<Option<(Instant, Duration)>>>);

impl Pulse {
    fn beat(&self, renewed: Instant, duration: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((renewed, duration));
    }

    fn stop(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// This process leads.
    pub fn leads(&self) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }

    /// How long the lease has been overdue, if that is too long; who does not lead is well.
    pub fn overdue(&self, now: Instant) -> Option<Duration> {
        let (renewed, duration) = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        let late = now.saturating_duration_since(renewed + duration);
        (late > TOLERANCE).then_some(late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(duration: u64, renew_deadline: u64, retry_period: u64) -> Terms {
        Terms {
            duration: Duration::from_millis(duration),
            renew_deadline: Duration::from_millis(renew_deadline),
            retry_period: Duration::from_millis(retry_period),
        }
    }

    #[test]
    fn durations_that_could_make_two_leaders_are_refused() {
        assert_eq!(terms(15_000, 10_000, 5_000).check(), Ok(()));
        for (bad, flag) in [
            (
                terms(10_000, 10_000, 5_000),
                "must be longer than --leader-election-renew-deadline",
            ),
            (terms(15_000, 6_000, 5_000), "1.2 times"),
            (terms(900, 500, 100), "a second or more"),
            (
                terms(15_000, 10_000, 0),
                "--leader-election-retry-period is 0",
            ),
        ] {
            let error = bad.check().unwrap_err().to_string();
            assert!(error.contains(flag), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_is_ill_only_long_after_its_lease_ran_out() {
        let pulse = Pulse::default();
        let start = Instant::now();
        let at = |seconds| pulse.overdue(start + Duration::from_secs(seconds));
        assert_eq!(at(1_000), None);
        pulse.beat(start, Duration::from_secs(15));
        assert_eq!(at(35), None);
        assert_eq!(at(36), Some(Duration::from_secs(21)));
        pulse.stop();
        assert_eq!(at(1_000), None);
    }
}
