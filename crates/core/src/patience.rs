//! Remembers how long a snapshot, or a group snapshot, has waited in silence, and says how long it
//! still may: what comes soon is not waited for in writing.
//!
//! A driver that answers at once saves the write of the bound name alone, a claim applied together
//! with its snapshot saves a complaint. Time and chance are arguments.

use crate::object::{Content, ContentSource, GroupContent, GroupContentSource};
use crate::pair::Memory;
use crate::retry::{Backoff, Schedule};
use crate::{Time, Timer};

/// What a snapshot waits for before its status says anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// For what it is made from: objects are applied together, in any order.
    Lacking,
    /// For its turn: its content is made, and the sidecar has not begun with it.
    Queued,
    /// For the driver: the sidecar has begun, and the answer may come any moment.
    Begun,
}

impl Stage {
    /// Of a snapshot with this content, or none.
    pub fn of(content: Option<&Content>) -> Self {
        match content {
            None => Self::Lacking,
            // Its group says what it is, soon after it is made.
            Some(it) if it.member && it.handle().is_none() => Self::Lacking,
            Some(it) => {
                let cuts = matches!(it.source, ContentSource::Volume(_));
                Self::after(cuts && !it.being_created && it.status.is_none())
            }
        }
    }

    /// Of a group snapshot with this group content, or none.
    pub fn of_group(content: Option<&GroupContent>) -> Self {
        content.map_or(Self::Lacking, |it| {
            let cuts = matches!(it.source, GroupContentSource::Volumes(_));
            Self::after(cuts && !it.being_created && it.status.is_none())
        })
    }

    /// Of what has a content; `queued`: the sidecar puts a mark on it first, and has not.
    const fn after(queued: bool) -> Self {
        if queued { Self::Queued } else { Self::Begun }
    }

    /// How long it may wait in silence, in milliseconds. A turn takes longer than an answer: a
    /// thousand snapshots at once keep a sidecar busy for seconds, and to tell of each that it has
    /// not begun would take two more writes. After that it is told, for there may be no sidecar.
    const fn grace(self) -> u64 {
        match self {
            Self::Lacking | Self::Begun => 1_000,
            Self::Queued => 10_000,
        }
    }
}

/// What is remembered of one snapshot; nothing, once its status says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Patience {
    waits: Option<(Stage, Time)>,
    creation_refused: bool,
    backoff: Backoff,
}

impl Patience {
    /// The snapshot was seen to wait for this, or for nothing.
    pub fn sees(&mut self, stage: Option<Stage>, now: Time) {
        let same = self.waits.map(|it| it.0) == stage;
        if !same {
            self.waits = stage.map(|stage| (stage, now));
        }
    }

    /// The content was made, whatever was refused before.
    pub fn content_made(&mut self, now: Time) {
        *self = Self {
            waits: Some((Stage::Queued, now)),
            ..Self::default()
        };
    }

    /// The API server refused the content; `dice` is a random number from 0 to 255.
    pub fn content_refused(&mut self, now: Time, schedule: Schedule, dice: u8) {
        self.creation_refused = true;
        self.backoff.failed(now, schedule, dice);
    }

    /// There is nothing to remember.
    pub const fn is_blank(&self) -> bool {
        self.waits.is_none() && !self.creation_refused
    }

    /// What a machine is told of it.
    pub fn memory(&self, now: Time) -> Memory {
        Memory {
            in_grace: self.remaining(Timer::Grace, now) > 0,
            creation_refused: self.creation_refused,
            retry_due: self.backoff.due(now),
        }
    }

    /// How long the timer has to go, in milliseconds.
    pub fn remaining(&self, timer: Timer, now: Time) -> u64 {
        match timer {
            Timer::Grace => self.waits.map_or(0, |(stage, since)| {
                since.plus(stage.grace()).0.saturating_sub(now.0)
            }),
            Timer::Retry | Timer::Poll => self.backoff.remaining(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_grace(patience: Patience, now: u64) -> bool {
        patience.memory(Time(now)).in_grace
    }

    #[test]
    fn a_snapshot_whose_turn_comes_late_has_a_moment_from_then_on() {
        let mut it = Patience::default();
        assert!(!in_grace(it, 0));
        it.sees(Some(Stage::Lacking), Time(0));
        assert!(in_grace(it, 999) && !in_grace(it, 1_000));
        // It is looked at again and again, and its time goes on.
        it.sees(Some(Stage::Lacking), Time(600));
        assert!(!in_grace(it, 1_000));
        it.content_made(Time(800));
        it.sees(Some(Stage::Queued), Time(900));
        assert!(in_grace(it, 10_799) && !in_grace(it, 10_800));
        it.sees(Some(Stage::Begun), Time(9_000));
        assert_eq!(it.remaining(Timer::Grace, Time(9_000)), 1_000);
        assert!(in_grace(it, 9_999) && !in_grace(it, 10_000));
        it.sees(None, Time(9_500));
        assert!(!in_grace(it, 9_500) && it.is_blank());
    }

    #[test]
    fn the_mark_tells_that_the_sidecar_has_begun() {
        let read = |body: serde_json::Value| {
            Content::of(&serde_json::from_value(body).expect("a content"))
        };
        let with = |annotations: serde_json::Value, source: &str, status: serde_json::Value| {
            read(
                serde_json::json!({"metadata": {"name": "c", "annotations": annotations},
                "spec": {"driver": "d", "deletionPolicy": "Delete", "source": {source: "1"},
                    "volumeSnapshotRef": {"name": "s", "namespace": "n", "uid": "u"}},
                "status": status}),
            )
        };
        let (none, nothing) = (serde_json::json!({}), serde_json::Value::Null);
        let bare = with(none.clone(), "volumeHandle", nothing.clone());
        let marked = serde_json::json!({tintype_api::keys::ANNOTATION_BEING_CREATED: "yes"});
        let marked = with(marked, "volumeHandle", nothing.clone());
        let imported = with(none.clone(), "snapshotHandle", nothing.clone());
        let failed = serde_json::json!({"error": {"message": "no class"}});
        let failed = with(none, "volumeHandle", failed);
        let member = serde_json::json!({tintype_api::keys::ANNOTATION_GROUP_HANDLE: "g"});
        let member = with(member, "volumeHandle", nothing);
        for (content, stage) in [
            (None, Stage::Lacking),
            (Some(&bare), Stage::Queued),
            (Some(&marked), Stage::Begun),
            (Some(&imported), Stage::Begun),
            (Some(&failed), Stage::Begun),
            (Some(&member), Stage::Lacking),
        ] {
            assert_eq!(Stage::of(content), stage, "{content:?}");
        }
    }

    #[test]
    fn a_refused_content_is_left_alone_until_its_time_comes() {
        let schedule = Schedule {
            start: 1_000,
            max: 300_000,
        };
        let mut it = Patience::default();
        it.content_refused(Time(0), schedule, 0);
        it.sees(None, Time(10));
        assert!(!it.is_blank());
        let memory = it.memory(Time(999));
        assert!(memory.creation_refused && !memory.retry_due);
        assert_eq!(it.remaining(Timer::Retry, Time(400)), 600);
        assert!(it.memory(Time(1_000)).retry_due);
        it.content_made(Time(1_000));
        assert!(!it.memory(Time(1_000)).creation_refused);
    }
}
