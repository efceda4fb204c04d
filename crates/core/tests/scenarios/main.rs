//! Plays the scenarios of upstream's own tests, under upstream's numbers: what is there, what is
//! told, and what is there afterwards.
//!
//! Where ours differs on purpose, the row says what ours does, and `docs/compatibility.md` why.

#[cfg(test)]
#[path = "../odd/cluster.rs"]
mod cluster;
#[cfg(test)]
mod contents;
#[cfg(test)]
mod documents;
#[cfg(test)]
#[expect(
    dead_code,
    reason = "shared with the worlds, where people edit objects too"
)]
#[path = "../world/server.rs"]
mod server;
#[cfg(test)]
mod snapshots;
