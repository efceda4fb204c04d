//! Makes the calls the content machine asks for, and folds what they come to into its memory.
//!
//! Does not know when a call is due, nor what follows from its outcome.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use tintype_api::keys;
use tintype_core::content::{self, CallFailure, Outcome, Reply, Sighting};
use tintype_core::object::{Content, ContentSource, SecretRef};
use tintype_csi::{CallError, Snapshot, v1};
use tonic::Code;
use tracing::{info, warn};

use super::contents::{Asks, Contents};
use crate::secrets::{self, Held, Operation, SecretError};

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
        let reference = content.secret.as_deref();
        let secrets = match self.secrets(&content, Operation::Create, reference).await {
            Ok(secrets) => secrets,
            // One that is going has to come to an end without them (D32).
            Err(SecretError::Missing(_) | SecretError::Unnamed) if content.meta.deleting => {
                BTreeMap::new()
            }
            Err(error) => return self.not_called(seen, CREATE, &error.to_string()),
        };
        let request = self.create_request(&content, seen, secrets);
        let name = request.name.clone();
        match self.driver.client.create_snapshot(request).await {
            Ok(snapshot) => {
                info!(content = %content.meta.key.name, %name, handle = snapshot.id, ready = snapshot.ready_to_use, "snapshot on storage");
                self.answered(seen, snapshot);
            }
            Err(error) => {
                // A name that is taken says that something was made under it.
                let uncertain = error.is_uncertain() || error.code == Code::AlreadyExists;
                self.failed(seen, CREATE, &error, uncertain);
            }
        }
    }

    fn create_request(
        &self,
        content: &Content,
        seen: &Sighting,
        secrets: BTreeMap<String, String>,
    ) -> v1::CreateSnapshotRequest {
        let class = seen.class.as_ref().and_then(|it| it.present().cloned());
        let mut parameters = class
            .and_then(|it| content::create_parameters(&it).ok())
            .unwrap_or_default();
        if self.names.extra_metadata {
            let owner = &content.snapshot.key;
            for (key, value) in [
                (keys::METADATA_SNAPSHOT_NAME, &owner.name),
                (keys::METADATA_SNAPSHOT_NAMESPACE, &owner.namespace),
                (keys::METADATA_CONTENT_NAME, &content.meta.key.name),
            ] {
                parameters.insert(key.to_owned(), value.to_string());
            }
        }
        let source = match &content.source {
            ContentSource::Volume(handle) => handle.to_string(),
            ContentSource::Snapshot(_) | ContentSource::Neither | ContentSource::Both => {
                String::new()
            }
        };
        v1::CreateSnapshotRequest {
            source_volume_id: source,
            name: content::snapshot_name(&self.names.prefix, content, self.names.length),
            secrets,
            parameters,
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
        let class = seen.class.as_ref().and_then(|it| it.present());
        let named = class.map(|class| content::list_secret(class, &content));
        let reference = match named.transpose() {
            // A member is asked about with the secrets it was cut with.
            Ok(_) if content.member => content.secret.as_deref().cloned(),
            Ok(secret) => secret.flatten().map(|it| SecretRef {
                namespace: it.namespace.into(),
                name: it.name.into(),
            }),
            Err(why) => return self.not_called(seen, FOLLOW, &why),
        };
        let read = self.secrets(&content, Operation::Follow, reference.as_ref());
        let secrets = match read.await {
            Ok(secrets) => secrets,
            Err(error) => return self.not_called(seen, FOLLOW, &error.to_string()),
        };
        match self.look(&handle, secrets).await {
            // An answer about another snapshot says nothing about this one.
            Ok(Some(snapshot)) if snapshot.id == handle => self.answered(seen, snapshot),
            Ok(_) => {
                let why = format!(
                    "driver {} knows no snapshot {handle}; check spec.source.snapshotHandle",
                    self.driver.name
                );
                self.not_called(seen, FOLLOW, &why);
            }
            Err(error) => self.failed(seen, FOLLOW, &error, error.is_uncertain()),
        }
    }

    async fn look(
        &self,
        handle: &str,
        secrets: BTreeMap<String, String>,
    ) -> Result<Option<Snapshot>, CallError> {
        if self.asks == Asks::Get {
            let request = v1::GetSnapshotRequest {
                snapshot_id: handle.to_owned(),
                secrets,
            };
            return match self.driver.client.get_snapshot(request).await {
                Err(error) if error.code == Code::NotFound => Ok(None),
                answer => answer.map(Some),
            };
        }
        let request = v1::ListSnapshotsRequest {
            snapshot_id: handle.to_owned(),
            secrets,
            ..Default::default()
        };
        let page = self.driver.client.list_snapshots(request).await?;
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
        let reference = content.secret.as_deref();
        let secrets = match self.secrets(&content, Operation::Delete, reference).await {
            Ok(secrets) => secrets,
            // Without it deletion would wait for ever (D6); the driver may not need it.
            Err(error @ (SecretError::Missing(_) | SecretError::Unnamed)) => {
                warn!(content = %content.meta.key.name, %error, "deletes without secrets");
                BTreeMap::new()
            }
            Err(error) => {
                let failure = not_called(DELETE, &error.to_string());
                return self.fold_failure(seen, Outcome::DeleteFailed, failure);
            }
        };
        let request = v1::DeleteSnapshotRequest {
            snapshot_id: handle.clone(),
            secrets,
        };
        match self.driver.client.delete_snapshot(request).await {
            Ok(()) => {
                info!(content = %content.meta.key.name, handle, "snapshot deleted on storage");
                seen.memory.folded_deleted();
            }
            Err(error) => {
                self.distrust_secrets(&content, &error);
                self.fold_failure(seen, Outcome::DeleteFailed, failure(DELETE, &error));
            }
        }
    }

    /// Secrets for one operation: read once, and again only when the driver turns them down.
    async fn secrets(
        &self,
        content: &Content,
        operation: Operation,
        reference: Option<&SecretRef>,
    ) -> Result<BTreeMap<String, String>, SecretError> {
        let Some(reference) = reference else {
            return Ok(BTreeMap::new());
        };
        let key = &content.meta.key;
        if let Some(values) = self.secrets.recall(key).values(operation, reference) {
            return Ok(values);
        }
        let values = secrets::read(&self.client, reference).await?;
        let held = Held::new(operation, reference.clone(), values.clone());
        self.secrets.keep(key, held);
        Ok(values)
    }

    /// These codes may mean that a Secret was changed meanwhile.
    fn distrust_secrets(&self, content: &Content, error: &CallError) {
        if matches!(
            error.code,
            Code::Unauthenticated | Code::PermissionDenied | Code::InvalidArgument
        ) {
            self.secrets.forget(&content.meta.key);
        }
    }

    fn answered(&self, seen: &mut Sighting, snapshot: Snapshot) {
        let nanos = snapshot
            .creation_time
            .and_then(|it| it.duration_since(UNIX_EPOCH).ok())
            .and_then(|it| i64::try_from(it.as_nanos()).ok());
        let reply = Reply {
            handle: snapshot.id.into(),
            creation_time: nanos,
            size: i64::try_from(snapshot.size_bytes).unwrap_or(i64::MAX),
            ready: snapshot.ready_to_use,
            group: snapshot.group_snapshot_id.map(Into::into),
        };
        self.fold_reply(seen, reply);
    }

    fn fold_reply(&self, seen: &mut Sighting, reply: Reply) {
        let known = seen.memory.reply.is_some();
        if reply.creation_time.is_none() && !known {
            info!(driver = %self.driver.name, handle = %reply.handle, "the driver does not say when the snapshot was cut; now is written");
        }
        seen.memory
            .folded_reply(reply, self.clock.now(), self.clock.wall());
    }

    fn failed(&self, seen: &mut Sighting, what: &str, error: &CallError, uncertain: bool) {
        if let Some(content) = seen.content.present() {
            self.distrust_secrets(content, error);
        }
        let outcome = if uncertain {
            Outcome::Uncertain
        } else {
            Outcome::Refused
        };
        self.fold_failure(seen, outcome, failure(what, error));
    }

    fn not_called(&self, seen: &mut Sighting, what: &str, why: &str) {
        self.fold_failure(seen, Outcome::NotCalled, not_called(what, why));
    }

    fn fold_failure(&self, seen: &mut Sighting, outcome: Outcome, failure: CallFailure) {
        warn!(driver = %self.driver.name, code = %failure.code, "{}: {}", failure.what, failure.message);
        seen.memory.tried = seen.cause().map(Into::into);
        seen.memory.folded_failure(
            outcome,
            failure,
            self.clock.now(),
            self.schedule,
            rand::random(),
        );
    }
}

fn failure(what: &str, error: &CallError) -> CallFailure {
    CallFailure {
        what: what.into(),
        code: format!("{:?}", error.code).into(),
        message: error.message.as_str().into(),
        busy: matches!(error.code, Code::Aborted | Code::ResourceExhausted),
    }
}

fn not_called(what: &str, why: &str) -> CallFailure {
    CallFailure {
        what: what.into(),
        code: "".into(),
        message: why.into(),
        busy: false,
    }
}
