//! Tells the whole story of a snapshot on real files, and checks every one of them.
//! Its sandbox is its own and temporary; it has no other way in than anybody has.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tintype_driver::BackendChoice;
use tokio::task::spawn_blocking;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    cluster::{Cluster, Options, remove_tree},
    data_dir::DataDir,
    mount::Node,
    words,
};

mod block;
mod compare;
mod copy;
mod damage;
mod holes;
mod listing;
mod manifest;
mod objects;
mod odd;
mod parallel;
mod place;
mod report;
mod story;
mod tree;
mod xattr;

use objects::Objects;
use parallel::Tally;
use report::Report;
use story::{Ending, Story, StoryError};
use tree::Source;

/// So many differences tell what is wrong; more would hide it.
const SHOWN: usize = 20;

const INTERRUPTED: &str = "interrupted";

/// The whole story on real files: fill a volume, snapshot it, damage it, restore it, compare.
///
/// Its sandbox is temporary: in $TMPDIR; if that is not set, in memory if the files fit.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Fill the volume with all of this folder; else with a part of one found on this machine.
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Keep the sandbox's folder, with the claims and the snapshot in it.
    #[arg(long)]
    keep: bool,
    /// What the volume is: a file system full of files, or a device full of bytes.
    #[arg(long, value_enum, default_value_t = VolumeMode::Filesystem, conflicts_with = "from")]
    volume_mode: VolumeMode,
    /// How the driver keeps volumes.
    #[arg(long, value_name = "BACKEND", value_enum, default_value_t = BackendChoice::Auto)]
    driver_backend: BackendChoice,
}

/// As in a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum VolumeMode {
    #[value(name = "Filesystem", alias = "filesystem")]
    Filesystem,
    #[value(name = "Block", alias = "block")]
    Block,
}

/// Whether the restored volume is what was snapshotted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Same,
    Different,
}

/// Tells the story to its end, or until `shutdown`.
pub async fn run(args: Args, shutdown: CancellationToken) -> anyhow::Result<Outcome> {
    let (from, keep) = (args.from.clone(), args.keep);
    // Whoever keeps it wants it on disk, and a tree of any size may not fit into memory.
    let folder = place::new(from.is_none() && !keep).context("cannot make a temporary folder")?;
    let told = Box::pin(tell(&folder, &args, &shutdown)).await;
    if keep {
        let data = words::path(&folder.join("data"));
        writeln!(io::stdout(), "kept: tintype up --data-dir {data}")?;
        writeln!(io::stdout(), "      export KUBECONFIG={data}/kubeconfig")?;
    } else {
        let removed = remove_tree(&folder);
        removed.with_context(|| format!("cannot remove {}", words::path(&folder)))?;
    }
    told
}

async fn tell(folder: &Path, args: &Args, shutdown: &CancellationToken) -> anyhow::Result<Outcome> {
    let (from, keep) = (args.from.as_deref(), args.keep);
    let block = args.volume_mode == VolumeMode::Block;
    let tally: Arc<Tally> = Arc::default();
    let mut report = Report::new(Arc::clone(&tally));
    report.begin("start a cluster");
    let data = DataDir::choose(Some(&folder.join("data")))?;
    let look = folder.join("look");
    fs::create_dir(&look).with_context(|| format!("cannot make {}", words::path(&look)))?;
    // Found while nothing runs yet: a mistake in --from costs nobody a start.
    let choosing = {
        let (from, except) = (from.map(ToOwned::to_owned), folder.to_owned());
        let tally = Arc::clone(&tally);
        spawn_blocking(move || {
            if block {
                return Ok(None);
            }
            Source::choose(from.as_deref(), &except, &tally).map(Some)
        })
    };
    let source = tokio::select! {
        source = choosing => source??,
        () = shutdown.cancelled() => {
            tally.stop();
            anyhow::bail!(INTERRUPTED);
        }
    };
    let options = Options {
        driver_backend: args.driver_backend,
        ..Options::in_folder(data.clone())
    };
    let cluster = Cluster::start(options).await?;
    let address = cluster.address();
    report.end(
        "start a cluster",
        format!("API, binder, driver and roles at {address}"),
    );
    let node = Node::connect(&data).await?;
    let mut objects = Objects::new(as_kubectl(&data).await?);
    objects.block = block;
    let workers = TaskTracker::new();
    let mut story = Story {
        objects,
        node,
        data,
        look,
        tally,
        workers,
    };
    let told = tokio::select! {
        told = whole(&mut story, source, keep, &mut report) => told.map_err(Into::into),
        () = shutdown.cancelled() => Err(anyhow::anyhow!(INTERRUPTED)),
    };
    // Also after a failure: nothing may stay mounted from a folder that goes.
    let left = story.leave().await;
    cluster.stop().await;
    let ending = told?;
    left?;
    let table = report.finish();
    write(&mut io::stdout().lock(), &ending, &table).context("cannot write to standard output")
}

