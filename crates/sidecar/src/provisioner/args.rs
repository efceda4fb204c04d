//! The flags of `csi-provisioner`: upstream's names and defaults.

use std::path::PathBuf;

use clap::{ArgAction, Parser};
use tintype_runtime::GoDuration;
use tintype_runtime::flags::{Removed, RoleFlags, go_bool, label, removed};
use tintype_runtime::gates::Gates;

use super::pod::Pod;

/// Makes volumes for PersistentVolumeClaims and removes them, next to a CSI driver.
#[derive(Debug, Clone, Parser)]
#[command(name = "csi-provisioner", version, args_override_self = true)]
pub struct Args {
    /// Kubeconfig file; in a pod the service account is used instead
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Socket of the CSI driver: a path, or unix://PATH
    #[arg(long, value_name = "ADDRESS", default_value = "/run/csi/socket")]
    pub csi_address: String,
    /// Longest time one call to the driver may take
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    pub timeout: GoDuration,
    /// First word of the names of volumes
    #[arg(long, value_name = "WORD", default_value = "pvc")]
    pub volume_name_prefix: String,
    /// How many letters of the uid, without dashes, those names have; -1 keeps it whole
    #[arg(long, value_name = "N", default_value_t = -1, allow_negative_numbers = true, value_parser = clap::value_parser!(i8).range(-1..=32))]
    pub volume_name_uuid_length: i8,
    /// How many claims are worked on at once, and how many volumes
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub worker_threads: usize,
    /// How many claims that were copied are let go at once
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub cloning_protection_threads: usize,
    /// How often every snapshot is looked at for a finalizer nobody needs; 0: only on news
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub snapshot_orphan_sweep_interval: GoDuration,
    /// How often every object is looked at even though nothing changed
    #[arg(long, value_name = "DURATION", default_value = "15m")]
    pub resync_period: GoDuration,
    /// First delay after a failure; it doubles with each
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    pub retry_interval_start: GoDuration,
    /// Longest delay after a failure
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub retry_interval_max: GoDuration,
    /// File system of volumes whose class names none
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    pub default_fstype: String,
    /// Tell the driver the names of claim and volume as parameters
    #[arg(long, value_name = "BOOL", default_value = "false", num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub extra_create_metadata: bool,
    /// Refuse to restore a snapshot to another volume mode, unless its content allows it
    #[arg(long, value_name = "BOOL", default_value = "true", num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub prevent_volume_mode_conversion: bool,
    /// Mark volumes that are only read, by many nodes, as read-only for attaching
    #[arg(long, value_name = "BOOL", default_value = "false", num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub controller_publish_readonly: bool,
    /// Late binding: name only the selected node's topology to the driver
    #[arg(long, value_name = "BOOL", default_value = "false", num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub strict_topology: bool,
    /// Immediate binding: name the topology of all nodes to the driver
    #[arg(long, value_name = "BOOL", default_value = "true", num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub immediate_topology: bool,
    /// Publishing of free room
    #[command(flatten)]
    pub capacity: CapacityFlags,
    /// One provisioner on each node
    #[command(flatten)]
    pub node: NodeFlags,
    /// Labels the lease gets
    #[arg(long, value_name = "KEY:VALUE,…", action = ArgAction::Append, value_delimiter = ',', value_parser = label)]
    pub leader_election_labels: Vec<(String, String)>,
    /// Older name of --http-endpoint, without the health of the leader
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "",
        hide_default_value = true
    )]
    pub metrics_address: String,
    /// Taken without effect: there is no Go to profile
    #[arg(long, hide = true, value_name = "BOOL", default_value = "false", num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub enable_pprof: bool,
    /// Features to turn on or off
    #[arg(long, value_name = "NAME=BOOL,…", action = ArgAction::Append)]
    pub feature_gates: Vec<Gates>,
    /// What all roles share
    #[command(flatten)]
    pub role: RoleFlags,
    /// What upstream once had, or what cannot be had here
    #[command(flatten)]
    pub removed: RemovedFlags,
    /// What the pod says of itself; none: as its environment says.
    #[arg(skip)]
    pub pod: Option<Pod>,
}

/// How CSIStorageCapacity objects are kept.
#[derive(Debug, Clone, clap::Args)]
pub struct CapacityFlags {
    /// Say in CSIStorageCapacity objects how much room the driver has where
    #[arg(long, value_name = "BOOL", default_value = "false", num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub enable_capacity: bool,
    /// Also for classes that bind at once
    #[arg(long, value_name = "BOOL", default_value = "false", num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub capacity_for_immediate_binding: bool,
    /// How often the driver is asked for its room
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    pub capacity_poll_interval: GoDuration,
    /// Whose the objects are: -1 nobody's, 0 the pod's of POD_NAME and NAMESPACE, 1 its owner's, 2 that one's
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true, value_parser = clap::value_parser!(i8).range(-1..=9))]
    pub capacity_ownerref_level: i8,
    /// How often the driver is asked at once
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub capacity_threads: usize,
    /// Most writes of CSIStorageCapacity objects per second
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    pub kube_api_capacity_qps: f64,
    /// How many of them may be made at once
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub kube_api_capacity_burst: u32,
}

/// How provisioners on each node share the work.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct NodeFlags {
    /// Work for one node, which NODE_NAME names, next to the driver there
    #[arg(long, value_name = "BOOL", default_value = "false", num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub node_deployment: bool,
    /// On each node: take claims that bind at once, too
    #[arg(long, value_name = "BOOL", default_value = "true", num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub node_deployment_immediate_binding: bool,
    /// Longest first delay before such a claim is taken
    #[arg(long, value_name = "DURATION", default_value = "20s")]
    pub node_deployment_base_delay: GoDuration,
    /// Longest delay after others were faster
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    pub node_deployment_max_delay: GoDuration,
}

impl Default for Args {
    fn default() -> Self {
        Self::parse_from(["csi-provisioner"])
    }
}

/// Flags that are an error, which says what to do instead.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct RemovedFlags {
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "", value_parser = removed("write the address into a file and give --kubeconfig"))]
    master: Option<Removed>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "", value_parser = removed("the driver says its name itself; take it out"))]
    provisioner: Option<Removed>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "", value_parser = removed("use --timeout"))]
    connection_timeout: Option<Removed>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "", value_parser = removed("use --leader-election"))]
    enable_leader_election: Option<Removed>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "", value_parser = removed("leases are all there is; take it out"))]
    leader_election_type: Option<Removed>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_cannot_be_had_are_answered() {
        for (flag, cure) in [
            ("--master=https://a", "give --kubeconfig"),
            ("--provisioner=x", "the driver says its name itself"),
            ("--leader-election-type=leases", "take it out"),
        ] {
            let parsed = Args::try_parse_from(["csi-provisioner", flag]);
            let error = parsed.unwrap_err().to_string();
            assert!(error.contains(cure), "{error}");
        }
    }
}
