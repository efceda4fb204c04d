//! Reads what the machines need of a `PersistentVolumeClaim`.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use super::{Key, Labels, Meta, VolumeMode, entry};

/// `status.phase`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClaimPhase {
    /// No volume yet (an empty phase counts as this).
    Pending,
    /// It has its volume.
    Bound,
    /// It had one.
    Lost,
}

/// Which kind a data source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataSourceKind {
    /// A `VolumeSnapshot` of the snapshot group.
    Snapshot,
    /// A `PersistentVolumeClaim` of the core group.
    Claim,
    /// A `VolumeSnapshot` or claim of the wrong group.
    WrongGroup,
    /// Somebody else's kind: a volume populator fills it.
    Foreign,
}

/// `spec.dataSource`, else `spec.dataSourceRef`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataSource {
    /// What it is.
    pub kind: DataSourceKind,
    /// `kind` as written.
    pub kind_text: Box<str>,
    /// `apiGroup` as written.
    pub group: Box<str>,
    /// Where it is.
    pub key: Key,
}

/// A `PersistentVolumeClaim`, as far as the machines read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Identity, version, finalizers.
    pub meta: Meta,
    /// `metadata.labels`: what group snapshots pick it by.
    pub labels: Labels,
    /// `status.phase`.
    pub phase: ClaimPhase,
    /// `spec.volumeName`, if not empty.
    pub volume: Option<Box<str>>,
    /// `spec.storageClassName`.
    pub class: Option<Box<str>>,
    /// Who is asked to make the volume: the storage-provisioner annotation.
    pub provisioner: Option<Box<str>>,
    /// `spec.resources.requests.storage` in bytes.
    pub requested: Option<u64>,
    /// `spec.volumeMode`.
    pub mode: VolumeMode,
    /// `spec.accessModes`.
    pub access_modes: Vec<String>,
    /// A selector is set.
    pub has_selector: bool,
    /// Where the data comes from.
    pub source: Option<Box<DataSource>>,
    /// The node its first consumer was placed on: the selected-node annotation.
    pub selected_node: Option<Box<str>>,
    /// `spec.volumeAttributesClassName`, if not empty.
    pub attributes_class: Option<Box<str>>,
}

impl Claim {
    /// Reads the object; what is missing is empty.
    pub fn of(object: &PersistentVolumeClaim) -> Self {
        let meta = Meta::of(&object.metadata);
        let spec = object.spec.as_ref();
        let annotations = object.metadata.annotations.as_ref();
        let phase = object.status.as_ref().and_then(|it| it.phase.as_deref());
        Self {
            labels: object
                .metadata
                .labels
                .iter()
                .flatten()
                .map(|(key, value)| (key.as_str().into(), value.as_str().into()))
                .collect(),
            phase: match phase {
                Some("Bound") => ClaimPhase::Bound,
                Some("Lost") => ClaimPhase::Lost,
                Some(_) | None => ClaimPhase::Pending,
            },
            volume: spec
                .and_then(|it| it.volume_name.as_deref())
                .filter(|name| !name.is_empty())
                .map(Box::from),
            class: spec
                .and_then(|it| it.storage_class_name.as_deref())
                .map(Box::from),
            provisioner: entry(
                annotations,
                tintype_api::keys::ANNOTATION_STORAGE_PROVISIONER,
            )
            .or_else(|| {
                entry(
                    annotations,
                    tintype_api::keys::ANNOTATION_BETA_STORAGE_PROVISIONER,
                )
            })
            .map(Box::from),
            requested: spec
                .and_then(|it| it.resources.as_ref())
                .and_then(|it| it.requests.as_ref())
                .and_then(|it| it.get("storage"))
                .and_then(|it| tintype_api::quantity::parse_bytes(&it.0)),
            mode: VolumeMode::parse(spec.and_then(|it| it.volume_mode.as_deref())),
            access_modes: spec
                .and_then(|it| it.access_modes.clone())
                .unwrap_or_default(),
            has_selector: spec.is_some_and(|it| it.selector.is_some()),
            source: data_source(object, &meta).map(Box::new),
            selected_node: entry(annotations, tintype_api::keys::ANNOTATION_SELECTED_NODE)
                .filter(|it| !it.is_empty())
                .map(Box::from),
            attributes_class: spec
                .and_then(|it| it.volume_attributes_class_name.as_deref())
                .filter(|it| !it.is_empty())
                .map(Box::from),
            meta,
        }
    }
}

fn data_source(object: &PersistentVolumeClaim, meta: &Meta) -> Option<DataSource> {
    let spec = object.spec.as_ref()?;
    let (kind, name, group, namespace) = match (&spec.data_source, &spec.data_source_ref) {
        (Some(it), _) => (&it.kind, &it.name, it.api_group.as_deref(), None),
        (None, Some(it)) => (
            &it.kind,
            &it.name,
            it.api_group.as_deref(),
            it.namespace.as_deref(),
        ),
        (None, None) => return None,
    };
    let group = group.unwrap_or_default();
    Some(DataSource {
        kind: match (kind.as_str(), group) {
            ("VolumeSnapshot", tintype_api::GROUP) => DataSourceKind::Snapshot,
            ("PersistentVolumeClaim", "") => DataSourceKind::Claim,
            ("VolumeSnapshot" | "PersistentVolumeClaim", _) => DataSourceKind::WrongGroup,
            (_, _) => DataSourceKind::Foreign,
        },
        kind_text: kind.as_str().into(),
        group: group.into(),
        key: namespace.filter(|it| !it.is_empty()).map_or_else(
            || Key::namespaced(meta.key.namespace.clone(), name.as_str()),
            |namespace| Key::namespaced(namespace, name.as_str()),
        ),
    })
}
