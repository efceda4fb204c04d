//! Makes documents: of any plausible state, and then with some of their fields made odd.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value, json};
use tintype_api::keys;

pub(crate) const DRIVER: &str = "csi.example";
pub(crate) const UID: &str = "0b6fd1ab-5a5c-4d4e-9d41-2f4f7d0d6f5e";
pub(crate) const FOREIGN_UID: &str = "ffffffff-5a5c-4d4e-9d41-2f4f7d0d6f5e";
pub(crate) const CONTENT: &str = "snapcontent-0b6fd1ab-5a5c-4d4e-9d41-2f4f7d0d6f5e";

/// Runs the property on as many cases, the same ones each time.
pub(crate) fn check<S: Strategy>(
    cases: u32,
    strategy: &S,
    property: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    if let Err(found) = TestRunner::new_with_rng(config, rng).run(strategy, property) {
        panic!("{found}");
    }
}

/// Any JSON there is, not too deep.
pub(crate) fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((".{0,8}", inner), 0..4)
                .prop_map(|it| Value::from(it.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// What a field may be replaced with.
fn odd() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!("")),
        Just(json!(FOREIGN_UID)),
        Just(json!("é/\u{0}\n..")),
        Just(json!("x".repeat(70_000))),
        Just(json!(-1)),
        Just(json!(i64::MAX)),
        Just(json!(i64::MIN)),
        Just(json!(true)),
        Just(json!([])),
        Just(json!({})),
        Just(json!(["", ""])),
        Just(json!({"": ""})),
        anything(),
    ]
}

/// Paths of all fields, those inside lists left out; what the server itself guarantees stays.
fn paths(document: &Value, at: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    let Value::Object(fields) = document else {
        return;
    };
    for (name, value) in fields {
        at.push(name.clone());
        let guaranteed = ["name", "namespace", "uid", "resourceVersion"];
        if !(at.len() == 2 && at[0] == "metadata" && guaranteed.contains(&at[1].as_str()))
            && at.as_slice() != ["metadata"]
        {
            found.push(at.clone());
        }
        paths(value, at, found);
        at.pop();
    }
}

fn set(document: &mut Value, path: &[String], value: Value) {
    let (last, way) = path.split_last().expect("a path has a field");
    let Some(parent) = way.iter().try_fold(document, |it, name| it.get_mut(name)) else {
        return;
    };
    if let Value::Object(fields) = parent {
        if value.is_null() {
            fields.remove(last);
        } else {
            fields.insert(last.clone(), value);
        }
    }
}

/// The document, in one case of four with one or two fields replaced.
pub(crate) fn spoiled(document: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let changes = prop_oneof![
        3 => Just(Vec::new()),
        1 => vec((any::<Index>(), odd()), 1..3),
    ];
    (document, changes).prop_map(|(mut document, changes)| {
        for (which, value) in changes {
            let mut found = Vec::new();
            paths(&document, &mut Vec::new(), &mut found);
            let path = which.get(&found).clone();
            set(&mut document, &path, value);
        }
        document
    })
}

/// A value, or no field.
pub(crate) fn maybe(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop_oneof![1 => Just(Value::Null), 2 => value]
}

/// No field, mostly.
pub(crate) fn rarely(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop_oneof![4 => Just(Value::Null), 1 => value]
}

/// This, mostly; else one of those.
pub(crate) fn mostly(
    text: &'static str,
    others: &'static [&'static str],
) -> impl Strategy<Value = Value> {
    prop_oneof![5 => Just(Value::from(text)), 1 => one_of(others)]
}

pub(crate) fn one_of(texts: &'static [&'static str]) -> impl Strategy<Value = Value> {
    select(texts).prop_map(Value::from)
}

/// Any of these, in order.
pub(crate) fn some_of(texts: &'static [&'static str]) -> impl Strategy<Value = Value> {
    subsequence(texts, 0..=texts.len()).prop_map(|it| json!(it))
}

pub(crate) fn deletion() -> impl Strategy<Value = Value> {
    rarely(Just(json!("2026-01-01T00:00:00Z")))
}

pub(crate) fn error() -> impl Strategy<Value = Value> {
    maybe(prop_oneof![
        Just(json!({})),
        Just(json!({"message": "no"})),
        Just(json!({"message": "no", "time": "2026-01-01T00:00:00Z"})),
    ])
}

/// Fields that are null are left out, as a server leaves them out.
pub(crate) fn clean(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(_, it)| !it.is_null())
            .map(|(name, it)| (name, clean(it)))
            .collect::<Map<_, _>>()
            .into(),
        other => other,
    }
}

