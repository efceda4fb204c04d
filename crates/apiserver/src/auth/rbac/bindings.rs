//! Indexes role bindings by user and by group, each with the rules it grants.
//!
//! Knows nothing of requests; a binding whose role is missing stays, with the reason, for the refusal to tell.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::RoleSource;
use super::aggregate::aggregated;
use super::rule::Rule;
use crate::auth::user::{User, service_account};

pub(super) type Rules = Arc<[Rule]>;
type RolesByName = HashMap<(String, String), Rules>;

/// What one binding grants one subject: the rules of its role, or why there are none.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    pub(super) role: Result<Rules, String>,
    /// For instance `ClusterRoleBinding "b" of ClusterRole "r" to Group "g"`.
    pub(super) by: Arc<str>,
}

/// Who is granted what within one scope.
#[derive(Debug, Default)]
struct Scope {
    users: HashMap<String, Vec<Grant>>,
    groups: HashMap<String, Vec<Grant>>,
}

#[derive(Debug, Default)]
pub(super) struct Bindings {
    cluster: Scope,
    namespaces: HashMap<String, Scope>,
    roles: RolesByName,
}

impl Bindings {
    pub(super) fn compile(source: &dyn RoleSource) -> Self {
        let cluster_roles = source.list("clusterroles");
        let mut roles = RolesByName::new();
        for role in cluster_roles.iter().chain(&source.list("roles")) {
            let key = (namespace(role).to_owned(), name(role).to_owned());
            roles.insert(key, rules(role));
        }
        for (name, rules) in aggregated(&cluster_roles) {
            roles.insert((String::new(), name), rules.into());
        }
        let mut bindings = Self::default();
        for binding in source.list("clusterrolebindings") {
            bindings.cluster.bind(&binding, &roles);
        }
        for binding in source.list("rolebindings") {
            let namespace = namespace(&binding).to_owned();
            let scope = bindings.namespaces.entry(namespace).or_default();
            scope.bind(&binding, &roles);
        }
        bindings.roles = roles;
        bindings
    }

    /// The rules of the role that a `roleRef` in `namespace` means, or why there are none.
    pub(super) fn rules_of(&self, reference: &Value, namespace: &str) -> Result<Rules, String> {
        rules_of(reference, namespace, &self.roles)
    }

    /// Everything granted to the user cluster-wide, then within the namespace if there is one.
    pub(super) fn of(&self, user: &User, namespace: &str) -> impl Iterator<Item = &Grant> {
        let local = match namespace {
            "" => None,
            namespace => self.namespaces.get(namespace),
        };
        [Some(&self.cluster), local]
            .into_iter()
            .flatten()
            .flat_map(move |scope| {
                let groups = user.groups.iter().map(|group| scope.groups.get(group));
                std::iter::once(scope.users.get(&user.name)).chain(groups)
            })
            .flatten()
            .flatten()
    }
}

impl Scope {
    fn bind(&mut self, binding: &Value, roles: &RolesByName) {
        let role = rules_of(&binding["roleRef"], namespace(binding), roles);
        for subject in binding["subjects"].as_array().into_iter().flatten() {
            let subject_name = text(&subject["name"]).to_owned();
            let by = description(binding, subject).into();
            let (index, key) = match text(&subject["kind"]) {
                "User" => (&mut self.users, subject_name),
                "Group" => (&mut self.groups, subject_name),
                "ServiceAccount" => {
                    let place = match text(&subject["namespace"]) {
                        "" => namespace(binding),
                        place => place,
                    };
                    (&mut self.users, service_account(place, &subject_name))
                }
                _ => continue,
            };
            let role = role.clone();
            index.entry(key).or_default().push(Grant { role, by });
        }
    }
}

/// Words as Kubernetes does by which binding a subject has its rights.
fn description(binding: &Value, subject: &Value) -> String {
    let place = namespace(binding);
    let (kind, full_name) = match place {
        "" => ("ClusterRoleBinding", name(binding).to_owned()),
        place => ("RoleBinding", format!("{}/{place}", name(binding))),
    };
    let role = &binding["roleRef"];
    let (subject_kind, subject_name) = (text(&subject["kind"]), text(&subject["name"]));
    let who = match text(&subject["namespace"]) {
        _ if subject_kind != "ServiceAccount" => subject_name.to_owned(),
        "" => format!("{subject_name}/{place}"),
        place => format!("{subject_name}/{place}"),
    };
    format!(
        "{kind} {full_name:?} of {} {:?} to {subject_kind} {who:?}",
        text(&role["kind"]),
        text(&role["name"]),
    )
}

fn rules_of(reference: &Value, namespace: &str, roles: &RolesByName) -> Result<Rules, String> {
    let (kind, place) = match text(&reference["kind"]) {
        "Role" => ("role", namespace),
        _ => ("clusterrole", ""),
    };
    let role_name = text(&reference["name"]);
    roles
        .get(&(place.to_owned(), role_name.to_owned()))
        .cloned()
        .ok_or_else(|| format!("{kind}.rbac.authorization.k8s.io {role_name:?} not found"))
}

fn rules(role: &Value) -> Rules {
    Rule::all_of(role).into()
}

fn name(object: &Value) -> &str {
    text(&object["metadata"]["name"])
}

fn namespace(object: &Value) -> &str {
    text(&object["metadata"]["namespace"])
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
