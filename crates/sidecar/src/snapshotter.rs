//! The role `csi-snapshotter`: one per driver, makes and removes the snapshots contents ask for.

mod args;
mod caches;
mod caller;
mod contents;
mod group_caches;
mod group_contents;
mod group_storage;
mod storage;

use std::sync::Arc;

use anyhow::{Context as _, bail};
use kube::Client;
use tintype_api::names::snapshotter_lease;
use tintype_core::content;
use tintype_core::retry::Schedule;
use tintype_csi::ControllerCapabilities;
use tintype_csi::v1::controller_service_capability::rpc::Type as Capability;
use tintype_csi::v1::group_controller_service_capability::rpc::Type as GroupCapability;
use tintype_runtime::flags::labels;
use tintype_runtime::gates::{Gates, VOLUME_GROUP_SNAPSHOT};
use tintype_runtime::{Applier, Clock, Engine, Machine, Queue, Recorder, Role, Work, resync};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::driver::{self, Driver};
use crate::memory::{Remembered, tell_doubts};

pub use args::{Args, RemovedFlags};
use caches::Caches;
use caller::{Caller, Names};
use group_contents::GroupContents;

/// Name of the role.
const ROLE: &str = "csi-snapshotter";
/// Name of the queue, as upstream's metrics have it.
const QUEUE: &str = "csi-snapshotter-content";
/// The same of group contents.
const GROUP_QUEUE: &str = "csi-snapshotter-groupsnapshotcontent";

/// The longest name a driver has to take (CSI, size limits).
const NAME_BYTES: usize = 128;
/// A uid with its dashes.
const UID_BYTES: usize = 36;

/// Runs the sidecar until `shutdown`, or until the driver or the lease is lost.
pub async fn run(args: Args, client: Client, shutdown: CancellationToken) -> anyhow::Result<()> {
    check(&args)?;
    let Args {
        kubeconfig: _, // Read by whoever made the client.
        csi_address,
        timeout,
        snapshot_name_prefix,
        snapshot_name_uuid_length,
        groupsnapshot_name_prefix,
        groupsnapshot_name_uuid_length,
        worker_threads,
        resync_period,
        retry_interval_start,
        retry_interval_max,
        extra_create_metadata: tell,
        node_deployment,
        leader_election_labels,
        metrics_address,
        feature_gates,
        role,
        removed: _, // Giving one is an error.
        node,
    } = args;
    let node = node_of(node_deployment, node)?;
    let gates = Gates::merged(feature_gates);
    gates.tell();
    let role = Role::open(ROLE, role, &metrics_address, client, shutdown.clone()).await?;
    let (client, clock) = (role.client.clone(), role.clock);
    let calls = role.metrics.calls()?;
    let Some(driver) = driver::meet(&csi_address, timeout.0, calls, &shutdown).await? else {
        return Ok(());
    };
    let capabilities = capabilities(&driver, &gates).await?;

    let schedule = crate::schedule(retry_interval_start, retry_interval_max);
    let caches = Caches::new();
    let to_pass = caches.queue.clone();
    role.metrics.work_queue(QUEUE, &to_pass)?;
    let mut tasks = caches.watch(&client, node.as_deref(), &shutdown);
    let of = (&client, node.as_deref());
    let groups = group_caches::open(&gates, &mut tasks, of, &shutdown).await;
    if let Some(groups) = &groups {
        role.metrics.work_queue(GROUP_QUEUE, &groups.queue)?;
    }
    tokio::select! {
        () = caches.synced() => {}
        () = shutdown.cancelled() => return Ok(()),
        lost = driver.lost() => return Err(lost),
        death = tasks.died() => return Err(death.into()),
    }
    info!(driver = %driver.name, contents = caches.contents.len(), "caches are filled");
    role.is_ready();
    let lease = snapshotter_lease(&driver.name);
    let leading = role.lead(&lease, labels(leader_election_labels));
    let Some(term) = driver::unless_lost(&driver, leading).await?? else {
        return Ok(());
    };
    let reading = caches.catch_up(&term, groups.as_ref(), of);
    driver::unless_lost(&driver, reading).await?;

    let (recorder, events) = Recorder::start(client.clone(), &component(&driver.name), clock);
    let machine = contents::Contents {
        cache: caches.contents.clone(),
        classes: caches.classes,
        caller: Caller {
            driver: driver.clone(),
            client: client.clone(),
            clock,
            schedule,
            names: Names::new(snapshot_name_prefix, snapshot_name_uuid_length, tell),
            secrets: Remembered::default(),
        },
        asks: asks(&capabilities),
        memory: Remembered::default(),
    };
    let applier = Applier::new(client, recorder);
    let mut doubts = vec![machine.memory.count(|it: &content::Memory| it.doubt.open)];
    let groups = groups.map(|watched| {
        let (cache, queue) = (watched.contents.clone(), watched.queue.clone());
        let looks = resync(cache, queue.clone(), resync_period.0, shutdown.clone());
        tasks.spawn("resync of group contents", looks);
        let names = Names::new(
            groupsnapshot_name_prefix,
            groupsnapshot_name_uuid_length,
            tell,
        );
        let machine = GroupContents::beside(&machine, watched, names);
        doubts.push(machine.memory.count(|it| it.calls.doubt.open));
        engine(machine, queue, &applier, (clock, schedule), &role)
    });
    tell_doubts(&role.metrics, doubts)?;
    let engine = engine(machine, to_pass, &applier, (clock, schedule), &role);
    let looks = resync(caches.contents, caches.queue, resync_period.0, shutdown);
    tasks.spawn("resync of contents", looks);
    let engine = run_both(engine, groups, worker_threads, term.end().clone());
    let work = Work {
        term,
        tasks,
        events,
    };
    work.run(engine, driver.lost()).await
}

