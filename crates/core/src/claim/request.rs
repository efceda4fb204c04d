//! Turns a claim, its class and its source into the call for its volume.
//!
//! Does not send. Everything the volume's object needs later is in the request too: class and claim
//! may be gone by then.

use std::collections::BTreeMap;

use tintype_api::keys;

use super::complaint::Complaint;
use super::facts::Sighting;
use super::secrets::{self, Owner, SecretRefs};
use super::source::SourceSight;
use crate::Seen;
use crate::object::{Claim, StorageClass, VolumeMode};
use crate::topology::{self, Ask, Lack, Requirement};

/// What `CreateVolume` is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Name: the driver's idempotency key.
    pub name: String,
    /// `capacity_range.required_bytes`.
    pub bytes: u64,
    /// Raw block or file system.
    pub mode: VolumeMode,
    /// `fs_type`, where the class or a flag says so.
    pub fs_type: Option<String>,
    /// Mount flags of the class.
    pub mount_options: Vec<String>,
    /// Access modes of the claim.
    pub access_modes: Vec<AccessMode>,
    /// Parameters of the class without the reserved ones, and the metadata if asked for.
    pub parameters: BTreeMap<String, String>,
    /// Parameters of the attributes class.
    pub mutable_parameters: BTreeMap<String, String>,
    /// Where the data comes from.
    pub source: RequestSource,
    /// Where it may be made.
    pub topology: Option<Requirement>,
    /// What the object says besides.
    pub object: Object,
}

/// What only the volume's object says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// `spec.storageClassName`.
    pub class: String,
    /// `spec.persistentVolumeReclaimPolicy`.
    pub reclaim: String,
    /// Access modes as Kubernetes spells them.
    pub access_modes: Vec<String>,
    /// `spec.csi.readOnly`.
    pub read_only: bool,
    /// Secrets for later calls; the first is for this one too.
    pub secrets: SecretRefs,
    /// `spec.volumeAttributesClassName`.
    pub attributes_class: Option<String>,
}

/// CSI's access modes that Kubernetes has words for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccessMode {
    /// `SINGLE_NODE_WRITER`.
    SingleNodeWriter,
    /// `SINGLE_NODE_SINGLE_WRITER`.
    SingleNodeSingleWriter,
    /// `SINGLE_NODE_MULTI_WRITER`.
    SingleNodeMultiWriter,
    /// `MULTI_NODE_READER_ONLY`.
    MultiNodeReader,
    /// `MULTI_NODE_MULTI_WRITER`.
    MultiNodeWriter,
}

/// `volume_content_source`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestSource {
    /// Starts empty.
    None,
    /// A snapshot's handle.
    Snapshot(String),
    /// A volume's handle.
    Volume(String),
}

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// The volume is wanted.
    Wanted,
    /// It may exist, and must be found to be removed.
    FindOut,
}

/// The call for this claim's volume; none if something it needs is not there.
pub fn request(seen: &Sighting, why: Why) -> Option<Request> {
    let claim = seen.claim.present()?;
    let class = seen.class.present()?;
    let name = seen.settings.volume_name(claim);
    let topology = match (topology(seen), why) {
        (Ok(found), _) => found,
        // What exists is found wherever it is.
        (Err(_), Why::FindOut) => None,
        (Err(_), Why::Wanted) => return None,
    };
    let attributes = seen.attributes.present();
    let parts = parts(seen, claim, class).ok()?;
    let mut parameters = parts.parameters;
    if seen.settings.extra_metadata {
        for (key, value) in [
            (keys::METADATA_CLAIM_NAME, &*claim.meta.key.name),
            (keys::METADATA_CLAIM_NAMESPACE, &*claim.meta.key.namespace),
            (keys::METADATA_VOLUME_NAME, name.as_str()),
        ] {
            parameters.insert(key.to_owned(), value.to_owned());
        }
    }
    let reads_only = parts.access_modes == [AccessMode::MultiNodeReader];
    Some(Request {
        name,
        bytes: claim.requested?,
        mode: claim.mode,
        fs_type: parts.fs_type,
        mount_options: class.mount_options.clone(),
        access_modes: parts.access_modes,
        parameters,
        mutable_parameters: attributes.map_or_else(BTreeMap::new, |it| it.parameters.clone()),
        source: source(seen)?,
        topology,
        object: Object {
            class: class.meta.key.name.to_string(),
            reclaim: class.reclaim.as_deref().unwrap_or("Delete").to_owned(),
            access_modes: claim.access_modes.clone(),
            read_only: reads_only && seen.settings.publish_readonly,
            secrets: parts.secrets,
            attributes_class: claim
                .attributes_class
                .as_deref()
                .filter(|_| seen.settings.attributes_class)
                .map(str::to_owned),
        },
    })
}

fn source(seen: &Sighting) -> Option<RequestSource> {
    Some(match &seen.source {
        SourceSight::None => RequestSource::None,
        SourceSight::Snapshot { content, .. } => {
            let status = content.present()?.status.as_ref()?;
            RequestSource::Snapshot(status.handle.as_deref()?.to_owned())
        }
        SourceSight::Claim { volume, .. } => {
            RequestSource::Volume(volume.present()?.csi.as_ref()?.handle.to_string())
        }
    })
}

