//! Runs the whole role against an API that holds one lease and otherwise nothing.

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
    use tintype_controller::Args;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_util::sync::CancellationToken;

    /// How long anything may take before the test fails.
    const PATIENCE: Duration = Duration::from_secs(90);

    #[derive(Debug, Default)]
    struct State {
        lease: Option<Value>,
        version: u64,
        /// Requests by user agent, method and what they ask for.
        requests: BTreeMap<String, usize>,
    }

    #[derive(Clone, Default)]
    struct Server(Arc<Mutex<State>>);

    impl Server {
        fn client(&self) -> Client {
            let server = self.clone();
            let service = tower::service_fn(move |request: Request<Body>| {
                let server = server.clone();
                async move {
                    let (parts, body) = request.into_parts();
                    let body = body.collect_bytes().await?;
                    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                    if parts
                        .uri
                        .query()
                        .is_some_and(|it| it.contains("watch=true"))
                    {
                        // A watch on which nothing ever happens.
                        std::future::pending::<()>().await;
                    }
                    let agent = parts.headers[http::header::USER_AGENT].to_str();
                    Ok::<_, kube::Error>(server.answer(
                        agent.unwrap(),
                        parts.method.as_str(),
                        parts.uri.path(),
                        body,
                    ))
                }
            });
            Client::new(service, "default")
        }

        fn answer(&self, agent: &str, method: &str, path: &str, mut body: Value) -> Response<Body> {
            let mut state = self.0.lock().unwrap();
            let what = path
                .split('/')
                .nth(if path.starts_with("/apis") { 4 } else { 3 });
            let request = format!("{agent} {method} {}", what.unwrap());
            *state.requests.entry(request).or_default() += 1;
            let leases = path.contains("/leases");
            match (method, leases, state.lease.clone()) {
                ("GET", false, _) => {
                    ok(&json!({"metadata": {"resourceVersion": "1"}, "items": []}))
                }
                ("GET", true, Some(lease)) => ok(&lease),
                ("GET", true, None) => refusal(StatusCode::NOT_FOUND),
                ("PUT", true, Some(lease))
                    if lease["metadata"]["resourceVersion"]
                        != body["metadata"]["resourceVersion"] =>
                {
                    refusal(StatusCode::CONFLICT)
                }
                ("POST", true, None) | ("PUT", true, Some(_)) => {
                    state.version += 1;
                    body["metadata"]["resourceVersion"] = state.version.to_string().into();
                    state.lease = Some(body.clone());
                    ok(&body)
                }
                _ => ok(&json!({})),
            }
        }

        fn holder(&self) -> String {
            let state = self.0.lock().unwrap();
            let holder = state
                .lease
                .as_ref()
                .map(|it| it["spec"]["holderIdentity"].clone());
            holder
                .unwrap_or_default()
                .as_str()
                .unwrap_or_default()
                .to_owned()
        }

        async fn until(&self, holds: impl Fn(&str) -> bool) {
            let waiting = async {
                while !holds(&self.holder()) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(PATIENCE, waiting).await.unwrap();
        }
    }

    fn ok(body: &Value) -> Response<Body> {
        Response::new(Body::from(body.to_string().into_bytes()))
    }

    fn refusal(status: StatusCode) -> Response<Body> {
        let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status.as_u16()});
        let mut answer = ok(&body);
        *answer.status_mut() = status;
        answer
    }

    fn args(line: &[&str]) -> Args {
        Args::parse_from(std::iter::once(&"snapshot-controller").chain(line))
    }

    fn start(
        server: &Server,
        args: Args,
    ) -> (
        tokio::task::JoinHandle<anyhow::Result<()>>,
        CancellationToken,
    ) {
        let shutdown = CancellationToken::new();
        let running = tintype_controller::run(args, server.client(), shutdown.clone());
        (tokio::spawn(running), shutdown)
    }

    async fn get(address: &str, path: &str) -> String {
        let asking = async {
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
        };
        tokio::time::timeout(PATIENCE, asking).await.unwrap()
    }

    /// An address that no other process asks for: all of 127.0.0.0/8 is this machine.
    async fn free_address() -> String {
        let [_, a, b, c] = std::process::id().to_be_bytes();
        let listener = TcpListener::bind((Ipv4Addr::new(127, a + 1, b, c), 0)).await;
        listener.unwrap().local_addr().unwrap().to_string()
    }

    #[tokio::test]
    async fn the_leader_works_and_gives_the_lease_back_at_the_end() {
        let server = Server::default();
        let address = free_address().await;
        let endpoint = format!("--http-endpoint={address}");
        let line = [
            "--leader-election",
            "--leader-election-namespace=storage",
            &endpoint,
        ];
        let (running, shutdown) = start(&server, args(&line));
        server.until(|it| !it.is_empty()).await;
        let ready = get(&address, "/readyz").await;
        assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
        let leads = get(&address, "/healthz/leader-election").await;
        assert!(leads.starts_with("HTTP/1.1 200"), "{leads}");
        let metrics = get(&address, "/metrics").await;
        for line in [
            "leader_election_master_status{name=\"snapshot-controller-leader\"} 1",
            "snapshot_controller_operations_in_flight 0",
            "tintype_queue_depth{machine=\"snapshot\"} 0",
            "tintype_api_requests_total{code=\"200\",resource=\"leases\",verb=\"create\"} 1",
        ] {
            assert!(metrics.contains(line), "{line}\n{metrics}");
        }
        shutdown.cancel();
        running.await.unwrap().unwrap();
        assert_eq!(server.holder(), "");
        assert!(TcpStream::connect(&address).await.is_err());
        let state = server.0.lock().unwrap();
        assert_eq!(
            state.lease.as_ref().unwrap()["metadata"]["name"],
            "snapshot-controller-leader"
        );
        let all = state
            .requests
            .keys()
            .all(|it| it.starts_with("tintype/snapshot-controller "));
        assert!(all, "{:?}", state.requests);
    }

    #[tokio::test]
    async fn a_replica_that_waits_is_ready_to_follow() {
        let server = Server::default();
        server.answer(
            "test",
            "POST",
            "/apis/coordination.k8s.io/v1/namespaces/storage/leases",
            json!({"metadata": {}, "spec": {"holderIdentity": "other", "leaseDurationSeconds": 3600}}),
        );
        let address = free_address().await;
        let endpoint = format!("--http-endpoint={address}");
        let line = [
            "--leader-election",
            "--leader-election-namespace=storage",
            &endpoint,
        ];
        let (running, shutdown) = start(&server, args(&line));
        let waiting = async {
            while !get(&address, "/readyz").await.starts_with("HTTP/1.1 200") {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap();
        shutdown.cancel();
        running.await.unwrap().unwrap();
        assert_eq!(server.holder(), "other");
    }

    #[tokio::test]
    async fn a_lost_lease_ends_the_role_with_an_error() {
        let server = Server::default();
        let line = [
            "--leader-election",
            "--leader-election-namespace=storage",
            "--leader-election-lease-duration=1s",
            "--leader-election-renew-deadline=500ms",
            "--leader-election-retry-period=50ms",
        ];
        let (running, _shutdown) = start(&server, args(&line));
        server.until(|it| !it.is_empty()).await;
        {
            let mut state = server.0.lock().unwrap();
            state.version += 1;
            let version = state.version.to_string();
            let lease = state.lease.as_mut().unwrap();
            lease["metadata"]["resourceVersion"] = version.into();
            lease["spec"]["holderIdentity"] = "thief".into();
        }
        let ended = tokio::time::timeout(PATIENCE, running)
            .await
            .unwrap()
            .unwrap();
        let error = ended.unwrap_err().to_string();
        assert!(
            error.contains("the lease storage/snapshot-controller-leader is lost"),
            "{error}"
        );
        assert_eq!(server.holder(), "thief");
    }

    #[tokio::test]
    async fn by_default_there_is_no_lease() {
        let server = Server::default();
        let (running, shutdown) = start(&server, Args::default());
        let asked = async {
            // The last list before the engines start.
            while server.0.lock().unwrap().requests.len() < 5 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.unwrap();
        shutdown.cancel();
        running.await.unwrap().unwrap();
        let state = server.0.lock().unwrap();
        assert!(
            !state.requests.keys().any(|it| it.contains("leases")),
            "{:?}",
            state.requests
        );
    }

    #[tokio::test]
    async fn nodes_are_watched_only_for_distributed_snapshotting() {
        for (line, watched) in [
            (&["--enable-distributed-snapshotting"][..], true),
            (&[], false),
        ] {
            let server = Server::default();
            let (running, shutdown) = start(&server, args(line));
            let kinds = if watched { 6 } else { 5 };
            let asked = async {
                while server.0.lock().unwrap().requests.len() < kinds {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(PATIENCE, asked).await.unwrap();
            shutdown.cancel();
            running.await.unwrap().unwrap();
            let state = server.0.lock().unwrap();
            let nodes = state.requests.keys().any(|it| it.ends_with(" nodes"));
            assert_eq!(nodes, watched, "{:?}", state.requests);
        }
    }

    #[tokio::test]
    async fn terms_that_cannot_work_and_taken_ports_are_refused_at_the_start() {
        let server = Server::default();
        let line = ["--leader-election", "--leader-election-lease-duration=5s"];
        let (running, _shutdown) = start(&server, args(&line));
        let error = running.await.unwrap().unwrap_err().to_string();
        assert!(
            error.contains("--leader-election-lease-duration 5s"),
            "{error}"
        );
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("--http-endpoint={}", taken.local_addr().unwrap());
        let (running, _shutdown) = start(&server, args(&[&endpoint]));
        let error = running.await.unwrap().unwrap_err().to_string();
        assert!(error.contains("the port is taken"), "{error}");
    }
}
