//! Plans restores of one snapshot, and refuses what cannot be.

use super::*;

fn read<T: serde::de::DeserializeOwned>(document: Value) -> T {
    serde_json::from_value(document).unwrap()
}

fn class(name: &str, driver: &str, default: bool) -> (StorageClass, bool) {
    let class = json!({"metadata": {"name": name}, "provisioner": driver});
    (StorageClass::of(&read(class)), default)
}

/// A ready snapshot of shop/data, of driver d, with class fast.
fn source() -> Source {
    Source {
        snapshot: read(json!({"metadata": {"namespace": "shop", "name": "monday"},
            "spec": {"source": {"persistentVolumeClaimName": "data"}},
            "status": {"readyToUse": true, "restoreSize": "1Gi",
                "boundVolumeSnapshotContentName": "content"}})),
        content: Some(read(json!({"metadata": {"name": "content"},
            "spec": {"driver": "d", "deletionPolicy": "Delete", "source": {"volumeHandle": "v"},
                "sourceVolumeMode": "Block", "volumeSnapshotClassName": "snap",
                "volumeSnapshotRef": {"namespace": "shop", "name": "monday"}},
            "status": {"snapshotHandle": "s-1", "readyToUse": true}}))),
        claim: Some(SourceClaim {
            class: Some("fast".to_owned()),
            access_modes: vec!["ReadWriteMany".to_owned()],
            size: Some("2Gi".to_owned()),
        }),
        classes: vec![class("fast", "d", false), class("other", "e", true)],
    }
}

fn target(namespace: &str) -> Target {
    Target {
        namespace: namespace.to_owned(),
        claim: "copy".to_owned(),
        class: None,
        size: None,
    }
}

#[test]
fn within_a_namespace_only_a_claim_is_needed() {
    let plan = plan(&source(), &target("shop")).unwrap();
    assert_eq!(plan.documents().len(), 1);
    let spec = &plan.claim.data["spec"];
    assert_eq!(spec["dataSource"]["name"], "monday");
    assert_eq!(spec["storageClassName"], "fast");
    assert_eq!(spec["resources"]["requests"]["storage"], "1Gi");
    assert_eq!(spec["accessModes"], json!(["ReadWriteMany"]));
    assert_eq!(spec["volumeMode"], "Block");
    assert_eq!(plan.removal(), None);
}

#[test]
fn into_another_namespace_the_handle_is_imported_and_kept() {
    let plan = plan(&source(), &target("dev")).unwrap();
    let import = plan.import.as_ref().unwrap();
    let spec = &import.content.data["spec"];
    assert_eq!(spec["deletionPolicy"], "Retain");
    assert_eq!(spec["source"], json!({"snapshotHandle": "s-1"}));
    assert_eq!(spec["volumeSnapshotRef"]["name"], "import-copy");
    assert_eq!(spec["volumeSnapshotRef"]["namespace"], "dev");
    assert_eq!(spec["sourceVolumeMode"], "Block");
    let snapshot = &import.snapshot.data["spec"];
    assert_eq!(
        snapshot["source"]["volumeSnapshotContentName"],
        "import-dev-copy"
    );
    assert_eq!(plan.claim.data["spec"]["dataSource"]["name"], "import-copy");
    assert_eq!(plan.claim.metadata.namespace.as_deref(), Some("dev"));
    assert_eq!(import.snapshot.annotations()[IMPORTED_FROM], "shop/monday");
    let removal = plan.removal().unwrap();
    assert!(
        removal.ends_with("volumesnapshotcontent/import-dev-copy"),
        "{removal}"
    );
}

#[track_caller]
fn refused(source: &Source, target: &Target, words: &str) {
    let refusal = plan(source, target).unwrap_err().to_string();
    assert!(refusal.contains(words), "{refusal}");
}

#[test]
fn what_is_not_ready_is_refused_with_its_cause() {
    let mut failed = source();
    let status = failed.snapshot.status.as_mut().unwrap();
    status.ready_to_use = Some(false);
    refused(&failed, &target("dev"), "tintype doctor");
    let mut gone = source();
    gone.content = None;
    refused(&gone, &target("dev"), "content does not exist");
    let mut bare = source();
    bare.content.as_mut().unwrap().status = None;
    refused(&bare, &target("dev"), "no status.snapshotHandle");
}

#[test]
fn the_class_is_of_the_snapshots_driver() {
    let wanted = |class: &str| Target {
        class: Some(class.to_owned()),
        ..target("dev")
    };
    refused(&source(), &wanted("none"), "--class none does not exist");
    refused(&source(), &wanted("other"), "of driver e");
    let mut several = source();
    several.claim = None;
    several.classes.push(class("slow", "d", false));
    refused(&several, &target("dev"), "driver d has fast, slow");
    several.classes.push(class("best", "d", true));
    let found = plan(&several, &target("dev")).unwrap();
    assert_eq!(found.claim.data["spec"]["storageClassName"], "best");
    several.classes.clear();
    refused(&several, &target("dev"), "driver d has none");
}

#[test]
fn the_size_is_what_the_snapshot_needs_or_its_claim_had() {
    let wanted = |size: &str| Target {
        size: Some(size.to_owned()),
        ..target("dev")
    };
    refused(&source(), &wanted("1Mi"), "give at least 1Gi");
    refused(&source(), &wanted("much"), "--size much is no size");
    let larger = plan(&source(), &wanted("5Gi")).unwrap();
    assert_eq!(
        larger.claim.data["spec"]["resources"]["requests"]["storage"],
        "5Gi"
    );
    let mut silent = source();
    silent.snapshot.status.as_mut().unwrap().restore_size = None;
    let found = plan(&silent, &target("dev")).unwrap();
    assert_eq!(
        found.claim.data["spec"]["resources"]["requests"]["storage"],
        "2Gi"
    );
    silent.claim = None;
    refused(&silent, &target("dev"), "give --size");
    let mut sizeless = source();
    sizeless.snapshot.status.as_mut().unwrap().restore_size = None;
    sizeless.claim.as_mut().unwrap().size = None;
    refused(&sizeless, &target("dev"), "give --size");
}
