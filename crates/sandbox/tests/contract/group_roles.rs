//! Group snapshots where definitions, rights or nodes are not all in one place from the start.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::runtime::conditions::is_crd_established;
use serde_json::json;
use tintype_api::{
    VolumeGroupSnapshot, VolumeGroupSnapshotContent, VolumeSnapshot, VolumeSnapshotContent, keys,
    names,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata};

use crate::groups::{
    CREATE, ask, ask_for, claims_are_free, class, complains, delete, label, members,
    nothing_is_left, ready, with_claims,
};
use crate::rig::{Rig, controller, snapshotter, snapshotter_on};

const GROUPS: &str = "groupsnapshot.storage.k8s.io";

/// Both roles anew, as if what they find now had been so from the start.
async fn start_again(rig: &mut Rig) {
    let next = controller(rig.client("snapshot-controller"), &[]);
    std::mem::replace(&mut rig.controller, next).stop().await;
    let next = snapshotter(rig.client("csi-snapshotter"), &rig.proxy, &[]);
    std::mem::replace(&mut rig.snapshotter, next).stop().await;
}

async fn a_single_lives(rig: &Rig, name: &str) {
    rig.cut(name, "data-0").await;
    rig.ready(name).await;
    rig.delete(name).await;
}

async fn a_group_lives(rig: &Rig) {
    let group = ready(rig, "nightly").await;
    assert_eq!(members(rig, &group).await.len(), 2);
    delete(rig, "nightly").await;
    nothing_is_left(rig).await;
    claims_are_free(rig).await;
}

#[tokio::test]
async fn definitions_of_groups_that_come_late_are_noticed_and_singles_never_wait() {
    let mut rig = with_claims(2, &json!({})).await;
    let definitions = rig.world.clusterwide::<CustomResourceDefinition>();
    let all = definitions.list(&ListParams::default()).await.unwrap();
    let of_groups = all.into_iter().filter(|it| it.spec.group == GROUPS);
    for definition in of_groups {
        let name = definition.metadata.name.unwrap();
        rig.world.delete(definitions.clone(), &name).await;
    }
    start_again(&mut rig).await;
    a_single_lives(&rig, "monday").await;

    for definition in tintype_api::crds().unwrap() {
        if definition["spec"]["group"] != GROUPS {
            continue;
        }
        let definition: CustomResourceDefinition = serde_json::from_value(definition).unwrap();
        let made = definitions
            .create(&PostParams::default(), &definition)
            .await;
        let name = made.unwrap().metadata.name.unwrap();
        rig.world
            .until(definitions.clone(), &name, is_crd_established())
            .await;
    }
    class(&rig, &json!({})).await;
    ask(&rig, "nightly").await;
    a_group_lives(&rig).await;
    a_single_lives(&rig, "tuesday").await;
    rig.stop().await;
}

/// Warnings of all roles in this thread.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<String>>);

impl Said {
    fn has(&self, words: &str) -> bool {
        self.0.lock().unwrap().contains(words)
    }
}

impl tracing::Subscriber for Said {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Line(&mut self.0.lock().unwrap()));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        writeln!(self.0, "{field}: {value:?}").unwrap();
    }
}

/// As under manifests of a version that had no groups.
#[tokio::test]
async fn a_missing_right_to_groups_is_told_and_not_taken_for_absence() {
    let said = Said::default();
    let _listens = tracing::subscriber::set_default(said.clone());
    let mut rig = with_claims(2, &json!({})).await;
    let roles = rig.world.clusterwide::<ClusterRole>();
    let mut before = Vec::new();
    for name in ["snapshot-controller-runner", "external-snapshotter-runner"] {
        let role = roles.get(name).await.unwrap();
        let all = role.rules.unwrap();
        let of_groups =
            |groups: &Option<Vec<String>>| groups.iter().flatten().any(|it| it == GROUPS);
        let mut rest = all.clone();
        rest.retain(|it| !of_groups(&it.api_groups));
        assert!(rest.len() < all.len());
        set_rules(&rig, name, json!(rest)).await;
        before.push((name, json!(all)));
    }
    start_again(&mut rig).await;
    a_single_lives(&rig, "monday").await;
    for kind in ["volumegroupsnapshots", "volumegroupsnapshotcontents"] {
        let words = format!("no right to read {kind} of {GROUPS}/v1");
        rig.until(&words, || said.has(&words)).await;
    }
    assert!(!said.has("install the definitions"));
    ask(&rig, "nightly").await;
    a_single_lives(&rig, "tuesday").await;
    let groups = rig.world.namespaced::<VolumeGroupSnapshot>();
    let untouched = groups.get("nightly").await.unwrap();
    assert_eq!(untouched.metadata.finalizers, None);
    assert!(untouched.status.is_none(), "{untouched:?}");

    for (name, rules) in before {
        set_rules(&rig, name, rules).await;
    }
    a_group_lives(&rig).await;
    rig.stop().await;
}

