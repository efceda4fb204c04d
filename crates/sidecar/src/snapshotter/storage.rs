//! Makes the calls the content machine asks for, and folds what they come to into its memory.
//!
//! Does not know when a call is due, nor what follows from its outcome.

use std::collections::BTreeMap;

use tintype_api::keys;
use tintype_core::content::{self, Outcome, Reply, Sighting};
use tintype_core::object::{Content, ContentSource, SecretRef};
use tintype_csi::{CallError, Snapshot, v1};
use tonic::Code;
use tracing::info;

use super::caller::{create_outcome, nanos, outcome};
use super::contents::{Asks, Contents};
use crate::secrets::Operation;

/// What failed, in the words of status and event.
const CREATE: &str = "Failed to create snapshot";
const FOLLOW: &str = "Failed to check and update snapshot content";
const DELETE: &str = "Failed to delete snapshot";

impl Contents {
    /// Spec sidecar 3.5.
    pub(super) async fn create(&self, seen: &mut Sighting) {
        let Some(content) = seen.content.present().cloned() else {
            return;
        };
        let (caller, key) = (&self.caller, &content.meta.key);
        let of = (&content.meta, content.secret.as_deref());
        let read = caller.secrets_for(seen, Operation::Create, of, CREATE);
        let Some(secrets) = read.await else {
            return;
        };
        let request = self.create_request(&content, seen, secrets);
        let name = request.name.clone();
        match caller.driver.client.create_snapshot(request).await {
            Ok(snapshot) => {
                info!(content = %key.name, %name, handle = snapshot.id, ready = snapshot.ready_to_use, "snapshot on storage");
                self.answered(seen, snapshot);
            }
            Err(error) => caller.failed(seen, create_outcome(&error), CREATE, &error),
        }
    }

    fn create_request(
        &self,
        content: &Content,
        seen: &Sighting,
        secrets: BTreeMap<String, String>,
    ) -> v1::CreateSnapshotRequest {
        let owner = &content.snapshot.key;
        let metadata = [
            (keys::METADATA_SNAPSHOT_NAME, &*owner.name),
            (keys::METADATA_SNAPSHOT_NAMESPACE, &*owner.namespace),
            (keys::METADATA_CONTENT_NAME, &*content.meta.key.name),
        ];
        let source = match &content.source {
            ContentSource::Volume(handle) => handle.to_string(),
            ContentSource::Snapshot(_) | ContentSource::Neither | ContentSource::Both => {
                String::new()
            }
        };
        let names = &self.caller.names;
        v1::CreateSnapshotRequest {
            source_volume_id: source,
            name: content::snapshot_name(&names.prefix, content, names.length),
            secrets,
            parameters: self.caller.parameters(seen.class.as_ref(), metadata),
        }
    }

    /// Spec sidecar 3.6: what becomes of a snapshot that was there before its content.
    pub(super) async fn ask(&self, seen: &mut Sighting) {
        let Some(content) = seen.content.present().cloned() else {
            return;
        };
        let Some(handle) = content.handle().map(str::to_owned) else {
            return;
        };
        if self.asks == Asks::Never {
            let reply = Reply {
                handle: handle.into(),
                creation_time: None,
                size: 0,
                ready: true,
                group: None,
            };
            return self.fold_reply(seen, reply);
        }
        let not_called = |seen: &mut Sighting, why: &str| {
            self.caller
                .not_called(seen, Outcome::NotCalled, FOLLOW, why);
        };
        let class = seen.class.as_ref().and_then(|it| it.present());
        let named = class.map(|class| content::list_secret(class, &content));
        let reference = match named.transpose() {
            // A member is asked about with the secrets it was cut with.
            Ok(_) if content.member => content.secret.as_deref().cloned(),
            Ok(secret) => secret.flatten().map(SecretRef::from),
            Err(why) => return not_called(seen, &why),
        };
        let key = &content.meta.key;
        let read = self
            .caller
            .secrets(key, Operation::Follow, reference.as_ref());
        let secrets = match read.await {
            Ok(secrets) => secrets,
            Err(error) => return not_called(seen, &error.to_string()),
        };
        match self.look(&handle, secrets).await {
            // An answer about another snapshot says nothing about this one.
            Ok(Some(snapshot)) if snapshot.id == handle => self.answered(seen, snapshot),
            Ok(_) => {
                let why = format!(
                    "driver {} knows no snapshot {handle}; check spec.source.snapshotHandle",
                    self.caller.driver.name
                );
                not_called(seen, &why);
            }
            Err(error) => self.caller.failed(seen, outcome(&error), FOLLOW, &error),
        }
    }

    async fn look(
        &self,
        handle: &str,
        secrets: BTreeMap<String, String>,
    ) -> Result<Option<Snapshot>, CallError> {
        let client = &self.caller.driver.client;
        if self.asks == Asks::Get {
            let request = v1::GetSnapshotRequest {
                snapshot_id: handle.to_owned(),
                secrets,
            };
            return match client.get_snapshot(request).await {
                Err(error) if error.code == Code::NotFound => Ok(None),
                answer => answer.map(Some),
            };
        }
        let request = v1::ListSnapshotsRequest {
            snapshot_id: handle.to_owned(),
            secrets,
            ..Default::default()
        };
        let page = client.list_snapshots(request).await?;
        Ok(page.entries.into_iter().find(|it| it.id == handle))
    }

    /// Spec sidecar 3.7.
    pub(super) async fn delete(&self, seen: &mut Sighting) {
        let Some(content) = seen.content.present().cloned() else {
            return;
        };
        let Some(handle) = content.handle().map(str::to_owned) else {
            return;
        };
        let (caller, key) = (&self.caller, &content.meta.key);
        let of = (&content.meta, content.secret.as_deref());
        let read = caller.secrets_for(seen, Operation::Delete, of, DELETE);
        let Some(secrets) = read.await else {
            return;
        };
        let request = v1::DeleteSnapshotRequest {
            snapshot_id: handle.clone(),
            secrets,
        };
        match caller.driver.client.delete_snapshot(request).await {
            Ok(()) => {
                info!(content = %key.name, handle, "snapshot deleted on storage");
                seen.memory.folded_deleted();
            }
            Err(error) => caller.failed(seen, Outcome::DeleteFailed, DELETE, &error),
        }
    }

    fn answered(&self, seen: &mut Sighting, snapshot: Snapshot) {
        let reply = Reply {
            handle: snapshot.id.into(),
            creation_time: nanos(snapshot.creation_time),
            size: i64::try_from(snapshot.size_bytes).unwrap_or(i64::MAX),
            ready: snapshot.ready_to_use,
            group: snapshot.group_snapshot_id.map(Into::into),
        };
        self.fold_reply(seen, reply);
    }

    fn fold_reply(&self, seen: &mut Sighting, reply: Reply) {
        let known = seen.memory.reply.is_some();
        if reply.creation_time.is_none() && !known {
            info!(driver = %self.caller.driver.name, handle = %reply.handle, "the driver does not say when the snapshot was cut; now is written");
        }
        let clock = self.caller.clock;
        seen.memory
            .folded_reply(reply, clock.now(), clock.wall(), rand::random());
    }
}
