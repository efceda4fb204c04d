//! Gathers what the doctor looks at: whole lists, read once, nothing cached.

use std::collections::BTreeMap;

use anyhow::Context as _;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{ListParams, PostParams};
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::json;
use tintype_api::{
    GROUP, GROUP_OF_GROUPS, GROUP_VERSIONS, VERSION, VolumeGroupSnapshot, VolumeGroupSnapshotClass,
    VolumeGroupSnapshotContent, VolumeSnapshot, VolumeSnapshotClass, VolumeSnapshotContent,
};
use tintype_core::claim::Grant;
use tintype_core::object::Key;

/// The kinds of snapshots in the version every program speaks.
const KINDS: [&str; 3] = [
    "VolumeSnapshot",
    "VolumeSnapshotClass",
    "VolumeSnapshotContent",
];
/// More than one page of it is read page by page.
const PAGE: u32 = 500;

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

/// A list, as far as whoever asks may read it.
#[derive(Debug, Clone)]
pub struct Listed<T> {
    /// What was read.
    pub items: Vec<T>,
    /// There are no others.
    pub whole: bool,
}

impl<T> Listed<T> {
    /// All there are.
    pub const fn whole(items: Vec<T>) -> Self {
        Self { items, whole: true }
    }

    const fn unread() -> Self {
        Self {
            items: Vec::new(),
            whole: false,
        }
    }
}

/// A right that whoever asks lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// Plural name and API group.
    pub resource: String,
    /// The server's words.
    pub why: String,
}

/// Everything that was read.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Kinds of `snapshot.storage.k8s.io/v1` that are not served.
    pub missing_kinds: Vec<&'static str>,
    /// Versions of that group that are served.
    pub versions: Vec<String>,
    /// Snapshots.
    pub snapshots: Listed<VolumeSnapshot>,
    /// Contents.
    pub contents: Listed<VolumeSnapshotContent>,
    /// Their classes.
    pub classes: Listed<VolumeSnapshotClass>,
    /// Group snapshots; none where their kinds are not served.
    pub groups: Listed<VolumeGroupSnapshot>,
    /// Group contents.
    pub group_contents: Listed<VolumeGroupSnapshotContent>,
    /// Their classes.
    pub group_classes: Listed<VolumeGroupSnapshotClass>,
    /// Claims.
    pub claims: Listed<PersistentVolumeClaim>,
    /// Volumes.
    pub volumes: Listed<PersistentVolume>,
    /// Storage classes.
    pub storage_classes: Listed<StorageClass>,
    /// Leases of all namespaces.
    pub leases: Listed<Lease>,
    /// Grants of all namespaces; none where their kind is not served.
    pub grants: Listed<Grant>,
    /// What was said last of each claim that waits, by uid: warnings only.
    pub warnings: BTreeMap<String, String>,
    /// What could not be read.
    pub lacking: Vec<Lacking>,
    /// What becomes of `dataSourceRef.namespace`.
    pub kept: Kept,
    /// Now, in seconds since 1970.
    pub now: i64,
    /// Only objects of this namespace are looked at.
    pub namespace: Option<String>,
}

impl Cluster {
    /// Reads everything that may be read.
    pub async fn look(client: Client, namespace: Option<&str>) -> anyhow::Result<Self> {
        let (versions, missing_kinds) = served(&client).await?;
        let group_version = version_of_groups(&client).await?;
        let mut reader = Reader {
            client,
            namespace: namespace.map(str::to_owned),
            lacking: Vec::new(),
        };
        let mut it = Self {
            snapshots: Listed::whole(Vec::new()),
            contents: Listed::whole(Vec::new()),
            classes: Listed::whole(Vec::new()),
            groups: Listed::whole(Vec::new()),
            group_contents: Listed::whole(Vec::new()),
            group_classes: Listed::whole(Vec::new()),
            claims: reader.of_namespaces().await?,
            volumes: reader.list().await?,
            storage_classes: reader.list().await?,
            leases: reader.list().await?,
            grants: Listed::whole(Vec::new()),
            warnings: BTreeMap::new(),
            lacking: Vec::new(),
            kept: kept(&reader.client, namespace).await,
            now: jiff::Timestamp::now().as_second(),
            namespace: namespace.map(str::to_owned),
            missing_kinds,
            versions,
        };
        if it.missing_kinds.is_empty() {
            it.snapshots = reader.of_namespaces().await?;
            it.contents = reader.list().await?;
            it.classes = reader.list().await?;
        }
        if let Some(version) = group_version {
            it.groups = reader.groups(version, true).await?;
            it.group_contents = reader.groups(version, false).await?;
            it.group_classes = reader.groups(version, false).await?;
        }
        it.grants = reader.grants(&it.claims.items).await?;
        it.warnings = reader.warnings(&it.claims.items).await?;
        it.lacking = reader.lacking;
        Ok(it)
    }

