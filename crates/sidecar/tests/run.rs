//! Runs `csi-snapshotter` next to the real driver, against an API that holds one lease and
//! otherwise nothing.

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::Ipv4Addr;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use clap::Parser as _;
    use http::{Request, Response, StatusCode};
    use kube::Client;
    use kube::client::Body;
    use serde_json::{Value, json};
    use tintype_csi::Address;
    use tintype_driver::{BackendChoice, Config, Driver};
    use tintype_sidecar::snapshotter::{self, Args};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::JoinHandle;
    use tokio_util::sync::CancellationToken;

    /// How long anything may take before the test fails.
    const PATIENCE: Duration = Duration::from_secs(90);

    type Lease = Arc<Mutex<Option<Value>>>;

    /// Lists are empty, watches say nothing, and the lease is whoever's writes it last.
    fn server(lease: &Lease) -> Client {
        let lease = lease.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let lease = lease.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await?;
                if parts
                    .uri
                    .query()
                    .is_some_and(|it| it.contains("watch=true"))
                {
                    std::future::pending::<()>().await;
                }
                let empty = json!({"metadata": {"resourceVersion": "1"}, "items": []});
                let (status, answer) = match (parts.method.as_str(), parts.uri.path()) {
                    ("GET", path) if path.contains("/leases/") => {
                        let held = lease.lock().unwrap().clone();
                        held.map_or((404, json!({"code": 404})), |it| (200, it))
                    }
                    ("POST" | "PUT", path) if path.contains("/leases") => {
                        let written: Value = serde_json::from_slice(&body).unwrap();
                        *lease.lock().unwrap() = Some(written.clone());
                        (200, written)
                    }
                    ("GET", _) => (200, empty),
                    _ => (200, json!({})),
                };
                let mut answer = Response::new(Body::from(answer.to_string().into_bytes()));
                *answer.status_mut() = StatusCode::from_u16(status).unwrap();
                Ok::<_, kube::Error>(answer)
            }
        });
        Client::new(service, "default")
    }

    struct Beside {
        folder: tempfile::TempDir,
        driver: JoinHandle<()>,
        stop_driver: CancellationToken,
    }

    impl Beside {
        fn start() -> Self {
            let folder = tempfile::Builder::new()
                .prefix(&format!("tintype-test-{}-", std::process::id()))
                .tempdir()
                .unwrap();
            let driver = Driver::open(Config {
                data_dir: folder.path().join("data"),
                driver_name: "null.csi.example".to_owned(),
                backend: BackendChoice::Null,
                node_id: "node".to_owned(),
                topology: BTreeMap::new(),
                pool_size: None,
                allow_non_atomic_groups: false,
            })
            .unwrap();
            let address: Address = Self::socket(&folder).parse().unwrap();
            let stop_driver = CancellationToken::new();
            let stop = stop_driver.clone();
            let driver = tokio::spawn(async move { driver.serve(&address, stop).await.unwrap() });
            Self {
                folder,
                driver,
                stop_driver,
            }
        }

        fn socket(folder: &tempfile::TempDir) -> String {
            folder.path().join("csi.sock").display().to_string()
        }

        fn args(&self, line: &[&str]) -> Args {
            let socket = format!("--csi-address={}", Self::socket(&self.folder));
            let line = line.iter().copied().chain([socket.as_str()]);
            Args::parse_from(std::iter::once("csi-snapshotter").chain(line))
        }
    }

    async fn got(address: &str, path: &str) -> String {
        let mut stream = loop {
            match TcpStream::connect(address).await {
                Ok(stream) => break stream,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// An address that no other process asks for: all of 127.0.0.0/8 is this machine.
    async fn free_address() -> String {
        let [_, a, b, c] = std::process::id().to_be_bytes();
        let listener = TcpListener::bind((Ipv4Addr::new(127, a + 1, b, c), 0)).await;
        listener.unwrap().local_addr().unwrap().to_string()
    }

    async fn until(holds: impl AsyncFn() -> bool) {
        let waiting = async {
            while !holds().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    }

    #[tokio::test]
    async fn the_sidecar_leads_and_tells_of_its_calls_as_upstream_does() {
        let (beside, lease) = (Beside::start(), Lease::default());
        let address = free_address().await;
        let endpoint = format!("--http-endpoint={address}");
        let args = beside.args(&[
            "--leader-election",
            "--leader-election-namespace=storage",
            "--leader-election-labels=team:storage",
            &endpoint,
        ]);
        let shutdown = CancellationToken::new();
        let running = snapshotter::run(args, server(&lease), shutdown.clone());
        let running = tokio::spawn(running);
        until(async || lease.lock().unwrap().is_some()).await;
        let held = lease.lock().unwrap().clone().unwrap();
        assert_eq!(
            held["metadata"]["name"],
            "external-snapshotter-leader-null-csi-example"
        );
        assert_eq!(held["metadata"]["labels"]["team"], "storage");
        // The gauge of doubts comes last: the engine is about to start.
        until(async || {
            got(&address, "/metrics")
                .await
                .contains("tintype_uncertain_calls 0")
        })
        .await;
        let metrics = got(&address, "/metrics").await;
        for line in [
            "csi_sidecar_operations_seconds_count{driver_name=\"unknown-driver\",grpc_status_code=\"OK\",method_name=\"/csi.v1.Identity/GetPluginInfo\"} 1",
            "csi_sidecar_operations_seconds_count{driver_name=\"null.csi.example\",grpc_status_code=\"OK\",method_name=\"/csi.v1.Identity/Probe\"} 1",
            "csi_sidecar_operations_seconds_count{driver_name=\"null.csi.example\",grpc_status_code=\"OK\",method_name=\"/csi.v1.Controller/ControllerGetCapabilities\"} 1",
            "workqueue_depth{name=\"csi-snapshotter-content\"} 0",
        ] {
            assert!(metrics.contains(line), "{line}\n{metrics}");
        }
        assert!(got(&address, "/readyz").await.starts_with("HTTP/1.1 200"));
        shutdown.cancel();
        running.await.unwrap().unwrap();
        assert_eq!(
            lease.lock().unwrap().as_ref().unwrap()["spec"]["holderIdentity"],
            ""
        );
        beside.stop_driver.cancel();
        beside.driver.await.unwrap();
    }

    #[tokio::test]
    async fn a_driver_lost_while_another_replica_leads_ends_the_sidecar() {
        let (beside, lease) = (Beside::start(), Lease::default());
        *lease.lock().unwrap() = Some(json!({
            "metadata": {"resourceVersion": "1"},
            "spec": {"holderIdentity": "other", "leaseDurationSeconds": 3600},
        }));
        let address = free_address().await;
        let endpoint = format!("--http-endpoint={address}");
        let args = beside.args(&[
            "--leader-election",
            "--leader-election-namespace=storage",
            &endpoint,
        ]);
        let running = snapshotter::run(args, server(&lease), CancellationToken::new());
        let running = tokio::spawn(running);
        until(async || got(&address, "/readyz").await.starts_with("HTTP/1.1 200")).await;
        beside.stop_driver.cancel();
        beside.driver.await.unwrap();
        let ended = tokio::time::timeout(PATIENCE, running)
            .await
            .unwrap()
            .unwrap();
        let error = ended.unwrap_err().to_string();
        assert!(
            error.contains("CSI driver null.csi.example is lost"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn both_addresses_at_once_are_refused() {
        let args = Args::parse_from([
            "csi-snapshotter",
            "--http-endpoint=127.0.0.1:0",
            "--metrics-address=127.0.0.1:0",
        ]);
        let running = snapshotter::run(args, server(&Lease::default()), CancellationToken::new());
        let error = running.await.unwrap_err().to_string();
        assert!(
            error.contains("only one of --metrics-address and --http-endpoint"),
            "{error}"
        );
    }
}
