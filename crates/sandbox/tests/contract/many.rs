//! Many snapshots at once, namespaces that go with all in them, and what each costs in requests.

use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim};
use kube::{
    Api,
    api::{DeleteParams, ListParams, PostParams},
    core::{ApiResource, DynamicObject},
};
use serde_json::{Value, json};
use tintype_api::{VolumeSnapshot, VolumeSnapshotContent, keys};

use crate::rig::{PATIENCE, Rig, work};

const AT_ONCE: usize = 16;

async fn post(rig: &Rig, name: String) {
    rig.cut(&name, "data").await;
}

#[tokio::test]
async fn d16_two_hundred_snapshots_of_one_claim() {
    let rig = Rig::start().await;
    rig.world.bound_claim("data", &json!({})).await;
    let names: Vec<String> = (0..200).map(|at| format!("snap-{at:03}")).collect();
    stream::iter(names.clone())
        .for_each_concurrent(AT_ONCE, |name| post(&rig, name))
        .await;
    for name in &names {
        rig.ready(name).await;
    }
    assert_eq!(rig.world.stored().await.1.len(), 200);
    // The claim is protected and let go for all of them together, not once for each.
    let puts = work(&rig.log)
        .get("PUT persistentvolumeclaims 200")
        .copied();
    assert!(puts.is_some_and(|it| it < 200), "{puts:?}");
    let claims = rig.world.namespaced::<PersistentVolumeClaim>();
    let free = |it: Option<&PersistentVolumeClaim>| {
        let held = it
            .and_then(|it| it.metadata.finalizers.clone())
            .unwrap_or_default();
        !held.iter().any(|it| it == keys::FINALIZER_CLAIM_AS_SOURCE)
    };
    rig.world.until(claims, "data", free).await;
    rig.stop().await;
}

#[tokio::test]
async fn a_thousand_made_and_deleted_at_once_leave_nothing() {
    let rig = Rig::start().await;
    rig.world.bound_claim("data", &json!({})).await;
    let snapshots = rig.world.namespaced::<VolumeSnapshot>();
    stream::iter(0..1000)
        .for_each_concurrent(AT_ONCE, |at| {
            let (rig, snapshots) = (&rig, snapshots.clone());
            async move {
                let name = format!("snap-{at:04}");
                rig.cut(&name, "data").await;
                let gone = snapshots.delete(&name, &DeleteParams::default()).await;
                gone.unwrap();
            }
        })
        .await;
    let waiting = async {
        loop {
            let all = snapshots.list(&ListParams::default()).await.unwrap();
            if all.items.is_empty() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(2 * PATIENCE, waiting).await.unwrap();
    rig.nothing_is_left().await;
    rig.stop().await;
}

async fn create(rig: &Rig, kind: &ApiResource, name: &str, body: Value) {
    let api = Api::namespaced_with(rig.world.cluster.client(), "shop", kind);
    let object = DynamicObject::new(name, kind).data(body);
    api.create(&PostParams::default(), &object).await.unwrap();
}

#[tokio::test]
async fn a_namespace_goes_with_all_its_snapshots() {
    let rig = Rig::start().await;
    let namespaces: Api<Namespace> = Api::all(rig.world.cluster.client());
    let namespace = json!({"metadata": {"name": "shop"}});
    let namespace = serde_json::from_value(namespace).unwrap();
    namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
    let claim = json!({"spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Mi"}}}});
    create(
        &rig,
        &ApiResource::erase::<PersistentVolumeClaim>(&()),
        "data",
        claim,
    )
    .await;
    let kind = ApiResource::erase::<VolumeSnapshot>(&());
    for at in 0..10 {
        let source = json!({"persistentVolumeClaimName": "data"});
        create(
            &rig,
            &kind,
            &format!("snap-{at}"),
            json!({"spec": {"source": source}}),
        )
        .await;
    }
    // Some may be ready by then and some not; all go.
    rig.until("some are cut", || rig.proxy.count("CreateSnapshot") >= 3)
        .await;
    let shop = namespaces.get("shop").await.unwrap();
    namespaces
        .delete("shop", &DeleteParams::default())
        .await
        .unwrap();
    rig.world.gone(namespaces, &shop).await;
    let contents = rig.world.clusterwide::<VolumeSnapshotContent>();
    for content in contents.list(&ListParams::default()).await.unwrap() {
        rig.world.gone(contents.clone(), &content).await;
    }
    rig.nothing_is_left().await;
    rig.stop().await;
}

/// The budget of issue and spec 2.16: upstream needs 20 requests to make one and 9 to delete it.
#[tokio::test]
async fn a_lone_snapshot_costs_eleven_requests_at_most_and_its_deletion_four() {
    let rig = Rig::start().await;
    rig.world.bound_claim("data", &json!({})).await;
    rig.cut("monday", "data").await;
    rig.ready("monday").await;
    let claims = rig.world.namespaced::<PersistentVolumeClaim>();
    let free = |it: Option<&PersistentVolumeClaim>| {
        let held = it
            .and_then(|it| it.metadata.finalizers.clone())
            .unwrap_or_default();
        !held.iter().any(|it| it == keys::FINALIZER_CLAIM_AS_SOURCE)
    };
    rig.world.until(claims, "data", free).await;
    let told = rig.told("default", "monday", &["SnapshotReady"]).await;
    // On a machine so busy that a second passes, the bound name and its event are two more.
    let late = told.contains(&"CreatingSnapshot".to_owned());
    let made = without_conflicts(&rig);
    let most = if late { 13 } else { 11 };
    assert!(made.values().sum::<usize>() <= most, "{made:?}");
    rig.log.lock().unwrap().clear();
    rig.delete("monday").await;
    let deleted = without_conflicts(&rig);
    assert!(deleted.values().sum::<usize>() <= 4, "{deleted:?}");
    rig.nothing_is_left().await;
    rig.stop().await;
}

/// A write that met another one is repeated; how often that happens is chance.
fn without_conflicts(rig: &Rig) -> std::collections::BTreeMap<String, usize> {
    let mut work = work(&rig.log);
    work.retain(|what, _| !what.ends_with(" 409"));
    work
}
