//! Picks the role and runs it. Knows nothing of what the roles do.

use std::{io::Write as _, process::ExitCode};

use tintype_runtime::Chain;

mod client;
mod go_flags;
mod last_words;
mod logs;
mod role;
mod run;

/// Documents are many small allocations, made on one thread and freed on another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let role = match role::choose(std::env::args_os()) {
        Ok(role) => role,
        Err(wrong) => wrong.exit(),
    };
    let in_a_pod = role.is_of_a_cluster();
    run::run(role).unwrap_or_else(|error| {
        let words = format!("tintype: {}", Chain(error.as_ref()));
        if in_a_pod {
            last_words::leave(&words);
        }
        // There is nobody left to tell when standard error is closed too.
        let _ = writeln!(std::io::stderr(), "{words}");
        ExitCode::FAILURE
    })
}
