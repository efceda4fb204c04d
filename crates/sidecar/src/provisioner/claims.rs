//! Joins the claim machine to its caches and to the driver.

use std::sync::Arc;
use std::time::Duration;

use tintype_core::claim::{
    self, Complaint, Memory, Outcome, Request, RequestSource, Sighting, SourceSight, Step, Volume,
    Waiting,
};
use tintype_core::object::{Claim, DataSourceKind, Key, VolumeMode};
use tintype_core::write::{Kind, Write};
use tintype_core::{Seen, Stamp, Time, Timer, Verdict};
use tintype_csi::v1;
use tintype_csi::v1::volume_capability::access_mode::Mode;
use tintype_csi::v1::volume_capability::{AccessMode, AccessType, BlockVolume, MountVolume};
use tintype_csi::v1::volume_content_source::{SnapshotSource, Type as SourceType, VolumeSource};
use tintype_runtime::{Machine, Reply, Row as _, fold_reply};
use tracing::{info, warn};

use super::Base;
use crate::memory::Remembered;

/// The claim machine with everything around it.
pub(super) struct Claims {
    pub(super) base: Base,
    pub(super) identity: String,
    pub(super) prevent_mode_change: bool,
    /// The driver makes snapshots, so it can restore them.
    pub(super) snapshots: bool,
    pub(super) memory: Remembered<Memory>,
}

impl Claims {
    fn source(&self, claim: &Claim) -> SourceSight {
        let Some(source) = &claim.source else {
            return SourceSight::None;
        };
        match source.kind {
            DataSourceKind::Snapshot => SourceSight::Snapshot {
                snapshot: self.base.caches.snapshots.get(&source.key),
                content: Seen::NotCached,
            },
            DataSourceKind::Claim => {
                let from = self
                    .base
                    .caches
                    .claims
                    .get(&source.key)
                    .map(|it| it.claim.clone());
                let volume = from
                    .present()
                    .and_then(|it| it.volume.as_deref())
                    .map_or(Seen::NotCached, |name| {
                        self.base.caches.volumes.get(&Key::cluster(name))
                    });
                SourceSight::Claim {
                    claim: from,
                    volume,
                }
            }
            DataSourceKind::WrongGroup | DataSourceKind::Foreign => SourceSight::None,
        }
    }

    async fn create(&self, key: &Key, seen: &mut Sighting) {
        // What may have been asked is asked again to the letter.
        let repeated = seen
            .memory
            .request
            .clone()
            .filter(|_| seen.memory.outcome == Outcome::Uncertain);
        let Some(request) = repeated.or_else(|| claim::request(seen).map(Arc::new)) else {
            return self.failed(
                key,
                seen,
                Outcome::NotCalled,
                "what the volume is made from went meanwhile",
            );
        };
        seen.memory.request = Some(request.clone());
        if request.source != RequestSource::None && !self.snapshots {
            let text = format!(
                "CSI driver {} does not restore snapshots (no CREATE_DELETE_SNAPSHOT)",
                self.base.driver.name
            );
            return self.failed(key, seen, Outcome::NotCalled, &text);
        }
        let made = match self.base.driver.client.create_volume(wire(&request)).await {
            Ok(made) => made,
            Err(error) => {
                let outcome = if error.is_uncertain() {
                    Outcome::Uncertain
                } else {
                    Outcome::Refused
                };
                return self.failed(key, seen, outcome, &error.to_string());
            }
        };
        let lacking = lacking(&request, &made);
        if let Some(lacking) = lacking {
            return self.give_back(key, seen, made.id, &lacking).await;
        }
        info!(claim = %key, handle = made.id, "volume on storage");
        seen.memory.folded_created(Volume {
            capacity: if made.capacity_bytes == 0 {
                request.bytes
            } else {
                made.capacity_bytes
            },
            handle: made.id,
            context: made.context,
            topology: made.accessible_topology,
        });
    }

