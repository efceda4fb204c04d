//! Gathers the rules of cluster roles that are made of others, chosen by label.
//!
//! A role may gather roles that gather in their turn. Knows nothing of bindings.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::rule::Rule;
use crate::selector::LabelSelector;

/// The rules of each cluster role that gathers, by its name: those of its members, each once.
pub(crate) fn aggregated(cluster_roles: &[Arc<Value>]) -> HashMap<String, Vec<Rule>> {
    let mut sorted: Vec<&Value> = cluster_roles.iter().map(|role| &**role).collect();
    sorted.sort_by_key(|role| name(role));
    let own: HashMap<&str, Vec<Rule>> = sorted
        .iter()
        .filter(|role| !gathers(role))
        .map(|role| (name(role), Rule::all_of(role)))
        .collect();
    let members: Vec<(&str, Vec<&str>)> = sorted
        .iter()
        .filter(|role| gathers(role))
        .map(|role| (name(role), members(role, &sorted)))
        .collect();
    let mut gathered: HashMap<String, Vec<Rule>> = HashMap::new();
    // Rules are only ever added, so this ends, even where roles gather each other.
    loop {
        let mut more = false;
        for (of, members) in &members {
            let mut rules = gathered.remove(*of).unwrap_or_default();
            let before = rules.len();
            for member in members {
                let theirs = own.get(member).or_else(|| gathered.get(*member));
                for rule in theirs.into_iter().flatten() {
                    if !rules.contains(rule) {
                        rules.push(rule.clone());
                    }
                }
            }
            more |= rules.len() > before;
            gathered.insert((*of).to_owned(), rules);
        }
        if !more {
            return gathered;
        }
    }
}

fn gathers(role: &Value) -> bool {
    role["aggregationRule"]["clusterRoleSelectors"].is_array()
}

/// The names of the roles that `role` gathers; a selector that cannot be read selects nothing.
fn members<'a>(role: &Value, all: &[&'a Value]) -> Vec<&'a str> {
    let selectors = role["aggregationRule"]["clusterRoleSelectors"].as_array();
    let selectors = selectors.into_iter().flatten();
    let selectors: Vec<LabelSelector> = selectors
        .filter_map(|selector| LabelSelector::from_object(selector).ok())
        .collect();
    let chosen = all.iter().filter(|other| {
        let labels = other["metadata"]["labels"].as_object();
        name(other) != name(role) && selectors.iter().any(|selector| selector.matches(labels))
    });
    chosen.map(|other| name(other)).collect()
}

fn name(role: &Value) -> &str {
    role["metadata"]["name"].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn role(name: &str, labels: &[&str], resource: &str) -> Value {
        let labels: Value = labels.iter().map(|label| (*label, json!("true"))).collect();
        json!({
            "metadata": {"name": name, "labels": labels},
            "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": [resource]}],
        })
    }

    fn gathering(name: &str, labels: &[&str], wanted: &str) -> Value {
        let mut role = role(name, labels, "whatever-it-had");
        role["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchExpressions": [{"key": wanted, "operator": "Exists"}]}]});
        role
    }

    #[test]
    fn roles_gather_each_others_rules_once() {
        let roles = [
            gathering("admin", &[], "to-admin"),
            gathering("edit", &["to-admin"], "to-edit"),
            gathering("ring", &["to-edit"], "to-admin"),
            role("a", &["to-edit"], "pods"),
            role("b", &["to-admin", "to-edit"], "secrets"),
            role("c", &[], "nodes"),
        ];
        let roles = roles.map(Arc::new);
        let gathered = aggregated(&roles);
        for name in ["admin", "edit", "ring"] {
            let mut resources: Vec<_> = gathered[name].iter().map(|r| &r.resources[0]).collect();
            resources.sort();
            assert_eq!(resources, ["pods", "secrets"], "{name}");
        }
        assert_eq!(gathered.len(), 3);
    }
}
