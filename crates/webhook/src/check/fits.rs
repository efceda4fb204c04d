//! Says whether an object fits a schema, as far as the snapshot definitions go: types, required fields, values.
//!
//! The rules (CEL) of the definitions that look at one object alone are judged in `tintype_core::validation`.

use serde_json::Value;
use tintype_api::quantity;

/// What does not fit, each with its path, value and what is wanted.
pub(super) fn misfits(object: &Value, schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk("", object, schema, &mut found);
    found
}

fn walk(path: &str, value: &Value, schema: &Value, found: &mut Vec<String>) {
    let below = |name: &str| {
        if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    if let Some(wanted) = misfit(value, schema) {
        found.push(format!("{path}: {value}: must be {wanted}"));
        return;
    }
    if let Some(fields) = value.as_object() {
        for name in schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            if fields.get(name).is_none_or(Value::is_null) {
                found.push(format!("{}: not set: is required", below(name)));
            }
        }
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
            // Unknown fields are dropped by a server, not refused.
            let schema = schema["properties"]
                .get(name)
                .or(schema.get("additionalProperties"));
            if let Some(schema) = schema.filter(|it| it.is_object()) {
                walk(&below(name), value, schema, found);
            }
        }
    }
    for (at, value) in value.as_array().into_iter().flatten().enumerate() {
        walk(&format!("{path}[{at}]"), value, &schema["items"], found);
    }
}

/// What the value by itself should be and is not.
fn misfit(value: &Value, schema: &Value) -> Option<String> {
    if schema["x-kubernetes-int-or-string"] == true {
        let fits = value.is_i64() || value.as_str().is_some_and(|it| quantity::parse(it).is_ok());
        return (!fits).then(|| "a quantity, such as 1Gi".to_owned());
    }
    let fits = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        _ => true,
    };
    if !fits {
        return schema["type"].as_str().map(|it| format!("of type {it}"));
    }
    if schema["format"] == "date-time" {
        let time = value
            .as_str()
            .and_then(|it| it.parse::<jiff::Timestamp>().ok());
        return time
            .is_none()
            .then(|| "a time, such as 2026-01-31T12:00:00Z".to_owned());
    }
    if let Some(values) = schema["enum"].as_array() {
        let all: Vec<String> = values.iter().map(Value::to_string).collect();
        return (!values.contains(value)).then(|| format!("one of {}", all.join(", ")));
    }
    let least = schema["minimum"].as_i64()?;
    (value.as_i64()? < least).then(|| format!("at least {least}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(kind: &str, version: &str) -> Value {
        let all = tintype_api::crds().unwrap();
        let definition = all
            .into_iter()
            .find(|it| it["spec"]["names"]["kind"] == kind)
            .unwrap();
        let versions = definition["spec"]["versions"].as_array().unwrap().clone();
        let version = versions
            .into_iter()
            .find(|it| it["name"] == version)
            .unwrap();
        version["schema"]["openAPIV3Schema"].clone()
    }

    #[test]
    fn what_does_not_fit_is_named_with_what_is_wanted() {
        let schema = schema("VolumeSnapshotContent", "v1");
        let good = json!({"metadata": {"anything": 1}, "unknown": true, "spec": {"driver": "d", "deletionPolicy": "Delete",
            "source": {"volumeHandle": "v"}, "volumeSnapshotRef": {"name": "s"}, "sourceVolumeMode": null},
            "status": {"restoreSize": 0, "readyToUse": false}});
        assert_eq!(misfits(&good, &schema), [""; 0]);
        let mut bad = good;
        bad["spec"]["deletionPolicy"] = "Maybe".into();
        bad["spec"].as_object_mut().unwrap().remove("driver");
        bad["status"] = json!({"restoreSize": -1, "readyToUse": "yes", "error": {"time": "yesterday"}, "creationTime": "x"});
        assert_eq!(
            misfits(&bad, &schema),
            [
                "spec.driver: not set: is required",
                "spec.deletionPolicy: \"Maybe\": must be one of \"Delete\", \"Retain\"",
                "status.creationTime: \"x\": must be of type integer",
                "status.error.time: \"yesterday\": must be a time, such as 2026-01-31T12:00:00Z",
                "status.readyToUse: \"yes\": must be of type boolean",
                "status.restoreSize: -1: must be at least 0",
            ]
        );
    }

    #[test]
    fn sizes_and_lists_are_looked_into() {
        let snapshot = schema("VolumeSnapshot", "v1");
        for (size, fits) in [
            (json!("1Gi"), true),
            (json!(7), true),
            (json!("big"), false),
            (json!(true), false),
        ] {
            let object = json!({"spec": {"source": {}}, "status": {"restoreSize": size}});
            assert_eq!(misfits(&object, &snapshot).is_empty(), fits, "{object}");
        }
        let group = schema("VolumeGroupSnapshotContent", "v1");
        let object = json!({"spec": {"driver": "d", "deletionPolicy": "Retain", "source": {"volumeHandles": ["a", 7]},
            "volumeGroupSnapshotRef": {}}});
        assert_eq!(
            misfits(&object, &group),
            ["spec.source.volumeHandles[1]: 7: must be of type string"]
        );
    }
}
