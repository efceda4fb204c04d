//! Measures what snapshots cost, in a release build, and holds it against budgets.
//!
//! Only ratios and counts have budgets: they are the same on a slow machine and on a fast one. Does
//! not know how anything is measured: `tintype bench` and the bench `rows` of the sandbox do that.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::tidy;

/// Heap for one cached snapshot or content, key and indexes included.
const ROW_BYTES: f64 = 700.0;
/// Requests for a snapshot that comes alone, reads included.
const LONE_REQUESTS: f64 = 11.0;
/// Writes for each of many snapshots.
const BULK_WRITES: f64 = 8.2;
/// Reads for each of many snapshots: none. The measurement itself lists once.
const BULK_READS: f64 = 0.01;
/// Processor time for each of 1,000 snapshots against each of 100.
const GROWTH: f64 = 1.5;
/// A hundred snapshots take so little that one run says nothing; the median of so many does.
const SMALL_RUNS: usize = 3;

/// Roles whose passes must not go through all rows of a cache.
const ROLES: [&str; 2] = ["crates/controller/src", "crates/sidecar/src"];
/// Goes through the snapshots once, when the role starts.
const AT_START: &str = "crates/controller/src/operations.rs";

/// A figure, and what it may be at most.
#[derive(Debug, Clone, PartialEq)]
struct Verdict {
    what: &'static str,
    value: f64,
    budget: f64,
}

impl Verdict {
    fn kept(&self) -> bool {
        self.value <= self.budget
    }

    fn line(&self) -> String {
        let mark = if self.kept() { "ok" } else { "OVER" };
        format!(
            "{:<52} {:>9.2} of {:>6} {mark}",
            self.what, self.value, self.budget
        )
    }
}

/// Measures and prints; with `check` a figure over its budget is an error.
pub(crate) fn run(check: bool) -> anyhow::Result<()> {
    let mut verdicts = rows()?;
    verdicts.extend(requests()?);
    verdicts.push(Verdict {
        what: "places where a role goes through a whole cache",
        value: count(scans(&tidy::root())?.len()),
        budget: 0.0,
    });
    for verdict in &verdicts {
        println!("{}", verdict.line());
    }
    let over = verdicts.iter().filter(|verdict| !verdict.kept()).count();
    if check && over > 0 {
        bail!(
            "{over} of {} figures are over their budgets",
            verdicts.len()
        );
    }
    Ok(())
}

fn rows() -> anyhow::Result<Vec<Verdict>> {
    let lines = cargo(&[
        "bench",
        "--locked",
        "-q",
        "-p",
        "tintype-sandbox",
        "--bench",
        "rows",
    ])?;
    let figures = lines.first().context("the bench `rows` printed nothing")?;
    let named = [
        ("heap bytes for a cached snapshot", "/snapshot_bytes"),
        ("heap bytes for a cached content", "/content_bytes"),
    ];
    let verdict = |(what, at)| {
        Ok(Verdict {
            what,
            value: number(figures, at)?,
            budget: ROW_BYTES,
        })
    };
    named.into_iter().map(verdict).collect()
}

fn requests() -> anyhow::Result<Vec<Verdict>> {
    let lone = measure(1, 1)?;
    let mut small = Vec::new();
    for _ in 0..SMALL_RUNS {
        small.push(cost(&measure(100, 5)?)?);
    }
    let bulk = measure(1000, 50)?;
    let (writes, reads) = ("/writes_per_item", "/reads_per_item");
    Ok(vec![
        Verdict {
            what: "requests for a snapshot alone",
            value: number(&lone, writes)? + number(&lone, reads)?,
            budget: LONE_REQUESTS,
        },
        Verdict {
            what: "writes for each of 1,000 snapshots",
            value: number(&bulk, writes)?,
            budget: BULK_WRITES,
        },
        Verdict {
            what: "reads for each of 1,000 snapshots",
            value: number(&bulk, reads)?,
            budget: BULK_READS,
        },
        Verdict {
            what: "CPU for each of 1,000 snapshots against each of 100",
            value: cost(&bulk)? / median(small),
            budget: GROWTH,
        },
    ])
}

