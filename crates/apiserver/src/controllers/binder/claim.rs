//! Projects a PersistentVolumeClaim to what binding depends on.
//!
//! Knows nothing of volumes or of what is decided.

use serde_json::Value;

use super::decide::ClaimPhase;
use super::shape::{AccessModes, VolumeMode};
use crate::controllers::fields::{Kept, annotation, deleting, text, uid, version};
use crate::quantity::Quantity;
use crate::selector::LabelSelector;

pub(super) const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
pub(super) const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// Overrides `spec.storageClassName` of claims and volumes.
pub(super) const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// Both say the same to provisioners of different age.
pub(super) const PROVISIONER: [&str; 2] = [
    "volume.kubernetes.io/storage-provisioner",
    "volume.beta.kubernetes.io/storage-provisioner",
];

/// Namespace and name.
pub(super) type ClaimKey = (String, String);

#[derive(Debug)]
pub(super) struct Claim {
    pub(super) uid: String,
    pub(super) version: u64,
    pub(super) deleting: bool,
    pub(super) phase: ClaimPhase,
    pub(super) completed: bool,
    /// Empty when the claim names no volume.
    pub(super) volume: String,
    /// None when the claim leaves it open; empty when it wants no class.
    pub(super) class: Option<String>,
    pub(super) request: Option<Quantity>,
    pub(super) modes: AccessModes,
    pub(super) volume_mode: VolumeMode,
    pub(super) attributes_class: Option<String>,
    pub(super) wanted: Wanted,
    pub(super) node_selected: bool,
    /// The provisioner named in both annotations.
    pub(super) asked: Option<String>,
    /// Access modes shown in the status.
    pub(super) shown_modes: Option<Kept>,
    pub(super) shows_capacity: bool,
}

impl Claim {
    pub(super) fn project(claim: &Value) -> Self {
        let (spec, status) = (&claim["spec"], &claim["status"]);
        let asked = PROVISIONER.map(|key| annotation(claim, key));
        Self {
            uid: uid(claim).to_owned(),
            version: version(claim),
            deleting: deleting(claim),
            phase: match text(&status["phase"]) {
                "Bound" => ClaimPhase::Bound,
                "Lost" => ClaimPhase::Lost,
                _ => ClaimPhase::Pending,
            },
            completed: annotation(claim, BIND_COMPLETED).is_some(),
            volume: text(&spec["volumeName"]).to_owned(),
            class: annotation(claim, BETA_CLASS)
                .or_else(|| spec["storageClassName"].as_str())
                .map(str::to_owned),
            request: Quantity::of(&spec["resources"]["requests"]["storage"]),
            modes: AccessModes::of(&spec["accessModes"]),
            volume_mode: VolumeMode::of(&spec["volumeMode"]),
            attributes_class: attributes_class(spec),
            wanted: Wanted::of(&spec["selector"]),
            node_selected: annotation(claim, SELECTED_NODE).is_some(),
            asked: match asked {
                [Some(one), Some(other)] if one == other => Some(one.to_owned()),
                _ => None,
            },
            shown_modes: status.get("accessModes").map(Kept::of),
            shows_capacity: status["capacity"].is_object(),
        }
    }

    /// The class by which volumes are matched: none is a class of its own.
    pub(super) fn class_name(&self) -> &str {
        self.class.as_deref().unwrap_or_default()
    }

    /// Has no volume and may still get one.
    pub(super) fn waits(&self) -> bool {
        self.volume.is_empty() && !self.completed && !self.deleting
    }
}

pub(super) fn attributes_class(spec: &Value) -> Option<String> {
    spec["volumeAttributesClassName"]
        .as_str()
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
}

/// Which volumes the claim's selector lets through.
#[derive(Debug)]
pub(super) enum Wanted {
    Any,
    Labelled(LabelSelector),
    /// A selector that cannot be read selects nothing.
    None,
}

impl Wanted {
    fn of(selector: &Value) -> Self {
        match selector {
            Value::Null => Self::Any,
            selector => LabelSelector::from_object(selector).map_or(Self::None, Self::Labelled),
        }
    }

    pub(super) fn includes(&self, labels: Option<&Kept>) -> bool {
        match self {
            Self::Any => true,
            Self::Labelled(selector) => {
                let labels = labels.map(Kept::value);
                selector.matches(labels.as_ref().and_then(Value::as_object))
            }
            Self::None => false,
        }
    }
}
