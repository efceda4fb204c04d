//! Says what is stored: the kinds of `snapshot.storage.k8s.io` and `groupsnapshot.storage.k8s.io`,
//! their definitions, names and keys.
//!
//! Knows no client, no clock and no rule: what to do with an object is decided in `tintype-core`.
//! Nothing here needs an async runtime, so the crate can be used alone, with any client that speaks
//! [`kube_core::Resource`] (see `examples/list_snapshots.rs`).
//!
//! Decoding is lenient: unknown fields are ignored, `null` means absent, and a field that is missing
//! is empty, even where the definition requires it. An object that some older server let in must be
//! readable, or one bad object hides all others.
#![warn(missing_docs)]

mod class;
mod content;
pub mod conversion;
mod crd;
mod group;
mod group_class;
mod group_content;
pub mod keys;
mod kind;
pub mod names;
pub mod quantity;
mod reason;
mod snapshot;

pub use class::VolumeSnapshotClass;
pub use content::{
    VolumeSnapshotContent, VolumeSnapshotContentSource, VolumeSnapshotContentSpec,
    VolumeSnapshotContentStatus,
};
pub use crd::{CRDS, ConversionWebhook, CrdError, CrdOptions, crds, crds_with};
pub use group::{
    VolumeGroupSnapshot, VolumeGroupSnapshotSource, VolumeGroupSnapshotSpec,
    VolumeGroupSnapshotStatus,
};
pub use group_class::VolumeGroupSnapshotClass;
pub use group_content::{
    GroupSnapshotHandles, VolumeGroupSnapshotContent, VolumeGroupSnapshotContentSource,
    VolumeGroupSnapshotContentSpec, VolumeGroupSnapshotContentStatus, VolumeSnapshotHandlePair,
    VolumeSnapshotInfo,
};
pub use reason::Reason;
pub use snapshot::{
    VolumeSnapshot, VolumeSnapshotError, VolumeSnapshotSource, VolumeSnapshotSpec,
    VolumeSnapshotStatus,
};

/// API group of single snapshots.
pub const GROUP: &str = "snapshot.storage.k8s.io";
/// The version served and stored.
pub const VERSION: &str = "v1";
/// `apiVersion` of single snapshots.
pub const API_VERSION: &str = "snapshot.storage.k8s.io/v1";
/// API group of group snapshots.
pub const GROUP_OF_GROUPS: &str = "groupsnapshot.storage.k8s.io";
/// `apiVersion` in which group snapshots are read and written here.
pub const GROUP_API_VERSION: &str = "groupsnapshot.storage.k8s.io/v1";
/// Every version in which group snapshots are served, best first.
pub const GROUP_VERSIONS: [&str; 3] = ["v1", "v1beta2", "v1beta1"];
/// The version in which group snapshots are stored.
pub const GROUP_STORED_VERSION: &str = "v1beta2";
