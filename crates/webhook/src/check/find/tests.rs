//! Clusters of older releases, and what is told of each.

use serde_json::json;
use tintype_api::{CrdOptions, crds, crds_with};

use super::versions::names;
use super::*;

const CONTENTS: &str = "volumegroupsnapshotcontents.groupsnapshot.storage.k8s.io";
const SNAPSHOTS: &str = "volumesnapshots.snapshot.storage.k8s.io";

/// A cluster with our definitions as they are.
fn cluster() -> Seen {
    let mut seen = Seen::default();
    for mut definition in crds().unwrap() {
        let stored = names(&definition, |it| it["storage"] == true).join(",");
        definition["status"] = json!({"storedVersions": [stored]});
        let name = definition["metadata"]["name"].as_str().unwrap().to_owned();
        seen.objects.insert(name.clone(), Ok(Vec::new()));
        seen.definitions.insert(name, definition);
    }
    seen
}

fn change(seen: &mut Seen, name: &str, pointer: &str, value: Value) {
    let definition = seen.definitions.get_mut(name).unwrap();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    definition.pointer_mut(parent).unwrap()[field] = value;
}

fn told(seen: &Seen) -> Vec<(Weight, String)> {
    let found = find(seen, &crds().unwrap());
    found
        .into_iter()
        .map(|it| (it.weight, format!("{}: {}", it.what, it.why)))
        .collect()
}

fn one(seen: &Seen) -> (Weight, String) {
    let all = told(seen);
    assert_eq!(all.len(), 1, "{all:?}");
    all.into_iter().next().unwrap()
}

#[test]
fn of_a_cluster_with_our_definitions_there_is_nothing_to_tell() {
    assert_eq!(told(&cluster()), []);
    assert_eq!(told(&Seen::default()), [], "nothing installed");
}

fn stored(seen: &mut Seen, name: &str, versions: &[&str]) {
    change(seen, name, "/status/storedVersions", json!(versions));
}

/// What makes a list that is not empty.
fn some_object(seen: &mut Seen, name: &str) {
    let definition = &seen.definitions[name];
    let names = &definition["spec"]["names"]["kind"];
    let good = if names == "VolumeSnapshot" {
        json!({"metadata": {"name": "s", "namespace": "n"}, "spec": {"source": {"persistentVolumeClaimName": "c"}}})
    } else {
        json!({"apiVersion": "groupsnapshot.storage.k8s.io/v1", "kind": "VolumeGroupSnapshotContent",
            "metadata": {"name": "g"}, "spec": {"driver": "d", "deletionPolicy": "Delete",
                "source": {"volumeHandles": ["v"]}, "volumeGroupSnapshotRef": {"name": "g", "namespace": "n"}}})
    };
    seen.objects.insert(name.to_owned(), Ok(vec![good]));
}

