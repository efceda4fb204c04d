//! Seeds one fault at a time into the machines and expects the worlds to find it.
//!
//! Works on a copy with a workspace of its own, so nothing here is ever changed; knows of Cargo only
//! how to build one test program. A fault that no longer applies, does not compile, or is not found
//! fails: a world that no longer sees its mutants has gone blind.

mod diff;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::tidy;
use diff::Patch;

/// States per world: enough for every mutant here, and quick for the worlds that see nothing.
const STATES: &str = "40000";
/// What a build or a run may take at most before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(120);
/// Worlds that core has no part in.
const SKIPPED: &str = "upstream_alone";

/// What became of one mutant.
struct Fate {
    name: String,
    /// The law that was broken and the moves of the way there; none if nobody noticed.
    found: Option<(String, String)>,
    took: Duration,
}

/// Tries every mutant of `crates/core/mutants`, or those whose file name contains `only`.
pub(crate) fn run(only: Option<&str>) -> anyhow::Result<()> {
    let start = Instant::now();
    let patches = patches(only)?;
    let copy = Copy::new()?;
    copy.refresh()?;
    let sound = copy.build().context("build the worlds unchanged")?;
    if let Some((law, _)) = explore(&sound, &[&[]])? {
        bail!("the worlds find a fault with nothing seeded: {law}");
    }
    let mut fates = Vec::new();
    let mut running = None;
    for (at, patch) in patches.iter().enumerate() {
        let began = Instant::now();
        let program = copy.mutant(patch, at)?;
        // The worlds of one mutant run while the next is built.
        if let Some(before) = running.replace(spawn(patch, program, began)) {
            fates.push(joined(before)?);
        }
    }
    if let Some(last) = running {
        fates.push(joined(last)?);
    }
    print(&fates);
    let survivors: Vec<_> = fates
        .iter()
        .filter(|it| it.found.is_none())
        .map(|it| it.name.as_str())
        .collect();
    ensure!(
        survivors.is_empty(),
        "no world notices: {}",
        survivors.join("; ")
    );
    println!(
        "{} mutants, all found, {:.0} s",
        fates.len(),
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

/// The faults to seed, each of which applies.
fn patches(only: Option<&str>) -> anyhow::Result<Vec<Patch>> {
    let core = tidy::root().join("crates/core");
    let folder = core.join("mutants");
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .with_context(|| format!("list {}", folder.display()))?
        .map(|entry| entry.map(|it| it.path()))
        .collect::<Result<_, _>>()?;
    paths.retain(|it| {
        let name = it.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".patch") && only.is_none_or(|only| name.contains(only))
    });
    paths.sort();
    ensure!(!paths.is_empty(), "no patch in {}", folder.display());
    paths
        .iter()
        .map(|path| {
            let text = fs::read_to_string(path)?;
            let patch = Patch::parse(&text).with_context(|| format!("read {}", path.display()))?;
            // All of them before the first is built: that takes minutes.
            patch.sick(&core)?;
            Ok(patch)
        })
        .collect()
}

impl Patch {
    /// Its file, from the crate's root `core`, as it is and with the fault.
    fn sick(&self, core: &Path) -> anyhow::Result<(String, String)> {
        let path = core.join(&self.file);
        let sound = fs::read_to_string(&path).with_context(|| format!("read {}", self.file))?;
        let sick = self
            .apply(&sound)
            .with_context(|| format!("the mutant \"{}\" does not apply", self.name))?;
        Ok((sound, sick))
    }
}

/// A workspace of the two crates the worlds need, below the target folder.
struct Copy {
    root: PathBuf,
    target: PathBuf,
}

const CRATES: [&str; 2] = ["crates/api", "crates/core"];

impl Copy {
    fn new() -> anyhow::Result<Self> {
        let target = cargo_metadata::MetadataCommand::new()
            .current_dir(tidy::root())
            .no_deps()
            .exec()
            .context("ask cargo for its target folder")?
            .target_directory
            .into_std_path_buf()
            .join("mutants");
        let root = target.join("workspace");
        fs::create_dir_all(&root).with_context(|| format!("create {}", root.display()))?;
        Ok(Self { root, target })
    }

    /// Everything as in the repository; unchanged files are not touched, so not built anew.
    fn refresh(&self) -> anyhow::Result<()> {
        let from = tidy::root();
        for folder in CRATES.iter().chain(&["deploy/crds"]) {
            let to = self.root.join(folder);
            remove_strays(&from.join(folder), &to)?;
            copy_folder(&from.join(folder), &to)?;
        }
        let manifest = fs::read_to_string(from.join("Cargo.toml")).context("read Cargo.toml")?;
        let lines: Vec<_> = manifest
            .lines()
            .filter(|line| !line.starts_with("default-members"))
            .map(|line| {
                if line.starts_with("members") {
                    "members = [\"crates/api\", \"crates/core\"]"
                } else {
                    line
                }
            })
            .collect();
        write_changed(&self.root.join("Cargo.toml"), &(lines.join("\n") + "\n"))?;
        fs::copy(from.join("Cargo.lock"), self.root.join("Cargo.lock"))
            .context("copy Cargo.lock")?;
        Ok(())
    }

    /// The world program with this fault in it; afterwards the copy is sound again.
    fn mutant(&self, patch: &Patch, at: usize) -> anyhow::Result<PathBuf> {
        let core = self.root.join("crates/core");
        let path = core.join(&patch.file);
        let (sound, sick) = patch.sick(&core)?;
        fs::write(&path, sick).with_context(|| format!("write {}", patch.file))?;
        let built = self
            .build()
            .with_context(|| format!("the mutant \"{}\" does not compile", patch.name));
        fs::write(&path, sound).with_context(|| format!("write {}", patch.file))?;
        // The next build puts its program in the same place.
        let program = self.target.join(format!("mutant-{at}"));
        fs::copy(built?, &program).context("copy the mutant's program")?;
        Ok(program)
    }

    fn build(&self) -> anyhow::Result<PathBuf> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["test", "--offline", "-p", "tintype-core", "--test", "world"])
            .args(["--no-run", "--message-format", "json-render-diagnostics"])
            .args(["--config", "build.rustflags=[\"-Awarnings\"]"])
            .env("CARGO_TARGET_DIR", &self.target)
            // One line differs from build to build; without this each takes ten seconds.
            .env("CARGO_INCREMENTAL", "1")
            .current_dir(&self.root)
            .stderr(Stdio::piped())
            .output()
            .context("start cargo")?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim_end());
        }
        cargo_metadata::Message::parse_stream(output.stdout.as_slice())
            .filter_map(Result::ok)
            .find_map(|message| match message {
                cargo_metadata::Message::CompilerArtifact(it) if it.target.name == "world" => {
                    it.executable.map(PathBuf::from)
                }
                _ => None,
            })
            .context("cargo built no program named world")
    }
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("list {}", from.display()))? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else {
            let text = fs::read_to_string(entry.path())
                .with_context(|| format!("read {}", entry.path().display()))?;
            write_changed(&to, &text)?;
        }
    }
    Ok(())
}

