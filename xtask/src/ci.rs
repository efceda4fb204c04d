//! Runs every check in a row, tells what each took, and stops at the first that fails.
//!
//! Does not know what the checks mean. Steps share one target folder, profile and feature set where
//! they can, so that little is built twice.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use tintype_testing::LIST;

use crate::{mutants, needs, tidy};

/// One cargo command.
#[derive(Debug, Clone, Copy)]
struct Step {
    name: &'static str,
    args: &'static [&'static str],
    env: &'static [(&'static str, &'static str)],
}

impl Step {
    const fn new(name: &'static str, args: &'static [&'static str]) -> Self {
        Self {
            name,
            args,
            env: &[],
        }
    }
}

impl fmt::Display for Step {
    /// As one would type it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.env {
            write!(f, "{name}='{value}' ")?;
        }
        write!(f, "cargo {}", self.args.join(" "))
    }
}

const FMT: Step = Step::new("fmt", &["fmt", "--all", "--check"]);
const CLIPPY: Step = Step::new(
    "clippy",
    &[
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ],
);
const NEXTEST: Step = Step::new(
    "test",
    &[
        "nextest",
        "run",
        "--locked",
        "--workspace",
        "--no-fail-fast",
    ],
);
const TEST: Step = Step::new(
    "test",
    &[
        "test",
        "--locked",
        "--workspace",
        "--lib",
        "--bins",
        "--tests",
        "--no-fail-fast",
    ],
);
const DOCTEST: Step = Step::new("doctest", &["test", "--locked", "--workspace", "--doc"]);
const DOC: Step = Step {
    env: &[("RUSTDOCFLAGS", "-D warnings")],
    ..Step::new("doc", &["doc", "--locked", "--workspace", "--no-deps"])
};
const DEMO: Step = Step::new("demo", &["run", "--locked", "--release", "--", "demo"]);

/// What was done so far.
#[derive(Default)]
struct Log {
    times: Vec<(&'static str, Duration)>,
    /// The test runners' own words about how it went.
    summaries: Vec<String>,
    /// What tests said that could not run here.
    not_run: Vec<String>,
}

/// Checks everything.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut log = Log::default();
    log.timed("needs", "cargo xtask ci", |_| needs::meet())?;
    log.cargo(FMT)?;
    log.cargo(CLIPPY)?;
    log.timed("tidy", "cargo xtask tidy", |_| tidy::run())?;
    log.tests(if nextest() { NEXTEST } else { TEST })?;
    log.tests(DOCTEST)?;
    log.timed("mutants", "cargo xtask mutants", |_| {
        mutants::run(None, false)
    })?;
    log.cargo(DOC)?;
    log.cargo(DEMO)?;
    log.print();
    Ok(())
}

impl Log {
    fn timed(
        &mut self,
        name: &'static str,
        command: &str,
        work: impl FnOnce(&mut Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        println!("\n── {name}: {command}");
        let start = Instant::now();
        let result = work(self);
        let took = start.elapsed();
        self.times.push((name, took));
        if let Err(error) = result {
            self.print();
            bail!(
                "step `{name}` failed after {}: {error:#}\nto repeat it: {command}",
                seconds(took)
            );
        }
        println!("── {name}: ok, {}", seconds(took));
        Ok(())
    }

    fn cargo(&mut self, step: Step) -> anyhow::Result<()> {
        self.timed(step.name, &step.to_string(), |_| {
            finish(command(step).status().context("start cargo")?)
        })
    }

    /// Like `cargo`, and keeps the lines that sum up the tests.
    fn tests(&mut self, step: Step) -> anyhow::Result<()> {
        self.timed(step.name, &step.to_string(), |log| {
            let list = List::new()?;
            let mut child = command(step)
                .env(LIST, &list.path)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .context("start cargo")?;
            let stdout = child.stdout.take().context("take cargo's output")?;
            let stderr = child.stderr.take().context("take cargo's messages")?;
            let errors = thread::spawn(move || pass_on(stderr, io::stderr()));
            let mut kept = pass_on(stdout, io::stdout())?;
            kept.extend(
                errors
                    .join()
                    .map_err(|_| anyhow!("lost cargo's messages"))??,
            );
            log.summaries.extend(kept);
            let status = child.wait().context("wait for cargo")?;
            log.not_run.extend(list.lines()?);
            finish(status)
        })
    }

    fn print(&self) {
        println!("\n── steps");
        for (name, took) in &self.times {
            println!("{name:>10} {:>9}", seconds(*took));
        }
        let total = self.times.iter().map(|(_, took)| *took).sum();
        println!("{:>10} {:>9}", "all", seconds(total));
        for line in told(&self.not_run, &self.summaries) {
            println!("{line}");
        }
    }
}

fn command(step: Step) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(step.args)
        .envs(step.env.iter().copied())
        .current_dir(tidy::root());
    command
}

