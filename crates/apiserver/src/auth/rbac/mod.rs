//! Answers from Roles, ClusterRoles and their bindings whether a user may do something.
//!
//! Compiles them once after each change, so that a decision costs a few look-ups; a change is seen by the very next
//! request. Knows nothing of where they are stored.

mod aggregate;
mod bindings;
mod escalation;
mod rule;

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use serde_json::Value;

pub(crate) use self::aggregate::aggregated;
use self::bindings::{Bindings, Grant};
pub(crate) use self::escalation::{lacking, quoted};
pub(crate) use self::rule::Rule;
use super::authorize::{Attributes, Authorizer, Decision, Granted};
use super::user::{MASTERS, User};

/// Where roles and bindings come from.
pub(crate) trait RoleSource: Send + Sync {
    /// Rises with every change of any role or binding, before the change is acknowledged.
    fn revision(&self) -> u64;
    /// All objects of one of the four kinds, by its plural.
    fn list(&self, plural: &str) -> Vec<Arc<Value>>;
}

/// Kubernetes answers these for everybody, whatever the roles say: probes must not depend on them.
const ALWAYS_OPEN: [&str; 3] = ["/healthz", "/livez", "/readyz"];

/// Role-based access control.
pub(crate) struct Rbac {
    source: Arc<dyn RoleSource>,
    compiled: ArcSwapOption<Compiled>,
    compiling: Mutex<()>,
}

struct Compiled {
    revision: u64,
    bindings: Bindings,
}

impl std::fmt::Debug for Rbac {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Rbac").finish_non_exhaustive()
    }
}

impl Rbac {
    pub(crate) fn new(source: Arc<dyn RoleSource>) -> Self {
        Self {
            source,
            compiled: ArcSwapOption::empty(),
            compiling: Mutex::new(()),
        }
    }

    fn current(&self) -> Arc<Compiled> {
        if let Some(compiled) = self.fresh() {
            return compiled;
        }
        let _one_at_a_time = self
            .compiling
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(compiled) = self.fresh() {
            return compiled;
        }
        // The revision is read first: a change during the listing makes this result stale, never falsely fresh.
        let revision = self.source.revision();
        let compiled = Arc::new(Compiled {
            revision,
            bindings: Bindings::compile(&*self.source),
        });
        self.compiled.store(Some(Arc::clone(&compiled)));
        compiled
    }

    fn fresh(&self) -> Option<Arc<Compiled>> {
        let compiled = self.compiled.load_full()?;
        (compiled.revision == self.source.revision()).then_some(compiled)
    }
}

impl Authorizer for Rbac {
    fn authorize(&self, user: &User, what: &Attributes<'_>) -> Decision {
        if user.is_in(MASTERS) || (what.resource.is_empty() && ALWAYS_OPEN.contains(&what.path)) {
            return Decision::Allow;
        }
        let current = self.current();
        let mut missing = Vec::new();
        for grant in current.bindings.of(user, what.namespace) {
            match &grant.role {
                Ok(_) if allows(grant, what) => return Decision::Allow,
                Ok(_) => {}
                Err(reason) if missing.contains(reason) => {}
                Err(reason) => missing.push(reason.clone()),
            }
        }
        let reason = match &missing[..] {
            [] => String::new(),
            some => format!("RBAC: {}", listed(some)),
        };
        Decision::Deny { reason }
    }

    fn why(&self, user: &User, what: &Attributes<'_>) -> String {
        let current = self.current();
        let mut grants = current.bindings.of(user, what.namespace);
        match grants.find(|grant| allows(grant, what)) {
            Some(grant) if !user.is_in(MASTERS) => format!("RBAC: allowed by {}", grant.by),
            _ => String::new(),
        }
    }

    fn granted(&self, user: &User, namespace: &str) -> Granted {
        let mut granted = Granted::default();
        if user.is_in(MASTERS) {
            granted.rules.extend(Rule::everything());
        }
        for grant in self.current().bindings.of(user, namespace) {
            match &grant.role {
                Ok(rules) => granted.rules.extend(rules.iter().cloned()),
                Err(reason) if granted.problems.contains(reason) => {}
                Err(reason) => granted.problems.push(reason.clone()),
            }
        }
        granted
    }

    fn rules_of(&self, reference: &Value, namespace: &str) -> Option<Vec<Rule>> {
        let rules = self.current().bindings.rules_of(reference, namespace);
        rules.ok().map(|rules| rules.to_vec())
    }
}

fn allows(grant: &Grant, what: &Attributes<'_>) -> bool {
    let rules = grant.role.as_deref().unwrap_or_default();
    rules.iter().any(|rule| rule.allows(what))
}

/// One text, or several in brackets.
pub(crate) fn listed(texts: &[String]) -> String {
    match texts {
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    }
}

#[cfg(test)]
mod tests;
