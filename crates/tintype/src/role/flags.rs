//! Holds every flag of upstream's programs with its default, as tables, against ours, in every
//! spelling that Go programs take.

use std::ffi::OsString;

use clap::CommandFactory as _;
use clap::error::ErrorKind;

use super::{Tintype, choose};

/// Name, default, and a value that changes something.
type Flags = &'static [(&'static str, &'static str, &'static str)];

/// Of all of them: klog's, and which cluster.
const EVERY: Flags = &[
    ("kubeconfig", "", "/etc/kubeconfig"),
    ("automaxprocs", "false", "true"),
    ("v", "0", "5"),
    ("vmodule", "", "snapshot*=5"),
    ("logging-format", "text", "json"),
    ("log-flush-frequency", "5s", "1s"),
    ("log-text-split-stream", "false", "true"),
    ("log-text-info-buffer-size", "0", "4Ki"),
    ("log-json-split-stream", "false", "true"),
    ("log-json-info-buffer-size", "0", "512"),
];

/// Of those that work on objects.
const WORKS: Flags = &[
    ("leader-election", "false", "T"),
    ("leader-election-namespace", "", "storage"),
    ("leader-election-lease-duration", "15s", "60s"),
    ("leader-election-renew-deadline", "10s", "40s"),
    ("leader-election-retry-period", "5s", "2s"),
    ("kube-api-qps", "", "5"),
    ("kube-api-burst", "", "10"),
    ("http-endpoint", "", ":8080"),
    ("metrics-path", "/metrics", "/numbers"),
    ("retry-interval-start", "1s", "500ms"),
    ("retry-interval-max", "5m", "1h30m"),
    ("feature-gates", "", "CSIVolumeGroupSnapshot=false"),
];

/// Of those beside a driver.
const BESIDE: Flags = &[
    ("csi-address", "/run/csi/socket", "unix:///csi/csi.sock"),
    ("extra-create-metadata", "false", "true"),
    ("node-deployment", "false", "true"),
    ("leader-election-labels", "", "team:storage"),
    ("metrics-address", "", ":8080"),
];

const CONTROLLER: Flags = &[
    ("resync-period", "15m", "0"),
    ("worker-threads", "10", "77"),
    ("enable-distributed-snapshotting", "false", "1"),
    ("prevent-volume-mode-conversion", "true", "F"),
    ("retry-crd-interval-max", "30s", "1s"),
];

const SNAPSHOTTER: Flags = &[
    ("timeout", "1m", "15s"),
    ("snapshot-name-prefix", "snapshot", "cut"),
    ("snapshot-name-uuid-length", "-1", "8"),
    ("groupsnapshot-name-prefix", "groupsnapshot", "cuts"),
    ("groupsnapshot-name-uuid-length", "-1", "8"),
    ("worker-threads", "10", "77"),
    ("resync-period", "15m", "0"),
];

const PROVISIONER: Flags = &[
    ("timeout", "10s", "15s"),
    ("volume-name-prefix", "pvc", "vol"),
    ("volume-name-uuid-length", "-1", "8"),
    ("worker-threads", "100", "77"),
    ("cloning-protection-threads", "1", "2"),
    ("snapshot-orphan-sweep-interval", "5m", "1m"),
    ("default-fstype", "", "xfs"),
    ("prevent-volume-mode-conversion", "true", "F"),
    ("controller-publish-readonly", "false", "true"),
    ("strict-topology", "false", "true"),
    ("immediate-topology", "true", "false"),
    ("enable-capacity", "false", "true"),
    ("capacity-for-immediate-binding", "false", "true"),
    ("capacity-poll-interval", "1m", "2m"),
    ("capacity-ownerref-level", "1", "2"),
    ("capacity-threads", "1", "2"),
    ("kube-api-capacity-qps", "1", "2"),
    ("kube-api-capacity-burst", "5", "7"),
    ("node-deployment-immediate-binding", "true", "false"),
    ("node-deployment-base-delay", "20s", "2s"),
    ("node-deployment-max-delay", "60s", "70s"),
    ("enable-pprof", "false", "true"),
];

