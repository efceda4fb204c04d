//! Says in OpenAPI v2 what has been said in v3, as far as the older language goes.
//!
//! Does not know kinds or paths of its own.

use serde_json::{Map, Value, json};

use super::definitions::PREFIX;

/// The whole document.
pub(super) fn document(
    info: &Value,
    paths: &Map<String, Value>,
    schemas: &Map<String, Value>,
) -> Value {
    let definitions: Map<String, Value> = schemas
        .iter()
        .map(|(name, s)| (name.clone(), definition(name, s)))
        .collect();
    let paths: Map<String, Value> = paths
        .iter()
        .map(|(path, item)| (path.clone(), path_item(item)))
        .collect();
    json!({"swagger": "2.0", "info": info, "paths": paths, "definitions": definitions})
}

fn definition(name: &str, schema: &Value) -> Value {
    let described = |shape: Value| {
        let mut shape = shape;
        shape["description"] = schema.get("description").cloned().unwrap_or_default();
        shape
    };
    match name.rsplit('.').next() {
        Some("Quantity") => described(json!({"type": "string"})),
        Some("IntOrString") => described(json!({"type": "string", "format": "int-or-string"})),
        _ => older(schema),
    }
}

/// One schema in the older language.
fn older(schema: &Value) -> Value {
    let Some(source) = schema.as_object() else {
        return json!({});
    };
    if let Some(reference) = source
        .get("allOf")
        .and_then(|all| all.pointer("/0/$ref"))
        .or_else(|| source.get("$ref"))
    {
        let mut out = Map::new();
        let name = reference
            .as_str()
            .unwrap_or_default()
            .trim_start_matches(PREFIX);
        out.insert("$ref".into(), format!("#/definitions/{name}").into());
        for key in [
            "description",
            "x-kubernetes-patch-strategy",
            "x-kubernetes-patch-merge-key",
        ] {
            out.extend(source.get(key).map(|v| (key.to_owned(), v.clone())));
        }
        return Value::Object(out);
    }
    let is = |key: &str| source.get(key).and_then(Value::as_bool) == Some(true);
    // Older clients check strictly what is typed: what may be several things is not typed.
    let open = is("x-kubernetes-preserve-unknown-fields")
        || is("x-kubernetes-int-or-string")
        || is("nullable")
        || is("x-kubernetes-embedded-resource");
    let mut out = Map::new();
    for (key, value) in source {
        let kept = match key.as_str() {
            "oneOf"
            | "anyOf"
            | "allOf"
            | "not"
            | "nullable"
            | "default"
            | "x-kubernetes-validations" => None,
            "type" | "items" | "properties" | "required" | "additionalProperties" | "format"
                if open =>
            {
                None
            }
            "properties" => {
                let properties = value.as_object().into_iter().flatten();
                Some(Value::Object(
                    properties
                        .map(|(name, s)| (name.clone(), older(s)))
                        .collect(),
                ))
            }
            "items" => Some(older(value)),
            "additionalProperties" if value.is_object() => Some(older(value)),
            _ => Some(value.clone()),
        };
        out.extend(kept.map(|value| (key.clone(), value)));
    }
    Value::Object(out)
}

fn path_item(item: &Value) -> Value {
    let members = item.as_object().into_iter().flatten();
    let each = members.map(|(key, value)| match key.as_str() {
        "parameters" => (key.clone(), Value::Array(parameters(value))),
        _ => (key.clone(), operation(value)),
    });
    Value::Object(each.collect())
}

fn parameters(list: &Value) -> Vec<Value> {
    let each = list.as_array().into_iter().flatten().map(|parameter| {
        let mut out = parameter.clone();
        if let Some(members) = out.as_object_mut() {
            members.remove("schema");
        }
        out["type"] = parameter
            .pointer("/schema/type")
            .cloned()
            .unwrap_or_else(|| "string".into());
        out["uniqueItems"] = true.into();
        out
    });
    each.collect()
}

fn operation(source: &Value) -> Value {
    let mut out = source.clone();
    let mut all = Vec::new();
    if let Some(content) = source
        .pointer("/requestBody/content")
        .and_then(Value::as_object)
    {
        out["consumes"] = content.keys().cloned().collect::<Vec<_>>().into();
        let schema = content
            .values()
            .next()
            .and_then(|c| c.get("schema"))
            .map(older)
            .unwrap_or_default();
        all.push(json!({"name": "body", "in": "body", "required": true, "schema": schema}));
    }
    all.extend(parameters(source.get("parameters").unwrap_or(&Value::Null)));
    out["parameters"] = all.into();
    out["produces"] = json!(["application/json", "application/yaml"]);
    let answer = source
        .pointer("/responses/200/content/application~1json/schema")
        .map(older)
        .unwrap_or_default();
    out["responses"] = json!({"200": {"description": "OK", "schema": answer}});
    if let Some(members) = out.as_object_mut() {
        members.remove("requestBody");
    }
    out
}
