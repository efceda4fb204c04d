//! Runs everything in one process: `up`, `demo`, and the cluster that whole-system tests use.

pub mod bench;
pub mod cluster;
pub mod data_dir;
pub mod demo;
pub mod mount;
pub mod request_error;
pub mod up;
mod words;
