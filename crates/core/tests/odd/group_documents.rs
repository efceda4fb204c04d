//! Makes the documents of groups: of any plausible state, and then with some of their fields made
//! odd.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::subsequence;
use serde_json::{Value, json};
use tintype_api::keys;

use crate::documents::{
    DRIVER, UID, clean, deletion, error, maybe, mostly, one_of, owner, rarely, some_of, spoiled,
};

pub(crate) const GROUP_CONTENT: &str = "groupsnapcontent-0b6fd1ab-5a5c-4d4e-9d41-2f4f7d0d6f5e";

pub(crate) fn group() -> impl Strategy<Value = Value> {
    let source = prop_oneof![
        5 => Just(json!({"selector": {"matchLabels": {"tier": "db"}}})),
        1 => Just(json!({"selector": {"matchExpressions": [
            {"key": "tier", "operator": "Perhaps", "values": ["db"]}]}})),
        1 => Just(json!({"selector": {}})),
        3 => Just(json!({"volumeGroupSnapshotContentName": GROUP_CONTENT})),
        1 => Just(json!({"volumeGroupSnapshotContentName": ""})),
        1 => Just(json!({"selector": {}, "volumeGroupSnapshotContentName": GROUP_CONTENT})),
        1 => Just(json!({})),
    ];
    let status = maybe(
        (
            maybe(mostly(GROUP_CONTENT, &["groupsnapcontent-other", ""])),
            maybe(any::<bool>().prop_map(Value::from)),
            maybe(one_of(&["2026-01-01T00:00:00Z"])),
            error(),
        )
            .prop_map(|(bound, ready, time, error)| {
                json!({"boundVolumeGroupSnapshotContentName": bound, "readyToUse": ready,
                    "creationTime": time, "error": error})
            }),
    );
    let finalizers = some_of(&[keys::FINALIZER_GROUP_SNAPSHOT_BOUND, "someone.example/else"]);
    let class = mostly("gold", &["gone", ""]);
    let all = (source, finalizers, status, maybe(class), deletion());
    spoiled(
        all.prop_map(|(source, finalizers, status, class, deletion)| {
            clean(json!({
                "apiVersion": "groupsnapshot.storage.k8s.io/v1", "kind": "VolumeGroupSnapshot",
                "metadata": {"namespace": "ns", "name": "monday", "uid": UID,
                    "resourceVersion": "1", "finalizers": finalizers,
                    "deletionTimestamp": deletion},
                "spec": {"source": source, "volumeGroupSnapshotClassName": class},
                "status": status,
            }))
        }),
    )
}

/// Entries of a list of members, some of which belong to nothing.
fn member() -> impl Strategy<Value = Value> {
    let size = maybe(prop_oneof![
        Just(json!(-1)),
        Just(json!(0)),
        Just(json!(1_i64 << 40))
    ]);
    let all = (
        mostly("vol-1", &["vol-2", "nobody's", ""]),
        mostly("snap-1", &["snap-2", ""]),
        maybe(any::<bool>().prop_map(Value::from)),
        size,
        maybe(any::<i64>().prop_map(Value::from)),
    );
    all.prop_map(|(volume, snapshot, ready, size, time)| {
        clean(json!({"volumeHandle": volume, "snapshotHandle": snapshot,
            "readyToUse": ready, "restoreSize": size, "creationTime": time}))
    })
}

