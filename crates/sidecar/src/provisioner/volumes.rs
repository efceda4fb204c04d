//! Joins the volume machine to its cache and to the driver.

use std::time::Duration;

use tintype_core::object::Key;
use tintype_core::volume::{self, Memory, Sighting, Step, Waiting};
use tintype_core::write::Write;
use tintype_core::{Seen, Stamp, Time, Timer, Verdict};
use tintype_csi::v1;
use tintype_runtime::{Machine, Reply, fold_reply};
use tracing::{info, warn};

use super::Base;
use crate::memory::Remembered;

/// The volume machine with everything around it.
pub(super) struct Volumes {
    pub(super) base: Base,
    pub(super) memory: Remembered<Memory>,
}

impl Volumes {
    async fn delete(&self, seen: &mut Sighting) {
        let Some(volume) = seen.volume.present() else {
            return;
        };
        let name = volume.meta.key.name.clone();
        let handle = volume
            .csi
            .as_ref()
            .map(|it| it.handle.to_string())
            .unwrap_or_default();
        let request = v1::DeleteVolumeRequest {
            volume_id: handle.clone(),
            ..Default::default()
        };
        match self.base.driver.client.delete_volume(request).await {
            Ok(()) => {
                info!(volume = %name, handle, "volume deleted on storage");
                seen.memory.deleted = true;
                seen.memory.failure = None;
                seen.memory.backoff.succeeded();
            }
            Err(error) => {
                warn!(volume = %name, %error, "the volume stays on storage");
                seen.memory.folded_failure(
                    &error.to_string(),
                    self.base.clock.now(),
                    self.base.schedule,
                    rand::random(),
                );
            }
        }
    }
}

impl Machine for Volumes {
    type Seen = Sighting;
    type Step = Step;
    type Why = Waiting;

    const NAME: &'static str = "volume";

    fn observe(&self, key: &Key, now: Time) -> Sighting {
        let volume = self.base.caches.volumes.get(key);
        if volume.present().is_none() {
            self.memory.forget(key);
        }
        Sighting {
            volume,
            driver: self.base.driver.name.clone(),
            memory: self.memory.recall(key),
            now,
        }
    }

    fn decide(&self, seen: &Sighting) -> Verdict<Step, Waiting> {
        volume::decide(&seen.facts())
    }

    fn render(&self, step: Step, seen: &Sighting, _wall: Stamp) -> Option<Write> {
        volume::render(step, seen)
    }

    fn fold(&self, key: &Key, seen: &mut Sighting, _step: Step, reply: Reply) {
        seen.volume = fold_reply(&self.base.caches.volumes, key, reply);
        seen.now = self.base.clock.now();
    }

    async fn call(&self, key: &Key, step: Step, seen: &mut Sighting) {
        match step {
            Step::DeleteOnStorage => self.delete(seen).await,
            Step::Complain => {
                if let Some(event) = volume::complaint_event(seen) {
                    self.base.recorder.tell(event);
                }
                seen.memory.said = true;
            }
            // The volume went while the step was decided.
            Step::Delete | Step::Release => seen.volume = Seen::NotCached,
        }
        self.memory.keep(key, seen.memory.clone());
        seen.now = self.base.clock.now();
    }

    fn delay(&self, seen: &Sighting, _timer: Timer) -> Duration {
        Duration::from_millis(seen.memory.backoff.remaining(self.base.clock.now()))
    }
}
