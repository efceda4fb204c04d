//! Makes manifests of old versions what they are in `v1`: `tintype convert`.
//!
//! Documents that need nothing are printed as they were written, comments included. What was changed, and what only a
//! person can know, is told. Talks to no cluster.

mod documents;
mod migrate;

use std::ffi::OsStr;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use documents::Document;
use migrate::migrate;

/// Print manifests of snapshot objects as version v1, and say what was changed and what is still needed.
///
/// Exit status: 0 the result is complete, 3 something is still needed, 1 a file could not be read.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Manifests, YAML or JSON, of any number of documents, or a folder of them; - is standard input. May be given more
    /// than once
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    pub filename: Vec<PathBuf>,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Complete,
    /// Something is needed that is not in the manifest.
    Incomplete,
}

/// Reads, converts and prints.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let mut texts = Vec::new();
    for path in &args.filename {
        if path.as_os_str() == "-" {
            let mut text = String::new();
            let read = io::stdin().read_to_string(&mut text);
            read.context("cannot read standard input")?;
            texts.push(("standard input".to_owned(), text));
            continue;
        }
        for file in files(path)? {
            let name = file.display().to_string();
            let text = std::fs::read_to_string(&file);
            let text = text.with_context(|| format!("cannot read {name}"))?;
            texts.push((name, text));
        }
    }
    let mut told = Told::default();
    for (name, text) in &texts {
        told.convert(name, text)?;
    }
    io::stdout()
        .write_all(told.printed.as_bytes())
        .context("cannot write to standard output")?;
    io::stderr()
        .write_all(told.said.as_bytes())
        .context("cannot write to standard error")?;
    Ok(if told.needs {
        Outcome::Incomplete
    } else {
        Outcome::Complete
    })
}

/// The file itself, or the manifests of a folder by name; those of folders in it are left out, as by kubectl.
fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let cannot = || format!("cannot read the folder {}", path.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).with_context(cannot)? {
        let file = entry.with_context(cannot)?.path();
        let ending = file.extension().and_then(OsStr::to_str);
        if matches!(ending, Some("yaml" | "yml" | "json")) && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    anyhow::ensure!(
        !files.is_empty(),
        "{} holds no file that ends in .yaml, .yml or .json",
        path.display()
    );
    Ok(files)
}

/// What is printed, and what is said of it.
#[derive(Debug, Default)]
struct Told {
    printed: String,
    said: String,
    needs: bool,
}

impl Told {
    fn convert(&mut self, name: &str, text: &str) -> anyhow::Result<()> {
        for (at, document) in documents::split(text).into_iter().enumerate() {
            let place = || format!("{name}, document {}", at + 1);
            let parsed = document.parse().with_context(place)?;
            let Some(before) = parsed else {
                continue;
            };
            let mut after = before.clone();
            let report = migrate(&mut after);
            let title = documents::title(&after);
            for change in &report.changes {
                self.say(&format!("{}: {title}: {change}", place()));
            }
            for need in &report.needs {
                self.say(&format!("{}: {title}: still needed: {need}", place()));
            }
            self.needs |= !report.needs.is_empty();
            self.print(&document, &before, &after, &report.needs)?;
        }
        Ok(())
    }

    fn say(&mut self, line: &str) {
        self.said.push_str(line);
        self.said.push('\n');
    }

