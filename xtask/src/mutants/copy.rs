//! A copy of what the worlds need, in which faults are seeded and built.
//!
//! Knows of Cargo only how to build one test program; nothing outside the target folder is changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::diff::Patch;
use crate::tidy;

/// A workspace of the two crates the worlds need, below the target folder.
pub(super) struct Copy {
    root: PathBuf,
    target: PathBuf,
}

const CRATES: [&str; 2] = ["crates/api", "crates/core"];

impl Copy {
    /// One of several that do not disturb each other; `like` is another, if there is one.
    pub(super) fn new(number: usize, like: Option<&Self>) -> anyhow::Result<Self> {
        let target = cargo_metadata::MetadataCommand::new()
            .current_dir(tidy::root())
            .no_deps()
            .exec()
            .context("ask cargo for its target folder")?
            .target_directory
            .into_std_path_buf()
            .join("mutants")
            .join(number.to_string());
        let root = target.join("workspace");
        fs::create_dir_all(&root).with_context(|| format!("create {}", root.display()))?;
        let copy = Self { root, target };
        copy.refresh()?;
        if let Some(like) = like {
            copy.take_dependencies(like)?;
        }
        Ok(copy)
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

    /// Links what the other has built of other people's crates: to build that takes as long as half
    /// of the mutants.
    fn take_dependencies(&self, like: &Self) -> anyhow::Result<()> {
        for folder in ["deps", "build", ".fingerprint"] {
            let folder = Path::new("debug").join(folder);
            link_folder(&like.target.join(&folder), &self.target.join(&folder))?;
        }
        Ok(())
    }

    /// The world program with this fault in it; afterwards the copy is sound again.
    pub(super) fn mutant(&self, patch: &Patch) -> anyhow::Result<PathBuf> {
        let core = self.root.join("crates/core");
        let path = core.join(&patch.file);
        let (sound, sick) = patch.sick(&core)?;
        fs::write(&path, sick).with_context(|| format!("write {}", patch.file))?;
        let built = self
            .build()
            .with_context(|| format!("the mutant \"{}\" does not compile", patch.name));
        fs::write(&path, sound).with_context(|| format!("write {}", patch.file))?;
        built
    }

    pub(super) fn build(&self) -> anyhow::Result<PathBuf> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["test", "--offline", "-p", "tintype-core", "--test", "world"])
            .args(["--no-run", "--message-format", "json-render-diagnostics"])
            .env("CARGO_TARGET_DIR", &self.target)
            // Nobody debugs these programs.
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
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

/// Links the files that are not there yet, other than our own.
fn link_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("list {}", from.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let text = name.to_string_lossy();
        let ours = ["tintype", "libtintype", "world"];
        if ours.iter().any(|it| text.starts_with(it)) {
            continue;
        }
        let to = to.join(&name);
        if entry.file_type()?.is_dir() {
            link_folder(&entry.path(), &to)?;
        } else if !to.exists() {
            fs::hard_link(entry.path(), &to).with_context(|| format!("link {}", to.display()))?;
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
