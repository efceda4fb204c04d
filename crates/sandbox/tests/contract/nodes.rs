//! Provisioners on each node, and the objects that tell how much room there is where.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use k8s_openapi::api::core::v1::{Node as NodeObject, PersistentVolumeClaim, Pod as PodObject};
use k8s_openapi::api::storage::v1::{CSINode, CSIStorageCapacity, StorageClass};
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};
use tintype_csi::v1::{
    GetCapacityRequest, GetCapacityResponse, GetPluginCapabilitiesRequest,
    GetPluginCapabilitiesResponse, PluginCapability, plugin_capability,
};
use tintype_sidecar::provisioner::Pod;

use crate::proxy::Fault;
use crate::rig::{Log, PATIENCE, Rig, Running, account_client, provisioner};

const MEBIBYTE: i64 = 1 << 20;

async fn start(pod: Pod, line: &[&str]) -> (Rig, Running) {
    let all = &["snapshot-controller", "csi-snapshotter", "csi-provisioner"];
    let rig = Rig::start_with(|options| options.without = all).await;
    let class =
        json!({"provisioner": "csi.tintype.dev", "volumeBindingMode": "WaitForFirstConsumer"});
    rig.world
        .create_clusterwide::<StorageClass>("late", class)
        .await;
    let client = account_client(&rig.world.cluster, "csi-provisioner", &Log::default());
    let provisioner = provisioner(client, &rig.proxy, pod, line);
    (rig, provisioner)
}

fn capacities(rig: &Rig) -> Api<CSIStorageCapacity> {
    Api::namespaced(rig.world.cluster.client(), "kube-system")
}

