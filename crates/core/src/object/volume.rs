//! Reads what the machines need of a `PersistentVolume`.

use k8s_openapi::api::core::v1::PersistentVolume;

use super::{Affinity, Key, Meta, SecretRef, Uid, entry};
use crate::topology::Segments;

/// `spec.volumeMode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VolumeMode {
    /// A file system (the default).
    Filesystem,
    /// A raw block device.
    Block,
}

impl VolumeMode {
    /// Reads the field; absent means `Filesystem`.
    pub fn parse(text: Option<&str>) -> Self {
        match text {
            Some("Block") => Self::Block,
            Some(_) | None => Self::Filesystem,
        }
    }

    /// As spelled in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Filesystem => "Filesystem",
            Self::Block => "Block",
        }
    }
}

/// `status.phase`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VolumePhase {
    /// A claim has it.
    Bound,
    /// Its claim is gone.
    Released,
    /// An earlier deletion failed.
    Failed,
    /// Any other phase.
    Other,
}

/// `spec.claimRef`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRef {
    /// Namespace and name.
    pub key: Key,
    /// Empty when the volume is only reserved.
    pub uid: Uid,
}

/// `spec.csi`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsiVolume {
    /// `driver`.
    pub driver: Box<str>,
    /// `volumeHandle`.
    pub handle: Box<str>,
}

/// A `PersistentVolume`, as far as the machines read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Identity, version, finalizers.
    pub meta: Meta,
    /// `spec.claimRef`.
    pub claim: Option<ClaimRef>,
    /// `spec.csi`; none for other kinds of volume.
    pub csi: Option<CsiVolume>,
    /// `spec.volumeMode`, where set.
    pub mode: Option<VolumeMode>,
    /// `status.phase`.
    pub phase: VolumePhase,
    /// `spec.persistentVolumeReclaimPolicy` is `Delete`.
    pub reclaim_delete: bool,
    /// The `provisioned-by` annotation.
    pub provisioned_by: Option<Box<str>>,
    /// `spec.capacity.storage` in bytes.
    pub capacity: Option<u64>,
    /// `spec.nodeAffinity.required`.
    pub affinity: Option<Box<Affinity>>,
    /// `spec.storageClassName`, if not empty.
    pub class: Option<Box<str>>,
    /// The deletion-secret annotations; both values may be empty.
    pub secret: Option<Box<SecretRef>>,
    /// From where it can be reached (`spec.nodeAffinity`); empty: from everywhere.
    pub reach: Box<[Segments]>,
}

impl Volume {
    /// Reads the object; what is missing is empty.
    pub fn of(object: &PersistentVolume) -> Self {
        let spec = object.spec.as_ref();
        let phase = object.status.as_ref().and_then(|it| it.phase.as_deref());
        Self {
            meta: Meta::of(&object.metadata),
            claim: spec
                .and_then(|it| it.claim_ref.as_ref())
                .map(|it| ClaimRef {
                    key: Key::namespaced(
                        it.namespace.as_deref().unwrap_or_default(),
                        it.name.as_deref().unwrap_or_default(),
                    ),
                    uid: Uid::parse(it.uid.as_deref().unwrap_or_default()),
                }),
            csi: spec.and_then(|it| it.csi.as_ref()).map(|it| CsiVolume {
                driver: it.driver.as_str().into(),
                handle: it.volume_handle.as_str().into(),
            }),
            mode: spec
                .and_then(|it| it.volume_mode.as_deref())
                .map(|text| VolumeMode::parse(Some(text))),
            phase: match phase {
                Some("Bound") => VolumePhase::Bound,
                Some("Released") => VolumePhase::Released,
                Some("Failed") => VolumePhase::Failed,
                Some(_) | None => VolumePhase::Other,
            },
            reclaim_delete: spec.and_then(|it| it.persistent_volume_reclaim_policy.as_deref())
                == Some("Delete"),
            provisioned_by: entry(
                object.metadata.annotations.as_ref(),
                tintype_api::keys::ANNOTATION_PROVISIONED_BY,
            )
            .map(Box::from),
            affinity: Affinity::of(object).map(Box::new),
            capacity: spec
                .and_then(|it| it.capacity.as_ref())
                .and_then(|it| it.get("storage"))
                .and_then(|it| tintype_api::quantity::parse_bytes(&it.0)),
            class: spec
                .and_then(|it| it.storage_class_name.as_deref())
                .filter(|it| !it.is_empty())
                .map(Box::from),
            secret: deletion_secret(object),
            reach: reach(object),
        }
    }

    /// It is the volume of the claim with this key and uid.
    pub fn belongs_to(&self, key: &Key, uid: &Uid) -> bool {
        self.claim
            .as_ref()
            .is_some_and(|it| it.key == *key && (it.uid.is_empty() || it.uid == *uid))
    }
}

fn deletion_secret(object: &PersistentVolume) -> Option<Box<SecretRef>> {
    let annotations = object.metadata.annotations.as_ref();
    let name = entry(
        annotations,
        tintype_api::keys::ANNOTATION_VOLUME_DELETION_SECRET_NAME,
    )?;
    let namespace = entry(
        annotations,
        tintype_api::keys::ANNOTATION_VOLUME_DELETION_SECRET_NAMESPACE,
    )?;
    Some(Box::new(SecretRef {
        namespace: namespace.into(),
        name: name.into(),
    }))
}

/// The terms that only say `KEY in VALUE`, as provisioners write them.
fn reach(object: &PersistentVolume) -> Box<[Segments]> {
    let affinity = object
        .spec
        .as_ref()
        .and_then(|it| it.node_affinity.as_ref());
    let terms = affinity
        .and_then(|it| it.required.as_ref())
        .map(|it| it.node_selector_terms.as_slice())
        .unwrap_or_default();
    terms
        .iter()
        .filter_map(|term| {
            let expressions = term.match_expressions.iter().flatten();
            expressions
                .map(|it| match (it.operator.as_str(), it.values.as_deref()) {
                    ("In", Some([value])) => Some((it.key.clone(), value.clone())),
                    (_, _) => None,
                })
                .collect::<Option<Segments>>()
        })
        .filter(|it| !it.is_empty())
        .collect()
}
