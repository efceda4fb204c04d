//! Checks that claims and volumes find each other.

use super::*;

const VOLUMES: &str = "/api/v1/persistentvolumes";
const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";
const CLASSES: &str = "/apis/storage.k8s.io/v1/storageclasses";

fn volume(name: &str, more: &Value) -> Value {
    let mut volume = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": { "name": name },
        "spec": {
            "capacity": { "storage": "1Gi" },
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "manual",
            "csi": { "driver": "csi.example.com", "volumeHandle": name },
        },
    });
    json_patch::merge(&mut volume, more);
    volume
}

fn claim(name: &str, more: &Value) -> Value {
    let mut claim = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": { "name": name },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "manual",
            "resources": { "requests": { "storage": "1Gi" } },
        },
    });
    json_patch::merge(&mut claim, more);
    claim
}

fn phase(wanted: &str) -> impl Fn(Option<&Value>) -> bool {
    move |object| object.is_some_and(|object| object["status"]["phase"] == wanted)
}

impl Sandbox {
    async fn until_phase(&self, path: &str, wanted: &str) -> Value {
        self.until(path, phase(wanted)).await;
        self.get(path).await.expect("there")
    }
}

#[tokio::test]
async fn thousands_of_pairs_that_name_each_other_bind() {
    const PAIRS: usize = 1000;
    let sandbox = sandbox();
    let names: Vec<_> = (0..PAIRS).map(|i| format!("load-{i}")).collect();
    let reserved = |name: &String| {
        let claim = json!({ "namespace": "default", "name": name });
        sandbox.create(
            VOLUMES,
            volume(name, &json!({ "spec": { "claimRef": claim } })),
        )
    };
    futures::future::join_all(names.iter().map(reserved)).await;
    let naming = |name: &String| {
        sandbox.create(
            CLAIMS,
            claim(name, &json!({ "spec": { "volumeName": name } })),
        )
    };
    futures::future::join_all(names.iter().map(naming)).await;
    for name in &names {
        let bound = sandbox
            .until_phase(&format!("{CLAIMS}/{name}"), "Bound")
            .await;
        assert_eq!(bound["status"]["capacity"], json!({ "storage": "1Gi" }));
        assert_eq!(
            bound["metadata"]["annotations"],
            json!({ "pv.kubernetes.io/bind-completed": "yes" })
        );
        let volume = sandbox
            .get(&format!("{VOLUMES}/{name}"))
            .await
            .expect("there");
        assert_eq!(volume["status"]["phase"], "Bound");
        assert_eq!(volume["spec"]["claimRef"]["uid"], bound["metadata"]["uid"]);
    }
}

#[tokio::test]
async fn claims_share_out_the_volumes_that_match_and_the_rest_waits() {
    let sandbox = sandbox();
    for name in ["a", "b", "c"] {
        sandbox.create(CLAIMS, claim(name, &json!({}))).await;
    }
    for name in ["one", "two"] {
        sandbox.create(VOLUMES, volume(name, &json!({}))).await;
        sandbox
            .until_phase(&format!("{VOLUMES}/{name}"), "Bound")
            .await;
    }
    let big = json!({ "spec": { "capacity": { "storage": "5Gi" } } });
    sandbox.create(VOLUMES, volume("three", &big)).await;
    let mut taken = Vec::new();
    for name in ["a", "b", "c"] {
        let bound = sandbox
            .until_phase(&format!("{CLAIMS}/{name}"), "Bound")
            .await;
        assert_eq!(
            bound["metadata"]["annotations"]["pv.kubernetes.io/bound-by-controller"],
            "yes"
        );
        taken.push(
            bound["spec"]["volumeName"]
                .as_str()
                .expect("name")
                .to_owned(),
        );
    }
    taken.sort();
    assert_eq!(taken, ["one", "three", "two"]);
}

