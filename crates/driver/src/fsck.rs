//! Compares names with files in a store that no driver runs on: `tintype csi-driver fsck`.
//!
//! What it finds is told, one line each; what can be put right without guessing is, if that is
//! asked for. It does not look into contents.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::backend::Backend;
use crate::choose;
use crate::driver::Config;
use crate::publications::Publications;
use crate::record::{Group, Recorded, Snapshot, Volume};
use crate::refusal::{Kind, Refusal};
use crate::shelf::{Found, Shelf};
use crate::store::{Claim, OpenError};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong, with the path.
    pub problem: String,
    /// What was done about it, or what can be.
    pub remedy: Remedy,
}

/// What becomes of a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Put right.
    Done(String),
    /// Would be put right with `--repair`.
    Possible(String),
    /// Only a person can.
    Advice(String),
}

/// What was looked at, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Volumes, snapshots and groups.
    pub objects: usize,
    /// In the order of their names.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether something is wrong still.
    pub fn is_clean(&self) -> bool {
        let done = |finding: &Finding| matches!(finding.remedy, Remedy::Done(_));
        self.findings.iter().all(done)
    }

    /// Writes it for people.
    pub fn write(&self, out: &mut impl io::Write) -> io::Result<()> {
        for Finding { problem, remedy } in &self.findings {
            let (mark, text) = match remedy {
                Remedy::Done(text) => ("repaired", text),
                Remedy::Possible(text) => ("with --repair", text),
                Remedy::Advice(text) => ("by hand", text),
            };
            writeln!(out, "{problem}\n  {mark}: {text}")?;
        }
        let (objects, findings) = (self.objects, self.findings.len());
        writeln!(
            out,
            "volumes, snapshots and groups: {objects}; findings: {findings}"
        )?;
        out.flush()
    }
}

/// Looks at a whole store. With `repair` it also puts right what it can; without, nothing changes.
pub fn run(config: &Config, repair: bool) -> Result<Report, OpenError> {
    if !config.data_dir.join(crate::store::LABEL).exists() {
        return Err(OpenError::NoStore(config.data_dir.clone()));
    }
    let claim = Claim::take(&config.data_dir)?;
    // Opening it to repair thaws what is marked: what was is seen before.
    let frozen = marks(&claim.root.join("frozen"))?;
    let opened = if repair {
        choose::open(config, &claim)?
    } else {
        choose::look(&claim)?
    };
    let backend = opened.backend.as_ref();
    let mut check = Check {
        backend,
        shelf: Arc::clone(&opened.shelf),
        repair,
        report: Report::default(),
    };
    check.left(&frozen);
    let (volumes, snapshots) = (
        check.load(backend.load_volumes())?,
        check.load(backend.load_snapshots())?,
    );
    let groups = check.load(backend.load_groups())?;
    check.data(&volumes)?;
    check.data(&snapshots)?;
    check.lengths(&volumes);
    check.members(&snapshots, &groups)?;
    check.publications(&volumes)?;
    check.strangers()?;
    let known = |id: &str| volumes.iter().any(|it| it.id == id);
    for id in backend.attached().iter().filter(|id| !known(id)) {
        check.note(
            format!("volume {id:?} is attached, and there is no such volume"),
            "detached",
        );
    }
    if repair {
        backend.tidy(&known)?;
    }
    let report = check.report;
    if let Err(refusal) = backend.close() {
        tracing::info!(%refusal, "left mounted");
    }
    Ok(report)
}

struct Check<'a> {
    backend: &'a dyn Backend,
    shelf: Arc<Shelf>,
    repair: bool,
    report: Report,
}

