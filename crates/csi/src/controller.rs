//! Calls the Controller service for snapshots, and asks what that service can do.
//!
//! Volumes are in `volumes.rs`. It does not know whether a snapshot is wanted.

use std::collections::BTreeSet;
use std::time::SystemTime;

use crate::client::{Client, Rpc, rpc};
use crate::reply::{moment, named, optional, present, size};
use crate::v1::controller_service_capability as capability;
use crate::{CallError, v1};

/// What the Controller service can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControllerCapabilities(BTreeSet<capability::rpc::Type>);

impl ControllerCapabilities {
    /// Whether the driver names this capability.
    pub fn has(&self, what: capability::rpc::Type) -> bool {
        self.0.contains(&what)
    }
}

/// A snapshot as the driver describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The handle; never empty.
    pub id: String,
    /// What it was cut from.
    pub source_volume_id: String,
    /// The least size of a volume restored from it; zero: unknown.
    pub size_bytes: u64,
    /// When it was cut, if the driver says.
    pub creation_time: Option<SystemTime>,
    /// Volumes can be made from it.
    pub ready_to_use: bool,
    /// The group it was cut with.
    pub group_snapshot_id: Option<String>,
}

impl Snapshot {
    pub(crate) fn read(rpc: Rpc, wire: Option<v1::Snapshot>) -> Result<Self, CallError> {
        let wire = present(rpc, "snapshot", wire)?;
        Ok(Self {
            id: named(rpc, "snapshot.snapshot_id", wire.snapshot_id)?,
            source_volume_id: wire.source_volume_id,
            size_bytes: likely(size(rpc, "snapshot.size_bytes", wire.size_bytes)),
            creation_time: likely(moment(rpc, "snapshot.creation_time", wire.creation_time)),
            ready_to_use: wire.ready_to_use,
            group_snapshot_id: optional(wire.group_snapshot_id),
        })
    }
}

/// The value, or that it is unknown: an answer is not thrown away over what nobody depends on.
fn likely<T: Default>(value: Result<T, CallError>) -> T {
    value.unwrap_or_else(|error| {
        tracing::warn!(%error, "taken for unknown");
        T::default()
    })
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPage<T> {
    /// What is on it.
    pub entries: Vec<T>,
    /// Where the next page starts; none: this was the last.
    pub next_token: Option<String>,
}

impl Client {
    /// Asks what the Controller service can do. Unknown capabilities are passed over.
    pub async fn controller_get_capabilities(&self) -> Result<ControllerCapabilities, CallError> {
        let mut stub = self.controller();
        let request = self.request(v1::ControllerGetCapabilitiesRequest {});
        let sending = stub.controller_get_capabilities(request);
        let reply = self
            .call(rpc!(Controller, ControllerGetCapabilities), sending)
            .await?;
        let kinds = reply
            .capabilities
            .into_iter()
            .filter_map(|entry| match entry.r#type? {
                capability::Type::Rpc(rpc) => Some(rpc.r#type()),
            });
        Ok(ControllerCapabilities(kinds.collect()))
    }

    /// Cuts a snapshot, or asks how the one of this name is doing.
    pub async fn create_snapshot(
        &self,
        request: v1::CreateSnapshotRequest,
    ) -> Result<Snapshot, CallError> {
        let rpc = rpc!(Controller, CreateSnapshot);
        let mut stub = self.controller();
        let reply = self
            .call(rpc, stub.create_snapshot(self.request(request)))
            .await?;
        Snapshot::read(rpc, reply.snapshot)
    }

    /// Deletes a snapshot; one that does not exist is deleted already.
    pub async fn delete_snapshot(
        &self,
        request: v1::DeleteSnapshotRequest,
    ) -> Result<(), CallError> {
        let mut stub = self.controller();
        let sending = stub.delete_snapshot(self.request(request));
        self.call(rpc!(Controller, DeleteSnapshot), sending)
            .await
            .map(drop)
    }

    /// Lists snapshots, or one of them, or those of one volume.
    pub async fn list_snapshots(
        &self,
        request: v1::ListSnapshotsRequest,
    ) -> Result<ListPage<Snapshot>, CallError> {
        let rpc = rpc!(Controller, ListSnapshots);
        let mut stub = self.controller();
        let reply = self
            .call(rpc, stub.list_snapshots(self.request(request)))
            .await?;
        let entries = reply
            .entries
            .into_iter()
            .map(|entry| Snapshot::read(rpc, entry.snapshot));
        Ok(ListPage {
            entries: entries.collect::<Result<_, _>>()?,
            next_token: optional(reply.next_token),
        })
    }

    /// Describes one snapshot.
    pub async fn get_snapshot(
        &self,
        request: v1::GetSnapshotRequest,
    ) -> Result<Snapshot, CallError> {
        let rpc = rpc!(Controller, GetSnapshot);
        let mut stub = self.controller();
        let reply = self
            .call(rpc, stub.get_snapshot(self.request(request)))
            .await?;
        Snapshot::read(rpc, reply.snapshot)
    }
}
