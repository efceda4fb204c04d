//! Joins the volume machine to its cache and to the driver.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tintype_core::object::Key;
use tintype_core::topology::Segments;
use tintype_core::volume::{self, Memory, Sighting, Step, Waiting};
use tintype_core::write::Write;
use tintype_core::{Seen, Stamp, Time, Timer, Verdict};
use tintype_csi::v1;
use tintype_runtime::{Machine, ProvisionMetrics, Reply, fold_reply};
use tracing::{info, warn};

use super::Base;
use super::caches::BY_VOLUME;
use crate::memory::Remembered;
use crate::secrets;

/// The volume machine with everything around it.
pub(super) struct Volumes {
    pub(super) base: Base,
    pub(super) memory: Remembered<Memory>,
    pub(super) metrics: ProvisionMetrics,
    /// On each node: what the driver said of this one.
    pub(super) here: Option<Arc<Segments>>,
}

impl Volumes {
    async fn delete(&self, seen: &mut Sighting) {
        let Some(volume) = seen.volume.present() else {
            return;
        };
        let (name, class) = (volume.meta.key.name.clone(), volume.class.clone());
        let class = class.as_deref().unwrap_or_default();
        let handle = volume
            .csi
            .as_ref()
            .map(|it| it.handle.to_string())
            .unwrap_or_default();
        let began = self.base.clock.now();
        match self.call_driver(seen, handle.clone()).await {
            Ok(()) => {
                info!(volume = %name, handle, "volume deleted on storage");
                let took = self.base.clock.now().0.saturating_sub(began.0);
                self.metrics.deleted(class, Duration::from_millis(took));
                (self.base.stirred)(class);
                seen.memory.folded_deleted();
            }
            Err(error) => {
                warn!(volume = %name, error, "the volume stays on storage");
                self.metrics.not_deleted(class);
                seen.memory.folded_failure(
                    &error,
                    self.base.clock.now(),
                    self.base.schedule,
                    rand::random(),
                );
            }
        }
    }

    async fn call_driver(&self, seen: &Sighting, handle: String) -> Result<(), String> {
        let secret = seen.secret()?;
        let secrets = secrets::of_class(&self.base.client, secret.as_ref())
            .await
            // As upstream: the Secret may be gone already, and the driver may do without.
            .unwrap_or_else(|error| {
                warn!(handle, %error, "a volume is deleted without its Secret");
                BTreeMap::new()
            });
        let request = v1::DeleteVolumeRequest {
            volume_id: handle,
            secrets,
        };
        let deleted = self.base.driver.client.delete_volume(request).await;
        deleted.map_err(|it| it.to_string())
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
        let class = volume
            .present()
            .and_then(|it| it.class.as_deref())
            .map_or(Seen::NotCached, |name| {
                self.base.caches.classes.get(&Key::cluster(name))
            });
        let attachments = self.base.caches.attachments.as_ref();
        let attached = attachments.and_then(|it| it.group(BY_VOLUME, key).pop());
        Sighting {
            volume,
            class,
            attached: attached.map(|it| it.node.clone()),
            here: self.here.clone(),
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
            Step::TellAttached => {
                if let Some(event) = volume::attached_event(seen) {
                    self.base.recorder.tell(event);
                }
                seen.memory.said_attached = true;
            }
            // The volume went while the step was decided.
            Step::Protect | Step::Delete | Step::Release => seen.volume = Seen::NotCached,
        }
        self.memory.keep(key, seen.memory.clone());
        seen.now = self.base.clock.now();
    }

    fn delay(&self, seen: &Sighting, _timer: Timer) -> Duration {
        Duration::from_millis(seen.memory.backoff.remaining(self.base.clock.now()))
    }
}