pub(crate) fn snapshot() -> impl Strategy<Value = Value> {
    let source = prop_oneof![
        4 => Just(json!({"persistentVolumeClaimName": "data"})),
        2 => Just(json!({"volumeSnapshotContentName": CONTENT})),
        1 => Just(json!({"persistentVolumeClaimName": "data", "volumeSnapshotContentName": CONTENT})),
        1 => Just(json!({})),
    ];
    let finalizers = prop_oneof![
        Just(json!([
            keys::FINALIZER_SNAPSHOT_AS_SOURCE,
            keys::FINALIZER_SNAPSHOT_BOUND
        ])),
        some_of(&[
            keys::FINALIZER_SNAPSHOT_AS_SOURCE,
            keys::FINALIZER_SNAPSHOT_BOUND,
            keys::FINALIZER_SNAPSHOT_IN_GROUP,
            "someone.example/else",
        ]),
    ];
    let owners = rarely(Just(json!([{
        "apiVersion": "groupsnapshot.storage.k8s.io/v1", "kind": "VolumeGroupSnapshot",
        "name": "group", "uid": "g",
    }])));
    let status = maybe(
        (
            prop_oneof![
                Just(Value::Null),
                Just(CONTENT.into()),
                Just("another".into())
            ],
            maybe(any::<bool>().prop_map(Value::from)),
            maybe(one_of(&["0", "1Mi", "-1", "many"])),
            error(),
            rarely(one_of(&["group", ""])),
        )
            .prop_map(|(bound, ready, size, error, group)| {
                json!({"boundVolumeSnapshotContentName": bound, "readyToUse": ready,
                    "restoreSize": size, "error": error, "volumeGroupSnapshotName": group,
                    "creationTime": "2026-01-01T00:00:00Z"})
            }),
    );
    let class = mostly("gold", &["gone", ""]);
    let all = (source, finalizers, owners, status, class, deletion());
    spoiled(
        all.prop_map(|(source, finalizers, owners, status, class, deletion)| {
            clean(json!({
                "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
                "metadata": {"namespace": "ns", "name": "monday", "uid": UID, "resourceVersion": "1",
                    "finalizers": finalizers, "ownerReferences": owners,
                    "deletionTimestamp": deletion, "labels": {"a": "b"}, "annotations": {"a": "b"}},
                "spec": {"source": source, "volumeSnapshotClassName": class},
                "status": status,
            }))
        }),
    )
}

/// What a content, single or of a group, says it belongs to.
pub(crate) fn owner() -> impl Strategy<Value = Value> {
    prop_oneof![
        5 => Just(json!({"namespace": "ns", "name": "monday", "uid": UID})),
        2 => Just(json!({"namespace": "ns", "name": "monday"})),
        1 => Just(json!({"namespace": "ns", "name": "monday", "uid": FOREIGN_UID})),
        1 => Just(json!({"namespace": "other", "name": "monday", "uid": UID})),
    ]
}

pub(crate) fn content() -> impl Strategy<Value = Value> {
    let source = prop_oneof![
        4 => Just(json!({"volumeHandle": "vol-1"})),
        3 => Just(json!({"snapshotHandle": "snap-1"})),
        1 => Just(json!({"volumeHandle": "vol-1", "snapshotHandle": "snap-1"})),
        1 => Just(json!({})),
    ];
    let owner = owner();
    let marks = subsequence(
        vec![
            (keys::ANNOTATION_BEING_CREATED, "yes"),
            (keys::ANNOTATION_BEING_DELETED, "yes"),
            (keys::ANNOTATION_DELETION_SECRET_NAME, "secret"),
            (keys::ANNOTATION_DELETION_SECRET_NAMESPACE, ""),
            (keys::ANNOTATION_ALLOW_MODE_CHANGE, "perhaps"),
        ],
        0..=5,
    )
    .prop_map(|it| json!(it.into_iter().collect::<std::collections::BTreeMap<_, _>>()));
    let status = maybe(
        (
            maybe(one_of(&["snap-1", ""])),
            maybe(any::<bool>().prop_map(Value::from)),
            maybe(prop_oneof![
                Just(json!(-1)),
                Just(json!(0)),
                Just(json!(1_i64 << 40))
            ]),
            error(),
            maybe(one_of(&["group-1"])),
        )
            .prop_map(|(handle, ready, size, error, group)| {
                json!({"snapshotHandle": handle, "readyToUse": ready, "restoreSize": size,
                    "error": error, "volumeGroupSnapshotHandle": group,
                    "creationTime": 1_800_000_000_000_000_000_i64})
            }),
    );
    let finalizers = some_of(&[keys::FINALIZER_CONTENT, "someone.example/else"]);
    let spec = (
        one_of(&["Delete", "Retain", "Delete", "delete", ""]),
        mostly(DRIVER, &["another.example", ""]),
        mostly("gold", &["gone", ""]),
    );
    let all = (source, owner, marks, status, finalizers, spec, deletion());
    spoiled(all.prop_map(
        |(source, owner, marks, status, finalizers, (policy, driver, class), deletion)| {
            clean(json!({
                "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent",
                "metadata": {"name": CONTENT, "uid": "c", "resourceVersion": "1",
                    "finalizers": finalizers, "annotations": marks, "deletionTimestamp": deletion,
                    "generation": 1},
                "spec": {"deletionPolicy": policy, "driver": driver, "source": source,
                    "sourceVolumeMode": "Filesystem", "volumeSnapshotClassName": class,
                    "volumeSnapshotRef": owner},
                "status": status,
            }))
        },
    ))
}

