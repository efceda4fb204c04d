//! Names what a request wants, and words a refusal as Kubernetes does.
//!
//! Knows nothing of roles: those decide behind the `Authorizer` trait.

use serde_json::Value;

use super::rbac::Rule;
use super::user::User;

/// What a request wants to do. `resource` is empty when it asks for a path that is no resource.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Attributes<'a> {
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    pub(crate) version: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) subresource: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    pub(crate) path: &'a str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    Allow,
    /// The reason is empty when there is nothing to add to "you may not".
    Deny {
        reason: String,
    },
}

/// All that a user may do somewhere.
#[derive(Debug, Clone, Default)]
pub(crate) struct Granted {
    pub(crate) rules: Vec<Rule>,
    /// Why there may be more than that.
    pub(crate) problems: Vec<String>,
}

pub(crate) trait Authorizer: Send + Sync {
    fn authorize(&self, user: &User, what: &Attributes<'_>) -> Decision;

    /// Why an allowed request is allowed; empty if there is nothing to say.
    fn why(&self, user: &User, what: &Attributes<'_>) -> String;

    /// Everything granted to a user in a namespace, or without one.
    fn granted(&self, user: &User, namespace: &str) -> Granted;

    /// The rules of the role that a `roleRef` in `namespace` means; none if there is no such role.
    fn rules_of(&self, reference: &Value, namespace: &str) -> Option<Vec<Rule>>;
}

impl Attributes<'_> {
    /// The whole message of the 403 that answers this request.
    pub(crate) fn denial(&self, user: &User, reason: &str) -> String {
        let Attributes {
            verb,
            group,
            resource,
            namespace,
            path,
            ..
        } = *self;
        let who = format!("User {:?}", user.name);
        let mut message = if resource.is_empty() {
            format!("forbidden: {who} cannot {verb} path {path:?}")
        } else {
            let full = self.full_resource();
            let what = format!("{who} cannot {verb} resource {full:?} in API group {group:?}");
            let place = match namespace {
                "" => "at the cluster scope".to_owned(),
                namespace => format!("in the namespace {namespace:?}"),
            };
            format!("{} is forbidden: {what} {place}", self.object())
        };
        if !reason.is_empty() {
            message.push_str(": ");
            message.push_str(reason);
        }
        message
    }

    /// `pods` or `pods/log`.
    pub(super) fn full_resource(&self) -> String {
        match self.subresource {
            "" => self.resource.to_owned(),
            subresource => format!("{}/{subresource}", self.resource),
        }
    }

    /// `deployments.apps "web"`, shorter where there is no group or name.
    fn object(&self) -> String {
        let mut text = self.resource.to_owned();
        if !self.group.is_empty() {
            text.push('.');
            text.push_str(self.group);
        }
        if !self.name.is_empty() {
            text = format!("{text} {:?}", self.name);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_refusals_as_kubernetes_does() {
        let user = User::authenticated("x".into(), vec![]);
        let snapshots = Attributes {
            verb: "list",
            group: "snapshot.storage.k8s.io",
            resource: "volumesnapshots",
            ..Attributes::default()
        };
        let log = Attributes {
            verb: "get",
            resource: "pods",
            subresource: "log",
            namespace: "default",
            name: "web",
            ..Attributes::default()
        };
        let path = Attributes {
            verb: "get",
            path: "/metrics",
            ..Attributes::default()
        };
        for (what, reason, message) in [
            (
                snapshots,
                "",
                r#"volumesnapshots.snapshot.storage.k8s.io is forbidden: User "x" cannot list resource "volumesnapshots" in API group "snapshot.storage.k8s.io" at the cluster scope"#,
            ),
            (
                log,
                r#"RBAC: role.rbac.authorization.k8s.io "r" not found"#,
                r#"pods "web" is forbidden: User "x" cannot get resource "pods/log" in API group "" in the namespace "default": RBAC: role.rbac.authorization.k8s.io "r" not found"#,
            ),
            (
                path,
                "",
                r#"forbidden: User "x" cannot get path "/metrics""#,
            ),
        ] {
            assert_eq!(what.denial(&user, reason), message);
        }
    }
}
