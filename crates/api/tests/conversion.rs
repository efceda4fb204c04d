//! Converts arbitrary group objects from each version to each other and back: nothing is lost on the way.
//!
//! Objects are what a server may hand over: of any fields, known or not, but without the field that only the other
//! version has, which a server prunes.

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};
    use tintype_api::conversion::{ConversionError, convert};
    use tintype_api::keys::{ANNOTATION_GROUP_DISPLACED, ANNOTATION_GROUP_INFO_LIST};
    use tintype_api::{GROUP_OF_GROUPS, GROUP_VERSIONS};

    const KINDS: [&str; 3] = [
        "VolumeGroupSnapshot",
        "VolumeGroupSnapshotContent",
        "VolumeGroupSnapshotClass",
    ];

    fn of(version: &str) -> String {
        format!("{GROUP_OF_GROUPS}/{version}")
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-zA-Z0-9/ \"\\\\é]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..4).prop_map(Value::from),
                fields(inner, 4).prop_map(Value::Object),
            ]
        })
    }

    /// Fields no version knows: they all begin with `x`.
    fn fields(
        value: impl Strategy<Value = Value>,
        most: usize,
    ) -> impl Strategy<Value = Map<String, Value>> {
        btree_map("x[a-z]{0,6}", value, 0..most).prop_map(|it| it.into_iter().collect())
    }

    fn with(mut object: Map<String, Value>, more: Vec<(&str, Option<Value>)>) -> Value {
        for (field, value) in more {
            if let Some(value) = value {
                object.insert(field.to_owned(), value);
            }
        }
        Value::Object(object)
    }

    /// What some clients write where others leave a field out.
    fn or_null(value: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Value> {
        prop_oneof![9 => value, 1 => Just(Value::Null)].boxed()
    }

    /// A member, complete in `v1beta1` if `pairs`, else with any of its fields missing or null.
    fn member(pairs: bool) -> BoxedStrategy<Value> {
        let handle = move || {
            let it = "[a-c]{1,2}".prop_map(Value::from);
            if pairs {
                it.prop_map(Some).boxed()
            } else {
                prop::option::weighted(0.9, or_null(it)).boxed()
            }
        };
        let other = move |it: BoxedStrategy<Value>| {
            if pairs {
                Just(None).boxed()
            } else {
                prop::option::weighted(0.7, or_null(it)).boxed()
            }
        };
        (
            fields(any_json(), 2),
            handle(),
            handle(),
            other(any::<i64>().prop_map(Value::from).boxed()),
            other(any::<bool>().prop_map(Value::from).boxed()),
            other(any::<i64>().prop_map(Value::from).boxed()),
        )
            .prop_map(|(more, volume, snapshot, time, ready, size)| {
                let known = vec![
                    ("volumeHandle", volume),
                    ("snapshotHandle", snapshot),
                    ("creationTime", time),
                    ("readyToUse", ready),
                    ("restoreSize", size),
                ];
                with(more, known)
            })
            .boxed()
    }

    fn object() -> impl Strategy<Value = (Value, &'static str)> {
        (0..3_usize, 0..3_usize).prop_flat_map(|(kind, version)| {
            let version = GROUP_VERSIONS[version];
            let pairs = version == "v1beta1";
            let list = if pairs {
                "volumeSnapshotHandlePairList"
            } else {
                "volumeSnapshotInfoList"
            };
            let status = (
                fields(any_json(), 3),
                prop::option::of(or_null(vec(member(pairs), 0..5).prop_map(Value::from))),
            )
                .prop_map(move |(more, members)| with(more, vec![(list, members)]));
            let key = prop_oneof!["x[a-z]{1,5}", Just(ANNOTATION_GROUP_INFO_LIST.to_owned())];
            // In the old version the annotation is the conversion's own.
            let annotations =
                btree_map(key, "[a-z\\[\\]{}\"]{0,8}", 1..3).prop_map(move |mut it| {
                    if pairs {
                        it.remove(ANNOTATION_GROUP_INFO_LIST);
                    }
                    (!it.is_empty()).then(|| json!(it))
                });
            let metadata = (fields(any_json(), 3), annotations)
                .prop_map(|(more, annotations)| with(more, vec![("annotations", annotations)]));
            let status = prop::option::of(or_null(status));
            (fields(any_json(), 4), metadata, status).prop_map(move |(more, metadata, status)| {
                let known = vec![
                    ("apiVersion", Some(of(version).into())),
                    ("kind", Some(KINDS[kind].into())),
                    ("metadata", Some(metadata)),
                    ("status", status),
                ];
                (with(more, known), version)
            })
        })
    }

    /// What a server of `v1beta1` drops: every field of a member but its handles.
    fn pruned(mut object: Value) -> Value {
        let pairs = object.pointer_mut("/status/volumeSnapshotHandlePairList");
        for pair in pairs.and_then(Value::as_array_mut).into_iter().flatten() {
            let fields = pair.as_object_mut().unwrap();
            fields.retain(|field, _| field == "volumeHandle" || field == "snapshotHandle");
        }
        object
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn d3_nothing_is_lost_between_any_two_versions((object, version) in object()) {
            for other in GROUP_VERSIONS {
                let mut there = object.clone();
                convert(&mut there, &of(other)).unwrap();
                prop_assert_eq!(&there["apiVersion"], &of(other));
                let mut back = there.clone();
                convert(&mut back, &of(version)).unwrap();
                prop_assert_eq!(&back, &object, "by way of {}: {}", other, there);
                // By way of a third version it is the same.
                for third in GROUP_VERSIONS {
                    let mut round = there.clone();
                    convert(&mut round, &of(third)).unwrap();
                    convert(&mut round, &of(version)).unwrap();
                    prop_assert_eq!(&round, &object, "by way of {} and {}", other, third);
                }
            }
        }

        /// The server of the old version knows two fields of a member; what it drops is in the annotation.
        #[test]
        fn d3_nothing_is_lost_when_the_old_version_is_pruned((object, version) in object()) {
            prop_assume!(version != "v1beta1");
            let mut there = object.clone();
            convert(&mut there, &of("v1beta1")).unwrap();
            // Of fields that no version knows, only those of the whole object are of interest here.
            let plain = |it: &Value| it.as_object().unwrap().keys().all(|key| !key.starts_with('x'));
            let members = object["status"]["volumeSnapshotInfoList"].as_array();
            prop_assume!(members.into_iter().flatten().all(plain));
            let mut back = pruned(there);
            convert(&mut back, &of(version)).unwrap();
            prop_assert_eq!(back, object);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever a client of the old version makes of its list is what there is then, and everything else that is
        /// known of members that it leaves in stays known.
        #[test]
        fn d3_any_edit_of_the_old_list_counts_and_loses_nothing_else(
            members in vec(member(false), 0..5),
            kept in vec(any::<prop::sample::Index>(), 0..5),
            added in vec(member(true), 0..3),
        ) {
            let mut group = content("v1", &json!({"volumeSnapshotInfoList": members}));
            convert(&mut group, &of("v1beta1")).unwrap();
            let seen = group["status"]["volumeSnapshotHandlePairList"].as_array().unwrap().clone();
            let mut edited: Vec<Value> = Vec::new();
            if !seen.is_empty() {
                edited.extend(kept.iter().map(|at| at.get(&seen).clone()));
            }
            edited.extend(added);
            group["status"]["volumeSnapshotHandlePairList"] = edited.clone().into();
            convert(&mut group, &of("v1")).unwrap();
            let after = group["status"]["volumeSnapshotInfoList"].as_array().unwrap().clone();
            // Who reads the old list again reads what was written.
            let mut again = group.clone();
            convert(&mut again, &of("v1beta1")).unwrap();
            prop_assert_eq!(&again["status"]["volumeSnapshotHandlePairList"], &Value::from(edited.clone()));
            for member in &members {
                // A member that has no pair was not there to be edited; of others each is known as often as it was left in.
                let alike = |it: &&Value| *it == member;
                let (before, now) = (members.iter().filter(alike).count(), after.iter().filter(alike).count());
                match pair_of(member) {
                    None => prop_assert_eq!(before, now),
                    Some(pair) => {
                        let left_in = edited.iter().filter(|it| **it == pair).count();
                        let known = members.iter().filter(|it| pair_of(it).as_ref() == Some(&pair)).count();
                        prop_assert!(left_in < known || now >= before, "{} of {}", now, before);
                    }
                }
            }
        }
    }

    /// How `v1beta1` shows a member; none if it cannot.
    fn pair_of(member: &Value) -> Option<Value> {
        let mut pair = member.as_object().unwrap().clone();
        for handle in ["volumeHandle", "snapshotHandle"] {
            pair.get(handle)?.as_str()?;
        }
        for field in ["creationTime", "readyToUse", "restoreSize"] {
            pair.remove(field);
        }
        Some(Value::Object(pair))
    }

    fn info(volume: &str, size: i64) -> Value {
        json!({"volumeHandle": volume, "snapshotHandle": format!("snap-{volume}"),
            "creationTime": 5, "readyToUse": true, "restoreSize": size})
    }

    fn handles(volume: &str) -> Value {
        json!({"volumeHandle": volume, "snapshotHandle": format!("snap-{volume}")})
    }

    fn content(version: &str, status: &Value) -> Value {
        json!({"apiVersion": of(version), "kind": "VolumeGroupSnapshotContent",
            "metadata": {"name": "g"}, "status": status})
    }

    /// As upstream's webhook writes and reads it.
    #[test]
    fn the_old_version_has_the_pairs_and_upstreams_annotation() {
        let infos = json!([info("a", 1), info("b", 2)]);
        let mut group = content(
            "v1beta2",
            &json!({"readyToUse": true, "volumeSnapshotInfoList": infos}),
        );
        convert(&mut group, &of("v1beta1")).unwrap();
        let status = json!({"readyToUse": true,
            "volumeSnapshotHandlePairList": [handles("a"), handles("b")]});
        assert_eq!(group["status"], status);
        let annotation = group["metadata"]["annotations"][ANNOTATION_GROUP_INFO_LIST]
            .as_str()
            .unwrap();
        assert_eq!(serde_json::from_str::<Value>(annotation).unwrap(), infos);
        convert(&mut group, &of("v1")).unwrap();
        assert_eq!(group["status"]["volumeSnapshotInfoList"], infos);
        assert_eq!(group["metadata"], json!({"name": "g"}));
        let mut never_ready = content("v1", &json!({}));
        convert(&mut never_ready, &of("v1beta1")).unwrap();
        assert_eq!(never_ready, content("v1beta1", &json!({})));
    }

    /// A client of the old version that edits its list is heard, and nothing is lost of the members it leaves alone.
    #[test]
    fn d3_an_edit_of_the_old_list_counts_and_loses_nothing_else() {
        let infos = json!([info("a", 1), {"readyToUse": false}, info("b", 2)]);
        let mut group = content("v1", &json!({"volumeSnapshotInfoList": infos}));
        convert(&mut group, &of("v1beta1")).unwrap();
        group["status"]["volumeSnapshotHandlePairList"] = json!([handles("b"), handles("new")]);
        convert(&mut group, &of("v1")).unwrap();
        let wanted = json!([info("b", 2), handles("new"), {"readyToUse": false}]);
        assert_eq!(group["status"]["volumeSnapshotInfoList"], wanted);
        // The sidecar of that version clears the status once the group is deleted on storage.
        convert(&mut group, &of("v1beta1")).unwrap();
        group["status"] = json!({});
        convert(&mut group, &of("v1")).unwrap();
        assert_eq!(group["status"], json!({}));
    }

    /// Anybody can write annotations; none may make an object unreadable, as upstream's webhook lets it.
    #[test]
    fn an_annotation_that_cannot_be_read_is_left_where_it_is() {
        for text in ["", "{", "{}", "7", "null"] {
            let mut group = content(
                "v1beta1",
                &json!({"volumeSnapshotHandlePairList": [handles("a")]}),
            );
            group["metadata"]["annotations"] = json!({ANNOTATION_GROUP_INFO_LIST: text});
            convert(&mut group, &of("v1")).unwrap();
            assert_eq!(
                group["status"]["volumeSnapshotInfoList"],
                json!([handles("a")])
            );
            assert_eq!(
                group["metadata"]["annotations"][ANNOTATION_GROUP_INFO_LIST],
                text
            );
            let meant = group.clone();
            convert(&mut group, &of("v1beta1")).unwrap();
            assert_eq!(
                group["metadata"]["annotations"][ANNOTATION_GROUP_DISPLACED],
                text
            );
            convert(&mut group, &of("v1")).unwrap();
            assert_eq!(group, meant);
        }
    }

    #[test]
    fn what_cannot_be_converted_is_named() {
        let group = content("v1", &json!({}));
        let refused = |mut object: Value, to: &str| {
            let before = object.clone();
            let error = convert(&mut object, to).unwrap_err();
            assert_eq!(object, before);
            error
        };
        let unknown = ConversionError::UnknownVersion("v1alpha1".into());
        assert_eq!(refused(group.clone(), &of("v1alpha1")), unknown);
        assert_eq!(refused(content("v1alpha1", &json!({})), &of("v1")), unknown);
        let single = "snapshot.storage.k8s.io/v1";
        let foreign = ConversionError::ForeignGroup(single.into());
        assert_eq!(refused(group.clone(), single), foreign);
        let mut other = group;
        other["kind"] = "Pod".into();
        assert_eq!(
            refused(other, &of("v1beta1")),
            ConversionError::UnknownKind("Pod".into())
        );
        for bad in [json!(null), json!("text"), json!([])] {
            let error = refused(bad.clone(), &of("v1"));
            assert_eq!(error, ConversionError::NoObject(bad.to_string()));
        }
    }
}