fn finish(status: std::process::ExitStatus) -> anyhow::Result<()> {
    if !status.success() {
        bail!("cargo ended with {status}");
    }
    Ok(())
}

/// Cargo has nextest.
fn nextest() -> bool {
    let asked = command(Step::new("nextest", &["nextest", "--version"]))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    asked.is_ok_and(|status| status.success())
}

/// A file in which tests say that they could not run; gone with this.
struct List {
    path: PathBuf,
}

impl List {
    fn new() -> anyhow::Result<Self> {
        let name = format!("tintype-test-{}-not-run", std::process::id());
        let path = std::env::temp_dir().join(name);
        // Also shows that it can be written.
        File::create(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(Self { path })
    }

    /// Each line once, in order.
    fn lines(&self) -> anyhow::Result<Vec<String>> {
        let text = fs::read_to_string(&self.path)
            .with_context(|| format!("read {}", self.path.display()))?;
        let lines: BTreeSet<String> = text.lines().map(ToOwned::to_owned).collect();
        Ok(lines.into_iter().collect())
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // Of no use to anybody, and in a folder that is swept.
        let _ = fs::remove_file(&self.path);
    }
}

/// What is said of the tests: those that could not run, their number, and the runners' own words last.
fn told(not_run: &[String], summaries: &[String]) -> Vec<String> {
    if summaries.is_empty() && not_run.is_empty() {
        return Vec::new();
    }
    let count = match not_run.len() {
        0 => "not run: 0 tests, this machine can run them all".to_owned(),
        1 => "not run: 1 test, or part of one, that this machine cannot run".to_owned(),
        many => format!("not run: {many} tests, or parts of them, that this machine cannot run"),
    };
    let head = "── tests".to_owned();
    [head]
        .into_iter()
        .chain(not_run.iter().cloned())
        .chain([count])
        .chain(summaries.iter().cloned())
        .collect()
}

/// Copies lines as they come; returns those that sum up tests.
fn pass_on(from: impl Read, mut to: impl Write) -> io::Result<Vec<String>> {
    let mut kept = Vec::new();
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        let text = String::from_utf8_lossy(&line);
        if sums_up(&text) {
            kept.push(text.trim().to_owned());
        }
        line.clear();
    }
    to.flush()?;
    Ok(kept)
}

