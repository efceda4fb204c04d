//! Seeds one fault at a time into the machines and expects the worlds to find it.
//!
//! A fault that no longer applies, does not compile, or is not found fails: a world that no longer
//! sees its mutants has gone blind. Which test sees a fault is noted in its patch, so that one is
//! asked first and all the others only if it has gone blind; `--note` writes these notes.

mod copy;
mod diff;
mod worlds;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use std::vec;

use anyhow::{Context as _, bail, ensure};

use crate::tidy;
use copy::Copy;
use diff::Patch;
use worlds::{Ask, Found, explore};

/// Copies in which mutants are built and explored side by side: building one keeps one processor busy.
const WORKERS: usize = 2;

/// What became of one mutant.
struct Fate {
    mutant: Mutant,
    /// None if nobody noticed.
    found: Option<Found>,
    took: Duration,
}

/// A fault and the file it comes from.
struct Mutant {
    path: PathBuf,
    patch: Patch,
}

/// Tries every mutant of `crates/core/mutants`, or those whose file name contains `only`; with
/// `note`, finds out anew which test sees each, and writes it down.
pub(crate) fn run(only: Option<&str>, note: bool) -> anyhow::Result<()> {
    let start = Instant::now();
    let mutants = mutants(only)?;
    let queue = Queue {
        width: mutants
            .iter()
            .map(|it| it.patch.name.chars().count())
            .max()
            .unwrap_or_default(),
        mutants: Mutex::new(mutants.into_iter()),
        note,
    };
    let first = Copy::new(0, None)?;
    let sound = first.build().context("build the worlds unchanged")?;
    let mut copies = vec![first];
    for number in 1..WORKERS {
        let copy = Copy::new(number, Some(&copies[0]))?;
        copy.build().context("build the worlds unchanged")?;
        copies.push(copy);
    }
    println!(
        "copies to seed, built in {:.0} s",
        start.elapsed().as_secs_f64()
    );
    let start = Instant::now();
    if let Some(found) = explore(&sound, &[Ask::few_states()])? {
        bail!("the worlds find a fault with nothing seeded: {}", found.law);
    }
    let fates = thread::scope(|scope| {
        let workers: Vec<_> = copies
            .iter()
            .map(|copy| {
                let queue = &queue;
                scope.spawn(move || work(copy, queue))
            })
            .collect();
        workers
            .into_iter()
            .map(joined)
            .collect::<Result<Vec<_>, _>>()
    })?
    .into_iter()
    .flatten()
    .collect::<Vec<_>>();
    if note {
        for fate in &fates {
            write_note(fate)?;
        }
    }
    let survivors: Vec<_> = fates
        .iter()
        .filter(|it| it.found.is_none())
        .map(|it| it.mutant.patch.name.as_str())
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
fn mutants(only: Option<&str>) -> anyhow::Result<Vec<Mutant>> {
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
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path)?;
            let patch = Patch::parse(&text).with_context(|| format!("read {}", path.display()))?;
            // All of them before the first is built: that takes minutes.
            patch.sick(&core)?;
            Ok(Mutant { path, patch })
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

/// What is still to be tried, and how.
struct Queue {
    mutants: Mutex<vec::IntoIter<Mutant>>,
    /// Characters of the longest name.
    width: usize,
    note: bool,
}

/// Takes mutants from the queue until it is empty, and says what became of each.
fn work(copy: &Copy, queue: &Queue) -> anyhow::Result<Vec<Fate>> {
    let mut fates = Vec::new();
    loop {
        // A worker that panicked fails the run anyway.
        let mut mutants = queue.mutants.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mutant) = mutants.next() else {
            return Ok(fates);
        };
        drop(mutants);
        let fate = fate(copy, mutant, queue.note)?;
        println!("{}", fate.line(queue.width));
        fates.push(fate);
    }
}

fn fate(copy: &Copy, mutant: Mutant, note: bool) -> anyhow::Result<Fate> {
    let began = Instant::now();
    let program = copy.mutant(&mutant.patch)?;
    let asks = match &mutant.patch.seen_by {
        Some(test) if !note => {
            let [near, far] = Ask::only(test);
            vec![near, far, Ask::everything()]
        }
        // The shortest way that the fewest states show is the one to note.
        _ => Ask::nearest_first(),
    };
    Ok(Fate {
        found: explore(&program, &asks)?,
        took: began.elapsed(),
        mutant,
    })
}

fn joined<T>(worker: thread::ScopedJoinHandle<'_, anyhow::Result<T>>) -> anyhow::Result<T> {
    worker
        .join()
        .unwrap_or_else(|_| Err(anyhow::anyhow!("a thread that tried mutants panicked")))
}

fn write_note(fate: &Fate) -> anyhow::Result<()> {
    let Some(test) = fate.found.as_ref().and_then(|it| it.test.as_deref()) else {
        return Ok(());
    };
    let path = &fate.mutant.path;
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    fs::write(path, Patch::noted(&text, test)).with_context(|| format!("write {}", path.display()))
}

impl Fate {
    /// What the maintainer sees of it: its name, `width` characters wide, how far away it was found,
    /// the law, who saw it, and the way there.
    fn line(&self, width: usize) -> String {
        let Patch { name, seen_by, .. } = &self.mutant.patch;
        let took = self.took.as_secs_f64();
        let Some(Found {
            law,
            moves,
            way,
            test,
        }) = &self.found
        else {
            return format!("{name:width$}       NOT FOUND  ({took:.1} s)");
        };
        let blind = match seen_by {
            Some(noted) if test.as_ref() != Some(noted) => format!(", no more by {noted}"),
            _ => String::new(),
        };
        let test = test.as_deref().unwrap_or("–");
        format!("{name:width$}  {moves:>4}  {law}  [{test}{blind}]  ({took:.1} s)\n    {way}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_applies() {
        assert!(mutants(None).unwrap().len() >= 40);
    }
}
