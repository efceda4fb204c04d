//! Makes the calls the group content machine asks for, and folds what they come to into its memory.
//!
//! Does not know when a call is due, nor what follows from its outcome.

use std::collections::BTreeMap;

use tintype_api::keys;
use tintype_core::content::Outcome;
use tintype_core::group_content::{self, Reply, Sighting};
use tintype_core::object::{GroupContent, MemberInfo};
use tintype_csi::{CallError, GroupSnapshot, v1};
use tracing::{info, warn};

use super::caller::{create_outcome, nanos, outcome};
use super::group_contents::GroupContents;
use crate::secrets::Operation;

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
        let (caller, key) = (&self.caller, &content.meta.key);
        let of = (&content.meta, content.secret.as_deref());
        let read = caller.secrets_for(seen, Operation::Create, of, CREATE);
        let Some(secrets) = read.await else {
            return;
        };
        let request = self.create_request(&content, seen, secrets);
        let name = request.name.clone();
        let client = &caller.driver.client;
        match client.create_volume_group_snapshot(request).await {
            Ok(group) => {
                info!(content = %key.name, %name, handle = group.id, members = group.snapshots.len(), ready = group.ready_to_use, "group snapshot on storage");
                self.answered(seen, &content, group);
            }
            Err(error) => caller.failed(seen, create_outcome(&error), CREATE, &error),
        }
    }

    fn create_request(
        &self,
        content: &GroupContent,
        seen: &Sighting,
        secrets: BTreeMap<String, String>,
    ) -> v1::CreateVolumeGroupSnapshotRequest {
        let owner = &content.group.key;
        let metadata = [
            (keys::METADATA_GROUP_SNAPSHOT_NAME, &*owner.name),
            (keys::METADATA_GROUP_SNAPSHOT_NAMESPACE, &*owner.namespace),
            (keys::METADATA_GROUP_CONTENT_NAME, &*content.meta.key.name),
        ];
        let names = &self.caller.names;
        v1::CreateVolumeGroupSnapshotRequest {
            name: group_content::group_snapshot_name(&names.prefix, content, names.length),
            source_volume_ids: content.volumes().iter().map(ToString::to_string).collect(),
            secrets,
            parameters: self.caller.parameters(seen.class.as_ref(), metadata),
        }
    }

    /// What becomes of a group snapshot that was there first, or whose list of members was lost.
    pub(super) async fn ask(&self, seen: &mut Sighting) {
        let Some(content) = seen.content.present().cloned() else {
            return;
        };
        let caller = &self.caller;
        let class = seen.class.as_ref().and_then(|it| it.present());
        let named = class.map(|it| group_content::get_secret(it, &content));
        let reference = match named.transpose() {
            Ok(reference) => reference.flatten(),
            Err(why) => return caller.not_called(seen, Outcome::NotCalled, FOLLOW, &why),
        };
        let key = &content.meta.key;
        let read = caller.secrets(key, Operation::Follow, reference.as_ref());
        let secrets = match read.await {
            Ok(secrets) => secrets,
            Err(why) => {
                return caller.not_called(seen, Outcome::NotCalled, FOLLOW, &why.to_string());
            }
        };
        match self.look(&content, seen.snapshot_ids(), secrets).await {
            Ok(group) => self.answered(seen, &content, group),
            Err(error) => caller.failed(seen, outcome(&error), FOLLOW, &error),
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
        let client = &self.caller.driver.client;
        client.get_volume_group_snapshot(request).await
    }

    /// All members with their group.
    pub(super) async fn delete(&self, seen: &mut Sighting) {
        let Some(content) = seen.content.present().cloned() else {
            return;
        };
        let (caller, key) = (&self.caller, &content.meta.key);
        let of = (&content.meta, content.secret.as_deref());
        let read = caller.secrets_for(seen, Operation::Delete, of, DELETE);
        let Some(secrets) = read.await else {
            return;
        };
        let handle = content.handle().unwrap_or_default().to_owned();
        let request = v1::DeleteVolumeGroupSnapshotRequest {
            group_snapshot_id: handle.clone(),
            snapshot_ids: self.members(&content, seen, &secrets).await,
            secrets,
        };
        let client = &caller.driver.client;
        match client.delete_volume_group_snapshot(request).await {
            Ok(()) => {
                info!(content = %key.name, handle, "group snapshot deleted on storage");
                seen.memory.calls.folded_deleted();
            }
            Err(error) => caller.failed(seen, Outcome::DeleteFailed, DELETE, &error),
        }
    }

    /// The ids of all members; without a whole list of them the driver is asked (D3).
    async fn members(
        &self,
        content: &GroupContent,
        seen: &Sighting,
        secrets: &BTreeMap<String, String>,
    ) -> Vec<String> {
        let known = seen.snapshot_ids();
        if !known.is_empty() && known.len() >= content.volumes().len() {
            return known;
        }
        match self.look(content, known.clone(), secrets.clone()).await {
            Ok(group) => group.snapshots.into_iter().map(|it| it.id).collect(),
            // Gone already, or the driver cannot tell: it is deleted by what is known.
            Err(error) => {
                warn!(content = %content.meta.key.name, %error, "the members are not known for sure");
                known
            }
        }
    }

    fn answered(&self, seen: &mut Sighting, content: &GroupContent, group: GroupSnapshot) {
        let members = group.snapshots.into_iter().map(|it| MemberInfo {
            volume: it.source_volume_id.into(),
            handle: it.id.into(),
            creation_time: nanos(it.creation_time),
            ready: Some(it.ready_to_use),
            // 0 means that the driver does not say.
            restore_size: i64::try_from(it.size_bytes).ok().filter(|it| *it > 0),
        });
        let reply = Reply {
            handle: group.id.into(),
            creation_time: nanos(group.creation_time),
            ready: group.ready_to_use,
            members: members.collect(),
        };
        let caller = &self.caller;
        seen.memory.folded_reply(
            content,
            reply,
            (caller.clock.now(), caller.clock.wall()),
            (caller.schedule, rand::random()),
        );
        if let Some(wrong) = seen.memory.calls.failure_text() {
            warn!(driver = %caller.driver.name, content = %content.meta.key.name, "{wrong}");
        }
    }
}
