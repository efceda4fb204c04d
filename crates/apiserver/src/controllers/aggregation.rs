//! Writes into cluster roles that gather others what they gather, for everybody to read.
//!
//! Decisions do not wait for it: the authorizer gathers for itself, by the same rules.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::engine::{Change, Collection, Controller, Outbox, Reply, Work};
use super::fields::{name, uid, version};
use crate::auth::{Rule, aggregated};
use crate::local::Call;

const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";

/// All cluster roles, by name.
#[derive(Debug, Default)]
pub(super) struct Aggregation {
    roles: BTreeMap<String, Arc<Value>>,
    /// What each gathering role should say; none after any role changed.
    gathered: Option<HashMap<String, Vec<Rule>>>,
}

pub(super) fn collections() -> Vec<Collection> {
    vec![Collection::whole(ROLES)]
}

impl Aggregation {
    /// A role is new, other or gone, so any may gather something else.
    fn changed(&mut self, out: &mut Outbox<String>) {
        self.gathered = None;
        let gathering = self
            .roles
            .iter()
            .filter(|(_, role)| role["aggregationRule"].is_object());
        gathering.for_each(|(name, _)| out.wake(name.clone()));
    }

    fn keep(&mut self, role: &Value) {
        let known = self.roles.get(name(role));
        if known.is_none_or(|known| version(known) < version(role)) {
            self.roles
                .insert(name(role).to_owned(), Arc::new(role.clone()));
        }
    }
}

impl Controller for Aggregation {
    type Key = String;
    type Step = ();

    fn observe(&mut self, _of: &Collection, change: Change<'_>, out: &mut Outbox<String>) {
        match change {
            Change::Put(role) => self.keep(role),
            Change::Gone(role) => {
                self.roles.remove(name(role));
            }
            Change::Only(uids) => {
                let uids: &HashSet<String> = uids;
                self.roles.retain(|_, role| uids.contains(uid(role)));
            }
        }
        self.changed(out);
    }

    fn next(&mut self, name: &String) -> Option<((), Work)> {
        let roles = &self.roles;
        let gathered = self.gathered.get_or_insert_with(|| {
            let roles: Vec<Arc<Value>> = roles.values().cloned().collect();
            aggregated(&roles)
        });
        let wanted: Value = gathered.get(name)?.iter().map(Rule::document).collect();
        let role = self.roles.get(name)?;
        let present: Value = Rule::all_of(role).iter().map(Rule::document).collect();
        if present == wanted {
            return None;
        }
        let version = &role["metadata"]["resourceVersion"];
        let patch = json!({"metadata": {"resourceVersion": version}, "rules": wanted});
        Some(((), Call::merge(format!("{ROLES}/{name}"), patch).into()))
    }

    fn fold(&mut self, _name: &String, (): (), reply: &Reply, _out: &mut Outbox<String>) -> bool {
        if let Ok(role) = reply {
            self.keep(role);
            self.gathered = None;
        }
        reply.is_ok()
    }
}
