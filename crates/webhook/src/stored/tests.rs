//! Moves objects in the embedded API server, from definitions as older releases had them.

use kube::api::PostParams;

use super::*;
use crate::cluster::{Cluster, create, merge};

const CONTENTS: &str = "volumegroupsnapshotcontents.groupsnapshot.storage.k8s.io";
const SNAPSHOTS: &str = "volumesnapshots.snapshot.storage.k8s.io";

/// The definition of this name, serving all it has and storing this version.
fn storing(name: &str, version: &str) -> Value {
    let all = tintype_api::crds().unwrap();
    let mut definition = all
        .into_iter()
        .find(|it| it["metadata"]["name"] == name)
        .unwrap();
    let versions = definition["spec"]["versions"].as_array_mut().unwrap();
    let schema = versions[0]["schema"].clone();
    for it in versions {
        it["storage"] = (it["name"] == version).into();
        it["served"] = true.into();
        if name == SNAPSHOTS {
            it["schema"] = schema.clone();
        }
    }
    definition
}

impl Cluster {
    /// Applies the definition with another version to store.
    async fn now_store(&self, name: &str, version: &str) {
        let mut definition = storing(name, version);
        let version = self.definition(name).await["metadata"]["resourceVersion"].clone();
        definition["metadata"]["resourceVersion"] = version;
        let object = serde_json::from_value(definition).unwrap();
        let definitions = self.definitions();
        definitions
            .replace(name, &PostParams::default(), &object)
            .await
            .unwrap();
    }

    fn objects(&self, name: &str, version: &str) -> Api<DynamicObject> {
        let resource = read::defined(&storing(name, version), version);
        if name == SNAPSHOTS {
            Api::namespaced_with(self.client.clone(), "default", &resource)
        } else {
            Api::all_with(self.client.clone(), &resource)
        }
    }

    async fn stored(&self, name: &str) -> Value {
        self.definition(name).await["status"]["storedVersions"].clone()
    }

    async fn migrated(&self) -> Verdict {
        migrate_in(&self.client).await.unwrap()
    }

    async fn snapshot(&self, name: &str) {
        let document = json!({"apiVersion": "snapshot.storage.k8s.io/v1beta1", "kind": "VolumeSnapshot",
            "metadata": {"name": name}, "spec": {"source": {"persistentVolumeClaimName": "c"}}});
        create(&self.objects(SNAPSHOTS, "v1beta1"), document).await;
    }

