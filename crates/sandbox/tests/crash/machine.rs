//! Runs `up` as a process of its own, which can be killed: this test program, entered again.
//! Knows how to start it and how to reach it, and nothing of what is done with it.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use clap::Parser as _;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use tintype_sandbox::up;
use tokio_util::sync::CancellationToken;

/// Names the data dir to the process that is to be `up`.
const DATA_DIR: &str = "TINTYPE_TEST_UP";
const ENTRY: &str = "machine::is_up_when_entered_again";

/// A running `up`. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Machine {
    child: Child,
    data_dir: PathBuf,
}

impl Machine {
    /// Starts `up` and waits until it says that it is.
    pub(crate) fn start(data_dir: &Path, log: &Path) -> Self {
        let errors = File::options().create(true).append(true).open(log).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([ENTRY, "--exact", "--nocapture"])
            .env(DATA_DIR, data_dir)
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = lines.find(|line| line.as_ref().unwrap().contains("tintype is up at "));
        let machine = Self {
            child,
            data_dir: data_dir.to_owned(),
        };
        assert!(
            said.is_some(),
            "up did not come up:\n{}",
            fs::read_to_string(log).unwrap()
        );
        // What it says from now on must go somewhere, or it would wait.
        std::thread::spawn(move || lines.for_each(drop));
        machine
    }

    /// A new client each time: nothing of an earlier process may be known to it.
    pub(crate) async fn client(&self) -> Client {
        let kubeconfig = Kubeconfig::read_from(self.data_dir.join("kubeconfig")).unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .unwrap();
        Client::try_from(config).unwrap()
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.end();
    }
}

/// Not a test unless the process was started to be `up`.
#[test]
fn is_up_when_entered_again() {
    let Some(data_dir) = std::env::var_os(DATA_DIR) else {
        return;
    };
    let mut line = vec!["up".into(), "--port=0".into(), "--data-dir".into()];
    line.push(data_dir);
    // Nothing may stay mounted from a folder that goes.
    line.push("--driver-backend=directory".into());
    let args = up::Args::try_parse_from(line).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime
        .block_on(up::run(args, CancellationToken::new()))
        .unwrap();
}
