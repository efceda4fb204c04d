//! Decides who leads: from what is known of the lease and the own clock to the next step.
//!
//! Pure. Knows neither requests nor the times other machines wrote: a record counts from when it
//! was first seen here, so a clock that is wrong elsewhere changes nothing.

use std::time::Duration;

use tokio::time::Instant;

/// How long each part of leading may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// `--leader-election-lease-duration`: others wait this long after the last sign of life.
    pub duration: Duration,
    /// `--leader-election-renew-deadline`: a leader that could not renew for so long stops.
    pub renew_deadline: Duration,
    /// `--leader-election-retry-period`: between two renewals, or two looks of who waits.
    pub retry_period: Duration,
}

/// The lease as last read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// Not read, or what was read is out of date.
    Unknown,
    /// There is no such object.
    Absent,
    /// Nobody holds it.
    Free,
    /// This candidate holds it.
    Ours,
    /// Somebody else holds it, until then if there is no further sign of life.
    Theirs {
        /// By the own clock.
        until: Instant,
    },
}

/// Everything the decision depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    pub(super) sight: Sight,
    /// When the last renewal that succeeded was sent; none while not leading.
    pub(super) renewed: Option<Instant>,
    /// Nothing is sent before.
    pub(super) not_before: Instant,
    pub(super) now: Instant,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Read,
    Create,
    /// Write ourselves into the lease.
    Take,
    Renew,
    Wait(Duration),
    Lost(Loss),
}

/// Why a leader is no longer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// It could not be renewed in time.
    Deadline,
    /// Somebody else holds it.
    Taken,
}

pub(super) fn decide(facts: &Facts, terms: &Terms) -> Step {
    match facts.renewed {
        Some(renewed) => keep(facts, terms, renewed),
        None => seek(facts),
    }
}

/// While leading: the first write after the deadline could come when another one leads already.
fn keep(facts: &Facts, terms: &Terms, renewed: Instant) -> Step {
    let deadline = renewed + terms.renew_deadline;
    if facts.now >= deadline {
        return Step::Lost(Loss::Deadline);
    }
    if let Sight::Theirs { .. } = facts.sight {
        return Step::Lost(Loss::Taken);
    }
    if facts.now < facts.not_before {
        return Step::Wait(facts.not_before.min(deadline) - facts.now);
    }
    let next = (renewed + terms.retry_period).min(deadline);
    match facts.sight {
        Sight::Unknown => Step::Read,
        Sight::Absent => Step::Create,
        Sight::Free => Step::Take,
        Sight::Ours if facts.now < next => Step::Wait(next - facts.now),
        Sight::Ours | Sight::Theirs { .. } => Step::Renew,
    }
}

fn seek(facts: &Facts) -> Step {
    if facts.now < facts.not_before {
        return Step::Wait(facts.not_before - facts.now);
    }
    match facts.sight {
        Sight::Absent => Step::Create,
        // Ours without leading: an earlier life of this pod held it.
        Sight::Free | Sight::Ours => Step::Take,
        // The write names the version that was seen: a sign of life meanwhile refuses it.
        Sight::Theirs { until } if facts.now >= until => Step::Take,
        Sight::Unknown | Sight::Theirs { .. } => Step::Read,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms {
        duration: Duration::from_secs(15),
        renew_deadline: Duration::from_secs(10),
        retry_period: Duration::from_secs(5),
    };

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Times are seconds since the start; `renewed` is none while not leading.
    fn check(now: u64, sight: Sight, renewed: Option<u64>, not_before: u64, expect: Step) {
        let start = Instant::now();
        let facts = Facts {
            sight,
            renewed: renewed.map(|it| start + secs(it)),
            not_before: start + secs(not_before),
            now: start + secs(now),
        };
        assert_eq!(
            decide(&facts, &TERMS),
            expect,
            "at {now}: {sight:?}, renewed {renewed:?}"
        );
    }

    fn theirs(until: u64) -> Sight {
        Sight::Theirs {
            until: Instant::now() + secs(until),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_takes_only_what_is_free_or_overdue() {
        for (now, sight, not_before, expect) in [
            (0, Sight::Unknown, 0, Step::Read),
            (0, Sight::Absent, 0, Step::Create),
            (0, Sight::Free, 0, Step::Take),
            (0, Sight::Ours, 0, Step::Take),
            (14, theirs(15), 0, Step::Read),
            (15, theirs(15), 0, Step::Take),
            (99, theirs(15), 0, Step::Take),
            (3, theirs(15), 5, Step::Wait(secs(2))),
            (3, Sight::Free, 5, Step::Wait(secs(2))),
            (3, Sight::Absent, 4, Step::Wait(secs(1))),
        ] {
            check(now, sight, None, not_before, expect);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_leads_renews_and_stops_in_time() {
        for (now, sight, not_before, expect) in [
            (100, Sight::Ours, 0, Step::Wait(secs(5))),
            (104, Sight::Ours, 0, Step::Wait(secs(1))),
            (105, Sight::Ours, 0, Step::Renew),
            (105, Sight::Unknown, 0, Step::Read),
            (105, Sight::Absent, 0, Step::Create),
            (105, Sight::Free, 0, Step::Take),
            (106, Sight::Ours, 107, Step::Wait(secs(1))),
            // A pause never lasts beyond the deadline.
            (109, Sight::Unknown, 120, Step::Wait(secs(1))),
            (110, Sight::Ours, 0, Step::Lost(Loss::Deadline)),
            (110, Sight::Unknown, 120, Step::Lost(Loss::Deadline)),
            (101, theirs(500), 0, Step::Lost(Loss::Taken)),
            (101, theirs(500), 120, Step::Lost(Loss::Taken)),
        ] {
            check(now, sight, Some(100), not_before, expect);
        }
    }
}
