//! Holds the definitions in `deploy/crds/` and the types together, and both to the contract.
//!
//! Upstream's definitions are pinned here by their columns, rules and fields, not by their prose.

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Write as _;

    use kube_core::Resource;
    use serde::{Serialize, de::DeserializeOwned};
    use serde_json::{Map, Value, json};
    use tintype_api::{
        VolumeGroupSnapshot, VolumeGroupSnapshotClass, VolumeGroupSnapshotContent, VolumeSnapshot,
        VolumeSnapshotClass, VolumeSnapshotContent, crds,
    };

    fn definition(plural: &str) -> Value {
        let mut all = crds().unwrap();
        let at = all
            .iter()
            .position(|it| it["spec"]["names"]["plural"] == plural)
            .unwrap();
        all.swap_remove(at)
    }

    fn schema<'a>(definition: &'a Value, version: &str) -> &'a Value {
        let versions = definition["spec"]["versions"].as_array().unwrap();
        let found = versions.iter().find(|it| it["name"] == version).unwrap();
        &found["schema"]["openAPIV3Schema"]
    }

    /// A document with every field of a schema set, none to its empty value.
    fn full(schema: &Value) -> Value {
        if let Some(values) = schema["enum"].as_array() {
            return values[0].clone();
        }
        match (schema["type"].as_str().unwrap(), schema["format"].as_str()) {
            ("string", Some("date-time")) => json!("2026-11-21T06:28:05Z"),
            ("string", _) if schema["x-kubernetes-int-or-string"] == true => json!("1536Mi"),
            ("string", _) => json!("text"),
            ("integer", _) => json!(1_700_000_000_000_000_000_i64),
            ("boolean", _) => json!(true),
            ("array", _) => json!([full(&schema["items"])]),
            ("object", _) => match schema.get("additionalProperties") {
                Some(values) => json!({"key": full(values)}),
                None => properties(schema)
                    .map(|(name, it)| (name.clone(), full(it)))
                    .collect(),
            },
            other => panic!("no sample for {other:?}"),
        }
    }

    fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
        schema["properties"].as_object().into_iter().flatten()
    }

    /// Of a list whose elements have fields, the first element's.
    fn element(schema: &Value) -> Option<&Value> {
        schema.get("items").filter(|it| it["type"] == "object")
    }

    fn full_of<K: Resource<DynamicType = ()>>(schema: &Value) -> Value {
        let mut document = full(schema);
        document["apiVersion"] = K::api_version(&()).into();
        document["kind"] = K::kind(&()).into();
        document["metadata"] = json!({"name": "full", "resourceVersion": "7"});
        document
    }

    fn agree<K>(scope: &str)
    where
        K: Resource<DynamicType = ()> + DeserializeOwned + Serialize,
    {
        let definition = definition(&K::plural(&()));
        let spec = &definition["spec"];
        assert_eq!(spec["names"]["kind"], *K::kind(&()));
        assert_eq!(spec["group"], *K::group(&()));
        assert_eq!(spec["scope"], scope);
        let schema = schema(&definition, &K::version(&()));
        let document = full_of::<K>(schema);
        // Every field of the file comes back from the type; the type adds none.
        let typed: K = serde_json::from_value(document.clone()).unwrap();
        assert_eq!(serde_json::to_value(&typed).unwrap(), document);
        lenient::<K>(&document, schema);
    }

    /// Drops, nulls and adds fields one by one: none of it makes an object unreadable.
    fn lenient<K: DeserializeOwned + Serialize>(document: &Value, schema: &Value) {
        let read = |document: &Value| serde_json::from_value::<K>(document.clone()).unwrap();
        for path in paths(schema, "") {
            if path.ends_with("/0") {
                continue; // An element, not a field.
            }
            let (parent, field) = path.rsplit_once('/').unwrap();
            let mut absent = document.clone();
            let mut null = document.clone();
            let mut unknown = document.clone();
            fields(&mut absent, parent).remove(field).unwrap();
            fields(&mut null, parent).insert(field.to_owned(), Value::Null);
            fields(&mut unknown, parent).insert("fieldOfTomorrow".to_owned(), json!([1]));
            let values = [read(&null), read(&absent)].map(|it| serde_json::to_value(it).unwrap());
            assert_eq!(values[0], values[1], "null and absent differ at {path}");
            assert_eq!(
                serde_json::to_value(read(&unknown)).unwrap(),
                *document,
                "{path}"
            );
        }
        read(&json!({}));
    }

    fn fields<'a>(document: &'a mut Value, path: &str) -> &'a mut Map<String, Value> {
        document
            .pointer_mut(path)
            .and_then(Value::as_object_mut)
            .unwrap()
    }

    fn paths(schema: &Value, prefix: &str) -> Vec<String> {
        let of_element = element(schema).map(|it| paths(it, &format!("{prefix}/0")));
        properties(schema)
            .flat_map(|(name, it)| {
                let path = format!("{prefix}/{name}");
                let mut below = paths(it, &path);
                below.push(path);
                below
            })
            .chain(of_element.into_iter().flatten())
            .collect()
    }

    #[test]
    fn snapshots_have_exactly_the_fields_of_their_definition() {
        agree::<VolumeSnapshot>("Namespaced");
    }

    #[test]
    fn contents_have_exactly_the_fields_of_their_definition() {
        agree::<VolumeSnapshotContent>("Cluster");
    }

    #[test]
    fn classes_have_exactly_the_fields_of_their_definition() {
        agree::<VolumeSnapshotClass>("Cluster");
    }

    #[test]
    fn group_kinds_have_exactly_the_fields_of_their_definitions() {
        agree::<VolumeGroupSnapshot>("Namespaced");
        agree::<VolumeGroupSnapshotContent>("Cluster");
        agree::<VolumeGroupSnapshotClass>("Cluster");
    }

    /// What was written in an older version can be read, and no field of it is lost.
    #[test]
    fn group_kinds_are_read_from_every_version() {
        fn reads<K>()
        where
            K: Resource<DynamicType = ()> + DeserializeOwned + Serialize,
        {
            let definition = definition(&K::plural(&()));
            let versions = definition["spec"]["versions"].as_array().unwrap();
            let names: Vec<_> = versions
                .iter()
                .map(|it| it["name"].as_str().unwrap())
                .collect();
            for version in tintype_api::GROUP_VERSIONS {
                assert!(names.contains(&version), "{version} in {names:?}");
                let document = full_of::<K>(schema(&definition, version));
                let typed: K = serde_json::from_value(document.clone()).unwrap();
                assert_eq!(serde_json::to_value(&typed).unwrap(), document, "{version}");
            }
            let stored = versions.iter().find(|it| it["storage"] == true).unwrap();
            assert_eq!(stored["name"], tintype_api::GROUP_STORED_VERSION);
            assert_eq!(definition["spec"].get("conversion"), None);
        }
        reads::<VolumeGroupSnapshot>();
        reads::<VolumeGroupSnapshotContent>();
        reads::<VolumeGroupSnapshotClass>();
    }

    #[test]
    fn what_is_not_set_is_not_written() {
        let bare = json!({"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
            "metadata": {}, "spec": {"source": {}}});
        assert_eq!(
            serde_json::to_value(VolumeSnapshot::default()).unwrap(),
            bare
        );
    }

    #[test]
    fn the_paths_of_the_server_are_those_of_upstream() {
        let snapshots = VolumeSnapshot::url_path(&(), Some("db"));
        assert_eq!(
            snapshots,
            "/apis/snapshot.storage.k8s.io/v1/namespaces/db/volumesnapshots"
        );
        let contents = VolumeSnapshotContent::url_path(&(), None);
        assert_eq!(
            contents,
            "/apis/snapshot.storage.k8s.io/v1/volumesnapshotcontents"
        );
    }

    /// One line per thing that a server acts on: names, columns, required fields, rules.
    fn outline(definition: &Value) -> String {
        let mut out = String::new();
        let spec = &definition["spec"];
        let names = &spec["names"];
        writeln!(
            out,
            "{} {} {}",
            names["listKind"], names["singular"], names["shortNames"]
        )
        .unwrap();
        let annotations: BTreeMap<String, String> =
            serde_json::from_value(definition["metadata"]["annotations"].clone()).unwrap();
        for (key, value) in annotations {
            writeln!(out, "{key}: {value}").unwrap();
        }
        for version in spec["versions"].as_array().unwrap() {
            let flags = [
                "served",
                "storage",
                "deprecated",
                "deprecationWarning",
                "subresources",
            ];
            let flags = flags.map(|it| version[it].to_string()).join(" ");
            writeln!(out, "{}: {flags}", version["name"]).unwrap();
            for column in version["additionalPrinterColumns"].as_array().unwrap() {
                let cells = ["name", "type", "jsonPath"].map(|it| column[it].as_str().unwrap());
                writeln!(out, "  | {}", cells.join(" | ")).unwrap();
            }
            outline_of_schema(&mut out, "", &version["schema"]["openAPIV3Schema"]);
        }
        out.replace('"', "")
    }

    fn outline_of_schema(out: &mut String, path: &str, schema: &Value) {
        let mut keywords: Vec<(&String, String)> = schema
            .as_object()
            .unwrap()
            .iter()
            .filter(|(key, _)| !["description", "properties", "items"].contains(&key.as_str()))
            .filter(|(key, _)| *key != "x-kubernetes-validations")
            .map(|(key, value)| {
                (
                    key,
                    format!("{}={value}", key.trim_start_matches("x-kubernetes-")),
                )
            })
            .collect();
        keywords.sort();
        let keywords: Vec<String> = keywords.into_iter().map(|(_, text)| text).collect();
        writeln!(out, "  {path} {}", keywords.join(" ")).unwrap();
        for rule in schema["x-kubernetes-validations"]
            .as_array()
            .into_iter()
            .flatten()
        {
            writeln!(out, "    {} -> {}", rule["rule"], rule["message"]).unwrap();
        }
        let below: BTreeMap<&String, &Value> = properties(schema).collect();
        for (name, schema) in below {
            outline_of_schema(out, &format!("{path}.{name}"), schema);
        }
        if let Some(element) = schema.get("items") {
            outline_of_schema(out, &format!("{path}[]"), element);
        }
    }

    fn check(plural: &str, expected: &str) {
        let ours = outline(&definition(plural));
        let difference = ours
            .lines()
            .zip(expected.lines())
            .find(|(ours, expected)| ours != expected);
        assert_eq!(difference, None, "first difference (ours, expected)");
        assert_eq!(ours.lines().count(), expected.lines().count());
    }

    #[test]
    fn definitions_say_what_upstream_says() {
        check(
            "volumesnapshots",
            include_str!("definitions/volumesnapshots.txt"),
        );
        check(
            "volumesnapshotcontents",
            include_str!("definitions/volumesnapshotcontents.txt"),
        );
        check(
            "volumesnapshotclasses",
            include_str!("definitions/volumesnapshotclasses.txt"),
        );
        check(
            "volumegroupsnapshots",
            include_str!("definitions/volumegroupsnapshots.txt"),
        );
        check(
            "volumegroupsnapshotcontents",
            include_str!("definitions/volumegroupsnapshotcontents.txt"),
        );
        check(
            "volumegroupsnapshotclasses",
            include_str!("definitions/volumegroupsnapshotclasses.txt"),
        );
    }

    #[test]
    fn every_field_and_column_is_described() {
        for definition in crds().unwrap() {
            for version in definition["spec"]["versions"].as_array().unwrap() {
                for column in version["additionalPrinterColumns"].as_array().unwrap() {
                    assert!(column["description"].is_string(), "{column}");
                }
                described("", &version["schema"]["openAPIV3Schema"]);
            }
        }
    }

    fn described(path: &str, schema: &Value) {
        assert!(
            schema["description"].is_string(),
            "{path} has no description"
        );
        properties(schema).for_each(|(name, it)| described(&format!("{path}.{name}"), it));
        if let Some(it) = schema.get("items") {
            described(&format!("{path}[]"), it);
        }
    }

    /// Fails if a document has a field its definition does not know, or lacks a required one.
    fn fits(path: &str, document: &Value, schema: &Value) {
        let Some(fields) = document
            .as_object()
            .filter(|_| schema["properties"].is_object())
        else {
            return;
        };
        for name in schema["required"].as_array().into_iter().flatten() {
            assert!(
                fields.contains_key(name.as_str().unwrap()),
                "{path} lacks {name}"
            );
        }
        for (name, value) in fields {
            let below = &schema["properties"][name];
            assert!(below.is_object(), "{path}.{name} is not in the definition");
            fits(&format!("{path}.{name}"), value, below);
        }
    }

    #[test]
    fn examples_fit_the_definitions() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|it| it != "yaml") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for document in serde_yaml_ng::Deserializer::from_str(&text) {
                let document: Value = serde::Deserialize::deserialize(document).unwrap();
                let kind = document["kind"].as_str().unwrap();
                if document["apiVersion"] != tintype_api::API_VERSION {
                    continue;
                }
                let plural = kind.to_lowercase() + if kind.ends_with("Class") { "es" } else { "s" };
                fits(
                    kind,
                    &document,
                    schema(&definition(&plural), tintype_api::VERSION),
                );
                seen += 1;
            }
        }
        assert_eq!(seen, 4);
    }
}
