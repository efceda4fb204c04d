//! Gathers what the doctor looks at: whole lists, read once, nothing cached.

use anyhow::Context as _;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, Resource};
use serde_json::json;
use tintype_api::{VolumeSnapshot, VolumeSnapshotClass, VolumeSnapshotContent};

/// The kinds of snapshots in the version every program speaks.
const KINDS: [&str; 3] = [
    "VolumeSnapshot",
    "VolumeSnapshotClass",
    "VolumeSnapshotContent",
];

/// What the API server makes of a claim's `dataSourceRef.namespace`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// It stays.
    Yes,
    /// It is dropped, and nothing is said.
    Dropped,
    /// It could not be found out.
    Unknown(String),
}

/// Everything that was read.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Kinds of `snapshot.storage.k8s.io/v1` that are not served.
    pub missing_kinds: Vec<&'static str>,
    /// Versions of that group that are served.
    pub versions: Vec<String>,
    /// Snapshots.
    pub snapshots: Vec<VolumeSnapshot>,
    /// Contents.
    pub contents: Vec<VolumeSnapshotContent>,
    /// Their classes.
    pub classes: Vec<VolumeSnapshotClass>,
    /// Claims.
    pub claims: Vec<PersistentVolumeClaim>,
    /// Volumes.
    pub volumes: Vec<PersistentVolume>,
    /// Storage classes.
    pub storage_classes: Vec<StorageClass>,
    /// Leases of all namespaces; none if they may not be read.
    pub leases: Option<Vec<Lease>>,
    /// What becomes of `dataSourceRef.namespace`.
    pub kept: Kept,
    /// Now, in seconds since 1970.
    pub now: i64,
    /// Only objects of this namespace are looked at.
    pub namespace: Option<String>,
}

impl Cluster {
    /// Reads everything.
    pub async fn look(client: Client, namespace: Option<&str>) -> anyhow::Result<Self> {
        let (versions, missing_kinds) = served(&client).await?;
        let mut it = Self {
            missing_kinds,
            versions,
            snapshots: Vec::new(),
            contents: Vec::new(),
            classes: Vec::new(),
            claims: list(&client).await?,
            volumes: list(&client).await?,
            storage_classes: list(&client).await?,
            leases: list(&client).await.ok(),
            kept: kept(&client, namespace).await,
            now: jiff::Timestamp::now().as_second(),
            namespace: namespace.map(str::to_owned),
        };
        if it.missing_kinds.is_empty() {
            it.snapshots = list(&client).await?;
            it.contents = list(&client).await?;
            it.classes = list(&client).await?;
        }
        Ok(it)
    }

    /// Objects of this namespace are looked at.
    pub(super) fn looks_at(&self, namespace: Option<&String>) -> bool {
        self.namespace.is_none() || namespace == self.namespace.as_ref()
    }
}

async fn list<K>(client: &Client) -> anyhow::Result<Vec<K>>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::all(client.clone());
    let found = api.list(&ListParams::default()).await;
    let found = found.with_context(|| format!("cannot list {}", K::plural(&())))?;
    Ok(found.items)
}

/// Versions of the snapshot kinds, and those that are missing in the first.
async fn served(client: &Client) -> anyhow::Result<(Vec<String>, Vec<&'static str>)> {
    let groups = client.list_api_groups().await;
    let groups = groups.context("cannot ask what the API server serves")?;
    let group = groups
        .groups
        .into_iter()
        .find(|it| it.name == tintype_api::GROUP);
    let versions = group.map_or_else(Vec::new, |it| it.versions);
    let versions: Vec<String> = versions.into_iter().map(|it| it.version).collect();
    if !versions.iter().any(|it| it == tintype_api::VERSION) {
        return Ok((versions, KINDS.to_vec()));
    }
    let resources = client
        .list_api_group_resources(tintype_api::API_VERSION)
        .await;
    let resources = resources
        .context("cannot ask for the kinds of snapshots")?
        .resources;
    let missing = KINDS
        .into_iter()
        .filter(|kind| !resources.iter().any(|it| it.kind == *kind));
    Ok((versions, missing.collect()))
}

/// Creates a claim, as a dry run, that names a source in another namespace.
async fn kept(client: &Client, namespace: Option<&str>) -> Kept {
    let namespace = namespace.unwrap_or_else(|| client.default_namespace());
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let claim = json!({
        "metadata": {"generateName": "tintype-doctor-"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "dataSourceRef": {
                "apiGroup": tintype_api::GROUP,
                "kind": "VolumeSnapshot",
                "namespace": "tintype-doctor",
                "name": "probe",
            },
        },
    });
    let claim = match serde_json::from_value(claim) {
        Ok(claim) => claim,
        Err(error) => return Kept::Unknown(error.to_string()),
    };
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    match claims.create(&dry, &claim).await {
        Ok(answer) => {
            let source = answer.spec.and_then(|it| it.data_source_ref);
            match source.and_then(|it| it.namespace) {
                Some(_) => Kept::Yes,
                None => Kept::Dropped,
            }
        }
        Err(error) => Kept::Unknown(error.to_string()),
    }
}
