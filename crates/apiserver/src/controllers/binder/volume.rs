//! Projects a PersistentVolume to what binding depends on, and says which claims it would suit.
//!
//! Knows nothing of what is decided.

use serde_json::Value;

use super::claim::{BETA_CLASS, BOUND_BY_CONTROLLER, Claim, ClaimKey, attributes_class};
use super::decide::VolumePhase;
use super::shape::{AccessModes, VolumeMode};
use crate::controllers::fields::{Kept, annotation, deleting, text, uid, version};
use crate::quantity::Quantity;

const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";

#[derive(Debug)]
pub(super) struct Volume {
    pub(super) uid: String,
    pub(super) version: u64,
    pub(super) deleting: bool,
    pub(super) phase: VolumePhase,
    pub(super) class: String,
    pub(super) mode: VolumeMode,
    pub(super) capacity: Option<Quantity>,
    pub(super) modes: AccessModes,
    pub(super) attributes_class: Option<String>,
    labels: Option<Kept>,
    pub(super) claim: Option<ClaimRef>,
    pub(super) bound_by_controller: bool,
    /// Made by a provisioner, and to be deleted with its claim.
    pub(super) made_to_order: bool,
    /// What a bound claim shows of it, as it is written here.
    pub(super) shown_modes: Kept,
    pub(super) shown_capacity: Kept,
}

/// `spec.claimRef`; the uid is empty while no claim has taken the volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClaimRef {
    pub(super) key: ClaimKey,
    pub(super) uid: String,
}

impl Volume {
    pub(super) fn project(volume: &Value) -> Self {
        let spec = &volume["spec"];
        Self {
            uid: uid(volume).to_owned(),
            version: version(volume),
            deleting: deleting(volume),
            phase: match text(&volume["status"]["phase"]) {
                "Available" => VolumePhase::Available,
                "Bound" => VolumePhase::Bound,
                "Released" => VolumePhase::Released,
                "Failed" => VolumePhase::Failed,
                _ => VolumePhase::Pending,
            },
            class: annotation(volume, BETA_CLASS)
                .unwrap_or_else(|| text(&spec["storageClassName"]))
                .to_owned(),
            mode: VolumeMode::of(&spec["volumeMode"]),
            capacity: Quantity::of(&spec["capacity"]["storage"]),
            modes: AccessModes::of(&spec["accessModes"]),
            attributes_class: attributes_class(spec),
            labels: volume["metadata"].get("labels").map(Kept::of),
            claim: claim_ref(&spec["claimRef"]),
            bound_by_controller: annotation(volume, BOUND_BY_CONTROLLER).is_some(),
            made_to_order: annotation(volume, PROVISIONED_BY).is_some()
                && spec["persistentVolumeReclaimPolicy"] == "Delete",
            shown_modes: Kept::of(&spec["accessModes"]),
            shown_capacity: Kept::of(&spec["capacity"]),
        }
    }

    /// May be given to a claim that finds it.
    pub(super) fn free(&self) -> bool {
        let unused = matches!(self.phase, VolumePhase::Pending | VolumePhase::Available);
        self.claim.is_none() && unused && !self.deleting
    }

    /// Its `claimRef` names this claim, by uid if it has one.
    pub(super) fn is_for(&self, key: &ClaimKey, claim: &Claim) -> bool {
        self.claim
            .as_ref()
            .is_some_and(|of| of.key == *key && (of.uid.is_empty() || of.uid == claim.uid))
    }

    /// Big enough and of the right make, whatever its class and labels.
    pub(super) fn holds(&self, claim: &Claim) -> bool {
        self.capacity >= claim.request
            && self.mode == claim.volume_mode
            && self.attributes_class == claim.attributes_class
    }

    /// Satisfies a claim that chose it by name.
    pub(super) fn fits(&self, claim: &Claim) -> bool {
        self.holds(claim)
            && self.class == claim.class_name()
            && self.modes.offer(claim.modes)
            && self.phase != VolumePhase::Failed
    }

    /// Satisfies a claim that looks for any volume.
    pub(super) fn suits(&self, claim: &Claim) -> bool {
        self.free() && self.fits(claim) && claim.wanted.includes(self.labels.as_ref())
    }
}

fn claim_ref(reference: &Value) -> Option<ClaimRef> {
    let name = text(&reference["name"]);
    (!name.is_empty()).then(|| ClaimRef {
        key: (text(&reference["namespace"]).to_owned(), name.to_owned()),
        uid: text(&reference["uid"]).to_owned(),
    })
}