pub(crate) fn class() -> impl Strategy<Value = Value> {
    let secret = "csi.storage.k8s.io/snapshotter-secret-name";
    let parameters = subsequence(
        vec![
            ("kind", "fast"),
            (secret, "key-${volumesnapshot.name}"),
            ("csi.storage.k8s.io/snapshotter-secret-namespace", "$x${"),
            (
                "csi.storage.k8s.io/snapshotter-list-secret-name",
                "${volumesnapshotcontent.name}",
            ),
            ("csi.storage.k8s.io/nobody-knows", "this"),
        ],
        0..=5,
    )
    .prop_map(|it| json!(it.into_iter().collect::<std::collections::BTreeMap<_, _>>()));
    let driver = one_of(&[DRIVER, DRIVER, DRIVER, "another.example", ""]);
    let policy = one_of(&["Delete", "Retain", "perhaps"]);
    spoiled(
        (driver, policy, parameters).prop_map(|(driver, policy, parameters)| {
            json!({"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotClass",
            "metadata": {"name": "gold", "uid": "k", "resourceVersion": "1", "annotations": {
                "snapshot.storage.kubernetes.io/is-default-class": "true"}},
            "driver": driver, "deletionPolicy": policy, "parameters": parameters})
        }),
    )
}

pub(crate) fn claim() -> impl Strategy<Value = Value> {
    let finalizers = some_of(&[
        keys::FINALIZER_CLAIM_AS_SOURCE,
        "kubernetes.io/pvc-protection",
    ]);
    let phase = mostly("Bound", &["Pending", "Lost", "?", ""]);
    let uid = mostly("p", &["another"]);
    spoiled(
        (finalizers, phase, uid, deletion()).prop_map(|(finalizers, phase, uid, deletion)| {
            clean(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "metadata": {"namespace": "ns", "name": "data", "uid": uid, "resourceVersion": "1",
                    "finalizers": finalizers, "deletionTimestamp": deletion},
                "spec": {"volumeName": "pv", "volumeMode": "Filesystem",
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "1Gi"}}},
                "status": {"phase": phase}}))
        }),
    )
}

pub(crate) fn volume() -> impl Strategy<Value = Value> {
    let claim = prop_oneof![
        8 => Just(json!({"namespace": "ns", "name": "data", "uid": "p"})),
        1 => Just(json!({"namespace": "ns", "name": "data"})),
        1 => Just(json!({"namespace": "ns", "name": "data", "uid": "?"})),
        1 => Just(json!({})),
        1 => Just(Value::Null),
    ];
    let csi = prop_oneof![
        8 => Just(json!({"driver": DRIVER, "volumeHandle": "vol-1"})),
        1 => Just(json!({"driver": "", "volumeHandle": ""})),
        1 => Just(json!({"driver": DRIVER})),
        1 => Just(Value::Null),
    ];
    spoiled((claim, csi).prop_map(|(claim, csi)| {
        clean(json!({"apiVersion": "v1", "kind": "PersistentVolume",
            "metadata": {"name": "pv", "uid": "v", "resourceVersion": "1"},
            "spec": {"claimRef": claim, "csi": csi, "volumeMode": "Filesystem",
                "capacity": {"storage": "1Gi"},
                "nodeAffinity": {"required": {"nodeSelectorTerms": []}}},
            "status": {"phase": "Bound"}}))
    }))
}
