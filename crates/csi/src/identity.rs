//! Calls the Identity service.
//!
//! It does not know what a capability is used for.

use std::collections::BTreeMap;

use crate::client::{Client, rpc};
use crate::reply::named;
use crate::v1::plugin_capability::{self, service, volume_expansion};
use crate::{CallError, v1};

/// Who the driver says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginInfo {
    /// Its name, such as `csi.example.org`; never empty.
    pub name: String,
    /// Its version, in its own form; may be empty.
    pub vendor_version: String,
    /// Anything else it tells.
    pub manifest: BTreeMap<String, String>,
}

/// What the driver says it is good for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginCapabilities {
    /// It has the Controller service.
    pub controller: bool,
    /// It has the GroupController service.
    pub group_controller: bool,
    /// It has the SnapshotMetadata service.
    pub snapshot_metadata: bool,
    /// Its volumes are not reachable from everywhere.
    pub accessibility_constraints: bool,
    /// It expands volumes in use.
    pub expands_online: bool,
    /// It expands volumes that are not in use.
    pub expands_offline: bool,
}

impl Client {
    /// Asks who the driver is.
    pub async fn get_plugin_info(&self) -> Result<PluginInfo, CallError> {
        let rpc = rpc!(Identity, GetPluginInfo);
        let mut stub = self.identity();
        let request = self.request(v1::GetPluginInfoRequest {});
        let reply = self.call(rpc, stub.get_plugin_info(request)).await?;
        Ok(PluginInfo {
            name: named(rpc, "name", reply.name)?,
            vendor_version: reply.vendor_version,
            manifest: reply.manifest,
        })
    }

    /// Asks whether the driver is ready; one that does not say is.
    pub async fn probe(&self) -> Result<bool, CallError> {
        let mut stub = self.identity();
        let request = self.request(v1::ProbeRequest {});
        let reply = self
            .call(rpc!(Identity, Probe), stub.probe(request))
            .await?;
        Ok(reply.ready.unwrap_or(true))
    }

    /// Asks which services the driver has. Unknown capabilities are passed over.
    pub async fn get_plugin_capabilities(&self) -> Result<PluginCapabilities, CallError> {
        let mut stub = self.identity();
        let request = self.request(v1::GetPluginCapabilitiesRequest {});
        let sending = stub.get_plugin_capabilities(request);
        let reply = self
            .call(rpc!(Identity, GetPluginCapabilities), sending)
            .await?;
        let mut found = PluginCapabilities::default();
        for capability in reply
            .capabilities
            .iter()
            .filter_map(|entry| entry.r#type.as_ref())
        {
            match capability {
                plugin_capability::Type::Service(service) => match service.r#type() {
                    service::Type::Unknown => {}
                    service::Type::ControllerService => found.controller = true,
                    service::Type::GroupControllerService => found.group_controller = true,
                    service::Type::SnapshotMetadataService => found.snapshot_metadata = true,
                    service::Type::VolumeAccessibilityConstraints => {
                        found.accessibility_constraints = true;
                    }
                },
                plugin_capability::Type::VolumeExpansion(expansion) => match expansion.r#type() {
                    volume_expansion::Type::Unknown => {}
                    volume_expansion::Type::Online => found.expands_online = true,
                    volume_expansion::Type::Offline => found.expands_offline = true,
                },
            }
        }
        Ok(found)
    }
}
