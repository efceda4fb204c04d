//! The role `snapshot-controller`: binds snapshots to contents, one active instance per cluster.
//!
//! Knows only the Kubernetes API; it never talks to storage. What it decides is in
//! `tintype_core`: `snapshot`, `group`, `orphan`, `guard` and `mark`.

mod args;
mod caches;
mod claims;
mod group_caches;
mod groups;
mod labels;
mod member_names;
mod operations;
mod orphans;
mod patience;
mod snapshots;

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::Client;
use tintype_api::names::CONTROLLER_LEASE;
use tintype_core::retry::Schedule;
use tintype_runtime::gates::{Gates, VOLUME_GROUP_SNAPSHOT};
use tintype_runtime::{
    Applier, Clock, Engine, Kind, Machine, Metrics, Queue, Recorder, Role, Tasks, Work,
    await_kinds, resync, watch,
};
use tokio_util::sync::CancellationToken;
use tracing::info;

pub use args::{Args, RemovedFlags};
use caches::{Caches, Queues};
use groups::Groups;
use labels::Labelling;

/// Name of the event source, as upstream's.
const COMPONENT: &str = "snapshot-controller";

/// What the API server must serve.
const KINDS: [Kind; 3] = [
    Kind {
        api_version: tintype_api::API_VERSION,
        plural: "volumesnapshots",
    },
    Kind {
        api_version: tintype_api::API_VERSION,
        plural: "volumesnapshotclasses",
    },
    Kind {
        api_version: tintype_api::API_VERSION,
        plural: "volumesnapshotcontents",
    },
];

/// Runs the controller until `shutdown`, or until its lease is lost.
pub async fn run(args: Args, client: Client, shutdown: CancellationToken) -> anyhow::Result<()> {
    let Args {
        kubeconfig: _, // Read by whoever made the client.
        worker_threads,
        resync_period,
        retry_interval_start,
        retry_interval_max,
        retry_crd_interval_max,
        enable_distributed_snapshotting,
        prevent_volume_mode_conversion,
        label_invalid_objects,
        feature_gates,
        role,
        removed: _, // Giving one is an error.
    } = args;
    let gates = Gates::merged(feature_gates);
    gates.tell();
    let role = Role::open(COMPONENT, role, "", client, shutdown.clone()).await?;
    let (client, clock) = (role.client.clone(), role.clock);
    await_kinds(&client, &KINDS, retry_crd_interval_max.0, &shutdown).await?;
    let schedule = Schedule {
        start: millis(retry_interval_start.0),
        max: millis(retry_interval_max.0),
    };
    let with_groups = gates.enabled(VOLUME_GROUP_SNAPSHOT);
    let caches = Caches::new(enable_distributed_snapshotting, with_groups);
    let queues = Queues::default();
    caches.wake(&queues);

    let mut tasks = watch_all(&caches, &client, &shutdown);
    if let Some(groups) = &caches.groups {
        groups.open(&mut tasks, &client, &shutdown).await;
    }
    let labels = label_invalid_objects.then(|| Labelling::open(&mut tasks, &client, &shutdown));
    tokio::select! {
        () = caches.synced() => {}
        () = shutdown.cancelled() => return Ok(()),
        death = tasks.died() => return Err(death.into()),
    }
    info!(snapshots = caches.snapshots.len(), "caches are filled");
    role.is_ready();
    let Some(term) = role.lead(CONTROLLER_LEASE, BTreeMap::new()).await? else {
        return Ok(());
    };
    caches.catch_up(&term, &client).await;
    operations::time(&caches, role.metrics.operations()?);

    let (recorder, events) = Recorder::start(client.clone(), COMPONENT, clock);
    let shell = Shell {
        applier: Applier::new(client, recorder),
        clock,
        schedule,
        metrics: &role.metrics,
    };
    let snapshots = snapshots::Snapshots::new(
        caches.clone(),
        prevent_volume_mode_conversion,
        clock,
        schedule,
    );
    let snapshots = shell.engine(snapshots, &queues.snapshots);
    let contents = shell.engine(orphans::Orphans::new(caches.clone()), &queues.contents);
    let claims = shell.engine(claims::Claims::new(caches.clone()), &queues.claims);
    let groups = shell.groups(&caches, &queues.groups);
    if let Some(of_groups) = &caches.groups {
        let cache = of_groups.groups.clone();
        let looks = resync(cache, queues.groups, resync_period.0, shutdown.clone());
        tasks.spawn("resync of group snapshots", looks);
    }
    let period = resync_period.0;
    let (all, end) = (caches.snapshots.clone(), shutdown.clone());
    let looks = resync(all, queues.snapshots, period, end);
    tasks.spawn("resync of snapshots", looks);
    let looks = resync(
        caches.contents.clone(),
        queues.contents,
        period,
        shutdown.clone(),
    );
    tasks.spawn("resync of contents", looks);
    let looks = resync(caches.claims.clone(), queues.claims, period, shutdown);
    tasks.spawn("resync of claims", looks);
    let end = term.end().clone();
    let engines = async {
        tokio::join!(
            snapshots.run(worker_threads, end.clone()),
            contents.run(worker_threads, end.clone()),
            claims.run(worker_threads, end.clone()),
            run_some(groups, worker_threads, end.clone()),
            Labelling::run(labels, &shell, worker_threads, end.clone()),
        );
    };
    let work = Work {
        term,
        tasks,
        events,
    };
    work.run(engines, std::future::pending()).await
}

/// What every machine of this role runs in.
struct Shell<'a> {
    applier: Applier,
    clock: Clock,
    schedule: Schedule,
    metrics: &'a Metrics,
}

impl Shell<'_> {
    /// The machine of groups, if they are wanted.
    fn groups(&self, caches: &Arc<Caches>, queue: &Arc<Queue>) -> Option<Arc<Engine<Groups>>> {
        let watched = caches.groups.clone()?;
        let machine = Groups::new(caches.clone(), watched, self.clock, self.schedule);
        Some(self.engine(machine, queue))
    }

    fn engine<M: Machine>(&self, machine: M, queue: &Arc<Queue>) -> Arc<Engine<M>> {
        Engine::new(
            machine,
            queue.clone(),
            self.applier.clone(),
            self.clock,
            self.schedule,
            self.metrics,
        )
    }
}

async fn run_some<M: Machine>(
    engine: Option<Arc<Engine<M>>>,
    workers: usize,
    end: CancellationToken,
) {
    if let Some(engine) = engine {
        engine.run(workers, end).await;
    }
}

/// Fills the caches and keeps them filled.
fn watch_all(caches: &Caches, client: &Client, shutdown: &CancellationToken) -> Tasks {
    let mut tasks = Tasks::default();
    watch(&mut tasks, client, &caches.snapshots, shutdown);
    watch(&mut tasks, client, &caches.contents, shutdown);
    watch(&mut tasks, client, &caches.classes, shutdown);
    watch(&mut tasks, client, &caches.claims, shutdown);
    watch(&mut tasks, client, &caches.volumes, shutdown);
    if let Some(nodes) = &caches.nodes {
        watch(&mut tasks, client, nodes, shutdown);
    }
    tasks
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