/// Waits until the objects are as they should be.
async fn told(rig: &Rig, holds: impl Fn(&[CSIStorageCapacity]) -> bool) -> Vec<CSIStorageCapacity> {
    let api = capacities(rig);
    let waiting = async {
        loop {
            let all = api.list(&ListParams::default()).await.unwrap().items;
            if holds(&all) {
                return all;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    if let Ok(all) = tokio::time::timeout(PATIENCE, waiting).await {
        return all;
    }
    let all = api.list(&ListParams::default()).await.unwrap().items;
    panic!("still {all:?}")
}

fn says(all: &[CSIStorageCapacity], capacity: &str) -> bool {
    matches!(all, [one] if one.capacity.as_ref().is_some_and(|it| it.0 == capacity))
}

async fn pod(rig: &Rig) -> PodObject {
    let pods: Api<PodObject> = Api::namespaced(rig.world.cluster.client(), "kube-system");
    let pod = json!({"metadata": {"name": "provisioner-0"},
        "spec": {"containers": [{"name": "provisioner", "image": "none"}]}});
    let pod = serde_json::from_value(pod).unwrap();
    pods.create(&PostParams::default(), &pod).await.unwrap()
}

#[tokio::test]
async fn room_is_told_of_each_class_that_binds_late_and_follows_the_driver() {
    let all = &["snapshot-controller", "csi-snapshotter", "csi-provisioner"];
    let rig = Rig::start_with(|options| options.without = all).await;
    let late =
        json!({"provisioner": "csi.tintype.dev", "volumeBindingMode": "WaitForFirstConsumer"});
    let classes = rig.world.clusterwide::<StorageClass>();
    rig.world
        .create_clusterwide::<StorageClass>("late", late)
        .await;
    let owner = pod(&rig).await;
    // What an earlier run left for a topology that is gone.
    let labels = json!({"csi.storage.k8s.io/drivername": "csi.tintype.dev",
        "csi.storage.k8s.io/managed-by": "external-provisioner"});
    let stale: Value = json!({"metadata": {"name": "csisc-stale", "labels": labels},
        "storageClassName": "late", "nodeTopology": {"matchLabels": {"zone": "gone"}},
        "capacity": "7Gi"});
    let stale = serde_json::from_value(stale).unwrap();
    let made = capacities(&rig)
        .create(&PostParams::default(), &stale)
        .await;
    made.unwrap();
    let room = Arc::new(AtomicI64::new(5 * MEBIBYTE));
    let answers = room.clone();
    let change = Fault::change(move |it: &mut GetCapacityResponse| {
        it.available_capacity = answers.load(Ordering::SeqCst);
    });
    rig.proxy.next("GetCapacity", vec![change; 100_000]);
    let client = account_client(&rig.world.cluster, "csi-provisioner", &Log::default());
    let pod = Pod {
        name: Some("provisioner-0".to_owned()),
        namespace: Some("kube-system".to_owned()),
        node: None,
    };
    let line = [
        "--enable-capacity",
        "--capacity-ownerref-level=0",
        "--capacity-poll-interval=50ms",
        "--kube-api-capacity-qps=1000",
    ];
    let provisioner = provisioner(client, &rig.proxy, pod, &line);

    let found = told(&rig, |all| says(all, "5Mi")).await;
    assert_eq!(found[0].storage_class_name, "late");
    let metadata = &found[0].metadata;
    assert_eq!(serde_json::to_value(&metadata.labels).unwrap(), labels);
    let owners = metadata.owner_references.as_ref().unwrap();
    assert_eq!(Some(&owners[0].uid), owner.metadata.uid.as_ref());

    room.store(3 * MEBIBYTE, Ordering::SeqCst);
    told(&rig, |all| says(all, "3Mi")).await;

    let name = found[0].metadata.name.clone().unwrap();
    let deleted = capacities(&rig)
        .delete(&name, &DeleteParams::default())
        .await;
    deleted.unwrap();
    told(&rig, |all| {
        says(all, "3Mi") && all[0].metadata.name.as_ref() != Some(&name)
    })
    .await;

    let deleted = classes.delete("late", &DeleteParams::default()).await;
    deleted.unwrap();
    told(&rig, <[_]>::is_empty).await;
    provisioner.stop().await;
    rig.stop().await;
}

#[tokio::test]
async fn a_provisioner_on_each_node_takes_what_is_its_own() {
    let pod = Pod {
        node: Some("node-a".to_owned()),
        namespace: Some("kube-system".to_owned()),
        name: None,
    };
    let line = [
        "--node-deployment",
        "--node-deployment-base-delay=10ms",
        "--node-deployment-max-delay=20ms",
        "--enable-capacity",
        "--capacity-ownerref-level=-1",
    ];
    let (rig, provisioner) = start(pod, &line).await;
    let claim = |node: &str| {
        json!({"metadata": {"annotations": {"volume.kubernetes.io/selected-node": node}},
            "spec": {"storageClassName": "late", "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "16Mi"}}}})
    };
    let create = |name: &'static str, body: Value| {
        let claims = rig.world.namespaced::<PersistentVolumeClaim>();
        async move {
            let mut body = body;
            body["metadata"]["name"] = name.into();
            let body = serde_json::from_value(body).unwrap();
            claims.create(&PostParams::default(), &body).await.unwrap();
        }
    };
    create("theirs", claim("node-b")).await;
    create("ours", claim("node-a")).await;
    let claims = || rig.world.namespaced::<PersistentVolumeClaim>();
    rig.world
        .until(claims(), "ours", crate::rig::is_bound)
        .await;
    // Nobody placed a pod for this one: the first node takes it.
    let free = rig.world.bound_claim("free", &json!({})).await;
    let annotations = free.metadata.annotations.unwrap();
    assert_eq!(annotations["volume.kubernetes.io/selected-node"], "node-a");
    let theirs = claims().get("theirs").await.unwrap();
    let marks = theirs.metadata.finalizers.unwrap_or_default();
    let ours = |it: &&String| it.starts_with("provisioner.tintype.dev/");
    assert_eq!(marks.iter().find(ours), None);
    assert_eq!(rig.world.stored().await.0.len(), 2);
    let found = told(&rig, |all| all.len() == 1).await;
    let labels = found[0].metadata.labels.as_ref().unwrap();
    assert_eq!(
        labels["csi.storage.k8s.io/managed-by"],
        "external-provisioner-node-a"
    );
    assert_eq!(found[0].metadata.owner_references, None);
    provisioner.stop().await;
    rig.stop().await;
}

/// A node of the driver in this zone.
async fn node_in(rig: &Rig, name: &str, zone: &str) {
    let node = json!({"metadata": {"name": name, "labels": {"zone": zone}}});
    let nodes = rig.world.clusterwide::<NodeObject>();
    let node = serde_json::from_value(node).unwrap();
    nodes.create(&PostParams::default(), &node).await.unwrap();
    let drivers = json!([{"name": "csi.tintype.dev", "nodeID": name, "topologyKeys": ["zone"]}]);
    let csi_node = json!({"metadata": {"name": name}, "spec": {"drivers": drivers}});
    let csi_nodes = rig.world.clusterwide::<CSINode>();
    let csi_node = serde_json::from_value(csi_node).unwrap();
    csi_nodes
        .create(&PostParams::default(), &csi_node)
        .await
        .unwrap();
}

/// The driver is on nodes of zones, and has mebibytes of room in each.
fn zones(rig: &Rig, room: &'static [(&'static str, i64)]) {
    rig.proxy.script(
        "GetPluginCapabilities",
        |_: GetPluginCapabilitiesRequest| {
            Some(Fault::change(|it: &mut GetPluginCapabilitiesResponse| {
                let service = plugin_capability::Service {
                    r#type: plugin_capability::service::Type::VolumeAccessibilityConstraints.into(),
                };
                it.capabilities.push(PluginCapability {
                    r#type: Some(plugin_capability::Type::Service(service)),
                });
            }))
        },
    );
    rig.proxy
        .script("GetCapacity", move |ask: GetCapacityRequest| {
            let segments = ask.accessible_topology.unwrap_or_default().segments;
            let zone = segments.get("zone").cloned().unwrap_or_default();
            let room = room.iter().find(|it| it.0 == zone).map_or(0, |it| it.1);
            Some(Fault::change(move |it: &mut GetCapacityResponse| {
                it.available_capacity = room * MEBIBYTE;
            }))
        });
}

/// Zone and room of each object, and the kind of who owns it.
fn by_zone(all: &[CSIStorageCapacity]) -> BTreeSet<(String, String, String)> {
    let row = |it: &CSIStorageCapacity| {
        let labels = it.node_topology.as_ref()?.match_labels.as_ref()?;
        let owners = it.metadata.owner_references.as_ref()?;
        let zone = labels.get("zone")?.clone();
        Some((
            zone,
            it.capacity.as_ref()?.0.clone(),
            owners[0].kind.clone(),
        ))
    };
    all.iter().filter_map(row).collect()
}

/// An object of `apps/v1` that makes no pods, controlled by another.
async fn workload(rig: &Rig, kind: &str, owner: Option<&Value>) -> Value {
    let labels = json!({"app": "provisioner"});
    let template = json!({"metadata": {"labels": labels},
        "spec": {"containers": [{"name": "provisioner", "image": "none"}]}});
    let object = json!({"apiVersion": "apps/v1", "kind": kind,
        "metadata": {"name": "provisioner", "ownerReferences": owner.map(|it| [it])},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}});
    let path = format!(
        "/apis/apps/v1/namespaces/kube-system/{}s",
        kind.to_lowercase()
    );
    let request = http::Request::post(path)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(object.to_string().into_bytes())
        .unwrap();
    let made: Value = rig.world.cluster.client().request(request).await.unwrap();
    json!({"apiVersion": "apps/v1", "kind": kind, "name": "provisioner",
        "uid": made["metadata"]["uid"], "controller": true})
}

#[tokio::test]
async fn room_is_told_of_each_zone_in_the_name_of_whoever_is_to_own_it() {
    let all = &["snapshot-controller", "csi-snapshotter", "csi-provisioner"];
    let rig = Rig::start_with(|options| options.without = all).await;
    let late =
        json!({"provisioner": "csi.tintype.dev", "volumeBindingMode": "WaitForFirstConsumer"});
    rig.world
        .create_clusterwide::<StorageClass>("late", late)
        .await;
    zones(&rig, &[("a", 5), ("b", 3), ("c", 7)]);
    for (name, zone) in [("n1", "a"), ("n2", "a"), ("n3", "b")] {
        node_in(&rig, name, zone).await;
    }
    let deployment = workload(&rig, "Deployment", None).await;
    let replicas = workload(&rig, "ReplicaSet", Some(&deployment)).await;
    let pods: Api<PodObject> = Api::namespaced(rig.world.cluster.client(), "kube-system");
    let pod = json!({"metadata": {"name": "provisioner-0", "ownerReferences": [replicas]},
        "spec": {"containers": [{"name": "provisioner", "image": "none"}]}});
    let pod = serde_json::from_value(pod).unwrap();
    pods.create(&PostParams::default(), &pod).await.unwrap();

    let wanted = |zones: &[(&str, &str)], owner: &str| -> BTreeSet<_> {
        let row = |it: &(&str, &str)| (it.0.to_owned(), it.1.to_owned(), owner.to_owned());
        zones.iter().map(row).collect()
    };
    for (level, owner) in ["Pod", "ReplicaSet", "Deployment"].iter().enumerate() {
        let client = account_client(&rig.world.cluster, "csi-provisioner", &Log::default());
        let pod = Pod {
            name: Some("provisioner-0".to_owned()),
            namespace: Some("kube-system".to_owned()),
            node: None,
        };
        let level = format!("--capacity-ownerref-level={level}");
        let line = [
            "--enable-capacity",
            "--capacity-poll-interval=50ms",
            "--kube-api-capacity-qps=1000",
            &level,
        ];
        let provisioner = provisioner(client, &rig.proxy, pod, &line);
        // One object for each zone, however many nodes it has.
        let two = wanted(&[("a", "5Mi"), ("b", "3Mi")], owner);
        told(&rig, |all| all.len() == 2 && by_zone(all) == two).await;
        node_in(&rig, "n4", "c").await;
        let three = wanted(&[("a", "5Mi"), ("b", "3Mi"), ("c", "7Mi")], owner);
        told(&rig, |all| all.len() == 3 && by_zone(all) == three).await;
        // The last node of a zone goes, and the object of the zone with it.
        let nodes = rig.world.clusterwide::<NodeObject>();
        rig.world.delete(nodes, "n4").await;
        rig.world
            .delete(rig.world.clusterwide::<CSINode>(), "n4")
            .await;
        told(&rig, |all| all.len() == 2 && by_zone(all) == two).await;
        provisioner.stop().await;
    }
    rig.stop().await;
}
