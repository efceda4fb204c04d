//! The role `csi-provisioner`: one per driver, makes volumes for claims (from nothing, from a
//! snapshot, from a claim) and removes those whose claim is gone.

mod args;
mod caches;
mod calls;
mod capacities;
mod claims;
mod documents;
mod places;
mod pod;
mod rows;
mod setup;
mod sources;
mod volumes;
mod wire;

use std::sync::Arc;

use kube::Client;
use tintype_api::names::provisioner_lease;
use tintype_core::claim::{self, Settings};
use tintype_core::retry::Schedule;
use tintype_runtime::flags::labels;
use tintype_runtime::gates::Gates;
use tintype_runtime::{
    Applier, Clock, Engine, Metrics, ProvisionMetrics, Recorder, Role, Tasks, Work, resync,
};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::driver::{self, Driver};
use crate::memory::{Remembered, tell_doubts};

pub use args::{Args, CapacityFlags, NodeFlags, RemovedFlags};
pub use pod::Pod;

use caches::{Caches, Queues};
use capacities::{Capacities, Stir};
use documents::Documents;
use setup::Beside;

/// Name of the role.
const ROLE: &str = "csi-provisioner";

/// Runs the sidecar until `shutdown`, or until the driver is lost.
pub async fn run(args: Args, client: Client, shutdown: CancellationToken) -> anyhow::Result<()> {
    setup::check(&args)?;
    let gates = Gates::merged(args.feature_gates.clone());
    gates.tell();
    let flags = args.role.clone();
    let role = Role::open(ROLE, flags, &args.metrics_address, client, shutdown.clone()).await?;
    let (client, clock) = (role.client.clone(), role.clock);
    let (address, calls) = (&args.csi_address, role.metrics.calls()?);
    let Some(driver) = driver::meet(address, args.timeout.0, calls, &shutdown).await? else {
        return Ok(());
    };
    let pod = args.pod.clone().unwrap_or_else(Pod::of_environment);
    let beside = Beside::ask(&driver, &args.node, &pod).await?;
    let settings = Arc::new(beside.settings(&driver, &args, &gates));
    let caches = Caches::new(beside.also(&driver, &gates));
    let queues = Queues::default();
    role.metrics.work_queue("claims", &queues.claims)?;
    role.metrics.work_queue("volumes", &queues.volumes)?;
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
    let lease = provisioner_lease(&driver.name);
    let labels = labels(args.leader_election_labels.clone());
    let Some(term) = driver::unless_lost(&driver, role.lead(&lease, labels)).await?? else {
        return Ok(());
    };

    let flags = &args.capacity;
    let told = flags
        .enable_capacity
        .then(|| role.limited_client(flags.kube_api_capacity_qps, flags.kube_api_capacity_burst));
    let stir = Arc::new(Stir::default());
    caches.wake_for_room(&stir);
    let identity = identity(&driver, &beside, clock);
    let component = format!("{}_{identity}", driver.name);
    let (recorder, events) = Recorder::start(client.clone(), &component, clock);
    let base = Base {
        caches,
        client: client.clone(),
        driver: driver.clone(),
        recorder: recorder.clone(),
        clock,
        schedule: crate::schedule(args.retry_interval_start, args.retry_interval_max),
        stirred: stir.clone().told(),
    };
    let capacities = match told {
        None => None,
        Some(client) => {
            let topology = beside.topology(&gates);
            Some(Capacities::open(&base, &beside, &args, client, stir, topology).await?)
        }
    };
    look_again(&mut tasks, &base, &queues, &args, &shutdown);
    let machines = Machines::new(&base, &beside, (settings, identity), &args, &role.metrics)?;
    let applier = Applier::new(client, recorder);
    let threads = (args.worker_threads, args.cloning_protection_threads);
    let end = term.end().clone();
    let engines = machines.run(&base, &queues, applier, &role.metrics, threads, end.clone());
    let engines = async {
        match capacities {
            Some(capacities) => drop(tokio::join!(engines, capacities.run(end))),
            None => engines.await,
        }
    };
    let work = Work {
        term,
        tasks,
        events,
    };
    Box::pin(work.run(engines, driver.lost())).await
}

