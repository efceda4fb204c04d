//! Holds `VolumeGroupSnapshotContent`: what stands for one group snapshot on storage.
//!
//! All that the controller and the sidecar tell each other of a group passes through it. Does not know who does.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde::{Deserialize, Serialize};

use crate::VolumeSnapshotError;
use crate::kind::{kind, or_default};

/// One group snapshot on storage, made or to be made. Cluster-wide, short names `vgsc` and `vgscs`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct VolumeGroupSnapshotContent {
    /// Standard object metadata.
    #[serde(default, deserialize_with = "or_default")]
    pub metadata: ObjectMeta,
    /// What it stands for. Required.
    #[serde(default, deserialize_with = "or_default")]
    pub spec: VolumeGroupSnapshotContentSpec,
    /// What storage says of it; written by the sidecar only.
    pub status: Option<VolumeGroupSnapshotContentStatus>,
}

kind!(crate::GROUP_OF_GROUPS, crate::GROUP_API_VERSION =>
    VolumeGroupSnapshotContent, "volumegroupsnapshotcontents", ClusterResourceScope; "spec": spec; ["status": status]);

/// What a group content stands for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeGroupSnapshotContentSpec {
    /// The group snapshot it is for; bound once it holds that one's uid. Required; nothing in it changes once set.
    #[serde(default, deserialize_with = "or_default")]
    pub volume_group_snapshot_ref: ObjectReference,
    /// `Delete` or `Retain`: whether the group snapshot on storage goes with the group content. Required.
    ///
    /// Kept as written, since only an exact `Delete` may ever destroy anything.
    #[serde(default, deserialize_with = "or_default")]
    pub deletion_policy: String,
    /// The CSI driver. Required, immutable.
    #[serde(default, deserialize_with = "or_default")]
    pub driver: String,
    /// The class it was made with. Immutable once set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_group_snapshot_class_name: Option<String>,
    /// What it is made from. Required, immutable.
    #[serde(default, deserialize_with = "or_default")]
    pub source: VolumeGroupSnapshotContentSource,
}

/// Where a group content comes from. The definition allows exactly one field.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeGroupSnapshotContentSource {
    /// Dynamic: the CSI ids of the volumes to cut together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_handles: Option<Vec<String>>,
    /// Pre-provisioned: a group snapshot that exists already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_snapshot_handles: Option<GroupSnapshotHandles>,
}

/// A group snapshot that exists already.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupSnapshotHandles {
    /// Its CSI id. Required.
    #[serde(default, deserialize_with = "or_default")]
    pub volume_group_snapshot_handle: String,
    /// The CSI ids of its members. Required.
    #[serde(default, deserialize_with = "or_default")]
    pub volume_snapshot_handles: Vec<String>,
}

/// What storage says of a group content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeGroupSnapshotContentStatus {
    /// The CSI id of the group snapshot. Once set it is only ever removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_group_snapshot_handle: Option<String>,
    /// When the data was cut: a date, unlike in the content of a single snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_time: Option<Time>,
    /// Volumes can be made from all members; unset means nobody knows yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_to_use: Option<bool>,
    /// The last error, until it is overcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<VolumeSnapshotError>,
    /// The members, one per volume. Versions `v1` and `v1beta2`; absent for a group snapshot that existed already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_snapshot_info_list: Option<Vec<VolumeSnapshotInfo>>,
    /// The members as version `v1beta1` has them; no other version has this field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_snapshot_handle_pair_list: Option<Vec<VolumeSnapshotHandlePair>>,
}

/// One member of a group snapshot, as the driver tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSnapshotInfo {
    /// The CSI id of the volume it was cut from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_handle: Option<String>,
    /// The CSI id of the snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_handle: Option<String>,
    /// When the data was cut, in nanoseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_time: Option<i64>,
    /// A volume can be made from it now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_to_use: Option<bool>,
    /// The least size, in bytes, of a volume made from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore_size: Option<i64>,
}

/// One member of a group snapshot in version `v1beta1`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSnapshotHandlePair {
    /// The CSI id of the volume it was cut from. Required.
    #[serde(default, deserialize_with = "or_default")]
    pub volume_handle: String,
    /// The CSI id of the snapshot. Required.
    #[serde(default, deserialize_with = "or_default")]
    pub snapshot_handle: String,
}