fn measure(snapshots: u32, pvcs: u32) -> anyhow::Result<Value> {
    let (snapshots, pvcs) = (snapshots.to_string(), pvcs.to_string());
    let bench = [
        "bench",
        "-o",
        "json",
        "--snapshots",
        &snapshots,
        "--pvcs",
        &pvcs,
    ];
    let run = ["run", "--locked", "--release", "-q", "-p", "tintype", "--"];
    let lines = cargo(&[&run[..], &bench[..]].concat())?;
    lines
        .into_iter()
        .next()
        .context("`tintype bench` printed nothing")
}

/// Seconds of processor time for one snapshot.
fn cost(figures: &Value) -> anyhow::Result<f64> {
    Ok(number(figures, "/proc/tintype/stage_cpu_s")? / number(figures, "/n")?)
}

fn number(figures: &Value, at: &str) -> anyhow::Result<f64> {
    let number = figures.pointer(at).and_then(Value::as_f64);
    number.with_context(|| format!("no number at {at} in {figures}"))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[expect(clippy::cast_precision_loss, reason = "a handful")]
fn count(number: usize) -> f64 {
    number as f64
}

/// Runs cargo and reads what it prints, one JSON document a line.
fn cargo(args: &[&str]) -> anyhow::Result<Vec<Value>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let command = || format!("`cargo {}`", args.join(" "));
    let output = Command::new(cargo)
        .args(args)
        .current_dir(tidy::root())
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| format!("start {}", command()))?;
    if !output.status.success() {
        bail!("{} ended with {}", command(), output.status);
    }
    let text = String::from_utf8(output.stdout).context("read what cargo printed")?;
    let lines = text.lines().filter(|line| line.starts_with('{'));
    lines
        .map(|line| serde_json::from_str(line).with_context(command))
        .collect()
}

/// Where a role asks a cache for all its rows or keys.
fn scans(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders: Vec<_> = ROLES.iter().map(|role| root.join(role)).collect();
    while let Some(folder) = folders.pop() {
        let list = || format!("list {}", folder.display());
        for entry in fs::read_dir(&folder).with_context(list)? {
            let path = entry.with_context(list)?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.ends_with(AT_START) {
                continue;
            }
            let text = fs::read_to_string(&path);
            let text = text.with_context(|| format!("read {}", path.display()))?;
            let lines = text.lines().enumerate().filter(|(_, line)| scan(line));
            found.extend(lines.map(|(at, _)| format!("{}:{}", path.display(), at + 1)));
        }
    }
    for place in &found {
        println!("{place}: goes through a whole cache");
    }
    Ok(found)
}

/// `Change::rows` is the one or two rows of a change. Nodes are few beside snapshots, and which of
/// them reaches a volume is a question to all of them.
fn scan(line: &str) -> bool {
    let line = line
        .replace("change.rows()", "")
        .replace("nodes.rows()", "");
    line.contains(".rows()") || line.contains(".keys()")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_figure_over_its_budget_is_marked() {
        let verdict = |value| Verdict {
            what: "bytes",
            value,
            budget: 700.0,
        };
        assert!(verdict(700.0).kept() && verdict(700.0).line().ends_with("of    700 ok"));
        assert!(!verdict(700.5).kept() && verdict(700.5).line().ends_with("OVER"));
        assert!(!verdict(f64::NAN).kept());
    }

    #[test]
    fn the_cost_is_for_one_snapshot() {
        let figures = json!({"n": 100, "proc": {"tintype": {"stage_cpu_s": 0.25}}});
        assert!((cost(&figures).unwrap() - 0.0025).abs() < 1e-12);
        let error = cost(&json!({"n": 1})).unwrap_err().to_string();
        assert!(
            error.starts_with("no number at /proc/tintype/stage_cpu_s"),
            "{error}"
        );
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < 1e-12);
    }

    #[test]
    fn going_through_a_cache_is_seen() {
        assert!(scan("for row in self.snapshots.rows() {"));
        assert!(scan("let keys = caches.contents.keys();"));
        assert!(!scan("for row in change.rows() {"));
        assert!(!scan("let nodes = nodes.rows();"));
        assert_eq!(scans(&tidy::root()).unwrap(), [] as [&str; 0]);
    }
}