/// A runner's verdict on many tests; a program without any is not worth a line.
fn sums_up(line: &str) -> bool {
    let line = line.trim();
    let nothing = line.contains(" 0 passed; 0 failed;");
    line.starts_with("Summary [") || (line.starts_with("test result:") && !nothing)
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn keeps_the_verdicts_and_passes_on_everything() {
        let said = "running 2 tests\ntest a ... ok\n\
            test result: ok. 2 passed; 0 failed; 0 ignored\n\
            test result: ok. 0 passed; 0 failed; 0 ignored\n\
            \u{20}    Summary [   0.1s] 19 tests run: 19 passed, 0 skipped";
        let mut copy = Vec::new();
        let kept = pass_on(said.as_bytes(), &mut copy).unwrap();
        assert_eq!(
            kept,
            [
                "test result: ok. 2 passed; 0 failed; 0 ignored",
                "Summary [   0.1s] 19 tests run: 19 passed, 0 skipped"
            ]
        );
        assert_eq!(copy, said.as_bytes());
    }

    #[test]
    fn tests_that_could_not_run_are_told_and_counted_before_the_verdicts() {
        let summary = "Summary [   0.1s] 19 tests run: 19 passed, 0 skipped".to_owned();
        let list = List::new().unwrap();
        assert!(list.lines().unwrap().is_empty());
        let all = told(&list.lines().unwrap(), std::slice::from_ref(&summary));
        let none = "not run: 0 tests, this machine can run them all";
        assert_eq!(all, ["── tests", none, &summary]);
        // As tests do it, in processes of their own.
        let said = "not run: b: it needs root\nnot run: a: it needs a tool\n";
        fs::write(&list.path, format!("{said}not run: b: it needs root\n")).unwrap();
        let some = told(&list.lines().unwrap(), std::slice::from_ref(&summary));
        let expected = [
            "── tests",
            "not run: a: it needs a tool",
            "not run: b: it needs root",
            "not run: 2 tests, or parts of them, that this machine cannot run",
            &summary,
        ];
        assert_eq!(some, expected);
        let path = list.path.clone();
        drop(list);
        assert!(!path.exists());
        assert!(told(&[], &[]).is_empty());
    }

    /// A folder as tests make them, with a file behind a loop device; that device.
    fn labelled(place: &Path, pid: u32) -> (PathBuf, String) {
        let folder = place.join(format!("tintype-test-{pid}-sweep"));
        fs::create_dir(&folder).unwrap();
        let file = folder.join("image");
        File::create(&file).unwrap().set_len(1 << 20).unwrap();
        let mut losetup = Command::new("losetup");
        let output = losetup.args(["--find", "--show"]).arg(&file).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
        (
            folder,
            String::from_utf8(output.stdout).unwrap().trim().to_owned(),
        )
    }

    fn is_behind(device: &str, folder: &Path) -> bool {
        let name = device.trim_start_matches("/dev/");
        let file = format!("/sys/block/{name}/loop/backing_file");
        fs::read_to_string(file).is_ok_and(|it| Path::new(it.trim()).starts_with(folder))
    }

    #[test]
    fn what_dead_tests_left_is_swept_and_what_living_ones_have_stays() {
        let missing = tintype_testing::without_mounts()
            .or_else(|| tintype_testing::without(&["losetup"]))
            .or_else(tintype_testing::without_loop_devices);
        if let Some(why) = missing {
            tintype_testing::not_run(&why);
            return;
        }
        let place = tempfile::tempdir().unwrap();
        let mut child = Command::new("true").spawn().unwrap();
        let gone = child.id();
        child.wait().unwrap();
        let (dead, left) = labelled(place.path(), gone);
        let (living, used) = labelled(place.path(), std::process::id());
        let mut sweep = Command::new(tidy::root().join(".ci/run"));
        let output = sweep.arg("--sweep").env("TMPDIR", place.path()).output();
        let output = output.unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let stays = is_behind(&used, &living);
        Command::new("losetup")
            .args(["--detach", &used])
            .status()
            .unwrap();
        assert!(output.status.success() && stays, "{said}");
        assert!(
            said.contains(&format!("sweep: detach {left} from ")),
            "{said}"
        );
        assert!(
            said.contains(&format!("sweep: remove {}", dead.display())),
            "{said}"
        );
        assert!(!dead.exists() && living.exists() && !is_behind(&left, &dead));
    }

    #[test]
    fn a_step_reads_as_one_would_type_it() {
        assert_eq!(
            DOC.to_string(),
            "RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps"
        );
    }
}