fn engine<M: Machine>(
    machine: M,
    queue: Arc<Queue>,
    applier: &Applier,
    (clock, schedule): (Clock, Schedule),
    role: &Role,
) -> Arc<Engine<M>> {
    let applier = applier.clone();
    Engine::new(machine, queue, applier, clock, schedule, &role.metrics)
}

/// What the driver can do; that it cuts groups is only told.
async fn capabilities(driver: &Driver, gates: &Gates) -> anyhow::Result<ControllerCapabilities> {
    let capabilities = driver.client.controller_get_capabilities().await?;
    must_cut(&driver.name, &capabilities)?;
    if gates.enabled(VOLUME_GROUP_SNAPSHOT) {
        tell_of_groups(driver).await;
    }
    Ok(capabilities)
}

/// A driver that makes no snapshots has no use for this role.
fn must_cut(driver: &str, capabilities: &ControllerCapabilities) -> anyhow::Result<()> {
    if !capabilities.has(Capability::CreateDeleteSnapshot) {
        bail!(
            "CSI driver {driver} does not support ControllerCreateSnapshot; it needs no snapshot sidecar"
        );
    }
    Ok(())
}

/// A driver that cuts no groups refuses each one that is asked for; who reads the log knows before.
/// Most drivers are like that, and some do not say what they can do.
async fn tell_of_groups(driver: &Driver) {
    match driver.client.group_controller_get_capabilities().await {
        Ok(it) if it.has(GroupCapability::CreateDeleteGetVolumeGroupSnapshot) => {
            info!(driver = %driver.name, "the driver cuts groups of volumes");
        }
        Ok(_) => info!(driver = %driver.name, "the driver does not say that it cuts groups"),
        Err(error) => info!(driver = %driver.name, %error, "the driver does not cut groups"),
    }
}

/// How the driver can be asked about a snapshot it did not cut for us.
fn asks(capabilities: &ControllerCapabilities) -> contents::Asks {
    if capabilities.has(Capability::ListSnapshots) {
        contents::Asks::List
    } else if capabilities.has(Capability::GetSnapshot) {
        contents::Asks::Get
    } else {
        contents::Asks::Never
    }
}