async fn set_rules(rig: &Rig, role: &str, rules: serde_json::Value) {
    let roles = rig.world.clusterwide::<ClusterRole>();
    let patch = Patch::Merge(json!({ "rules": rules }));
    let set = roles.patch(role, &PatchParams::default(), &patch).await;
    set.unwrap();
}

/// The volume of a claim can be reached from this node alone.
async fn place(rig: &Rig, claim: &str, node: &str) {
    let claims = rig.world.namespaced::<PersistentVolumeClaim>();
    let volume = claims.get(claim).await.unwrap().spec.unwrap().volume_name;
    let here = json!({"key": "kubernetes.io/hostname", "operator": "In", "values": [node]});
    let terms = json!([{ "matchExpressions": [here] }]);
    let placed = json!({"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}}});
    let (volume, placed) = (volume.unwrap(), Patch::Merge(placed));
    let volumes = rig.world.clusterwide::<PersistentVolume>();
    let how = PatchParams::default();
    volumes.patch(&volume, &how, &placed).await.unwrap();
    label(rig, claim, "node", node).await;
}

/// D21: upstream's sidecar on a node never sees a group.
#[tokio::test]
async fn d21_a_group_is_cut_by_the_sidecar_of_the_node_that_has_its_volumes() {
    let mut rig = with_claims(3, &json!({})).await;
    for name in ["node-a", "node-b"] {
        let labels = json!({"kubernetes.io/hostname": name});
        let node = json!({"metadata": {"name": name, "labels": labels}});
        let nodes = rig.world.clusterwide::<Node>();
        let node = serde_json::from_value(node).unwrap();
        nodes.create(&PostParams::default(), &node).await.unwrap();
    }
    rig.grant("snapshot-controller", "nodes", &["get", "list", "watch"])
        .await;
    for (claim, node) in [
        ("data-0", "node-a"),
        ("data-1", "node-a"),
        ("data-2", "node-b"),
    ] {
        place(&rig, claim, node).await;
    }
    let distributed = ["--enable-distributed-snapshotting"];
    let next = controller(rig.client("snapshot-controller"), &distributed);
    std::mem::replace(&mut rig.controller, next).stop().await;
    let on = |node| {
        let client = rig.client("csi-snapshotter");
        snapshotter_on(Some(node), client, &rig.proxy, &["--node-deployment"])
    };
    let (first, second) = (on("node-a"), on("node-b"));
    std::mem::replace(&mut rig.snapshotter, first).stop().await;

    ask(&rig, "everything").await;
    complains(&rig, "everything", "no node satisfies").await;
    delete(&rig, "everything").await;
    ask_for(&rig, "nightly", &json!({"node": "node-a"})).await;
    let group = ready(&rig, "nightly").await;
    let of_node = |labels: Option<&std::collections::BTreeMap<String, String>>| {
        labels
            .and_then(|it| it.get(keys::LABEL_MANAGED_BY))
            .cloned()
    };
    let content = names::group_content_name(group.metadata.uid.as_deref().unwrap());
    let contents = rig.world.clusterwide::<VolumeGroupSnapshotContent>();
    let content = contents.get(&content).await.unwrap();
    assert_eq!(
        of_node(content.metadata.labels.as_ref()).as_deref(),
        Some("node-a")
    );
    let made: Vec<VolumeSnapshot> = members(&rig, &group).await;
    assert_eq!(made.len(), 2);
    let singles = rig.world.clusterwide::<VolumeSnapshotContent>();
    for single in singles.list(&ListParams::default()).await.unwrap() {
        assert_eq!(
            of_node(single.metadata.labels.as_ref()).as_deref(),
            Some("node-a")
        );
    }
    assert_eq!(rig.proxy.count(CREATE), 1);
    // The other node cuts what is its own.
    rig.cut("monday", "data-2").await;
    rig.ready("monday").await;
    rig.delete("monday").await;
    delete(&rig, "nightly").await;
    nothing_is_left(&rig).await;
    claims_are_free(&rig).await;
    second.stop().await;
    rig.stop().await;
}
