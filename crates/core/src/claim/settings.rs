//! Holds what flags and driver say: the same for all claims of one provisioner.

use std::sync::Arc;

use tintype_api::names;

/// What is the same for all claims.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The driver this sidecar stands next to.
    pub driver: Arc<str>,
    /// The finalizer that marks a claim in flight.
    pub mark: Box<str>,
    /// `--volume-name-prefix`.
    pub prefix: Box<str>,
    /// `--volume-name-uuid-length`; none keeps the uid whole.
    pub uid_length: Option<usize>,
    /// `--default-fstype`; empty: none.
    pub default_fs_type: Box<str>,
    /// `--prevent-volume-mode-conversion`.
    pub prevent_mode_change: bool,
    /// `--extra-create-metadata`.
    pub extra_metadata: bool,
    /// `--controller-publish-readonly`.
    pub publish_readonly: bool,
    /// `--strict-topology`.
    pub strict_topology: bool,
    /// `--immediate-topology`.
    pub immediate_topology: bool,
    /// Feature gate `CrossNamespaceVolumeDataSource`.
    pub cross_namespace: bool,
    /// Feature gate `VolumeAttributesClass`.
    pub attributes_class: bool,
    /// What the driver can do.
    pub abilities: Abilities,
    /// `--node-deployment`: this node.
    pub node: Option<OwnNode>,
}

/// What the driver can do (`ControllerGetCapabilities`, `GetPluginCapabilities`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Abilities {
    /// `CREATE_DELETE_SNAPSHOT`: it restores snapshots.
    pub snapshots: bool,
    /// `CLONE_VOLUME`.
    pub clones: bool,
    /// `MODIFY_VOLUME`: it knows mutable parameters.
    pub modify: bool,
    /// `SINGLE_NODE_MULTI_WRITER`: it tells the two single-node access modes apart.
    pub single_node_modes: bool,
    /// `VOLUME_ACCESSIBILITY_CONSTRAINTS`, and the gate `Topology` is on.
    pub topology: bool,
}

/// The node of a provisioner that runs on each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnNode {
    /// `NODE_NAME`.
    pub name: Box<str>,
    /// `--node-deployment-immediate-binding`.
    pub immediate: bool,
}

impl Settings {
    /// Upstream's defaults, for a driver that can do nothing but make volumes.
    pub fn new(driver: impl Into<Arc<str>>) -> Self {
        let driver = driver.into();
        Self {
            mark: names::in_flight_finalizer(&driver).into(),
            driver,
            prefix: names::VOLUME_PREFIX.into(),
            uid_length: None,
            default_fs_type: "".into(),
            prevent_mode_change: true,
            extra_metadata: false,
            publish_readonly: false,
            strict_topology: false,
            immediate_topology: true,
            cross_namespace: false,
            attributes_class: true,
            abilities: Abilities::default(),
            node: None,
        }
    }

    /// The same for a provisioner that runs on each node: each has a mark of its own.
    #[must_use]
    pub fn on(self, node: Option<OwnNode>) -> Self {
        let mark = node.as_ref().map_or_else(
            || names::in_flight_finalizer(&self.driver),
            |it| names::in_flight_finalizer_on(&self.driver, &it.name),
        );
        Self {
            mark: mark.into(),
            node,
            ..self
        }
    }
}
