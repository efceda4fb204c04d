//! Measures what snapshots cost on any cluster: `tintype bench`.
//! Only makes objects and watches them, as a user would; knows nothing of whoever works on them.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use tokio_util::sync::CancellationToken;

use crate::{
    cluster::{Cluster, DRIVER_NAME, Options, remove_tree},
    data_dir::DataDir,
    words,
};

mod figures;
mod load;
mod objects;
mod processes;
mod requests;
mod sighting;
mod table;

pub use figures::{Figures, Stage};
pub use load::LoadError;
pub use processes::Process;

use load::Load;
use objects::Objects;

/// Make snapshots, wait until they are ready, and tell what that took.
#[derive(Debug, Clone, clap::Parser)]
pub struct Args {
    /// How many snapshots to make.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = at_least_one())]
    pub snapshots: u32,
    /// How many claims to make them of.
    #[arg(long, value_name = "M", default_value_t = 50, value_parser = at_least_one())]
    pub pvcs: u32,
    /// The driver that cuts them; it must take any volume handle.
    #[arg(long, value_name = "NAME", default_value = DRIVER_NAME)]
    pub driver: String,
    /// The cluster to measure; else a sandbox of its own, in this process, with a driver that
    /// keeps names only.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Where to make the claims and snapshots; else a new namespace.
    #[arg(short, long, value_name = "NS")]
    pub namespace: Option<String>,
    /// Measure deleting them as well.
    #[arg(long)]
    pub delete: bool,
    /// One JSON document a line, or a table.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    /// Processes on this machine whose memory and processor time to tell, as name=pid.
    #[arg(long, value_name = "NAME=PID", value_delimiter = ',')]
    pub pids: Vec<Process>,
    /// How many requests to have on the way at once.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = at_least_one())]
    pub concurrency: u32,
    /// How long any one stage may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = at_least_one())]
    pub timeout: u32,
}

/// How figures are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    Json,
    Table,
}

fn at_least_one() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..)
}

/// Measures and prints. An error if not every snapshot got ready, or went, in time.
pub async fn run(args: Args, shutdown: CancellationToken) -> anyhow::Result<()> {
    let output = args.output;
    let all = Box::pin(measure(args, shutdown)).await?;
    let text = match output {
        Output::Json => figures::lines(&all),
        Output::Table => table::render(&all),
    };
    io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write to standard output")?;
    match all.iter().find(|figures| !figures.complete) {
        Some(late) => anyhow::bail!(
            "only {} of {} snapshots {} in time",
            late.done,
            late.n,
            late.mode.reached()
        ),
        None => Ok(()),
    }
}

/// Measures each stage, and takes away everything that was made for it.
pub async fn measure(args: Args, shutdown: CancellationToken) -> anyhow::Result<Vec<Figures>> {
    match args.kubeconfig.clone() {
        Some(kubeconfig) => {
            let objects = Objects::new(&args, tag());
            let load = Load::new(client(&kubeconfig).await?, objects, &args);
            let measured = interruptible(load.measure(), &shutdown).await;
            // Also after a failure: it is somebody's cluster.
            let cleaned = load.clean_up().await;
            let measured = measured?;
            cleaned?;
            Ok(measured)
        }
        None => in_a_sandbox(args, &shutdown).await,
    }
}

async fn interruptible(
    work: impl Future<Output = Result<Vec<Figures>, LoadError>>,
    shutdown: &CancellationToken,
) -> anyhow::Result<Vec<Figures>> {
    tokio::select! {
        done = work => Ok(done?),
        () = shutdown.cancelled() => anyhow::bail!("interrupted"),
    }
}

async fn in_a_sandbox(
    mut args: Args,
    shutdown: &CancellationToken,
) -> anyhow::Result<Vec<Figures>> {
    let folder = tempfile::Builder::new().prefix("tintype-bench-").tempdir();
    let folder = folder.context("cannot make a temporary folder")?.keep();
    if args.pids.is_empty() {
        args.pids.push(Process::this("tintype"));
    }
    let measured = Box::pin(in_folder(&folder, &args, shutdown)).await;
    remove_tree(&folder).with_context(|| format!("cannot remove {}", words::path(&folder)))?;
    measured
}

async fn in_folder(
    folder: &Path,
    args: &Args,
    shutdown: &CancellationToken,
) -> anyhow::Result<Vec<Figures>> {
    let mut options = Options::in_folder(DataDir::choose(Some(&folder.join("data")))?);
    options.driver_name.clone_from(&args.driver);
    options.driver_backend = tintype_driver::BackendChoice::Null;
    let cluster = Cluster::start(options).await?;
    let client = client(&cluster.options().kubeconfig()).await?;
    let load = Load::new(client, Objects::new(args, tag()), args);
    let measured = interruptible(load.measure(), shutdown).await;
    cluster.stop().await;
    measured
}

/// A client as `kubectl` is one.
async fn client(kubeconfig: &Path) -> anyhow::Result<Client> {
    let read = async {
        let config = Kubeconfig::read_from(kubeconfig)?;
        let options = KubeConfigOptions::default();
        let mut config = Config::from_custom_kubeconfig(config, &options).await?;
        // A watch may have nothing to say for long.
        config.read_timeout = None;
        anyhow::Ok(Client::try_from(config)?)
    };
    let name = || format!("cannot use the kubeconfig {}", words::path(kubeconfig));
    read.await.with_context(name)
}

/// No other measurement has it.
fn tag() -> String {
    format!("{:x}", jiff::Timestamp::now().as_microsecond())
}

/// Seconds as the flag gives them.
fn seconds(number: u32) -> Duration {
    Duration::from_secs(number.into())
}
