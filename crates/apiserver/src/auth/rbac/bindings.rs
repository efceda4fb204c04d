//! Indexes role bindings by user and by group, each with the rules it grants.
//!
//! Knows nothing of requests; a binding whose role is missing stays, with the reason, for the refusal to tell.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::RoleSource;
use super::rule::Rule;
use crate::auth::user::{User, service_account};

type Rules = Arc<[Rule]>;
type RolesByName = HashMap<(String, String), Rules>;

/// What one binding grants: the rules of its role, or why there are none.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    pub(super) role: Result<Rules, String>,
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
}

impl Bindings {
    pub(super) fn compile(source: &dyn RoleSource) -> Self {
        let cluster_roles = source.list("clusterroles");
        let aggregated = aggregate(&cluster_roles);
        let mut roles = RolesByName::new();
        for role in cluster_roles.iter().chain(&source.list("roles")) {
            let key = (namespace(role).to_owned(), name(role).to_owned());
            roles.insert(key, rules(role));
        }
        roles.extend(aggregated);
        let mut bindings = Self::default();
        for binding in source.list("clusterrolebindings") {
            bindings.cluster.bind(&binding, &roles);
        }
        for binding in source.list("rolebindings") {
            let namespace = namespace(&binding).to_owned();
            let scope = bindings.namespaces.entry(namespace).or_default();
            scope.bind(&binding, &roles);
        }
        bindings
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
        let grant = Grant {
            role: role_of(binding, roles),
        };
        for subject in binding["subjects"].as_array().into_iter().flatten() {
            let subject_name = text(&subject["name"]).to_owned();
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
            index.entry(key).or_default().push(grant.clone());
        }
    }
}

fn role_of(binding: &Value, roles: &RolesByName) -> Result<Rules, String> {
    let reference = &binding["roleRef"];
    let (kind, place) = match text(&reference["kind"]) {
        "Role" => ("role", namespace(binding)),
        _ => ("clusterrole", ""),
    };
    let role_name = text(&reference["name"]);
    roles
        .get(&(place.to_owned(), role_name.to_owned()))
        .cloned()
        .ok_or_else(|| format!("{kind}.rbac.authorization.k8s.io {role_name:?} not found"))
}

/// Rules of the cluster roles that gather those of others by label.
fn aggregate(cluster_roles: &[Arc<Value>]) -> RolesByName {
    let mut gathered = RolesByName::new();
    for role in cluster_roles {
        let selectors = &role["aggregationRule"]["clusterRoleSelectors"];
        let Some(selectors) = selectors.as_array() else {
            continue;
        };
        let members = cluster_roles.iter().filter(|member| {
            let labels = &member["metadata"]["labels"];
            selectors.iter().any(|selector| selects(selector, labels))
        });
        let rules: Rules = members.flat_map(|member| rule_list(member)).collect();
        gathered.insert((String::new(), name(role).to_owned()), rules);
    }
    gathered
}

/// Only `matchLabels`: the published aggregating roles use nothing else.
fn selects(selector: &Value, labels: &Value) -> bool {
    let wanted: BTreeMap<&str, &Value> = selector["matchLabels"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.as_str(), value))
        .collect();
    !wanted.is_empty() && wanted.iter().all(|(key, value)| labels[*key] == **value)
}

fn rules(role: &Value) -> Rules {
    rule_list(role).collect()
}

fn rule_list(role: &Value) -> impl Iterator<Item = Rule> {
    let list = role["rules"].as_array().into_iter().flatten();
    list.map(Rule::parse)
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