    /// The driver made something else than was asked for: it goes again (spec restore 6.4).
    async fn give_back(&self, key: &Key, seen: &mut Sighting, handle: String, lacking: &str) {
        let request = v1::DeleteVolumeRequest {
            volume_id: handle.clone(),
            ..Default::default()
        };
        match self.base.driver.client.delete_volume(request).await {
            Ok(()) => self.failed(key, seen, Outcome::Refused, lacking),
            // Asking again by the same name finds it again.
            Err(error) => {
                let text = format!("{lacking}; volume {handle} could not be removed: {error}");
                self.failed(key, seen, Outcome::Uncertain, &text);
            }
        }
    }

    async fn delete_orphan(&self, key: &Key, seen: &mut Sighting) {
        let Some(volume) = seen.memory.volume.clone() else {
            return;
        };
        let request = v1::DeleteVolumeRequest {
            volume_id: volume.handle.clone(),
            ..Default::default()
        };
        match self.base.driver.client.delete_volume(request).await {
            Ok(()) => {
                info!(claim = %key, handle = volume.handle, "volume of a claim that went is removed");
                seen.memory = Memory::default();
            }
            Err(error) => {
                warn!(claim = %key, handle = volume.handle, %error, "volume of a claim that went stays for now");
                seen.memory.folded_orphan_kept(
                    self.base.clock.now(),
                    self.base.schedule,
                    rand::random(),
                );
            }
        }
    }

    fn failed(&self, key: &Key, seen: &mut Sighting, outcome: Outcome, text: &str) {
        warn!(claim = %key, "no volume yet: {text}");
        seen.memory.folded_failure(
            outcome,
            text,
            self.base.clock.now(),
            self.base.schedule,
            rand::random(),
        );
    }

    fn complain(&self, seen: &mut Sighting, complaint: Complaint) {
        if let Some(event) = claim::complaint_event(complaint, seen) {
            self.base.recorder.tell(event);
        }
        seen.memory.folded_complaint(complaint);
    }
}

/// What the answer lacks of what was asked for.
fn lacking(request: &Request, made: &tintype_csi::Volume) -> Option<String> {
    if made.capacity_bytes != 0 && made.capacity_bytes < request.bytes {
        return Some(format!(
            "the driver made a volume of {} bytes where {} were asked for",
            made.capacity_bytes, request.bytes
        ));
    }
    let wanted = content_source(&request.source);
    let right = match (&wanted, &made.content_source) {
        (None, _) => true,
        (Some(wanted), Some(made)) => wanted == made,
        (Some(_), None) => false,
    };
    (!right).then(|| {
        "the driver does not say that it filled the volume from what was asked for".to_owned()
    })
}

