//! Reads what a restore needs from the cluster, checks that it may be done, and creates objects.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass as StorageClassObject;
use kube::api::{ListParams, PostParams};
use kube::core::{ApiResource, ClusterResourceScope, DynamicObject, NamespaceResourceScope};
use kube::{Api, Client, Resource, ResourceExt as _};
use tintype_api::{VolumeSnapshot, VolumeSnapshotContent};
use tintype_core::object::StorageClass;

use super::plan::{Plan, Source, SourceClaim, is_default};

/// The cluster, and how long one step may take.
pub(super) struct Cluster {
    client: Client,
    pub(super) patience: Duration,
}

impl Cluster {
    pub(super) fn new(client: Client, patience: Duration) -> Self {
        Self { client, patience }
    }

    pub(super) fn namespaced<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub(super) fn cluster_wide<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = ClusterResourceScope>,
    {
        Api::all(self.client.clone())
    }

    /// The snapshot, and all that a plan depends on.
    pub(super) async fn source(&self, from: &(String, String)) -> anyhow::Result<Source> {
        let (namespace, name) = from;
        let snapshots: Api<VolumeSnapshot> = self.namespaced(namespace);
        let found = tried("get", snapshots.get_opt(name).await, Some(namespace))?;
        let Some(snapshot) = found else {
            bail!(
                "snapshot {namespace}/{name} does not exist; `kubectl get volumesnapshot -A` lists those that do"
            );
        };
        let status = snapshot.status.as_ref();
        let content = match status.and_then(|it| it.bound_volume_snapshot_content_name.as_deref()) {
            None => None,
            Some(content) => {
                let contents: Api<VolumeSnapshotContent> = self.cluster_wide();
                tried("get", contents.get_opt(content).await, None)?
            }
        };
        let claim = match &snapshot.spec.source.persistent_volume_claim_name {
            None => None,
            Some(claim) => {
                let claims: Api<PersistentVolumeClaim> = self.namespaced(namespace);
                tried("get", claims.get_opt(claim).await, Some(namespace))?
            }
        };
        let classes: Api<StorageClassObject> = self.cluster_wide();
        let classes = classes.list(&ListParams::default()).await;
        let classes = tried("list", classes.map(|it| it.items), None)?;
        Ok(Source {
            snapshot,
            content,
            claim: claim.map(|it| source_claim(&it)),
            classes: classes
                .iter()
                .map(|it| (StorageClass::of(it), is_default(it)))
                .collect(),
        })
    }

    /// The namespace is there, the claim is not, and everything may be done that will be.
    pub(super) async fn check(&self, plan: &Plan, clean_up: bool) -> anyhow::Result<()> {
        let target = &plan.target;
        let namespaces: Api<Namespace> = self.cluster_wide();
        // Who may not look finds out by creating.
        if let Ok(None) = namespaces.get_opt(&target.namespace).await {
            bail!(
                "namespace {} does not exist; create it, or name another in --to",
                target.namespace
            );
        }
        let claims: Api<PersistentVolumeClaim> = self.namespaced(&target.namespace);
        let (namespace, claim) = (&target.namespace, &target.claim);
        let found = tried("get", claims.get_opt(claim).await, Some(namespace))?;
        if found.is_some() {
            bail!("claim {namespace}/{claim} exists already; name another in --to, or delete it");
        }
        let mut lacking = Vec::new();
        for (verb, document) in plan.deeds(clean_up) {
            if !self.may(verb, document).await? {
                let namespace = document.namespace();
                lacking.push(right(verb, &kind(document), namespace.as_deref()));
            }
        }
        if !lacking.is_empty() {
            bail!(
                "you may not {}; ask an administrator for these rights, or to run this",
                lacking.join(", nor ")
            );
        }
        Ok(())
    }

