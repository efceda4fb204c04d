//! Runs a program of worlds until one of them breaks a law.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::tidy;

/// What the tests of the program may take at most before they count as lost.
const PATIENCE: Duration = Duration::from_secs(120);

/// A broken law.
pub(super) struct Found {
    pub(super) law: String,
    /// How many moves away it is, at least in the world that saw it.
    pub(super) moves: String,
    /// The moves, parted by semicolons.
    pub(super) way: String,
    /// Who saw it; none if a test failed without saying which law was broken.
    pub(super) test: Option<String>,
}

/// Which tests are run, and how far they look.
pub(super) struct Ask {
    filter: Vec<String>,
    /// States per world.
    states: &'static str,
}

/// Enough for every mutant here, and quick for the worlds that see nothing.
const MANY: &str = "40000";
const FEW: &str = "2000";

impl Ask {
    /// The one test of this name, at first not far: most faults are near.
    pub(super) fn only(test: &str) -> [Self; 2] {
        [FEW, MANY].map(|states| Self {
            filter: vec!["--exact".to_owned(), test.to_owned()],
            states,
        })
    }

    /// Every world, but not far.
    pub(super) fn few_states() -> Self {
        Self {
            states: FEW,
            ..Self::everything()
        }
    }

    /// Worlds that are visited breadth-first, then walks, whose ways are never the shortest.
    pub(super) fn nearest_first() -> Vec<Self> {
        let breadth_first = |states| {
            let mut ask = Self::everything();
            ask.states = states;
            for walks in ["walks::", "groups::"] {
                ask.filter.extend(["--skip", walks].map(str::to_owned));
            }
            ask
        };
        vec![breadth_first(FEW), breadth_first(MANY), Self::everything()]
    }

    /// Every world that core has a part in.
    pub(super) fn everything() -> Self {
        Self {
            filter: ["--skip", "upstream_alone"].map(str::to_owned).into(),
            states: MANY,
        }
    }
}

/// Asks one after the other until a law is broken.
pub(super) fn explore(program: &Path, asks: &[Ask]) -> anyhow::Result<Option<Found>> {
    for ask in asks {
        let found = explore_some(program, ask)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn explore_some(program: &Path, ask: &Ask) -> anyhow::Result<Option<Found>> {
    let mut child = Command::new(program)
        .args(["--nocapture", "--test-threads", "2"])
        .args(&ask.filter)
        .env("TINTYPE_WORLD_STATES", ask.states)
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
    Ok((!status.success()).then(|| Found {
        law: "a test fails".to_owned(),
        moves: "–".to_owned(),
        way: String::new(),
        test: None,
    }))
}

fn first_finding(child: &mut Child) -> anyhow::Result<Option<Found>> {
    let stdout = child.stdout.take().context("take the worlds' output")?;
    let (tell, told) = mpsc::channel();
    let reader = thread::spawn(move || {
        let found = BufReader::new(stdout)
            .lines()
            .map_while(Result::ok)
            .find_map(|line| Found::parse(&line));
        // Nobody listens any more once patience is at an end.
        found.map(|it| tell.send(it))
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

impl Found {
    /// Tests print side by side, so a finding is one line, and may begin anywhere in it.
    fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.split_once("finding: ")?;
        let parts: Vec<_> = rest.splitn(4, " · ").map(str::to_owned).collect();
        let [test, law, moves, way] = parts.try_into().ok()?;
        Some(Self {
            law,
            moves,
            way,
            test: Some(test),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_finding_wherever_it_begins() {
        let line = "test a ... finding: tests::a_fault · lost: it is gone · 2 · Make; Lose(0)";
        let found = Found::parse(line).unwrap();
        assert_eq!(found.test.as_deref(), Some("tests::a_fault"));
        assert_eq!(found.way, "Make; Lose(0)");
        assert_eq!(
            (found.law.as_str(), found.moves.as_str()),
            ("lost: it is gone", "2")
        );
        assert!(Found::parse("test a ... ok").is_none());
    }
}
