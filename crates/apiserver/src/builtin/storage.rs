//! Fills in and checks claims and volumes.
//!
//! Does not bind anything: that is a controller's work.

use serde_json::{Value, json};

use super::values::{at, default, finalizer, has, list, one_of, required, set, text, unchanged};
use crate::names::subdomain_problems;
use crate::quantity::Quantity;
use crate::schema::error::FieldError;

const ACCESS_MODES: [&str; 4] = [
    "ReadOnlyMany",
    "ReadWriteMany",
    "ReadWriteOnce",
    "ReadWriteOncePod",
];

fn access_modes(object: &Value) -> Vec<FieldError> {
    let path = "spec.accessModes";
    let modes = list(object, "/spec/accessModes");
    let mut errors = Vec::new();
    if modes.is_empty() {
        errors.push(FieldError::required(
            path,
            "at least 1 access mode is required",
        ));
    }
    for mode in modes {
        if !mode.as_str().is_some_and(|m| ACCESS_MODES.contains(&m)) {
            errors.push(FieldError::not_supported(
                path,
                mode,
                &ACCESS_MODES.map(String::from),
            ));
        }
    }
    if modes.len() > 1 && modes.iter().any(|m| m.as_str() == Some("ReadWriteOncePod")) {
        errors.push(FieldError::forbidden(
            path,
            "may not use ReadWriteOncePod with other access modes",
        ));
    }
    errors
}

fn class_name(object: &Value) -> Vec<FieldError> {
    let name = text(object, "/spec/storageClassName");
    let problems = if name.is_empty() {
        Vec::new()
    } else {
        subdomain_problems(name)
    };
    problems
        .iter()
        .map(|p| FieldError::invalid_text("spec.storageClassName", name, p))
        .collect()
}

/// PersistentVolumeClaim.
pub(super) fn claim(new: &mut Value, old: Option<&Value>) -> Vec<FieldError> {
    default(new, "/spec", "volumeMode", "Filesystem");
    if old.is_none() {
        pending(new);
        finalizer(new, "kubernetes.io/pvc-protection");
        mirror_source(new);
    }
    let mut errors = access_modes(new);
    match new
        .pointer("/spec/resources/requests/storage")
        .map(Quantity::of)
    {
        None => errors.push(FieldError::required("spec.resources[storage]", "")),
        Some(Some(size)) if !size.is_negative() && !size.is_zero() => {}
        Some(_) => {
            let shown = at(new, "/spec/resources/requests/storage");
            errors.push(FieldError::invalid(
                "spec.resources[storage]",
                shown,
                "must be greater than zero",
            ));
        }
    }
    errors.extend(class_name(new));
    errors.extend(one_of(
        new,
        "/spec/volumeMode",
        "spec.volumeMode",
        &["Block", "Filesystem"],
    ));
    errors.extend(source(new, "dataSource"));
    errors.extend(source(new, "dataSourceRef"));
    if let Some(old) = old {
        errors.extend(claim_update(new, old));
    }
    errors
}

/// The status of a claim or volume that nobody has looked at.
pub(super) fn pending(object: &mut Value) {
    set(object, "", "status", json!({"phase": "Pending"}));
}

/// Says when a volume came into its phase, unless the writer does.
fn note_transition(new: &mut Value, old: Option<&Value>) {
    const TIME: &str = "/status/lastPhaseTransitionTime";
    let changed = |path| at(new, path) != at(old.unwrap_or(&Value::Null), path);
    if changed("/status/phase") && (at(new, TIME).is_null() || !changed(TIME)) {
        let now = json!(crate::rest::now());
        set(new, "/status", "lastPhaseTransitionTime", now);
    }
}

/// A source given in the old place is also told in the new one, and the other way round.
fn mirror_source(claim: &mut Value) {
    let known = |s: &Value| {
        matches!(
            (text(s, "/apiGroup"), text(s, "/kind")),
            ("snapshot.storage.k8s.io", "VolumeSnapshot") | ("", "PersistentVolumeClaim")
        )
    };
    let old_place = at(claim, "/spec/dataSource").clone();
    let new_place = at(claim, "/spec/dataSourceRef").clone();
    if !old_place.is_null() && !known(&old_place) {
        // A disallowed kind in the old place is dropped, not refused.
        if let Some(spec) = claim.get_mut("spec").and_then(Value::as_object_mut) {
            spec.remove("dataSource");
        }
    } else if new_place.is_null() && !old_place.is_null() {
        set(claim, "/spec", "dataSourceRef", old_place);
    } else if old_place.is_null()
        && !new_place.is_null()
        && known(&new_place)
        && !has(&new_place, "/namespace")
    {
        set(claim, "/spec", "dataSource", new_place);
    }
}

