//! Reads what the machines need of snapshot classes, storage classes and attribute classes.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::storage::v1::StorageClass as StorageClassObject;
use serde_json::Value;
use tintype_api::{VolumeGroupSnapshotClass, VolumeSnapshotClass, keys};

use super::{Meta, entry};
use crate::DeletionPolicy;
use crate::topology::AllowedTerm;

/// A `VolumeSnapshotClass` or a `VolumeGroupSnapshotClass`: they have the same form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Identity.
    pub meta: Meta,
    /// `driver`.
    pub driver: Box<str>,
    /// `deletionPolicy`.
    pub policy: DeletionPolicy,
    /// Annotated as the default of its driver.
    pub default: bool,
    /// `parameters`.
    pub parameters: BTreeMap<String, String>,
}

impl Class {
    /// Reads the object.
    pub fn of(object: &VolumeSnapshotClass) -> Self {
        Self {
            meta: Meta::of(&object.metadata),
            driver: object.driver.as_str().into(),
            policy: DeletionPolicy::parse(&object.deletion_policy),
            default: entry(
                object.metadata.annotations.as_ref(),
                keys::ANNOTATION_DEFAULT_CLASS,
            ) == Some("true"),
            parameters: object.parameters.clone().unwrap_or_default(),
        }
    }
}

/// A `VolumeGroupSnapshotClass`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupClass(pub Arc<Class>);

impl GroupClass {
    /// Reads the object.
    pub fn of(object: &VolumeGroupSnapshotClass) -> Self {
        Self(Arc::new(Class {
            meta: Meta::of(&object.metadata),
            driver: object.driver.as_str().into(),
            policy: DeletionPolicy::parse(&object.deletion_policy),
            default: entry(
                object.metadata.annotations.as_ref(),
                keys::ANNOTATION_DEFAULT_GROUP_CLASS,
            ) == Some("true"),
            parameters: object.parameters.clone().unwrap_or_default(),
        }))
    }
}

/// A `StorageClass`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageClass {
    /// Identity.
    pub meta: Meta,
    /// `provisioner`.
    pub provisioner: Box<str>,
    /// `reclaimPolicy`, where set.
    pub reclaim: Option<Box<str>>,
    /// `volumeBindingMode` is `WaitForFirstConsumer`.
    pub waits: bool,
    /// `allowedTopologies`.
    pub allowed: Vec<AllowedTerm>,
    /// `parameters`.
    pub parameters: BTreeMap<String, String>,
    /// `mountOptions`.
    pub mount_options: Vec<String>,
}

impl StorageClass {
    /// Reads the object.
    pub fn of(object: &StorageClassObject) -> Self {
        Self {
            meta: Meta::of(&object.metadata),
            provisioner: object.provisioner.as_str().into(),
            reclaim: object.reclaim_policy.as_deref().map(Box::from),
            waits: object.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"),
            allowed: object
                .allowed_topologies
                .iter()
                .flatten()
                .map(|term| {
                    let expressions = term.match_label_expressions.iter().flatten();
                    expressions
                        .map(|it| (it.key.clone(), it.values.clone()))
                        .collect()
                })
                .collect(),
            parameters: object.parameters.clone().unwrap_or_default(),
            mount_options: object.mount_options.clone().unwrap_or_default(),
        }
    }
}

/// A `VolumeAttributesClass`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributesClass {
    /// `driverName`.
    pub driver: Box<str>,
    /// `parameters`.
    pub parameters: BTreeMap<String, String>,
}

impl AttributesClass {
    /// Reads a reply of the API server; what is missing is empty.
    pub fn of(object: &Value) -> Self {
        let parameters = object["parameters"].as_object().into_iter().flatten();
        Self {
            driver: object["driverName"].as_str().unwrap_or_default().into(),
            parameters: parameters
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect(),
        }
    }
}
