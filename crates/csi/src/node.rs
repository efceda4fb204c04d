//! Calls the Node service.
//!
//! It does not know which workload a volume is for.

use std::collections::{BTreeMap, BTreeSet};

use crate::client::{Client, rpc};
use crate::reply::{named, size, trouble};
use crate::v1::node_service_capability as capability;
use crate::{CallError, v1};

/// What the Node service can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeCapabilities(BTreeSet<capability::rpc::Type>);

impl NodeCapabilities {
    /// Whether the driver names this capability.
    pub fn has(&self, what: capability::rpc::Type) -> bool {
        self.0.contains(&what)
    }
}

/// The node as the driver knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// Its id; never empty.
    pub id: String,
    /// How many volumes it takes; none: no limit.
    pub max_volumes: Option<u64>,
    /// Where it is.
    pub topology: BTreeMap<String, String>,
}

/// How full a volume is, in one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Free for use.
    pub available: u64,
    /// In all.
    pub total: u64,
    /// Taken.
    pub used: u64,
}

/// How full a volume is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeStats {
    /// In bytes, if known.
    pub bytes: Option<Usage>,
    /// In inodes, if known.
    pub inodes: Option<Usage>,
    /// What is wrong with it, if the driver tells.
    pub trouble: Option<String>,
}

impl Client {
    /// Asks what the Node service can do. Unknown capabilities are passed over.
    pub async fn node_get_capabilities(&self) -> Result<NodeCapabilities, CallError> {
        let mut stub = self.node();
        let request = self.request(v1::NodeGetCapabilitiesRequest {});
        let sending = stub.node_get_capabilities(request);
        let reply = self.call(rpc!(Node, NodeGetCapabilities), sending).await?;
        let kinds = reply
            .capabilities
            .into_iter()
            .filter_map(|entry| match entry.r#type? {
                capability::Type::Rpc(rpc) => Some(rpc.r#type()),
            });
        Ok(NodeCapabilities(kinds.collect()))
    }

    /// Asks which node this is.
    pub async fn node_get_info(&self) -> Result<NodeInfo, CallError> {
        let rpc = rpc!(Node, NodeGetInfo);
        let mut stub = self.node();
        let request = self.request(v1::NodeGetInfoRequest {});
        let reply = self.call(rpc, stub.node_get_info(request)).await?;
        let limit = size(rpc, "max_volumes_per_node", reply.max_volumes_per_node)?;
        Ok(NodeInfo {
            id: named(rpc, "node_id", reply.node_id)?,
            max_volumes: Some(limit).filter(|limit| *limit > 0),
            topology: reply.accessible_topology.unwrap_or_default().segments,
        })
    }

    /// Prepares a volume on this node.
    pub async fn node_stage_volume(
        &self,
        request: v1::NodeStageVolumeRequest,
    ) -> Result<(), CallError> {
        let mut stub = self.node();
        let sending = stub.node_stage_volume(self.request(request));
        self.call(rpc!(Node, NodeStageVolume), sending)
            .await
            .map(drop)
    }

    /// Undoes the staging.
    pub async fn node_unstage_volume(
        &self,
        request: v1::NodeUnstageVolumeRequest,
    ) -> Result<(), CallError> {
        let mut stub = self.node();
        let sending = stub.node_unstage_volume(self.request(request));
        self.call(rpc!(Node, NodeUnstageVolume), sending)
            .await
            .map(drop)
    }

    /// Shows a staged volume at a path.
    pub async fn node_publish_volume(
        &self,
        request: v1::NodePublishVolumeRequest,
    ) -> Result<(), CallError> {
        let mut stub = self.node();
        let sending = stub.node_publish_volume(self.request(request));
        self.call(rpc!(Node, NodePublishVolume), sending)
            .await
            .map(drop)
    }

    /// Undoes the publishing.
    pub async fn node_unpublish_volume(
        &self,
        request: v1::NodeUnpublishVolumeRequest,
    ) -> Result<(), CallError> {
        let mut stub = self.node();
        let sending = stub.node_unpublish_volume(self.request(request));
        self.call(rpc!(Node, NodeUnpublishVolume), sending)
            .await
            .map(drop)
    }

    /// Asks how full a volume is.
    pub async fn node_get_volume_stats(
        &self,
        request: v1::NodeGetVolumeStatsRequest,
    ) -> Result<VolumeStats, CallError> {
        let rpc = rpc!(Node, NodeGetVolumeStats);
        let mut stub = self.node();
        let reply = self
            .call(rpc, stub.node_get_volume_stats(self.request(request)))
            .await?;
        let trouble = trouble(reply.volume_condition);
        let mut stats = VolumeStats {
            trouble,
            ..VolumeStats::default()
        };
        for entry in reply.usage {
            let usage = Usage {
                available: size(rpc, "usage.available", entry.available)?,
                total: size(rpc, "usage.total", entry.total)?,
                used: size(rpc, "usage.used", entry.used)?,
            };
            match entry.unit() {
                v1::volume_usage::Unit::Unknown => {}
                v1::volume_usage::Unit::Bytes => stats.bytes = Some(usage),
                v1::volume_usage::Unit::Inodes => stats.inodes = Some(usage),
            }
        }
        Ok(stats)
    }

    /// Grows a volume's file system to what the Controller made room for; zero: size unknown.
    pub async fn node_expand_volume(
        &self,
        request: v1::NodeExpandVolumeRequest,
    ) -> Result<u64, CallError> {
        let rpc = rpc!(Node, NodeExpandVolume);
        let mut stub = self.node();
        let reply = self
            .call(rpc, stub.node_expand_volume(self.request(request)))
            .await?;
        size(rpc, "capacity_bytes", reply.capacity_bytes)
    }
}
