//! Runs the controllers that every cluster has, each as a user of its own, through the API like anybody else.
//!
//! Knows which there are; each knows its own job.

mod aggregation;
mod binder;
mod engine;
mod fields;
mod gc;
mod namespaces;
mod protection;
mod resources;
mod roots;
mod serviceaccounts;

use futures::FutureExt as _;
use futures::future::BoxFuture;
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
    RootCertificates,
    Aggregation,
}

impl Role {
    pub(crate) const ALL: [Self; 8] = [
        Self::Binder,
        Self::ClaimProtection,
        Self::VolumeProtection,
        Self::Namespaces,
        Self::GarbageCollector,
        Self::ServiceAccounts,
        Self::RootCertificates,
        Self::Aggregation,
    ];

    pub(crate) fn account(self) -> &'static str {
        match self {
            Self::Binder => "persistent-volume-binder",
            Self::ClaimProtection => "pvc-protection-controller",
            Self::VolumeProtection => "pv-protection-controller",
            Self::Namespaces => "namespace-controller",
            Self::GarbageCollector => "generic-garbage-collector",
            Self::ServiceAccounts => "service-account-controller",
            Self::RootCertificates => "root-ca-cert-publisher",
            Self::Aggregation => "clusterrole-aggregation-controller",
        }
    }
}

/// Runs one controller; it ends with `stop`. `authority` is the certificate that clients check the
/// server by, in PEM.
pub(crate) fn run(
    role: Role,
    client: LocalClient,
    authority: &str,
    stop: CancellationToken,
) -> BoxFuture<'static, ()> {
    use engine::run;
    match role {
        Role::Binder => {
            let binder = binder::Binder::default();
            run(binder, binder::collections(), client, stop).boxed()
        }
        Role::ClaimProtection => {
            let watched = protection::Claims::collections();
            run(protection::Claims::default(), watched, client, stop).boxed()
        }
        Role::VolumeProtection => {
            let watched = protection::Volumes::collections();
            run(protection::Volumes::default(), watched, client, stop).boxed()
        }
        Role::Namespaces => {
            let controller = namespaces::Namespaces::default();
            run(controller, namespaces::collections(), client, stop).boxed()
        }
        Role::GarbageCollector => gc::run(client, stop).boxed(),
        Role::ServiceAccounts => {
            let controller = serviceaccounts::ServiceAccounts::default();
            run(controller, serviceaccounts::collections(), client, stop).boxed()
        }
        Role::RootCertificates => {
            let controller = roots::Roots::new(authority.to_owned());
            run(controller, roots::collections(), client, stop).boxed()
        }
        Role::Aggregation => {
            let controller = aggregation::Aggregation::default();
            run(controller, aggregation::collections(), client, stop).boxed()
        }
    }
}
