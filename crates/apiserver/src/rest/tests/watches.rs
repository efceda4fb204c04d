//! Watches: from where, through selectors, bookmarks, ends.

use std::time::Duration;

use futures::FutureExt as _;
use serde_json::json;
use tokio::time::timeout;

use super::*;

/// An open watch, read line by line.
struct Watch {
    body: Body,
    buffer: Vec<u8>,
}

impl Watch {
    async fn open(world: &World, query: &str) -> Self {
        let path = format!("{MAPS}?watch=true&{query}");
        let response = world.raw("GET", &path, &[], "").await;
        assert_eq!(response.status(), 200);
        Self {
            body: response.into_body(),
            buffer: Vec::new(),
        }
    }

    /// The next event; none at the end.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = timeout(Duration::from_secs(100), self.body.frame())
                .await
                .unwrap()?;
            self.buffer
                .extend_from_slice(frame.unwrap().data_ref().unwrap());
        }
    }

    async fn expect(&mut self, expected: &[(&str, &str)]) {
        for (kind, name) in expected {
            let event = self.next().await.unwrap();
            let got = (
                event["type"].as_str().unwrap(),
                event["object"]["metadata"]["name"].as_str(),
            );
            assert_eq!(got, (*kind, Some(*name)), "{event:#}");
        }
    }
}

#[tokio::test]
async fn a_watch_tells_what_happens_after_its_version() {
    let world = World::new();
    let a = world.post(MAPS, config_map("a")).await.expect(201);
    let rv = a["metadata"]["resourceVersion"].as_str().unwrap();
    let mut from_rv = Watch::open(&world, &format!("resourceVersion={rv}")).await;
    let mut from_zero = Watch::open(&world, "resourceVersion=0").await;
    let mut from_now = Watch::open(&world, "").await;
    world.post(MAPS, config_map("b")).await.expect(201);
    world
        .merge(&at("b"), json!({"data": {"x": "y"}}))
        .await
        .expect(200);
    world.delete(&at("a")).await.expect(200);
    let later = [("ADDED", "b"), ("MODIFIED", "b"), ("DELETED", "a")];
    from_rv.expect(&later).await;
    for watch in [&mut from_zero, &mut from_now] {
        watch.expect(&[("ADDED", "a")]).await;
        watch.expect(&later).await;
    }
}

#[tokio::test]
async fn a_deletion_carries_its_own_version() {
    let world = World::new();
    world.post(MAPS, config_map("a")).await.expect(201);
    let mut watch = Watch::open(&world, "resourceVersion=0").await;
    world.delete(&at("a")).await.expect(200);
    watch.expect(&[("ADDED", "a")]).await;
    let event = watch.next().await.unwrap();
    let rv = world.api.store.rv().to_string();
    assert_eq!(event["object"]["metadata"]["resourceVersion"], json!(rv));
}

#[tokio::test]
async fn objects_come_and_go_at_the_edge_of_a_selector() {
    let world = World::new();
    let mut watch = Watch::open(&world, "labelSelector=l%3Dx&resourceVersion=0").await;
    world.post(MAPS, config_map("a")).await.expect(201);
    let label = |value: Value| json!({"metadata": {"labels": {"l": value}}});
    world.merge(&at("a"), label(json!("x"))).await.expect(200);
    world
        .merge(&at("a"), json!({"data": {"n": "1"}}))
        .await
        .expect(200);
    world.merge(&at("a"), label(json!("y"))).await.expect(200);
    world.merge(&at("a"), label(json!("x"))).await.expect(200);
    world.delete(&at("a")).await.expect(200);
    watch
        .expect(&[
            ("ADDED", "a"),
            ("MODIFIED", "a"),
            ("DELETED", "a"),
            ("ADDED", "a"),
            ("DELETED", "a"),
        ])
        .await;
}

#[tokio::test]
async fn other_namespaces_and_names_stay_out_of_a_watch() {
    let world = World::new();
    let mut watch = Watch::open(&world, "fieldSelector=metadata.name%3Db").await;
    let system = "/api/v1/namespaces/kube-system/configmaps";
    world.post(system, config_map("b")).await.expect(201);
    world.post(MAPS, config_map("a")).await.expect(201);
    let b = world.post(MAPS, config_map("b")).await.expect(201);
    assert_eq!(
        watch.next().await.unwrap(),
        json!({"type": "ADDED", "object": b})
    );
}

#[tokio::test]
async fn a_streamed_list_ends_with_a_bookmark() {
    let world = World::new();
    world.post(MAPS, config_map("a")).await.expect(201);
    let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut watch = Watch::open(&world, query).await;
    watch.expect(&[("ADDED", "a")]).await;
    let bookmark = watch.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["kind"], "ConfigMap");
    let metadata = &bookmark["object"]["metadata"];
    assert_eq!(
        metadata["annotations"],
        json!({"k8s.io/initial-events-end": "true"})
    );
    assert_eq!(
        metadata["resourceVersion"],
        json!(world.api.store.rv().to_string())
    );
    let wrong = format!("{MAPS}?watch=1&sendInitialEvents=true");
    world.get(&wrong).await.expect(422);
}

