//! Knows the kinds that the server has without a CRD: names, shapes, defaults, rules.
//!
//! Does not store anything, and has never heard of snapshots.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use serde_json::Value;

use crate::names::NameRule;
use crate::schema::error::FieldError;
use crate::schema::{Definitions, Node, Schema};

mod admission;
mod classes;
mod core;
mod kinds;
mod merge;
mod pods;
mod rbac;
mod storage;
#[cfg(test)]
mod told;
mod values;
mod workloads;

pub(crate) use self::kinds::builtins;
pub(crate) use self::merge::note_merge_keys;

/// Makes the OpenAPI schema of a kind, its parts named in the generator.
pub(crate) type MakeSchema = fn(&mut schemars::SchemaGenerator) -> schemars::Schema;

/// One built-in resource.
#[derive(Debug)]
pub(crate) struct Builtin {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) singular: &'static str,
    pub(crate) short_names: &'static [&'static str],
    pub(crate) categories: &'static [&'static str],
    pub(crate) namespaced: bool,
    pub(crate) subresources: &'static [&'static str],
    pub(crate) verbs: &'static [&'static str],
    pub(crate) name_rule: NameRule,
    /// Fields that a field selector may name besides `metadata.name` and `metadata.namespace`.
    pub(crate) selectable_fields: &'static [&'static str],
    pub(crate) make_schema: MakeSchema,
    /// Name of the schema in OpenAPI, for instance `io.k8s.api.core.v1.Pod`.
    pub(crate) schema_name: fn() -> std::borrow::Cow<'static, str>,
}

impl Builtin {
    /// Group, version, kind and verbs of what a subresource speaks; its own kind for most.
    pub(crate) fn subresource(&self, name: &str) -> (&str, &str, &str, &'static [&'static str]) {
        let write: &[&str] = &["create"];
        match (self.plural, name) {
            (_, "scale") => ("autoscaling", "v1", "Scale", &["get", "patch", "update"]),
            ("namespaces", "finalize") => (self.group, self.version, self.kind, &["update"]),
            ("pods", "binding") => ("", "v1", "Binding", write),
            ("pods", "eviction") => ("policy", "v1", "Eviction", write),
            ("pods", "exec") => ("", "v1", "PodExecOptions", &["create", "get"]),
            ("pods", "log") => ("", "v1", "Pod", &["get"]),
            ("serviceaccounts", "token") => ("authentication.k8s.io", "v1", "TokenRequest", write),
            _ => (
                self.group,
                self.version,
                self.kind,
                &["get", "patch", "update"],
            ),
        }
    }
}

/// The built-in resource of a kind.
#[cfg(test)]
pub(crate) fn by_kind(group: &str, version: &str, kind: &str) -> Option<&'static Builtin> {
    builtins()
        .iter()
        .find(|b| b.group == group && b.version == version && b.kind == kind)
}

/// Schemas made so far, and the parts they share.
#[derive(Default)]
struct Made {
    schemas: HashMap<(&'static str, &'static str), Arc<Schema>>,
    parts: Definitions,
}

static MADE: LazyLock<Mutex<Made>> = LazyLock::new(Mutex::default);

/// The schema of a built-in kind, made when first asked for.
pub(crate) fn schema_of(builtin: &'static Builtin) -> Arc<Schema> {
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(schema) = made.schemas.get(&(builtin.group, builtin.kind)) {
        return Arc::clone(schema);
    }
    let mut generator = generator();
    let root = merge::definition("", (builtin.make_schema)(&mut generator).as_value());
    let mut parts = Definitions::new();
    for (name, source) in generator.take_definitions(true) {
        let name: Box<str> = name.as_str().into();
        let part = made
            .parts
            .entry(name.clone())
            .or_insert_with(|| Arc::new(merge::definition(&name, &source)));
        parts.insert(name, Arc::clone(part));
    }
    let schema = Arc::new(Schema::new(Arc::new(root), parts, false));
    let key = (builtin.group, builtin.kind);
    made.schemas.insert(key, Arc::clone(&schema));
    schema
}

/// Names parts as OpenAPI v3 does.
pub(crate) fn generator() -> schemars::SchemaGenerator {
    let settings = schemars::generate::SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    settings.into_generator()
}

/// Reads a document as Go would: the error is its text, what is returned are the fields nobody knows, already gone.
pub(crate) fn decode(
    builtin: &'static Builtin,
    document: &mut Value,
) -> Result<Vec<String>, String> {
    schema_of(builtin).decode(builtin.kind, document)
}

/// The schema of an object that has nothing but `metadata`.
pub(crate) fn meta_schema() -> &'static Schema {
    static META: LazyLock<Schema> = LazyLock::new(|| {
        use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
        let mut generator = generator();
        let meta = generator.subschema_for::<ObjectMeta>();
        let mut root = Node {
            kind: Some(crate::schema::Kind::Object),
            ..Node::default()
        };
        root.properties
            .insert("metadata".into(), merge::definition("", meta.as_value()));
        let parts = generator.take_definitions(true).into_iter();
        let parts =
            parts.map(|(name, s)| (name.as_str().into(), Arc::new(merge::definition(&name, &s))));
        Schema::new(Arc::new(root), parts.collect(), false)
    });
    &META
}

/// Reads the `metadata` of any object the same way; paths start at `metadata`.
pub(crate) fn decode_meta(document: &mut Value) -> Result<Vec<String>, String> {
    let Some(meta) = document.get_mut("metadata") else {
        return Ok(Vec::new());
    };
    let mut alone = serde_json::json!({"metadata": meta.take()});
    let read = meta_schema().decode("ObjectMeta", &mut alone);
    *meta = alone["metadata"].take();
    if meta.is_null() {
        *meta = Value::Object(serde_json::Map::new());
    }
    read
}

