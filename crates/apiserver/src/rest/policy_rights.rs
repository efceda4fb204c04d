//! Keeps anybody from reading, through a policy, parameters that they may not read themselves.
//!
//! Does not decide who may read what: the authorizer does.

use serde_json::Value;

use super::Call;
use super::policies::resource_of;
use crate::admission::GROUP;
use crate::auth::{Attributes, Decision};
use crate::registry::bucket;
use crate::schema::error::FieldError;

impl Call<'_> {
    /// What speaks against the writer of a policy or a binding. `old` is absent for a creation.
    pub(super) fn check_params(&self, new: &Value, old: Option<&Value>) -> Option<FieldError> {
        let resource = &self.target.resource;
        if self.target.custom() || resource.group != GROUP {
            return None;
        }
        match resource.kind.as_str() {
            "ValidatingAdmissionPolicy" => self.check_param_kind(new, old),
            "ValidatingAdmissionPolicyBinding" => self.check_param_ref(new, old),
            _ => None,
        }
    }

    fn check_param_kind(&self, new: &Value, old: Option<&Value>) -> Option<FieldError> {
        let kind = &new["spec"]["paramKind"];
        if kind.is_null() || old.is_some_and(|old| old["spec"]["paramKind"] == *kind) {
            return None;
        }
        if self.may_read(kind, "get", "*", "") {
            return None;
        }
        let text = |field: &str| kind[field].as_str().unwrap_or_default();
        let why = format!(
            "user {:?} must have \"get\" permission on all objects of the referenced paramKind \
             (kind={}, apiVersion={})",
            self.user.name,
            text("kind"),
            text("apiVersion")
        );
        Some(FieldError::forbidden("spec.paramKind", &why))
    }

    fn check_param_ref(&self, new: &Value, old: Option<&Value>) -> Option<FieldError> {
        let spec = &new["spec"];
        let reference = &spec["paramRef"];
        let same = |old: &Value| {
            ["paramRef", "policyName"]
                .iter()
                .all(|field| old["spec"][field] == spec[field])
        };
        if reference.is_null() || old.is_some_and(same) {
            return None;
        }
        let text = |field: &str| reference[field].as_str().unwrap_or_default();
        let policies = bucket(GROUP, "validatingadmissionpolicies");
        let policy = spec["policyName"].as_str().unwrap_or_default();
        let policy = self
            .api
            .store
            .get(&policies, policy)
            .map(|policy| policy.value());
        let kind = policy.map_or(Value::Null, |policy| policy["spec"]["paramKind"].clone());
        let verb = if text("name").is_empty() {
            "list"
        } else {
            "get"
        };
        if self.may_read(&kind, verb, text("name"), text("namespace")) {
            return None;
        }
        let user = &self.user.name;
        let why = format!(
            "user {user:?} does not have {verb:?} permission on the object referenced by paramRef"
        );
        Some(FieldError::forbidden("spec.paramRef", &why))
    }

    /// A kind that nobody knows yet may turn out to be any.
    fn may_read(&self, kind: &Value, verb: &str, name: &str, namespace: &str) -> bool {
        let text = |field: &str| kind[field].as_str().unwrap_or_default();
        let found = resource_of(self.catalog, text("apiVersion"), text("kind"));
        let found = found.as_ref();
        let what = Attributes {
            verb,
            group: found.map_or("*", |target| target.resource.group.as_str()),
            version: found.map_or("*", |target| target.version.name.as_str()),
            resource: found.map_or("*", |target| target.resource.plural.as_str()),
            subresource: "",
            namespace,
            name,
            path: "",
        };
        self.api.access.authorizer.authorize(self.user, &what) == Decision::Allow
    }
}
