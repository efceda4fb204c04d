//! The role `csi-provisioner`: one per driver, makes volumes for claims (from nothing, from a
//! snapshot, from a claim) and removes those whose claim is gone.

mod args;
mod caches;
mod claims;
mod sources;
mod volumes;

use std::sync::Arc;

use anyhow::bail;
use kube::Client;
use tintype_api::names::provisioner_lease;
use tintype_core::claim;
use tintype_core::retry::Schedule;
use tintype_csi::v1::controller_service_capability::rpc::Type as Capability;
use tintype_runtime::flags::labels;
use tintype_runtime::gates::{CROSS_NAMESPACE, Gates};
use tintype_runtime::{Applier, Clock, Engine, Metrics, Recorder, Role, Work, resync};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::driver::{self, Driver};
use crate::memory::Remembered;

pub use args::Args;
use caches::{Caches, Queues};

/// Name of the role.
const ROLE: &str = "csi-provisioner";

/// Runs the sidecar until `shutdown`, or until the driver is lost.
pub async fn run(args: Args, client: Client, shutdown: CancellationToken) -> anyhow::Result<()> {
    let Args {
        kubeconfig: _, // Read by whoever made the client.
        csi_address,
        timeout,
        worker_threads,
        resync_period,
        retry_interval_start,
        retry_interval_max,
        prevent_volume_mode_conversion,
        leader_election_labels,
        metrics_address,
        feature_gates,
        role,
    } = args;
    check(&Gates::merged(feature_gates))?;
    let role = Role::open(ROLE, role, &metrics_address, client, shutdown.clone()).await?;
    let (client, clock) = (role.client.clone(), role.clock);
    let calls = role.metrics.calls()?;
    let Some(driver) = driver::meet(&csi_address, timeout.0, calls, &shutdown).await? else {
        return Ok(());
    };
    let capabilities = driver.client.controller_get_capabilities().await?;
    if !capabilities.has(Capability::CreateDeleteVolume) {
        bail!(
            "CSI driver {} does not make volumes (no CREATE_DELETE_VOLUME); it needs no provisioner",
            driver.name
        );
    }

    let caches = Caches::new();
    let queues = Queues::default();
    caches.wake(&queues);
    let mut tasks = caches.watch(&client, &shutdown);
    tokio::select! {
        () = caches.synced() => {}
        () = shutdown.cancelled() => return Ok(()),
        lost = driver.lost() => return Err(lost),
        death = tasks.died() => return Err(death.into()),
    }
    info!(driver = %driver.name, claims = caches.claims.len(), "caches are filled");
    role.is_ready();
    let (lease, labels) = (
        provisioner_lease(&driver.name),
        labels(leader_election_labels),
    );
    let Some(term) = driver::unless_lost(&driver, role.lead(&lease, labels)).await?? else {
        return Ok(());
    };

    let identity = format!(
        "{}-{}-{}",
        clock.wall().0,
        rand::random::<u16>(),
        driver.name
    );
    let component = format!("{}_{identity}", driver.name);
    let (recorder, events) = Recorder::start(client.clone(), &component, clock);
    let base = Base {
        caches,
        driver: driver.clone(),
        recorder: recorder.clone(),
        clock,
        schedule: crate::schedule(retry_interval_start, retry_interval_max),
    };
    let (cache, queue) = (base.caches.claims.clone(), queues.claims.clone());
    let looks = resync(cache, queue, resync_period.0, shutdown.clone());
    tasks.spawn("resync of claims", looks);
    let (cache, queue) = (base.caches.volumes.clone(), queues.volumes.clone());
    let looks = resync(cache, queue, resync_period.0, shutdown);
    tasks.spawn("resync of volumes", looks);
    let memory = Remembered::with_doubts(&role.metrics, |it: &claim::Memory| {
        it.outcome == claim::Outcome::Uncertain
    })?;
    let claims = claims::Claims {
        base: base.clone(),
        identity,
        prevent_mode_change: prevent_volume_mode_conversion,
        snapshots: capabilities.has(Capability::CreateDeleteSnapshot),
        memory,
    };
    let engines = run_engines(
        base,
        claims,
        &queues,
        Applier::new(client, recorder),
        &role.metrics,
        (worker_threads, term.end().clone()),
    );
    let work = Work {
        term,
        tasks,
        events,
    };
    work.run(engines, driver.lost()).await
}

/// Refuses features that are not there.
fn check(gates: &Gates) -> anyhow::Result<()> {
    gates.tell();
    if gates.enabled(CROSS_NAMESPACE) {
        bail!("the feature {CROSS_NAMESPACE} is not supported yet; take the gate out");
    }
    Ok(())
}

/// What every machine of this role stands on.
#[derive(Debug, Clone)]
struct Base {
    caches: Arc<Caches>,
    driver: Driver,
    recorder: Recorder,
    clock: Clock,
    schedule: Schedule,
}

async fn run_engines(
    base: Base,
    claims: claims::Claims,
    queues: &Queues,
    applier: Applier,
    metrics: &Metrics,
    (workers, end): (usize, CancellationToken),
) {
    let (clock, schedule) = (base.clock, base.schedule);
    let sources = sources::Sources {
        caches: base.caches.clone(),
    };
    let volumes = volumes::Volumes {
        base,
        memory: Remembered::default(),
    };
    let queue = queues.claims.clone();
    let claims = Engine::new(claims, queue, applier.clone(), clock, schedule, metrics);
    let queue = queues.volumes.clone();
    let volumes = Engine::new(volumes, queue, applier.clone(), clock, schedule, metrics);
    let queue = queues.sources.clone();
    let sources = Engine::new(sources, queue, applier, clock, schedule, metrics);
    tokio::join!(
        claims.run(workers, end.clone()),
        volumes.run(workers, end.clone()),
        sources.run(1, end.clone()),
    );
}
