//! Holds `VolumeGroupSnapshot`: a user's wish for snapshots of several volumes cut at one moment.
//!
//! Does not know how the wish is met.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, Time};
use serde::{Deserialize, Serialize};

use crate::VolumeSnapshotError;
use crate::kind::{kind, or_default};

/// Snapshots of several volumes at one moment, asked for by a user. Namespaced, short name `vgs`.
///
/// The versions `v1`, `v1beta2` and `v1beta1` have the same form.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct VolumeGroupSnapshot {
    /// Standard object metadata.
    #[serde(default, deserialize_with = "or_default")]
    pub metadata: ObjectMeta,
    /// What to snapshot and how. Required.
    #[serde(default, deserialize_with = "or_default")]
    pub spec: VolumeGroupSnapshotSpec,
    /// What became of it; written by the controller only.
    pub status: Option<VolumeGroupSnapshotStatus>,
}

kind!(crate::GROUP_OF_GROUPS, crate::GROUP_API_VERSION =>
    VolumeGroupSnapshot, "volumegroupsnapshots", NamespaceResourceScope; "spec": spec; ["status": status]);

/// What to snapshot, and with which class.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeGroupSnapshotSpec {
    /// What it is made from. Required, immutable.
    #[serde(default, deserialize_with = "or_default")]
    pub source: VolumeGroupSnapshotSource,
    /// The `VolumeGroupSnapshotClass`; unset asks for the default class of the volumes' driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_group_snapshot_class_name: Option<String>,
}

/// Where a group snapshot comes from. The definition allows exactly one field; an empty selector is every claim.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeGroupSnapshotSource {
    /// Dynamic: labels of the claims, in the same namespace, whose volumes are cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// Pre-provisioned: the group content that stands for a group snapshot that exists already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_group_snapshot_content_name: Option<String>,
}

/// What became of a group snapshot.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeGroupSnapshotStatus {
    /// The group content it is bound to; bound only when that points back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound_volume_group_snapshot_content_name: Option<String>,
    /// When the data was cut, as the driver says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_time: Option<Time>,
    /// Volumes can be made from all members; unset means nobody knows yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_to_use: Option<bool>,
    /// The last error, until it is overcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<VolumeSnapshotError>,
}