/// Of the conversion webhook, and of the validation webhook before it.
const WEBHOOK: Flags = &[
    ("tls-cert-file", "", "/tls/tls.crt"),
    ("tls-private-key-file", "", "/tls/tls.key"),
    ("port", "443", "8443"),
    ("prevent-volume-mode-conversion", "true", "F"),
    ("enable-volume-group-snapshot-webhook", "false", "true"),
];

/// Each role, and what it has of upstream.
const ROLES: [(&str, &[Flags]); 5] = [
    ("snapshot-controller", &[EVERY, WORKS, CONTROLLER]),
    ("csi-snapshotter", &[EVERY, WORKS, BESIDE, SNAPSHOTTER]),
    ("csi-provisioner", &[EVERY, WORKS, BESIDE, PROVISIONER]),
    ("snapshot-conversion-webhook", &[EVERY, WEBHOOK]),
    ("snapshot-validation-webhook", &[EVERY, WEBHOOK]),
];

#[test]
fn every_flag_of_upstream_has_its_default() {
    let command = Tintype::command();
    for (role, tables) in ROLES {
        let role = command.find_subcommand(role).unwrap();
        for (flag, default, _) in tables.iter().copied().flatten() {
            let name = || format!("{} --{flag}", role.get_name());
            let found = role.get_arguments().find(|it| it.get_long() == Some(flag));
            let found = found.unwrap_or_else(|| panic!("no {}", name()));
            let value = found.get_default_values().first();
            let value = value.map_or("", |it| it.to_str().unwrap());
            assert_eq!(value, *default, "{}", name());
        }
    }
}

/// How the role understands the line.
fn read(role: &str, line: &[String]) -> Result<String, clap::Error> {
    let line = std::iter::once(role.to_owned()).chain(line.iter().cloned());
    choose(line.map(OsString::from)).map(|it| format!("{it:?}"))
}

/// All ways in which Go programs take a value; only a boolean has none after a space.
fn spellings(name: &str, value: &str) -> [Vec<String>; 4] {
    [
        vec![format!("-{name}={value}")],
        vec![format!("--{name}={value}")],
        vec![format!("-{name}"), value.to_owned()],
        vec![format!("--{name}"), value.to_owned()],
    ]
}

#[test]
fn every_flag_of_upstream_is_taken_in_every_spelling() {
    for (role, tables) in ROLES {
        let plain = read(role, &[]).unwrap();
        for (name, default, other) in tables.iter().copied().flatten() {
            // An empty default is that of a flag that is not given.
            for line in spellings(name, default) {
                if !default.is_empty() {
                    assert_eq!(read(role, &line).unwrap(), plain, "{role} {line:?}");
                }
            }
            let lines = spellings(name, other);
            let wanted = read(role, &lines[0]).unwrap();
            assert_ne!(wanted, plain, "{role} --{name} {other}");
            for line in lines {
                assert_eq!(read(role, &line).unwrap(), wanted, "{role} {line:?}");
            }
            if matches!(*default, "false" | "true") {
                let on = read(role, &[format!("--{name}=true")]).unwrap();
                for line in [format!("-{name}"), format!("--{name}")] {
                    assert_eq!(read(role, &[line]).unwrap(), on, "{role} --{name}");
                }
            }
        }
    }
}

#[test]
fn each_role_tells_its_name_and_version() {
    for (role, _) in ROLES {
        for flag in ["-version", "--version"] {
            let told = read(role, &[flag.to_owned()]).unwrap_err();
            assert_eq!(told.kind(), ErrorKind::DisplayVersion);
            let words = format!("{role} {}\n", env!("CARGO_PKG_VERSION"));
            assert_eq!(told.to_string(), words);
        }
    }
}

#[test]
fn a_flag_nobody_knows_is_refused_with_the_nearest_in_either_spelling() {
    for (role, flag, nearest) in [
        ("snapshot-controller", "worker-thread=3", "--worker-threads"),
        ("csi-snapshotter", "csi-adress=/x", "--csi-address"),
    ] {
        for dashes in ["-", "--"] {
            let error = read(role, &[format!("{dashes}{flag}")]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnknownArgument);
            assert!(error.to_string().contains(nearest), "{error}");
        }
    }
}
