//! Sets up a cluster whose snapshot roles the test runs itself: with a proxy before the driver, and
//! each request to the API counted.

#[path = "../system/world.rs"]
#[expect(
    dead_code,
    reason = "shared with the tests of whole clusters, which use more of it"
)]
mod world;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use clap::Parser as _;
use http::{HeaderValue, Request};
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::{
    Api, Client,
    api::{ListParams, PostParams},
    client::Body,
};
use serde_json::{Value, json};
use tintype_api::{VolumeSnapshot, VolumeSnapshotContent};
use tintype_sandbox::cluster::{Cluster, Options};
use tintype_sidecar::provisioner::Pod;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) use world::{World, from_snapshot, is_bound, is_ready};

use crate::proxy::Proxy;

/// A role that the test runs.
pub(crate) struct Running {
    end: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    /// Ends it as SIGTERM would.
    pub(crate) async fn stop(self) {
        self.end.cancel();
        self.task.await.unwrap().unwrap();
    }

    /// Waits until it ends by itself; why it did.
    pub(crate) async fn failure(self) -> String {
        let ended = tokio::time::timeout(PATIENCE, self.task).await.unwrap();
        format!("{:#}", ended.unwrap().unwrap_err())
    }
}

/// Requests of one role: verb, path and the answer's code.
pub(crate) type Log = Arc<Mutex<Vec<(String, String, u16)>>>;

