//! Runs one role until it ends or a signal ends it.
//! Knows which part a role is in, and what it needs to be called.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tintype_plugin::{doctor, restore};
use tintype_sandbox::{bench, demo, mount, up};
use tintype_webhook::{convert, crds};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    client::{ClientError, client},
    logs::{self, Wanted},
    role::Role,
};

/// A blocking call that is still at it when the role has ended is not waited for.
const LINGER: Duration = Duration::from_millis(100);

/// Exit status of a command that did its work and found that something is left to do.
const TO_DO: u8 = 3;

/// A terminal and a supervisor may both pass on one wish to end; a person asks again later.
const SAME: Duration = Duration::from_secs(1);

pub(crate) fn run(role: Role) -> anyhow::Result<ExitCode> {
    logs::start(wanted(&role));
    // Two TLS libraries could be linked in; ours is this one.
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        tracing::debug!("a TLS provider was chosen before us");
    }
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let ended = runtime.block_on(async {
        let shutdown = CancellationToken::new();
        let signals = signals(shutdown.clone()).context("cannot listen for signals")?;
        tokio::select! {
            ended = Box::pin(play(role, shutdown)) => ended,
            () = signals => Err(anyhow::anyhow!("ended at once by a second signal")),
        }
    });
    runtime.shutdown_timeout(LINGER);
    ended
}

async fn play(role: Role, shutdown: CancellationToken) -> anyhow::Result<ExitCode> {
    match role {
        Role::Up(up) => up::run(up.args, shutdown).await?,
        Role::Demo(demo) => {
            let outcome = demo::run(demo.args, shutdown).await?;
            return Ok(match outcome {
                demo::Outcome::Same => ExitCode::SUCCESS,
                demo::Outcome::Different => ExitCode::FAILURE,
            });
        }
        Role::Mount(mount) => say(&mount::mount(mount.args).await?)?,
        Role::Unmount(unmount) => say(&mount::unmount(unmount.args).await?)?,
        Role::Bench(bench) => bench::run(bench.args, shutdown).await?,
        Role::Restore(restore) => restore::run(restore.args).await?,
        Role::Doctor(doctor) => {
            return Ok(match doctor::run(doctor.args).await? {
                doctor::Outcome::Well => ExitCode::SUCCESS,
                doctor::Outcome::Wrong => ExitCode::FAILURE,
            });
        }
        Role::Crds(args) if args.check => return judged(&tintype_webhook::check(&args).await?),
        Role::Crds(args) if args.migrate_stored => {
            return judged(&tintype_webhook::migrate(&args).await?);
        }
        Role::Crds(args) => say(&crds::print(&args)?)?,
        Role::Convert(args) => {
            return Ok(match convert::run(&args)? {
                convert::Outcome::Complete => ExitCode::SUCCESS,
                convert::Outcome::Incomplete => ExitCode::from(TO_DO),
            });
        }
        Role::SnapshotConversionWebhook(args) | Role::SnapshotValidationWebhook(args) => {
            let client = webhook_client(&args).await?;
            tintype_webhook::run(args, client, shutdown).await?;
        }
        Role::Version => say(concat!("tintype ", env!("CARGO_PKG_VERSION")))?,
        Role::SnapshotController(args) => {
            let client = client(args.kubeconfig.as_deref()).await?;
            tintype_controller::run(args, client, shutdown).await?;
        }
        Role::CsiSnapshotter(args) => {
            let client = client(args.kubeconfig.as_deref()).await?;
            tintype_sidecar::snapshotter::run(args, client, shutdown).await?;
        }
        Role::CsiProvisioner(args) => {
            // external-provisioner: the environment wins over the flag.
            let environment = std::env::var_os("KUBECONFIG").map(PathBuf::from);
            let environment = environment.filter(|path| !path.as_os_str().is_empty());
            let file = environment
                .as_deref()
                .or(args.kubeconfig.as_deref().map(Path::new));
            let client = client(file).await?;
            tintype_sidecar::provisioner::run(args, client, shutdown).await?;
        }
        Role::CsiDriver(args) => {
            return Ok(match tintype_driver::run(args, shutdown).await? {
                tintype_driver::Outcome::Well => ExitCode::SUCCESS,
                tintype_driver::Outcome::Wrong => ExitCode::FAILURE,
            });
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Roles in a cluster log what they do; commands of a person speak up when something is wrong.
fn wanted(role: &Role) -> Wanted {
    match role {
        Role::Up(up) => logs::watched(up.verbose),
        Role::Demo(demo) => logs::watched(demo.verbose),
        Role::Mount(mount) => logs::watched(mount.verbose),
        Role::Unmount(unmount) => logs::watched(unmount.verbose),
        Role::Bench(bench) => logs::watched(bench.verbose),
        Role::Restore(restore) => logs::watched(restore.verbose),
        Role::Doctor(doctor) => logs::watched(doctor.verbose),
        Role::Crds(_) | Role::Convert(_) | Role::Version => logs::watched(0),
        Role::SnapshotConversionWebhook(args) | Role::SnapshotValidationWebhook(args) => {
            logs::of_role(&args.log)
        }
        Role::SnapshotController(args) => logs::of_role(&args.role.log),
        Role::CsiSnapshotter(args) => logs::of_role(&args.role.log),
        Role::CsiProvisioner(args) => logs::of_role(&args.role.log),
        Role::CsiDriver(_) => logs::watched(1),
    }
}

/// The first SIGINT or SIGTERM asks for the end; completes with a later one.
fn signals(shutdown: CancellationToken) -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        let mut asked: Option<Instant> = None;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            shutdown.cancel();
            if asked.get_or_insert_with(Instant::now).elapsed() > SAME {
                return;
            }
        }
    })
}

fn say(text: &str) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{}", text.trim_end()).context("cannot write to standard output")
}

/// Tells what was found in a cluster.
fn judged(verdict: &crds::Verdict) -> anyhow::Result<ExitCode> {
    say(&verdict.text)?;
    Ok(ExitCode::from(if verdict.to_do { TO_DO } else { 0 }))
}

/// Converting takes no cluster, so outside of one the webhook runs without, unless a file was named.
async fn webhook_client(args: &tintype_webhook::Args) -> anyhow::Result<Option<kube::Client>> {
    match client(args.kubeconfig.as_deref()).await {
        Ok(client) => Ok(Some(client)),
        Err(ClientError::NoPod(_)) if !args.self_signed => Ok(None),
        Err(error) => Err(error.into()),
    }
}
