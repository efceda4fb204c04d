//! Calls the Controller service for volumes.
//!
//! It does not know who will use a volume.

use std::collections::BTreeMap;

use crate::client::{Client, Rpc, rpc};
use crate::controller::ListPage;
use crate::reply::{named, optional, present, size, trouble};
use crate::{CallError, v1};

/// A volume as the driver describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// The handle; never empty.
    pub id: String,
    /// Zero: unknown.
    pub capacity_bytes: u64,
    /// Handed back to the driver at staging and publishing.
    pub context: BTreeMap<String, String>,
    /// What it was filled with.
    pub content_source: Option<v1::VolumeContentSource>,
    /// From where it can be reached; empty: from everywhere.
    pub accessible_topology: Vec<BTreeMap<String, String>>,
}

impl Volume {
    fn read(rpc: Rpc, wire: Option<v1::Volume>) -> Result<Self, CallError> {
        let wire = present(rpc, "volume", wire)?;
        Ok(Self {
            id: named(rpc, "volume.volume_id", wire.volume_id)?,
            capacity_bytes: size(rpc, "volume.capacity_bytes", wire.capacity_bytes)?,
            context: wire.volume_context,
            content_source: wire.content_source.filter(|source| source.r#type.is_some()),
            accessible_topology: wire
                .accessible_topology
                .into_iter()
                .map(|t| t.segments)
                .collect(),
        })
    }
}

/// A volume in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedVolume {
    /// The volume.
    pub volume: Volume,
    /// Where it is published, if the driver tells.
    pub published_node_ids: Vec<String>,
    /// What is wrong with it, if the driver tells.
    pub trouble: Option<String>,
}

/// Room for new volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Bytes that could still be provisioned.
    pub available: u64,
    /// The largest volume possible.
    pub maximum_volume_size: Option<u64>,
    /// The smallest volume possible.
    pub minimum_volume_size: Option<u64>,
}

/// What came of an expansion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expansion {
    /// The new size.
    pub capacity_bytes: u64,
    /// The node has to grow the file system too.
    pub node_expansion_required: bool,
}

/// Whether a volume can be used in a certain way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validation {
    /// It can.
    pub confirmed: bool,
    /// Why not, or empty.
    pub message: String,
}

impl Client {
    /// Makes a volume, or describes the one of this name.
    pub async fn create_volume(
        &self,
        request: v1::CreateVolumeRequest,
    ) -> Result<Volume, CallError> {
        let rpc = rpc!(Controller, CreateVolume, Provision);
        let mut stub = self.controller();
        let reply = self
            .call(rpc, stub.create_volume(self.request(request)))
            .await?;
        Volume::read(rpc, reply.volume)
    }

    /// Deletes a volume; one that does not exist is deleted already.
    pub async fn delete_volume(&self, request: v1::DeleteVolumeRequest) -> Result<(), CallError> {
        let mut stub = self.controller();
        let sending = stub.delete_volume(self.request(request));
        self.call(rpc!(Controller, DeleteVolume), sending)
            .await
            .map(drop)
    }

    /// Makes a volume larger.
    pub async fn controller_expand_volume(
        &self,
        request: v1::ControllerExpandVolumeRequest,
    ) -> Result<Expansion, CallError> {
        let rpc = rpc!(Controller, ControllerExpandVolume);
        let mut stub = self.controller();
        let reply = self
            .call(rpc, stub.controller_expand_volume(self.request(request)))
            .await?;
        Ok(Expansion {
            capacity_bytes: size(rpc, "capacity_bytes", reply.capacity_bytes)?,
            node_expansion_required: reply.node_expansion_required,
        })
    }

    /// Lists volumes.
    pub async fn list_volumes(
        &self,
        request: v1::ListVolumesRequest,
    ) -> Result<ListPage<ListedVolume>, CallError> {
        let rpc = rpc!(Controller, ListVolumes);
        let mut stub = self.controller();
        let reply = self
            .call(rpc, stub.list_volumes(self.request(request)))
            .await?;
        let entries = reply.entries.into_iter().map(|entry| {
            let status = entry.status.unwrap_or_default();
            Ok(ListedVolume {
                volume: Volume::read(rpc, entry.volume)?,
                published_node_ids: status.published_node_ids,
                trouble: trouble(status.volume_condition),
            })
        });
        Ok(ListPage {
            entries: entries.collect::<Result<_, CallError>>()?,
            next_token: optional(reply.next_token),
        })
    }

    /// Asks how much room there is.
    pub async fn get_capacity(
        &self,
        request: v1::GetCapacityRequest,
    ) -> Result<Capacity, CallError> {
        let rpc = rpc!(Controller, GetCapacity);
        let mut stub = self.controller();
        let reply = self
            .call(rpc, stub.get_capacity(self.request(request)))
            .await?;
        let limit = |field, value: Option<i64>| value.map(|it| size(rpc, field, it)).transpose();
        Ok(Capacity {
            available: size(rpc, "available_capacity", reply.available_capacity)?,
            maximum_volume_size: limit("maximum_volume_size", reply.maximum_volume_size)?,
            minimum_volume_size: limit("minimum_volume_size", reply.minimum_volume_size)?,
        })
    }

    /// Asks whether a volume can be used in a certain way.
    pub async fn validate_volume_capabilities(
        &self,
        request: v1::ValidateVolumeCapabilitiesRequest,
    ) -> Result<Validation, CallError> {
        let mut stub = self.controller();
        let sending = stub.validate_volume_capabilities(self.request(request));
        let reply = self
            .call(rpc!(Controller, ValidateVolumeCapabilities), sending)
            .await?;
        Ok(Validation {
            confirmed: reply.confirmed.is_some(),
            message: reply.message,
        })
    }
}
