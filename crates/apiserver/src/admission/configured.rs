//! Keeps what administrators configured for admission, compiled, for as long as it is stored like that.
//!
//! Does not ask and does not evaluate.

use std::sync::{Arc, LazyLock};

use arc_swap::ArcSwapOption;
use serde_json::Value;

use super::hooks::Hook;
use super::policy::Policy;
use crate::registry::bucket;
use crate::store::Store;

pub(crate) const GROUP: &str = "admissionregistration.k8s.io";
/// Kinds that configure admission. Writes of them are never admitted by it: nobody could take back a mistake.
pub(crate) const PLURALS: [&str; 4] = [
    "validatingwebhookconfigurations",
    "mutatingwebhookconfigurations",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
];

static BUCKETS: LazyLock<[String; 4]> =
    LazyLock::new(|| PLURALS.map(|plural| bucket(GROUP, plural)));

/// All that is configured at one moment.
#[derive(Debug)]
pub(crate) struct Configuration {
    /// Of the last change.
    revision: u64,
    /// In the order of the configurations' names.
    pub hooks: Vec<Hook>,
    pub policies: Vec<Policy>,
}

/// The configuration of now.
#[derive(Debug, Default)]
pub(crate) struct Configured(ArcSwapOption<Configuration>);

impl Configured {
    /// Compiles anew only what changed since it was last asked for.
    pub(crate) fn now(&self, store: &Store) -> Arc<Configuration> {
        // Read before the objects: what comes between is read again.
        let changes = BUCKETS.iter().map(|bucket| store.changed_at(bucket));
        let revision = changes.max().unwrap_or(0);
        let last = self.0.load_full();
        if let Some(last) = last.filter(|last| last.revision == revision) {
            return last;
        }
        let made = Arc::new(Configuration::read(store, revision));
        self.0.store(Some(Arc::clone(&made)));
        made
    }
}

impl Configuration {
    fn read(store: &Store, revision: u64) -> Self {
        let list = |plural: &str| -> Vec<Value> {
            let objects = store.list(&bucket(GROUP, plural), "").objects;
            objects.iter().map(|object| object.value()).collect()
        };
        let hooks = list("validatingwebhookconfigurations");
        let bindings = list("validatingadmissionpolicybindings");
        let policies = list("validatingadmissionpolicies");
        let policies = policies.iter().filter_map(|policy| {
            let name = policy["metadata"]["name"].as_str();
            Policy::read(policy, &bindings)
                .inspect_err(|why| tracing::error!(policy = name, why, "cannot read the policy"))
                .ok()
        });
        Self {
            revision,
            hooks: hooks.iter().flat_map(Hook::all_of).collect(),
            policies: policies.collect(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.hooks.is_empty() && self.policies.is_empty()
    }
}
