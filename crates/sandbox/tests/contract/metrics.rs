//! What the roles tell of themselves at `/metrics`, after two whole lives.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::json;
use tintype_api::{VolumeSnapshot, VolumeSnapshotContent};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::rig::{PATIENCE, Rig, controller, snapshotter};

/// An address that no other process asks for: all of 127.0.0.0/8 is this machine.
async fn free_address() -> String {
    let [_, a, b, c] = std::process::id().to_be_bytes();
    let listener = TcpListener::bind((Ipv4Addr::new(127, a + 1, b, c), 0)).await;
    listener.unwrap().local_addr().unwrap().to_string()
}

async fn scrape(address: &str) -> String {
    let asking = async {
        let mut stream = loop {
            match TcpStream::connect(address).await {
                Ok(stream) => break stream,
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            }
        };
        let request = "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap()
}

/// Waits until all of these lines are there.
async fn has(address: &str, lines: &[String]) -> String {
    let waiting = async {
        loop {
            let text = scrape(address).await;
            if lines.iter().all(|line| text.lines().any(|it| it == line)) {
                return text;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let Ok(text) = tokio::time::timeout(PATIENCE, waiting).await else {
        panic!("{lines:#?} are not all in {}", scrape(address).await);
    };
    text
}

/// The bounds of the buckets of one series, in order.
fn buckets(text: &str, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in text
        .lines()
        .filter(|it| it.starts_with(&format!("{name}_bucket")))
    {
        let bound = line
            .split("le=\"")
            .nth(1)
            .and_then(|it| it.split('"').next());
        let bound = bound.unwrap().to_owned();
        if found.contains(&bound) {
            break;
        }
        found.push(bound);
    }
    found
}

/// The names of all families.
fn families(text: &str) -> BTreeSet<&str> {
    let types = text.lines().filter_map(|it| it.strip_prefix("# TYPE "));
    types.filter_map(|it| it.split(' ').next()).collect()
}

/// Upstream's csi-mock suite, 3: each operation counts once, with driver, type and status.
#[tokio::test]
async fn the_metrics_of_whole_lives_are_upstreams_letter_for_letter() {
    let mut rig = Rig::start().await;
    let (controls, cuts) = (free_address().await, free_address().await);
    let next = controller(
        rig.client("snapshot-controller"),
        &[&format!("--http-endpoint={controls}")],
    );
    std::mem::replace(&mut rig.controller, next).stop().await;
    let next = snapshotter(
        rig.client("csi-snapshotter"),
        &rig.proxy,
        &[&format!("--http-endpoint={cuts}")],
    );
    std::mem::replace(&mut rig.snapshotter, next).stop().await;

    rig.world.bound_claim("data", &json!({})).await;
    rig.cut("dynamic", "data").await;
    rig.ready("dynamic").await;
    let handle = rig.world.stored().await.1.remove(0);
    let content = json!({"spec": {"driver": "csi.tintype.dev", "deletionPolicy": "Retain",
        "source": {"snapshotHandle": handle},
        "volumeSnapshotRef": {"name": "imported", "namespace": "default"}}});
    rig.world
        .create_clusterwide::<VolumeSnapshotContent>("imported", content)
        .await;
    let source = json!({"volumeSnapshotContentName": "imported"});
    rig.world
        .create::<VolumeSnapshot>("imported", json!({"spec": {"source": source}}))
        .await;
    rig.ready("imported").await;
    rig.delete("imported").await;
    rig.delete("dynamic").await;

    let name = "snapshot_controller_operation_total_seconds";
    let mut lines = vec!["snapshot_controller_operations_in_flight 0".to_owned()];
    for operation in ["CreateSnapshot", "CreateSnapshotAndReady", "DeleteSnapshot"] {
        for kind in ["dynamic", "pre-provisioned"] {
            lines.push(format!("{name}_count{{driver_name=\"csi.tintype.dev\",operation_name=\"{operation}\",operation_status=\"success\",snapshot_type=\"{kind}\"}} 1"));
        }
    }
    // What upstream does not count: what became of them.
    lines
        .push("tintype_outcomes_total{machine=\"snapshot\",reason=\"SnapshotReady\"} 2".to_owned());
    let text = has(&controls, &lines).await;
    let bounds = "0.1 0.25 0.5 1 2.5 5 10 15 30 60 120 300 600 +Inf";
    assert_eq!(buckets(&text, name).join(" "), bounds);
    let upstreams = [
        name,
        "snapshot_controller_operations_in_flight",
        "process_start_time_seconds",
    ];
    for wanted in upstreams {
        assert!(families(&text).contains(wanted), "{wanted}: {text}");
    }
    // Whatever else there is has our name on it, or is of the process.
    let strange: Vec<_> = families(&text)
        .into_iter()
        .filter(|it| {
            !upstreams.contains(it) && !it.starts_with("tintype_") && !it.starts_with("process_")
        })
        .collect();
    assert!(strange.is_empty(), "{strange:?}");

    let name = "csi_sidecar_operations_seconds";
    let count = |method: &str| {
        format!(
            "{name}_count{{driver_name=\"csi.tintype.dev\",grpc_status_code=\"OK\",method_name=\"/csi.v1.Controller/{method}\"}} 1"
        )
    };
    let lines = ["CreateSnapshot", "DeleteSnapshot", "ListSnapshots"].map(count);
    let text = has(&cuts, &lines).await;
    let bounds = "0.1 0.25 0.5 1 2.5 5 10 15 25 50 120 300 600 +Inf";
    assert_eq!(buckets(&text, name).join(" "), bounds);
    for metric in [
        "adds_total",
        "depth",
        "queue_duration_seconds",
        "work_duration_seconds",
        "unfinished_work_seconds",
        "longest_running_processor_seconds",
        "retries_total",
    ] {
        let line = format!("workqueue_{metric}");
        assert!(families(&text).contains(&*line), "{line}: {text}");
    }
    assert!(
        text.contains("{name=\"csi-snapshotter-content\"}"),
        "{text}"
    );
    rig.stop().await;
}
