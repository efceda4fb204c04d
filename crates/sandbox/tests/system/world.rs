//! Sets up one cluster for one test, and asks it for things.

use std::{
    fmt::Debug,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use k8s_openapi::{
    ClusterResourceScope, NamespaceResourceScope, api::core::v1::PersistentVolumeClaim,
};
use kube::{
    Api, Resource,
    api::{DeleteParams, DynamicObject, PostParams},
    core::ApiResource,
    runtime::{
        conditions::is_deleted,
        wait::{Condition, await_condition},
    },
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tintype_api::VolumeSnapshot;
use tintype_csi::{
    Address, Client,
    v1::{ListSnapshotsRequest, ListVolumesRequest},
};
use tintype_sandbox::{
    cluster::{Cluster, Options},
    data_dir::DataDir,
};
use tokio::{task::spawn_blocking, time::timeout};

/// Longer than any step takes, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(90);

/// What the functions below need of a kind.
pub(crate) trait Kind:
    Resource<DynamicType = ()> + Clone + Debug + Send + DeserializeOwned + 'static
{
}

impl<K: Resource<DynamicType = ()> + Clone + Debug + Send + DeserializeOwned + 'static> Kind for K {}

/// One cluster in one folder.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) folder: tempfile::TempDir,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// With other options than usual.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = options(folder.path());
        change(&mut options);
        let cluster = Cluster::start(options).await.unwrap();
        Self { cluster, folder }
    }

    /// Ends the cluster; its folder is there for the next one.
    pub(crate) async fn stop(self) -> tempfile::TempDir {
        self.cluster.stop().await;
        // What was called last in this process may hold the store for a moment longer.
        let lock = fs::File::open(self.folder.path().join("data/api/LOCK")).unwrap();
        let waiting = spawn_blocking(move || lock.lock().unwrap());
        timeout(PATIENCE, waiting)
            .await
            .expect("the store is let go")
            .unwrap();
        self.folder
    }

    pub(crate) async fn start_again(folder: tempfile::TempDir) -> Self {
        let cluster = Cluster::start(options(folder.path())).await.unwrap();
        Self { cluster, folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn namespaced<K: Kind<Scope = NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.cluster.client(), "default")
    }

    pub(crate) fn clusterwide<K: Kind<Scope = ClusterResourceScope>>(&self) -> Api<K> {
        Api::all(self.cluster.client())
    }

    pub(crate) async fn create<K: Kind<Scope = NamespaceResourceScope>>(
        &self,
        name: &str,
        body: Value,
    ) {
        let kind = ApiResource::erase::<K>(&());
        let api = Api::namespaced_with(self.cluster.client(), "default", &kind);
        let object = DynamicObject::new(name, &kind).data(body);
        api.create(&PostParams::default(), &object).await.unwrap();
    }

    pub(crate) async fn create_clusterwide<K: Kind<Scope = ClusterResourceScope>>(
        &self,
        name: &str,
        body: Value,
    ) {
        let kind = ApiResource::erase::<K>(&());
        let api = Api::all_with(self.cluster.client(), &kind);
        let object = DynamicObject::new(name, &kind).data(body);
        api.create(&PostParams::default(), &object).await.unwrap();
    }

    /// A claim of 16 MiB with `more` in its spec.
    pub(crate) async fn claim(&self, name: &str, more: &Value) {
        let mut body = json!({"spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "16Mi"}}
        }});
        for (key, value) in more.as_object().unwrap() {
            body["spec"][key] = value.clone();
        }
        self.create::<PersistentVolumeClaim>(name, body).await;
    }

    pub(crate) async fn bound_claim(&self, name: &str, more: &Value) -> PersistentVolumeClaim {
        self.claim(name, more).await;
        self.until(self.namespaced(), name, is_bound).await
    }

    pub(crate) async fn ready_snapshot(
        &self,
        name: &str,
        claim: &str,
        class: &str,
    ) -> VolumeSnapshot {
        let source = json!({"persistentVolumeClaimName": claim});
        let spec = json!({"volumeSnapshotClassName": class, "source": source});
        self.create::<VolumeSnapshot>(name, json!({"spec": spec}))
            .await;
        self.until(self.namespaced(), name, is_ready).await
    }

    pub(crate) async fn until<K: Kind>(
        &self,
        api: Api<K>,
        name: &str,
        condition: impl Condition<K>,
    ) -> K {
        let waiting = Box::pin(await_condition(api.clone(), name, condition));
        let Ok(object) = timeout(PATIENCE, waiting).await else {
            panic!(
                "{} {name} is still {:?}",
                K::kind(&()),
                api.get_opt(name).await
            );
        };
        object.unwrap().unwrap()
    }

    /// Deletes one object and waits until it has gone.
    pub(crate) async fn delete<K: Kind>(&self, api: Api<K>, name: &str) {
        let object = api.get(name).await.unwrap();
        api.delete(name, &DeleteParams::default()).await.unwrap();
        self.gone(api, &object).await;
    }

    pub(crate) async fn gone<K: Kind>(&self, api: Api<K>, object: &K) {
        let name = object.meta().name.clone().unwrap();
        let uid = object.meta().uid.clone().unwrap();
        let waiting = Box::pin(await_condition(api.clone(), &name, is_deleted(&uid)));
        let Ok(gone) = timeout(PATIENCE, waiting).await else {
            panic!(
                "{} {name} is still {:?}",
                K::kind(&()),
                api.get_opt(&name).await
            );
        };
        gone.unwrap();
    }

    /// What the driver holds: volumes and snapshots.
    pub(crate) async fn stored(&self) -> (Vec<String>, Vec<String>) {
        let address = Address::at(self.cluster.options().data_dir.socket()).unwrap();
        let csi = Client::connect(&address, Duration::ZERO).await.unwrap();
        let volumes = csi
            .list_volumes(ListVolumesRequest::default())
            .await
            .unwrap()
            .entries;
        let snapshots = csi
            .list_snapshots(ListSnapshotsRequest::default())
            .await
            .unwrap()
            .entries;
        (
            volumes.into_iter().map(|listed| listed.volume.id).collect(),
            snapshots.into_iter().map(|snapshot| snapshot.id).collect(),
        )
    }
}

pub(crate) fn options(folder: &Path) -> Options {
    Options::in_folder(DataDir::choose(Some(&folder.join("data"))).unwrap())
}

pub(crate) fn is_bound(claim: Option<&PersistentVolumeClaim>) -> bool {
    let status = claim.and_then(|claim| claim.status.as_ref());
    status.and_then(|status| status.phase.as_deref()) == Some("Bound")
}

pub(crate) fn is_ready(snapshot: Option<&VolumeSnapshot>) -> bool {
    snapshot.is_some_and(VolumeSnapshot::ready)
}

/// `spec` of a claim that is restored from a snapshot.
pub(crate) fn from_snapshot(name: &str) -> Value {
    json!({"dataSource": {
        "apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": name
    }})
}
