//! Remembers how often something failed and says how long to leave it alone.
//!
//! One memory per object and operation, untouched by unrelated events. Randomness comes in as an
//! argument.

use crate::Time;

/// First and longest delay, in milliseconds; every failure doubles it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// `--retry-interval-start`.
    pub start: u64,
    /// `--retry-interval-max`.
    pub max: u64,
}

impl Schedule {
    /// For those who asked for time: they are left alone ten times as long at first, and at most
    /// sixty times the first delay, so that it is noticed when they are done.
    #[must_use]
    pub const fn patient(self) -> Self {
        let longest = self.start.saturating_mul(60);
        Self {
            start: self.start.saturating_mul(10),
            max: if longest < self.max {
                longest
            } else {
                self.max
            },
        }
    }
}

/// The failures of one operation on one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backoff {
    failures: u32,
    not_before: Time,
}

impl Backoff {
    /// Notes a failure: nothing is due for a doubled delay, shortened by up to a quarter.
    ///
    /// `dice` is a random number from 0 to 255.
    pub fn failed(&mut self, now: Time, schedule: Schedule, dice: u8) {
        let doubled = schedule
            .start
            .saturating_mul(1_u64.checked_shl(self.failures).unwrap_or(u64::MAX));
        let delay = doubled.min(schedule.max);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.plus(shortened(delay, dice));
    }

    /// Leaves the operation alone for `millis`, shortened by up to a quarter, without counting a
    /// failure.
    ///
    /// `dice` is a random number from 0 to 255: what began together does not stay together.
    pub fn later(&mut self, now: Time, millis: u64, dice: u8) {
        self.not_before = now.plus(shortened(millis, dice));
    }

    /// What failed may be tried at once: something changed that may be the cure.
    pub fn encouraged(&mut self) {
        self.not_before = Time::default();
    }

    /// Forgets everything.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// The operation may be tried now.
    pub fn due(&self, now: Time) -> bool {
        now >= self.not_before
    }

    /// Milliseconds until it may be tried.
    pub fn remaining(&self, now: Time) -> u64 {
        self.not_before.0.saturating_sub(now.0)
    }

    /// How often it failed in a row.
    pub const fn failures(&self) -> u32 {
        self.failures
    }
}

/// By up to a quarter.
fn shortened(delay: u64, dice: u8) -> u64 {
    delay - delay / 4 * u64::from(dice) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_time_is_left_alone_longer_and_not_forgotten() {
        let usual = Schedule {
            start: 1_000,
            max: 300_000,
        };
        let mut backoff = Backoff::default();
        let delays = [(); 5].map(|()| {
            backoff.failed(Time(0), usual.patient(), 0);
            backoff.remaining(Time(0))
        });
        assert_eq!(delays, [10_000, 20_000, 40_000, 60_000, 60_000]);
        let short = Schedule {
            max: 5_000,
            ..usual
        };
        assert_eq!(short.patient().max, 5_000);
        backoff.encouraged();
        assert!(backoff.due(Time(0)));
        assert_eq!(backoff.failures(), 5);
    }

    #[test]
    fn delays_double_up_to_the_longest_and_shrink_by_a_quarter_at_most() {
        let schedule = Schedule {
            start: 1_000,
            max: 300_000,
        };
        let mut backoff = Backoff::default();
        let mut delays = Vec::new();
        for _ in 0..80 {
            backoff.failed(Time(0), schedule, 0);
            delays.push(backoff.remaining(Time(0)));
        }
        assert_eq!(delays[..4], [1_000, 2_000, 4_000, 8_000]);
        assert!(delays[9..].iter().all(|it| *it == 300_000));
        backoff.failed(Time(0), schedule, 255);
        assert_eq!(backoff.remaining(Time(0)), 225_000);
        backoff.succeeded();
        assert!(backoff.due(Time(0)));
    }
}
