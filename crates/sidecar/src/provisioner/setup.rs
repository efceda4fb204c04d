//! Turns flags, and what the driver says of itself, into what the machines stand on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tintype_core::claim::{Abilities, OwnNode, Settings};
use tintype_core::topology::{Node, Segments};
use tintype_csi::v1::controller_service_capability::rpc::Type as Capability;
use tintype_csi::{ControllerCapabilities, PluginCapabilities};
use tintype_runtime::gates::{CROSS_NAMESPACE, Gates};
use tracing::{info, warn};

use super::args::{Args, NodeFlags};
use super::caches::Also;
use super::places::{Places, Watched};
use super::pod::Pod;
use crate::driver::Driver;

/// What the driver and this node said.
pub(super) struct Beside {
    pub(super) controller: ControllerCapabilities,
    pub(super) plugin: PluginCapabilities,
    pub(super) node: Option<Own>,
    pub(super) pod: Pod,
}

/// This node, with one provisioner on each.
pub(super) struct Own {
    pub(super) name: String,
    pub(super) topology: Segments,
}

impl Beside {
    /// Asks the driver; refuses one that makes no volumes.
    pub(super) async fn ask(driver: &Driver, flags: &NodeFlags, pod: &Pod) -> anyhow::Result<Self> {
        let node = flags.node_deployment.then(|| pod.node()).transpose()?;
        let plugin = driver.client.get_plugin_capabilities().await?;
        if !plugin.controller {
            bail!(
                "CSI driver {} has no Controller service; it needs no provisioner",
                driver.name
            );
        }
        let controller = driver.client.controller_get_capabilities().await?;
        if !controller.has(Capability::CreateDeleteVolume) {
            bail!(
                "CSI driver {} does not make volumes (no CREATE_DELETE_VOLUME); it needs no provisioner",
                driver.name
            );
        }
        let node = match node {
            None => None,
            Some(name) => {
                let info = driver.client.node_get_info().await;
                let info = info.context("the driver does not say what it knows of this node")?;
                Some(Own {
                    name,
                    topology: info.topology,
                })
            }
        };
        Ok(Self {
            controller,
            plugin,
            node,
            pod: pod.clone(),
        })
    }

    /// What is the same for all claims.
    pub(super) fn settings(&self, driver: &Driver, args: &Args, gates: &Gates) -> Settings {
        let has = |it| self.controller.has(it);
        Settings {
            prefix: args.volume_name_prefix.as_str().into(),
            uid_length: usize::try_from(args.volume_name_uuid_length).ok(),
            default_fs_type: args.default_fstype.as_str().into(),
            prevent_mode_change: args.prevent_volume_mode_conversion,
            extra_metadata: args.extra_create_metadata,
            publish_readonly: args.controller_publish_readonly,
            strict_topology: args.strict_topology,
            immediate_topology: args.immediate_topology,
            cross_namespace: gates.enabled(CROSS_NAMESPACE),
            attributes_class: gates.enabled("VolumeAttributesClass"),
            abilities: Abilities {
                snapshots: has(Capability::CreateDeleteSnapshot),
                clones: has(Capability::CloneVolume),
                modify: has(Capability::ModifyVolume),
                single_node_modes: has(Capability::SingleNodeMultiWriter),
                topology: self.topology(gates),
            },
            ..Settings::new(driver.name.clone())
        }
        .on(self.node.as_ref().map(|it| OwnNode {
            name: it.name.as_str().into(),
            immediate: args.node.node_deployment_immediate_binding,
        }))
    }

    /// What has to be watched for that.
    pub(super) fn also(&self, driver: &Driver, gates: &Gates) -> Also {
        Also {
            places: match &self.node {
                Some(own) => Places::Here(Arc::new([own.node()])),
                None if self.topology(gates) => Places::Watched(Watched::new(driver.name.clone())),
                None => Places::Anywhere,
            },
            attachments: self.controller.has(Capability::PublishUnpublishVolume),
            grants: gates.enabled(CROSS_NAMESPACE),
        }
    }

    pub(super) fn topology(&self, gates: &Gates) -> bool {
        self.plugin.accessibility_constraints && gates.enabled("Topology")
    }
}

impl Own {
    fn node(&self) -> Node {
        let keys: BTreeSet<_> = self.topology.clone().into_keys().collect();
        Node {
            name: self.name.clone(),
            keys: keys.into_iter().collect(),
            labels: Some(self.topology.clone()),
        }
    }
}

/// Refuses what cannot work, and says what has no effect.
pub(super) fn check(args: &Args) -> anyhow::Result<()> {
    if args.volume_name_prefix.is_empty() {
        bail!("--volume-name-prefix is empty; give it a word, such as pvc");
    }
    let node = args.node;
    let (base, max) = (
        node.node_deployment_base_delay.0,
        node.node_deployment_max_delay.0,
    );
    if node.node_deployment && base > max {
        bail!(
            "--node-deployment-base-delay {base:?} is longer than --node-deployment-max-delay {max:?}; raise the second"
        );
    }
    if args.capacity.enable_capacity && args.capacity.kube_api_capacity_qps <= 0.0 {
        bail!(
            "--kube-api-capacity-qps is {}; give it a rate above 0",
            args.capacity.kube_api_capacity_qps
        );
    }
    if args.enable_pprof {
        warn!("--enable-pprof has no effect: there is no Go to profile");
    }
    Ok(())
}

/// Waits for a cache that may never be filled: definitions or rights can be missing.
pub(super) async fn filled_soon(what: &str, filled: impl Future<Output = ()>) {
    /// A list that is allowed takes no longer, however long it is.
    const PATIENCE: Duration = Duration::from_secs(10);
    if tokio::time::timeout(PATIENCE, filled).await.is_err() {
        info!("{what} cannot be watched yet: definitions or rights are missing; all else goes on");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let refused = |change: fn(&mut Args)| {
            let mut args = Args::default();
            change(&mut args);
            check(&args).unwrap_err().to_string()
        };
        check(&Args::default()).unwrap();
        let prefix = refused(|it| it.volume_name_prefix.clear());
        assert!(prefix.contains("--volume-name-prefix is empty"), "{prefix}");
        let delays = refused(|it| {
            it.node.node_deployment = true;
            it.node.node_deployment_max_delay.0 = Duration::from_secs(1);
        });
        assert!(delays.contains("--node-deployment-max-delay"), "{delays}");
    }
}
