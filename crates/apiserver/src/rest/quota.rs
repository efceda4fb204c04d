//! Refuses creations beyond a namespace's ResourceQuota, and tells in its status how many there are.
//!
//! Counts objects: `count/<resource>.<group>`, the old names of the core group, and claims by class. Amounts, such as
//! `requests.storage`, are not looked at; nor are quotas with scopes, which are about single pods.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

use super::Call;
use super::create::text_of;
use crate::quantity::Quantity;
use crate::registry::Catalog;
use crate::status::Failure;
use crate::store::{Draft, Expect, Object, Store, Write, WriteError};

const QUOTAS: &str = "resourcequotas";
const CLAIMS: &str = "persistentvolumeclaims";
/// `gold.storageclass.storage.k8s.io/persistentvolumeclaims`.
const OF_CLASS: &str = ".storageclass.storage.k8s.io/persistentvolumeclaims";
/// Resources that have a name of their own, without `count/`.
const OLD_NAMES: [&str; 6] = ["configmaps", CLAIMS, "pods", QUOTAS, "secrets", "services"];
/// Namespaces that share one of these wait for each other, which costs only time.
const LOCKS: usize = 16;

/// Between counting and creating nobody else may create in the namespace.
#[derive(Debug)]
pub(super) struct Turns([Mutex<()>; LOCKS]);

impl Turns {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| Mutex::new(())))
    }

    async fn take(&self, namespace: &str) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        namespace.hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % LOCKS as u64).unwrap_or(0);
        self.0[at].lock().await
    }
}

/// What a quota counts under one name.
enum Counted {
    All(String),
    /// Pods that have not come to their end.
    LivingPods,
    ClaimsOfClass(String),
}

impl Counted {
    fn parse(name: &str) -> Option<Self> {
        if let Some(resource) = name.strip_prefix("count/") {
            return Some(Self::All(resource.to_owned()));
        }
        if let Some(class) = name.strip_suffix(OF_CLASS) {
            return Some(Self::ClaimsOfClass(class.to_owned()));
        }
        match name {
            "pods" => Some(Self::LivingPods),
            _ if OLD_NAMES.contains(&name) => Some(Self::All(name.to_owned())),
            _ => None,
        }
    }

    fn bucket(&self) -> &str {
        match self {
            Self::All(bucket) => bucket,
            Self::LivingPods => "pods",
            Self::ClaimsOfClass(_) => CLAIMS,
        }
    }

    fn includes(&self, object: &Value) -> bool {
        match self {
            Self::All(_) => true,
            Self::LivingPods => {
                let phase = object.pointer("/status/phase").and_then(Value::as_str);
                !matches!(phase, Some("Succeeded" | "Failed"))
            }
            Self::ClaimsOfClass(class) => {
                let old_place =
                    &object["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"];
                let named = old_place
                    .as_str()
                    .or(object["spec"]["storageClassName"].as_str());
                named == Some(class)
            }
        }
    }

    fn count(&self, store: &Store, namespace: &str) -> usize {
        let prefix = format!("{namespace}/");
        match self {
            Self::All(bucket) => store.count(bucket, &prefix),
            Self::LivingPods | Self::ClaimsOfClass(_) => {
                let objects = store.list(self.bucket(), &prefix).objects;
                let of_these = objects
                    .iter()
                    .filter(|object| self.includes(&object.value()));
                of_these.count()
            }
        }
    }
}

fn quotas(store: &Store, namespace: &str) -> Vec<Arc<Object>> {
    store.list(QUOTAS, &format!("{namespace}/")).objects
}

/// What a quota limits and is counted here, by name.
fn limits(quota: &Value) -> BTreeMap<String, (Counted, Value)> {
    let spec = &quota["spec"];
    let scoped = ["scopes", "scopeSelector"]
        .iter()
        .any(|field| spec.get(field).is_some_and(|scope| !scope.is_null()));
    let hard = spec["hard"].as_object().filter(|_| !scoped);
    let counted = hard
        .into_iter()
        .flatten()
        .filter_map(|(name, hard)| Some((name.clone(), (Counted::parse(name)?, hard.clone()))));
    counted.collect()
}

impl Call<'_> {
    /// Finds room for one more object in every quota, and holds it until the guard is dropped.
    pub(super) async fn quota(&self, new: &Value) -> Result<Option<MutexGuard<'_, ()>>, Failure> {
        let namespace = text_of(new, "namespace");
        if !self.target.resource.namespaced || quotas(&self.api.store, namespace).is_empty() {
            return Ok(None);
        }
        let turn = self.api.turns.take(namespace).await;
        for quota in quotas(&self.api.store, namespace) {
            self.check_quota(&quota.value(), new, namespace)?;
        }
        Ok(Some(turn))
    }

    fn check_quota(&self, quota: &Value, new: &Value, namespace: &str) -> Result<(), Failure> {
        let (mut requested, mut used, mut limited) = (Vec::new(), Vec::new(), Vec::new());
        for (name, (counted, hard)) in limits(quota) {
            if counted.bucket() != &**self.bucket() || !counted.includes(new) {
                continue;
            }
            let have = counted.count(&self.api.store, namespace);
            let room = Quantity::of(&hard).is_none_or(|hard| {
                Quantity::of(&json!(have + 1)).is_some_and(|wanted| wanted <= hard)
            });
            if !room {
                requested.push(format!("{name}=1"));
                used.push(format!("{name}={have}"));
                limited.push(format!("{name}={}", hard.as_str().unwrap_or_default()));
            }
        }
        if requested.is_empty() {
            return Ok(());
        }
        let about = self.target.about(text_of(new, "name"));
        let message = format!(
            "{} {:?} is forbidden: exceeded quota: {}, requested: {}, used: {}, limited: {}",
            self.target.resource.qualified(),
            about.name,
            text_of(quota, "name"),
            requested.join(","),
            used.join(","),
            limited.join(","),
        );
        Err(Failure::forbidden(&about, message))
    }

    /// Brings the status of the namespace's quotas up to date after a write.
    pub(super) async fn recount(&self) {
        let namespace = &self.info.namespace;
        if !self.target.resource.namespaced || namespace.is_empty() {
            return;
        }
        for quota in quotas(&self.api.store, namespace) {
            recount(&self.api.store, self.catalog, namespace, quota).await;
        }
    }
}

async fn recount(store: &Store, catalog: &Catalog, namespace: &str, mut quota: Arc<Object>) {
    loop {
        let mut new = quota.value();
        let used: serde_json::Map<String, Value> = limits(&new)
            .into_iter()
            .filter(|(_, (counted, _))| catalog.all().any(|r| *r.bucket == *counted.bucket()))
            .map(|(name, (counted, _))| (name, json!(counted.count(store, namespace).to_string())))
            .collect();
        let hard = new["spec"]["hard"].as_object().cloned().unwrap_or_default();
        new["status"] = json!({"hard": hard, "used": used});
        let draft = Draft::encode(&new);
        if draft.same_as(&quota) {
            return;
        }
        let write = Write {
            resource: QUOTAS.into(),
            key: quota.key.clone(),
            expect: Expect::Unchanged(quota.rv),
            draft: Some(draft),
        };
        match store.commit(write).await {
            Ok(_) | Err(WriteError::Missing | WriteError::Exists) => return,
            Err(WriteError::Disk(error)) => {
                tracing::error!(%error, quota = &*quota.key, "cannot keep the status of a quota");
                return;
            }
            Err(WriteError::Changed) => match store.get(QUOTAS, &quota.key) {
                Some(newer) => quota = newer,
                None => return,
            },
        }
    }
}
