//! Decides how a `PersistentVolume` this driver made goes, once its claim is gone.
//!
//! **Guarantees.** A volume is deleted on storage only under reclaim policy `Delete`, when it is
//! released or itself being deleted, and never while it is bound. The finalizer goes only after
//! that, so the object outlives the storage behind it.

use std::sync::Arc;

use serde_json::json;
use tintype_api::{Reason, keys};

use crate::object::{Volume, VolumePhase};
use crate::retry::{Backoff, Schedule};
use crate::write::{Event, Kind, Part, Verb, Write};
use crate::{Seen, Time, Timer, Verdict};

/// One write, or one call to the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Call `DeleteVolume`.
    DeleteOnStorage,
    /// Say in an event that it failed.
    Complain,
    /// Delete the object.
    Delete,
    /// Take our finalizer off.
    Release,
}

/// Why there is nothing to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Waiting {
    /// Gone, another's, or in use.
    NotOurs,
    /// The driver's next answer.
    ForDriver,
    /// Somebody else's finalizer holds it.
    ForOthers,
}

/// What was gathered for one volume.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// The volume.
    pub volume: Seen<Arc<Volume>>,
    /// The driver this sidecar stands next to.
    pub driver: Arc<str>,
    /// What this process remembers.
    pub memory: Memory,
    /// Now.
    pub now: Time,
}

/// Everything remembered about one volume.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// The storage is gone.
    pub deleted: bool,
    /// When the driver may be called again.
    pub backoff: Backoff,
    /// What failed, in words.
    pub failure: Option<Arc<str>>,
    /// The failure was told.
    pub said: bool,
}

impl Memory {
    /// The call failed.
    pub fn folded_failure(&mut self, failure: &str, now: Time, schedule: Schedule, dice: u8) {
        if self.failure.as_deref() != Some(failure) {
            self.failure = Some(failure.into());
            self.said = false;
        }
        self.backoff.failed(now, schedule, dice);
    }
}

/// Everything the decision depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Facts {
    /// The volume, if it is this driver's and was made by it.
    pub volume: Seen<VolumeFact>,
    /// The storage is gone.
    pub deleted: bool,
    /// A failure was not told yet.
    pub untold: bool,
    /// The driver may be called.
    pub call_due: bool,
}

/// The volume's own facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VolumeFact {
    /// This driver made it.
    pub ours: bool,
    /// `persistentVolumeReclaimPolicy` is `Delete`.
    pub reclaim_delete: bool,
    /// Its claim is gone.
    pub released: bool,
    /// `deletionTimestamp` is set.
    pub deleting: bool,
    /// Our finalizer is on it.
    pub protected: bool,
}

impl Sighting {
    /// The facts of what was seen.
    pub fn facts(&self) -> Facts {
        Facts {
            volume: self.volume.as_ref().map(|it| VolumeFact {
                ours: it.csi.as_ref().is_some_and(|it| *it.driver == *self.driver)
                    && it.provisioned_by.as_deref() == Some(&*self.driver),
                reclaim_delete: it.reclaim_delete,
                released: matches!(it.phase, VolumePhase::Released | VolumePhase::Failed),
                deleting: it.meta.deleting,
                protected: it.meta.has_finalizer(keys::FINALIZER_VOLUME),
            }),
            deleted: self.memory.deleted,
            untold: self.memory.failure.is_some() && !self.memory.said,
            call_due: self.memory.backoff.due(self.now),
        }
    }
}

/// Returns the next step for a volume, or why there is none.
pub fn decide(facts: &Facts) -> Verdict<Step, Waiting> {
    let Seen::Present(volume) = facts.volume else {
        return Verdict::Rest(Waiting::NotOurs);
    };
    if !volume.ours {
        return Verdict::Rest(Waiting::NotOurs);
    }
    if !volume.released {
        return Verdict::Rest(Waiting::NotOurs);
    }
    if !volume.reclaim_delete {
        // The storage stays; only the object may go.
        return if volume.deleting && volume.protected {
            Verdict::Do(Step::Release)
        } else {
            Verdict::Rest(Waiting::NotOurs)
        };
    }
    if !facts.deleted {
        if volume.deleting && !volume.protected {
            return Verdict::Rest(Waiting::ForOthers);
        }
        return if facts.untold {
            Verdict::Do(Step::Complain)
        } else if facts.call_due {
            Verdict::Do(Step::DeleteOnStorage)
        } else {
            Verdict::Wait(Timer::Retry, Waiting::ForDriver)
        };
    }
    if !volume.deleting {
        Verdict::Do(Step::Delete)
    } else if volume.protected {
        Verdict::Do(Step::Release)
    } else {
        Verdict::Rest(Waiting::ForOthers)
    }
}

/// The write a step comes to; none for a call to the driver, an event, or if the volume is gone.
pub fn render(step: Step, seen: &Sighting) -> Option<Write> {
    let volume = seen.volume.present()?;
    let verb = match step {
        Step::DeleteOnStorage | Step::Complain => return None,
        Step::Delete => Verb::Delete {
            uid: volume.meta.uid.clone(),
            version: volume.meta.version.clone(),
        },
        Step::Release => {
            let rest: Vec<_> = volume
                .meta
                .finalizers
                .iter()
                .filter(|it| **it != keys::FINALIZER_VOLUME)
                .collect();
            Verb::Patch {
                part: Part::Object,
                body: json!({"metadata": {
                    "resourceVersion": volume.meta.version.to_string(),
                    "finalizers": rest,
                }}),
            }
        }
    };
    Some(Write {
        kind: Kind::Volume,
        key: volume.meta.key.clone(),
        verb,
        event: None,
    })
}

/// The event of a failed deletion.
pub fn complaint_event(seen: &Sighting) -> Option<Event> {
    let volume = seen.volume.present()?;
    Some(Event {
        about: Kind::Volume,
        key: volume.meta.key.clone(),
        uid: volume.meta.uid.clone(),
        version: volume.meta.version.clone(),
        warning: true,
        reason: Reason::VolumeFailedDelete,
        message: seen.memory.failure.as_deref()?.to_owned(),
    })
}
