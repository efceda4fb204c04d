//! Words each step as the exact request: what is written, and on condition that the object is the one seen.
//!
//! Knows nothing of why; decides nothing.

use serde_json::{Value, json};

use super::claim::{BIND_COMPLETED, BOUND_BY_CONTROLLER, Claim, ClaimKey, PROVISIONER};
use super::decide::VolumePhase;
use super::volume::Volume;
use crate::local::Call;

pub(super) fn claim_path(key: &ClaimKey) -> String {
    let (namespace, name) = key;
    format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}")
}

pub(super) fn volume_path(name: &str) -> String {
    format!("/api/v1/persistentvolumes/{name}")
}

fn at(version: u64) -> Value {
    json!({ "resourceVersion": version.to_string() })
}

pub(super) fn take_volume(name: &str, volume: &Volume, key: &ClaimKey, claim: &Claim) -> Call {
    let mut metadata = at(volume.version);
    if !volume.is_for(key, claim) {
        metadata["annotations"] = json!({ BOUND_BY_CONTROLLER: "yes" });
    }
    let (namespace, claim_name) = key;
    let claim_ref = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": namespace,
        "name": claim_name,
        "uid": claim.uid,
        "resourceVersion": claim.version.to_string(),
    });
    let patch = json!({ "metadata": metadata, "spec": { "claimRef": claim_ref } });
    Call::merge(volume_path(name), patch)
}

pub(super) fn mark_volume(name: &str, volume: &Volume, phase: VolumePhase) -> Call {
    let phase = match phase {
        VolumePhase::Pending => "Pending",
        VolumePhase::Available => "Available",
        VolumePhase::Bound => "Bound",
        VolumePhase::Released => "Released",
        VolumePhase::Failed => "Failed",
    };
    let patch = json!({ "metadata": at(volume.version), "status": { "phase": phase } });
    Call::merge(volume_path(name) + "/status", patch)
}

/// A volume that a user reserved by name stays reserved; one that was chosen here is free again.
pub(super) fn unbind(name: &str, volume: &Volume) -> Call {
    let patch = if volume.bound_by_controller {
        let mut metadata = at(volume.version);
        metadata["annotations"] = json!({ BOUND_BY_CONTROLLER: null });
        json!({ "metadata": metadata, "spec": { "claimRef": null } })
    } else {
        let claim_ref = json!({ "uid": null, "resourceVersion": null });
        json!({ "metadata": at(volume.version), "spec": { "claimRef": claim_ref } })
    };
    Call::merge(volume_path(name), patch)
}

pub(super) fn bind_claim(key: &ClaimKey, claim: &Claim, volume: &str) -> Call {
    let mut metadata = at(claim.version);
    metadata["annotations"] = json!({ BIND_COMPLETED: "yes" });
    if claim.volume != volume {
        metadata["annotations"][BOUND_BY_CONTROLLER] = json!("yes");
    }
    let patch = json!({ "metadata": metadata, "spec": { "volumeName": volume } });
    Call::merge(claim_path(key), patch)
}

/// The capacity is shown once, when the claim becomes bound: later it belongs to whoever resizes.
pub(super) fn mark_claim_bound(
    key: &ClaimKey,
    claim: &Claim,
    volume: &Volume,
    becoming: bool,
) -> Call {
    let mut status = json!({ "phase": "Bound", "accessModes": volume.shown_modes.value() });
    if becoming || !claim.shows_capacity {
        status["capacity"] = volume.shown_capacity.value();
        if let Some(class) = &volume.attributes_class {
            status["currentVolumeAttributesClassName"] = json!(class);
        }
    }
    let patch = json!({ "metadata": at(claim.version), "status": status });
    Call::merge(claim_path(key) + "/status", patch)
}

pub(super) fn mark_claim_lost(key: &ClaimKey, claim: &Claim) -> Call {
    let status = json!({ "phase": "Lost", "accessModes": null, "capacity": null });
    let patch = json!({ "metadata": at(claim.version), "status": status });
    Call::merge(claim_path(key) + "/status", patch)
}

pub(super) fn set_class(key: &ClaimKey, claim: &Claim, class: &str) -> Call {
    let patch = json!({ "metadata": at(claim.version), "spec": { "storageClassName": class } });
    Call::merge(claim_path(key), patch)
}

pub(super) fn ask_provisioner(key: &ClaimKey, claim: &Claim, provisioner: &str) -> Call {
    let mut metadata = at(claim.version);
    for annotation in PROVISIONER {
        metadata["annotations"][annotation] = json!(provisioner);
    }
    Call::merge(claim_path(key), json!({ "metadata": metadata }))
}
