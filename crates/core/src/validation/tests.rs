//! Upstream's rules as a table, and what ratcheting lets pass.

use serde_json::{Value, json};

use super::rival as rival_of;
use super::*;

const RULES: Rules = Rules {
    mode_is_fixed: true,
};

fn told(kind: Kind, object: &Value, old: Option<&Value>) -> Vec<String> {
    let found = complaints(kind, object, old, RULES);
    found.iter().map(ToString::to_string).collect()
}

fn spec(spec: &Value) -> Value {
    json!({"metadata": {"name": "it"}, "spec": spec})
}

fn snapshot(source: &Value) -> Value {
    spec(&json!({"source": source}))
}

fn content(more: &Value) -> Value {
    let mut it = spec(&json!({"source": {"volumeHandle": "v"},
        "volumeSnapshotRef": {"name": "s", "namespace": "n"}}));
    for (field, value) in more.as_object().unwrap() {
        it["spec"][field] = value.clone();
    }
    it
}

fn group_content(more: &Value) -> Value {
    let mut it = spec(&json!({"source": {"volumeHandles": ["v"]},
        "volumeGroupSnapshotRef": {"name": "g", "namespace": "n"}}));
    for (field, value) in more.as_object().unwrap() {
        it["spec"][field] = value.clone();
    }
    it
}

#[test]
fn what_is_well_formed_passes() {
    let selector = json!({"source": {"selector": {}}});
    for (kind, object) in [
        (
            Kind::Snapshot,
            snapshot(&json!({"persistentVolumeClaimName": "c"})),
        ),
        // Members of a group whose claim is unknown are written so.
        (
            Kind::Snapshot,
            snapshot(&json!({"persistentVolumeClaimName": ""})),
        ),
        (
            Kind::Content,
            content(&json!({"volumeSnapshotClassName": ""})),
        ),
        (Kind::Class, json!({"driver": "d"})),
        (Kind::Group, spec(&selector)),
        (Kind::GroupContent, group_content(&json!({}))),
        (Kind::GroupClass, json!({"driver": "d"})),
    ] {
        assert_eq!(told(kind, &object, None), [""; 0], "{object}");
        assert_eq!(told(kind, &object, Some(&object)), [""; 0], "{object}");
    }
}

#[test]
fn what_is_malformed_is_told_with_field_value_and_cure() {
    let two = json!({"persistentVolumeClaimName": "c", "volumeSnapshotContentName": "x"});
    let no_ref = json!({"volumeSnapshotRef": {"name": ""}});
    let no_group_ref = json!({"volumeGroupSnapshotRef": {"namespace": "n"}});
    let empty =
        json!({"volumeSnapshotClassName": "", "source": {"persistentVolumeClaimName": "c"}});
    let empty_group = json!({"volumeGroupSnapshotClassName": "", "source": {"selector": {}}});
    for (kind, object, wanted) in [
        (
            Kind::Snapshot,
            snapshot(&two),
            vec![
                "spec.source: {\"persistentVolumeClaimName\":\"c\",\"volumeSnapshotContentName\":\"x\"}: only one of persistentVolumeClaimName and volumeSnapshotContentName can be set; take one out",
            ],
        ),
        (
            Kind::Snapshot,
            snapshot(&json!({"persistentVolumeClaimName": null})),
            vec![
                "spec.source: {\"persistentVolumeClaimName\":null}: set one of persistentVolumeClaimName and volumeSnapshotContentName",
            ],
        ),
        (
            Kind::Snapshot,
            spec(&empty),
            vec![
                "spec.volumeSnapshotClassName: \"\": must name a class; leave the field out to get the default class",
            ],
        ),
        (
            Kind::Content,
            content(&no_ref),
            vec![
                "spec.volumeSnapshotRef.name: \"\": must be set: name and namespace say which object this one is for",
                "spec.volumeSnapshotRef.namespace: not set: must be set: name and namespace say which object this one is for",
            ],
        ),
        (
            Kind::Content,
            content(&json!({"source": {}})),
            vec!["spec.source: {}: set one of volumeHandle and snapshotHandle"],
        ),
        (
            Kind::Group,
            spec(&empty_group),
            vec![
                "spec.volumeGroupSnapshotClassName: \"\": must name a class; leave the field out to get the default class",
            ],
        ),
        (
            Kind::Group,
            json!({}),
            vec!["spec.source: not set: set one of selector and volumeGroupSnapshotContentName"],
        ),
        (
            Kind::GroupContent,
            group_content(&no_group_ref),
            vec![
                "spec.volumeGroupSnapshotRef.name: not set: must be set: name and namespace say which object this one is for",
            ],
        ),
    ] {
        assert_eq!(told(kind, &object, None), wanted, "{object}");
    }
}