    async fn content(&self, name: &str, status: Value) {
        let document = json!({"apiVersion": "groupsnapshot.storage.k8s.io/v1beta1", "kind": "VolumeGroupSnapshotContent",
            "metadata": {"name": name}, "spec": {"driver": "d", "deletionPolicy": "Delete",
                "source": {"volumeHandles": ["v"]}, "volumeGroupSnapshotRef": {"name": "g", "namespace": "n"}}});
        let api = self.objects(CONTENTS, "v1beta1");
        create(&api, document).await;
        let patch = Patch::Merge(json!({ "status": status }));
        api.patch_status(name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }
}

fn versions(objects: &[Value]) -> Vec<&Value> {
    objects
        .iter()
        .map(|it| &it["metadata"]["resourceVersion"])
        .collect()
}

#[tokio::test]
async fn every_object_is_written_once_and_nothing_of_it_changes() {
    let cluster = Cluster::start(vec![storing(SNAPSHOTS, "v1beta1")]).await;
    for number in 0..20 {
        cluster.snapshot(&format!("s-{number}")).await;
    }
    cluster.now_store(SNAPSHOTS, "v1").await;
    assert_eq!(cluster.stored(SNAPSHOTS).await, json!(["v1beta1", "v1"]));
    let api = cluster.objects(SNAPSHOTS, "v1");
    let before = read::all(&api).await.unwrap();
    let verdict = cluster.migrated().await;
    assert!(!verdict.to_do, "{}", verdict.text);
    assert!(
        verdict
            .text
            .contains("20 written as v1; nothing is stored as v1beta1 any more"),
        "{}",
        verdict.text
    );
    assert_eq!(cluster.stored(SNAPSHOTS).await, json!(["v1"]));
    let mut after = read::all(&api).await.unwrap();
    assert!(
        versions(&before)
            .iter()
            .zip(versions(&after))
            .all(|(before, after)| *before != after)
    );
    for (before, after) in before.iter().zip(&mut after) {
        after["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
        assert_eq!(before, after);
    }
    // Now the old version can go; and to move again changes nothing.
    let mut definition = cluster.definition(SNAPSHOTS).await;
    definition["spec"]["versions"]
        .as_array_mut()
        .unwrap()
        .retain(|it| it["name"] == "v1");
    let object = serde_json::from_value(definition).unwrap();
    cluster
        .definitions()
        .replace(SNAPSHOTS, &PostParams::default(), &object)
        .await
        .unwrap();
    let before = read::all(&api).await.unwrap();
    let verdict = cluster.migrated().await;
    assert!(
        verdict.text.contains("all is stored as v1") && !verdict.to_do,
        "{}",
        verdict.text
    );
    assert_eq!(read::all(&api).await.unwrap(), before);
}

/// As 8.6 leaves a cluster that had 8.2: upstream loses the members with the first write.
#[tokio::test]
async fn d3_members_stored_in_the_old_version_are_moved_with_their_group() {
    let cluster = Cluster::start(vec![storing(CONTENTS, "v1beta1")]).await;
    let pairs = json!([{"volumeHandle": "v", "snapshotHandle": "s"}]);
    let status = json!({"readyToUse": true, "volumeGroupSnapshotHandle": "h", "volumeSnapshotHandlePairList": pairs});
    cluster.content("old", status).await;
    cluster.content("bare", json!({"readyToUse": false})).await;
    cluster.now_store(CONTENTS, "v1beta2").await;
    let api = cluster.objects(CONTENTS, "v1");
    let seen = read::document(api.get("old").await.unwrap());
    assert_eq!(
        seen["status"].get("volumeSnapshotInfoList"),
        None,
        "as a server without webhook shows it"
    );
    let verdict = cluster.migrated().await;
    assert!(!verdict.to_do, "{}", verdict.text);
    assert_eq!(cluster.stored(CONTENTS).await, json!(["v1beta2"]));
    let seen = read::document(api.get("old").await.unwrap());
    assert_eq!(
        seen["status"],
        json!({"readyToUse": true, "volumeGroupSnapshotHandle": "h", "volumeSnapshotInfoList": pairs})
    );
    let bare = read::document(api.get("bare").await.unwrap());
    assert_eq!(bare["status"], json!({"readyToUse": false}));
}

#[tokio::test]
async fn what_cannot_be_written_is_named_and_its_version_kept() {
    let cluster = Cluster::start(vec![storing(SNAPSHOTS, "v1beta1")]).await;
    cluster.snapshot("stubborn").await;
    cluster.now_store(SNAPSHOTS, "v1").await;
    let configurations = read::api(
        &cluster.client,
        ("admissionregistration.k8s.io", "v1"),
        "ValidatingWebhookConfiguration",
        None,
    );
    let webhook = json!({"name": "gone.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "failurePolicy": "Fail", "clientConfig": {"service": {"namespace": "default", "name": "gone"}},
        "rules": [{"apiGroups": ["snapshot.storage.k8s.io"], "apiVersions": ["*"], "operations": ["UPDATE"],
            "resources": ["volumesnapshots"]}]});
    let configuration = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "gone"}, "webhooks": [webhook]});
    create(&configurations, configuration).await;
    let verdict = cluster.migrated().await;
    assert!(verdict.to_do);
    let words: Vec<&str> = verdict.text.split_whitespace().collect();
    let text = words.join(" ");
    assert!(text.contains("VolumeSnapshot default/stubborn"), "{text}");
    assert_eq!(cluster.stored(SNAPSHOTS).await, json!(["v1beta1", "v1"]));
    merge(&configurations, "gone", &json!({"webhooks": []})).await;
    assert!(!cluster.migrated().await.to_do);
    assert_eq!(cluster.stored(SNAPSHOTS).await, json!(["v1"]));
}

#[tokio::test]
async fn a_version_that_nothing_can_be_moved_out_of_goes_only_if_nothing_is_in_it() {
    let mut first = storing(CONTENTS, "v1beta1");
    let mut oldest = first["spec"]["versions"][0].clone();
    oldest["name"] = "v1alpha1".into();
    oldest["storage"] = true.into();
    let versions = first["spec"]["versions"].as_array_mut().unwrap();
    for version in &mut *versions {
        version["storage"] = false.into();
    }
    versions.push(oldest);
    let cluster = Cluster::start(vec![first.clone()]).await;
    cluster.content("precious", json!({})).await;
    for version in first["spec"]["versions"].as_array_mut().unwrap() {
        version["storage"] = (version["name"] == "v1beta2").into();
    }
    merge(
        &cluster.definitions(),
        CONTENTS,
        &json!({"spec": first["spec"]}),
    )
    .await;
    let verdict = cluster.migrated().await;
    let words: Vec<&str> = verdict.text.split_whitespace().collect();
    assert!(
        verdict.to_do && words.join(" ").contains("deletionPolicy Retain"),
        "{}",
        verdict.text
    );
    assert_eq!(
        cluster.stored(CONTENTS).await,
        json!(["v1alpha1", "v1beta2"])
    );
    let api = cluster.objects(CONTENTS, "v1");
    api.delete("precious", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    assert!(!cluster.migrated().await.to_do);
    assert_eq!(cluster.stored(CONTENTS).await, json!(["v1beta2"]));
}

#[tokio::test]
async fn of_a_cluster_without_definitions_there_is_nothing_to_move() {
    let cluster = Cluster::start(Vec::new()).await;
    let verdict = cluster.migrated().await;
    assert!(verdict.text.starts_with("there is nothing to move") && !verdict.to_do);
}