    fn print(
        &mut self,
        document: &Document<'_>,
        before: &serde_json::Value,
        after: &serde_json::Value,
        needs: &[String],
    ) -> anyhow::Result<()> {
        if !self.printed.is_empty() {
            self.printed.push_str("---\n");
        }
        for need in needs {
            self.printed.extend(["# still needed: ", need, "\n"]);
        }
        self.printed.push_str(&document.rewritten(before, after)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Told {
        let mut told = Told::default();
        told.convert("it", text).unwrap();
        told
    }

    /// As the pages people read print them.
    const GROUP: &str = "\
apiVersion: groupsnapshot.storage.k8s.io/v1alpha1
kind: VolumeGroupSnapshot
metadata:
  name: new-group-snapshot-demo
  namespace: demo-namespace
spec:
  volumeGroupSnapshotClassName: csi-groupSnapclass
  source:
    selector:
      group: myGroup
";
    const IMPORT: &str = "\
apiVersion: groupsnapshot.storage.k8s.io/v1alpha1
kind: VolumeGroupSnapshotContent
metadata:
  name: static-content
spec:
  driver: hostpath.csi.k8s.io
  deletionPolicy: Delete
  source:
    volumeGroupSnapshotHandle: e8779136
  volumeGroupSnapshotRef:
    name: static-snapshot
    namespace: demo
---
apiVersion: groupsnapshot.storage.k8s.io/v1alpha1
kind: VolumeGroupSnapshot
metadata:
  name: static-snapshot
spec:
  snapshotContentName: static-content
";

    #[test]
    fn the_first_version_of_a_group_becomes_the_last() {
        let told = told(GROUP);
        assert!(!told.needs);
        let printed: serde_json::Value = serde_yaml_ng::from_str(&told.printed).unwrap();
        assert_eq!(printed["apiVersion"], "groupsnapshot.storage.k8s.io/v1");
        let selector = serde_json::json!({"matchLabels": {"group": "myGroup"}});
        assert_eq!(printed["spec"]["source"]["selector"], selector);
        assert_eq!(
            told.said.lines().collect::<Vec<_>>(),
            [
                "it, document 1: VolumeGroupSnapshot new-group-snapshot-demo: apiVersion: groupsnapshot.storage.k8s.io/v1alpha1 is now groupsnapshot.storage.k8s.io/v1",
                "it, document 1: VolumeGroupSnapshot new-group-snapshot-demo: spec.source.selector.group: is now spec.source.selector.matchLabels.group",
            ]
        );
    }

    #[test]
    fn what_nobody_but_a_person_knows_is_asked_for() {
        let told = told(IMPORT);
        assert!(told.needs);
        let first = "# still needed: spec.source.groupSnapshotHandles.volumeSnapshotHandles: the CSI ids of the group's snapshots; the storage knows them\n";
        assert!(told.printed.starts_with(first), "{}", told.printed);
        assert!(
            told.said
                .contains("still needed: spec.source.groupSnapshotHandles.volumeSnapshotHandles")
        );
        let second = told.printed.split("---\n").nth(1).unwrap();
        let second: serde_json::Value = serde_yaml_ng::from_str(second).unwrap();
        assert_eq!(
            second["spec"],
            serde_json::json!({"source": {"volumeGroupSnapshotContentName": "static-content"}})
        );
    }

    #[test]
    fn what_is_not_touched_is_printed_as_it_was_written() {
        let pod = "# A pod.\napiVersion: v1\nkind: Pod   # as it is\nmetadata: {name: a}\n";
        let snapshot = "# Mine.\napiVersion: snapshot.storage.k8s.io/v1beta1 # old\nkind: VolumeSnapshot\nmetadata: {name: s}\nspec:\n  source: {persistentVolumeClaimName: c} # the claim\n";
        let told = told(&format!("---\n{pod}---\n# nothing here\n---\n{snapshot}"));
        let wanted = format!("{pod}---\n{}", snapshot.replace("v1beta1", "v1"));
        assert_eq!(told.printed, wanted);
        assert!(!told.needs);
        let again = self::told(&told.printed);
        assert_eq!((again.printed, again.said), (wanted, String::new()));
    }

    #[test]
    fn a_folder_is_its_manifests_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        assert!(
            files(folder.path())
                .unwrap_err()
                .to_string()
                .contains("holds no file")
        );
        for name in ["b.yml", "a.yaml", "c.json", "notes.txt"] {
            std::fs::write(path(name), "").unwrap();
        }
        std::fs::create_dir(path("d.yaml")).unwrap();
        let found = files(folder.path()).unwrap();
        assert_eq!(found, ["a.yaml", "b.yml", "c.json"].map(path));
        let missing = path("none");
        assert_eq!(files(&missing).unwrap(), [missing]);
    }

    #[test]
    fn a_document_that_cannot_be_read_is_named() {
        let error = Told::default()
            .convert("it", "a: b\n---\n{{ .Values.x }}: [\n")
            .unwrap_err();
        assert!(
            format!("{error:#}").starts_with("it, document 2: this is not YAML: "),
            "{error:#}"
        );
    }
}
