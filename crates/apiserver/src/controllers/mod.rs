//! Runs the controllers that every cluster has, each as a user of its own, through the API like anybody else.
//!
//! Knows which there are; each knows its own job.

mod binder;
mod engine;
mod fields;
mod gc;
mod namespaces;
mod protection;
mod resources;
mod serviceaccounts;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::local::LocalClient;

/// The users that the controllers act as: service accounts in `kube-system`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Binder,
    ClaimProtection,
    VolumeProtection,
    Namespaces,
    GarbageCollector,
    ServiceAccounts,
}

impl Role {
    pub(crate) const ALL: [Self; 6] = [
        Self::Binder,
        Self::ClaimProtection,
        Self::VolumeProtection,
        Self::Namespaces,
        Self::GarbageCollector,
        Self::ServiceAccounts,
    ];

    pub(crate) fn account(self) -> &'static str {
        match self {
            Self::Binder => "persistent-volume-binder",
            Self::ClaimProtection => "pvc-protection-controller",
            Self::VolumeProtection => "pv-protection-controller",
            Self::Namespaces => "namespace-controller",
            Self::GarbageCollector => "generic-garbage-collector",
            Self::ServiceAccounts => "service-account-controller",
        }
    }
}

/// Starts one controller; it ends with `stop`.
pub(crate) fn spawn(
    role: Role,
    client: LocalClient,
    stop: CancellationToken,
    tasks: &mut JoinSet<()>,
) {
    match role {
        Role::Binder => {
            let binder = binder::Binder::default();
            tasks.spawn(engine::run(binder, binder::collections(), client, stop))
        }
        Role::ClaimProtection => {
            let watched = protection::Claims::collections();
            tasks.spawn(engine::run(
                protection::Claims::default(),
                watched,
                client,
                stop,
            ))
        }
        Role::VolumeProtection => {
            let watched = protection::Volumes::collections();
            tasks.spawn(engine::run(
                protection::Volumes::default(),
                watched,
                client,
                stop,
            ))
        }
        Role::Namespaces => {
            let controller = namespaces::Namespaces::default();
            tasks.spawn(engine::run(
                controller,
                namespaces::collections(),
                client,
                stop,
            ))
        }
        Role::GarbageCollector => tasks.spawn(gc::run(client, stop)),
        Role::ServiceAccounts => {
            let controller = serviceaccounts::ServiceAccounts::default();
            tasks.spawn(engine::run(
                controller,
                serviceaccounts::collections(),
                client,
                stop,
            ))
        }
    };
}
