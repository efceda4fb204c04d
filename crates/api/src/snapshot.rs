//! Holds `VolumeSnapshot`: a user's wish for a snapshot, and what became of it.
//!
//! Does not know how the wish is met.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde::{Deserialize, Serialize};

use crate::kind::{kind, or_default};
use crate::quantity::Quantity;

/// A snapshot of one volume, asked for by a user. Namespaced, short name `vs`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct VolumeSnapshot {
    /// Standard object metadata.
    #[serde(default, deserialize_with = "or_default")]
    pub metadata: ObjectMeta,
    /// What to snapshot and how. Required.
    #[serde(default, deserialize_with = "or_default")]
    pub spec: VolumeSnapshotSpec,
    /// What became of it; written by the controller only.
    pub status: Option<VolumeSnapshotStatus>,
}

kind!(VolumeSnapshot, "volumesnapshots", NamespaceResourceScope; "spec": spec; ["status": status]);

/// What to snapshot, and with which class.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSnapshotSpec {
    /// What it is made from. Required, immutable.
    #[serde(default, deserialize_with = "or_default")]
    pub source: VolumeSnapshotSource,
    /// The `VolumeSnapshotClass`; unset asks for the default class of the volume's driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_snapshot_class_name: Option<String>,
}

/// Where a snapshot comes from. The definition allows exactly one field, but an empty string counts as set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSnapshotSource {
    /// Dynamic: the claim, in the same namespace, whose volume is cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim_name: Option<String>,
    /// Pre-provisioned: the content that stands for a snapshot that exists already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_snapshot_content_name: Option<String>,
}

/// What became of a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSnapshotStatus {
    /// The content it is bound to, or is to be bound to; bound only when the content points back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound_volume_snapshot_content_name: Option<String>,
    /// When the data was cut, as the driver says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_time: Option<Time>,
    /// A volume can be made from it; unset means nobody knows yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_to_use: Option<bool>,
    /// The least size of a volume made from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore_size: Option<Quantity>,
    /// The last error, until it is overcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<VolumeSnapshotError>,
    /// The group snapshot, in the same namespace, it is a member of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_group_snapshot_name: Option<String>,
}

/// Why something did not work, and when. Shared by snapshots and contents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSnapshotError {
    /// When it was met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl VolumeSnapshot {
    /// A volume can be made from it now.
    pub fn ready(&self) -> bool {
        self.status.as_ref().and_then(|it| it.ready_to_use) == Some(true)
    }

    /// It is on its way out.
    pub fn deleting(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// The content its status names, if that is not empty.
    pub fn bound_content(&self) -> Option<&str> {
        let name = self
            .status
            .as_ref()?
            .bound_volume_snapshot_content_name
            .as_deref()?;
        Some(name).filter(|name| !name.is_empty())
    }

    /// The message of its last error; an error without a message has an empty one.
    pub fn error_message(&self) -> Option<&str> {
        let error = self.status.as_ref()?.error.as_ref()?;
        Some(error.message.as_deref().unwrap_or_default())
    }
}