    /// Objects of this namespace are looked at.
    pub(super) fn looks_at(&self, namespace: Option<&String>) -> bool {
        self.namespace.is_none() || namespace == self.namespace.as_ref()
    }
}

/// Lists, and notes what may not be listed.
struct Reader {
    client: Client,
    namespace: Option<String>,
    lacking: Vec<Lacking>,
}

impl Reader {
    async fn list<K>(&mut self) -> anyhow::Result<Listed<K>>
    where
        K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
    {
        self.all(&ApiResource::erase::<K>(&()), false).await
    }

    /// Whoever may not list them everywhere may do so in the namespace that is asked about.
    async fn of_namespaces<K>(&mut self) -> anyhow::Result<Listed<K>>
    where
        K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
    {
        self.all(&ApiResource::erase::<K>(&()), true).await
    }

    /// Group snapshots are the same in all versions, as far as they are looked at here.
    async fn groups<K>(&mut self, version: &str, namespaced: bool) -> anyhow::Result<Listed<K>>
    where
        K: Resource<DynamicType = ()> + DeserializeOwned,
    {
        let mut kind = ApiResource::erase::<K>(&());
        kind.version = version.to_owned();
        kind.api_version = format!("{GROUP_OF_GROUPS}/{version}");
        self.all(&kind, namespaced).await
    }

    async fn all<K: DeserializeOwned>(
        &mut self,
        kind: &ApiResource,
        namespaced: bool,
    ) -> anyhow::Result<Listed<K>> {
        let denied = match pages(Api::all_with(self.client.clone(), kind), "").await {
            Ok(items) => return read(kind, items).map(Listed::whole),
            Err(kube::Error::Api(status)) if status.is_forbidden() => status,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot list {}", kind.plural));
            }
        };
        let resource = if kind.group.is_empty() {
            kind.plural.clone()
        } else {
            format!("{}.{}", kind.plural, kind.group)
        };
        let own = self.namespace.clone().filter(|_| namespaced);
        if let Some(namespace) = own {
            let api = Api::namespaced_with(self.client.clone(), &namespace, kind);
            if let Ok(items) = pages(api, "").await {
                return Ok(Listed {
                    items: read(kind, items)?,
                    whole: false,
                });
            }
        }
        self.lacking.push(Lacking {
            resource,
            why: denied.message.clone(),
        });
        Ok(Listed::unread())
    }

    /// Only where a claim names a source of another namespace.
    async fn grants(&mut self, claims: &[PersistentVolumeClaim]) -> anyhow::Result<Listed<Grant>> {
        let elsewhere = claims.iter().any(|it| {
            let source = it.spec.as_ref().and_then(|it| it.data_source_ref.as_ref());
            source.is_some_and(|it| it.namespace.is_some())
        });
        if !elsewhere {
            return Ok(Listed::whole(Vec::new()));
        }
        let kind = ApiResource {
            group: "gateway.networking.k8s.io".to_owned(),
            version: "v1beta1".to_owned(),
            api_version: "gateway.networking.k8s.io/v1beta1".to_owned(),
            kind: "ReferenceGrant".to_owned(),
            plural: "referencegrants".to_owned(),
        };
        let all: Api<DynamicObject> = Api::all_with(self.client.clone(), &kind);
        match pages(all, "").await {
            Ok(items) => {
                let grant = |it: &DynamicObject| {
                    let namespace = it.namespace().unwrap_or_default();
                    Grant::of(Key::namespaced(namespace, it.name_any()), &it.data["spec"])
                };
                Ok(Listed::whole(items.iter().map(grant).collect()))
            }
            // Nobody installed the kind: there is no grant. The answer is no status then.
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Listed::whole(Vec::new())),
            Err(kube::Error::Api(status)) if status.is_forbidden() => {
                self.lacking.push(Lacking {
                    resource: format!("{}.{}", kind.plural, kind.group),
                    why: status.message.clone(),
                });
                Ok(Listed::unread())
            }
            Err(error) => Err(error).context("cannot list ReferenceGrants"),
        }
    }

    /// Only where a claim waits.
    async fn warnings(
        &mut self,
        claims: &[PersistentVolumeClaim],
    ) -> anyhow::Result<BTreeMap<String, String>> {
        let waits = |it: &&PersistentVolumeClaim| {
            let phase = it.status.as_ref().and_then(|it| it.phase.as_deref());
            phase.is_none_or(|it| it == "Pending")
        };
        let waiting: Vec<String> = claims
            .iter()
            .filter(waits)
            .filter_map(kube::ResourceExt::uid)
            .collect();
        if waiting.is_empty() {
            return Ok(BTreeMap::new());
        }
        let kind = ApiResource::erase::<Event>(&());
        let about = "involvedObject.kind=PersistentVolumeClaim,type=Warning";
        let all = match &self.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &kind),
            None => Api::all_with(self.client.clone(), &kind),
        };
        let events: Vec<Event> = match pages(all, about).await {
            Ok(items) => read(&kind, items)?,
            Err(kube::Error::Api(status)) if status.is_forbidden() => {
                self.lacking.push(Lacking {
                    resource: kind.plural,
                    why: status.message.clone(),
                });
                return Ok(BTreeMap::new());
            }
            Err(error) => return Err(error).context("cannot list events"),
        };
        let mut newest: BTreeMap<String, (i64, String)> = BTreeMap::new();
        for event in events {
            let at = told_at(&event);
            let uid = event.involved_object.uid.unwrap_or_default();
            let message = event.message.unwrap_or_default();
            let known = newest.get(&uid).is_some_and(|it| it.0 > at);
            if waiting.contains(&uid) && !known && !message.is_empty() {
                newest.insert(uid, (at, message));
            }
        }
        Ok(newest.into_iter().map(|(uid, (_, it))| (uid, it)).collect())
    }
}

