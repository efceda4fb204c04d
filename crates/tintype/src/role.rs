//! Names the roles, and finds out which one is meant and with which flags.
//! Knows what a command line looks like; runs nothing.

use std::{ffi::OsString, path::Path};

use clap::{ArgAction, FromArgMatches as _, Parser, Subcommand};
use tintype_plugin::{doctor, restore};
use tintype_sandbox::{bench, demo, mount, up};

use crate::go_flags;

/// Volume snapshots for Kubernetes: the API, the controllers, the driver, and a cluster to try them in.
#[derive(Debug, Parser)]
#[command(name = "tintype", version, arg_required_else_help = true)]
struct Tintype {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Run a Kubernetes API with volumes and snapshots on this machine.
    Up(Watched<up::Args>),
    /// Fill a volume with real files, snapshot, damage and restore it, and compare every file.
    ///
    /// The sandbox for it is temporary: in $TMPDIR; if that is not set, in memory if the files fit.
    Demo(Watched<demo::Args>),
    /// Show the volume of a claim at a directory, as a node would for a pod.
    Mount(Watched<mount::MountArgs>),
    /// Take a volume away from the directory where it was mounted.
    Unmount(Watched<mount::UnmountArgs>),
    Bench(Watched<bench::Args>),
    /// Fill a new claim, in any namespace, from a snapshot.
    ///
    /// From another namespace the snapshot's handle is imported first: no API server has to know
    /// `dataSourceRef.namespace`. Also as `kubectl tintype restore`.
    Restore(Watched<restore::Args>),
    /// Look a cluster over: what is wrong with its snapshots, and what helps.
    ///
    /// Ends with an error if somebody has to do something. Also as `kubectl tintype doctor`.
    Doctor(Watched<doctor::Args>),
    Crds(tintype_webhook::crds::Args),
    Convert(tintype_webhook::convert::Args),
    SnapshotController(tintype_controller::Args),
    SnapshotConversionWebhook(tintype_webhook::Args),
    #[command(name = VALIDATION, hide = true)]
    SnapshotValidationWebhook(tintype_webhook::Args),
    CsiSnapshotter(tintype_sidecar::snapshotter::Args),
    CsiProvisioner(tintype_sidecar::provisioner::Args),
    CsiDriver(tintype_driver::Args),
    /// Print the version.
    Version,
}

impl Role {
    /// It runs in a pod, where nobody looks at it.
    pub(crate) fn is_of_a_cluster(&self) -> bool {
        matches!(
            self,
            Self::SnapshotController(_)
                | Self::SnapshotConversionWebhook(_)
                | Self::SnapshotValidationWebhook(_)
                | Self::CsiSnapshotter(_)
                | Self::CsiProvisioner(_)
                | Self::CsiDriver(_)
        )
    }
}

// A role that a person runs and looks at. No doc comment: it would become the help of each.
#[derive(Debug, clap::Args)]
pub(crate) struct Watched<A: clap::Args> {
    #[command(flatten)]
    pub(crate) args: A,
    /// Say more on standard error; twice, still more.
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// Roles of upstream's programs: also links of that name, and flags as Go takes them.
const UPSTREAM: [&str; 5] = [
    "snapshot-controller",
    "snapshot-conversion-webhook",
    VALIDATION,
    "csi-snapshotter",
    "csi-provisioner",
];

/// What the webhook role was called before there was anything to convert.
const VALIDATION: &str = "snapshot-validation-webhook";

/// The role that the command line means, by the program's name or by its first argument.
pub(crate) fn choose(arguments: impl IntoIterator<Item = OsString>) -> Result<Role, clap::Error> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let called = arguments
        .first()
        .and_then(|name| Path::new(name).file_name());
    if let Some(link) = UPSTREAM
        .iter()
        .find(|name| called.is_some_and(|called| called == **name))
    {
        let mut line = vec![OsString::from(link)];
        line.extend(go_flags::normalise(arguments.drain(1..)));
        // Usage and errors then speak of the link's name, as the program it stands for would.
        let command = clap::Command::new("tintype").multicall(true);
        let found = Role::augment_subcommands(command).try_get_matches_from(line)?;
        return Role::from_arg_matches(&found);
    }
    if arguments
        .get(1)
        .is_some_and(|role| UPSTREAM.iter().any(|name| role == name))
    {
        let flags = go_flags::normalise(arguments.drain(2..));
        arguments.extend(flags);
    }
    Ok(Tintype::try_parse_from(arguments)?.role)
}

#[cfg(test)]
mod flags;

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, error::ErrorKind};

    use super::*;

    fn chosen(line: &[&str]) -> Result<Role, clap::Error> {
        choose(line.iter().map(OsString::from))
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Tintype::command().debug_assert();
    }

    #[test]
    fn a_link_of_upstreams_name_is_that_role() {
        let role = chosen(&["/usr/bin/snapshot-controller", "-worker-threads=3"]).unwrap();
        let Role::SnapshotController(args) = role else {
            panic!("{role:?}")
        };
        assert_eq!(args.worker_threads, 3);
        let role = chosen(&["tintype", "snapshot-controller", "-worker-threads", "4"]).unwrap();
        let Role::SnapshotController(args) = role else {
            panic!("{role:?}")
        };
        assert_eq!(args.worker_threads, 4);
    }

    #[test]
    fn the_webhook_has_both_of_upstreams_names() {
        for name in ["snapshot-conversion-webhook", "snapshot-validation-webhook"] {
            let link = format!("/usr/bin/{name}");
            for line in [
                vec![link.as_str(), "-port=8443"],
                vec!["tintype", name, "-port=8443"],
            ] {
                match chosen(&line).unwrap() {
                    Role::SnapshotConversionWebhook(args)
                    | Role::SnapshotValidationWebhook(args) => {
                        assert_eq!(args.port, 8443);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    #[test]
    fn a_link_speaks_of_itself() {
        let error = chosen(&["./snapshot-controller", "-no-such-flag"])
            .unwrap_err()
            .to_string();
        assert!(error.contains("Usage: snapshot-controller"), "{error}");
    }

    #[test]
    fn kubectls_plugin_is_tintype() {
        assert!(matches!(
            chosen(&["kubectl-tintype", "version"]),
            Ok(Role::Version)
        ));
    }

    #[test]
    fn sandbox_commands_take_no_flags_of_go() {
        let error = chosen(&["tintype", "up", "-port", "1"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownArgument);
        let error = chosen(&["tintype", "up", "--ephemeral", "--data-dir", "x"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ArgumentConflict);
    }

    #[test]
    fn every_command_says_what_it_does() {
        let help = Tintype::command().render_help().to_string();
        let words: Vec<&str> = help.split_whitespace().collect();
        let help = words.join(" ");
        for says in [
            "up Run a Kubernetes API",
            "demo Fill a volume",
            "convert Print manifests",
            "restore Fill a new claim",
            "doctor Look a cluster over",
            "snapshot-controller Binds VolumeSnapshots",
            "csi-snapshotter Makes and removes the snapshots",
        ] {
            assert!(help.contains(says), "{help}");
        }
    }

    #[test]
    fn verbosity_is_counted() {
        let Role::Up(up) = chosen(&["tintype", "up", "-vv"]).unwrap() else {
            panic!()
        };
        assert_eq!(up.verbose, 2);
    }
}
