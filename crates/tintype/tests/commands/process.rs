//! Runs `tintype` and waits for what it says.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio},
};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

/// The program under test, quiet about its surroundings.
pub(crate) fn tintype() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tintype"));
    command.env_remove("KUBECONFIG").env_remove("XDG_DATA_HOME");
    command
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs to the end, and expects it to be a good one.
pub(crate) fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    output
}

/// A running `tintype up`. Killed when dropped.
pub(crate) struct Up {
    child: Child,
    lines: BufReader<ChildStdout>,
    pub(crate) data_dir: PathBuf,
}

impl Up {
    /// Starts, and returns when it says that it is up.
    pub(crate) fn start(data_dir: &Path) -> Self {
        let mut command = tintype();
        command
            .args(["up", "--port", "0", "--driver-backend", "directory"])
            .arg("--data-dir")
            .arg(data_dir);
        Self::of(command, data_dir)
    }

    pub(crate) fn of(mut command: Command, data_dir: &Path) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut up = Self {
            child,
            lines,
            data_dir: data_dir.to_owned(),
        };
        up.until("tintype is up at ");
        up
    }

    /// Reads lines until one starts so.
    pub(crate) fn until(&mut self, start: &str) -> String {
        let mut heard = String::new();
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).unwrap() == 0 {
                let mut errors = String::new();
                self.child
                    .stderr
                    .take()
                    .unwrap()
                    .read_to_string(&mut errors)
                    .unwrap();
                panic!("ended before it said {start:?}: {heard}{errors}");
            }
            if line.starts_with(start) {
                return line;
            }
            heard.push_str(&line);
        }
    }

    pub(crate) async fn client(&self) -> Client {
        let kubeconfig = Kubeconfig::read_from(self.data_dir.join("kubeconfig")).unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .unwrap();
        Client::try_from(config).unwrap()
    }

    /// Sends a signal by name and waits for the end.
    pub(crate) fn signal(&mut self, signal: &str) -> ExitStatus {
        let process = self.child.id().to_string();
        succeed(Command::new("kill").args(["-s", signal, &process]));
        self.child.wait().unwrap()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // Fails when it has ended by itself, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