fn content_source(source: &RequestSource) -> Option<v1::VolumeContentSource> {
    let kind = match source {
        RequestSource::None => return None,
        RequestSource::Snapshot(handle) => SourceType::Snapshot(SnapshotSource {
            snapshot_id: handle.clone(),
        }),
        RequestSource::Volume(handle) => SourceType::Volume(VolumeSource {
            volume_id: handle.clone(),
        }),
    };
    Some(v1::VolumeContentSource { r#type: Some(kind) })
}

fn wire(request: &Request) -> v1::CreateVolumeRequest {
    let access_type = match request.mode {
        VolumeMode::Block => AccessType::Block(BlockVolume {}),
        VolumeMode::Filesystem => AccessType::Mount(MountVolume {
            fs_type: request.fs_type.clone().unwrap_or_default(),
            mount_flags: request.mount_options.clone(),
            ..Default::default()
        }),
    };
    let capabilities = request.access_modes.iter().map(|mode| {
        let mode = match mode.as_str() {
            "ReadOnlyMany" => Mode::MultiNodeReaderOnly,
            "ReadWriteMany" => Mode::MultiNodeMultiWriter,
            _ => Mode::SingleNodeWriter,
        };
        v1::VolumeCapability {
            access_mode: Some(AccessMode { mode: mode.into() }),
            access_type: Some(access_type.clone()),
        }
    });
    v1::CreateVolumeRequest {
        name: request.name.clone(),
        capacity_range: Some(v1::CapacityRange {
            required_bytes: i64::try_from(request.bytes).unwrap_or(i64::MAX),
            limit_bytes: 0,
        }),
        volume_capabilities: capabilities.collect(),
        parameters: request.parameters.clone(),
        volume_content_source: content_source(&request.source),
        ..Default::default()
    }
}

impl Machine for Claims {
    type Seen = Sighting;
    type Step = Step;
    type Why = Waiting;

    const NAME: &'static str = "claim";

    fn observe(&self, key: &Key, now: Time) -> Sighting {
        let claim = self.base.caches.claims.get(key).map(|it| it.claim.clone());
        let row = claim.present();
        let mut memory = self.memory.recall(key);
        if row.is_some_and(|it| it.volume.is_some()) {
            self.memory.forget(key);
            memory = Memory::default();
        }
        let volume_name = match (row, &memory.request) {
            // Its claim may be gone, or another of that name may have come.
            (_, Some(request)) => Some(request.name.clone()),
            (Some(claim), None) => Some(Sighting::volume_name(claim)),
            (None, None) => None,
        };
        let volume = volume_name.map_or(Seen::NotCached, |name| {
            self.base
                .caches
                .volumes
                .get(&Key::cluster(name))
                .map(|_| ())
        });
        Sighting {
            class: row
                .and_then(|it| it.class.as_deref())
                .map_or(Seen::NotCached, |name| {
                    self.base.caches.classes.get(&Key::cluster(name))
                }),
            source: row.map_or(SourceSight::None, |it| self.source(it)),
            driver: self.base.driver.name.clone(),
            prevent_mode_change: self.prevent_mode_change,
            claim,
            volume,
            memory,
            now,
        }
    }

    fn decide(&self, seen: &Sighting) -> Verdict<Step, Waiting> {
        claim::decide(&seen.facts())
    }

    fn render(&self, step: Step, seen: &Sighting, _wall: Stamp) -> Option<Write> {
        claim::render(step, seen, &self.identity)
    }

    fn document(&self, write: &Write) -> Option<Box<str>> {
        let row = (write.kind == Kind::Claim).then(|| self.base.caches.claims.get(&write.key))?;
        row.present().map(|it| it.document.clone())
    }

    fn fold(&self, key: &Key, seen: &mut Sighting, step: Step, reply: Reply) {
        match (step, &mut seen.source) {
            (Step::LookUpContent, SourceSight::Snapshot { content, .. }) => {
                *content = match reply {
                    Reply::Absent => Seen::Absent,
                    Reply::Object(object) => tintype_core::object::Content::read_reply(object)
                        .map_or(Seen::Absent, |it| Seen::Present(Arc::new(it))),
                };
            }
            (Step::ProtectSource, SourceSight::Snapshot { snapshot, .. }) => {
                if let Some(key) = snapshot.present().map(|it| it.meta.key.clone()) {
                    *snapshot = fold_reply(&self.base.caches.snapshots, &key, reply);
                }
            }
            (Step::CreateVolume, _) => {
                let name = seen.claim.present().map(|it| Sighting::volume_name(it));
                if let Some(name) = name {
                    seen.volume = fold_reply(&self.base.caches.volumes, &Key::cluster(name), reply)
                        .map(|_| ());
                }
                // From here on the volume machine has it.
                seen.memory = Memory::default();
                self.memory.forget(key);
            }
            (
                Step::LookUpContent
                | Step::ProtectSource
                | Step::CreateOnStorage
                | Step::DeleteOrphan
                | Step::Complain(_),
                _,
            ) => {}
        }
        seen.now = self.base.clock.now();
    }

    async fn call(&self, key: &Key, step: Step, seen: &mut Sighting) {
        match step {
            Step::CreateOnStorage => self.create(key, seen).await,
            Step::DeleteOrphan => self.delete_orphan(key, seen).await,
            Step::Complain(complaint) => self.complain(seen, complaint),
            Step::LookUpContent | Step::ProtectSource | Step::CreateVolume => {
                // What it speaks of went while the step was decided.
                seen.claim = Seen::NotCached;
            }
        }
        self.memory.keep(key, seen.memory.clone());
        // The claim may have gone during the call.
        seen.claim = self.base.caches.claims.get(key).map(|it| it.claim.clone());
        seen.now = self.base.clock.now();
    }

    fn delay(&self, seen: &Sighting, _timer: Timer) -> Duration {
        Duration::from_millis(seen.memory.backoff.remaining(self.base.clock.now()))
    }
}