/// Where the volume may be made; none if the driver is not to be told.
pub(super) fn topology(seen: &Sighting) -> Result<Option<Requirement>, Lack> {
    let (Seen::Present(claim), Seen::Present(class)) = (&seen.claim, &seen.class) else {
        return Ok(None);
    };
    if !seen.settings.abilities.topology {
        return Ok(None);
    }
    let source = seen.source_reach();
    if seen.memory.at_source && !source.is_empty() {
        return Ok(Some(topology::at_source(source)));
    }
    let ask = Ask {
        claim: &claim.meta.key.name,
        allowed: &class.allowed,
        selected: claim.selected_node.as_deref(),
        strict: seen.settings.strict_topology,
        immediate: seen.settings.immediate_topology,
        source,
    };
    topology::requirement(&ask, &seen.nodes)
}

/// What the class's parameters and the claim's access modes come to.
struct Parts {
    fs_type: Option<String>,
    access_modes: Vec<AccessMode>,
    parameters: BTreeMap<String, String>,
    secrets: SecretRefs,
}

/// What is wrong with parameters or access modes: one complaint, and what helps.
pub(super) fn trouble(
    seen: &Sighting,
    claim: &Claim,
    class: &StorageClass,
) -> Option<(Complaint, String)> {
    parts(seen, claim, class).err()
}

fn parts(
    seen: &Sighting,
    claim: &Claim,
    class: &StorageClass,
) -> Result<Parts, (Complaint, String)> {
    let settings = &seen.settings;
    let mut access_modes = Vec::new();
    for mode in &claim.access_modes {
        let mode = access_mode(mode, settings.abilities.single_node_modes);
        access_modes.push(mode.map_err(|text| (Complaint::AccessMode, text))?);
    }
    let of_class = |text| (Complaint::Parameters, text);
    let fs_type = fs_type(class).map_err(of_class)?;
    let default = Some(settings.default_fs_type.to_string()).filter(|it| !it.is_empty());
    let volume = settings.volume_name(claim);
    let owner = Owner {
        volume: &volume,
        namespace: &claim.meta.key.namespace,
        claim: &claim.meta.key.name,
        annotations: &seen.annotations,
    };
    Ok(Parts {
        fs_type: fs_type.or(default),
        access_modes,
        parameters: for_driver(class).map_err(of_class)?,
        secrets: secrets::of(&class.parameters, &owner).map_err(of_class)?,
    })
}

impl StorageClass {
    /// A template of its parameters uses an annotation of the claim.
    pub fn uses_annotations(&self) -> bool {
        let mut values = self.parameters.values();
        values.any(|it| it.contains(secrets::ANNOTATION_TOKEN))
    }
}

fn access_mode(text: &str, single_node_modes: bool) -> Result<AccessMode, String> {
    match (text, single_node_modes) {
        ("ReadWriteOnce", false) => Ok(AccessMode::SingleNodeWriter),
        ("ReadWriteOnce", true) => Ok(AccessMode::SingleNodeMultiWriter),
        ("ReadWriteOncePod", true) => Ok(AccessMode::SingleNodeSingleWriter),
        ("ReadWriteOncePod", false) => Err(
            "spec.accessModes has ReadWriteOncePod, which this driver cannot promise (no SINGLE_NODE_MULTI_WRITER); make the claim anew with ReadWriteOnce"
                .to_owned(),
        ),
        ("ReadOnlyMany", _) => Ok(AccessMode::MultiNodeReader),
        ("ReadWriteMany", _) => Ok(AccessMode::MultiNodeWriter),
        (_, _) => Err(format!(
            "spec.accessModes has \"{text}\"; use ReadWriteOnce, ReadWriteOncePod, ReadOnlyMany or ReadWriteMany"
        )),
    }
}

/// The class's file system under either name.
fn fs_type(class: &StorageClass) -> Result<Option<String>, String> {
    let mut found = class
        .parameters
        .iter()
        .filter(|(key, _)| key.eq_ignore_ascii_case("fstype") || *key == keys::PARAMETER_FS_TYPE);
    let first = found.next();
    if let (Some((one, _)), Some((two, _))) = (first, found.next()) {
        return Err(format!(
            "parameters {one} and {two} of StorageClass \"{}\" both name the file system; keep {}",
            class.meta.key.name,
            keys::PARAMETER_FS_TYPE
        ));
    }
    Ok(first
        .map(|(_, value)| value.clone())
        .filter(|it| !it.is_empty()))
}

/// Parameters as the driver gets them; `Err` names a reserved key nobody knows.
pub(crate) fn for_driver(class: &StorageClass) -> Result<BTreeMap<String, String>, String> {
    let mut parameters = BTreeMap::new();
    for (key, value) in &class.parameters {
        if !key.starts_with(keys::PARAMETER_PREFIX) {
            parameters.insert(key.clone(), value.clone());
        } else if key != keys::PARAMETER_FS_TYPE && !secrets::is_known(key) {
            return Err(format!(
                "StorageClass \"{}\" has parameter \"{key}\", whose prefix {} is reserved; take it out",
                class.meta.key.name,
                keys::PARAMETER_PREFIX
            ));
        }
    }
    Ok(parameters)
}