/// The story, and the end of all that was made for it unless somebody wants to look.
async fn whole(
    story: &mut Story,
    source: Option<Source>,
    keep: bool,
    report: &mut Report,
) -> Result<Ending, StoryError> {
    let ending = match source {
        Some(source) => Box::pin(story.tell(source, report)).await?,
        None => Box::pin(story.tell_of_a_device(report)).await?,
    };
    if !keep && ending.differences.is_empty() {
        Box::pin(story.clear(report)).await?;
    }
    Ok(ending)
}

/// A client as `kubectl` is one: TLS, and the certificate in the kubeconfig.
async fn as_kubectl(data: &DataDir) -> anyhow::Result<kube::Client> {
    let kubeconfig = Kubeconfig::read_from(data.kubeconfig())?;
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    Ok(kube::Client::try_from(config)?)
}

fn write(out: &mut impl io::Write, ending: &Ending, table: &str) -> io::Result<Outcome> {
    writeln!(out, "{table}")?;
    if let Some(left_out) = &ending.left_out {
        writeln!(out, "not taken along: {left_out}")?;
    }
    if ending.differences.is_empty() {
        let what = if ending.device { "byte" } else { "file" };
        writeln!(out, "every {what} came back as it was")?;
        return Ok(Outcome::Same);
    }
    let count = words::count(ending.differences.len(), "difference", "differences");
    writeln!(
        out,
        "{count} between what was snapshotted and what was restored:"
    )?;
    for difference in ending.differences.iter().take(SHOWN) {
        writeln!(out, "  {difference}")?;
    }
    if ending.differences.len() > SHOWN {
        writeln!(out, "  and {} more", ending.differences.len() - SHOWN)?;
    }
    Ok(Outcome::Different)
}

#[cfg(test)]
mod tests {
    use super::{compare::Difference, *};

    fn written(ending: &Ending) -> (Outcome, String) {
        let mut out = Vec::new();
        let outcome = write(&mut out, ending, "table").unwrap();
        (outcome, String::from_utf8(out).unwrap())
    }

    #[test]
    fn the_first_differences_are_shown_and_the_rest_counted() {
        let differences = (0..25).map(|at| Difference {
            path: format!("file-{at}").into(),
            how: "is missing; was a fifo".to_owned(),
        });
        let ending = Ending {
            differences: differences.collect(),
            left_out: None,
            device: false,
        };
        let (outcome, text) = written(&ending);
        assert_eq!(outcome, Outcome::Different);
        assert!(
            text.starts_with("table\n25 differences between what was snapshotted"),
            "{text}"
        );
        assert!(
            text.contains("\n  file-0: is missing; was a fifo\n"),
            "{text}"
        );
        assert!(
            text.ends_with("file-19: is missing; was a fifo\n  and 5 more\n"),
            "{text}"
        );
    }

    #[test]
    fn what_was_left_out_is_said_also_when_nothing_differs() {
        let left_out = Some("2 × not readable".to_owned());
        let (outcome, text) = written(&Ending {
            differences: Vec::new(),
            left_out,
            device: false,
        });
        assert_eq!(outcome, Outcome::Same);
        let wanted = "table\nnot taken along: 2 × not readable\nevery file came back as it was\n";
        assert_eq!(text, wanted);
    }
}
