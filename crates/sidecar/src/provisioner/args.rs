//! The flags of `csi-provisioner`: upstream's names and defaults.

use std::path::PathBuf;

use clap::{ArgAction, Parser};
use tintype_runtime::GoDuration;
use tintype_runtime::flags::{RoleFlags, go_bool, label};
use tintype_runtime::gates::Gates;

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
    /// How many claims are worked on at once, and how many volumes
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub worker_threads: usize,
    /// How often every object is looked at even though nothing changed
    #[arg(long, value_name = "DURATION", default_value = "15m")]
    pub resync_period: GoDuration,
    /// First delay after a failure; it doubles with each
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    pub retry_interval_start: GoDuration,
    /// Longest delay after a failure
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub retry_interval_max: GoDuration,
    /// Refuse to restore a snapshot to another volume mode, unless its content allows it
    #[arg(long, value_name = "BOOL", default_value = "true", num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub prevent_volume_mode_conversion: bool,
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
    /// Features to turn on or off
    #[arg(long, value_name = "NAME=BOOL,…", action = ArgAction::Append)]
    pub feature_gates: Vec<Gates>,
    /// What all roles share
    #[command(flatten)]
    pub role: RoleFlags,
}

impl Default for Args {
    fn default() -> Self {
        Self::parse_from(["csi-provisioner"])
    }
}
