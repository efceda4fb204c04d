//! Lists the columns of built-in kinds: storage and the small ones.
//!
//! Does not know how a row is framed.

use jiff::Timestamp;
use serde_json::Value;

use super::{age, more, pods};
use crate::builtin::Builtin;

/// What one column shows of an object.
pub(super) type Cell = fn(&Value, Timestamp) -> Value;

#[derive(Clone, Copy)]
pub(super) struct Column {
    name: &'static str,
    kind: &'static str,
    wide: bool,
    pub(super) cell: Cell,
}

impl Column {
    pub(super) fn definition(&self) -> Value {
        let format = if self.name == "Name" && !self.wide {
            "name"
        } else {
            ""
        };
        let description = if self.name == "Name" { super::NAME } else { "" };
        super::definition(
            self.name,
            self.kind,
            format,
            description,
            i64::from(self.wide),
        )
    }
}

pub(super) const fn text(name: &'static str, cell: Cell) -> Column {
    Column {
        name,
        kind: "string",
        wide: false,
        cell,
    }
}

pub(super) const fn number(name: &'static str, cell: Cell) -> Column {
    Column {
        name,
        kind: "integer",
        wide: false,
        cell,
    }
}

pub(super) const fn flag(name: &'static str, cell: Cell) -> Column {
    Column {
        name,
        kind: "boolean",
        wide: false,
        cell,
    }
}

pub(super) const fn wide(name: &'static str, cell: Cell) -> Column {
    Column {
        name,
        kind: "string",
        wide: true,
        cell,
    }
}

pub(super) const NAME: Column = text("Name", |o, _| at(o, "/metadata/name"));
pub(super) const AGE: Column = text("Age", |o, now| {
    age::of(o, "/metadata/creationTimestamp", now)
});
const CREATED_AT: Column = Column {
    name: "Created At",
    kind: "date",
    wide: false,
    cell: |o, _| at(o, "/metadata/creationTimestamp"),
};

/// The value at a pointer.
pub(super) fn at(object: &Value, pointer: &str) -> Value {
    object.pointer(pointer).cloned().unwrap_or_default()
}

/// The text at a pointer, empty if there is none.
pub(super) fn shown(object: &Value, pointer: &str) -> Value {
    str_at(object, pointer).into()
}

pub(super) fn str_at<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The text at a pointer, or a word for its absence.
pub(super) fn or(object: &Value, pointer: &str, absent: &str) -> Value {
    match str_at(object, pointer) {
        "" => absent.into(),
        found => found.into(),
    }
}

pub(super) fn int(object: &Value, pointer: &str) -> i64 {
    object
        .pointer(pointer)
        .and_then(Value::as_i64)
        .unwrap_or_default()
}

pub(super) fn yes(object: &Value, pointer: &str) -> Value {
    object
        .pointer(pointer)
        .and_then(Value::as_bool)
        .unwrap_or_default()
        .into()
}

pub(super) fn items<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

pub(super) fn count(object: &Value, pointer: &str) -> i64 {
    let len = match object.pointer(pointer) {
        Some(Value::Array(items)) => items.len(),
        Some(Value::Object(members)) => members.len(),
        _ => 0,
    };
    i64::try_from(len).unwrap_or(i64::MAX)
}

pub(super) fn joined<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    parts.collect::<Vec<_>>().join(",")
}

/// `a=b,c in (d)` of a label selector.
pub(super) fn selector(object: &Value, pointer: &str) -> Value {
    let mut parts = Vec::new();
    let labels = object
        .pointer(&format!("{pointer}/matchLabels"))
        .and_then(Value::as_object);
    for (key, value) in labels.into_iter().flatten() {
        parts.push(format!("{key}={}", value.as_str().unwrap_or_default()));
    }
    for expression in items(object, &format!("{pointer}/matchExpressions")) {
        let key = str_at(expression, "/key");
        let values = joined(
            items(expression, "/values")
                .iter()
                .filter_map(Value::as_str),
        );
        parts.push(match str_at(expression, "/operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            _ => format!("!{key}"),
        });
    }
    if parts.is_empty() {
        "<none>".into()
    } else {
        parts.join(",").into()
    }
}

