//! Reads what a restore needs from the cluster, checks that it may be done, and creates objects.

use std::time::Duration;

use anyhow::{Context as _, bail};
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
        let found = snapshots.get_opt(name).await;
        let Some(snapshot) =
            found.with_context(|| format!("cannot read snapshot {namespace}/{name}"))?
        else {
            bail!(
                "snapshot {namespace}/{name} does not exist; `kubectl get volumesnapshot -A` lists those that do"
            );
        };
        let status = snapshot.status.as_ref();
        let content = match status.and_then(|it| it.bound_volume_snapshot_content_name.as_deref()) {
            None => None,
            Some(content) => {
                let contents: Api<VolumeSnapshotContent> = self.cluster_wide();
                let found = contents.get_opt(content).await;
                found.with_context(|| format!("cannot read VolumeSnapshotContent {content}, which holds the handle; ask an administrator to run this"))?
            }
        };
        let claim = match &snapshot.spec.source.persistent_volume_claim_name {
            None => None,
            Some(claim) => {
                let claims: Api<PersistentVolumeClaim> = self.namespaced(namespace);
                claims
                    .get_opt(claim)
                    .await
                    .with_context(|| format!("cannot read claim {namespace}/{claim}"))?
            }
        };
        let classes: Api<StorageClassObject> = self.cluster_wide();
        let classes = classes.list(&ListParams::default()).await;
        let classes = classes.context("cannot list storage classes")?;
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

    /// The namespace is there, the claim is not, and everything may be created.
    pub(super) async fn check(&self, plan: &Plan) -> anyhow::Result<()> {
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
        let found = claims.get_opt(claim).await;
        if found
            .with_context(|| format!("cannot read claim {namespace}/{claim}"))?
            .is_some()
        {
            bail!("claim {namespace}/{claim} exists already; name another in --to, or delete it");
        }
        let mut lacking = Vec::new();
        for document in plan.documents() {
            if !self.may_create(document).await? {
                let kind = kind(document);
                let place = document.namespace();
                let place =
                    place.map_or_else(|| "the cluster".to_owned(), |it| format!("namespace {it}"));
                lacking.push(format!("{} in {place}", kind.plural));
            }
        }
        if !lacking.is_empty() {
            bail!(
                "you may not create {}; ask an administrator to run this, or for these rights",
                lacking.join(", ")
            );
        }
        Ok(())
    }

    async fn may_create(&self, document: &DynamicObject) -> anyhow::Result<bool> {
        let kind = kind(document);
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    group: Some(kind.group),
                    resource: Some(kind.plural),
                    namespace: document.namespace(),
                    verb: Some("create".to_owned()),
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
