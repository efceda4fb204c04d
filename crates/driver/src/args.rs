//! Reads the role's flags and runs it.
//!
//! It does not know how the process is set up around it.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::ValueEnum;
use tintype_csi::Address;
use tokio_util::sync::CancellationToken;

use crate::driver::{Config, Driver};
use crate::{fsck, size};

/// Serves node-local volumes and snapshots over CSI.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Chore>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Chore {
    /// Compare names with files in a store on which no driver runs.
    ///
    /// Without --repair nothing is changed. Ends with code 0 if nothing is wrong, or nothing is any more.
    Fsck {
        /// The driver's folder; with `tintype up`, `storage` in its data dir.
        #[arg(long, value_name = "DIR", default_value = DATA_DIR)]
        data_dir: PathBuf,
        /// Also put right what can be without guessing.
        #[arg(long)]
        repair: bool,
    },
}

/// What came of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Well,
    /// `fsck` found something that is still wrong.
    Wrong,
}

const DATA_DIR: &str = "/var/lib/tintype";

#[derive(Clone, Debug, clap::Args)]
struct Serve {
    /// Unix socket to serve on.
    #[arg(long, value_name = "URL", default_value = "unix:///run/csi/socket")]
    endpoint: Address,
    /// Folder for volumes and snapshots; an empty or missing one at the first start.
    #[arg(long, value_name = "DIR", default_value = DATA_DIR)]
    data_dir: PathBuf,
    /// Name of the driver, as in StorageClass and VolumeSnapshotClass.
    #[arg(long, value_name = "NAME", default_value = "csi.tintype.dev")]
    driver_name: String,
    /// How bytes are kept.
    #[arg(long, value_enum, default_value_t = BackendChoice::Auto)]
    backend: BackendChoice,
    /// Name of this node; the host's name if not given.
    #[arg(long, value_name = "NAME")]
    node_id: Option<String>,
    /// Zone of this node; volumes and snapshots can be reached from there alone.
    #[arg(long, value_name = "NAME")]
    zone: Option<String>,
    /// How large the pool of backend `image` may grow, as in 20Gi; else most of what the file
    /// system of the data dir has free at the first start. A pool never shrinks.
    #[arg(long, value_name = "SIZE", value_parser = size::read)]
    pool_size: Option<u64>,
    /// Cut groups of volumes also with a backend that copies one after the other.
    #[arg(long)]
    allow_non_atomic_groups: bool,
}

/// How bytes are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BackendChoice {
    /// The best one that works here; says which and why.
    Auto,
    /// Image files on a file system that shares blocks; snapshots are atomic.
    Image,
    /// Plain folders; snapshots are copies, not atomic across files.
    Directory,
    /// Names and sizes only, for measuring what stands in front of a driver.
    Null,
}

/// Runs the role until told to stop, or a chore to its end.
pub async fn run(args: Args, shutdown: CancellationToken) -> anyhow::Result<Outcome> {
    match args.command {
        None => serve(args.serve, shutdown).await.map(|()| Outcome::Well),
        Some(Chore::Fsck { data_dir, repair }) => {
            let work = move || fsck::run(&chore(data_dir), repair);
            let report = tokio::task::spawn_blocking(work).await??;
            report.write(&mut io::stdout().lock())?;
            Ok(if report.is_clean() {
                Outcome::Well
            } else {
                Outcome::Wrong
            })
        }
    }
}

/// What a chore needs of a configuration.
fn chore(data_dir: PathBuf) -> Config {
    Config {
        data_dir,
        driver_name: String::new(),
        backend: BackendChoice::Auto,
        node_id: String::new(),
        topology: BTreeMap::new(),
        pool_size: None,
        allow_non_atomic_groups: false,
    }
}

async fn serve(args: Serve, shutdown: CancellationToken) -> anyhow::Result<()> {
    let Serve {
        endpoint,
        data_dir,
        driver_name,
        backend,
        node_id,
        zone,
        pool_size,
        allow_non_atomic_groups,
    } = args;
    let node_id = match node_id {
        Some(node_id) => node_id,
        None => host_name().context("no --node-id was given")?,
    };
    let topology = topology(backend, &node_id, zone);
    let config = Config {
        data_dir,
        driver_name,
        backend,
        node_id,
        topology,
        pool_size,
        allow_non_atomic_groups,
    };
    // Sweeping leftovers may take a while.
    let driver = tokio::task::spawn_blocking(|| Driver::open(config)).await??;
    driver.serve(&endpoint, shutdown).await?;
    Ok(())
}

/// Where volumes can be reached from. Names without bytes can be reached from everywhere.
fn topology(
    backend: BackendChoice,
    node_id: &str,
    zone: Option<String>,
) -> BTreeMap<String, String> {
    let node = (backend != BackendChoice::Null).then(|| node_id.to_owned());
    let key = |name: &str| format!("topology.csi.tintype.dev/{name}");
    let node = node.map(|node| (key("node"), node));
    let zone = zone.map(|zone| (key("zone"), zone));
    node.into_iter().chain(zone).collect()
}

fn host_name() -> anyhow::Result<String> {
    let path = "/proc/sys/kernel/hostname";
    let name = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    Ok(name.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_on_a_node_and_perhaps_in_a_zone() {
        let of = |backend, zone: Option<&str>| {
            let found = topology(backend, "n1", zone.map(str::to_owned));
            let pairs = found
                .into_iter()
                .map(|(key, value)| format!("{key}={value}"));
            pairs.collect::<Vec<_>>()
        };
        let node = "topology.csi.tintype.dev/node=n1";
        let zone = "topology.csi.tintype.dev/zone=z1";
        assert_eq!(of(BackendChoice::Auto, None), [node]);
        assert_eq!(of(BackendChoice::Image, Some("z1")), [node, zone]);
        assert_eq!(of(BackendChoice::Null, None), [""; 0]);
    }
}