#[tokio::test]
async fn a_provisioner_is_asked_and_its_volume_bound() {
    let sandbox = sandbox();
    let class = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": { "name": "fast" }, "provisioner": "csi.example.com",
    });
    let path = format!("{CLAIMS}/c");
    let fast = json!({ "spec": { "storageClassName": "fast" } });
    sandbox.create(CLAIMS, claim("c", &fast)).await;
    sandbox.create(CLASSES, class).await;
    let asked = |claim: Option<&Value>| {
        let annotations = claim.map(|claim| &claim["metadata"]["annotations"]);
        annotations.is_some_and(|annotations| {
            annotations["volume.kubernetes.io/storage-provisioner"] == "csi.example.com"
                && annotations["volume.beta.kubernetes.io/storage-provisioner"] == "csi.example.com"
        })
    };
    sandbox.until(&path, asked).await;
    let uid = sandbox.get(&path).await.expect("there")["metadata"]["uid"].clone();
    let made = json!({
        "metadata": { "annotations": { "pv.kubernetes.io/provisioned-by": "csi.example.com" } },
        "spec": {
            "storageClassName": "fast",
            "persistentVolumeReclaimPolicy": "Delete",
            "claimRef": { "namespace": "default", "name": "c", "uid": uid },
        },
    });
    sandbox.create(VOLUMES, volume("pvc-1", &made)).await;
    let bound = sandbox.until_phase(&path, "Bound").await;
    assert_eq!(bound["spec"]["volumeName"], "pvc-1");
    sandbox.delete(&path, json!({})).await;
    sandbox
        .until_phase(&format!("{VOLUMES}/pvc-1"), "Released")
        .await;
}

#[tokio::test]
async fn a_class_that_waits_for_a_consumer_asks_once_a_node_is_selected() {
    let sandbox = sandbox();
    let class = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": { "name": "manual" }, "provisioner": "csi.example.com",
        "volumeBindingMode": "WaitForFirstConsumer",
    });
    sandbox.create(CLASSES, class).await;
    let waiting = sandbox.create(CLAIMS, claim("c", &json!({}))).await;
    assert_eq!(waiting["metadata"]["annotations"], Value::Null);
    let selected = json!({ "metadata": { "annotations": {
        "volume.kubernetes.io/selected-node": "n1",
    } } });
    let path = format!("{CLAIMS}/c");
    sandbox
        .client
        .call(Call::merge(&*path, selected))
        .await
        .expect("patched");
    let asked = |claim: Option<&Value>| {
        claim.is_some_and(|claim| {
            let annotations = &claim["metadata"]["annotations"];
            annotations["volume.kubernetes.io/storage-provisioner"] == "csi.example.com"
        })
    };
    sandbox.until(&path, asked).await;
}

#[tokio::test]
async fn a_bound_claim_whose_volume_is_forced_away_is_lost() {
    let sandbox = sandbox();
    sandbox.create(VOLUMES, volume("v", &json!({}))).await;
    sandbox.create(CLAIMS, claim("c", &json!({}))).await;
    let path = format!("{CLAIMS}/c");
    sandbox.until_phase(&path, "Bound").await;
    let volume_path = format!("{VOLUMES}/v");
    sandbox.delete(&volume_path, json!({})).await;
    let still_there = sandbox
        .get(&volume_path)
        .await
        .expect("bound volumes are protected");
    assert_eq!(still_there["status"]["phase"], "Bound");
    let unprotected = json!({ "metadata": { "finalizers": null } });
    sandbox
        .client
        .call(Call::merge(&*volume_path, unprotected))
        .await
        .expect("patched");
    let lost = sandbox.until_phase(&path, "Lost").await;
    assert_eq!(lost["spec"]["volumeName"], "v");
}

#[tokio::test]
async fn a_retained_volume_binds_again_once_its_claim_ref_is_removed() {
    let sandbox = sandbox();
    sandbox.create(VOLUMES, volume("v", &json!({}))).await;
    sandbox.create(CLAIMS, claim("first", &json!({}))).await;
    sandbox
        .until_phase(&format!("{CLAIMS}/first"), "Bound")
        .await;
    sandbox.create(CLAIMS, claim("second", &json!({}))).await;
    sandbox.delete(&format!("{CLAIMS}/first"), json!({})).await;
    let volume_path = format!("{VOLUMES}/v");
    sandbox.until_phase(&volume_path, "Released").await;
    let freed = json!({ "spec": { "claimRef": null } });
    sandbox
        .client
        .call(Call::merge(&*volume_path, freed))
        .await
        .expect("patched");
    sandbox
        .until_phase(&format!("{CLAIMS}/second"), "Bound")
        .await;
}