fn access_modes(object: &Value, pointer: &str) -> Value {
    const SHORT: [(&str, &str); 4] = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let has = |mode: &str| {
        items(object, pointer)
            .iter()
            .any(|m| m.as_str() == Some(mode))
    };
    joined(
        SHORT
            .into_iter()
            .filter(|(mode, _)| has(mode))
            .map(|(_, short)| short),
    )
    .into()
}

fn terminating(object: &Value, phase: &str) -> Value {
    if object.pointer("/metadata/deletionTimestamp").is_some() {
        "Terminating".into()
    } else {
        phase.into()
    }
}

/// What a claim asks for shows only once it has a volume.
fn bound(claim: &Value, cell: impl Fn() -> Value) -> Value {
    if str_at(claim, "/spec/volumeName").is_empty() {
        "".into()
    } else {
        cell()
    }
}

const DEFAULT: &[Column] = &[NAME, CREATED_AT];
const NAMESPACE: &[Column] = &[NAME, text("Status", |o, _| shown(o, "/status/phase")), AGE];
const CLAIM: &[Column] = &[
    NAME,
    text("Status", |o, _| terminating(o, str_at(o, "/status/phase"))),
    text("Volume", |o, _| shown(o, "/spec/volumeName")),
    text("Capacity", |o, _| {
        bound(o, || shown(o, "/status/capacity/storage"))
    }),
    text("Access Modes", |o, _| {
        bound(o, || access_modes(o, "/status/accessModes"))
    }),
    text("StorageClass", |o, _| shown(o, "/spec/storageClassName")),
    text("VolumeAttributesClass", |o, _| {
        or(o, "/spec/volumeAttributesClassName", "<unset>")
    }),
    AGE,
    wide("VolumeMode", |o, _| or(o, "/spec/volumeMode", "<unset>")),
];
const VOLUME: &[Column] = &[
    NAME,
    text("Capacity", |o, _| shown(o, "/spec/capacity/storage")),
    text("Access Modes", |o, _| access_modes(o, "/spec/accessModes")),
    text("Reclaim Policy", |o, _| {
        shown(o, "/spec/persistentVolumeReclaimPolicy")
    }),
    text("Status", |o, _| terminating(o, str_at(o, "/status/phase"))),
    text("Claim", |o, _| match str_at(o, "/spec/claimRef/name") {
        "" => "".into(),
        name => format!("{}/{name}", str_at(o, "/spec/claimRef/namespace")).into(),
    }),
    text("StorageClass", |o, _| shown(o, "/spec/storageClassName")),
    text("VolumeAttributesClass", |o, _| {
        or(o, "/spec/volumeAttributesClassName", "<unset>")
    }),
    text("Reason", |o, _| shown(o, "/status/reason")),
    AGE,
    wide("VolumeMode", |o, _| or(o, "/spec/volumeMode", "<unset>")),
];
const CLASS: &[Column] = &[
    text("Name", |o, _| {
        let name = str_at(o, "/metadata/name");
        let marks = [
            "storageclass.kubernetes.io/is-default-class",
            "storageclass.beta.kubernetes.io/is-default-class",
        ];
        let marked = |mark: &str| {
            o.pointer("/metadata/annotations")
                .and_then(|a| a.get(mark))
                .and_then(Value::as_str)
                == Some("true")
        };
        if marks.into_iter().any(marked) {
            format!("{name} (default)").into()
        } else {
            name.into()
        }
    }),
    text("Provisioner", |o, _| shown(o, "/provisioner")),
    text("ReclaimPolicy", |o, _| or(o, "/reclaimPolicy", "Delete")),
    text("VolumeBindingMode", |o, _| {
        or(o, "/volumeBindingMode", "Immediate")
    }),
    flag("AllowVolumeExpansion", |o, _| {
        yes(o, "/allowVolumeExpansion")
    }),
    AGE,
];
const DRIVER: &[Column] = &[
    NAME,
    flag("AttachRequired", |o, _| {
        o.pointer("/spec/attachRequired")
            .and_then(Value::as_bool)
            .unwrap_or(true)
            .into()
    }),
    flag("PodInfoOnMount", |o, _| yes(o, "/spec/podInfoOnMount")),
    flag("StorageCapacity", |o, _| yes(o, "/spec/storageCapacity")),
    text("TokenRequests", |o, _| {
        match items(o, "/spec/tokenRequests") {
            [] => "<unset>".into(),
            requests => joined(requests.iter().map(|r| str_at(r, "/audience"))).into(),
        }
    }),
    flag("RequiresRepublish", |o, _| {
        yes(o, "/spec/requiresRepublish")
    }),
    text("Modes", |o, _| {
        joined(
            items(o, "/spec/volumeLifecycleModes")
                .iter()
                .filter_map(Value::as_str),
        )
        .into()
    }),
    AGE,
];
const CSI_NODE: &[Column] = &[
    NAME,
    number("Drivers", |o, _| count(o, "/spec/drivers").into()),
    AGE,
];
const ATTACHMENT: &[Column] = &[
    NAME,
    text("Attacher", |o, _| shown(o, "/spec/attacher")),
    text("PV", |o, _| shown(o, "/spec/source/persistentVolumeName")),
    text("Node", |o, _| shown(o, "/spec/nodeName")),
    flag("Attached", |o, _| yes(o, "/status/attached")),
    AGE,
];
const ATTRIBUTES_CLASS: &[Column] = &[
    NAME,
    text("DriverName", |o, _| shown(o, "/driverName")),
    AGE,
];
const CAPACITY: &[Column] = &[
    NAME,
    text("StorageClassName", |o, _| shown(o, "/storageClassName")),
    text("Capacity", |o, _| or(o, "/capacity", "<unset>")),
];
const SECRET: &[Column] = &[
    NAME,
    text("Type", |o, _| shown(o, "/type")),
    number("Data", |o, _| count(o, "/data").into()),
    AGE,
];
const CONFIG_MAP: &[Column] = &[
    NAME,
    number("Data", |o, _| {
        (count(o, "/data") + count(o, "/binaryData")).into()
    }),
    AGE,
];
const ACCOUNT: &[Column] = &[
    NAME,
    number("Secrets", |o, _| count(o, "/secrets").into()),
    AGE,
];
const LEASE: &[Column] = &[
    NAME,
    text("Holder", |o, _| shown(o, "/spec/holderIdentity")),
    AGE,
];
const WEBHOOKS: &[Column] = &[
    NAME,
    number("Webhooks", |o, _| count(o, "/webhooks").into()),
    AGE,
];

/// The columns of a kind; kinds without any of their own show name and creation.
pub(super) fn of(builtin: &Builtin) -> &'static [Column] {
    match builtin.kind {
        "Namespace" => NAMESPACE,
        "PersistentVolumeClaim" => CLAIM,
        "PersistentVolume" => VOLUME,
        "StorageClass" => CLASS,
        "CSIDriver" => DRIVER,
        "CSINode" => CSI_NODE,
        "VolumeAttachment" => ATTACHMENT,
        "VolumeAttributesClass" => ATTRIBUTES_CLASS,
        "CSIStorageCapacity" => CAPACITY,
        "Secret" => SECRET,
        "ConfigMap" => CONFIG_MAP,
        "ServiceAccount" => ACCOUNT,
        "Lease" => LEASE,
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => WEBHOOKS,
        "Pod" => pods::POD,
        "Node" => pods::NODE,
        other => more::of(other).unwrap_or(DEFAULT),
    }
}