#[tokio::test]
async fn a_version_from_before_the_window_is_gone() {
    let world = World::new();
    world.post(MAPS, config_map("a")).await.expect(201);
    let world = world.restart();
    let mut watch = Watch::open(&world, "resourceVersion=1").await;
    let event = watch.next().await.unwrap();
    assert_eq!(
        (&event["type"], &event["object"]["code"]),
        (&json!("ERROR"), &json!(410))
    );
    assert_eq!(event["object"]["reason"], "Expired");
    assert!(watch.next().await.is_none());
    world
        .get(&format!("{MAPS}?watch=1&resourceVersion=99999"))
        .await
        .expect(504);
}

#[tokio::test]
async fn a_slow_reader_is_told_to_start_anew() {
    let world = World::new();
    let mut watch = Watch::open(&world, "").await;
    world.post(MAPS, config_map("a")).await.expect(201);
    watch.expect(&[("ADDED", "a")]).await;
    let big = "x".repeat(1_000_000);
    for n in 0..20 {
        world
            .merge(&at("a"), json!({"data": {"n": n.to_string(), "big": big}}))
            .await
            .expect(200);
    }
    let event = watch.next().await.unwrap();
    assert_eq!(
        (&event["type"], &event["object"]["code"]),
        (&json!("ERROR"), &json!(410))
    );
}

#[tokio::test]
async fn watches_end_in_time_and_with_the_server() {
    let world = World::new();
    world.get("/healthz").await.expect(200);
    tokio::time::pause();
    let mut timed = Watch::open(&world, "timeoutSeconds=7").await;
    let start = tokio::time::Instant::now();
    assert!(timed.next().await.is_none());
    assert_eq!(start.elapsed().as_secs(), 7);
    let mut marked = Watch::open(&world, "allowWatchBookmarks=true").await;
    let bookmark = marked.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(start.elapsed().as_secs(), 67);
    world.api.close();
    assert!(marked.next().await.is_none());
}

#[tokio::test]
async fn the_last_bookmark_comes_just_before_the_end() {
    let world = World::new();
    world.get("/healthz").await.expect(200);
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    let mut watch = Watch::open(&world, "timeoutSeconds=10&allowWatchBookmarks=true").await;
    assert_eq!(watch.next().await.unwrap()["type"], "BOOKMARK");
    assert_eq!(start.elapsed().as_secs(), 8);
    assert!(watch.next().await.is_none());
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test]
async fn a_watch_on_a_busy_resource_is_bookmarked_and_ends_too() {
    let world = World::new();
    world.get("/healthz").await.expect(200);
    tokio::time::pause();
    // The clock stands still while this waits, so that it goes on only when it is told to.
    let (done, over) = std::sync::mpsc::channel::<()>();
    let standing = tokio::task::spawn_blocking(move || over.recv());
    let query = "fieldSelector=metadata.name%3Dnone&timeoutSeconds=100&allowWatchBookmarks=true";
    let mut watch = Watch::open(&world, query).await;
    let start = tokio::time::Instant::now();
    let mut marks = 0;
    loop {
        world
            .post(
                MAPS,
                json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"generateName": "busy-"}}),
            )
            .await
            .expect(201);
        tokio::time::advance(Duration::from_secs(1)).await;
        match watch.next().now_or_never() {
            None => {}
            Some(Some(event)) => {
                assert_eq!(event["type"], "BOOKMARK");
                marks += 1;
            }
            Some(None) => break,
        }
    }
    assert_eq!((start.elapsed().as_secs(), marks), (100, 2));
    drop(done);
    assert!(standing.await.unwrap().is_err());
}

#[tokio::test]
async fn five_thousand_idle_watchers_all_hear_of_a_change() {
    let world = World::new();
    world.post(MAPS, config_map("a")).await.expect(201);
    let mut watches = Vec::new();
    for _ in 0..5_000 {
        let mut watch = Watch::open(&world, "resourceVersion=0").await;
        watch.expect(&[("ADDED", "a")]).await;
        assert!(watch.next().now_or_never().is_none());
        watches.push(watch);
    }
    world.post(MAPS, config_map("b")).await.expect(201);
    for watch in &mut watches {
        watch.expect(&[("ADDED", "b")]).await;
    }
}

#[tokio::test]
async fn a_reader_that_stops_holds_little() {
    let world = World::new();
    world.post(MAPS, config_map("a")).await.expect(201);
    let mut watch = Watch::open(&world, "").await;
    watch.expect(&[("ADDED", "a")]).await;
    let big = "x".repeat(1_000_000);
    for n in 0..3 {
        let data = json!({"data": {"n": n.to_string(), "big": big}});
        world.merge(&at("a"), data).await.expect(200);
    }
    // It reads one change and then no more: of what came after, nothing is held for it.
    watch.expect(&[("MODIFIED", "a")]).await;
    let held = world.api.store.get("configmaps", "default/a").unwrap();
    for n in 3..30 {
        let data = json!({"data": {"n": n.to_string(), "big": big}});
        world.merge(&at("a"), data).await.expect(200);
    }
    assert_eq!(Arc::strong_count(&held), 1, "somebody still holds it");
}
