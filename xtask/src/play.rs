//! Runs a test of the sandbox with other numbers than usual, which it takes from its environment.
//!
//! Does not know what is tested.

use std::process::Command;

use anyhow::Context as _;

use crate::tidy;

/// Runs the tests of program `program` whose names contain `filter`; whether they passed.
pub(crate) fn play(
    program: &str,
    filter: &str,
    settings: [(&str, String); 2],
) -> anyhow::Result<bool> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["test", "--locked", "-q", "-p", "tintype-sandbox", "--test"])
        .args([program, filter, "--", "--nocapture"])
        .envs(settings)
        .current_dir(tidy::root())
        .status()
        .context("start cargo")?;
    Ok(status.success())
}
