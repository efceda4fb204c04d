//! Says which fields of an object are whose: the client's, the status writer's, the server's.
//!
//! Does not read requests and does not store.

use serde_json::{Map, Value, json};

use super::shape::{metadata_mut, text};
use super::{Call, now};
use crate::admission::GROUP as ADMISSION;
use crate::builtin;
use crate::names::{Family, validate_object_meta, validate_object_meta_update};
use crate::registry::{Target, crd, crd_check};
use crate::schema::error::FieldError;

/// Which part of an object a write may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Main,
    Status,
    /// `spec.finalizers` of a namespace.
    Finalize,
}

/// Metadata that only the server sets.
const SERVER_SET: [&str; 6] = [
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
];
/// Built-in kinds whose spec has generations.
const GENERATIONS: [&str; 13] = [
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "Job",
    "Pod",
    "CustomResourceDefinition",
    "PodDisruptionBudget",
    "NetworkPolicy",
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
];
/// Kinds whose status a client may give at creation: they report themselves.
const STATUS_AT_CREATION: [&str; 2] = ["Node", "VolumeAttachment"];
/// Kinds that can only be updated from a known resourceVersion.
const NEVER_BLIND: [&str; 11] = [
    "Lease",
    "CSIDriver",
    "CSINode",
    "VolumeAttachment",
    "VolumeAttributesClass",
    "CustomResourceDefinition",
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "PodDisruptionBudget",
];
/// Kinds that an update creates if they are not there.
const CREATED_BY_UPDATE: [&str; 7] = [
    "Lease",
    "Event",
    "Endpoints",
    "Role",
    "RoleBinding",
    "ClusterRole",
    "ClusterRoleBinding",
];

pub(super) fn must_name_version(target: &Target) -> bool {
    target.custom() || NEVER_BLIND.contains(&target.resource.kind.as_str())
}

pub(super) fn created_by_update(target: &Target) -> bool {
    !target.custom() && CREATED_BY_UPDATE.contains(&target.resource.kind.as_str())
}

fn has_generation(target: &Target) -> bool {
    target.custom() || GENERATIONS.contains(&target.resource.kind.as_str())
}

/// Makes a client's object a new one of ours.
pub(super) fn begin(target: &Target, object: &mut Value) {
    let metadata = metadata_mut(object);
    for field in SERVER_SET
        .into_iter()
        .chain(["resourceVersion", "managedFields"])
    {
        metadata.remove(field);
    }
    metadata.insert("uid".into(), json!(uuid::Uuid::new_v4().to_string()));
    metadata.insert("creationTimestamp".into(), json!(now()));
    if has_generation(target) {
        metadata.insert("generation".into(), json!(1));
    }
    let kind = target.resource.kind.as_str();
    if target.has("status")
        && (target.custom() || !STATUS_AT_CREATION.contains(&kind))
        && let Some(fields) = object.as_object_mut()
    {
        fields.remove("status");
    }
    match kind {
        "Namespace" if !target.custom() => begin_namespace(object),
        "ValidatingAdmissionPolicy" if !target.custom() => observe(object),
        "CustomResourceDefinition" if !target.custom() => {
            crd::default(object);
            object["status"] = crd::initial_status(object);
        }
        _ => {}
    }
}

/// A policy holds as soon as it is stored, and all of it was checked before.
fn observe(policy: &mut Value) {
    let generation = policy["metadata"]["generation"].clone();
    policy["status"]["observedGeneration"] = generation;
    let checked = &mut policy["status"]["typeChecking"];
    if checked.is_null() {
        *checked = json!({});
    }
}

fn begin_namespace(namespace: &mut Value) {
    namespace["status"] = json!({"phase": "Active"});
    let finalizers = &mut namespace["spec"]["finalizers"];
    match finalizers.as_array_mut() {
        Some(list) if list.contains(&json!("kubernetes")) => {}
        Some(list) => list.push(json!("kubernetes")),
        None => *finalizers = json!(["kubernetes"]),
    }
    label_namespace(namespace);
}

/// Every namespace carries its name as a label.
fn label_namespace(namespace: &mut Value) {
    let metadata = metadata_mut(namespace);
    let name = json!(text(metadata, "name"));
    let labels = metadata.entry("labels").or_insert_with(|| json!({}));
    if let Some(labels) = labels.as_object_mut() {
        labels.insert("kubernetes.io/metadata.name".into(), name);
    }
}

