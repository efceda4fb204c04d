//! Holds `VolumeSnapshotContent`: what stands for one snapshot on storage.
//!
//! All that the controller and the sidecar tell each other passes through it. Does not know who does.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use crate::VolumeSnapshotError;
use crate::kind::{kind, or_default};

/// One snapshot on storage, made or to be made. Cluster-wide, short names `vsc` and `vscs`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct VolumeSnapshotContent {
    /// Standard object metadata.
    #[serde(default, deserialize_with = "or_default")]
    pub metadata: ObjectMeta,
    /// What it stands for. Required.
    #[serde(default, deserialize_with = "or_default")]
    pub spec: VolumeSnapshotContentSpec,
    /// What storage says of it; written by the sidecar only.
    pub status: Option<VolumeSnapshotContentStatus>,
}

kind!(VolumeSnapshotContent, "volumesnapshotcontents", ClusterResourceScope; "spec": spec; ["status": status]);

/// What a content stands for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSnapshotContentSpec {
    /// The snapshot it is for; bound once it holds that snapshot's uid. Required.
    #[serde(default, deserialize_with = "or_default")]
    pub volume_snapshot_ref: ObjectReference,
    /// `Delete` or `Retain`: whether the snapshot on storage goes with the content. Required.
    ///
    /// Kept as written, since only an exact `Delete` may ever destroy anything.
    #[serde(default, deserialize_with = "or_default")]
    pub deletion_policy: String,
    /// The CSI driver. Required.
    #[serde(default, deserialize_with = "or_default")]
    pub driver: String,
    /// The class it was made with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_snapshot_class_name: Option<String>,
    /// What it is made from. Required, immutable.
    #[serde(default, deserialize_with = "or_default")]
    pub source: VolumeSnapshotContentSource,
    /// `Filesystem` or `Block`: the mode of the volume it was cut from. Immutable once set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_volume_mode: Option<String>,
}

/// Where a content comes from. The definition allows exactly one field, but an empty string counts as set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSnapshotContentSource {
    /// Dynamic: the CSI id of the volume to cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_handle: Option<String>,
    /// Pre-provisioned: the CSI id of a snapshot that exists already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_handle: Option<String>,
}

/// What storage says of a content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSnapshotContentStatus {
    /// The CSI id of the snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_handle: Option<String>,
    /// When the data was cut, in nanoseconds since 1970 (a snapshot says the same as a date).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_time: Option<i64>,
    /// The least size, in bytes, of a volume made from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore_size: Option<i64>,
    /// A volume can be made from it; unset means nobody knows yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_to_use: Option<bool>,
    /// The last error, until it is overcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<VolumeSnapshotError>,
    /// The CSI id of the group snapshot it is a member of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_group_snapshot_handle: Option<String>,
}

impl VolumeSnapshotContent {
    /// A volume can be made from it now.
    pub fn ready(&self) -> bool {
        self.status.as_ref().and_then(|it| it.ready_to_use) == Some(true)
    }

    /// It is on its way out.
    pub fn deleting(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// The CSI id of its snapshot, if there is one: from status, else the one it was made for.
    pub fn handle(&self) -> Option<&str> {
        let said = self
            .status
            .as_ref()
            .and_then(|it| it.snapshot_handle.as_deref());
        let given = self.spec.source.snapshot_handle.as_deref();
        [said, given]
            .into_iter()
            .flatten()
            .find(|handle| !handle.is_empty())
    }

    /// Its reference is exactly this snapshot, uid included.
    pub fn points_at(&self, namespace: &str, name: &str, uid: &str) -> bool {
        let to = &self.spec.volume_snapshot_ref;
        !uid.is_empty()
            && to.namespace.as_deref() == Some(namespace)
            && to.name.as_deref() == Some(name)
            && to.uid.as_deref() == Some(uid)
    }
}
