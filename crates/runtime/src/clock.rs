//! Tells the time; the only place that asks for it.

use std::time::{SystemTime, UNIX_EPOCH};

use tintype_core::{Stamp, Time};
use tokio::time::Instant;

/// A clock that started with the process.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts at zero.
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// Milliseconds since the start.
    pub fn now(&self) -> Time {
        Time(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Wall-clock time, for what is written into objects.
    #[expect(
        clippy::disallowed_methods,
        reason = "the shell's clock: machines get time as an argument"
    )]
    pub fn wall(&self) -> Stamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Stamp(since.map_or(0, |it| i64::try_from(it.as_secs()).unwrap_or(i64::MAX)))
    }

    /// Wall-clock time as Kubernetes writes it with microseconds.
    pub fn wall_micros(&self) -> String {
        let now = jiff::Timestamp::now();
        now.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
    }
}
