//! Describes kinds as OpenAPI v3 schemas.
//!
//! Does not know the paths they are served at.

use serde_json::{Map, Value, json};

use super::{Source, Target};
use crate::builtin;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
pub(super) const PREFIX: &str = "#/components/schemas/";
const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const KIND: &str = "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
const METADATA: &str = "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";
const LIST_METADATA: &str = "Standard list metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";

/// The name of the schema of a kind.
pub(super) fn name_of(target: &Target<'_>) -> String {
    match target.source {
        Source::Builtin(known) => (known.schema_name)().into_owned(),
        Source::Custom(_) => {
            let reversed: Vec<&str> = target.group.rsplit('.').collect();
            format!("{}.{}.{}", reversed.join("."), target.version, target.kind)
        }
    }
}

/// Schemas of kinds, of their lists and of all their parts.
pub(super) fn of(targets: &[Target<'_>]) -> Map<String, Value> {
    let mut generator = builtin::generator();
    // Every document needs both, if only for custom kinds.
    generator.subschema_for::<k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta>();
    generator.subschema_for::<k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta>();
    for target in targets {
        if let Source::Builtin(known) = target.source {
            (known.make_schema)(&mut generator);
        }
    }
    let parts = generator.take_definitions(true).into_iter();
    let mut schemas: Map<String, Value> = parts.map(|(name, part)| part_of(name, part)).collect();
    for target in targets {
        let name = name_of(target);
        if let Source::Custom(schema) = target.source {
            schemas.insert(name.clone(), custom(schema));
        }
        if let Some(schema) = schemas.get_mut(&name).and_then(Value::as_object_mut) {
            schema.insert(
                "x-kubernetes-group-version-kind".into(),
                json!([target.gvk()]),
            );
        }
        if !target.only_created {
            schemas.insert(format!("{name}List"), list_of(target, &name));
        }
    }
    schemas
}

fn part_of(name: String, mut part: Value) -> (String, Value) {
    match name.rsplit('.').next() {
        Some("Quantity") => set(
            &mut part,
            json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
        ),
        Some("IntOrString") => {
            set(
                &mut part,
                json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}),
            );
        }
        Some("JSON") => set(&mut part, json!({})),
        _ => {}
    }
    builtin::note_merge_keys(&name, &mut part);
    tidy(&mut part);
    (name, part)
}

/// Puts another shape under the description of a part.
fn set(part: &mut Value, mut shape: Value) {
    if let Some(description) = part.get("description") {
        shape["description"] = description.clone();
    }
    *part = shape;
}

/// A reference stands alone in OpenAPI v3; what is said beside it goes around it.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                if *member == Value::Bool(true)
                    && matches!(name.as_str(), "items" | "additionalProperties")
                {
                    *member = json!({});
                }
                tidy(member);
            }
            if members.len() > 1
                && let Some(reference) = members.get("$ref").filter(|r| r.is_string()).cloned()
            {
                members.remove("$ref");
                members.insert("allOf".into(), json!([{"$ref": reference}]));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn reference(name: &str, description: &str) -> Value {
    json!({"description": description, "allOf": [{"$ref": format!("{PREFIX}{name}")}]})
}

fn custom(schema: &Value) -> Value {
    let mut schema = if schema.is_object() {
        schema.clone()
    } else {
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
    };
    schema["properties"]["apiVersion"] = json!({"type": "string", "description": API_VERSION});
    schema["properties"]["kind"] = json!({"type": "string", "description": KIND});
    schema["properties"]["metadata"] = reference(META, METADATA);
    schema
}

fn list_of(target: &Target<'_>, name: &str) -> Value {
    let kind = target.kind;
    json!({
        "description": format!("{kind}List is a list of {kind}"),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string", "description": API_VERSION},
            "kind": {"type": "string", "description": KIND},
            "metadata": reference(LIST_META, LIST_METADATA),
            "items": {
                "type": "array",
                "description": format!("List of {}.", target.plural),
                "items": {"$ref": format!("{PREFIX}{name}")},
            },
        },
        "x-kubernetes-group-version-kind": [{
            "group": target.group, "kind": format!("{kind}List"), "version": target.version,
        }],
    })
}
