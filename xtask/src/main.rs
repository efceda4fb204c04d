//! Does the chores of the repository: `cargo xtask ci`, `tidy`, `codegen`, `mutants`.
//!
//! Knows nothing of what the crates do. CI runs these commands and nothing else, so that what passes
//! here passes there.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a chore tells what it does on the terminal"
)]

mod bench;
mod ci;
mod codegen;
mod crash;
mod groups;
mod mutants;
mod needs;
mod play;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Chores of the repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Measure what snapshots cost, in a release build.
    Bench {
        /// Fail if a figure is over its budget.
        #[arg(long)]
        check: bool,
    },
    /// Kill `up` many times and look whether it kept its word.
    Crash {
        /// How many times.
        #[arg(long, default_value_t = 500)]
        rounds: u32,
        /// Where the series begin; each has the next one.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Make many large group snapshots at once, and look that nothing is left of them.
    Groups {
        /// How many group snapshots.
        #[arg(long, default_value_t = 100)]
        groups: u32,
        /// How many volumes each is cut from.
        #[arg(long, default_value_t = 20)]
        members: u32,
    },
    /// Check everything: format, lints, tidiness, tests, documentation, the demo.
    Ci,
    /// Check what no compiler checks: edges between crates, file sizes, orphans, pages, definitions.
    Tidy,
    /// Write the bindings of `proto/` into the crates that use them.
    Codegen {
        /// Only compare, and fail on a difference.
        #[arg(long)]
        check: bool,
    },
    /// Seed faults into the machines and expect the worlds to find each.
    Mutants {
        /// Only those whose file name contains this.
        only: Option<String>,
        /// Find out anew which test sees each, and note it in the patch: it is asked first then.
        #[arg(long)]
        note: bool,
    },
}

fn main() -> ExitCode {
    let done = match Args::parse().chore {
        Chore::Bench { check } => bench::run(check),
        Chore::Crash { rounds, seed } => crash::run(rounds, seed),
        Chore::Groups { groups, members } => groups::run(groups, members),
        Chore::Ci => ci::run(),
        Chore::Tidy => tidy::run(),
        Chore::Codegen { check } => codegen::run(check),
        Chore::Mutants { only, note } => mutants::run(only.as_deref(), note),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Causes on one line: what went wrong in a chore is not found with a backtrace.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
