//! Turns a step and what was seen into the exact write.
//!
//! Does not decide and does not send.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tintype_api::{Reason, keys};

use super::facts::Sighting;
use super::request::Request;
use super::source::SourceSight;
use super::{Complaint, Step};
use crate::guard;
use crate::object::{Claim, Key, VolumeMode};
use crate::secret::Secret;
use crate::topology::Segments;
use crate::write::{Event, Kind, Verb, Write};

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
    pub topology: Vec<Segments>,
}

/// The write a step comes to; none for a call to the driver, or if what it needs is not there.
pub fn render(step: Step, seen: &Sighting, identity: &str) -> Option<Write> {
    if step == Step::LookUpVolume {
        return Some(get(Kind::Volume, Key::cluster(seen.volume_name()?)));
    }
    let claim = seen.claim.present()?;
    match step {
        Step::LookUpContent => match &seen.source {
            SourceSight::Snapshot { snapshot, .. } => {
                let name = snapshot.present()?.bound.as_deref()?;
                Some(get(Kind::Content, Key::cluster(name)))
            }
            SourceSight::None | SourceSight::Claim { .. } => None,
        },
        Step::LookUpAttributes => {
            let name = claim.attributes_class.as_deref()?;
            Some(get(Kind::AttributesClass, Key::cluster(name)))
        }
        Step::ProtectSource => match &seen.source {
            SourceSight::Snapshot { snapshot, .. } => Some(guard::with_finalizer(
                Kind::Snapshot,
                &snapshot.present()?.meta,
                keys::FINALIZER_PROVISIONER,
            )),
            SourceSight::Claim { claim: from, .. } => Some(guard::with_finalizer(
                Kind::Claim,
                &from.present()?.meta,
                keys::FINALIZER_CLONE,
            )),
            SourceSight::None => None,
        },
        // The same list again is refused if the object is not what was seen: that confirms it.
        Step::Mark if claim.meta.has_finalizer(&seen.settings.mark) => Some(Write {
            kind: Kind::Claim,
            key: claim.meta.key.clone(),
            verb: Verb::ReplaceFinalizers {
                version: claim.meta.version.clone(),
                finalizers: claim
                    .meta
                    .finalizers
                    .iter()
                    .map(|it| it.clone().into_owned())
                    .collect(),
            },
            event: None,
        }),
        Step::Mark => Some(guard::with_finalizer(
            Kind::Claim,
            &claim.meta,
            &seen.settings.mark,
        )),
        Step::Unmark => Some(guard::without_finalizer(
            Kind::Claim,
            &claim.meta,
            &seen.settings.mark,
        )),
        Step::Reschedule => Some(select(seen, claim, None)),
        Step::TakeOver => {
            let node = seen.settings.node.as_ref()?.name.to_string();
            Some(select(seen, claim, Some(node)))
        }
        Step::CreateVolume => create_volume(seen, claim, identity),
        Step::LookUpVolume
        | Step::Complain(_)
        | Step::TellPopulator
        | Step::CreateOnStorage
        | Step::DrawLot
        | Step::AskCapacity
        | Step::DeleteOrphan => None,
    }
}

const fn get(kind: Kind, key: Key) -> Write {
    Write {
        kind,
        key,
        verb: Verb::Get,
        event: None,
    }
}

