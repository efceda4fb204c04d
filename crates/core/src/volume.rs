//! Decides how a `PersistentVolume` of this driver goes, once its claim is gone.
//!
//! **Guarantees.** A volume is deleted on storage only under reclaim policy `Delete`, when it is
//! released, and never while it is bound or attached. The finalizer goes only after that, so the
//! object outlives the storage behind it; where the storage is to stay there is none.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::json;
use tintype_api::{Reason, keys};

use crate::claim::deletion_secret;
use crate::object::{Key, StorageClass, Volume, VolumePhase};
use crate::retry::{Backoff, Schedule};
use crate::secret::Secret;
use crate::topology::{Segments, reachable};
use crate::write::{Event, Kind, Part, Verb, Write};
use crate::{Seen, Time, Timer, Verdict};

/// One write, or one call to the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Put our finalizer on: its storage is to go with it.
    Protect,
    /// Call `DeleteVolume`.
    DeleteOnStorage,
    /// Say in an event that it failed.
    Complain,
    /// Say in an event that it is still attached.
    TellAttached,
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
    /// It is still attached to a node.
    ForDetaching,
    /// Somebody else's finalizer holds it.
    ForOthers,
}

/// What was gathered for one volume.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// The volume.
    pub volume: Seen<Arc<Volume>>,
    /// Its storage class, for the Secret of volumes whose annotations name none.
    pub class: Seen<Arc<StorageClass>>,
    /// The node it is attached to, if the driver attaches at all.
    pub attached: Option<Arc<str>>,
    /// The driver this sidecar stands next to.
    pub driver: Arc<str>,
    /// On each node: what the driver said of this one.
    pub here: Option<Arc<Segments>>,
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
    /// It was told that it is attached.
    pub said_attached: bool,
}

impl Memory {
    /// The storage is gone.
    pub fn folded_deleted(&mut self) {
        self.deleted = true;
        self.failure = None;
        self.backoff.succeeded();
    }

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
    /// The volume, if it is this driver's.
    pub volume: Seen<VolumeFact>,
    /// It is attached to a node.
    pub attached: bool,
    /// That was told.
    pub said_attached: bool,
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
    /// It is this driver's and, with one provisioner on each node, reachable from this one.
    pub ours: bool,
    /// `persistentVolumeReclaimPolicy` is `Delete`.
    pub reclaim_delete: bool,
    /// A claim has it.
    pub bound: bool,
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
                ours: self.is_ours(it),
                reclaim_delete: it.reclaim_delete,
                bound: it.phase == VolumePhase::Bound,
                released: matches!(it.phase, VolumePhase::Released | VolumePhase::Failed),
                deleting: it.meta.deleting,
                protected: it.meta.has_finalizer(keys::FINALIZER_VOLUME),
            }),
            attached: self.attached.is_some(),
            said_attached: self.memory.said_attached,
            deleted: self.memory.deleted,
            untold: self.memory.failure.is_some() && !self.memory.said,
            call_due: self.memory.backoff.due(self.now),
        }
    }

    /// Made by this driver's provisioner, or of this driver and made by nobody: upstream serves
    /// static volumes too.
    fn is_ours(&self, volume: &Volume) -> bool {
        let csi = volume.csi.as_ref();
        let of_driver = csi.is_some_and(|it| *it.driver == *self.driver);
        let made_by = volume.provisioned_by.as_deref();
        let here = self.here.as_ref();
        of_driver
            && made_by.is_none_or(|it| *it == *self.driver)
            && here.is_none_or(|here| reachable(&volume.reach, here))
    }

    /// The Secret for deleting it; `Err` says what is wrong with the class's parameters.
    pub fn secret(&self) -> Result<Option<Secret>, String> {
        let Some(volume) = self.volume.present() else {
            return Ok(None);
        };
        if let Some(secret) = &volume.secret {
            let named = !secret.name.is_empty() && !secret.namespace.is_empty();
            return Ok(named.then(|| Secret {
                namespace: secret.namespace.to_string(),
                name: secret.name.to_string(),
            }));
        }
        let (Some(class), Some(claim)) = (self.class.present(), &volume.claim) else {
            return Ok(None);
        };
        let Key { namespace, name } = &claim.key;
        deletion_secret(&class.parameters, &volume.meta.key.name, namespace, name)
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
    if !volume.reclaim_delete {
        // The storage stays; only the object may go.
        return if volume.protected {
            Verdict::Do(Step::Release)
        } else {
            Verdict::Rest(Waiting::NotOurs)
        };
    }
    if volume.bound && !volume.protected && !volume.deleting {
        return Verdict::Do(Step::Protect);
    }
    if !volume.released {
        return Verdict::Rest(Waiting::NotOurs);
    }
    if !facts.deleted {
        return remove(facts, volume);
    }
    if !volume.deleting {
        Verdict::Do(Step::Delete)
    } else if volume.protected {
        Verdict::Do(Step::Release)
    } else {
        Verdict::Rest(Waiting::ForOthers)
    }
}

fn remove(facts: &Facts, volume: VolumeFact) -> Verdict<Step, Waiting> {
    if volume.deleting && !volume.protected {
        Verdict::Rest(Waiting::ForOthers)
    } else if facts.attached && !facts.said_attached {
        Verdict::Do(Step::TellAttached)
    } else if facts.attached {
        Verdict::Rest(Waiting::ForDetaching)
    } else if facts.untold {
        Verdict::Do(Step::Complain)
    } else if facts.call_due {
        Verdict::Do(Step::DeleteOnStorage)
    } else {
        Verdict::Wait(Timer::Retry, Waiting::ForDriver)
    }
}

/// The write a step comes to; none for a call to the driver, an event, or if the volume is gone.
pub fn render(step: Step, seen: &Sighting) -> Option<Write> {
    let volume = seen.volume.present()?;
    let verb = match step {
        Step::DeleteOnStorage | Step::Complain | Step::TellAttached => return None,
        Step::Protect => {
            let mut all = volume.meta.finalizers.clone();
            all.push(keys::FINALIZER_VOLUME.into());
            patch(volume, &all)
        }
        Step::Delete => Verb::Delete {
            uid: volume.meta.uid.clone(),
            version: volume.meta.version.clone(),
        },
        Step::Release => {
            let mut rest = volume.meta.finalizers.clone();
            rest.retain(|it| it != keys::FINALIZER_VOLUME);
            patch(volume, &rest)
        }
    };
    Some(Write {
        kind: Kind::Volume,
        key: volume.meta.key.clone(),
        verb,
        event: None,
    })
}

fn patch(volume: &Volume, finalizers: &[Cow<'static, str>]) -> Verb {
    Verb::Patch {
        part: Part::Object,
        body: json!({"metadata": {
            "resourceVersion": volume.meta.version.to_string(),
            "finalizers": finalizers,
        }}),
    }
}

/// The event of a failed deletion.
pub fn complaint_event(seen: &Sighting) -> Option<Event> {
    event(seen, seen.memory.failure.as_deref()?.to_owned())
}

/// The event of a deletion that waits for a node.
pub fn attached_event(seen: &Sighting) -> Option<Event> {
    let node = seen.attached.as_ref()?;
    event(
        seen,
        format!("it is still attached to node {node}; it is deleted as soon as it is detached"),
    )
}

fn event(seen: &Sighting, message: String) -> Option<Event> {
    let volume = seen.volume.present()?;
    Some(Event {
        about: Kind::Volume,
        key: volume.meta.key.clone(),
        uid: volume.meta.uid.clone(),
        version: volume.meta.version.clone(),
        warning: true,
        reason: Reason::VolumeFailedDelete,
        message,
    })
}
