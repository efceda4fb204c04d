//! `tintype doctor`: looks a living cluster over, and says what is wrong with its snapshots and what
//! helps.
//!
//! Changes nothing: the one thing it creates is a dry run. What may not be read is left out, and
//! said. Why an object waits is asked of
//! `core::why`, that is, of the machines that decide on it.

mod checks;
mod cluster;
#[cfg(test)]
mod rig;
mod rows;
mod waiting;

use std::io::Write as _;

use anyhow::Context as _;
use comfy_table::{Table, presets};
use serde::Serialize;

use crate::access::Access;
pub use cluster::Cluster;

/// What to look at, and how to tell it.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Namespace of snapshots and claims to look at; else all
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// How it is told
    #[arg(short, long, value_name = "FORMAT", default_value = "table", value_parser = ["table", "json"])]
    pub output: String,
    /// Which cluster
    #[command(flatten)]
    pub access: Access,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Somebody has to do something.
    Wrong,
    /// It may be meant so, or goes on by itself.
    Look,
    /// All is well.
    Ok,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub state: State,
    /// Which look it was.
    pub check: &'static str,
    /// Kind and name, or the cluster.
    pub object: String,
    /// What is so, why, and what helps.
    pub says: String,
}

impl Finding {
    fn new(
        state: State,
        check: &'static str,
        object: impl Into<String>,
        says: impl Into<String>,
    ) -> Self {
        Self {
            state,
            check,
            object: object.into(),
            says: says.into(),
        }
    }
}

/// Whether somebody has to do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// No.
    Well,
    /// Yes.
    Wrong,
}

/// Looks the cluster over, and tells what was found: the worst first.
pub async fn run(args: Args) -> anyhow::Result<Outcome> {
    let client = args.access.open().await?;
    let cluster = Cluster::look(client, args.namespace.as_deref()).await?;
    let mut findings = checks::all(&cluster);
    findings.extend(waiting::all(&cluster));
    findings.sort_by_key(|it| it.state);
    let text = if args.output == "json" {
        serde_json::to_string_pretty(&findings)?
    } else {
        table(&findings)
    };
    writeln!(std::io::stdout(), "{text}").context("cannot write to standard output")?;
    let wrong = findings.iter().any(|it| it.state == State::Wrong);
    Ok(if wrong { Outcome::Wrong } else { Outcome::Well })
}

fn table(findings: &[Finding]) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(["STATE", "CHECK", "OBJECT", "SAYS"]);
    for it in findings {
        let state = match it.state {
            State::Wrong => "wrong",
            State::Look => "look",
            State::Ok => "ok",
        };
        table.add_row([state, it.check, &it.object, &it.says]);
    }
    table.trim_fmt()
}
