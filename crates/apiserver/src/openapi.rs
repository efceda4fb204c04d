//! Describes the served kinds to clients: OpenAPI v3 by group version, OpenAPI v2 as a whole.
//!
//! Does not know HTTP. Documents are made when asked for: nobody pays for them at start.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::builtin::{Builtin, builtins};

mod definitions;
mod paths;
mod proto;
mod v2;

/// One served resource of one version, from the table or from a CRD.
pub(crate) struct Target<'a> {
    group: &'a str,
    version: &'a str,
    kind: &'a str,
    plural: &'a str,
    namespaced: bool,
    only_created: bool,
    subresources: Vec<&'static str>,
    source: Source<'a>,
}

enum Source<'a> {
    Builtin(&'static Builtin),
    /// The `openAPIV3Schema` of the version.
    Custom(&'a Value),
}

impl Target<'_> {
    /// `api/v1` or `apis/group/version`.
    fn group_version(&self) -> String {
        if self.group.is_empty() {
            format!("api/{}", self.version)
        } else {
            format!("apis/{}/{}", self.group, self.version)
        }
    }

    fn gvk(&self) -> Value {
        json!({"group": self.group, "kind": self.kind, "version": self.version})
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

fn builtin_target(builtin: &'static Builtin) -> Target<'static> {
    let described = |name: &&&'static str| matches!(**name, "status" | "scale");
    Target {
        group: builtin.group,
        version: builtin.version,
        kind: builtin.kind,
        plural: builtin.plural,
        namespaced: builtin.namespaced,
        only_created: builtin.verbs == ["create"],
        subresources: builtin
            .subresources
            .iter()
            .filter(described)
            .copied()
            .collect(),
        source: Source::Builtin(builtin),
    }
}

/// Every served version of a CRD.
fn custom_targets(crd: &Value) -> impl Iterator<Item = Target<'_>> {
    let served = |v: &&Value| v.get("served").and_then(Value::as_bool) == Some(true);
    list(crd, "/spec/versions")
        .iter()
        .filter(served)
        .map(|version| Target {
            group: text(crd, "/spec/group"),
            version: text(version, "/name"),
            kind: text(crd, "/spec/names/kind"),
            plural: text(crd, "/spec/names/plural"),
            namespaced: text(crd, "/spec/scope") == "Namespaced",
            only_created: false,
            subresources: ["status", "scale"]
                .into_iter()
                .filter(|name| {
                    version
                        .pointer(&format!("/subresources/{name}"))
                        .is_some_and(|s| !s.is_null())
                })
                .collect(),
            source: Source::Custom(
                version
                    .pointer("/schema/openAPIV3Schema")
                    .unwrap_or(&Value::Null),
            ),
        })
}

fn targets<'a>(crds: &'a [&'a Value]) -> Vec<Target<'a>> {
    let mut all: Vec<Target<'a>> = Vec::with_capacity(builtins().len() + crds.len());
    for builtin in builtins() {
        all.push(builtin_target(builtin));
    }
    all.extend(crds.iter().flat_map(|crd| custom_targets(crd)));
    all
}

/// What `?hash=` and `ETag` carry.
fn hash(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest
        .iter()
        .fold(String::with_capacity(64), |mut out, byte| {
            let _ = write!(out, "{byte:02X}");
            out
        })
}

/// Of each group version: a hash that changes with what its document is made of.
fn hashes(crds: &[&Value]) -> BTreeMap<String, String> {
    let mut made_of: BTreeMap<String, String> = BTreeMap::new();
    for target in targets(crds) {
        let inputs = made_of.entry(target.group_version()).or_default();
        match target.source {
            Source::Builtin(_) => inputs.push_str(concat!(env!("CARGO_PKG_VERSION"), ";")),
            Source::Custom(schema) => {
                let _ = write!(
                    inputs,
                    "{}{}{:?}{schema};",
                    target.plural, target.kind, target.subresources
                );
            }
        }
    }
    for inputs in made_of.values_mut() {
        *inputs = hash(inputs.as_bytes());
    }
    made_of
}

/// The hash of one document of v3; `None` if nothing is served there.
pub(crate) fn v3_hash(path: &str, crds: &[&Value]) -> Option<String> {
    hashes(crds).remove(path)
}

/// The hash of the document of v2.
pub(crate) fn v2_hash(crds: &[&Value]) -> String {
    let all: String = hashes(crds).into_values().collect();
    hash(all.as_bytes())
}

/// `/openapi/v3`: where the document of each group version is.
pub(crate) fn v3_index(crds: &[&Value]) -> Vec<u8> {
    let paths: Map<String, Value> = hashes(crds)
        .into_iter()
        .map(|(path, hash)| {
            let url = format!("/openapi/v3/{path}?hash={hash}");
            (path, json!({"serverRelativeURL": url}))
        })
        .collect();
    json!({"paths": paths}).to_string().into_bytes()
}

/// `/openapi/v3/{path}`, for instance `api/v1` or `apis/apps/v1`; `None` if nothing is served there.
pub(crate) fn v3_document(path: &str, crds: &[&Value]) -> Option<Vec<u8>> {
    let targets: Vec<Target<'_>> = targets(crds)
        .into_iter()
        .filter(|t| t.group_version() == path)
        .collect();
    if targets.is_empty() {
        return None;
    }
    let document = json!({
        "openapi": "3.0.0",
        "info": info(),
        "paths": all_paths(&targets),
        "components": {"schemas": definitions::of(&targets)},
    });
    Some(document.to_string().into_bytes())
}

fn info() -> Value {
    json!({"title": "Kubernetes", "version": "v1.36.0"})
}

fn all_paths(targets: &[Target<'_>]) -> Map<String, Value> {
    targets.iter().flat_map(paths::of).collect()
}

/// `/openapi/v2` as JSON.
pub(crate) fn v2_json(crds: &[&Value]) -> Vec<u8> {
    v2_document(crds).to_string().into_bytes()
}

/// `/openapi/v2` in the protobuf form that kubectl asks for.
pub(crate) fn v2_protobuf(crds: &[&Value]) -> Vec<u8> {
    proto::encode(&v2_document(crds))
}

fn v2_document(crds: &[&Value]) -> Value {
    let targets = targets(crds);
    v2::document(&info(), &all_paths(&targets), &definitions::of(&targets))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crd() -> Value {
        json!({"spec": {"group": "e.example.com", "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"},
            "versions": [{"name": "v1", "served": true, "subresources": {"status": {}}, "schema": {"openAPIV3Schema": {"type": "object", "description": "A widget.",
                "properties": {"spec": {"type": "object", "description": "What is wanted.", "properties": {
                    "size": {"type": "integer", "nullable": true}, "port": {"x-kubernetes-int-or-string": true},
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}}}},
                {"name": "v0", "served": false}]}})
    }

    fn parsed(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn the_index_names_every_group_version() {
        let crd = crd();
        let index = parsed(&v3_index(&[&crd]));
        let url = |path: &str| {
            index["paths"][path]["serverRelativeURL"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        assert!(url("api/v1").starts_with("/openapi/v3/api/v1?hash="));
        assert!(url("apis/apps/v1").starts_with("/openapi/v3/apis/apps/v1?hash="));
        assert!(!url("apis/e.example.com/v1").is_empty());
        assert!(url("apis/e.example.com/v0").is_empty());
        assert!(v3_document("apis/e.example.com/v0", &[&crd]).is_none());
    }

    #[test]
    fn a_document_explains_kinds_and_offers_field_validation() {
        let crd = crd();
        let core = parsed(&v3_document("api/v1", &[]).unwrap());
        let schemas = &core["components"]["schemas"];
        let claim = &schemas["io.k8s.api.core.v1.PersistentVolumeClaim"];
        assert_eq!(
            claim["x-kubernetes-group-version-kind"],
            json!([{"group": "", "kind": "PersistentVolumeClaim", "version": "v1"}])
        );
        assert_eq!(
            claim["properties"]["spec"]["allOf"],
            json!([{"$ref": "#/components/schemas/io.k8s.api.core.v1.PersistentVolumeClaimSpec"}])
        );
        assert!(
            claim["properties"]["spec"]["description"]
                .as_str()
                .unwrap()
                .starts_with("spec defines")
        );
        assert!(
            schemas["io.k8s.api.core.v1.PersistentVolumeClaimList"]["properties"]["items"]
                .is_object()
        );
        let patch = &core["paths"]["/api/v1/namespaces/{namespace}/configmaps/{name}"]["patch"];
        assert_eq!(
            patch["x-kubernetes-group-version-kind"]["kind"],
            "ConfigMap"
        );
        let has = |name: &str| {
            patch["parameters"]
                .as_array()
                .unwrap()
                .iter()
                .any(|p| p["name"] == name && p["in"] == "query")
        };
        assert!(has("fieldValidation") && has("dryRun") && has("fieldManager"));
        let custom = parsed(&v3_document("apis/e.example.com/v1", &[&crd]).unwrap());
        let widget = &custom["components"]["schemas"]["com.example.e.v1.Widget"];
        assert_eq!(widget["description"], "A widget.");
        assert_eq!(
            widget["properties"]["metadata"]["allOf"][0]["$ref"],
            "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
        );
        assert!(
            custom["paths"]["/apis/e.example.com/v1/namespaces/{namespace}/widgets/{name}/status"]
                .is_object()
        );
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(members) => {
                    for (name, member) in members {
                        match member.as_str() {
                            Some(text) if name == "$ref" => found.push(text.into()),
                            _ => references(member, found),
                        }
                    }
                }
                Value::Array(items) => items.iter().for_each(|i| references(i, found)),
                _ => {}
            }
        }
        let crd = crd();
        let crds = [&crd];
        let index = parsed(&v3_index(&crds));
        for path in index["paths"].as_object().unwrap().keys() {
            let document = parsed(&v3_document(path, &crds).unwrap());
            let mut found = Vec::new();
            references(&document, &mut found);
            for reference in found {
                assert!(
                    document.pointer(&reference.replace("#/", "/")).is_some(),
                    "{path}: {reference}"
                );
            }
        }
        let document = parsed(&v2_json(&crds));
        let mut found = Vec::new();
        references(&document, &mut found);
        for reference in found {
            assert!(
                document.pointer(&reference.replace("#/", "/")).is_some(),
                "v2: {reference}"
            );
        }
    }

    #[test]
    fn the_older_document_keeps_to_the_older_language() {
        let crd = crd();
        let document = parsed(&v2_json(&[&crd]));
        assert_eq!(document["swagger"], "2.0");
        let definitions = &document["definitions"];
        assert_eq!(
            definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"]["type"],
            "string"
        );
        assert_eq!(
            definitions["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]["format"],
            "int-or-string"
        );
        let spec = &definitions["com.example.e.v1.Widget"]["properties"]["spec"]["properties"];
        assert!(
            spec["port"].get("type").is_none()
                && spec["free"].get("type").is_none()
                && spec["size"].get("nullable").is_none()
        );
        let post = &document["paths"]["/api/v1/namespaces/{namespace}/configmaps"]["post"];
        assert_eq!(post["parameters"][0]["in"], "body");
    }

    #[test]
    fn the_protobuf_form_says_the_same() {
        let crd = crd();
        let bytes = v2_protobuf(&[&crd]);
        let document = proto::decode(&bytes).unwrap();
        let json = parsed(&v2_json(&[&crd]));
        assert_eq!(document.swagger, "2.0");
        let definitions = document.definitions.unwrap().additional_properties;
        assert_eq!(
            definitions.len(),
            json["definitions"].as_object().unwrap().len()
        );
        let widget = definitions
            .iter()
            .find(|d| d.name == "com.example.e.v1.Widget")
            .unwrap()
            .value
            .as_ref()
            .unwrap();
        assert_eq!(
            widget.vendor_extension[0].name,
            "x-kubernetes-group-version-kind"
        );
        assert_eq!(
            widget.vendor_extension[0].value.as_ref().unwrap().yaml,
            "[{\"group\":\"e.example.com\",\"kind\":\"Widget\",\"version\":\"v1\"}]"
        );
        assert_eq!(
            document.paths.unwrap().path.len(),
            json["paths"].as_object().unwrap().len()
        );
    }
}
