//! Holds every flag of upstream's programs with its default, as tables, against ours.

use clap::CommandFactory as _;

use super::Tintype;

type Flags = &'static [(&'static str, &'static str)];

/// Of all of them: klog's, and which cluster.
const EVERY: Flags = &[
    ("kubeconfig", ""),
    ("automaxprocs", "false"),
    ("v", "0"),
    ("vmodule", ""),
    ("logging-format", "text"),
    ("log-flush-frequency", "5s"),
    ("log-text-split-stream", "false"),
    ("log-text-info-buffer-size", "0"),
    ("log-json-split-stream", "false"),
    ("log-json-info-buffer-size", "0"),
];

/// Of those that work on objects.
const WORKS: Flags = &[
    ("leader-election", "false"),
    ("leader-election-namespace", ""),
    ("leader-election-lease-duration", "15s"),
    ("leader-election-renew-deadline", "10s"),
    ("leader-election-retry-period", "5s"),
    ("kube-api-qps", ""),
    ("kube-api-burst", ""),
    ("http-endpoint", ""),
    ("metrics-path", "/metrics"),
    ("retry-interval-start", "1s"),
    ("retry-interval-max", "5m"),
    ("feature-gates", ""),
];

/// Of those beside a driver.
const BESIDE: Flags = &[
    ("csi-address", "/run/csi/socket"),
    ("extra-create-metadata", "false"),
    ("node-deployment", "false"),
    ("leader-election-labels", ""),
    ("metrics-address", ""),
];

const CONTROLLER: Flags = &[
    ("resync-period", "15m"),
    ("worker-threads", "10"),
    ("enable-distributed-snapshotting", "false"),
    ("prevent-volume-mode-conversion", "true"),
    ("retry-crd-interval-max", "30s"),
];

const SNAPSHOTTER: Flags = &[
    ("timeout", "1m"),
    ("snapshot-name-prefix", "snapshot"),
    ("snapshot-name-uuid-length", "-1"),
    ("groupsnapshot-name-prefix", "groupsnapshot"),
    ("groupsnapshot-name-uuid-length", "-1"),
    ("worker-threads", "10"),
    ("resync-period", "15m"),
];

const PROVISIONER: Flags = &[
    ("timeout", "10s"),
    ("volume-name-prefix", "pvc"),
    ("volume-name-uuid-length", "-1"),
    ("worker-threads", "100"),
    ("cloning-protection-threads", "1"),
    ("snapshot-orphan-sweep-interval", "5m"),
    ("default-fstype", ""),
    ("prevent-volume-mode-conversion", "true"),
    ("controller-publish-readonly", "false"),
    ("strict-topology", "false"),
    ("immediate-topology", "true"),
    ("enable-capacity", "false"),
    ("capacity-for-immediate-binding", "false"),
    ("capacity-poll-interval", "1m"),
    ("capacity-ownerref-level", "1"),
    ("capacity-threads", "1"),
    ("kube-api-capacity-qps", "1"),
    ("kube-api-capacity-burst", "5"),
    ("node-deployment-immediate-binding", "true"),
    ("node-deployment-base-delay", "20s"),
    ("node-deployment-max-delay", "60s"),
    ("enable-pprof", "false"),
];

/// Of the conversion webhook, and of the validation webhook before it.
const WEBHOOK: Flags = &[
    ("tls-cert-file", ""),
    ("tls-private-key-file", ""),
    ("port", "443"),
    ("prevent-volume-mode-conversion", "true"),
    ("enable-volume-group-snapshot-webhook", "false"),
];

#[test]
fn every_flag_of_upstream_has_its_default() {
    let command = Tintype::command();
    for (role, tables) in [
        ("snapshot-controller", &[EVERY, WORKS, CONTROLLER][..]),
        ("csi-snapshotter", &[EVERY, WORKS, BESIDE, SNAPSHOTTER]),
        ("csi-provisioner", &[EVERY, WORKS, BESIDE, PROVISIONER]),
        ("snapshot-conversion-webhook", &[EVERY, WEBHOOK]),
        ("snapshot-validation-webhook", &[EVERY, WEBHOOK]),
    ] {
        let role = command.find_subcommand(role).unwrap();
        for (flag, default) in tables.iter().copied().flatten() {
            let name = || format!("{} --{flag}", role.get_name());
            let found = role.get_arguments().find(|it| it.get_long() == Some(flag));
            let found = found.unwrap_or_else(|| panic!("no {}", name()));
            let value = found.get_default_values().first();
            let value = value.map_or("", |it| it.to_str().unwrap());
            assert_eq!(value, *default, "{}", name());
        }
    }
}