/// Fills in the defaults of a built-in kind and checks what the sandbox acts on. `old` is what an update replaces.
pub(crate) fn prepare(builtin: &Builtin, new: &mut Value, old: Option<&Value>) -> Vec<FieldError> {
    let check = match (builtin.group, builtin.kind) {
        ("", "Namespace") => core::namespace,
        ("", "Secret") => core::secret,
        ("", "ConfigMap") => core::config_map,
        ("", "Service") => core::service,
        ("", "Pod") => pods::pod,
        ("", "PersistentVolumeClaim") => storage::claim,
        ("", "PersistentVolume") => storage::volume,
        ("storage.k8s.io", "StorageClass") => classes::class,
        ("storage.k8s.io", "CSIDriver") => classes::driver,
        ("storage.k8s.io", "VolumeAttachment") => classes::attachment,
        ("storage.k8s.io", "VolumeAttributesClass") => classes::attributes_class,
        ("storage.k8s.io", "CSIStorageCapacity") => classes::capacity,
        ("coordination.k8s.io", "Lease") => core::lease,
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration") => admission::validating,
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration") => admission::mutating,
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy") => admission::policy,
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding") => admission::binding,
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => rbac::role,
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => rbac::binding,
        ("apps", "StatefulSet") => workloads::stateful_set,
        ("apps", "Deployment" | "ReplicaSet" | "DaemonSet") => workloads::replicated,
        ("batch", "Job") => workloads::job,
        _ => return Vec::new(),
    };
    check(new, old)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_are_read_as_go_reads_them() {
        let read = |kind: &str, mut document: Value| {
            let builtin = builtins().iter().find(|b| b.kind == kind).unwrap();
            decode(builtin, &mut document).map(|unknown| (unknown, document))
        };
        let (unknown, map) = read("ConfigMap", json!({"apiVersion": "v1", "kind": "ConfigMap", "bogus": 1, "metadata": {"name": "u", "zip": null, "zap": 1}, "data": {"a": "1", "b": null}})).unwrap();
        assert_eq!(unknown, ["bogus", "metadata.zap"]);
        assert_eq!(
            map,
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "u"}, "data": {"a": "1"}})
        );
        let cases = [
            (
                "ConfigMap",
                json!({"metadata": {"name": true}}),
                "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.name of type string",
            ),
            (
                "ConfigMap",
                json!({"data": {"a": 1}}),
                "json: cannot unmarshal number into Go struct field ConfigMap.data.a of type string",
            ),
            (
                "ConfigMap",
                json!({"data": ["a"]}),
                "json: cannot unmarshal array into Go struct field ConfigMap.data of type map[string]string",
            ),
            (
                "PersistentVolumeClaim",
                json!({"spec": {"accessModes": "x"}}),
                "json: cannot unmarshal string into Go struct field PersistentVolumeClaimSpec.spec.accessModes of type []string",
            ),
            (
                "PersistentVolumeClaim",
                json!({"spec": {"resources": {"requests": {"storage": "lots"}}}}),
                "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
            ),
            (
                "Secret",
                json!({"data": {"a": "!"}}),
                "illegal base64 data at input byte 0",
            ),
        ];
        for (kind, document, expect) in cases {
            assert_eq!(
                read(kind, document.clone()).unwrap_err(),
                expect,
                "{document}"
            );
        }
        let (_, claim) = read(
            "PersistentVolumeClaim",
            json!({"spec": {"resources": {"requests": {"storage": "1024Mi"}}}}),
        )
        .unwrap();
        assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "1Gi");
    }

    #[test]
    fn schemas_in_crds_are_read_at_every_depth() {
        let crd = by_kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition").unwrap();
        let schema = json!({"type": "object", "default": {"a": null}, "enum": [null, 1, "x"], "junk": 1, "properties": {
            "list": {"type": "array", "items": {"type": "string", "junk": 1}},
            "map": {"type": "object", "additionalProperties": {"type": "string", "junk": 1}},
            "any": {"type": "object", "additionalProperties": true},
            "s": {"type": "string", "default": "red", "x-kubernetes-validations": [{"rule": "true", "message": "m"}]}}});
        let mut document = json!({"metadata": {"name": "x"}, "spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema}}]}});
        let mut unknown = decode(crd, &mut document).unwrap();
        unknown.sort();
        let at = "spec.versions[0].schema.openAPIV3Schema";
        assert_eq!(
            unknown,
            [
                format!("{at}.junk"),
                format!("{at}.properties.list.items.junk"),
                format!("{at}.properties.map.additionalProperties.junk")
            ]
        );
        let read = &document["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        assert_eq!(read["default"], json!({"a": null}));
        assert_eq!(read["enum"], json!([null, 1, "x"]));
        assert_eq!(read["properties"]["any"]["additionalProperties"], true);
    }

    #[test]
    fn every_kind_has_a_schema_and_a_place() {
        for builtin in builtins() {
            let schema = schema_of(builtin);
            assert!(
                schema.root().member("kind").is_some() || builtin.kind == "Scale",
                "{}",
                builtin.kind
            );
        }
    }

    #[test]
    fn metadata_of_any_object_is_read_alike() {
        let mut document = json!({"metadata": {"name": "a", "junk": 1, "creationTimestamp": "2024-01-01T00:00:00.5+01:00", "labels": null}});
        assert_eq!(decode_meta(&mut document).unwrap(), ["metadata.junk"]);
        assert_eq!(
            document,
            json!({"metadata": {"name": "a", "creationTimestamp": "2023-12-31T23:00:00Z"}})
        );
        let wrong = decode_meta(&mut json!({"metadata": {"labels": {"a": 1}}})).unwrap_err();
        assert_eq!(
            wrong,
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels.a of type string"
        );
    }
}
