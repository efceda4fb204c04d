//! Checks what no compiler checks, over all files of the repository.
//!
//! Each rule lives in its own file below and is a pure function over texts; this file only reads the
//! files and collects what the rules find.

mod edges;
mod manifests;
mod modules;
mod pages;
mod text;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::codegen;

/// Something that is not as it should be, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    file: String,
    /// Counted from 1; none if it is about the whole file.
    line: Option<usize>,
    what: String,
}

impl Finding {
    fn of(file: &str, what: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: None,
            what: what.into(),
        }
    }

    fn at(file: &str, line: usize, what: impl Into<String>) -> Self {
        Self {
            line: Some(line),
            ..Self::of(file, what)
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.what),
            None => write!(f, "{}: {}", self.file, self.what),
        }
    }
}

/// A file of the repository.
#[derive(Debug)]
struct File {
    /// From the root, with slashes.
    path: String,
    /// None if it is not UTF-8.
    text: Option<String>,
}

impl File {
    fn extension(&self) -> &str {
        self.name().rsplit_once('.').map_or("", |(_, it)| it)
    }

    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Written by `cargo xtask codegen`.
    fn generated(&self) -> bool {
        self.text
            .as_deref()
            .is_some_and(|it| it.starts_with("// Generated from "))
    }
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Checks everything; tells each finding on a line of its own.
pub(crate) fn run() -> anyhow::Result<()> {
    codegen::run(true)?;
    let findings = findings(&root())?;
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        count => bail!("{count} findings, listed above"),
    }
}

fn findings(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let files = files(root)?;
    let metadata = edges::metadata(root)?;
    let foreign = text::foreign_paths(root);
    let mut found: Vec<Finding> = files
        .iter()
        .flat_map(|file| text::check(file, &foreign))
        .collect();
    found.extend(modules::check(&files, &modules::roots(&metadata, root)));
    found.extend(edges::check(&files, &edges::graph(&metadata)));
    found.extend(manifests::check(&files));
    found.extend(pages::check(&files));
    found.sort();
    Ok(found)
}

/// All files but those of git and of builds, sorted.
fn files(root: &Path) -> anyhow::Result<Vec<File>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("list {}", folder.display()))?;
            let path = entry.path();
            let kind = entry
                .file_type()
                .with_context(|| format!("look at {}", path.display()))?;
            if kind.is_dir() {
                if ![".git", "target"].iter().any(|it| entry.file_name() == *it) {
                    folders.push(path);
                }
            } else if kind.is_file() {
                found.push(read(root, &path)?);
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn read(root: &Path, path: &Path) -> anyhow::Result<File> {
    let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let inside = path.strip_prefix(root).unwrap_or(path);
    Ok(File {
        path: inside.to_string_lossy().into_owned(),
        text: String::from_utf8(bytes).ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        let findings = findings(&root()).unwrap();
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "{}", lines.join("\n"));
    }

    #[test]
    fn files_are_found_without_builds_and_git() {
        let root = tempfile::tempdir().unwrap();
        for path in [
            "a/b.rs",
            "target/x.rs",
            ".git/config",
            "a/target/y.rs",
            ".ci/run",
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "text\n").unwrap();
        }
        let paths: Vec<String> = files(root.path())
            .unwrap()
            .into_iter()
            .map(|file| file.path)
            .collect();
        assert_eq!(paths, [".ci/run", "a/b.rs"]);
    }

    #[test]
    fn findings_say_where() {
        assert_eq!(
            Finding::at("a.rs", 3, "too long").to_string(),
            "a.rs:3: too long"
        );
        assert_eq!(
            Finding::of("a.rs", "too long").to_string(),
            "a.rs: too long"
        );
    }
}