/// Keeps of `new` what the write may change, and of `old` the rest.
pub(super) fn carry_over(target: &Target, part: Part, new: &mut Value, old: &Value) {
    match part {
        Part::Main => {
            if target.has("status") {
                copy(new, old, "status");
            }
            if target.is("", "namespaces") {
                keep_namespace_finalizers(new, old);
                label_namespace(new);
            }
        }
        Part::Status => keep_all_but_status(target, new, old),
        Part::Finalize => {
            let finalizers = new["spec"]["finalizers"].clone();
            *new = old.clone();
            new["spec"]["finalizers"] = finalizers;
        }
    }
    let kept: Vec<(&str, Option<Value>)> = SERVER_SET
        .into_iter()
        .chain(["resourceVersion"])
        .map(|field| (field, old["metadata"].get(field).cloned()))
        .collect();
    let metadata = metadata_mut(new);
    metadata.remove("managedFields");
    for (field, value) in kept {
        match value {
            Some(value) => metadata.insert(field.into(), value),
            None => metadata.remove(field),
        };
    }
    if target.is(crd::GROUP, crd::PLURAL) {
        crd::default(new);
        if part == Part::Main {
            crd::note_storage(new);
        }
    }
    if has_generation(target) && part == Part::Main && differs(target, new, old) {
        raise_generation(new);
        if target.is(ADMISSION, "validatingadmissionpolicies") {
            observe(new);
        }
    }
}

fn keep_all_but_status(target: &Target, new: &mut Value, old: &Value) {
    let status = new.get("status").cloned();
    let metadata = new.get("metadata").cloned();
    *new = old.clone();
    if let Some(fields) = new.as_object_mut() {
        match status {
            Some(status) => fields.insert("status".into(), status),
            None => fields.remove("status"),
        };
        // Built-in kinds let a status writer set labels and the like, custom ones do not.
        if let Some(metadata) = metadata.filter(|_| !target.custom()) {
            fields.insert("metadata".into(), metadata);
        }
    }
}

fn keep_namespace_finalizers(new: &mut Value, old: &Value) {
    if let Some(finalizers) = old.pointer("/spec/finalizers") {
        new["spec"]["finalizers"] = finalizers.clone();
    }
}

fn copy(new: &mut Value, old: &Value, field: &str) {
    let Some(fields) = new.as_object_mut() else {
        return;
    };
    match old.get(field) {
        Some(value) => fields.insert(field.into(), value.clone()),
        None => fields.remove(field),
    };
}

/// Whether what generations count has changed.
fn differs(target: &Target, new: &Value, old: &Value) -> bool {
    if !target.custom() {
        return match target.resource.kind.as_str() {
            "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration" => {
                new.get("webhooks") != old.get("webhooks")
            }
            _ => new.get("spec") != old.get("spec"),
        };
    }
    let counted = |object: &Value| -> Map<String, Value> {
        let mut fields = object.as_object().cloned().unwrap_or_default();
        fields.remove("metadata");
        if target.has("status") {
            fields.remove("status");
        }
        fields
    };
    counted(new) != counted(old)
}

pub(super) fn raise_generation(object: &mut Value) {
    let metadata = metadata_mut(object);
    if let Some(generation) = metadata.get("generation").and_then(Value::as_u64) {
        metadata.insert("generation".into(), json!(generation + 1));
    }
}

impl Call<'_> {
    /// Fills defaults and checks the whole object.
    pub(super) fn complete(
        &self,
        part: Part,
        new: &mut Value,
        old: Option<&Value>,
    ) -> Vec<FieldError> {
        let target = self.target;
        let resource = &target.resource;
        let defines = target.is(crd::GROUP, crd::PLURAL);
        let errors = match resource.builtin {
            _ if defines => crd_check::check(new, old),
            Some(builtin) => builtin::prepare(builtin, new, old),
            None => target.schema().map_or_else(Vec::new, |schema| {
                schema.default(new);
                match part {
                    Part::Status => schema.validate_status(new, old),
                    Part::Main | Part::Finalize => schema.validate(new, old),
                }
            }),
        };
        // Definitions belong to the extension server, which takes any finalizer.
        let custom = target.custom() || defines;
        let family = if custom {
            Family::Custom
        } else {
            Family::Builtin
        };
        let metadata = &new["metadata"];
        let mut all =
            validate_object_meta(metadata, resource.namespaced, resource.name_rule, family);
        if let Some(old) = old {
            all.extend(validate_object_meta_update(metadata, &old["metadata"]));
        }
        all.extend(errors);
        all.extend(self.check_params(new, old));
        all
    }
}