/// Name of the event source, as upstream's.
fn component(driver: &str) -> String {
    format!("csi-snapshotter {driver}")
}

async fn run_both(
    contents: Arc<Engine<contents::Contents>>,
    groups: Option<Arc<Engine<GroupContents>>>,
    workers: usize,
    end: CancellationToken,
) {
    let groups = async {
        if let Some(groups) = groups {
            groups.run(workers, end.clone()).await;
        }
    };
    tokio::join!(contents.run(workers, end.clone()), groups);
}

/// Refuses flags that cannot be together, or mean nothing (spec sidecar 3.2).
fn check(args: &Args) -> anyhow::Result<()> {
    if args.node_deployment && args.role.leader.leader_election {
        bail!(
            "--leader-election cannot be with --node-deployment: every node has a sidecar of its own"
        );
    }
    let groups = Gates::merged(args.feature_gates.clone()).enabled(VOLUME_GROUP_SNAPSHOT);
    for (flag, prefix, length, used) in [
        (
            "--snapshot-name-prefix",
            &args.snapshot_name_prefix,
            args.snapshot_name_uuid_length,
            true,
        ),
        (
            "--groupsnapshot-name-prefix",
            &args.groupsnapshot_name_prefix,
            args.groupsnapshot_name_uuid_length,
            groups,
        ),
    ] {
        if prefix.is_empty() && used {
            bail!("{flag} is empty; leave the flag out, or give it a word");
        }
        // A dash and the uid follow.
        let most = NAME_BYTES - 1 - usize::try_from(length).unwrap_or(UID_BYTES);
        if prefix.len() > most && used {
            bail!(
                "{flag} has {} bytes, and names on storage may have {NAME_BYTES}; give it {most} at most",
                prefix.len()
            );
        }
    }
    Ok(())
}

/// The node whose contents are ours, if not all are; none given: as the environment says.
fn node_of(deployment: bool, given: Option<String>) -> anyhow::Result<Option<String>> {
    deployment
        .then(|| given.map_or_else(node_name, Ok))
        .transpose()
}

fn node_name() -> anyhow::Result<String> {
    let name = std::env::var_os("NODE_NAME").filter(|it| !it.is_empty());
    let name = name.context(
        "--node-deployment needs the environment variable NODE_NAME; set it from spec.nodeName",
    )?;
    name.into_string()
        .map_err(|it| anyhow::anyhow!("NODE_NAME {} is no name of a node", it.display()))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn refused(line: &[&str]) -> String {
        let line = std::iter::once(&"csi-snapshotter").chain(line);
        check(&Args::parse_from(line)).unwrap_err().to_string()
    }

    #[test]
    fn flags_that_mean_nothing_together_are_refused() {
        assert!(check(&Args::default()).is_ok());
        let both = refused(&["--node-deployment", "--leader-election"]);
        assert!(both.contains("cannot be with --node-deployment"), "{both}");
        let prefix = refused(&["--snapshot-name-prefix="]);
        assert!(
            prefix.starts_with("--snapshot-name-prefix is empty"),
            "{prefix}"
        );
        let group = refused(&["--groupsnapshot-name-prefix="]);
        assert!(
            group.starts_with("--groupsnapshot-name-prefix is empty"),
            "{group}"
        );
        let long = "x".repeat(92);
        let prefix = refused(&[&format!("--snapshot-name-prefix={long}")]);
        assert!(prefix.ends_with("give it 91 at most"), "{prefix}");
        let short = [
            "csi-snapshotter",
            "--snapshot-name-uuid-length=8",
            &format!("--snapshot-name-prefix={long}"),
        ];
        assert!(check(&Args::parse_from(short)).is_ok());
        let off = Args::parse_from([
            "csi-snapshotter",
            "--groupsnapshot-name-prefix=",
            "--feature-gates=CSIVolumeGroupSnapshot=false",
        ]);
        assert!(check(&off).is_ok());
    }
}
