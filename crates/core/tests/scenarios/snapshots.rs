//! The cluster's side: `snapshot_create_test`, `snapshot_update_test`, `snapshot_delete_test`,
//! `snapshot_finalizer_test` and `snapshotclass_test`.

use std::convert::Infallible;
use std::slice;

use serde_json::{Value, json};
use tintype_api::keys;
use tintype_core::write::Kind;

use crate::cluster::Cluster;
use crate::documents::{
    CONTENT, OTHER, claim, class, content, deleted, imported_content, imported_snapshot, made,
    ready, snapshot, volume, with,
};

/// Makes a document from a patch of it.
type Make = fn(Value) -> Value;

/// What there is before.
struct Given {
    snapshot: Value,
    content: Option<Value>,
    claim: Option<Value>,
    classes: Vec<Value>,
    volume: Option<Value>,
    being_restored: bool,
}

fn given(snapshot: Value, content: Option<Value>) -> Given {
    Given {
        snapshot,
        content,
        claim: Some(claim(json!({}))),
        classes: vec![class("gold", json!({}))],
        volume: Some(volume()),
        being_restored: false,
    }
}

/// A field of an object and what it is to be; null: there is none.
type Field = (Kind, &'static str, Value);

const SNAPSHOT: Kind = Kind::Snapshot;
const BODY: Kind = Kind::Content;

fn check(case: &str, given: Given, events: &[&str], fields: &[Field]) {
    let mut cluster = Cluster::new(given.snapshot, given.content, given.claim);
    cluster.classes = given.classes;
    cluster.volume = given.volume;
    cluster.being_restored = given.being_restored;
    let steps = cluster.settle(|_, _, before| {
        assert!(before.len() < 24, "{case}: {before:?}");
        Ok::<_, Infallible>(())
    });
    let steps = steps.unwrap_or_else(|never| match never {});
    assert_eq!(cluster.events, events, "{case}: {steps:?}");
    for (kind, pointer, wanted) in fields {
        let name = match kind {
            Kind::Snapshot => "monday",
            Kind::Claim => "data",
            _ => CONTENT,
        };
        let object = cluster.server.get(*kind, name);
        let found = object
            .and_then(|it| it.pointer(pointer))
            .unwrap_or(&Value::Null);
        assert_eq!(
            found, wanted,
            "{case}: {pointer} of {object:?} after {steps:?}"
        );
    }
}

/// Neither finalizers nor status.
fn new() -> Value {
    snapshot(json!({"metadata": {"finalizers": null}}))
}

fn nothing_made() -> Field {
    (BODY, "", Value::Null)
}

/// It names no class.
fn unnamed() -> Given {
    let classless = json!({"spec": {"volumeSnapshotClassName": null}});
    given(with(new(), classless), None)
}

#[test]
fn upstreams_cases_of_creating_a_snapshot() {
    check(
        "6-1",
        given(new(), None),
        &["Normal CreatingSnapshot"],
        &[
            (BODY, "/spec/volumeSnapshotClassName", json!("gold")),
            (BODY, "/spec/driver", json!("csi.example")),
            (BODY, "/spec/deletionPolicy", json!("Delete")),
            (BODY, "/spec/source", json!({"volumeHandle": "vol-1"})),
            (
                SNAPSHOT,
                "/status/boundVolumeSnapshotContentName",
                json!(CONTENT),
            ),
            (SNAPSHOT, "/status/readyToUse", json!(false)),
            (
                Kind::Claim,
                "/metadata/finalizers/0",
                json!(keys::FINALIZER_CLAIM_AS_SOURCE),
            ),
        ],
    );
    let secret = json!({"parameters": {
        "csi.storage.k8s.io/snapshotter-secret-name": "key-${volumesnapshot.name}",
        "csi.storage.k8s.io/snapshotter-secret-namespace": "${volumesnapshot.namespace}"}});
    let mut locked = given(new(), None);
    locked.classes = vec![class("gold", secret)];
    check(
        "6-2",
        locked,
        &["Normal CreatingSnapshot"],
        &[(
            BODY,
            "/metadata/annotations",
            json!({
            keys::ANNOTATION_DELETION_SECRET_NAME: "key-monday",
            keys::ANNOTATION_DELETION_SECRET_NAMESPACE: "ns"}),
        )],
    );
    let mut classless = given(new(), None);
    classless.classes.clear();
    check(
        "7-1",
        classless,
        &["Warning GetSnapshotClassFailed"],
        &[nothing_made()],
    );
    let told = "Warning SnapshotContentCreationFailed";
    let mut it = given(new(), None);
    it.claim = None;
    check("7-4, 2-9", it, &[told], &[nothing_made()]);
    let mut it = given(new(), None);
    it.volume = None;
    check("7-5", it, &[told], &[nothing_made()]);
    let mut it = given(new(), None);
    it.claim = Some(claim(json!({"status": {"phase": "Pending"}})));
    // Upstream holds the claim already; here it is held once there is something to cut.
    check(
        "7-6",
        it,
        &[told],
        &[
            nothing_made(),
            (Kind::Claim, "/metadata/finalizers", Value::Null),
        ],
    );
    let odd = json!({"parameters": {"csi.storage.k8s.io/snapshotter-secret-name": "a"}});
    let mut it = given(new(), None);
    it.classes = vec![class("gold", odd)];
    check("7-10", it, &[told], &[nothing_made()]);
    for (case, status) in [
        ("8-1", Value::Null),
        ("8-2", json!({"readyToUse": false})),
        (
            "8-3",
            json!({"readyToUse": false, "error": {"message": "an old one"}}),
        ),
    ] {
        check(
            case,
            given(snapshot(json!({ "status": status })), None),
            &["Normal CreatingSnapshot"],
            &[
                (BODY, "/spec/source/volumeHandle", json!("vol-1")),
                (SNAPSHOT, "/status/error", Value::Null),
            ],
        );
    }
}

#[test]
fn upstreams_cases_of_choosing_a_class() {
    check(
        "7-3",
        unnamed(),
        &["Warning SetDefaultSnapshotClassFailed"],
        &[nothing_made()],
    );
    let default = json!({"metadata": {"annotations": {keys::ANNOTATION_DEFAULT_CLASS: "true"}}});
    let mut it = unnamed();
    it.classes.push(class("silver", default.clone()));
    check(
        "class 1-1",
        it,
        &["Normal CreatingSnapshot"],
        &[(SNAPSHOT, "/spec/volumeSnapshotClassName", json!("silver"))],
    );
    let mut it = unnamed();
    it.classes = vec![class("silver", default.clone()), class("bronze", default)];
    check(
        "several defaults",
        it,
        &["Warning SetDefaultSnapshotClassFailed"],
        &[nothing_made()],
    );
    let mut it = unnamed();
    it.claim = None;
    check(
        "class 1-5",
        it,
        &["Warning SetDefaultSnapshotClassFailed"],
        &[nothing_made()],
    );
}

/// What a snapshot says of a content that is made.
fn told() -> [Field; 3] {
    [
        (SNAPSHOT, "/status/readyToUse", json!(true)),
        (
            SNAPSHOT,
            "/status/creationTime",
            json!("2027-01-15T08:00:00Z"),
        ),
        (SNAPSHOT, "/status/restoreSize", json!("1Mi")),
    ]
}

/// Bound, and not ready yet.
fn bound() -> Value {
    json!({"status": {"boundVolumeSnapshotContentName": CONTENT, "readyToUse": false}})
}

#[test]
fn upstreams_cases_of_binding() {
    let unready = |reason: &'static str| [reason];
    let not_ready = (SNAPSHOT, "/status/readyToUse", json!(false));
    for (case, it) in [
        ("2-1, 3-1", snapshot(ready())),
        ("3-2", imported_snapshot(ready())),
    ] {
        check(
            case,
            given(it, None),
            &unready("Warning SnapshotContentMissing"),
            &[not_ready.clone(), nothing_made()],
        );
    }
    let elsewhere = json!({"spec": {"volumeSnapshotRef": {"name": "tuesday"}}});
    for case in ["2-2", "2-10"] {
        check(
            case,
            given(
                imported_snapshot(json!({})),
                Some(imported_content(elsewhere.clone())),
            ),
            &unready("Warning SnapshotContentMisbound"),
            &[
                not_ready.clone(),
                (BODY, "/spec/volumeSnapshotRef/name", json!("tuesday")),
            ],
        );
    }
    check(
        "2-3",
        given(snapshot(json!({})), Some(content(json!({})))),
        &["Normal CreatingSnapshot"],
        &[
            (
                SNAPSHOT,
                "/status/boundVolumeSnapshotContentName",
                json!(CONTENT),
            ),
            not_ready.clone(),
        ],
    );
    for (case, it, body) in [
        (
            "2-4, 3-3",
            imported_snapshot(ready()),
            imported_content(made()),
        ),
        ("2-14, 3-5", snapshot(ready()), content(made())),
    ] {
        check(case, given(it, Some(body)), &[], &[]);
    }
    let unbound = json!({"spec": {"volumeSnapshotRef": {"uid": null}}});
    check(
        "2-6",
        given(
            imported_snapshot(json!({})),
            Some(with(imported_content(made()), unbound)),
        ),
        &["Normal SnapshotReady"],
        &[
            told()[0].clone(),
            (
                BODY,
                "/spec/volumeSnapshotRef/uid",
                json!(crate::documents::UID),
            ),
        ],
    );
    let classless = json!({"spec": {"volumeSnapshotClassName": null}});
    check(
        "2-11",
        given(
            imported_snapshot(json!({})),
            Some(with(imported_content(made()), classless)),
        ),
        &["Normal SnapshotReady"],
        &[(BODY, "/spec/volumeSnapshotClassName", json!("gold"))],
    );
    misfits();
}

/// Contents of the other sort, and contents of another snapshot.
fn misfits() {
    let unready = |reason: &'static str| [reason];
    let not_ready = (SNAPSHOT, "/status/readyToUse", json!(false));
    for (case, it, body) in [
        ("2-13", snapshot(json!({})), imported_content(json!({}))),
        ("mismatch", imported_snapshot(json!({})), content(json!({}))),
    ] {
        check(
            case,
            given(it, Some(body)),
            &unready("Warning SnapshotContentMismatch"),
            slice::from_ref(&not_ready),
        );
    }
    let foreign = json!({"spec": {"volumeSnapshotRef": {"uid": OTHER}}});
    for (case, it, body) in [
        (
            "3-4",
            imported_snapshot(ready()),
            imported_content(foreign.clone()),
        ),
        ("3-6", snapshot(ready()), content(foreign)),
    ] {
        check(
            case,
            given(it, Some(with(body, made()))),
            &unready("Warning SnapshotMisbound"),
            slice::from_ref(&not_ready),
        );
    }
}

#[test]
fn upstreams_cases_of_status() {
    check(
        "2-5",
        given(snapshot(bound()), Some(content(made()))),
        &["Normal SnapshotReady"],
        &told(),
    );
    for (case, status) in [
        ("4-1", Value::Null),
        (
            "4-2",
            json!({"boundVolumeSnapshotContentName": CONTENT, "restoreSize": "1Mi"}),
        ),
        ("4-3", json!({"boundVolumeSnapshotContentName": CONTENT})),
        (
            "4-4",
            json!({"readyToUse": false, "creationTime": "2027-01-15T08:00:00Z"}),
        ),
    ] {
        check(
            case,
            given(snapshot(json!({ "status": status })), Some(content(made()))),
            &["Normal SnapshotReady"],
            &told(),
        );
    }
    check(
        "9-1",
        Given {
            classes: vec![],
            ..given(snapshot(ready()), Some(content(made())))
        },
        &[],
        &[(SNAPSHOT, "/status/error", Value::Null)],
    );
    errors(&bound());
}

/// 6-1 to 6-4: a content's error comes and goes.
fn errors(bound: &Value) {
    let failed = json!({"status": {"readyToUse": false, "error": {"message": "no space"}}});
    check(
        "6-1",
        given(snapshot(bound.clone()), Some(content(failed.clone()))),
        &[],
        &[(SNAPSHOT, "/status/error/message", json!("no space"))],
    );
    let complains = json!({"status": {"error": {"message": "no space"}}});
    check(
        "6-2",
        given(
            with(snapshot(bound.clone()), complains),
            Some(content(json!({"status": {"readyToUse": false}}))),
        ),
        &[],
        &[(SNAPSHOT, "/status/error", Value::Null)],
    );
    check(
        "6-3",
        given(snapshot(json!({})), Some(content(failed))),
        &["Normal CreatingSnapshot"],
        &[(SNAPSHOT, "/status/error/message", json!("no space"))],
    );
    check(
        "6-4",
        given(snapshot(json!({})), Some(content(json!({})))),
        &["Normal CreatingSnapshot"],
        &[(SNAPSHOT, "/status/error", Value::Null)],
    );
}

#[test]
fn upstreams_cases_of_finalizers_and_marks() {
    let both = json!([
        keys::FINALIZER_SNAPSHOT_AS_SOURCE,
        keys::FINALIZER_SNAPSHOT_BOUND
    ]);
    for (case, has) in [
        ("2-1", Value::Null),
        ("2-2", json!([keys::FINALIZER_SNAPSHOT_AS_SOURCE])),
    ] {
        check(
            case,
            given(snapshot(json!({"metadata": {"finalizers": has}})), None),
            &["Normal CreatingSnapshot"],
            &[(SNAPSHOT, "/metadata/finalizers", both.clone())],
        );
    }
    let held = json!({"metadata": {"finalizers": [keys::FINALIZER_CLAIM_AS_SOURCE]}});
    let mut it = given(new(), None);
    it.claim = Some(claim(held));
    check(
        "1-2",
        it,
        &["Normal CreatingSnapshot"],
        &[(
            Kind::Claim,
            "/metadata/finalizers",
            json!([keys::FINALIZER_CLAIM_AS_SOURCE]),
        )],
    );
    check(
        "5-1",
        given(
            snapshot(ready()),
            Some(with(
                content(made()),
                json!({"metadata": {"finalizers": null}}),
            )),
        ),
        &[],
        &[(
            BODY,
            "/metadata/finalizers",
            json!([keys::FINALIZER_CONTENT]),
        )],
    );
    let mark = json!({keys::ANNOTATION_BEING_DELETED: "yes"});
    for (case, it, body) in [
        ("5-3, 5-5", snapshot(deleted()), content(made())),
        (
            "5-6, 5-8",
            imported_snapshot(deleted()),
            imported_content(made()),
        ),
    ] {
        check(
            case,
            given(it, Some(body)),
            &[],
            &[(BODY, "/metadata/annotations", mark.clone())],
        );
    }
}

#[test]
fn upstreams_cases_of_deleting_a_snapshot() {
    let gone = (SNAPSHOT, "", Value::Null);
    let sorts: [(&str, Make, Make); 2] = [
        ("dynamic", snapshot, content),
        ("static", imported_snapshot, imported_content),
    ];
    for (sort, snapshot, content) in sorts {
        let going = || with(snapshot(deleted()), ready());
        let mut it = given(going(), Some(content(made())));
        it.being_restored = true;
        check(
            &format!("{sort} 3-1a"),
            it,
            &["Warning SnapshotDeletePending"],
            &[(BODY, "/metadata/annotations", Value::Null)],
        );
        // Both finalizers stay until the content is gone.
        check(
            &format!("{sort} 3-1, 3-7"),
            given(going(), Some(content(made()))),
            &[],
            &[
                (
                    BODY,
                    "/metadata/deletionTimestamp",
                    json!("2026-01-01T00:00:00Z"),
                ),
                (
                    BODY,
                    "/metadata/annotations",
                    json!({keys::ANNOTATION_BEING_DELETED: "yes"}),
                ),
                (SNAPSHOT, "/metadata/name", json!("monday")),
            ],
        );
        let kept = json!({"spec": {"deletionPolicy": "Retain"}});
        check(
            &format!("{sort} 3-3, 3-9"),
            given(going(), Some(with(content(made()), kept))),
            &[],
            &[
                gone.clone(),
                (BODY, "/metadata/deletionTimestamp", Value::Null),
                (
                    BODY,
                    "/metadata/annotations",
                    json!({keys::ANNOTATION_BEING_DELETED: "yes"}),
                ),
            ],
        );
        check(
            &format!("{sort} 3-4, 3-10"),
            given(going(), None),
            &[],
            slice::from_ref(&gone),
        );
        for owner in [json!({"uid": OTHER}), json!({"name": "tuesday"})] {
            let foreign = json!({"spec": {"volumeSnapshotRef": owner}});
            check(
                &format!("{sort} 3-5, 3-6, 3-11, 3-12"),
                given(going(), Some(with(content(made()), foreign))),
                &[],
                &[
                    gone.clone(),
                    (BODY, "/metadata/annotations", Value::Null),
                    (BODY, "/metadata/deletionTimestamp", Value::Null),
                ],
            );
        }
    }
    // D27, and a class that is gone is in nobody's way.
    let mut it = given(with(snapshot(deleted()), ready()), Some(content(made())));
    (it.classes, it.claim) = (vec![], None);
    check(
        "class 1-3",
        it,
        &[],
        &[(
            BODY,
            "/metadata/deletionTimestamp",
            json!("2026-01-01T00:00:00Z"),
        )],
    );
}