impl Check<'_> {
    /// Notes what can be put right; whether it is to be.
    fn note(&mut self, problem: String, done: &str) -> bool {
        let remedy = if self.repair {
            Remedy::Done(done.to_owned())
        } else {
            Remedy::Possible(done.to_owned())
        };
        self.report.findings.push(Finding { problem, remedy });
        self.repair
    }

    fn advise(&mut self, problem: String, advice: String) {
        let remedy = Remedy::Advice(advice);
        self.report.findings.push(Finding { problem, remedy });
    }

    /// What a driver that was killed left: things half done, and volumes that nobody thawed.
    fn left(&mut self, frozen: &[PathBuf]) {
        let (count, aside) = self.shelf.leftovers();
        if count > 0 {
            let aside = aside.display();
            let problem = format!("{aside} holds {count} that were being made or removed");
            self.note(problem, "removed, as the next start of the driver does");
        }
        for mark in frozen {
            let problem = format!(
                "{} says that its volume was frozen for a snapshot when the driver ended",
                mark.display()
            );
            if self.repair && mark.exists() {
                let advice = "thaw it where it is mounted, with `fsfreeze --unfreeze`";
                self.advise(problem, advice.to_owned());
            } else {
                self.note(problem, "thawed, as the next start of the driver does");
            }
        }
    }

    /// All objects of one kind; a damaged record is made good from its second copy.
    fn load<T: Recorded>(&mut self, found: Result<Found<T>, Refusal>) -> Result<Vec<T>, Refusal> {
        let Found { mut whole, damaged } = found?;
        self.report.objects += whole.len() + damaged.len();
        for (id, problem) in damaged {
            let path = self.backend.record_of(T::KIND, &id);
            let said = format!("the record {} is damaged: {problem}", path.display());
            match self.shelf.copy::<T>(&id) {
                Some(value) => {
                    if self.note(said, "put back from its second copy") {
                        self.shelf.update(&value)?;
                    }
                    whole.push(value);
                }
                None => self.advise(
                    said,
                    format!("put it back from a backup, or delete {} {id:?}", T::KIND),
                ),
            }
        }
        whole.sort_by(|one, other| one.id().cmp(other.id()));
        Ok(whole)
    }

    /// A name without its file.
    fn data<T: Recorded>(&mut self, objects: &[T]) -> Result<(), Refusal> {
        for object in objects {
            let (kind, id) = (T::KIND, object.id());
            let path = self.shelf.data(kind, id);
            // What keeps no bytes has no files.
            let kept = self.backend.record_of(kind, id) == self.shelf.record(kind, id);
            if kept && !path.try_exists().map_err(Refusal::io("look at", &path))? {
                self.advise(
                    format!("the data {} of {kind} {id:?} is missing", path.display()),
                    format!("put it back from a backup, or delete {kind} {id:?}"),
                );
            }
        }
        Ok(())
    }

    /// A file that is shorter than its record says.
    fn lengths(&mut self, volumes: &[Volume]) {
        for Volume { id, size_bytes, .. } in volumes {
            let path = self.shelf.data(Kind::Volume, id);
            let Ok(found) = fs::metadata(&path) else {
                continue;
            };
            if found.is_file() && found.len() < *size_bytes {
                self.advise(
                    format!(
                        "{} of volume {id:?} has {} bytes of {size_bytes}",
                        path.display(),
                        found.len()
                    ),
                    format!("put it back from a backup, or delete volume {id:?}"),
                );
            }
        }
    }

    /// Members without a group, and groups without a member.
    fn members(&mut self, snapshots: &[Snapshot], groups: &[Group]) -> Result<(), Refusal> {
        let known: BTreeSet<&str> = groups.iter().map(|it| it.id.as_str()).collect();
        let damaged = self.backend.load_groups()?.damaged;
        let lost = |id: &str| damaged.iter().any(|(damaged, _)| damaged == id);
        for Snapshot { id, group, .. } in snapshots {
            let Some(group) = group
                .as_deref()
                .filter(|it| !known.contains(it) && !lost(it))
            else {
                continue;
            };
            let problem = format!("snapshot {id:?} is of group {group:?}, which is not there");
            if self.note(
                problem,
                "removed: the group was never finished, or is deleted",
            ) {
                self.backend.delete_snapshot(id)?;
            }
        }
        let known: BTreeSet<&str> = snapshots.iter().map(|it| it.id.as_str()).collect();
        for Group { id, members, .. } in groups {
            for member in members.iter().filter(|it| !known.contains(it.as_str())) {
                self.advise(
                    format!("group {id:?} has a member {member:?}, which is not there"),
                    format!("put it back from a backup, or delete group {id:?}"),
                );
            }
        }
        Ok(())
    }

    /// Places that show nothing any more.
    fn publications(&mut self, volumes: &[Volume]) -> Result<(), Refusal> {
        let publications = Publications::load(Arc::clone(&self.shelf))?;
        for publication in publications.all() {
            let (id, target) = (&publication.volume_id, &publication.target);
            if !volumes.iter().any(|it| it.id == *id) {
                let problem = format!("{target:?} is to show volume {id:?}, which is not there");
                if self.note(problem, "forgotten") {
                    publications.remove(target)?;
                }
            }
        }
        Ok(())
    }

    /// Files that no record speaks of.
    fn strangers(&mut self) -> Result<(), Refusal> {
        let root = self.shelf.root().to_owned();
        for name in ["volumes", "snapshots", "groups"] {
            for path in entries(&root.join(name))? {
                if !path.is_dir() {
                    self.advise(
                        format!("{} belongs to nothing here", path.display()),
                        "look at it, and move it away".to_owned(),
                    );
                    continue;
                }
                for inner in entries(&path)? {
                    if !matches!(
                        inner.file_name().and_then(|it| it.to_str()),
                        Some("record.json" | "data")
                    ) {
                        self.advise(
                            format!("{} belongs to nothing here", inner.display()),
                            "look at it, and move it away".to_owned(),
                        );
                    }
                }
            }
        }
        Ok(())
    }
}

/// Marks of frozen volumes; only some backends make any.
fn marks(folder: &Path) -> Result<Vec<PathBuf>, Refusal> {
    if folder.is_dir() {
        entries(folder)
    } else {
        Ok(Vec::new())
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Refusal> {
    let list = || -> io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?
            .map(|entry| Ok(entry?.path()))
            .collect()
    };
    let mut found = list().map_err(Refusal::io("list", folder))?;
    found.sort();
    Ok(found)
}
