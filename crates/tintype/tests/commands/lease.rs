//! Two replicas of each role, as a Deployment runs them: real processes, one lease.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::{Child, Command, ExitStatus},
    time::{Duration, Instant},
};

use k8s_openapi::api::{coordination::v1::Lease, core::v1::PersistentVolumeClaim};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use tintype_api::VolumeSnapshot;
use tintype_sandbox::{
    cluster::{Cluster, Options},
    data_dir::DataDir,
};

use crate::process::{succeed, text};

/// Longer than any step takes, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running replica. Killed when dropped.
struct Replica {
    child: Child,
    log: std::path::PathBuf,
}

impl Replica {
    /// Starts on a host of its own name, as a pod is.
    fn start(cluster: &Cluster, folder: &Path, role: &str, host: &str) -> Self {
        let log = folder.join(format!("{role}-{host}.log"));
        let kubeconfig = cluster.options().kubeconfig();
        let mut command = Command::new("unshare");
        command
            .args(["--uts", "sh", "-c", "hostname \"$0\" && exec \"$@\"", host])
            .arg(env!("CARGO_BIN_EXE_tintype"))
            .arg(role)
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .args([
                "--leader-election",
                "--leader-election-namespace=kube-system",
                // Nobody takes over for want of a renewal, however busy the machine is.
                "--leader-election-lease-duration=120s",
                "--leader-election-renew-deadline=100s",
                "--leader-election-retry-period=200ms",
                "--retry-interval-start=50ms",
            ])
            .stderr(File::create(&log).unwrap());
        if role == "csi-snapshotter" {
            let socket = cluster.options().data_dir.socket();
            command.arg(format!("--csi-address={}", socket.display()));
        }
        let child = command.spawn().unwrap();
        Self { child, log }
    }

    fn said(&self) -> String {
        text(&fs::read(&self.log).unwrap())
    }

    /// Sends SIGTERM and waits for the end.
    async fn terminated(&mut self) -> ExitStatus {
        let process = self.child.id().to_string();
        succeed(Command::new("kill").args(["-s", "TERM", &process]));
        self.ended().await
    }

    /// Waits for the end; not for the process alone, since the API server is in this one.
    async fn ended(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "{}", self.said());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        // Fails when it has ended by itself, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until this host holds the lease.
async fn leads(client: &Client, lease: &str, host: &str, replica: &Replica) {
    let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-system");
    let start = Instant::now();
    loop {
        let found = leases.get_opt(lease).await.unwrap();
        let holder = found.and_then(|it| it.spec?.holder_identity);
        if holder.as_deref() == Some(host) {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{holder:?}: {}", replica.said());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Takes a snapshot and waits until it is ready.
async fn snapshot(client: &Client, name: &str) {
    let snapshots: Api<VolumeSnapshot> = Api::namespaced(client.clone(), "default");
    let mut snapshot = VolumeSnapshot::default();
    snapshot.metadata.name = Some(name.to_owned());
    snapshot.spec.source.persistent_volume_claim_name = Some("data".to_owned());
    let post = PostParams::default();
    snapshots.create(&post, &snapshot).await.unwrap();
    let start = Instant::now();
    loop {
        let found = snapshots.get(name).await.unwrap();
        if found.ready() {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{found:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Why two hosts cannot be had here.
fn in_the_way() -> Option<String> {
    let root = fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
    if !root {
        return Some("not root".to_owned());
    }
    let tried = Command::new("unshare")
        .args(["--uts", "hostname", "tintype-test"])
        .output();
    match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(text(&output.stderr)),
        Err(error) => Some(format!("unshare: {error}")),
    }
}

/// D19: who is told to end gives the lease back at once and ends well; who lost it ends badly.
#[tokio::test]
async fn d19_a_lease_moves_between_two_processes_and_is_given_back_on_sigterm() {
    if let Some(why) = in_the_way() {
        tintype_testing::not_run(&format!("it needs root and two host names: {why}"));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data_dir = DataDir::choose(Some(&folder.path().join("data"))).unwrap();
    let mut options = Options::in_folder(data_dir);
    options.driver_backend = tintype_driver::BackendChoice::Null;
    options.without = &["snapshot-controller", "csi-snapshotter"];
    let cluster = Cluster::start(options).await.unwrap();
    let client = cluster.client();
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), "default");
    let claim = json!({"metadata": {"name": "data"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}});
    let claim = serde_json::from_value(claim).unwrap();
    claims.create(&PostParams::default(), &claim).await.unwrap();

    let roles = [
        ("snapshot-controller", "snapshot-controller-leader"),
        (
            "csi-snapshotter",
            "external-snapshotter-leader-csi-tintype-dev",
        ),
    ];
    let mut firsts = Vec::new();
    for (role, lease) in roles {
        let first = Replica::start(&cluster, folder.path(), role, "pod-a");
        leads(&client, lease, "pod-a", &first).await;
        firsts.push(first);
    }
    let start = |(role, _)| Replica::start(&cluster, folder.path(), role, "pod-b");
    let mut seconds = roles.map(start);
    snapshot(&client, "by-the-first").await;

    for (mut first, (second, (_, lease))) in firsts.into_iter().zip(seconds.iter().zip(roles)) {
        let status = first.terminated().await;
        assert!(status.success(), "{status}: {}", first.said());
        let given_back = first.said().contains("the lease is free for the next");
        assert!(given_back, "{}", first.said());
        leads(&client, lease, "pod-b", second).await;
    }
    snapshot(&client, "by-the-second").await;

    for (second, (_, lease)) in seconds.iter_mut().zip(roles) {
        let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-system");
        let stolen = Patch::Merge(json!({"spec": {"holderIdentity": "thief"}}));
        let params = PatchParams::default();
        leases.patch(lease, &params, &stolen).await.unwrap();
        let status = second.ended().await;
        assert_eq!(status.code(), Some(1), "{}", second.said());
        assert!(second.said().contains("is lost"), "{}", second.said());
    }
    cluster.stop().await;
}