fn source(claim: &Value, field: &str) -> Vec<FieldError> {
    let Some(source) = claim
        .pointer(&format!("/spec/{field}"))
        .filter(|v| !v.is_null())
    else {
        return Vec::new();
    };
    let path = format!("spec.{field}");
    let mut errors: Vec<FieldError> = ["name", "kind"]
        .iter()
        .filter_map(|key| required(source, &format!("/{key}"), &format!("{path}.{key}")))
        .collect();
    let kind = text(source, "/kind");
    if text(source, "/apiGroup").is_empty() && !kind.is_empty() && kind != "PersistentVolumeClaim" {
        let why = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        errors.push(FieldError::invalid_text(&path, kind, why));
    }
    errors
}

fn claim_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let size = |claim: &Value| Quantity::of(at(claim, "/spec/resources/requests/storage"));
    let mut allowed = new.clone();
    // These may be told once.
    for name in ["volumeName", "storageClassName"] {
        if !has(old, &format!("/spec/{name}")) {
            forget(&mut allowed, name);
        }
    }
    set(
        &mut allowed,
        "/spec",
        "volumeAttributesClassName",
        at(old, "/spec/volumeAttributesClassName").clone(),
    );
    let bound = text(new, "/status/phase") == "Bound" || text(old, "/status/phase") == "Bound";
    if bound {
        set(
            &mut allowed,
            "/spec/resources/requests",
            "storage",
            at(old, "/spec/resources/requests/storage").clone(),
        );
    }
    let mut before = old.clone();
    default(&mut before, "/spec", "volumeMode", "Filesystem");
    set(
        &mut before,
        "/spec",
        "volumeAttributesClassName",
        at(old, "/spec/volumeAttributesClassName").clone(),
    );
    if without_nulls(at(&allowed, "/spec")) != without_nulls(at(&before, "/spec")) {
        let why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        errors.push(FieldError::forbidden("spec", why));
    }
    if let (Some(new_size), Some(old_size)) = (size(new), size(old))
        && new_size < old_size
        && Quantity::of(at(old, "/status/capacity/storage")).is_none_or(|have| new_size <= have)
    {
        let path = "spec.resources.requests.storage";
        errors.push(FieldError::forbidden(
            path,
            "field can not be less than status.capacity",
        ));
    }
    errors
}

fn forget(claim: &mut Value, name: &str) {
    if let Some(spec) = claim.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove(name);
    }
}

fn without_nulls(spec: &Value) -> Value {
    let mut spec = spec.clone();
    if let Some(members) = spec.as_object_mut() {
        members.retain(|_, v| !v.is_null());
    }
    spec
}

/// Every way to say where a volume is.
const SOURCES: [&str; 22] = [
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "csi",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "glusterfs",
    "hostPath",
    "iscsi",
    "local",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
];

