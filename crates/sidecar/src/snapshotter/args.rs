//! The flags of `csi-snapshotter`: upstream's names and defaults.

use std::path::PathBuf;

use clap::{ArgAction, Parser};
use tintype_runtime::GoDuration;
use tintype_runtime::flags::{Removed, RoleFlags, go_bool, label, removed};
use tintype_runtime::gates::Gates;

/// Makes and removes the snapshots that VolumeSnapshotContents ask for, next to a CSI driver.
#[derive(Debug, Clone, Parser)]
#[command(name = "csi-snapshotter", version, args_override_self = true)]
pub struct Args {
    /// Kubeconfig file; in a pod the service account is used instead
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Socket of the CSI driver: a path, or unix://PATH
    #[arg(long, value_name = "ADDRESS", default_value = "/run/csi/socket")]
    pub csi_address: String,
    /// Longest time one call to the driver may take
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    pub timeout: GoDuration,
    /// First word of the names snapshots have on storage
    #[arg(long, value_name = "WORD", default_value = "snapshot")]
    pub snapshot_name_prefix: String,
    /// How many letters of the uid, without dashes, those names have; -1 keeps it whole
    #[arg(long, value_name = "N", default_value_t = -1, allow_negative_numbers = true, value_parser = clap::value_parser!(i8).range(-1..=32))]
    pub snapshot_name_uuid_length: i8,
    /// First word of the names groups of snapshots have on storage
    #[arg(long, value_name = "WORD", default_value = "groupsnapshot")]
    pub groupsnapshot_name_prefix: String,
    /// How many letters of the uid, without dashes, those names have; -1 keeps it whole
    #[arg(long, value_name = "N", default_value_t = -1, allow_negative_numbers = true, value_parser = clap::value_parser!(i8).range(-1..=32))]
    pub groupsnapshot_name_uuid_length: i8,
    /// How many contents are worked on at once
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub worker_threads: usize,
    /// How often every content is looked at even though nothing changed
    #[arg(long, value_name = "DURATION", default_value = "15m")]
    pub resync_period: GoDuration,
    /// First delay after a failure; it doubles with each
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    pub retry_interval_start: GoDuration,
    /// Longest delay after a failure
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub retry_interval_max: GoDuration,
    /// Tell the driver the names of snapshot and content as parameters
    #[arg(long, value_name = "BOOL", default_value = "false", num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub extra_create_metadata: bool,
    /// Work on the contents of one node, which NODE_NAME names, next to the driver there
    #[arg(long, value_name = "BOOL", default_value = "false", num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub node_deployment: bool,
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
    /// What upstream once had
    #[command(flatten)]
    pub removed: RemovedFlags,
    /// The node with --node-deployment; none: as NODE_NAME says.
    #[arg(skip)]
    pub node: Option<String>,
}

impl Default for Args {
    fn default() -> Self {
        Self::parse_from(["csi-snapshotter"])
    }
}

/// Flags of older versions; giving one is an error that says what to do instead.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct RemovedFlags {
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "", value_parser = removed("the driver says its name itself; take it out"))]
    snapshotter: Option<Removed>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "", value_parser = removed("use --timeout"))]
    connection_timeout: Option<Removed>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "", value_parser = removed("use --retry-interval-start"))]
    create_snapshotcontent_interval: Option<Removed>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "", value_parser = removed("retries have no end; see --retry-interval-max"))]
    create_snapshotcontent_retrycount: Option<Removed>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "", value_parser = removed("use --feature-gates=CSIVolumeGroupSnapshot=true"))]
    enable_volume_group_snapshots: Option<Removed>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &[&str]) -> Result<Args, String> {
        let line = std::iter::once(&"csi-snapshotter").chain(line);
        Args::try_parse_from(line).map_err(|it| it.to_string())
    }

    #[test]
    fn names_are_no_longer_than_uids_are() {
        for length in ["-1", "0", "32"] {
            parsed(&[&format!("--snapshot-name-uuid-length={length}")]).unwrap();
        }
        for length in ["-2", "33"] {
            let error = parsed(&[&format!("--snapshot-name-uuid-length={length}")]).unwrap_err();
            assert!(error.contains("is not in -1..=32"), "{error}");
        }
    }

    #[test]
    fn labels_of_the_lease_are_read_as_upstream_reads_them() {
        let args = parsed(&["--leader-election-labels=a:b,c.d/e:f"]).unwrap();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            args.leader_election_labels,
            [pair("a", "b"), pair("c.d/e", "f")]
        );
        let error = parsed(&["--leader-election-labels=a=b"]).unwrap_err();
        assert!(error.contains("write KEY:VALUE"), "{error}");
    }

    #[test]
    fn flags_of_older_versions_are_answered() {
        for (flag, cure) in [
            ("--snapshotter=x", "the driver says its name itself"),
            ("--connection-timeout=15s", "use --timeout"),
            (
                "--create-snapshotcontent-retrycount=5",
                "see --retry-interval-max",
            ),
            (
                "--enable-volume-group-snapshots",
                "use --feature-gates=CSIVolumeGroupSnapshot=true",
            ),
        ] {
            let error = parsed(&[flag]).unwrap_err();
            assert!(error.contains("this flag is no more"), "{error}");
            assert!(error.contains(cure), "{error}");
        }
    }
}
