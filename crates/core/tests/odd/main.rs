//! Feeds the machines objects and answers nobody would write: every field missing, empty, of the
//! wrong type or huge, foreign uids, volumes without claims, classes of other drivers.
//!
//! Whatever they see, they do not panic, come to rest in a few steps, and destroy nothing without
//! a witness. The cases are the same in every run.

#[cfg(test)]
mod capacity;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod contents;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod group_contents;
#[cfg(test)]
mod group_documents;
#[cfg(test)]
mod groups;
#[cfg(test)]
#[expect(
    dead_code,
    reason = "shared with the worlds, where people edit objects too"
)]
#[path = "../world/server.rs"]
mod server;
#[cfg(test)]
mod snapshots;
#[cfg(test)]
mod why;

/// More steps than a key needs in one pass; the shell gives others a turn after as many.
#[cfg(test)]
const MAX_STEPS: usize = 24;
