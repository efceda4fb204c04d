//! Calls the GroupController service.
//!
//! It does not know which volumes belong together.

use std::collections::BTreeSet;
use std::time::SystemTime;

use crate::client::{Client, Rpc, rpc};
use crate::controller::Snapshot;
use crate::reply::{moment, named, present};
use crate::v1::group_controller_service_capability as capability;
use crate::{CallError, v1};

/// What the GroupController service can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupCapabilities(BTreeSet<capability::rpc::Type>);

impl GroupCapabilities {
    /// Whether the driver names this capability.
    pub fn has(&self, what: capability::rpc::Type) -> bool {
        self.0.contains(&what)
    }
}

/// Snapshots cut at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSnapshot {
    /// The group's handle; never empty.
    pub id: String,
    /// The members.
    pub snapshots: Vec<Snapshot>,
    /// When it was cut, if the driver says.
    pub creation_time: Option<SystemTime>,
    /// All members are ready.
    pub ready_to_use: bool,
}

impl GroupSnapshot {
    fn read(rpc: Rpc, wire: Option<v1::VolumeGroupSnapshot>) -> Result<Self, CallError> {
        let wire = present(rpc, "group_snapshot", wire)?;
        let members = wire
            .snapshots
            .into_iter()
            .map(|member| Snapshot::read(rpc, Some(member)));
        Ok(Self {
            id: named(
                rpc,
                "group_snapshot.group_snapshot_id",
                wire.group_snapshot_id,
            )?,
            snapshots: members.collect::<Result<_, _>>()?,
            creation_time: moment(rpc, "group_snapshot.creation_time", wire.creation_time)?,
            ready_to_use: wire.ready_to_use,
        })
    }
}

impl Client {
    /// Asks what the GroupController service can do. Unknown capabilities are passed over.
    pub async fn group_controller_get_capabilities(&self) -> Result<GroupCapabilities, CallError> {
        let mut stub = self.groups();
        let request = self.request(v1::GroupControllerGetCapabilitiesRequest {});
        let sending = stub.group_controller_get_capabilities(request);
        let rpc = rpc!(GroupController, GroupControllerGetCapabilities);
        let reply = self.call(rpc, sending).await?;
        let kinds = reply
            .capabilities
            .into_iter()
            .filter_map(|entry| match entry.r#type? {
                capability::Type::Rpc(rpc) => Some(rpc.r#type()),
            });
        Ok(GroupCapabilities(kinds.collect()))
    }

    /// Cuts a group, or asks how the one of this name is doing.
    pub async fn create_volume_group_snapshot(
        &self,
        request: v1::CreateVolumeGroupSnapshotRequest,
    ) -> Result<GroupSnapshot, CallError> {
        let rpc = rpc!(GroupController, CreateVolumeGroupSnapshot);
        let mut stub = self.groups();
        let sending = stub.create_volume_group_snapshot(self.request(request));
        GroupSnapshot::read(rpc, self.call(rpc, sending).await?.group_snapshot)
    }

    /// Deletes a group with its members; one that does not exist is deleted already.
    pub async fn delete_volume_group_snapshot(
        &self,
        request: v1::DeleteVolumeGroupSnapshotRequest,
    ) -> Result<(), CallError> {
        let mut stub = self.groups();
        let sending = stub.delete_volume_group_snapshot(self.request(request));
        self.call(rpc!(GroupController, DeleteVolumeGroupSnapshot), sending)
            .await
            .map(drop)
    }

    /// Describes a group.
    pub async fn get_volume_group_snapshot(
        &self,
        request: v1::GetVolumeGroupSnapshotRequest,
    ) -> Result<GroupSnapshot, CallError> {
        let rpc = rpc!(GroupController, GetVolumeGroupSnapshot);
        let mut stub = self.groups();
        let sending = stub.get_volume_group_snapshot(self.request(request));
        GroupSnapshot::read(rpc, self.call(rpc, sending).await?.group_snapshot)
    }
}
