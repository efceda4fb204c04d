//! Makes the claim machine's calls to the driver and folds each outcome in.

use std::collections::BTreeMap;
use std::sync::Arc;

use tintype_core::claim::{self, Failure, Outcome, Request, Sighting, Turn, Volume, Why};
use tintype_core::object::Key;
use tintype_csi::{CallError, v1};
use tonic::Code;
use tracing::{info, warn};

use super::claims::{Claims, labels};
use super::wire;
use crate::secrets;

impl Claims {
    pub(super) async fn create(&self, key: &Key, seen: &mut Sighting) {
        // What may have been asked is asked again to the letter.
        let repeated = seen
            .memory
            .request
            .clone()
            .filter(|_| seen.memory.outcome == Outcome::Uncertain);
        let fresh = || claim::request(seen, seen.why()).map(Arc::new);
        let Some(request) = repeated.or_else(fresh) else {
            let text = "what the volume is made from went meanwhile";
            return self.failed(key, seen, Failure::NotCalled, text);
        };
        let secret = request.object.secrets.provisioner.as_ref();
        let secrets = match secrets::of_class(&self.base.client, secret).await {
            Ok(secrets) => secrets,
            Err(error) => {
                return self.failed(key, seen, Failure::NotCalled, &error.to_string());
            }
        };
        let why = seen.why();
        seen.memory
            .folded_asked(request.clone(), why, self.base.clock.now());
        let message = wire::create(&request, secrets);
        match self.base.driver.client.create_volume(message).await {
            Ok(made) => self.made(key, seen, &request, made).await,
            Err(error) => self.refusal(key, seen, &error),
        }
    }

    async fn made(
        &self,
        key: &Key,
        seen: &mut Sighting,
        request: &Request,
        made: tintype_csi::Volume,
    ) {
        let wanted = seen.why() == Why::Wanted && !seen.memory.stray;
        let lacking = wire::lacking(request, &made).filter(|_| wanted);
        if let Some(lacking) = lacking {
            return self.give_back(key, seen, request, made.id, &lacking).await;
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
        self.stirred(request);
    }

    fn refusal(&self, key: &Key, seen: &mut Sighting, error: &CallError) {
        // Something has our name on storage, and it is not what was asked for now.
        if error.is_uncertain() || error.code == Code::AlreadyExists {
            self.failed(key, seen, Failure::Uncertain, &error.to_string());
            if error.code == Code::AlreadyExists {
                seen.memory.folded_name_taken();
            }
            return;
        }
        self.failed(key, seen, Failure::Refused, &error.to_string());
        if seen.memory.outcome != Outcome::Nothing {
            return; // It is asked again first: whoever refuses may have made it before.
        }
        let selected = seen
            .claim
            .present()
            .is_some_and(|it| it.selected_node.is_some());
        if error.code == Code::InvalidArgument
            && let Some(class) = seen.class.present().map(|it| it.meta.uid.clone())
        {
            seen.memory.folded_infeasible(class, self.base.clock.now());
        } else if error.code == Code::ResourceExhausted
            && selected
            && self.settings.abilities.topology
        {
            let elsewhere = seen.source_elsewhere();
            seen.memory.folded_exhausted(elsewhere);
        }
    }

    /// The driver made something else than was asked for: it goes again (spec restore 6.4).
    async fn give_back(
        &self,
        key: &Key,
        seen: &mut Sighting,
        request: &Request,
        handle: String,
        lacking: &str,
    ) {
        match self.remove(request, handle.clone()).await {
            Ok(()) => self.failed(key, seen, Failure::Undone, lacking),
            // Asking again by the same name finds it again.
            Err(error) => {
                let text = format!("{lacking}; volume {handle} could not be removed: {error}");
                self.failed(key, seen, Failure::Uncertain, &text);
            }
        }
    }

    async fn remove(&self, request: &Request, handle: String) -> Result<(), String> {
        let secret = request.object.secrets.provisioner.as_ref();
        let secrets = secrets::of_class(&self.base.client, secret)
            .await
            // As upstream: the Secret may be gone already, and the driver may do without.
            .unwrap_or_else(|error| {
                warn!(handle, %error, "a volume is deleted without its Secret");
                BTreeMap::new()
            });
        let message = v1::DeleteVolumeRequest {
            volume_id: handle,
            secrets,
        };
        let deleted = self.base.driver.client.delete_volume(message).await;
        self.stirred(request);
        deleted.map_err(|it| it.to_string())
    }

    pub(super) async fn delete_orphan(&self, key: &Key, seen: &mut Sighting) {
        let (Some(volume), Some(request)) =
            (seen.memory.volume.clone(), seen.memory.request.clone())
        else {
            return;
        };
        match self.remove(&request, volume.handle.clone()).await {
            Ok(()) => {
                info!(claim = %key, handle = volume.handle, "a volume that nobody wants is removed");
                seen.memory.folded_removed();
            }
            Err(error) => {
                warn!(claim = %key, handle = volume.handle, error, "a volume that nobody wants stays for now");
                let (now, schedule) = (self.base.clock.now(), self.base.schedule);
                seen.memory
                    .folded_orphan_kept(now, schedule, rand::random());
            }
        }
    }

    /// On each node: whether the driver says that there is room for it here.
    pub(super) async fn ask_capacity(&self, seen: &mut Sighting) {
        let Some(request) = claim::request(seen, Why::Wanted) else {
            // Whoever takes it says what is wrong with it.
            seen.memory.turn = Turn::HasRoom;
            return;
        };
        let mut room = false;
        for ask in wire::capacity(&request) {
            room |= match self.base.driver.client.get_capacity(ask).await {
                Ok(found) => found.available >= request.bytes,
                Err(error) => {
                    warn!(%error, "the driver does not say how much room there is; the claim is taken");
                    true
                }
            };
        }
        seen.memory.turn = if room { Turn::HasRoom } else { Turn::None };
    }

    fn failed(&self, key: &Key, seen: &mut Sighting, failure: Failure, text: &str) {
        warn!(claim = %key, "no volume yet: {text}");
        let (now, schedule) = (self.base.clock.now(), self.base.schedule);
        seen.memory
            .folded_failure(failure, text, now, schedule, rand::random());
        if let Some(claim) = seen.claim.present() {
            let (class, kind) = labels(claim);
            self.metrics.failed(class, kind);
        }
    }

    /// Room has changed where this volume was made or removed.
    fn stirred(&self, request: &Request) {
        (self.base.stirred)(&request.object.class);
    }
}
