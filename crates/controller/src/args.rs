//! The flags of `snapshot-controller`: upstream's names and defaults.

use std::path::PathBuf;

use clap::{ArgAction, Parser};
use tintype_runtime::GoDuration;
use tintype_runtime::flags::{Removed, RoleFlags, go_bool, removed};
use tintype_runtime::gates::Gates;

/// Binds VolumeSnapshots to VolumeSnapshotContents, one active instance per cluster.
#[derive(Debug, Clone, Parser)]
#[command(name = "snapshot-controller", version, args_override_self = true)]
pub struct Args {
    /// Kubeconfig file; in a pod the service account is used instead
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// How many objects are worked on at once, per queue
    #[arg(long, value_name = "N", default_value_t = 10)]
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
    /// How long the definitions of the snapshot kinds may be missing at the start; 1s or more
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    pub retry_crd_interval_max: GoDuration,
    /// Name the node of each content, for a sidecar per node
    #[arg(long, value_name = "BOOL", default_value = "false", num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub enable_distributed_snapshotting: bool,
    /// Record the volume mode of the source, so that a restore cannot change it unasked
    #[arg(long, value_name = "BOOL", default_value = "true", num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub prevent_volume_mode_conversion: bool,
    /// Label invalid snapshots and contents, as releases 3 to 7 did, and take the label off what is valid
    #[arg(long, value_name = "BOOL", default_value = "false", num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub label_invalid_objects: bool,
    /// Features to turn on or off
    #[arg(long, value_name = "NAME=BOOL,…", action = ArgAction::Append)]
    pub feature_gates: Vec<Gates>,
    /// What all roles share
    #[command(flatten)]
    pub role: RoleFlags,
    /// What upstream once had
    #[command(flatten)]
    pub removed: RemovedFlags,
}

impl Default for Args {
    fn default() -> Self {
        Self::parse_from(["snapshot-controller"])
    }
}

/// Flags of older versions; giving one is an error that says what to do instead.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct RemovedFlags {
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
        let line = std::iter::once(&"snapshot-controller").chain(line);
        Args::try_parse_from(line).map_err(|it| it.to_string())
    }

    #[test]
    fn the_line_of_upstreams_deployment_is_taken() {
        let args = parsed(&["--v=5", "--leader-election=true"]).unwrap();
        assert!(args.role.leader.leader_election);
        let again = parsed(&["--worker-threads=3", "--worker-threads=4"]).unwrap();
        assert_eq!(again.worker_threads, 4);
        let gates = parsed(&[
            "--feature-gates=CSIVolumeGroupSnapshot=false",
            "--feature-gates=AllAlpha=true",
        ]);
        assert_eq!(gates.unwrap().feature_gates.len(), 2);
    }

    #[test]
    fn flags_of_older_versions_are_answered() {
        for (flag, cure) in [
            (
                "--enable-volume-group-snapshots=true",
                "use --feature-gates=CSIVolumeGroupSnapshot=true",
            ),
            (
                "--create-snapshotcontent-retrycount=5",
                "see --retry-interval-max",
            ),
            (
                "--create-snapshotcontent-interval=10s",
                "use --retry-interval-start",
            ),
        ] {
            let error = parsed(&[flag]).unwrap_err();
            assert!(error.contains("this flag is no more"), "{error}");
            assert!(error.contains(cure), "{error}");
        }
        let error = parsed(&["--feature-gates=VolumeGroupSnapshot=true"]).unwrap_err();
        assert!(
            error.contains("did you mean CSIVolumeGroupSnapshot?"),
            "{error}"
        );
    }
}