fn volume_source(volume: &Value) -> serde_json::Map<String, Value> {
    let spec = volume.get("spec").and_then(Value::as_object);
    let members = spec
        .into_iter()
        .flatten()
        .filter(|(name, value)| SOURCES.contains(&name.as_str()) && !value.is_null());
    members
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// PersistentVolume.
pub(super) fn volume(new: &mut Value, old: Option<&Value>) -> Vec<FieldError> {
    default(new, "/spec", "persistentVolumeReclaimPolicy", "Retain");
    default(new, "/spec", "volumeMode", "Filesystem");
    if old.is_none() {
        pending(new);
        finalizer(new, "kubernetes.io/pv-protection");
    }
    note_transition(new, old);
    let mut errors = access_modes(new);
    match new.pointer("/spec/capacity/storage").map(Quantity::of) {
        None => errors.push(FieldError::required("spec.capacity", "")),
        Some(Some(size)) if !size.is_negative() && !size.is_zero() => {}
        Some(_) => {
            let shown = at(new, "/spec/capacity/storage");
            errors.push(FieldError::invalid(
                "spec.capacity[storage]",
                shown,
                "must be greater than zero",
            ));
        }
    }
    errors.extend(class_name(new));
    let policies = ["Delete", "Recycle", "Retain"];
    errors.extend(one_of(
        new,
        "/spec/persistentVolumeReclaimPolicy",
        "spec.persistentVolumeReclaimPolicy",
        &policies,
    ));
    errors.extend(one_of(
        new,
        "/spec/volumeMode",
        "spec.volumeMode",
        &["Block", "Filesystem"],
    ));
    let sources = volume_source(new);
    if sources.is_empty() {
        errors.push(FieldError::required("spec", "must specify a volume type"));
    }
    for extra in sources.keys().skip(1) {
        errors.push(FieldError::forbidden(
            &format!("spec.{extra}"),
            "may not specify more than 1 volume type",
        ));
    }
    if sources.contains_key("csi") {
        errors.extend(required(new, "/spec/csi/driver", "spec.csi.driver"));
        errors.extend(required(
            new,
            "/spec/csi/volumeHandle",
            "spec.csi.volumeHandle",
        ));
    }
    if sources.contains_key("local") && !has(new, "/spec/nodeAffinity/required") {
        errors.push(FieldError::required(
            "spec.nodeAffinity",
            "Local volume requires node affinity",
        ));
    }
    if let Some(old) = old {
        if sources_but_secrets(new) != sources_but_secrets(old) {
            let path = "spec.persistentvolumesource";
            errors.push(FieldError::forbidden(
                path,
                "spec.persistentvolumesource is immutable after creation",
            ));
        }
        errors.extend(
            has(old, "/spec/volumeMode")
                .then(|| unchanged(new, old, "/spec/volumeMode", "spec.volumeMode"))
                .flatten(),
        );
        if has(old, "/spec/nodeAffinity") {
            errors.extend(unchanged(
                new,
                old,
                "/spec/nodeAffinity",
                "spec.nodeAffinity",
            ));
        }
    }
    errors
}

/// The secret for expansion may be told after creation.
fn sources_but_secrets(volume: &Value) -> serde_json::Map<String, Value> {
    let mut sources = volume_source(volume);
    if let Some(csi) = sources.get_mut("csi").and_then(Value::as_object_mut) {
        csi.remove("controllerExpandSecretRef");
        csi.remove("nodeExpandSecretRef");
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::told::errors;

    fn a_claim(spec: &Value) -> Value {
        let mut claim = json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
        for (name, value) in spec.as_object().unwrap() {
            claim["spec"][name] = value.clone();
        }
        claim
    }

    #[test]
    fn claims_get_their_defaults() {
        let mut claim = a_claim(
            &json!({"dataSource": {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s"}}),
        );
        assert_eq!(super::claim(&mut claim, None), []);
        assert_eq!(claim["spec"]["volumeMode"], "Filesystem");
        assert_eq!(claim["status"], json!({"phase": "Pending"}));
        assert_eq!(
            claim["metadata"]["finalizers"],
            json!(["kubernetes.io/pvc-protection"])
        );
        assert_eq!(claim["spec"]["dataSourceRef"], claim["spec"]["dataSource"]);
    }

    #[test]
    fn a_volume_tells_since_when_it_is_in_its_phase() {
        let mut fresh = json!({"metadata": {"name": "v"}, "spec": {"capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"], "csi": {"driver": "d", "volumeHandle": "h"}}});
        assert_eq!(volume(&mut fresh, None), []);
        let since = |volume: &Value| volume["status"]["lastPhaseTransitionTime"].clone();
        assert!(since(&fresh).is_string(), "{fresh}");
        let mut old = fresh.clone();
        old["status"]["lastPhaseTransitionTime"] = json!("2020-01-01T00:00:00Z");
        let update = |phase: &str, time: Value| {
            let mut new = old.clone();
            new["status"] = json!({"phase": phase, "lastPhaseTransitionTime": time});
            assert_eq!(volume(&mut new, Some(&old)), []);
            since(&new)
        };
        assert_eq!(update("Pending", since(&old)), since(&old));
        assert_ne!(update("Bound", since(&old)), since(&old));
        assert_ne!(update("Bound", Value::Null), Value::Null);
        let own = json!("2021-01-01T00:00:00Z");
        assert_eq!(update("Bound", own.clone()), own);
    }

    #[test]
    fn claims_are_checked() {
        let cases = [
            (
                json!({"accessModes": []}),
                "spec.accessModes: Required value: at least 1 access mode is required",
            ),
            (
                json!({"accessModes": ["X"]}),
                "spec.accessModes: Unsupported value: \"X\": supported values: \"ReadOnlyMany\", \"ReadWriteMany\", \"ReadWriteOnce\", \"ReadWriteOncePod\"",
            ),
            (
                json!({"resources": {}}),
                "spec.resources[storage]: Required value",
            ),
            (
                json!({"resources": {"requests": {"storage": "0"}}}),
                "spec.resources[storage]: Invalid value: \"0\": must be greater than zero",
            ),
            (
                json!({"volumeMode": "Tape"}),
                "spec.volumeMode: Unsupported value: \"Tape\": supported values: \"Block\", \"Filesystem\"",
            ),
            (
                json!({"dataSourceRef": {"kind": "VolumeSnapshot", "name": "s"}}),
                "spec.dataSourceRef: Invalid value: \"VolumeSnapshot\": must be 'PersistentVolumeClaim' when referencing the default apiGroup",
            ),
        ];
        for (spec, expect) in cases {
            assert_eq!(
                errors("PersistentVolumeClaim", a_claim(&spec), None),
                [expect],
                "{spec}"
            );
        }
    }

    #[test]
    fn a_claim_only_grows_and_is_bound_once() {
        let fixed = "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        let small = "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity";
        let size = |s: &str| json!({"resources": {"requests": {"storage": s}}, "volumeName": "v"});
        let mut bound = a_claim(&json!({"volumeName": "v"}));
        bound["status"] = json!({"phase": "Bound", "capacity": {"storage": "1Gi"}});
        let pending = a_claim(&json!({}));
        let cases = [
            (&pending, a_claim(&json!({"volumeName": "v"})), vec![]),
            (&pending, a_claim(&json!({"storageClassName": "s"})), vec![]),
            (
                &pending,
                a_claim(&json!({"resources": {"requests": {"storage": "2Gi"}}})),
                vec![fixed],
            ),
            (&bound, a_claim(&size("2Gi")), vec![]),
            (&bound, a_claim(&size("512Mi")), vec![small]),
            (&bound, a_claim(&json!({"volumeName": "w"})), vec![fixed]),
            (
                &bound,
                a_claim(&json!({"volumeName": "v", "accessModes": ["ReadOnlyMany"]})),
                vec![fixed],
            ),
        ];
        for (old, new, expect) in cases {
            assert_eq!(
                errors("PersistentVolumeClaim", new.clone(), Some(old)),
                expect,
                "{new}"
            );
        }
    }

    #[test]
    fn volumes_have_one_source_for_ever() {
        let of = |source: Value| {
            let mut volume = json!({"metadata": {"name": "v"}, "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "volumeMode": "Filesystem"}});
            for (name, value) in source.as_object().unwrap() {
                volume["spec"][name] = value.clone();
            }
            volume
        };
        let csi = of(json!({"csi": {"driver": "d", "volumeHandle": "h"}}));
        assert!(errors("PersistentVolume", csi.clone(), None).is_empty());
        assert_eq!(
            errors("PersistentVolume", of(json!({})), None),
            ["spec: Required value: must specify a volume type"]
        );
        assert_eq!(
            errors("PersistentVolume", of(json!({"csi": {}})), None),
            [
                "spec.csi.driver: Required value",
                "spec.csi.volumeHandle: Required value"
            ]
        );
        assert_eq!(
            errors(
                "PersistentVolume",
                of(json!({"csi": {"driver": "d", "volumeHandle": "h"}, "hostPath": {"path": "/"}})),
                None
            ),
            ["spec.hostPath: Forbidden: may not specify more than 1 volume type"]
        );
        assert_eq!(
            errors(
                "PersistentVolume",
                of(json!({"csi": {"driver": "d", "volumeHandle": "other"}})),
                Some(&csi)
            ),
            [
                "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"
            ]
        );
        assert!(
            errors(
                "PersistentVolume",
                of(json!({"csi": {"driver": "d", "volumeHandle": "h"}, "claimRef": {"name": "c"}})),
                Some(&csi)
            )
            .is_empty()
        );
    }
}
