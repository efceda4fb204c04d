//! Measures the API server alone: start, durable creates of several clients, memory for objects and for idle watches.
//!
//! Creates and objects are measured in this process, watches over TLS in a server of its own, whose memory then has
//! nothing of the clients'. Folders are made below the working directory, so that the disk is the one people build on.
//! Prints one line of JSON. Knows nothing of how the server does it.
#![expect(
    clippy::print_stdout,
    reason = "a measurement tells its figure on the terminal"
)]

mod served;
mod watches;

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Instant;

use anyhow::ensure;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use peak_alloc::PeakAlloc;
use serde_json::{Value, json};
use tintype_apiserver::{Config, LocalService, Server};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// How many create at once: few, as the goal has it, and as many as a busy cluster has.
const FEW: usize = 8;
const MANY: usize = 64;
const CREATES: usize = 20_000;
const KEPT: usize = 20_000;
const WATCHES: usize = 5_000;
/// A watch that has nothing to begin with.
const NOTHING: &str = "/api/v1/namespaces/default/secrets?watch=1";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(served::SERVE) {
        let folder = arguments.next().unwrap_or_default();
        return served::serve(Path::new(&folder)).await;
    }
    let dir = tempfile::tempdir_in(".")?;
    let mut figures = in_process(&dir.path().join("local"))
        .await?
        .as_object()
        .cloned()
        .unwrap_or_default();
    let served = watches::measure(&dir.path().join("served")).await?;
    figures.extend(served.as_object().cloned().unwrap_or_default());
    figures.insert("sync_s".into(), json!(sync_s(dir.path())?));
    println!("{}", Value::Object(figures));
    Ok(())
}

/// A server for measuring, in a new folder.
fn open(folder: &Path) -> anyhow::Result<Server> {
    Ok(Server::open(Config {
        data_dir: folder.join("data"),
        addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    })?)
}

async fn in_process(folder: &Path) -> anyhow::Result<Value> {
    let began = Instant::now();
    let server = open(folder)?;
    let stop = CancellationToken::new();
    server.spawn_controllers(stop.clone());
    let client = server.local("bench", &["system:masters"]);
    ask(&client, "GET", "/readyz", String::new()).await?;
    let ready_s = began.elapsed().as_secs_f64();

    let few = creates_per_s(&client, "few", FEW).await?;
    let many = creates_per_s(&client, "many", MANY).await?;

    // Above what the windows of watches keep, so that only the objects count.
    let before = HEAP.current_usage();
    create_all(&client, "kept", FEW, KEPT, 1536).await?;
    let object_bytes = HEAP.current_usage().saturating_sub(before) / KEPT;

    let before = HEAP.current_usage();
    let mut watches = Vec::with_capacity(WATCHES);
    for _ in 0..WATCHES {
        let request = Request::get(NOTHING).body(Full::<Bytes>::default())?;
        let mut body = client.clone().oneshot(request).await?.into_body();
        // Polled once, a watch is past its beginning and waits.
        let waits = tokio::time::timeout(std::time::Duration::ZERO, body.frame()).await;
        ensure!(waits.is_err(), "a watch of nothing has something to say");
        watches.push(body);
    }
    let watch_bytes = HEAP.current_usage().saturating_sub(before) / WATCHES;
    drop(watches);
    stop.cancel();
    Ok(
        json!({"ready_s": ready_s, "creates_per_s": few, "creates_per_s_64": many,
        "object_bytes": object_bytes, "watch_bytes": watch_bytes}),
    )
}

/// Seconds that the disk takes to make a small write durable, in the middle of many. Nobody who waits for each of their
/// writes makes more of them in a second than the reciprocal of this.
fn sync_s(folder: &Path) -> anyhow::Result<f64> {
    const WRITES: usize = 200;
    let mut file = std::fs::File::create(folder.join("sync"))?;
    let mut times = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        let began = Instant::now();
        file.write_all(&[7; 16 << 10])?;
        file.sync_data()?;
        times.push(began.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[WRITES / 2])
}

async fn creates_per_s(
    client: &LocalService,
    prefix: &'static str,
    clients: usize,
) -> anyhow::Result<f64> {
    let began = Instant::now();
    create_all(client, prefix, clients, CREATES, 1 << 10).await?;
    Ok(f64::from(u32::try_from(CREATES)?) / began.elapsed().as_secs_f64())
}

/// Creates config maps of about so many bytes, as quickly as the clients can.
async fn create_all(
    client: &LocalService,
    prefix: &'static str,
    clients: usize,
    count: usize,
    size: usize,
) -> anyhow::Result<()> {
    let text = "x".repeat(size.saturating_sub(300));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..clients {
        let (client, text) = (client.clone(), text.clone());
        tasks.spawn(async move {
            for n in (number..count).step_by(clients) {
                let object = json!({"apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": {"name": format!("{prefix}-{n}")}, "data": {"text": text}});
                ask(&client, "POST", MAPS, object.to_string()).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

async fn ask(client: &LocalService, method: &str, path: &str, body: String) -> anyhow::Result<()> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .body(Full::new(Bytes::from(body)))?;
    let response = client.clone().oneshot(request).await?;
    let status = response.status();
    let bytes = response.into_body().collect().await;
    let bytes = bytes.map_err(anyhow::Error::from_boxed)?.to_bytes();
    let said = String::from_utf8_lossy(&bytes);
    ensure!(status.is_success(), "{method} {path}: {status}: {said}");
    Ok(())
}