#[test]
fn what_stays_cannot_be_changed() {
    let claim = |name: &str| snapshot(&json!({"persistentVolumeClaimName": name}));
    let imported = snapshot(&json!({"volumeSnapshotContentName": "x"}));
    let group = |labels: &Value| spec(&json!({"source": {"selector": {"matchLabels": labels}}}));
    let handles = |it: &Value| group_content(&json!({"source": {"volumeHandles": it}}));
    let other_ref = json!({"volumeGroupSnapshotRef": {"name": "h", "namespace": "n"}});
    for (kind, old, new, fields) in [
        (
            Kind::Snapshot,
            claim("a"),
            claim("b"),
            vec!["spec.source.persistentVolumeClaimName"],
        ),
        (
            Kind::Snapshot,
            claim("a"),
            imported,
            vec![
                "spec.source.persistentVolumeClaimName",
                "spec.source.volumeSnapshotContentName",
            ],
        ),
        (
            Kind::Content,
            content(&json!({})),
            content(&json!({"source": {"volumeHandle": "w"}})),
            vec!["spec.source.volumeHandle"],
        ),
        (
            Kind::Content,
            content(&json!({"sourceVolumeMode": "Block"})),
            content(&json!({"sourceVolumeMode": "Filesystem"})),
            vec!["spec.sourceVolumeMode"],
        ),
        // Upstream panicked where either side lacked it.
        (
            Kind::Content,
            content(&json!({"sourceVolumeMode": "Block"})),
            content(&json!({})),
            vec!["spec.sourceVolumeMode"],
        ),
        (
            Kind::Content,
            content(&json!({})),
            content(&json!({"sourceVolumeMode": "Block"})),
            vec![],
        ),
        (
            Kind::Group,
            group(&json!({"a": "b"})),
            group(&json!({"a": "c"})),
            vec!["spec.source.selector"],
        ),
        (
            Kind::GroupContent,
            handles(&json!(["v"])),
            handles(&json!(["v", "w"])),
            vec!["spec.source.volumeHandles"],
        ),
        (
            Kind::GroupContent,
            group_content(&json!({})),
            group_content(&other_ref),
            vec!["spec.volumeGroupSnapshotRef.name"],
        ),
    ] {
        let found = complaints(kind, &new, Some(&old), RULES);
        let named: Vec<&str> = found.iter().map(|it| it.field.as_str()).collect();
        assert_eq!(named, fields, "{old} {new}");
        assert!(
            found
                .iter()
                .all(|it| it.to_string().contains("cannot be changed, it is"))
        );
    }
    let free = Rules {
        mode_is_fixed: false,
    };
    let (old, new) = (
        content(&json!({"sourceVolumeMode": "Block"})),
        content(&json!({})),
    );
    assert_eq!(complaints(Kind::Content, &new, Some(&old), free), []);
}

/// An object that an older server let in can be changed, repaired and let go, and not made worse.
#[test]
fn an_update_is_not_refused_for_what_was_wrong_before() {
    let two =
        snapshot(&json!({"persistentVolumeClaimName": "c", "volumeSnapshotContentName": "x"}));
    let mut released = two.clone();
    released["metadata"]["finalizers"] = json!([]);
    assert_eq!(told(Kind::Snapshot, &released, Some(&two)), [""; 0]);
    let repaired = snapshot(&json!({"persistentVolumeClaimName": "c"}));
    assert_eq!(told(Kind::Snapshot, &repaired, Some(&two)), [""; 0]);
    let mut worse = two.clone();
    worse["spec"]["volumeSnapshotClassName"] = "".into();
    assert_eq!(
        complaints(Kind::Snapshot, &worse, Some(&two), RULES).len(),
        1
    );
    let blank = content(&json!({"volumeSnapshotRef": {"name": "s"}}));
    assert_eq!(told(Kind::Content, &blank, Some(&blank)), [""; 0]);
    let none = group_content(&json!({"volumeGroupSnapshotRef": {"name": "g"}}));
    assert_eq!(
        told(Kind::GroupContent, &group_content(&json!({})), Some(&none)),
        [""; 0]
    );
}

#[test]
fn a_driver_has_one_default_class() {
    let class = |name: &str, driver: &str, default: &str| json!({"metadata": {"name": name, "annotations": {keys::ANNOTATION_DEFAULT_CLASS: default}}, "driver": driver});
    let (new, other) = (class("new", "d", "true"), class("other", "d", "true"));
    let rival = |object: &Value, old: Option<&Value>, others: &[Value]| {
        rival_of(Kind::Class, object, old, others).map(|it| it.to_string())
    };
    assert_eq!(
        rival(&new, None, std::slice::from_ref(&other)).unwrap(),
        "metadata.annotations[snapshot.storage.kubernetes.io/is-default-class]: \"true\": the class other is already the default of driver d; take the annotation off that one first"
    );
    let plain = class("new", "d", "false");
    for (object, old, others) in [
        (&new, None, [class("other", "e", "true")]),
        (&new, None, [class("other", "d", "false")]),
        (&new, None, [new.clone()]),
        (&plain, None, [other.clone()]),
        // Two that got in at the same moment can still be changed.
        (&new, Some(&new), [other.clone()]),
    ] {
        assert_eq!(rival(object, old, &others), None, "{object}");
    }
    assert!(rival(&new, Some(&plain), std::slice::from_ref(&other)).is_some());
    assert!(rival(&new, Some(&class("new", "e", "true")), &[other]).is_some());
    // A group class has a mark of its own.
    assert_eq!(wants_default(Kind::GroupClass, &new, None), None);
}

#[test]
fn a_long_value_is_told_in_short() {
    let old = group_content(&json!({"source": {"volumeHandles": vec!["é".repeat(40); 40]}}));
    let found = told(Kind::GroupContent, &group_content(&json!({})), Some(&old));
    assert!(found[0].len() < 300, "{}", found[0]);
}
