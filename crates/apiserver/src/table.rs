//! Prints objects as the rows that `kubectl get` shows.
//!
//! Does not know the time: the caller says what "now" is.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::builtin::Builtin;

mod age;
mod columns;
mod jsonpath;
mod more;
mod pods;

pub(crate) use self::age::since;
use self::columns::Column;

/// Whose columns.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TableOf<'a> {
    Builtin(&'static Builtin),
    /// The `additionalPrinterColumns` of a CRD version; none at all shows the age.
    Custom(&'a [Value]),
}

/// How much of each object comes with its row: `includeObject`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Include {
    Object,
    Metadata,
    None,
}

const NAME: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";

/// A `meta.k8s.io/v1` Table of objects; `list_meta` is the metadata of the list, or of the one object.
pub(crate) fn table(
    of: TableOf<'_>,
    objects: &[&Value],
    include: Include,
    list_meta: &Value,
    now: Timestamp,
) -> Value {
    let (definitions, cells): (Vec<Value>, Vec<Vec<Value>>) = match of {
        TableOf::Builtin(builtin) => {
            let columns = columns::of(builtin);
            let rows = objects
                .iter()
                .map(|o| columns.iter().map(|c| (c.cell)(o, now)).collect());
            (
                columns.iter().map(Column::definition).collect(),
                rows.collect(),
            )
        }
        TableOf::Custom(columns) => {
            let age =
                [json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"})];
            let columns = if columns.is_empty() {
                age.as_slice()
            } else {
                columns
            };
            let paths: Vec<jsonpath::Path> = columns
                .iter()
                .map(|c| jsonpath::parse(text(c, "jsonPath")))
                .collect();
            let row = |object: &&Value| {
                let name = object
                    .pointer("/metadata/name")
                    .cloned()
                    .unwrap_or_default();
                let rest = columns
                    .iter()
                    .zip(&paths)
                    .map(|(c, p)| custom_cell(text(c, "type"), p, object, now));
                std::iter::once(name).chain(rest).collect()
            };
            let mut definitions = vec![definition("Name", "string", "name", NAME, 0)];
            definitions.extend(columns.iter().map(custom_definition));
            (definitions, objects.iter().map(row).collect())
        }
    };
    let rows: Vec<Value> = objects
        .iter()
        .zip(cells)
        .map(|(object, cells)| row(object, cells, include))
        .collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": list_meta,
        "columnDefinitions": definitions,
        "rows": rows,
    })
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn definition(name: &str, kind: &str, format: &str, description: &str, priority: i64) -> Value {
    json!({"name": name, "type": kind, "format": format, "description": description, "priority": priority})
}

fn custom_definition(column: &Value) -> Value {
    let described = match text(column, "description") {
        "" => format!(
            "Custom resource definition column (in JSONPath format): {}",
            text(column, "jsonPath")
        ),
        given => given.to_owned(),
    };
    let priority = column
        .get("priority")
        .and_then(Value::as_i64)
        .unwrap_or_default();
    definition(
        text(column, "name"),
        text(column, "type"),
        text(column, "format"),
        &described,
        priority,
    )
}

fn custom_cell(kind: &str, path: &jsonpath::Path, object: &Value, now: Timestamp) -> Value {
    let found = jsonpath::find(path, object);
    let Some(first) = found.first().filter(|v| !v.is_null()) else {
        return Value::Null;
    };
    match (kind, *first) {
        ("string", _) => {
            let each = found
                .iter()
                .map(|v| v.as_str().map_or_else(|| v.to_string(), Into::into));
            Value::String(each.collect::<Vec<String>>().join(" "))
        }
        ("integer", Value::Number(n)) => {
            #[expect(clippy::cast_possible_truncation, reason = "Go truncates here too")]
            let whole = n.as_i64().or_else(|| n.as_f64().map(|f| f as i64));
            whole.map_or(Value::Null, Value::from)
        }
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => (*first).clone(),
        ("date", Value::String(at)) => match at.parse::<Timestamp>() {
            Ok(at) => since(at, now).into(),
            Err(_) => "<invalid>".into(),
        },
        _ => Value::Null,
    }
}

