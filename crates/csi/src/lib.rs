//! Speaks the Container Storage Interface over unix sockets: messages, client, server, and what a
//! failed call tells about the storage.
//!
//! It does not know Kubernetes, nor what a driver does with a call.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use tintype_csi::{Address, Client, v1};
//!
//! let address: Address = "/run/csi/socket".parse()?;
//! let client = Client::connect(&address, Duration::from_secs(30)).await?;
//! let request = v1::CreateSnapshotRequest {
//!     name: "snapshot-1".into(),
//!     source_volume_id: "volume-1".into(),
//!     ..Default::default()
//! };
//! match client.create_snapshot(request).await {
//!     Ok(snapshot) => println!("cut {}", snapshot.id),
//!     Err(error) if error.is_uncertain() => println!("may have been cut: {error}"),
//!     Err(error) => println!("not cut: {error}"),
//! }
//! # Ok(())
//! # }
//! ```
#![warn(missing_docs)]

mod address;
mod certainty;
mod client;
mod connection;
mod controller;
mod group;
mod identity;
mod node;
mod redact;
mod reply;
mod serve;
mod socket;
mod volumes;

pub use address::{Address, AddressError};
pub use certainty::{CallError, Certainty, Purpose, certainty};
pub use client::{Client, Observe};
pub use connection::ConnectError;
pub use controller::{ControllerCapabilities, ListPage, Snapshot};
pub use group::{GroupCapabilities, GroupSnapshot};
pub use identity::{PluginCapabilities, PluginInfo};
pub use node::{NodeCapabilities, NodeInfo, Usage, VolumeStats};
pub use serve::{ServeError, serve};
pub use socket::{BindError, Listener};
pub use volumes::{Capacity, Expansion, ListedVolume, Validation, Volume};

/// Messages and services of the specification, generated from `proto/`.
///
/// Every service method that a server leaves out answers `Unimplemented`.
#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    reason = "generated code"
)]
pub mod v1 {
    // Included, not a module: formatting would change what the generator wrote.
    include!("generated/csi.v1.rs");
}