/// Selects a node, or takes the selection back; nothing is in flight then.
fn select(seen: &Sighting, claim: &Claim, node: Option<String>) -> Write {
    let finalizers = claim.meta.finalizers.iter();
    Write {
        kind: Kind::Claim,
        key: claim.meta.key.clone(),
        verb: Verb::ReplaceMeta {
            version: claim.meta.version.clone(),
            finalizers: finalizers
                .filter(|it| ***it != *seen.settings.mark)
                .map(|it| it.clone().into_owned())
                .collect(),
            annotations: vec![(keys::ANNOTATION_SELECTED_NODE, node)],
        },
        event: None,
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

/// The event that says that somebody else is to fill the volume.
pub fn populator_event(seen: &Sighting) -> Option<Event> {
    let claim = seen.claim.present()?;
    let source = claim.source.as_ref()?;
    let message = format!(
        "A volume populator for kind {} is expected to fill the volume.",
        source.kind_text
    );
    Some(event(claim, false, Reason::Provisioning, message))
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
    let made: &Arc<Volume> = seen.memory.volume.as_ref()?;
    let request = seen.memory.request.as_ref()?;
    let object = &request.object;
    let mut spec = json!({
        "capacity": {"storage": tintype_api::quantity::print_bytes(made.capacity)},
        "accessModes": object.access_modes,
        "volumeMode": request.mode.as_str(),
        "persistentVolumeReclaimPolicy": object.reclaim,
        "storageClassName": object.class,
        "claimRef": {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": claim.meta.key.namespace,
            "name": claim.meta.key.name,
            "uid": claim.meta.uid.to_string(),
            "resourceVersion": claim.meta.version.to_string(),
        },
        "csi": csi(seen, request, made, identity),
    });
    if !request.mount_options.is_empty() {
        spec["mountOptions"] = json!(request.mount_options);
    }
    if let Some(class) = &object.attributes_class {
        spec["volumeAttributesClassName"] = class.as_str().into();
    }
    if let Some(affinity) = node_affinity(&made.topology) {
        spec["nodeAffinity"] = affinity;
    }
    // Where the storage stays there is nothing to hold the object for.
    let finalizers: &[&str] = if object.reclaim == "Delete" {
        &[keys::FINALIZER_VOLUME]
    } else {
        &[]
    };
    let document = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": request.name,
            "finalizers": finalizers,
            "annotations": annotations(seen, request),
        },
        "spec": spec,
    });
    Some(Write {
        kind: Kind::Volume,
        key: Key::cluster(request.name.as_str()),
        verb: Verb::Create(document),
        event: Some(event(
            claim,
            false,
            Reason::ProvisioningSucceeded,
            format!("Volume {} is made.", request.name),
        )),
    })
}

fn annotations(seen: &Sighting, request: &Request) -> BTreeMap<&'static str, String> {
    let secrets = &request.object.secrets;
    let deletion = secrets.provisioner.clone().unwrap_or_default();
    let mut all = BTreeMap::from([
        (
            keys::ANNOTATION_PROVISIONED_BY,
            seen.settings.driver.to_string(),
        ),
        (keys::ANNOTATION_VOLUME_DELETION_SECRET_NAME, deletion.name),
        (
            keys::ANNOTATION_VOLUME_DELETION_SECRET_NAMESPACE,
            deletion.namespace,
        ),
    ]);
    if let Some(secret) = secrets.modify.clone() {
        all.insert(keys::ANNOTATION_MODIFY_SECRET_NAME, secret.name);
        all.insert(keys::ANNOTATION_MODIFY_SECRET_NAMESPACE, secret.namespace);
    }
    all
}

fn csi(seen: &Sighting, request: &Request, made: &Volume, identity: &str) -> Value {
    let mut attributes: BTreeMap<String, String> = made.context.clone();
    // What the driver says under this key counts, as upstream has it.
    attributes
        .entry(keys::ATTRIBUTE_PROVISIONER_IDENTITY.to_owned())
        .or_insert_with(|| identity.to_owned());
    let mut csi = json!({
        "driver": &*seen.settings.driver,
        "volumeHandle": made.handle,
        "volumeAttributes": attributes,
    });
    if let (VolumeMode::Filesystem, Some(fs_type)) = (request.mode, &request.fs_type) {
        csi["fsType"] = fs_type.as_str().into();
    }
    if request.object.read_only {
        csi["readOnly"] = true.into();
    }
    let secrets = &request.object.secrets;
    for (field, secret) in [
        ("controllerPublishSecretRef", &secrets.publish),
        ("nodeStageSecretRef", &secrets.node_stage),
        ("nodePublishSecretRef", &secrets.node_publish),
        ("controllerExpandSecretRef", &secrets.expand),
        ("nodeExpandSecretRef", &secrets.node_expand),
    ] {
        if let Some(Secret { namespace, name }) = secret {
            csi[field] = json!({"name": name, "namespace": namespace});
        }
    }
    csi
}

fn node_affinity(topology: &[Segments]) -> Option<Value> {
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
