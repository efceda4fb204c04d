//! Picks the role and runs it. Knows nothing of what the roles do.

use std::{io::Write as _, process::ExitCode};

use tintype_runtime::Chain;

mod client;
mod go_flags;
mod logs;
mod role;
mod run;

fn main() -> ExitCode {
    let role = match role::choose(std::env::args_os()) {
        Ok(role) => role,
        Err(wrong) => wrong.exit(),
    };
    run::run(role).unwrap_or_else(|error| {
        // There is nobody left to tell when standard error is closed too.
        let _ = writeln!(std::io::stderr(), "tintype: {}", Chain(error.as_ref()));
        ExitCode::FAILURE
    })
}
