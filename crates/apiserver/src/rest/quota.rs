//! Refuses what goes beyond a namespace's ResourceQuota, and tells in its status how much is used.
//!
//! Counts objects: `count/<resource>.<group>`, the old names of the core group, and claims by class; and adds up the
//! storage that claims ask for, of all and by class. Other amounts, such as `requests.cpu`, are not looked at; nor are
//! quotas with scopes, which are about single pods.

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
/// In `gold.storageclass.storage.k8s.io/persistentvolumeclaims`.
const OF_CLASS: &str = ".storageclass.storage.k8s.io/";
const STORAGE: &str = "requests.storage";
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

/// What a quota limits under one name.
struct Limited {
    of: Of,
    what: What,
}

/// Which objects.
enum Of {
    All(String),
    /// Pods that have not come to their end.
    LivingPods,
    ClaimsOfClass(String),
}

/// What of each.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Number,
    /// `spec.resources.requests.storage`, in bytes.
    Storage,
}

impl Limited {
    fn parse(name: &str) -> Option<Self> {
        if let Some(resource) = name.strip_prefix("count/") {
            return Some(Self::number(Of::All(resource.to_owned())));
        }
        if let Some((class, what)) = name.split_once(OF_CLASS) {
            let what = match what {
                CLAIMS => What::Number,
                STORAGE => What::Storage,
                _ => return None,
            };
            let of = Of::ClaimsOfClass(class.to_owned());
            return Some(Self { of, what });
        }
        match name {
            "pods" => Some(Self::number(Of::LivingPods)),
            STORAGE => Some(Self {
                of: Of::All(CLAIMS.to_owned()),
                what: What::Storage,
            }),
            _ if OLD_NAMES.contains(&name) => Some(Self::number(Of::All(name.to_owned()))),
            _ => None,
        }
    }

    fn number(of: Of) -> Self {
        Self {
            of,
            what: What::Number,
        }
    }

    fn bucket(&self) -> &str {
        match &self.of {
            Of::All(bucket) => bucket,
            Of::LivingPods => "pods",
            Of::ClaimsOfClass(_) => CLAIMS,
        }
    }

    fn includes(&self, object: &Value) -> bool {
        match &self.of {
            Of::All(_) => true,
            Of::LivingPods => {
                let phase = object.pointer("/status/phase").and_then(Value::as_str);
                !matches!(phase, Some("Succeeded" | "Failed"))
            }
            Of::ClaimsOfClass(class) => {
                let old_place =
                    &object["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"];
                let named = old_place
                    .as_str()
                    .or(object["spec"]["storageClassName"].as_str());
                named == Some(class)
            }
        }
    }

    /// What one object takes of it.
    fn part(&self, object: &Value) -> Quantity {
        match self.what {
            _ if !self.includes(object) => Quantity::ZERO,
            What::Number => Quantity::whole(1),
            What::Storage => object
                .pointer("/spec/resources/requests/storage")
                .and_then(Quantity::of)
                .unwrap_or(Quantity::ZERO),
        }
    }

    /// What all objects of a namespace take of it.
    fn used(&self, store: &Store, namespace: &str) -> Quantity {
        let prefix = format!("{namespace}/");
        if let (Of::All(bucket), What::Number) = (&self.of, self.what) {
            return Quantity::whole(store.count(bucket, &prefix));
        }
        let objects = store.list(self.bucket(), &prefix).objects;
        let parts = objects.iter().map(|object| self.part(&object.value()));
        parts.fold(Quantity::ZERO, Quantity::plus)
    }
}

fn quotas(store: &Store, namespace: &str) -> Vec<Arc<Object>> {
    store.list(QUOTAS, &format!("{namespace}/")).objects
}

/// What a quota limits and is looked at here, by name.
fn limits(quota: &Value) -> BTreeMap<String, (Limited, Value)> {
    let spec = &quota["spec"];
    let scoped = ["scopes", "scopeSelector"]
        .iter()
        .any(|field| spec.get(field).is_some_and(|scope| !scope.is_null()));
    let hard = spec["hard"].as_object().filter(|_| !scoped);
    let counted = hard
        .into_iter()
        .flatten()
        .filter_map(|(name, hard)| Some((name.clone(), (Limited::parse(name)?, hard.clone()))));
    counted.collect()
}

impl Call<'_> {
    /// Finds room in every quota for a new object, or for what an object has grown by, and holds it
    /// until the guard is dropped.
    pub(super) async fn quota(
        &self,
        new: &Value,
        old: Option<&Value>,
    ) -> Result<Option<MutexGuard<'_, ()>>, Failure> {
        let namespace = text_of(new, "namespace");
        let grows = old.is_none() || self.target.is("", CLAIMS);
        let store = &self.api.store;
        if !self.target.resource.namespaced || !grows || quotas(store, namespace).is_empty() {
            return Ok(None);
        }
        let turn = self.api.turns.take(namespace).await;
        for quota in quotas(store, namespace) {
            self.check_quota(&quota.value(), new, old, namespace)?;
        }
        Ok(Some(turn))
    }

    fn check_quota(
        &self,
        quota: &Value,
        new: &Value,
        old: Option<&Value>,
        namespace: &str,
    ) -> Result<(), Failure> {
        let (mut requested, mut used, mut limited) = (Vec::new(), Vec::new(), Vec::new());
        for (name, (what, hard)) in limits(quota) {
            if what.bucket() != &**self.bucket() {
                continue;
            }
            let before = old.map_or(Quantity::ZERO, |old| what.part(old));
            let more = what.part(new).minus(before);
            if more <= Quantity::ZERO {
                continue;
            }
            let have = what.used(&self.api.store, namespace);
            if Quantity::of(&hard).is_some_and(|hard| have.plus(more) > hard) {
                requested.push(format!("{name}={more}"));
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
            .filter(|(_, (what, _))| catalog.all().any(|r| *r.bucket == *what.bucket()))
            .map(|(name, (what, _))| (name, json!(what.used(store, namespace).to_string())))
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