/// Removes what the repository no longer has.
fn remove_strays(from: &Path, to: &Path) -> anyhow::Result<()> {
    let Ok(entries) = fs::read_dir(to) else {
        return Ok(()); // Nothing was copied yet.
    };
    for entry in entries {
        let entry = entry?;
        let origin = from.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            if origin.is_dir() {
                remove_strays(&origin, &entry.path())?;
            } else {
                fs::remove_dir_all(entry.path())?;
            }
        } else if !origin.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn write_changed(path: &Path, text: &str) -> anyhow::Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

type Running = thread::JoinHandle<anyhow::Result<Fate>>;

fn spawn(patch: &Patch, program: PathBuf, began: Instant) -> Running {
    let name = patch.name.clone();
    // Walks in lockstep are what sees a wrong reading or a wrong write; they see it soonest.
    let reads = ["src/object", "src/snapshot/facts.rs"];
    let walks_first =
        patch.file.ends_with("render.rs") || reads.iter().any(|it| patch.file.starts_with(it));
    // Walks of groups see what goes wrong with groups, and little else.
    let runs: &[&[&str]] = match (patch.name.contains("group"), walks_first) {
        (true, _) => &[&["groups::"], &["--skip", "groups::"]],
        (false, true) => &[&["walks::"], &["--skip", "groups::"]],
        (false, false) => &[&["--skip", "groups::"]],
    };
    thread::spawn(move || {
        let found = explore(&program, runs)?;
        let _ = fs::remove_file(&program);
        Ok(Fate {
            name,
            found,
            took: began.elapsed(),
        })
    })
}

fn joined(running: Running) -> anyhow::Result<Fate> {
    running
        .join()
        .unwrap_or_else(|_| Err(anyhow::anyhow!("the thread that ran a mutant panicked")))
}

/// Runs the worlds until one breaks a law; returns that law and the moves to it.
fn explore(program: &Path, runs: &[&[&str]]) -> anyhow::Result<Option<(String, String)>> {
    for filter in runs {
        let found = explore_some(program, filter)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn explore_some(program: &Path, filter: &[&str]) -> anyhow::Result<Option<(String, String)>> {
    let mut child = Command::new(program)
        .args(["--nocapture", "--test-threads", "2", "--skip", SKIPPED])
        .args(filter)
        .env("TINTYPE_WORLD_STATES", STATES)
        .current_dir(tidy::root().join("crates/core"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("start {}", program.display()))?;
    let found = first_finding(&mut child)?;
    if found.is_some() {
        child.kill().context("stop the worlds")?;
        child.wait().context("wait for the worlds")?;
        return Ok(found);
    }
    let status = child.wait().context("wait for the worlds")?;
    // A test that fails without a law being broken has noticed too.
    Ok((!status.success()).then(|| ("a test fails".to_owned(), "–".to_owned())))
}

fn first_finding(child: &mut Child) -> anyhow::Result<Option<(String, String)>> {
    let stdout = child.stdout.take().context("take the worlds' output")?;
    let (tell, told) = mpsc::channel();
    let reader = thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // Tests print side by side, so a finding is one line.
            if let Some((_, rest)) = line.split_once("finding: ")
                && let Some((law, moves)) = rest.rsplit_once(" · ")
            {
                let _ = tell.send((law.to_owned(), moves.to_owned()));
                return;
            }
        }
    });
    let found = match told.recv_timeout(PATIENCE) {
        Ok(found) => Some(found),
        Err(mpsc::RecvTimeoutError::Disconnected) => None,
        Err(mpsc::RecvTimeoutError::Timeout) => {
            child.kill().context("stop the worlds")?;
            bail!("the worlds did not end within {PATIENCE:?}");
        }
    };
    reader
        .join()
        .map_err(|_| anyhow::anyhow!("the thread that read the worlds' output panicked"))?;
    Ok(found)
}

fn print(fates: &[Fate]) {
    let width = fates.iter().map(|it| it.name.chars().count()).max();
    for Fate { name, found, took } in fates {
        let (law, moves) = found
            .as_ref()
            .map_or(("NOT FOUND", ""), |(law, moves)| (law, moves));
        println!(
            "{name:width$}  {moves:>3}  {law}  ({:.1} s)",
            took.as_secs_f64(),
            width = width.unwrap_or_default()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_applies() {
        assert!(patches(None).unwrap().len() >= 40);
    }
}
