//! Reads the role's flags and runs it.
//!
//! It does not know how the process is set up around it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::ValueEnum;
use tintype_csi::Address;
use tokio_util::sync::CancellationToken;

use crate::driver::{Config, Driver};

/// Serves node-local volumes and snapshots over CSI.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Unix socket to serve on.
    #[arg(long, value_name = "URL", default_value = "unix:///run/csi/socket")]
    pub endpoint: Address,
    /// Folder for volumes and snapshots; an empty or missing one at the first start.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/tintype")]
    pub data_dir: PathBuf,
    /// Name of the driver, as in StorageClass and VolumeSnapshotClass.
    #[arg(long, value_name = "NAME", default_value = "csi.tintype.dev")]
    pub driver_name: String,
    /// How bytes are kept.
    #[arg(long, value_enum, default_value_t = BackendChoice::Auto)]
    pub backend: BackendChoice,
    /// Name of this node; the host's name if not given.
    #[arg(long, value_name = "NAME")]
    pub node_id: Option<String>,
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

/// Runs the role until told to stop.
pub async fn run(args: Args, shutdown: CancellationToken) -> anyhow::Result<()> {
    let Args {
        endpoint,
        data_dir,
        driver_name,
        backend,
        node_id,
    } = args;
    let node_id = match node_id {
        Some(node_id) => node_id,
        None => host_name().context("no --node-id was given")?,
    };
    let topology = BTreeMap::new();
    let config = Config {
        data_dir,
        driver_name,
        backend,
        node_id,
        topology,
    };
    // Sweeping leftovers may take a while.
    let driver = tokio::task::spawn_blocking(|| Driver::open(config)).await??;
    driver.serve(&endpoint, shutdown).await?;
    Ok(())
}

fn host_name() -> anyhow::Result<String> {
    let path = "/proc/sys/kernel/hostname";
    let name = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    Ok(name.trim_end().to_owned())
}
