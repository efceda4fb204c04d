//! Holds `VolumeGroupSnapshotClass`: how an administrator wants group snapshots of one driver to be made.
//!
//! Does not know what the parameters mean to the driver; the reserved ones are in [`crate::keys`].

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

use crate::kind::{kind, or_default};

/// How group snapshots of one driver are made. Cluster-wide, short names `vgsclass` and `vgsclasses`; it has no `spec`.
///
/// The versions `v1`, `v1beta2` and `v1beta1` have the same form.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeGroupSnapshotClass {
    /// Standard object metadata.
    #[serde(default, deserialize_with = "or_default")]
    pub metadata: ObjectMeta,
    /// The CSI driver. Required.
    #[serde(default, deserialize_with = "or_default")]
    pub driver: String,
    /// `Delete` or `Retain`, copied to the group contents made with it. Required.
    #[serde(default, deserialize_with = "or_default")]
    pub deletion_policy: String,
    /// For the driver, less the keys reserved for whoever calls it.
    pub parameters: Option<BTreeMap<String, String>>,
}

kind!(crate::GROUP_OF_GROUPS, crate::GROUP_API_VERSION =>
    VolumeGroupSnapshotClass, "volumegroupsnapshotclasses", ClusterResourceScope;
    "driver": driver, "deletionPolicy": deletion_policy; ["parameters": parameters]);