/// Seconds since 1970.
fn told_at(event: &Event) -> i64 {
    let series = event.series.as_ref();
    let series = series.and_then(|it| it.last_observed_time.as_ref());
    let exact = series.or(event.event_time.as_ref()).map(|it| it.0);
    let last = event.last_timestamp.as_ref().map(|it| it.0);
    let made = event.metadata.creation_timestamp.as_ref().map(|it| it.0);
    exact
        .max(last)
        .or(made)
        .map_or(0, jiff::Timestamp::as_second)
}

async fn pages(api: Api<DynamicObject>, fields: &str) -> Result<Vec<DynamicObject>, kube::Error> {
    let mut params = ListParams::default().limit(PAGE);
    if !fields.is_empty() {
        params = params.fields(fields);
    }
    let mut items = Vec::new();
    loop {
        let page = api.list(&params).await?;
        items.extend(page.items);
        match page.metadata.continue_.filter(|it| !it.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(items),
        }
    }
}

fn read<K: DeserializeOwned>(
    kind: &ApiResource,
    items: Vec<DynamicObject>,
) -> anyhow::Result<Vec<K>> {
    let one = |it: DynamicObject| {
        let name = it.name_any();
        let value = serde_json::to_value(it)?;
        serde_json::from_value(value).with_context(|| format!("cannot read {} {name}", kind.plural))
    };
    items.into_iter().map(one).collect()
}

/// Versions of the snapshot kinds, and those that are missing in the first.
async fn served(client: &Client) -> anyhow::Result<(Vec<String>, Vec<&'static str>)> {
    let versions = versions(client, GROUP).await?;
    if !versions.iter().any(|it| it == VERSION) {
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

async fn versions(client: &Client, group: &str) -> anyhow::Result<Vec<String>> {
    let groups = client.list_api_groups().await;
    let groups = groups.context("cannot ask what the API server serves")?;
    let group = groups.groups.into_iter().find(|it| it.name == group);
    let versions = group.map_or_else(Vec::new, |it| it.versions);
    Ok(versions.into_iter().map(|it| it.version).collect())
}

/// The best version in which group snapshots are served, if they are.
async fn version_of_groups(client: &Client) -> anyhow::Result<Option<&'static str>> {
    let versions = versions(client, GROUP_OF_GROUPS).await?;
    let served = |it: &&str| versions.iter().any(|version| version == it);
    Ok(GROUP_VERSIONS.into_iter().find(served))
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
                "apiGroup": GROUP,
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
