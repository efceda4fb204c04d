//! Makes the calls the group content machine asks for, and folds what they come to into its memory.
//!
//! Does not know when a call is due, nor what follows from its outcome.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use tintype_api::keys;
use tintype_core::content::{CallFailure, Outcome, create_parameters};
use tintype_core::group_content::{self, Reply, Sighting};
use tintype_core::object::{Class, GroupContent, GroupContentSource, MemberInfo, SecretRef};
use tintype_core::secret;
use tintype_csi::{CallError, GroupSnapshot, v1};
use tonic::Code;
use tracing::{info, warn};

use super::group_contents::GroupContents;
use crate::secrets::{self, SecretError};

/// What failed, in the words of status and event.
const CREATE: &str = "Failed to create group snapshot";
const FOLLOW: &str = "Failed to check and update group snapshot content";
const DELETE: &str = "Failed to delete group snapshot";

impl GroupContents {
    /// Spec group 4.9.
    pub(super) async fn create(&self, seen: &mut Sighting) {
        let Some(content) = seen.content.present().cloned() else {
            return;
        };
        let secrets = match self.secrets(content.secret.as_deref()).await {
            Ok(secrets) => secrets,
            // One that is going has to come to an end without them (D32).
            Err(SecretError::Missing(_) | SecretError::Unnamed) if content.meta.deleting => {
                BTreeMap::new()
            }
            Err(error) => return self.not_called(seen, CREATE, &error.to_string()),
        };
        let request = self.create_request(&content, seen, secrets);
        let name = request.name.clone();
        match self
            .driver
            .client
            .create_volume_group_snapshot(request)
            .await
        {
            Ok(group) => {
                info!(content = %content.meta.key.name, %name, handle = group.id, members = group.snapshots.len(), ready = group.ready_to_use, "group snapshot on storage");
                self.answered(seen, &content, group);
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
        content: &GroupContent,
        seen: &Sighting,
        secrets: BTreeMap<String, String>,
    ) -> v1::CreateVolumeGroupSnapshotRequest {
        let mut parameters = class_of(seen)
            .and_then(|it| create_parameters(it).ok())
            .unwrap_or_default();
        if self.names.extra_metadata {
            let owner = &content.group.key;
            for (key, value) in [
                (keys::METADATA_GROUP_SNAPSHOT_NAME, &owner.name),
                (keys::METADATA_GROUP_SNAPSHOT_NAMESPACE, &owner.namespace),
                (keys::METADATA_GROUP_CONTENT_NAME, &content.meta.key.name),
            ] {
                parameters.insert(key.to_owned(), value.to_string());
            }
        }
        let names = &self.names;
        v1::CreateVolumeGroupSnapshotRequest {
            name: group_content::group_snapshot_name(&names.prefix, content, names.length),
            source_volume_ids: content.volumes().iter().map(ToString::to_string).collect(),
            secrets,
            parameters,
        }
    }

    /// What becomes of a group snapshot that was there first, or whose list of members was lost.
    pub(super) async fn ask(&self, seen: &mut Sighting) {
        let Some(content) = seen.content.present().cloned() else {
            return;
        };
        let reference = match class_of(seen).map(|it| get_secret(it, &content)) {
            Some(Ok(reference)) => reference,
            Some(Err(why)) => return self.not_called(seen, FOLLOW, &why),
            None => None,
        };
        let secrets = match self.secrets(reference.as_ref()).await {
            Ok(secrets) => secrets,
            Err(error) => return self.not_called(seen, FOLLOW, &error.to_string()),
        };
        match self.look(&content, seen.snapshot_ids(), secrets).await {
            Ok(group) => self.answered(seen, &content, group),
            Err(error) => self.failed(seen, FOLLOW, &error, error.is_uncertain()),
        }
    }

    async fn look(
        &self,
        content: &GroupContent,
        snapshot_ids: Vec<String>,
        secrets: BTreeMap<String, String>,
    ) -> Result<GroupSnapshot, CallError> {
        let request = v1::GetVolumeGroupSnapshotRequest {
            group_snapshot_id: content.handle().unwrap_or_default().to_owned(),
            snapshot_ids,
            secrets,
        };
        self.driver.client.get_volume_group_snapshot(request).await
    }

    /// All members with their group; without their ids the driver is asked for them (D3).
    pub(super) async fn delete(&self, seen: &mut Sighting) {
        let Some(content) = seen.content.present().cloned() else {
            return;
        };
        let secrets = match self.secrets(content.secret.as_deref()).await {
            Ok(secrets) => secrets,
            // Without it deletion would wait for ever; the driver may not need it.
            Err(error @ (SecretError::Missing(_) | SecretError::Unnamed)) => {
                warn!(content = %content.meta.key.name, %error, "deletes without secrets");
                BTreeMap::new()
            }
            Err(error) => {
                let failure = not_called(DELETE, &error.to_string());
                return self.fold_failure(seen, Outcome::DeleteFailed, failure);
            }
        };
        let mut snapshot_ids = seen.snapshot_ids();
        if snapshot_ids.len() < content.volumes().len() || snapshot_ids.is_empty() {
            match self
                .look(&content, snapshot_ids.clone(), secrets.clone())
                .await
            {
                Ok(group) => snapshot_ids = group.snapshots.into_iter().map(|it| it.id).collect(),
                // Gone already, or the driver cannot tell: it is deleted by what is known.
                Err(error) => {
                    warn!(content = %content.meta.key.name, %error, "the members are not known for sure");
                }
            }
        }
        let handle = content.handle().unwrap_or_default().to_owned();
        let request = v1::DeleteVolumeGroupSnapshotRequest {
            group_snapshot_id: handle.clone(),
            snapshot_ids,
            secrets,
        };
        match self
            .driver
            .client
            .delete_volume_group_snapshot(request)
            .await
        {
            Ok(()) => {
                info!(content = %content.meta.key.name, handle, "group snapshot deleted on storage");
                seen.memory.calls.folded_deleted();
            }
            Err(error) => {
                self.fold_failure(seen, Outcome::DeleteFailed, failure(DELETE, &error));
            }
        }
    }

    async fn secrets(
        &self,
        reference: Option<&SecretRef>,
    ) -> Result<BTreeMap<String, String>, SecretError> {
        match reference {
            Some(reference) => secrets::read(&self.client, reference).await,
            None => Ok(BTreeMap::new()),
        }
    }

    fn answered(&self, seen: &mut Sighting, content: &GroupContent, group: GroupSnapshot) {
        let members = group.snapshots.into_iter().map(|it| MemberInfo {
            volume: it.source_volume_id.into(),
            handle: it.id.into(),
            creation_time: it.creation_time.and_then(nanos),
            ready: Some(it.ready_to_use),
            // 0 means that the driver does not say.
            restore_size: i64::try_from(it.size_bytes).ok().filter(|it| *it > 0),
        });
        let reply = Reply {
            handle: group.id.into(),
            creation_time: group.creation_time.and_then(nanos),
            ready: group.ready_to_use,
            members: members.collect(),
        };
        seen.memory.folded_reply(
            content,
            reply,
            (self.clock.now(), self.clock.wall()),
            (self.schedule, rand::random()),
        );
        if let Some(wrong) = seen.memory.calls.failure_text() {
            warn!(driver = %self.driver.name, content = %content.meta.key.name, "{wrong}");
        }
    }

    fn failed(&self, seen: &mut Sighting, what: &str, error: &CallError, uncertain: bool) {
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
        seen.memory.calls.folded_failure(
            outcome,
            failure,
            self.clock.now(),
            self.schedule,
            rand::random(),
        );
    }
}

fn class_of(seen: &Sighting) -> Option<&Class> {
    seen.class.as_ref()?.present().map(AsRef::as_ref)
}

fn nanos(time: SystemTime) -> Option<i64> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_nanos()).ok()
}

/// The Secret for asking about an imported group snapshot (spec group 4.9).
fn get_secret(class: &Class, content: &GroupContent) -> Result<Option<SecretRef>, String> {
    if !matches!(content.source, GroupContentSource::Existing { .. }) {
        return Ok(content.secret.as_deref().cloned());
    }
    let tokens = [("volumegroupsnapshotcontent.name", &*content.meta.key.name)];
    let found = secret::resolve(
        &class.parameters,
        keys::PARAMETER_GROUP_GET_SECRET_NAME,
        keys::PARAMETER_GROUP_GET_SECRET_NAMESPACE,
        &secret::Tokens {
            in_namespace: &tokens,
            in_name: &tokens,
        },
    )?;
    Ok(found.map(|it| SecretRef {
        namespace: it.namespace.into(),
        name: it.name.into(),
    }))
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