    async fn may(&self, verb: &str, document: &DynamicObject) -> anyhow::Result<bool> {
        let kind = kind(document);
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    group: Some(kind.group),
                    resource: Some(kind.plural),
                    namespace: document.namespace(),
                    verb: Some(verb.to_owned()),
                    ..ResourceAttributes::default()
                }),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let reviews: Api<SelfSubjectAccessReview> = Api::all(self.client.clone());
        let answer = reviews.create(&PostParams::default(), &review).await;
        let answer = answer.context("cannot ask what you may do")?;
        Ok(answer.status.is_some_and(|it| it.allowed))
    }

    pub(super) async fn create(&self, document: &DynamicObject) -> anyhow::Result<()> {
        let kind = kind(document);
        let api: Api<DynamicObject> = match document.namespace() {
            Some(namespace) => Api::namespaced_with(self.client.clone(), &namespace, &kind),
            None => Api::all_with(self.client.clone(), &kind),
        };
        let name = document.name_any();
        match api.create(&PostParams::default(), document).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                let there = api.get(&name).await?;
                // An earlier run that was stopped made the same.
                if contains(&there.data["spec"], &document.data["spec"]) {
                    return Ok(());
                }
                bail!(
                    "{} {name} exists already, and is another; delete it, or name another claim in --to",
                    kind.kind
                )
            }
            Err(error) => Err(error).with_context(|| format!("cannot create {} {name}", kind.kind)),
        }
    }
}

/// Verb, resource and place, as an administrator writes them into a role.
fn right(verb: &str, kind: &ApiResource, namespace: Option<&str>) -> String {
    let place = namespace.map_or_else(
        || "in the whole cluster".to_owned(),
        |it| format!("in namespace {it}"),
    );
    if kind.group.is_empty() {
        format!("{verb} {} {place}", kind.plural)
    } else {
        format!("{verb} {}.{} {place}", kind.plural, kind.group)
    }
}

/// What was read; whoever may not is told which right that takes.
fn tried<T: Read>(
    verb: &str,
    answer: kube::Result<T>,
    namespace: Option<&str>,
) -> anyhow::Result<T> {
    let right = right(verb, &T::kind(), namespace);
    answer.map_err(|error| match error {
        kube::Error::Api(status) if status.is_forbidden() => {
            anyhow!("you may not {right}; ask an administrator for that right, or to run this")
        }
        error => anyhow::Error::new(error).context(format!("cannot {right}")),
    })
}

/// What a read brings.
trait Read {
    fn kind() -> ApiResource;
}

impl<K: Resource<DynamicType = ()>> Read for Option<K> {
    fn kind() -> ApiResource {
        ApiResource::erase::<K>(&())
    }
}

impl<K: Resource<DynamicType = ()>> Read for Vec<K> {
    fn kind() -> ApiResource {
        ApiResource::erase::<K>(&())
    }
}

/// Everything the second says is true of the first.
fn contains(whole: &serde_json::Value, part: &serde_json::Value) -> bool {
    match part.as_object() {
        Some(fields) => fields.iter().all(|(key, it)| contains(&whole[key], it)),
        None => whole == part,
    }
}

fn kind(document: &DynamicObject) -> ApiResource {
    let kind = document.types.as_ref().map_or("", |it| &*it.kind);
    match kind {
        "VolumeSnapshot" => ApiResource::erase::<VolumeSnapshot>(&()),
        "VolumeSnapshotContent" => ApiResource::erase::<VolumeSnapshotContent>(&()),
        _ => ApiResource::erase::<PersistentVolumeClaim>(&()),
    }
}

fn source_claim(claim: &PersistentVolumeClaim) -> SourceClaim {
    let spec = claim.spec.clone().unwrap_or_default();
    let capacity = claim.status.as_ref().and_then(|it| it.capacity.as_ref());
    SourceClaim {
        class: spec.storage_class_name,
        access_modes: spec.access_modes.unwrap_or_default(),
        size: capacity
            .and_then(|it| it.get("storage"))
            .map(|it| it.0.clone()),
    }
}