fn only(seen: &Seen) -> Finding {
    let mut found = find(seen, &crds().unwrap());
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn stored_versions_are_told_with_how_to_move_them() {
    let mut seen = cluster();
    stored(&mut seen, CONTENTS, &["v1alpha1", "v1beta2"]);
    // What is not there can be dropped.
    let found = only(&seen);
    assert_eq!(found.weight, Weight::Breaks);
    assert_eq!(found.cure, "before applying, tintype crds --migrate-stored");
    some_object(&mut seen, CONTENTS);
    let found = only(&seen);
    assert_eq!(found.weight, Weight::Breaks);
    assert!(found.cure.contains("deletionPolicy Retain"), "{found:?}");
    let mut seen = cluster();
    stored(&mut seen, SNAPSHOTS, &["v1beta1", "v1"]);
    some_object(&mut seen, SNAPSHOTS);
    let found = only(&seen);
    assert_eq!(found.weight, Weight::Note);
    assert_eq!(found.cure, "at leisure, tintype crds --migrate-stored");
}

/// As 4.0 left snapshots, and 7.0 groups.
#[test]
fn what_is_stored_now_can_be_moved_only_afterwards_or_not_at_all() {
    let mut seen = cluster();
    stored(&mut seen, SNAPSHOTS, &["v1beta1"]);
    change(
        &mut seen,
        SNAPSHOTS,
        "/spec/versions/0/storage",
        json!(false),
    );
    change(
        &mut seen,
        SNAPSHOTS,
        "/spec/versions/1/storage",
        json!(true),
    );
    some_object(&mut seen, SNAPSHOTS);
    let found = only(&seen);
    assert_eq!(found.weight, Weight::Note);
    assert_eq!(found.cure, "after applying, tintype crds --migrate-stored");
    let mut seen = cluster();
    let first = json!([{"name": "v1alpha1", "served": false, "storage": true}]);
    change(&mut seen, CONTENTS, "/spec/versions", first);
    stored(&mut seen, CONTENTS, &["v1alpha1"]);
    let found = only(&seen);
    assert!(
        found
            .cure
            .contains("kubectl delete crd volumegroupsnapshotcontents."),
        "{found:?}"
    );
    some_object(&mut seen, CONTENTS);
    let found = only(&seen);
    assert!(
        found.cure.starts_with("there is no way to move them"),
        "{found:?}"
    );
}

#[test]
fn who_keeps_a_definition_is_told() {
    let mut seen = cluster();
    change(
        &mut seen,
        SNAPSHOTS,
        "/metadata/labels",
        json!({"app.kubernetes.io/managed-by": "Helm"}),
    );
    let (weight, why) = one(&seen);
    assert!(
        weight == Weight::Note && why.contains("kept by Helm"),
        "{why}"
    );
}

#[test]
fn d3_members_that_a_move_would_lose_are_told_before() {
    let mut seen = cluster();
    stored(&mut seen, CONTENTS, &["v1beta1", "v1beta2"]);
    assert_eq!(one(&seen).0, Weight::Note, "there is nothing to lose");
    some_object(&mut seen, CONTENTS);
    let (weight, why) = one(&seen);
    assert_eq!(weight, Weight::Breaks);
    assert!(why.contains("lose their lists of members"), "{why}");
    assert_eq!(
        only(&seen).cure,
        "before applying, tintype crds --migrate-stored"
    );
    let webhook = CrdOptions {
        conversion: Some(tintype_api::ConversionWebhook::default()),
        ..CrdOptions::default()
    };
    let found = find(&seen, &crds_with(&webhook).unwrap());
    assert!(
        found.iter().all(|it| it.weight == Weight::Note),
        "{found:?}"
    );
    let lost = json!({"apiVersion": "groupsnapshot.storage.k8s.io/v1", "kind": "VolumeGroupSnapshotContent",
        "metadata": {"name": "g"}, "spec": {"driver": "d", "deletionPolicy": "Delete",
            "source": {"volumeHandles": ["v"]}, "volumeGroupSnapshotRef": {"name": "g", "namespace": "n"}},
        "status": {"volumeGroupSnapshotHandle": "h"}});
    let mut seen = cluster();
    seen.objects.insert(CONTENTS.to_owned(), Ok(vec![lost]));
    assert!(
        one(&seen)
            .1
            .starts_with("VolumeGroupSnapshotContent g: its list of members was lost")
    );
}

#[test]
fn a_version_that_would_not_be_served_any_more_is_told() {
    let mut seen = cluster();
    change(&mut seen, SNAPSHOTS, "/spec/versions/1/served", json!(true));
    let found = find(&seen, &crds().unwrap());
    assert_eq!(found.len(), 1);
    assert!(found[0].cure.contains("--serve-legacy"), "{found:?}");
    let legacy = CrdOptions {
        serve_legacy: true,
        ..CrdOptions::default()
    };
    assert_eq!(find(&seen, &crds_with(&legacy).unwrap()), []);
}

/// As 8.4 and 8.5 installed it.
#[test]
fn a_conversion_webhook_is_told_if_it_is_gone_silent_or_given_up() {
    let conversion = |bundle: &str| {
        json!({"strategy": "Webhook", "webhook": {"clientConfig": {"caBundle": bundle,
            "service": {"namespace": "default", "name": "snapshot-conversion-webhook-service"}}}})
    };
    let mut seen = cluster();
    change(&mut seen, CONTENTS, "/spec/conversion", conversion("QQ=="));
    assert_eq!(seen.named_services().len(), 1);
    let (weight, why) = one(&seen);
    assert!(
        weight == Weight::Breaks && why.contains("is not there"),
        "{why}"
    );
    seen.services = seen.named_services();
    assert!(one(&seen).1.contains("would not be asked any more"));
    change(&mut seen, CONTENTS, "/spec/conversion", conversion(""));
    assert!(one(&seen).1.contains("caBundle is empty"));
}

#[test]
fn objects_that_do_not_fit_are_told_by_name() {
    let mut seen = cluster();
    let bad = json!({"metadata": {"name": "s", "namespace": "n", "labels": {keys::LABEL_INVALID_SNAPSHOT: ""}},
        "spec": {"source": {}}, "status": {"readyToUse": 1}});
    seen.objects.insert(SNAPSHOTS.to_owned(), Ok(vec![bad]));
    let all = told(&seen);
    assert_eq!(all.len(), 2);
    assert!(all[0].1.starts_with("VolumeSnapshot n/s: status.readyToUse: 1: must be of type boolean; spec.source: {}: set one of"), "{all:?}");
    assert!(all[1].1.contains("carries the label"), "{all:?}");
    seen.objects
        .insert(SNAPSHOTS.to_owned(), Err("forbidden".to_owned()));
    assert!(
        one(&seen)
            .1
            .ends_with("its objects cannot be listed: forbidden")
    );
}

#[test]
fn two_default_classes_of_one_driver_are_told() {
    let class = |name: &str, driver: &str| {
        json!({"metadata": {"name": name, "annotations":
        {keys::ANNOTATION_DEFAULT_CLASS: "true"}}, "driver": driver, "deletionPolicy": "Delete"})
    };
    let mut seen = cluster();
    let all = vec![class("a", "d"), class("b", "e"), class("c", "d")];
    seen.objects.insert(
        "volumesnapshotclasses.snapshot.storage.k8s.io".to_owned(),
        Ok(all),
    );
    assert!(
        one(&seen)
            .1
            .starts_with("VolumeSnapshotClass a, c: each is the default of driver d")
    );
}

#[test]
fn a_validating_webhook_that_an_old_release_left_is_told() {
    let configuration = |policy: &str| {
        json!({"metadata": {"name": "validation-webhook.snapshot.storage.k8s.io"},
        "webhooks": [{"rules": [{"apiGroups": ["snapshot.storage.k8s.io"]}], "failurePolicy": policy,
            "clientConfig": {"service": {"namespace": "default", "name": "snapshot-validation-service"}}}]})
    };
    let mut seen = cluster();
    seen.configurations = vec![configuration("Ignore")];
    assert_eq!(one(&seen).0, Weight::Note);
    seen.configurations = vec![configuration("Fail")];
    let (weight, why) = one(&seen);
    assert!(
        weight == Weight::Breaks && why.ends_with("so each write is refused"),
        "{why}"
    );
    seen.services = seen.named_services();
    assert_eq!(told(&seen), []);
}
