//! Starts the driver and the roles, each with its own identity.
//! Knows their flags; whatever else they do, they do as they would alone in a cluster.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tintype_apiserver::Server;
use tintype_csi::Address;
use tintype_driver::Driver;
use tokio_util::sync::CancellationToken;

use super::{Options, Parts, StartError};

/// The driver is in this process: it answers in milliseconds or never.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client whose calls pass authentication, rights and admission like anybody else's.
pub(super) fn client(server: &Server, user: &str, groups: &[&str]) -> kube::Client {
    kube::Client::new(server.local(user, groups), "default")
}

/// A client of a service account in `kube-system`, with its tokens.
fn account(server: &Server, name: &str) -> kube::Client {
    kube::Client::new(server.local_account("kube-system", name), "default")
}

/// Opens the storage. Blocks while leftovers of an earlier run are swept away.
pub(super) fn open_driver(options: &Options) -> Result<Driver, tintype_driver::OpenError> {
    Driver::open(tintype_driver::Config {
        data_dir: options.data_dir.storage(),
        driver_name: options.driver_name.clone(),
        backend: options.driver_backend,
        node_id: super::NAME.to_owned(),
        topology: BTreeMap::new(),
        pool_size: options.driver_pool_size,
        allow_non_atomic_groups: options.allow_non_atomic_groups,
    })
}

pub(super) fn driver(parts: &mut Parts, driver: Driver, address: Address, end: CancellationToken) {
    parts.spawn(async move {
        let served = driver.serve(&address, end).await;
        ("the driver", served.map_err(Into::into))
    });
}

pub(super) async fn driver_answers(address: &Address) -> Result<(), StartError> {
    let client = tintype_csi::Client::connect(address, PATIENCE).await;
    let client = client.map_err(StartError::DriverSilent)?;
    client
        .probe()
        .await
        .map(drop)
        .map_err(StartError::DriverIll)
}

/// Starts the webhook, as `deploy/webhook/` does. Where it listens.
pub(super) async fn webhook(
    parts: &mut Parts,
    server: &Server,
    end: CancellationToken,
) -> Result<SocketAddr, StartError> {
    let args = tintype_webhook::Args {
        self_signed: true,
        port: 0,
        bind_address: Ipv4Addr::LOCALHOST.to_string(),
        service_namespace: "kube-system".to_owned(),
        enable_volume_group_snapshot_webhook: true,
        ..Default::default()
    };
    let client = account(server, "snapshot-conversion-webhook");
    let webhook = tintype_webhook::Webhook::open(args, Some(client)).await;
    let webhook = webhook.map_err(StartError::Webhook)?;
    let address = webhook.address();
    let running = webhook.serve(end);
    parts.spawn(async { ("snapshot-conversion-webhook", running.await) });
    Ok(address)
}

/// All roles but the driver, and those that somebody else runs.
pub(super) fn all(
    parts: &mut Parts,
    server: &Server,
    socket: &Address,
    end: &CancellationToken,
    without: &[&str],
) {
    if !without.contains(&"snapshot-controller") {
        let client = account(server, "snapshot-controller");
        let args = tintype_controller::Args::default();
        let running = tintype_controller::run(args, client, end.clone());
        parts.spawn(async { ("snapshot-controller", running.await) });
    }
    if !without.contains(&"csi-snapshotter") {
        let client = account(server, "csi-snapshotter");
        let args = tintype_sidecar::snapshotter::Args {
            csi_address: socket.to_string(),
            ..Default::default()
        };
        let running = tintype_sidecar::snapshotter::run(args, client, end.clone());
        parts.spawn(async { ("csi-snapshotter", running.await) });
    }
    if !without.contains(&"csi-provisioner") {
        let client = account(server, "csi-provisioner");
        let args = tintype_sidecar::provisioner::Args {
            csi_address: socket.to_string(),
            ..Default::default()
        };
        let running = tintype_sidecar::provisioner::run(args, client, end.clone());
        parts.spawn(async { ("csi-provisioner", running.await) });
    }
}
