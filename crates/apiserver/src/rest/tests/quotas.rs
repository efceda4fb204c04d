//! Quotas by count and by storage, and the end of old events.

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::*;

const QUOTA: &str = "/api/v1/namespaces/default/resourcequotas";
const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";

async fn limit(world: &World, hard: Value) {
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"},
        "spec": {"hard": hard}});
    world.post(QUOTA, quota).await.expect(201);
}

async fn used(world: &World) -> Value {
    let quota = world.get(&format!("{QUOTA}/q")).await.expect(200);
    assert_eq!(quota["status"]["hard"], quota["spec"]["hard"]);
    quota["status"]["used"].clone()
}

#[tokio::test]
async fn a_quota_counts_and_refuses_with_the_words_of_kubernetes() {
    let world = World::new();
    world.post(MAPS, config_map("a")).await.expect(201);
    limit(&world, json!({"count/configmaps": "2", "configmaps": "5"})).await;
    assert_eq!(
        used(&world).await,
        json!({"count/configmaps": "1", "configmaps": "1"})
    );
    world.post(MAPS, config_map("b")).await.expect(201);
    let refused = world.post(MAPS, config_map("c")).await.expect(403);
    assert_eq!(
        refused["message"],
        "configmaps \"c\" is forbidden: exceeded quota: q, requested: count/configmaps=1, used: \
         count/configmaps=2, limited: count/configmaps=2"
    );
    assert_eq!(refused["reason"], "Forbidden");
    let elsewhere = "/api/v1/namespaces/kube-public/configmaps";
    world.post(elsewhere, config_map("c")).await.expect(201);
    world.delete(&at("a")).await.expect(200);
    assert_eq!(used(&world).await["count/configmaps"], "1");
    world.post(MAPS, config_map("c")).await.expect(201);
    assert_eq!(used(&world).await["count/configmaps"], "2");
}

#[tokio::test]
async fn many_who_create_at_once_do_not_get_past_a_quota() {
    let world = World::new();
    limit(&world, json!({"count/configmaps": "7"})).await;
    let creates = (0..40).map(|n| {
        let world = &world;
        async move { world.post(MAPS, config_map(&format!("m-{n}"))).await.code }
    });
    let codes = join_all(creates).await;
    let count = |wanted| codes.iter().filter(|code| **code == wanted).count();
    assert_eq!((count(201), count(403)), (7, 33));
    assert_eq!(used(&world).await, json!({"count/configmaps": "7"}));
}

#[tokio::test]
async fn claims_are_counted_by_class() {
    let world = World::new();
    let gold = "gold.storageclass.storage.k8s.io/persistentvolumeclaims";
    limit(&world, json!({ gold: "1", "persistentvolumeclaims": 9 })).await;
    let claim = |name: &str, class: &str| {
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
            "spec": {"storageClassName": class, "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}}}})
    };
    world.post(CLAIMS, claim("a", "gold")).await.expect(201);
    world.post(CLAIMS, claim("b", "tin")).await.expect(201);
    let refused = world.post(CLAIMS, claim("c", "gold")).await.expect(403);
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains(&format!("limited: {gold}=1")), "{message}");
    assert_eq!(
        used(&world).await,
        json!({ gold: "1", "persistentvolumeclaims": "2" })
    );
}

#[tokio::test]
async fn the_storage_that_claims_ask_for_is_added_up() {
    let world = World::new();
    let gold = "gold.storageclass.storage.k8s.io/requests.storage";
    limit(
        &world,
        json!({ gold: "3Gi", "requests.storage": "10Gi", "requests.cpu": "1" }),
    )
    .await;
    let claim = |name: &str, class: &str, size: &str| {
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
            "spec": {"storageClassName": class, "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": size}}}})
    };
    assert_eq!(
        used(&world).await,
        json!({ gold: "0", "requests.storage": "0" })
    );
    world
        .post(CLAIMS, claim("a", "gold", "2Gi"))
        .await
        .expect(201);
    world
        .post(CLAIMS, claim("b", "tin", "512Mi"))
        .await
        .expect(201);
    assert_eq!(
        used(&world).await,
        json!({ gold: "2Gi", "requests.storage": "2560Mi" })
    );
    let refused = world
        .post(CLAIMS, claim("c", "gold", "1025Mi"))
        .await
        .expect(403);
    assert_eq!(
        refused["message"],
        format!(
            "persistentvolumeclaims \"c\" is forbidden: exceeded quota: q, requested: \
             {gold}=1025Mi, used: {gold}=2Gi, limited: {gold}=3Gi"
        )
    );
    let refused = world
        .post(CLAIMS, claim("c", "tin", "8Gi"))
        .await
        .expect(403);
    let message = refused["message"].as_str().unwrap();
    assert!(
        message.ends_with("limited: requests.storage=10Gi"),
        "{message}"
    );
    let bound = json!({"status": {"phase": "Bound", "capacity": {"storage": "2Gi"}}});
    let a = format!("{CLAIMS}/a");
    world.merge(&format!("{a}/status"), bound).await.expect(200);
    let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": {"name": "gold"}, "provisioner": "p", "allowVolumeExpansion": true});
    world
        .post("/apis/storage.k8s.io/v1/storageclasses", class)
        .await
        .expect(201);
    let grown = |size: &str| json!({"spec": {"resources": {"requests": {"storage": size}}}});
    let refused = world.merge(&a, grown("4Gi")).await.expect(403);
    let message = refused["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("requested: {gold}=2Gi")),
        "{message}"
    );
    world.merge(&a, grown("3Gi")).await.expect(200);
    assert_eq!(used(&world).await[gold], "3Gi");
    world.delete(&a).await.expect(200);
}

#[tokio::test]
async fn events_go_an_hour_after_they_were_last_told() {
    let world = World::new();
    let events = "/api/v1/namespaces/default/events";
    let event = |name: &str, last: &str| {
        json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": name}, "reason": "R",
            "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"},
            "firstTimestamp": "2020-01-01T00:00:00Z", "lastTimestamp": last})
    };
    let later = Timestamp::now() + SignedDuration::from_mins(30);
    world
        .post(events, event("old", "2020-01-01T00:00:00Z"))
        .await
        .expect(201);
    world
        .post(events, event("told-again", &later.to_string()))
        .await
        .expect(201);
    let names = async || -> Vec<Value> {
        let list = world.get(events).await.expect(200);
        let items = list["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["metadata"]["name"].clone())
            .collect()
    };
    world.api.expire_events(Timestamp::now()).await;
    assert_eq!(names().await.len(), 2);
    world
        .api
        .expire_events(Timestamp::now() + SignedDuration::from_mins(61))
        .await;
    assert_eq!(names().await, [json!("told-again")]);
    world
        .api
        .expire_events(later + SignedDuration::from_mins(61))
        .await;
    assert!(names().await.is_empty());
}
