//! Runs candidates against an API that holds one lease, on a clock that stands still between steps.

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use http::{Method, Request, Response, StatusCode};
    use kube::Client;
    use kube::client::Body;
    use serde_json::{Value, json};
    use tintype_runtime::lease::{Candidate, Leadership, LeaseConfig, Pulse, Terms};
    use tintype_runtime::{Clock, Metrics};
    use tokio::time::Instant;
    use tokio_util::sync::CancellationToken;

    /// What the server does with requests on the lease.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Mood {
        Well,
        /// Takes requests and never answers.
        Silent,
        /// Does what is asked, but the answer is lost.
        Deaf,
        /// The same for writes only.
        DeafToWrites,
        Broken,
        /// Upstream's rights without a namespace to have them in.
        NoNamespace,
    }

    #[derive(Debug)]
    struct State {
        mood: Mood,
        lease: Option<Value>,
        version: u64,
        /// Method of each request on the lease.
        requests: Vec<Method>,
        events: Vec<Value>,
    }

    #[derive(Clone)]
    struct Server(Arc<Mutex<State>>);

    impl Server {
        fn start() -> Self {
            Self(Arc::new(Mutex::new(State {
                mood: Mood::Well,
                lease: None,
                version: 0,
                requests: Vec::new(),
                events: Vec::new(),
            })))
        }

        fn client(&self) -> Client {
            let server = self.clone();
            let service = tower::service_fn(move |request: Request<Body>| {
                let server = server.clone();
                async move {
                    let (parts, body) = request.into_parts();
                    let body = body.collect_bytes().await?;
                    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                    if parts.uri.path().ends_with("/events") {
                        server.0.lock().unwrap().events.push(body);
                        return Ok(answer(StatusCode::CREATED, &json!({})));
                    }
                    let mood = server.0.lock().unwrap().mood;
                    let reply = match mood {
                        Mood::Silent => std::future::pending().await,
                        Mood::Broken => refusal(StatusCode::INTERNAL_SERVER_ERROR),
                        Mood::Well | Mood::Deaf | Mood::DeafToWrites | Mood::NoNamespace => {
                            server.0.lock().unwrap().apply(&parts.method, body)
                        }
                    };
                    let write = parts.method != Method::GET;
                    if mood == Mood::Deaf || (mood == Mood::DeafToWrites && write) {
                        std::future::pending::<()>().await;
                    }
                    Ok::<_, kube::Error>(reply)
                }
            });
            Client::new(service, "default")
        }

        fn mood(&self, mood: Mood) {
            self.0.lock().unwrap().mood = mood;
        }

        fn spec(&self, field: &str) -> Value {
            let state = self.0.lock().unwrap();
            state.lease.as_ref().unwrap()["spec"][field].clone()
        }

        fn change(&self, change: impl FnOnce(&mut Value)) {
            let mut state = self.0.lock().unwrap();
            state.version += 1;
            let version = state.version.to_string();
            let lease = state
                .lease
                .get_or_insert_with(|| json!({"metadata": {"name": "the-lease"}, "spec": {}}));
            change(lease);
            lease["metadata"]["resourceVersion"] = version.into();
        }

        fn events(&self) -> Vec<String> {
            let state = self.0.lock().unwrap();
            let text = |it: &Value, field: &str| it[field].as_str().unwrap().to_owned();
            let told = |it| format!("{} {}", text(it, "reason"), text(it, "message"));
            state.events.iter().map(told).collect()
        }
    }

    impl State {
        fn apply(&mut self, method: &Method, mut body: Value) -> Response<Body> {
            self.requests.push(method.clone());
            let held = self.lease.as_ref();
            let version = |it: &Value| it["metadata"]["resourceVersion"].clone();
            match (method.as_str(), held) {
                ("GET", Some(lease)) => answer(StatusCode::OK, lease),
                ("POST", Some(_)) => refusal(StatusCode::CONFLICT),
                ("PUT", Some(lease)) if version(lease) != version(&body) => {
                    refusal(StatusCode::CONFLICT)
                }
                ("POST", None) if self.mood == Mood::NoNamespace => refusal(StatusCode::NOT_FOUND),
                ("POST", None) | ("PUT", Some(_)) => {
                    self.version += 1;
                    body["metadata"]["resourceVersion"] = self.version.to_string().into();
                    body["metadata"]["uid"] = "lease-uid".into();
                    self.lease = Some(body.clone());
                    answer(StatusCode::OK, &body)
                }
                ("GET" | "PUT", None) => refusal(StatusCode::NOT_FOUND),
                _ => refusal(StatusCode::FORBIDDEN),
            }
        }
    }

    fn answer(status: StatusCode, body: &Value) -> Response<Body> {
        let answer = Response::builder().status(status);
        answer
            .body(Body::from(body.to_string().into_bytes()))
            .unwrap()
    }

    fn refusal(status: StatusCode) -> Response<Body> {
        let body = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "message": "no",
            "reason": "No",
            "code": status.as_u16(),
        });
        answer(status, &body)
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn candidate(server: &Server, identity: &str) -> Candidate {
        candidate_with(server, identity, Pulse::default(), &[])
    }

    fn candidate_with(
        server: &Server,
        identity: &str,
        pulse: Pulse,
        labels: &[(&str, &str)],
    ) -> Candidate {
        let labels = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let config = LeaseConfig {
            namespace: "storage".to_owned(),
            name: "the.lease".to_owned(),
            identity: identity.to_owned(),
            labels: labels.collect::<BTreeMap<_, _>>(),
            terms: Terms {
                duration: secs(15),
                renew_deadline: secs(10),
                retry_period: secs(5),
            },
        };
        let metrics = Metrics::new().unwrap().leader("the-lease").unwrap();
        Candidate::new(config, server.client(), Clock::start(), pulse, metrics)
    }

    async fn lead(server: &Server, identity: &str) -> Leadership {
        let shutdown = CancellationToken::new();
        candidate(server, identity).lead(&shutdown).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_candidate_alone_leads_at_once_and_renews() {
        let server = Server::start();
        let start = Instant::now();
        let pulse = Pulse::default();
        let shutdown = CancellationToken::new();
        let leader = candidate_with(&server, "pod.a", pulse.clone(), &[("team", "storage")]);
        let leading = leader.lead(&shutdown).await.unwrap();
        assert!(start.elapsed().is_zero());
        assert!(pulse.leads());
        assert_eq!(server.spec("holderIdentity"), "pod-a");
        assert_eq!(server.spec("leaseDurationSeconds"), 15);
        assert_eq!(server.spec("leaseTransitions"), 0);
        tokio::time::sleep(secs(61)).await;
        assert!(!leading.lost().is_cancelled());
        assert_eq!(pulse.overdue(Instant::now()), None);
        leading.end().await.unwrap();
        assert!(!pulse.leads());
        let state = server.0.lock().unwrap();
        // Read, created, renewed every five seconds, and at the end read and given back.
        assert_eq!(state.requests[..2], [Method::GET, Method::POST]);
        assert!(state.requests[2..14].iter().all(|it| it == Method::PUT));
        assert_eq!(state.requests[14..], [Method::GET, Method::PUT]);
        let lease = state.lease.as_ref().unwrap();
        assert_eq!(lease["metadata"]["name"], "the-lease");
        assert_eq!(lease["metadata"]["labels"], json!({"team": "storage"}));
        assert_eq!(lease["spec"]["holderIdentity"], "");
    }

    #[tokio::test(start_paused = true)]
    async fn changes_of_leaders_are_told_as_upstream_tells_them() {
        let server = Server::start();
        let leading = lead(&server, "pod-a").await;
        leading.end().await.unwrap();
        assert_eq!(
            server.events(),
            [
                "LeaderElection pod-a became leader",
                "LeaderElection pod-a stopped leading"
            ]
        );
        let state = server.0.lock().unwrap();
        let event = &state.events[0];
        assert_eq!(event["type"], "Normal");
        assert_eq!(event["source"]["component"], "the-lease/pod-a");
        assert_eq!(event["involvedObject"]["kind"], "Lease");
        assert_eq!(
            event["involvedObject"]["apiVersion"],
            "coordination.k8s.io/v1"
        );
        assert_eq!(event["involvedObject"]["namespace"], "storage");
        assert_eq!(event["involvedObject"]["name"], "the-lease");
        assert_eq!(event["involvedObject"]["uid"], "lease-uid");
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_candidates_the_second_follows_when_the_first_gives_up() {
        let server = Server::start();
        let first = lead(&server, "a").await;
        let second = tokio::spawn({
            let server = server.clone();
            async move { lead(&server, "b").await }
        });
        tokio::time::sleep(secs(120)).await;
        assert!(!second.is_finished());
        let start = Instant::now();
        first.end().await.unwrap();
        let second = second.await.unwrap();
        assert!(start.elapsed() <= secs(6), "{:?}", start.elapsed());
        assert_eq!(server.spec("holderIdentity"), "b");
        assert_eq!(server.spec("leaseTransitions"), 1);
        second.end().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn many_candidates_at_once_make_one_leader() {
        let server = Server::start();
        let shutdown = CancellationToken::new();
        let mut candidates = tokio::task::JoinSet::new();
        for number in 0..10 {
            let (server, shutdown) = (server.clone(), shutdown.clone());
            candidates.spawn(async move {
                candidate(&server, &format!("pod-{number}"))
                    .lead(&shutdown)
                    .await
            });
        }
        let leader = candidates.join_next().await.unwrap().unwrap().unwrap();
        tokio::time::sleep(secs(60)).await;
        shutdown.cancel();
        while let Some(other) = candidates.join_next().await {
            assert!(other.unwrap().is_none());
        }
        assert!(!leader.lost().is_cancelled());
        leader.end().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_leader_is_followed_by_the_own_clock_whatever_it_wrote() {
        for written in [
            "1970-01-01T00:00:00.000000Z",
            "2999-01-01T00:00:00.000000Z",
            "never",
        ] {
            let server = Server::start();
            server.change(|lease| {
                lease["spec"] = json!({
                    "holderIdentity": "dead", "leaseDurationSeconds": 30,
                    "acquireTime": written, "renewTime": written, "leaseTransitions": 6,
                });
            });
            let start = Instant::now();
            let leading = lead(&server, "b").await;
            assert_eq!(start.elapsed().as_secs(), 30, "{written}");
            assert_eq!(server.spec("leaseTransitions"), 7);
            leading.end().await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_whose_clock_jumps_stays_leader_while_it_renews() {
        let server = Server::start();
        let shutdown = CancellationToken::new();
        let waiting = tokio::spawn({
            let (server, shutdown) = (server.clone(), shutdown.clone());
            server.change(|lease| lease["spec"]["holderIdentity"] = "skewed".into());
            async move { candidate(&server, "b").lead(&shutdown).await }
        });
        // Signs of life with times that go backwards.
        for hour in (10..24).rev() {
            server.change(|lease| {
                lease["spec"]["renewTime"] = format!("2026-01-01T{hour}:00:00.000000Z").into();
                lease["spec"]["leaseDurationSeconds"] = 15.into();
            });
            tokio::time::sleep(secs(9)).await;
        }
        assert!(!waiting.is_finished());
        shutdown.cancel();
        assert!(waiting.await.unwrap().is_none());
        assert_eq!(server.spec("holderIdentity"), "skewed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_costs_the_lease_before_others_may_take_it() {
        for mood in [Mood::Silent, Mood::Deaf, Mood::Broken] {
            let server = Server::start();
            let leading = lead(&server, "a").await;
            let led = Instant::now();
            tokio::time::sleep(secs(1)).await;
            server.mood(mood);
            leading.lost().cancelled().await;
            assert_eq!(led.elapsed(), secs(10), "{mood:?}");
            let error = leading.end().await.unwrap_err();
            assert!(
                error.to_string().contains("could not be renewed in time"),
                "{error}"
            );
            assert!(
                server
                    .events()
                    .contains(&"LeaderElection a stopped leading".to_owned())
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_silence_is_survived() {
        for mood in [Mood::Silent, Mood::Deaf, Mood::Broken] {
            let server = Server::start();
            let leading = lead(&server, "a").await;
            for _ in 0..5 {
                tokio::time::sleep(secs(4)).await;
                server.mood(mood);
                tokio::time::sleep(secs(4)).await;
                server.mood(Mood::Well);
                tokio::time::sleep(secs(12)).await;
            }
            assert!(!leading.lost().is_cancelled(), "{mood:?}");
            leading.end().await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_candidate_outlasts_a_server_that_is_ill() {
        for mood in [Mood::Silent, Mood::Deaf, Mood::Broken, Mood::NoNamespace] {
            let server = Server::start();
            server.mood(mood);
            let waiting = tokio::spawn({
                let server = server.clone();
                async move { lead(&server, "a").await }
            });
            tokio::time::sleep(secs(100)).await;
            // It asks now and then, and does not hammer.
            let asked = server.0.lock().unwrap().requests.len();
            assert!(asked <= 40, "{mood:?}: {asked}");
            server.mood(Mood::Well);
            let leading = waiting.await.unwrap();
            assert_eq!(server.spec("holderIdentity"), "a", "{mood:?}");
            leading.end().await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_is_taken_away_is_lost() {
        let server = Server::start();
        let leading = lead(&server, "a").await;
        server.change(|lease| lease["spec"]["holderIdentity"] = "thief".into());
        leading.lost().cancelled().await;
        let error = leading.end().await.unwrap_err();
        assert!(
            error.to_string().contains("somebody else holds it"),
            "{error}"
        );
        assert_eq!(server.spec("holderIdentity"), "thief");
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_survives_a_changed_label_and_a_deleted_lease() {
        let server = Server::start();
        let leading = lead(&server, "a").await;
        server.change(|lease| lease["metadata"]["labels"] = json!({"by": "hand"}));
        tokio::time::sleep(secs(6)).await;
        assert!(!leading.lost().is_cancelled());
        let labels = server.0.lock().unwrap().lease.as_ref().unwrap()["metadata"]["labels"].clone();
        assert_eq!(labels, json!({"by": "hand"}));
        server.0.lock().unwrap().lease = None;
        tokio::time::sleep(secs(6)).await;
        assert!(!leading.lost().is_cancelled());
        assert_eq!(server.spec("holderIdentity"), "a");
        leading.end().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_comes_back_takes_its_own_lease_at_once() {
        let server = Server::start();
        server.change(|lease| {
            lease["spec"] = json!({
                "holderIdentity": "a", "leaseDurationSeconds": 15, "leaseTransitions": 2,
            });
        });
        let start = Instant::now();
        let leading = lead(&server, "a").await;
        assert!(start.elapsed().is_zero());
        assert_eq!(server.spec("leaseTransitions"), 2);
        leading.end().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_shutdown_ends_a_candidate_that_waits() {
        let server = Server::start();
        let leading = lead(&server, "a").await;
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        assert!(candidate(&server, "b").lead(&shutdown).await.is_none());
        assert_eq!(server.spec("holderIdentity"), "a");
        leading.end().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_cut_off_by_a_shutdown_leaves_no_lease_behind() {
        let server = Server::start();
        server.mood(Mood::DeafToWrites);
        let shutdown = CancellationToken::new();
        let waiting = tokio::spawn({
            let (server, shutdown) = (server.clone(), shutdown.clone());
            async move { candidate(&server, "a").lead(&shutdown).await }
        });
        tokio::time::sleep(secs(1)).await;
        assert_eq!(server.spec("holderIdentity"), "a");
        server.mood(Mood::Well);
        shutdown.cancel();
        assert!(waiting.await.unwrap().is_none());
        assert_eq!(server.spec("holderIdentity"), "");
    }
}
