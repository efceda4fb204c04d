//! Keeps volumes and snapshots on one node and serves them over CSI: the role `csi-driver`.
//!
//! It has never heard of Kubernetes.

mod args;
mod backend;
mod catalog;
mod check;
mod controller;
mod copy;
mod crew;
mod directory;
mod driver;
mod identity;
mod locks;
mod node;
mod null;
mod publications;
mod publish;
mod record;
mod refusal;
mod remove;
mod shelf;
mod snapshots;
mod store;
mod volumes;

pub use args::{Args, BackendChoice, run};
pub use driver::{Config, Driver, RunError};
pub use store::OpenError;
