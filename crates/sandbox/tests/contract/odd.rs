//! Objects nobody would write, and answers no driver should give, while the roles run: whoever is
//! in order is served as ever, and what is not says why.

use std::collections::BTreeMap;

use http::Request;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::client::Body;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use tintype_api::{VolumeSnapshot, VolumeSnapshotClass, VolumeSnapshotContent};
use tintype_csi::v1;

use crate::documents::{self, CONTENT, FOREIGN_UID};
use crate::proxy::Fault;
use crate::rig::{PATIENCE, Rig, class};

const DRIVER: &str = "csi.tintype.dev";
const CREATE: &str = "CreateSnapshot";
const LIST: &str = "ListSnapshots";

/// The same values in every run.
fn samples<S: Strategy>(count: usize, strategy: &S) -> Vec<S::Value> {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let sample = |_| strategy.new_tree(&mut runner).unwrap().current();
    (0..count).map(sample).collect()
}

/// Puts the document into this cluster: under a name of its own, and speaking of what is here.
fn settle(mut document: Value, at: usize, handle: &str) -> Value {
    let metadata = document["metadata"].as_object_mut().unwrap();
    for field in [
        "uid",
        "resourceVersion",
        "deletionTimestamp",
        "ownerReferences",
        "generation",
    ] {
        metadata.remove(field);
    }
    metadata.insert("name".to_owned(), format!("odd-{at}").into());
    if metadata.contains_key("namespace") {
        metadata.insert("namespace".to_owned(), "default".into());
    }
    let text = document.to_string();
    let text = text
        .replace(&format!("\"{CONTENT}\""), &format!("\"odd-{at}\""))
        .replace("\"monday\"", &format!("\"odd-{at}\""))
        .replace("\"ns\"", "\"default\"")
        .replace("\"snap-1\"", &format!("\"{handle}\""))
        .replace(
            &format!("\"{}\"", documents::DRIVER),
            &format!("\"{DRIVER}\""),
        )
        .replace(
            "\"gold\"",
            if at.is_multiple_of(2) {
                "\"tintype\""
            } else {
                "\"odd-0\""
            },
        );
    serde_json::from_str(&text).unwrap()
}

/// What the server made of a request, whatever it was.
async fn send(rig: &Rig, method: &str, path: &str, body: &Value) -> u16 {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(
            http::header::CONTENT_TYPE,
            if method == "PATCH" {
                "application/merge-patch+json"
            } else {
                "application/json"
            },
        )
        .body(Body::from(body.to_string().into_bytes()))
        .unwrap();
    let answer = rig.world.cluster.client().send(request).await.unwrap();
    answer.status().as_u16()
}

/// Creates the object and gives it its status; whether it was taken.
async fn put(rig: &Rig, collection: &str, at: usize, document: &Value) -> bool {
    let created = send(rig, "POST", collection, document).await;
    assert!([201, 400, 422].contains(&created), "{created}: {document}");
    if created != 201 {
        return false;
    }
    if !document["status"].is_null() {
        let path = format!("{collection}/odd-{at}/status");
        let status = json!({"status": document["status"]});
        let patched = send(rig, "PATCH", &path, &status).await;
        assert!(
            [200, 400, 404, 409, 422].contains(&patched),
            "{patched}: {status}"
        );
    }
    true
}

const API: &str = "/apis/snapshot.storage.k8s.io/v1";

/// Why this snapshot may rest as it is; none if nothing says so.
fn excuse(
    snapshot: &VolumeSnapshot,
    contents: &BTreeMap<String, VolumeSnapshotContent>,
) -> Option<&'static str> {
    let status = snapshot.status.as_ref();
    let error = status.and_then(|it| it.error.as_ref()?.message.as_ref());
    if snapshot.ready() {
        return Some("ready");
    }
    if error.is_some_and(|it| !it.is_empty()) {
        return Some("says why");
    }
    let bound = status.and_then(|it| it.bound_volume_snapshot_content_name.as_ref())?;
    let content = contents.get(bound)?;
    (content.spec.driver != DRIVER).then_some("for another driver")
}

