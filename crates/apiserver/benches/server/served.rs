//! Runs a server in a process of its own, which tells how much memory it has whenever it is asked.
//!
//! Knows nothing of what is measured.

use std::path::Path;
use std::process::Stdio;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio_util::sync::CancellationToken;

use super::HEAP;

/// The first argument of the process that serves; the second is its folder.
pub(crate) const SERVE: &str = "--serve";

/// What the server tells of itself.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// What was asked of the allocator.
    pub heap: usize,
    /// What the system gives it.
    pub resident: usize,
}

impl Memory {
    fn now() -> anyhow::Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        let kib: usize = kib.context("no VmRSS in /proc/self/status")?.parse()?;
        Ok(Self {
            heap: HEAP.current_usage(),
            resident: kib << 10,
        })
    }
}

/// Serves until the other end of the standard input is closed. Prints the kubeconfig's path first.
pub(crate) async fn serve(folder: &Path) -> anyhow::Result<()> {
    let server = super::open(folder)?;
    let addr = server.bind().await?;
    let stop = CancellationToken::new();
    server.spawn_controllers(stop.clone());
    let serving = {
        let (server, stop) = (server.clone(), stop.clone());
        tokio::spawn(async move { server.serve(stop).await })
    };
    let kubeconfig = folder.join("kubeconfig");
    std::fs::write(&kubeconfig, server.kubeconfig(addr))?;
    println!("{}", kubeconfig.display());
    let mut questions = BufReader::new(tokio::io::stdin()).lines();
    while questions.next_line().await?.is_some() {
        println!("{}", serde_json::to_string(&Memory::now()?)?);
    }
    stop.cancel();
    serving.await?;
    Ok(())
}

/// The process that serves. It ends with this value.
pub(crate) struct Served {
    pub kubeconfig: String,
    /// Killed when dropped.
    _process: Child,
    questions: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Served {
    pub(crate) async fn start(folder: &Path) -> anyhow::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(SERVE)
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let questions = process.stdin.take().context("no standard input")?;
        let answers = process.stdout.take().context("no standard output")?;
        let mut answers = BufReader::new(answers).lines();
        let path = answers.next_line().await?.context("the server ended")?;
        Ok(Self {
            kubeconfig: std::fs::read_to_string(path)?,
            _process: process,
            questions,
            answers,
        })
    }

    pub(crate) async fn memory(&mut self) -> anyhow::Result<Memory> {
        self.questions.write_all(b"\n").await?;
        let line = self
            .answers
            .next_line()
            .await?
            .context("the server ended")?;
        Ok(serde_json::from_str(&line)?)
    }
}
