//! Keeps anybody from giving away rights that they do not have: through a role or through a binding.
//!
//! Does not decide who has which right: the authorizer does.

use serde_json::Value;

use super::{Call, reviews};
use crate::auth::{Attributes, Decision, MASTERS, Rule, lacking, listed, quoted};
use crate::status::{About, Failure};

const GROUP: &str = "rbac.authorization.k8s.io";

impl Call<'_> {
    /// Refuses a role or binding that gives more than its writer has. `old` is absent for a creation.
    pub(super) fn check_grants(&self, new: &Value, old: Option<&Value>) -> Result<(), Failure> {
        let resource = &self.target.resource;
        if self.target.custom() || resource.group != GROUP || self.user.is_in(MASTERS) {
            return Ok(());
        }
        if old.is_some_and(|old| only_lets_go(new, old)) {
            return Ok(());
        }
        match resource.kind.as_str() {
            "Role" | "ClusterRole" => self.check_role(new),
            _ => self.check_binding(new),
        }
    }

    fn check_role(&self, role: &Value) -> Result<(), Failure> {
        let may_escalate = Attributes {
            verb: "escalate",
            name: &self.info.name,
            ..self.attributes()
        };
        if self.is_allowed(&may_escalate) {
            return Ok(());
        }
        self.check_rules(role, &Rule::all_of(role))?;
        let gathers = role["aggregationRule"]["clusterRoleSelectors"].as_array();
        if gathers.is_some_and(|selectors| !selectors.is_empty())
            && self.check_rules(role, &Rule::everything()).is_err()
        {
            let why = "must have cluster-admin privileges to use an aggregationRule";
            return Err(self.forbidden(role, why));
        }
        Ok(())
    }

    fn check_binding(&self, binding: &Value) -> Result<(), Failure> {
        let reference = &binding["roleRef"];
        let name = reviews::text(reference, "name");
        let resource = match reviews::text(reference, "kind") {
            "Role" => "roles",
            _ => "clusterroles",
        };
        let may_bind = Attributes {
            verb: "bind",
            resource,
            name,
            ..self.attributes()
        };
        if self.is_allowed(&may_bind) {
            return Ok(());
        }
        let rules = self
            .api
            .access
            .authorizer
            .rules_of(reference, &self.info.namespace);
        let rules = rules.ok_or_else(|| {
            Failure::not_found(&About {
                group: GROUP.to_owned(),
                kind: resource.to_owned(),
                name: name.to_owned(),
            })
        })?;
        self.check_rules(binding, &rules)
    }

    fn check_rules(&self, object: &Value, wanted: &[Rule]) -> Result<(), Failure> {
        let authorizer = &self.api.access.authorizer;
        let held = authorizer.granted(self.user, &self.info.namespace);
        let missing = lacking(&held.rules, wanted);
        if missing.is_empty() {
            return Ok(());
        }
        let mut why = format!(
            "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
            self.user.name,
            quoted(&self.user.groups),
            missing.join("\n")
        );
        if !held.problems.is_empty() {
            why = format!("{why}; resolution errors: {}", listed(&held.problems));
        }
        Err(self.forbidden(object, &why))
    }

    fn forbidden(&self, object: &Value, why: &str) -> Failure {
        let name = reviews::text(&object["metadata"], "name");
        let about = self.target.about(name);
        let qualified = self.target.resource.qualified();
        Failure::forbidden(&about, format!("{qualified} {name:?} is forbidden: {why}"))
    }

    fn is_allowed(&self, what: &Attributes<'_>) -> bool {
        let decision = self.api.access.authorizer.authorize(self.user, what);
        decision == Decision::Allow
    }

    /// What any request about this object is about.
    fn attributes(&self) -> Attributes<'_> {
        Attributes {
            verb: "",
            group: GROUP,
            version: "*",
            resource: &self.target.resource.plural,
            subresource: "",
            namespace: &self.info.namespace,
            name: "",
            path: "",
        }
    }
}

/// Whether a change only takes finalizers or owners away: the garbage collector must be able to.
fn only_lets_go(new: &Value, old: &Value) -> bool {
    let rest = |object: &Value| {
        let mut rest = object.clone();
        if let Some(metadata) = rest["metadata"].as_object_mut() {
            for field in [
                "finalizers",
                "ownerReferences",
                "managedFields",
                "resourceVersion",
            ] {
                metadata.remove(field);
            }
        }
        rest
    };
    rest(new) == rest(old)
}