/// A cluster, and what stands between it and its driver.
pub(crate) struct Rig {
    pub(crate) world: World,
    pub(crate) proxy: Proxy,
    pub(crate) controller: Running,
    pub(crate) snapshotter: Running,
    /// What controller and sidecar asked of the API.
    pub(crate) log: Log,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = world::options(folder.path());
        options.driver_backend = tintype_driver::BackendChoice::Null;
        options.without = &["snapshot-controller", "csi-snapshotter"];
        change(&mut options);
        let socket = options.data_dir.socket();
        let cluster = Cluster::start(options).await.unwrap();
        let proxy = Proxy::start(folder.path().join("proxy.sock"), socket);
        let log = Log::default();
        let client = |account: &str| account_client(&cluster, account, &log);
        let controller = controller(client("snapshot-controller"), &[]);
        let snapshotter = snapshotter(client("csi-snapshotter"), &proxy, &[]);
        Self {
            world: World { cluster, folder },
            proxy,
            controller,
            snapshotter,
            log,
        }
    }

    /// A client of this service account, with its rights and no others.
    pub(crate) fn client(&self, account: &str) -> Client {
        account_client(&self.world.cluster, account, &self.log)
    }

    /// Gives an account of `kube-system` these verbs on a resource of the core group, everywhere.
    pub(crate) async fn grant(&self, account: &str, resource: &str, verbs: &[&str]) {
        let client = self.world.cluster.client();
        let name = json!({ "name": format!("{account}-{resource}") });
        let role = json!({"metadata": name, "rules": [
            {"apiGroups": [""], "resources": [resource], "verbs": verbs}]});
        let role = serde_json::from_value(role).unwrap();
        let roles: Api<ClusterRole> = Api::all(client.clone());
        roles.create(&PostParams::default(), &role).await.unwrap();
        let binding = json!({"metadata": name,
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": "kube-system"}],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name["name"]}});
        let binding = serde_json::from_value(binding).unwrap();
        let bindings: Api<ClusterRoleBinding> = Api::all(client);
        let made = bindings.create(&PostParams::default(), &binding).await;
        made.unwrap();
    }

    pub(crate) async fn stop(self) {
        self.controller.stop().await;
        self.snapshotter.stop().await;
        self.world.cluster.stop().await;
    }

    /// A snapshot of `claim`, made and left to itself.
    pub(crate) async fn cut(&self, name: &str, claim: &str) {
        let source = json!({"persistentVolumeClaimName": claim});
        let spec = json!({"volumeSnapshotClassName": "tintype", "source": source});
        self.world
            .create::<VolumeSnapshot>(name, json!({ "spec": spec }))
            .await;
    }

    pub(crate) async fn ready(&self, name: &str) -> VolumeSnapshot {
        let snapshots = self.world.namespaced();
        self.world.until(snapshots, name, is_ready).await
    }

    /// Waits until the snapshot's error has these words.
    pub(crate) async fn complains(&self, name: &str, words: &'static str) -> VolumeSnapshot {
        let says = move |it: Option<&VolumeSnapshot>| {
            let error = it.and_then(|it| it.status.as_ref()?.error.as_ref());
            error.is_some_and(|it| it.message.as_ref().is_some_and(|it| it.contains(words)))
        };
        self.world.until(self.world.namespaced(), name, says).await
    }

    /// Waits until the only content there is fulfils the condition.
    pub(crate) async fn content(
        &self,
        holds: impl Fn(&VolumeSnapshotContent) -> bool,
    ) -> VolumeSnapshotContent {
        let contents = self.world.clusterwide::<VolumeSnapshotContent>();
        let waiting = async {
            loop {
                let all = contents.list(&ListParams::default()).await.unwrap();
                if let Some(found) = all.items.into_iter().find(|it| holds(it)) {
                    return found;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap()
    }

    /// Waits until the condition holds.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let waiting = async {
            while !holds() {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(waited.is_ok(), "{what}");
    }

    /// Waits until all of these events were told about an object; the reasons of all that were.
    pub(crate) async fn told(&self, namespace: &str, name: &str, wanted: &[&str]) -> Vec<String> {
        let waiting = async {
            loop {
                let reasons = self.reasons(namespace, name).await;
                if wanted
                    .iter()
                    .all(|it| reasons.iter().any(|reason| reason == it))
                {
                    return reasons;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap()
    }

    /// Reasons of the events about an object, sorted: several may be sent at once.
    async fn reasons(&self, namespace: &str, name: &str) -> Vec<String> {
        let events: Api<Event> = Api::namespaced(self.world.cluster.client(), namespace);
        let all = events.list(&ListParams::default()).await.unwrap();
        let about = all
            .into_iter()
            .filter(|it| it.involved_object.name.as_deref() == Some(name));
        let mut reasons: Vec<_> = about.filter_map(|it| it.reason).collect();
        reasons.sort();
        reasons
    }

    pub(crate) async fn delete(&self, name: &str) {
        let snapshots = self.world.namespaced::<VolumeSnapshot>();
        self.world.delete(snapshots, name).await;
    }

    /// No content and nothing of any snapshot on storage.
    pub(crate) async fn nothing_is_left(&self) {
        let contents = self.world.clusterwide::<VolumeSnapshotContent>();
        let left = contents.list(&ListParams::default()).await.unwrap().items;
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(self.world.stored().await.1, Vec::<String>::new());
    }
}

/// Longer than any step takes, on a machine that is busy with other tests.
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(90);

/// Starts a controller whose retries are quick.
pub(crate) fn controller(client: Client, line: &[&str]) -> Running {
    let quick = [
        "snapshot-controller",
        "--retry-interval-start=20ms",
        "--retry-interval-max=200ms",
    ];
    let args = tintype_controller::Args::parse_from(quick.iter().chain(line));
    let end = CancellationToken::new();
    let running = tintype_controller::run(args, client, end.clone());
    Running {
        end,
        task: tokio::spawn(running),
    }
}

/// Starts a sidecar behind the proxy, whose retries are quick.
pub(crate) fn snapshotter(client: Client, proxy: &Proxy, line: &[&str]) -> Running {
    snapshotter_on(None, client, proxy, line)
}

/// The same on a node.
pub(crate) fn snapshotter_on(
    node: Option<&str>,
    client: Client,
    proxy: &Proxy,
    line: &[&str],
) -> Running {
    let socket = format!("--csi-address={}", proxy.socket.display());
    let quick = [
        "csi-snapshotter",
        "--retry-interval-start=20ms",
        "--retry-interval-max=200ms",
        &socket,
    ];
    let mut args = tintype_sidecar::snapshotter::Args::parse_from(quick.iter().chain(line));
    args.node = node.map(str::to_owned);
    let end = CancellationToken::new();
    let running = tintype_sidecar::snapshotter::run(args, client, end.clone());
    Running {
        end,
        task: tokio::spawn(running),
    }
}

/// Starts a provisioner behind the proxy, whose retries are quick.
pub(crate) fn provisioner(client: Client, proxy: &Proxy, pod: Pod, line: &[&str]) -> Running {
    let socket = format!("--csi-address={}", proxy.socket.display());
    let quick = [
        "csi-provisioner",
        "--retry-interval-start=20ms",
        "--retry-interval-max=200ms",
        &socket,
    ];
    let mut args = tintype_sidecar::provisioner::Args::parse_from(quick.iter().chain(line));
    args.pod = Some(pod);
    let end = CancellationToken::new();
    let running = tintype_sidecar::provisioner::run(args, client, end.clone());
    Running {
        end,
        task: tokio::spawn(running),
    }
}

/// Impersonates a service account of `kube-system`, and notes what is asked.
pub(crate) fn account_client(cluster: &Cluster, account: &str, log: &Log) -> Client {
    let user = format!("system:serviceaccount:kube-system:{account}");
    let user = HeaderValue::try_from(user).unwrap();
    let (inner, log) = (cluster.client(), log.clone());
    let service = tower::service_fn(move |mut request: Request<Body>| {
        let (inner, log) = (inner.clone(), log.clone());
        let headers = request.headers_mut();
        headers.insert("impersonate-user", user.clone());
        for group in [
            "system:serviceaccounts",
            "system:serviceaccounts:kube-system",
            "system:authenticated",
        ] {
            headers.append("impersonate-group", HeaderValue::from_static(group));
        }
        let verb = request.method().to_string();
        let path = request.uri().to_string();
        async move {
            let answer = inner.send(request).await?;
            let code = answer.status().as_u16();
            log.lock().unwrap().push((verb, path, code));
            Ok::<_, kube::Error>(answer)
        }
    });
    Client::new(service, "default")
}

/// Requests of the log that are neither lists, watches nor about leases: how often each came.
pub(crate) fn work(log: &Log) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for (verb, path, code) in log.lock().unwrap().iter() {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let fills_caches = verb == "GET"
            && (query.contains("limit")
                || query.contains("watch")
                || query.contains("resourceVersion"));
        if fills_caches || path.contains("/leases") {
            continue;
        }
        let parts: Vec<_> = path.split('/').collect();
        let kind = parts
            .iter()
            .rev()
            .find(|it| {
                it.starts_with("volumesnapshot")
                    || [
                        "events",
                        "persistentvolumeclaims",
                        "persistentvolumes",
                        "secrets",
                    ]
                    .contains(it)
            })
            .unwrap_or(&"other");
        let status = if path.ends_with("/status") {
            "/status"
        } else {
            ""
        };
        *found
            .entry(format!("{verb} {kind}{status} {code}"))
            .or_default() += 1;
    }
    found
}

/// A snapshot class for `driver`, with parameters.
pub(crate) fn class(parameters: &Value) -> Value {
    json!({"driver": "csi.tintype.dev", "deletionPolicy": "Delete", "parameters": parameters})
}
