//! Measures the API server alone: start, durable creates of several clients, heap for an object and for an idle watch.
//!
//! Everything runs in this process, on a folder below the working directory, so that the disk is the one people build on.
//! Prints one line of JSON. Knows nothing of how the server does it.
#![expect(
    clippy::print_stdout,
    reason = "a measurement tells its figure on the terminal"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use anyhow::ensure;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use peak_alloc::PeakAlloc;
use serde_json::json;
use tintype_apiserver::{Config, LocalService, Server};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const CLIENTS: usize = 8;
const CREATES: usize = 20_000;
const KEPT: usize = 20_000;
const WATCHES: usize = 5_000;
/// A watch that has nothing to begin with.
const NOTHING: &str = "/api/v1/namespaces/default/secrets?watch=1";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let dir = tempfile::tempdir_in(".")?;
    let config = Config {
        data_dir: dir.path().join("data"),
        addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    };
    let began = Instant::now();
    let server = Server::open(config)?;
    let stop = CancellationToken::new();
    server.spawn_controllers(stop.clone());
    let client = server.local("bench", &["system:masters"]);
    ask(&client, "GET", "/readyz", String::new()).await?;
    let ready_s = began.elapsed().as_secs_f64();

    let began = Instant::now();
    create_all(&client, "rate", CREATES, 1 << 10).await?;
    let creates_per_s = f64::from(u32::try_from(CREATES)?) / began.elapsed().as_secs_f64();

    // Above what the windows of watches keep, so that only the objects count.
    let before = HEAP.current_usage();
    create_all(&client, "kept", KEPT, 1536).await?;
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
    println!(
        "{}",
        json!({"ready_s": ready_s, "clients": CLIENTS, "creates_per_s": creates_per_s,
            "object_bytes": object_bytes, "watch_bytes": watch_bytes})
    );
    stop.cancel();
    Ok(())
}

/// Creates config maps of about so many bytes, as quickly as the clients can.
async fn create_all(
    client: &LocalService,
    prefix: &'static str,
    count: usize,
    size: usize,
) -> anyhow::Result<()> {
    let text = "x".repeat(size.saturating_sub(300));
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..CLIENTS {
        let (client, text) = (client.clone(), text.clone());
        clients.spawn(async move {
            for n in (number..count).step_by(CLIENTS) {
                let object = json!({"apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": {"name": format!("{prefix}-{n}")}, "data": {"text": text}});
                ask(&client, "POST", MAPS, object.to_string()).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = clients.join_next().await {
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