pub(crate) fn group_content() -> impl Strategy<Value = Value> {
    let existing = json!({"volumeGroupSnapshotHandle": "group-1",
        "volumeSnapshotHandles": ["snap-1", "snap-2"]});
    let source = prop_oneof![
        5 => Just(json!({"volumeHandles": ["vol-1"]})),
        1 => Just(json!({"volumeHandles": ["vol-1", "vol-1", ""]})),
        1 => Just(json!({"volumeHandles": []})),
        3 => Just(json!({"groupSnapshotHandles": existing})),
        1 => Just(json!({"groupSnapshotHandles": {}})),
        1 => Just(json!({"volumeHandles": ["vol-1"], "groupSnapshotHandles": existing})),
        1 => Just(json!({})),
    ];
    let owner = owner();
    let marks = subsequence(
        vec![
            (keys::ANNOTATION_GROUP_BEING_CREATED, "yes"),
            (keys::ANNOTATION_GROUP_BEING_DELETED, "yes"),
            (keys::ANNOTATION_GROUP_DELETION_SECRET_NAME, "secret"),
            (keys::ANNOTATION_GROUP_DELETION_SECRET_NAMESPACE, ""),
            (keys::ANNOTATION_GROUP_INFO_LIST, "[{"),
        ],
        0..=5,
    )
    .prop_map(|it| json!(it.into_iter().collect::<std::collections::BTreeMap<_, _>>()));
    let status = maybe(
        (
            maybe(one_of(&["group-1", ""])),
            maybe(any::<bool>().prop_map(Value::from)),
            error(),
            maybe(vec(member(), 0..3).prop_map(Value::from)),
            rarely(one_of(&["not a time"])),
        )
            .prop_map(|(handle, ready, error, members, time)| {
                let time = if time.is_null() {
                    json!("2026-01-01T00:00:00Z")
                } else {
                    time
                };
                json!({"volumeGroupSnapshotHandle": handle, "readyToUse": ready, "error": error,
                    "volumeSnapshotInfoList": members, "creationTime": time})
            }),
    );
    let finalizers = some_of(&[keys::FINALIZER_GROUP_CONTENT, "someone.example/else"]);
    let spec = (
        one_of(&["Delete", "Retain", "Delete", "delete", ""]),
        mostly(DRIVER, &["another.example", ""]),
        mostly("gold", &["gone", ""]),
    );
    let all = (source, owner, marks, status, finalizers, spec, deletion());
    spoiled(all.prop_map(
        |(source, owner, marks, status, finalizers, (policy, driver, class), deletion)| {
            clean(json!({
                "apiVersion": "groupsnapshot.storage.k8s.io/v1",
                "kind": "VolumeGroupSnapshotContent",
                "metadata": {"name": GROUP_CONTENT, "uid": "c", "resourceVersion": "1",
                    "finalizers": finalizers, "annotations": marks,
                    "deletionTimestamp": deletion, "generation": 1},
                "spec": {"deletionPolicy": policy, "driver": driver, "source": source,
                    "volumeGroupSnapshotClassName": class, "volumeGroupSnapshotRef": owner},
                "status": status,
            }))
        },
    ))
}

pub(crate) fn group_class() -> impl Strategy<Value = Value> {
    let parameters = subsequence(
        vec![
            ("kind", "fast"),
            (
                keys::PARAMETER_GROUP_SECRET_NAME,
                "key-${volumegroupsnapshot.name}",
            ),
            (keys::PARAMETER_GROUP_SECRET_NAMESPACE, "$x${"),
            ("csi.storage.k8s.io/nobody-knows", "this"),
        ],
        0..=4,
    )
    .prop_map(|it| json!(it.into_iter().collect::<std::collections::BTreeMap<_, _>>()));
    let driver = one_of(&[DRIVER, DRIVER, DRIVER, "another.example", ""]);
    let policy = one_of(&["Delete", "Retain", "perhaps"]);
    spoiled(
        (driver, policy, parameters).prop_map(|(driver, policy, parameters)| {
            json!({"apiVersion": "groupsnapshot.storage.k8s.io/v1",
                "kind": "VolumeGroupSnapshotClass",
                "metadata": {"name": "gold", "uid": "k", "resourceVersion": "1", "annotations": {
                    keys::ANNOTATION_DEFAULT_GROUP_CLASS: "true"}},
                "driver": driver, "deletionPolicy": policy, "parameters": parameters})
        }),
    )
}
