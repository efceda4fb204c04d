//! Holds `VolumeSnapshotClass`: how an administrator wants snapshots of one driver to be made.
//!
//! Does not know what the parameters mean to the driver; the reserved ones are in [`crate::keys`].

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

use crate::keys;
use crate::kind::{kind, or_default};

/// How snapshots of one driver are made. Cluster-wide, short names `vsclass` and `vsclasses`; it has no `spec`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSnapshotClass {
    /// Standard object metadata.
    #[serde(default, deserialize_with = "or_default")]
    pub metadata: ObjectMeta,
    /// The CSI driver. Required.
    #[serde(default, deserialize_with = "or_default")]
    pub driver: String,
    /// `Delete` or `Retain`, copied to the contents made with it. Required.
    #[serde(default, deserialize_with = "or_default")]
    pub deletion_policy: String,
    /// For the driver, less the keys reserved for whoever calls it.
    pub parameters: Option<BTreeMap<String, String>>,
}

kind!(VolumeSnapshotClass, "volumesnapshotclasses", ClusterResourceScope;
    "driver": driver, "deletionPolicy": deletion_policy; ["parameters": parameters]);

impl VolumeSnapshotClass {
    /// It is annotated as the default class of its driver; only an exact `true` counts.
    pub fn default_for_driver(&self) -> bool {
        let annotations = self.metadata.annotations.as_ref();
        let value = annotations.and_then(|it| it.get(keys::ANNOTATION_DEFAULT_CLASS));
        value.is_some_and(|value| value == "true")
    }
}