fn row(object: &Value, cells: Vec<Value>, include: Include) -> Value {
    let mut row = Map::new();
    row.insert("cells".into(), Value::Array(cells));
    let shown = match include {
        Include::Object => Some(object.clone()),
        Include::Metadata => Some(json!({
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": object.get("metadata").cloned().unwrap_or_default(),
        })),
        Include::None => None,
    };
    if let Some(shown) = shown {
        row.insert("object".into(), shown);
    }
    Value::Object(row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::builtins;

    fn now() -> Timestamp {
        "2024-01-01T01:00:00Z".parse().unwrap()
    }

    fn cells(of: TableOf<'_>, object: &Value) -> Value {
        let table = table(of, &[object], Include::Metadata, &json!({}), now());
        let columns = table["columnDefinitions"].as_array().unwrap();
        assert_eq!(
            table["rows"][0]["cells"].as_array().unwrap().len(),
            columns.len()
        );
        table["rows"][0]["cells"].clone()
    }

    #[test]
    fn custom_columns_follow_their_paths() {
        let columns = [
            json!({"name": "Size", "type": "integer", "jsonPath": ".spec.size"}),
            json!({"name": "Ready", "type": "boolean", "jsonPath": ".status.ready"}),
            json!({"name": "Cond", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}),
            json!({"name": "When", "type": "date", "jsonPath": ".status.when"}),
            json!({"name": "Note", "type": "string", "jsonPath": ".spec.note", "priority": 1}),
        ];
        let object = json!({"metadata": {"name": "a"}, "spec": {"size": 3, "note": {"x": 1}}, "status": {
            "ready": true, "when": "2024-01-01T00:59:55Z", "conditions": [{"type": "Other", "status": "False"}, {"type": "Ready", "status": "True"}]}});
        assert_eq!(
            cells(TableOf::Custom(&columns), &object),
            json!(["a", 3, true, "True", "5s", "{\"x\":1}"])
        );
        assert_eq!(
            cells(
                TableOf::Custom(&columns),
                &json!({"metadata": {"name": "b"}})
            ),
            json!(["b", null, null, null, null, null])
        );
        let dated = json!({"metadata": {"name": "c", "creationTimestamp": "2024-01-01T00:00:00Z"}});
        assert_eq!(cells(TableOf::Custom(&[]), &dated), json!(["c", "60m"]));
    }

    #[test]
    fn rows_carry_what_is_asked_for() {
        let object = json!({"kind": "X", "metadata": {"name": "a"}, "spec": {}});
        let row = |include| {
            table(
                TableOf::Custom(&[]),
                &[&object],
                include,
                &json!({"resourceVersion": "5"}),
                now(),
            )["rows"][0]
                .clone()
        };
        assert_eq!(row(Include::Object)["object"], object);
        assert_eq!(
            row(Include::Metadata)["object"],
            json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "a"}})
        );
        assert!(row(Include::None).get("object").is_none());
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn built_in_kinds_print_as_kubectl_users_know_them() {
        let created = "2024-01-01T00:00:00Z";
        let meta = |name: &str| json!({"name": name, "creationTimestamp": created});
        let cases = [
            (
                "Namespace",
                json!({"metadata": meta("a"), "status": {"phase": "Active"}}),
                json!(["a", "Active", "60m"]),
            ),
            (
                "PersistentVolumeClaim",
                json!({"metadata": meta("c"), "spec": {"volumeName": "v", "storageClassName": "s", "volumeMode": "Block"}, "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce", "ReadOnlyMany"]}}),
                json!([
                    "c", "Bound", "v", "1Gi", "RWO,ROX", "s", "<unset>", "60m", "Block"
                ]),
            ),
            (
                "PersistentVolumeClaim",
                json!({"metadata": meta("c"), "spec": {}, "status": {"phase": "Pending"}}),
                json!(["c", "Pending", "", "", "", "", "<unset>", "60m", "<unset>"]),
            ),
            (
                "PersistentVolume",
                json!({"metadata": meta("v"), "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOncePod"], "persistentVolumeReclaimPolicy": "Delete", "claimRef": {"namespace": "n", "name": "c"}, "storageClassName": "s", "volumeMode": "Filesystem"}, "status": {"phase": "Bound"}}),
                json!([
                    "v",
                    "1Gi",
                    "RWOP",
                    "Delete",
                    "Bound",
                    "n/c",
                    "s",
                    "<unset>",
                    "",
                    "60m",
                    "Filesystem"
                ]),
            ),
            (
                "StorageClass",
                json!({"metadata": {"name": "s", "creationTimestamp": created, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}, "provisioner": "p", "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate", "allowVolumeExpansion": true}),
                json!(["s (default)", "p", "Delete", "Immediate", true, "60m"]),
            ),
            (
                "Secret",
                json!({"metadata": meta("s"), "type": "Opaque", "data": {"a": ""}}),
                json!(["s", "Opaque", 1, "60m"]),
            ),
            (
                "ConfigMap",
                json!({"metadata": meta("m"), "data": {"a": ""}, "binaryData": {"b": ""}}),
                json!(["m", 2, "60m"]),
            ),
            (
                "Lease",
                json!({"metadata": meta("l"), "spec": {"holderIdentity": "me"}}),
                json!(["l", "me", "60m"]),
            ),
            (
                "Role",
                json!({"metadata": meta("r")}),
                json!(["r", created]),
            ),
            (
                "RoleBinding",
                json!({"metadata": meta("r"), "roleRef": {"kind": "Role", "name": "x"}, "subjects": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "namespace": "n", "name": "s"}]}),
                json!(["r", "Role/x", "60m", "u", "", "n/s"]),
            ),
            (
                "CustomResourceDefinition",
                json!({"metadata": meta("x.y")}),
                json!(["x.y", created]),
            ),
            (
                "Deployment",
                json!({"metadata": meta("d"), "spec": {"replicas": 2, "selector": {"matchLabels": {"a": "b"}}, "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}, "status": {"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1}}),
                json!(["d", "1/2", 2, 1, "60m", "c", "i", "a=b"]),
            ),
            (
                "StatefulSet",
                json!({"metadata": meta("d"), "spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}}),
                json!(["d", "0/2", "60m", "c", "i"]),
            ),
            (
                "Event",
                json!({"metadata": meta("e"), "type": "Normal", "reason": "R", "message": " m\n", "count": 2, "lastTimestamp": "2024-01-01T00:59:00Z", "firstTimestamp": created, "involvedObject": {"kind": "Pod", "name": "p"}, "source": {"component": "x"}}),
                json!(["60s", "Normal", "R", "pod/p", "", "x", "m", "60m", 2, "e"]),
            ),
            (
                "Pod",
                json!({"metadata": meta("p"), "spec": {"nodeName": "n", "containers": [{"name": "a"}]}, "status": {"phase": "Running", "podIP": "10.0.0.1", "containerStatuses": [{"name": "a", "ready": true, "restartCount": 1, "state": {"running": {}}}]}}),
                json!([
                    "p", "1/1", "Running", "1", "60m", "10.0.0.1", "n", "<none>", "<none>"
                ]),
            ),
            (
                "CSIDriver",
                json!({"metadata": meta("d"), "spec": {"attachRequired": false, "podInfoOnMount": true, "storageCapacity": false, "volumeLifecycleModes": ["Persistent"]}}),
                json!([
                    "d",
                    false,
                    true,
                    false,
                    "<unset>",
                    false,
                    "Persistent",
                    "60m"
                ]),
            ),
            (
                "VolumeAttachment",
                json!({"metadata": meta("a"), "spec": {"attacher": "x", "nodeName": "n", "source": {"persistentVolumeName": "v"}}, "status": {"attached": true}}),
                json!(["a", "x", "v", "n", true, "60m"]),
            ),
            (
                "Node",
                json!({"metadata": {"name": "n", "creationTimestamp": created, "labels": {"node-role.kubernetes.io/worker": ""}}, "status": {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1", "osImage": "o", "kernelVersion": "k", "containerRuntimeVersion": "r"}, "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}}),
                json!([
                    "n",
                    "Ready",
                    "worker",
                    "60m",
                    "v1",
                    "127.0.0.1",
                    "<none>",
                    "o",
                    "k",
                    "r"
                ]),
            ),
        ];
        for (kind, object, expect) in cases {
            let builtin = builtins().iter().find(|b| b.kind == kind).unwrap();
            assert_eq!(cells(TableOf::Builtin(builtin), &object), expect, "{kind}");
        }
    }

    #[test]
    fn an_empty_object_of_any_kind_has_a_row() {
        for builtin in builtins() {
            let row = cells(
                TableOf::Builtin(builtin),
                &json!({"metadata": {"name": "x"}}),
            );
            assert!(
                row.as_array().is_some_and(|r| r.len() > 1),
                "{}",
                builtin.kind
            );
        }
    }
}
