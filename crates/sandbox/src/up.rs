//! Runs the sandbox until it is told to end, and says what changes in it.
//! Knows what a person sees; how a cluster is run is in `cluster`.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::{
    cluster::{Cluster, DRIVER_NAME, Options, remove_tree},
    data_dir::DataDir,
    mount::Node,
    words,
};

mod news;
mod sentence;
mod watch;

/// A Kubernetes API with volumes and snapshots, on this machine.
#[derive(Debug, clap::Parser)]
pub struct Args {
    /// Where everything is kept; else $XDG_DATA_HOME/tintype.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where the API is served, on loopback; 0 takes any free port.
    #[arg(long, default_value_t = 16443)]
    port: u16,
    /// Where to write the kubeconfig; else `kubeconfig` in the data dir.
    #[arg(long, value_name = "PATH")]
    kubeconfig: Option<PathBuf>,
    /// Append a line for each request to the API, without bodies, as audit.k8s.io/v1 at level Metadata.
    #[arg(long, value_name = "PATH")]
    audit_log: Option<PathBuf>,
    /// The name of the storage driver.
    #[arg(long, value_name = "NAME", default_value = DRIVER_NAME)]
    driver_name: String,
    /// How the driver keeps volumes.
    #[arg(long, value_name = "BACKEND", value_enum, default_value_t = tintype_driver::BackendChoice::Auto)]
    driver_backend: tintype_driver::BackendChoice,
    /// How large the pool of backend `image` may grow, as in 20Gi; else most of what there is.
    #[arg(long, value_name = "SIZE", value_parser = tintype_driver::size)]
    driver_pool_size: Option<u64>,
    /// Cut groups of volumes also with a backend that copies one after the other.
    #[arg(long)]
    allow_non_atomic_groups: bool,
    /// Do not install the classes `tintype`, which are the default ones.
    #[arg(long)]
    no_default_classes: bool,
    /// Run the webhook that converts group snapshots between versions and validates snapshot objects.
    #[arg(long)]
    webhook: bool,
    /// Keep everything in a temporary folder, gone at the end.
    #[arg(long, conflicts_with = "data_dir")]
    ephemeral: bool,
}

/// Runs until `shutdown`, or until a part ends that should not.
pub async fn run(args: Args, shutdown: CancellationToken) -> anyhow::Result<()> {
    let Args {
        data_dir,
        port,
        kubeconfig,
        audit_log,
        driver_name,
        driver_backend,
        driver_pool_size,
        allow_non_atomic_groups,
        no_default_classes,
        webhook,
        ephemeral,
    } = args;
    let began = Instant::now();
    let folder = if ephemeral { Some(temporary()?) } else { None };
    let data_dir = DataDir::choose(
        folder
            .as_ref()
            .map(tempfile::TempDir::path)
            .or(data_dir.as_deref()),
    )?;
    let kubeconfig = kubeconfig.map(std::path::absolute).transpose()?;
    let audit_log = audit_log.map(std::path::absolute).transpose()?;
    let options = Options {
        data_dir: data_dir.clone(),
        port,
        kubeconfig,
        audit_log,
        driver_name,
        driver_backend,
        driver_pool_size,
        allow_non_atomic_groups,
        default_classes: !no_default_classes,
        webhook,
        without: &[],
    };
    let started = tokio::select! {
        started = Cluster::start(options) => Some(started),
        () = shutdown.cancelled() => None,
    };
    let ended = match started {
        Some(started) => serve(started?, began.elapsed(), ephemeral, &shutdown).await,
        None => Ok(()),
    };
    if let Some(folder) = folder {
        let folder = folder.keep();
        remove_tree(&folder).with_context(|| format!("cannot remove {}", words::path(&folder)))?;
    }
    ended
}

fn temporary() -> anyhow::Result<tempfile::TempDir> {
    let folder = tempfile::Builder::new().prefix("tintype-").tempdir();
    folder.context("cannot make a temporary folder")
}

async fn serve(
    mut cluster: Cluster,
    took: Duration,
    ephemeral: bool,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    greet(&cluster, took).context("cannot write to standard output")?;
    let client = cluster.client();
    let telling = async move {
        // Whoever closed our output still has a cluster.
        if let Err(error) = watch::tell(client).await {
            tracing::debug!(%error, "nobody listens any more");
        }
        std::future::pending::<()>().await;
    };
    let telling = std::pin::pin!(telling);
    let ended = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        () = telling => Ok(()),
        ended = cluster.ended() => Err(ended.into()),
    };
    if ephemeral {
        let_go(&cluster.options().data_dir).await;
    }
    cluster.stop().await;
    ended
}

/// Takes away what was mounted from a folder that is about to go.
async fn let_go(data_dir: &DataDir) {
    let unmounted = match Node::connect(data_dir).await {
        Ok(node) => node.unmount_all().await,
        Err(error) => Err(error),
    };
    if let Err(error) = unmounted {
        tracing::warn!(%error, "a mounted volume could not be taken away");
    }
}

fn greet(cluster: &Cluster, took: Duration) -> io::Result<()> {
    let options = cluster.options();
    let kubeconfig = words::path(&options.kubeconfig());
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "tintype is up at https://{} ({})",
        cluster.address(),
        words::lasted(took)
    )?;
    writeln!(
        out,
        "its data is in {}",
        words::path(options.data_dir.path())
    )?;
    writeln!(out)?;
    writeln!(out, "  export KUBECONFIG={kubeconfig}")?;
    writeln!(out, "  kubectl get storageclasses,volumesnapshotclasses")?;
    writeln!(out, "  kubectl get pvc,volumesnapshots -A")?;
    writeln!(out)?;
    out.flush()
}
