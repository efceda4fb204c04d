//! Answers from Roles, ClusterRoles and their bindings whether a user may do something.
//!
//! Compiles them once after each change, so that a decision costs a few look-ups; a change is seen by the very next
//! request. Knows nothing of where they are stored.

mod bindings;
mod rule;

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use serde_json::Value;

use self::bindings::Bindings;
use super::authorize::{Attributes, Authorizer, Decision};
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
                Ok(rules) if rules.iter().any(|rule| rule.allows(what)) => return Decision::Allow,
                Ok(_) => {}
                Err(reason) if missing.contains(&reason) => {}
                Err(reason) => missing.push(reason),
            }
        }
        let reason = match &missing[..] {
            [] => String::new(),
            [one] => format!("RBAC: {one}"),
            several => {
                let list: Vec<_> = several.iter().map(|reason| reason.as_str()).collect();
                format!("RBAC: [{}]", list.join(", "))
            }
        };
        Decision::Deny { reason }
    }
}

#[cfg(test)]
mod tests;