/// Upstream's: time, a number, the driver; with one provisioner on each node, the node.
fn identity(driver: &Driver, beside: &Beside, clock: Clock) -> String {
    let number = rand::random::<u16>();
    let identity = format!("{}-{number}-{}", clock.wall().0, driver.name);
    match &beside.node {
        Some(own) => format!("{identity}-{}", own.name),
        None => identity,
    }
}

/// What every machine of this role stands on.
#[derive(Clone)]
struct Base {
    caches: Arc<Caches>,
    client: Client,
    driver: Driver,
    recorder: Recorder,
    clock: Clock,
    schedule: Schedule,
    /// Told that a volume of this class was made or removed: there is less room, or more.
    stirred: Arc<dyn Fn(&str) + Send + Sync>,
}

/// Objects are looked at from time to time even though nothing changed.
fn look_again(
    tasks: &mut Tasks,
    base: &Base,
    queues: &Queues,
    args: &Args,
    shutdown: &CancellationToken,
) {
    let (caches, period) = (&base.caches, args.resync_period.0);
    let (cache, queue) = (caches.claims.clone(), queues.claims.clone());
    tasks.spawn(
        "resync of claims",
        resync(cache, queue, period, shutdown.clone()),
    );
    let (cache, queue) = (caches.volumes.clone(), queues.volumes.clone());
    tasks.spawn(
        "resync of volumes",
        resync(cache, queue, period, shutdown.clone()),
    );
    let (cache, queue) = (caches.snapshots.clone(), queues.snapshots.clone());
    let period = args.snapshot_orphan_sweep_interval.0;
    tasks.spawn(
        "resync of snapshots",
        resync(cache, queue, period, shutdown.clone()),
    );
}

/// All machines of the role.
struct Machines {
    claims: claims::Claims,
    volumes: volumes::Volumes,
    snapshots: sources::Snapshots,
    sources: sources::Sources,
}

impl Machines {
    fn new(
        base: &Base,
        beside: &Beside,
        (settings, identity): (Arc<Settings>, String),
        args: &Args,
        metrics: &Metrics,
    ) -> anyhow::Result<Self> {
        let counts: ProvisionMetrics = metrics.volumes()?;
        let documents = Documents::default();
        let memory: Remembered<claim::Memory> = Remembered::default();
        let doubtful = |it: &claim::Memory| it.outcome == claim::Outcome::Uncertain;
        tell_doubts(metrics, vec![memory.count(doubtful)])?;
        let node = &args.node;
        let lots = crate::schedule(
            node.node_deployment_base_delay,
            node.node_deployment_max_delay,
        );
        let driver = &base.driver.name;
        Ok(Self {
            claims: claims::Claims {
                base: base.clone(),
                identity,
                settings,
                memory,
                documents: documents.clone(),
                metrics: counts.clone(),
                lots,
            },
            volumes: volumes::Volumes {
                base: base.clone(),
                memory: Remembered::default(),
                metrics: counts,
                here: beside.node.as_ref().map(|it| Arc::new(it.topology.clone())),
            },
            snapshots: sources::Snapshots {
                caches: base.caches.clone(),
                driver: driver.clone(),
                documents,
            },
            sources: sources::Sources {
                caches: base.caches.clone(),
                driver: driver.clone(),
            },
        })
    }

    async fn run(
        self,
        base: &Base,
        queues: &Queues,
        applier: Applier,
        metrics: &Metrics,
        (workers, copies): (usize, usize),
        end: CancellationToken,
    ) {
        let (clock, schedule) = (base.clock, base.schedule);
        let (queue, to) = (queues.claims.clone(), applier.clone());
        let claims = Engine::new(self.claims, queue, to, clock, schedule, metrics);
        let (queue, to) = (queues.volumes.clone(), applier.clone());
        let volumes = Engine::new(self.volumes, queue, to, clock, schedule, metrics);
        let (queue, to) = (queues.snapshots.clone(), applier.clone());
        let snapshots = Engine::new(self.snapshots, queue, to, clock, schedule, metrics);
        let (queue, to) = (queues.sources.clone(), applier);
        let sources = Engine::new(self.sources, queue, to, clock, schedule, metrics);
        tokio::join!(
            claims.run(workers, end.clone()),
            volumes.run(workers, end.clone()),
            snapshots.run(1, end.clone()),
            sources.run(copies, end.clone()),
        );
    }
}
