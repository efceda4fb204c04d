//! What a person asks of a living cluster: `kubectl tintype restore` and `kubectl tintype doctor`.
//!
//! Reads and writes through the Kubernetes API as that person, with their rights and no others.
//! Decides nothing about snapshots: why something waits is asked of `core`.

pub mod access;
pub mod doctor;
pub mod restore;
