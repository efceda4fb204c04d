//! Turns a step and what was seen into the exact write, and a claim into the call for its volume.
//!
//! Does not decide and does not send.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tintype_api::{Reason, keys};

use super::facts::{Sighting, SourceSight};
use super::{Complaint, Step};
use crate::guard;
use crate::object::{Claim, Key, VolumeMode};
use crate::write::{Event, Kind, Verb, Write};

/// What `CreateVolume` is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Name: the driver's idempotency key.
    pub name: String,
    /// `capacity_range.required_bytes`.
    pub bytes: u64,
    /// Raw block or file system.
    pub mode: VolumeMode,
    /// `fs_type`, where the class says so.
    pub fs_type: Option<String>,
    /// Mount flags of the class.
    pub mount_options: Vec<String>,
    /// Access modes of the claim, as Kubernetes spells them.
    pub access_modes: Vec<String>,
    /// Parameters of the class, without the reserved ones.
    pub parameters: BTreeMap<String, String>,
    /// Where the data comes from.
    pub source: RequestSource,
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

/// What the driver made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// `volume_id`.
    pub handle: String,
    /// Bytes.
    pub capacity: u64,
    /// `volume_context`.
    pub context: BTreeMap<String, String>,
    /// `accessible_topology`: one map of segments each.
    pub topology: Vec<BTreeMap<String, String>>,
}

const FS_TYPE: &str = "csi.storage.k8s.io/fstype";

/// The call for this claim's volume; none if what it needs is not there.
pub fn request(seen: &Sighting) -> Option<Request> {
    let claim = seen.claim.present()?;
    let class = seen.class.present()?;
    let source = match &seen.source {
        SourceSight::None => RequestSource::None,
        SourceSight::Snapshot { content, .. } => RequestSource::Snapshot(
            content
                .present()?
                .status
                .as_ref()?
                .handle
                .as_deref()?
                .to_owned(),
        ),
        SourceSight::Claim { volume, .. } => {
            RequestSource::Volume(volume.present()?.csi.as_ref()?.handle.to_string())
        }
    };
    Some(Request {
        name: Sighting::volume_name(claim),
        bytes: claim.requested?,
        mode: claim.mode,
        fs_type: class
            .parameters
            .get(FS_TYPE)
            .filter(|it| !it.is_empty())
            .cloned(),
        mount_options: class.mount_options.clone(),
        access_modes: claim.access_modes.clone(),
        parameters: class
            .parameters
            .iter()
            .filter(|(key, _)| !key.starts_with(keys::PARAMETER_PREFIX))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
        source,
    })
}

/// The write a step comes to; none for a call to the driver, or if what it needs is not there.
pub fn render(step: Step, seen: &Sighting, identity: &str) -> Option<Write> {
    let claim = seen.claim.present()?;
    match step {
        Step::LookUpContent => match &seen.source {
            SourceSight::Snapshot { snapshot, .. } => Some(Write {
                kind: Kind::Content,
                key: Key::cluster(snapshot.present()?.bound.as_deref()?),
                verb: Verb::Get,
                event: None,
            }),
            SourceSight::None | SourceSight::Claim { .. } => None,
        },
        Step::ProtectSource => match &seen.source {
            SourceSight::Snapshot { snapshot, .. } => Some(guard::with_finalizer(
                Kind::Snapshot,
                &snapshot.present()?.meta,
                keys::FINALIZER_PROVISIONER,
            )),
            SourceSight::None | SourceSight::Claim { .. } => None,
        },
        Step::CreateVolume => create_volume(seen, claim, identity),
        Step::Complain(_) | Step::CreateOnStorage | Step::DeleteOrphan => None,
    }
}

/// The event of a complaint.
pub fn complaint_event(complaint: Complaint, seen: &Sighting) -> Option<Event> {
    let claim = seen.claim.present()?;
    Some(event(
        claim,
        true,
        Reason::ProvisioningFailed,
        complaint.text(seen),
    ))
}

fn event(claim: &Claim, warning: bool, reason: Reason, message: String) -> Event {
    Event {
        about: Kind::Claim,
        key: claim.meta.key.clone(),
        uid: claim.meta.uid.clone(),
        version: claim.meta.version.clone(),
        warning,
        reason,
        message,
    }
}

/// Spec restore 6.4.
fn create_volume(seen: &Sighting, claim: &Claim, identity: &str) -> Option<Write> {
    let class = seen.class.present()?;
    let made: &Arc<Volume> = seen.memory.volume.as_ref()?;
    let request = seen.memory.request.as_ref()?;
    let name = Sighting::volume_name(claim);
    let mut attributes: BTreeMap<String, String> = made.context.clone();
    attributes.insert(
        keys::ATTRIBUTE_PROVISIONER_IDENTITY.to_owned(),
        identity.to_owned(),
    );
    let mut csi = json!({
        "driver": &*seen.driver,
        "volumeHandle": made.handle,
        "volumeAttributes": attributes,
    });
    if let (VolumeMode::Filesystem, Some(fs_type)) = (request.mode, &request.fs_type) {
        csi["fsType"] = fs_type.as_str().into();
    }
    let mut spec = json!({
        "capacity": {"storage": tintype_api::quantity::print_bytes(made.capacity)},
        "accessModes": claim.access_modes,
        "volumeMode": claim.mode.as_str(),
        "persistentVolumeReclaimPolicy": if class.retain { "Retain" } else { "Delete" },
        "storageClassName": class.meta.key.name,
        "claimRef": {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": claim.meta.key.namespace,
            "name": claim.meta.key.name,
            "uid": claim.meta.uid.to_string(),
            "resourceVersion": claim.meta.version.to_string(),
        },
        "csi": csi,
    });
    if !request.mount_options.is_empty() {
        spec["mountOptions"] = json!(request.mount_options);
    }
    if let Some(affinity) = node_affinity(&made.topology) {
        spec["nodeAffinity"] = affinity;
    }
    let mut write = Write {
        kind: Kind::Volume,
        key: Key::cluster(name.as_str()),
        verb: Verb::Create(json!({
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {
                "name": name,
                "finalizers": [keys::FINALIZER_VOLUME],
                "annotations": {
                    keys::ANNOTATION_PROVISIONED_BY: &*seen.driver,
                    keys::ANNOTATION_VOLUME_DELETION_SECRET_NAME: "",
                    keys::ANNOTATION_VOLUME_DELETION_SECRET_NAMESPACE: "",
                },
            },
            "spec": spec,
        })),
        event: None,
    };
    write.event = Some(event(
        claim,
        false,
        Reason::ProvisioningSucceeded,
        format!("Volume {name} is made."),
    ));
    Some(write)
}

fn node_affinity(topology: &[BTreeMap<String, String>]) -> Option<Value> {
    let terms: Vec<Value> = topology
        .iter()
        .filter(|segments| !segments.is_empty())
        .map(|segments| {
            let expressions: Vec<Value> = segments
                .iter()
                .map(|(key, value)| json!({"key": key, "operator": "In", "values": [value]}))
                .collect();
            json!({ "matchExpressions": expressions })
        })
        .collect();
    (!terms.is_empty()).then(|| json!({"required": {"nodeSelectorTerms": terms}}))
}