/// The same for a content of our driver.
fn content_excuse(content: &VolumeSnapshotContent) -> Option<&'static str> {
    if content.spec.driver != DRIVER {
        return Some("for another driver");
    }
    let status = content.status.as_ref();
    if status.and_then(|it| it.ready_to_use) == Some(true) {
        return Some("ready");
    }
    let error = status.and_then(|it| it.error.as_ref()?.message.as_ref());
    error.is_some_and(|it| !it.is_empty()).then_some("says why")
}

async fn everybody(rig: &Rig) -> (Vec<VolumeSnapshot>, BTreeMap<String, VolumeSnapshotContent>) {
    let list = ListParams::default();
    let snapshots = rig
        .world
        .namespaced::<VolumeSnapshot>()
        .list(&list)
        .await
        .unwrap();
    let contents = rig.world.clusterwide::<VolumeSnapshotContent>();
    let contents = contents.list(&list).await.unwrap().items.into_iter();
    let named = contents
        .map(|it| (it.metadata.name.clone().unwrap(), it))
        .collect();
    (snapshots.items, named)
}

/// Waits until every object is ready or says why it is not.
async fn until_all_say_why(rig: &Rig) {
    let waiting = async {
        loop {
            let (snapshots, contents) = everybody(rig).await;
            let silent = snapshots.iter().any(|it| excuse(it, &contents).is_none())
                || contents.values().any(|it| content_excuse(it).is_none());
            if !silent {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
        let (snapshots, contents) = everybody(rig).await;
        let silent: Vec<_> = snapshots
            .iter()
            .filter(|it| excuse(it, &contents).is_none())
            .collect();
        let others: Vec<_> = contents
            .values()
            .filter(|it| content_excuse(it).is_none())
            .collect();
        panic!("nothing says why: {silent:#?} {others:#?}");
    }
}

#[tokio::test]
async fn among_objects_of_any_shape_good_ones_are_served_and_bad_ones_say_why() {
    let rig = Rig::start().await;
    rig.world.bound_claim("data", &json!({})).await;
    rig.cut("first", "data").await;
    rig.ready("first").await;
    let handle = rig.world.stored().await.1.remove(0);

    let (mut taken, mut refused) = (0, 0);
    let mut count = |it: bool| if it { taken += 1 } else { refused += 1 };
    for (at, document) in samples(20, &documents::class()).into_iter().enumerate() {
        let path = format!("{API}/volumesnapshotclasses");
        count(put(&rig, &path, at, &settle(document, at, &handle)).await);
    }
    let snapshots = samples(80, &documents::snapshot());
    let contents = samples(80, &documents::content());
    for (at, (snapshot, content)) in snapshots.into_iter().zip(contents).enumerate() {
        let path = format!("{API}/volumesnapshotcontents");
        count(put(&rig, &path, at, &settle(content, at, &handle)).await);
        let path = format!("{API}/namespaces/default/volumesnapshots");
        count(put(&rig, &path, at, &settle(snapshot, at, &handle)).await);
    }
    // The definitions keep out some of it, and by far not all.
    assert!(
        taken >= 40 && refused >= 40,
        "{taken} taken, {refused} refused"
    );

    for at in 0..5 {
        rig.cut(&format!("good-{at}"), "data").await;
    }
    for at in 0..5 {
        rig.ready(&format!("good-{at}")).await;
    }
    until_all_say_why(&rig).await;
    // Nobody was deleted, so nothing was destroyed.
    assert_eq!(rig.proxy.count("DeleteSnapshot"), 0);
    rig.delete("good-0").await;
    rig.stop().await;
}

/// Volumes and claims that do not fit together, each in its own way.
#[tokio::test]
async fn claims_and_volumes_that_do_not_fit_are_told_apart() {
    let rig = Rig::start().await;
    rig.world.bound_claim("data", &json!({})).await;
    let csi = json!({"driver": DRIVER, "volumeHandle": "vol"});
    let owner = |name: &str, uid: &str| json!({"namespace": "default", "name": name, "uid": uid});
    let cases = [
        ("nowhere", None),
        ("unclaimed", Some(json!({"csi": csi}))),
        (
            "another",
            Some(json!({"csi": csi, "claimRef": owner("another", FOREIGN_UID)})),
        ),
        (
            "local",
            Some(json!({"hostPath": {"path": "/tmp"},
            "claimRef": {"namespace": "default", "name": "local"}})),
        ),
    ];
    for (name, volume) in cases {
        if let Some(mut spec) = volume {
            spec["capacity"] = json!({"storage": "1Mi"});
            spec["accessModes"] = json!(["ReadWriteMany"]);
            spec["storageClassName"] = json!("");
            let body = json!({"metadata": {"name": name}, "spec": spec});
            assert_eq!(
                send(&rig, "POST", "/api/v1/persistentvolumes", &body).await,
                201
            );
        }
        // Nobody binds a claim that asks for more; somebody who may says that it is bound.
        let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
        let spec = json!({"volumeName": name, "storageClassName": "", "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}}});
        let body = json!({"metadata": {"name": name}, "spec": spec});
        assert_eq!(send(&rig, "POST", claims, &body).await, 201);
        let path = format!("{claims}/{name}/status");
        let bound = json!({"status": {"phase": "Bound"}});
        assert_eq!(send(&rig, "PATCH", &path, &bound).await, 200);
        rig.cut(name, name).await;
    }
    for name in ["nowhere", "unclaimed", "another", "local"] {
        let told = rig.complains(name, "\"").await;
        assert!(!told.ready(), "{told:?}");
    }
    rig.cut("good", "data").await;
    rig.ready("good").await;
    for name in ["nowhere", "unclaimed", "another", "local", "good"] {
        rig.delete(name).await;
    }
    rig.nothing_is_left().await;
    rig.stop().await;
}

/// A class that turns to another driver in the middle: said on the content, and in nobody's way.
#[tokio::test]
async fn a_class_that_changes_its_driver_is_said_and_does_not_hold_up_deletion() {
    let rig = Rig::start().await;
    rig.world.bound_claim("data", &json!({})).await;
    rig.world
        .create_clusterwide::<VolumeSnapshotClass>("turncoat", class(&json!({})))
        .await;
    let unready = || {
        Fault::change(|it: &mut v1::CreateSnapshotResponse| {
            it.snapshot.as_mut().unwrap().ready_to_use = false;
        })
    };
    rig.proxy.next(CREATE, (0..1_000).map(|_| unready()));
    let source = json!({"persistentVolumeClaimName": "data"});
    let spec = json!({"volumeSnapshotClassName": "turncoat", "source": source});
    rig.world
        .create::<VolumeSnapshot>("monday", json!({ "spec": spec }))
        .await;
    rig.told("default", "monday", &["SnapshotCreated"]).await;
    let classes = rig.world.clusterwide::<VolumeSnapshotClass>();
    let patch = json!({"driver": "another.example"});
    let params = PatchParams::default();
    classes
        .patch("turncoat", &params, &Patch::Merge(&patch))
        .await
        .unwrap();
    rig.complains("monday", "is for driver another.example")
        .await;
    rig.delete("monday").await;
    rig.nothing_is_left().await;
    assert!(rig.proxy.count("DeleteSnapshot") >= 1);
    rig.stop().await;
}

/// Ids, sizes and times of every kind, and none.
fn odd_snapshot() -> impl Strategy<Value = Option<v1::Snapshot>> {
    let text = prop_oneof![
        Just(String::new()),
        Just("another".to_owned()),
        "\\PC{1,40}"
    ];
    let size = prop_oneof![
        Just(0),
        Just(-1),
        Just(i64::MIN),
        Just(i64::MAX),
        any::<i64>()
    ];
    let seconds = prop_oneof![Just(0), Just(i64::MIN), Just(i64::MAX), any::<i64>()];
    let time = proptest::option::of((seconds, any::<i32>()));
    let all = (text.clone(), text.clone(), text, size, time, any::<bool>());
    let snapshot =
        all.prop_map(
            |(id, source, group, size_bytes, time, ready_to_use)| v1::Snapshot {
                snapshot_id: id,
                source_volume_id: source,
                group_snapshot_id: group,
                size_bytes,
                creation_time: time
                    .map(|(seconds, nanos)| prost_types::Timestamp { seconds, nanos }),
                ready_to_use,
            },
        );
    proptest::option::weighted(0.8, snapshot)
}

/// What stands in the status of a content is of the definition's kind, whatever the driver said.
fn conforms(content: &VolumeSnapshotContent) {
    let status = content.status.as_ref().unwrap();
    assert!(
        status
            .snapshot_handle
            .as_ref()
            .is_some_and(|it| !it.is_empty()),
        "{status:?}"
    );
    assert!(status.restore_size.is_none_or(|it| it > 0), "{status:?}");
    // Absent is now, and never 1970.
    assert!(
        status
            .creation_time
            .is_some_and(|it| !(0..=1_600_000_000_000_000_000).contains(&it)),
        "{status:?}"
    );
}

#[tokio::test]
async fn whatever_the_driver_answers_to_a_cut_it_ends_well() {
    let rig = Rig::start().await;
    rig.world.bound_claim("data", &json!({})).await;
    for (at, snapshot) in samples(40, &odd_snapshot()).into_iter().enumerate() {
        // A group's handle is for the group's sidecar to follow; here nobody makes groups.
        let snapshot = snapshot.map(|mut it| {
            it.group_snapshot_id.clear();
            if it.creation_time.as_ref().is_some_and(|it| it.seconds == 0) {
                it.creation_time = None;
            }
            it
        });
        let lie = Fault::change(move |it: &mut v1::CreateSnapshotResponse| {
            it.snapshot.clone_from(&snapshot);
        });
        rig.proxy.next(CREATE, [lie]);
        let name = format!("odd-{at}");
        rig.cut(&name, "data").await;
        let ready = rig.ready(&name).await;
        let contents = rig.world.clusterwide::<VolumeSnapshotContent>();
        let content = format!("snapcontent-{}", ready.metadata.uid.unwrap());
        conforms(&contents.get(&content).await.unwrap());
        rig.delete(&name).await;
    }
    rig.stop().await;
}

#[tokio::test]
async fn whatever_the_driver_lists_an_imported_snapshot_is_what_it_was() {
    let rig = Rig::start().await;
    rig.world.bound_claim("data", &json!({})).await;
    rig.cut("monday", "data").await;
    rig.ready("monday").await;
    let handle = rig.world.stored().await.1.remove(0);
    let lists = proptest::collection::vec(odd_snapshot(), 0..3);
    for entries in samples(20, &lists) {
        let lie = Fault::change(move |it: &mut v1::ListSnapshotsResponse| {
            let entry = |snapshot| v1::list_snapshots_response::Entry { snapshot };
            it.entries = entries.iter().cloned().map(entry).collect();
        });
        rig.proxy.next(LIST, [lie]);
    }
    let snapshot_ref = json!({"name": "imported", "namespace": "default"});
    let content = json!({"spec": {"driver": DRIVER, "deletionPolicy": "Delete",
        "source": {"snapshotHandle": handle}, "volumeSnapshotRef": snapshot_ref}});
    rig.world
        .create_clusterwide::<VolumeSnapshotContent>("imported", content)
        .await;
    let source = json!({"volumeSnapshotContentName": "imported"});
    rig.world
        .create::<VolumeSnapshot>("imported", json!({"spec": {"source": source}}))
        .await;
    rig.ready("imported").await;
    let contents = rig.world.clusterwide::<VolumeSnapshotContent>();
    let status = contents.get("imported").await.unwrap().status.unwrap();
    assert_eq!(status.snapshot_handle.as_deref(), Some(&*handle));
    assert_eq!(rig.proxy.count("DeleteSnapshot"), 0);
    assert_eq!(rig.world.stored().await.1, [handle]);
    let delete = DeleteParams::default();
    rig.world
        .namespaced::<VolumeSnapshot>()
        .delete("monday", &delete)
        .await
        .unwrap();
    rig.stop().await;
}
