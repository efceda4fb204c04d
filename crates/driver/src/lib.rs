//! Keeps volumes and snapshots on one node and serves them over CSI: the role `csi-driver`.
//!
//! It has never heard of Kubernetes.

mod args;
mod backend;
mod catalog;
mod check;
mod choose;
mod controller;
mod copy;
mod crew;
mod directory;
mod driver;
mod fill;
mod fsck;
mod group_controller;
mod groups;
mod identity;
mod image;
mod ioctl;
mod locks;
mod mounts;
mod node;
mod null;
mod publications;
mod publish;
mod record;
mod refusal;
mod remove;
mod shelf;
mod size;
mod snapshots;
mod store;
mod tools;
mod volumes;

pub use args::{Args, BackendChoice, Outcome, run};
pub use driver::{Config, Driver, RunError};
pub use fsck::{Finding, Remedy, Report, run as fsck};
pub use size::read as size;
pub use store::OpenError;
