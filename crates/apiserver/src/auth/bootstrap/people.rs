//! Lists the roles that people are given in a namespace: `admin`, `edit`, `view`, and what these gather.
//!
//! As every Kubernetes has them. A definition's author adds to them by labelling roles of their own.

use serde_json::{Value, json};

use super::{READ, cluster_role, rule};

const AGGREGATE: &str = "rbac.authorization.k8s.io/aggregate-to-";
/// Verbs that change.
const WRITE: [&str; 5] = ["create", "delete", "deletecollection", "patch", "update"];
const ALL: [&str; 8] = [
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

pub(super) fn roles() -> Vec<Value> {
    vec![
        gathering("admin", None),
        gathering("edit", Some("admin")),
        gathering("view", Some("edit")),
        gathered("admin", &to_admin()),
        gathered("edit", &to_edit()),
        gathered("view", &to_view()),
    ]
}

/// A role that gathers what is labelled for it, and may itself be gathered by the next higher one.
fn gathering(name: &str, by: Option<&str>) -> Value {
    let mut role = cluster_role(name, &json!([]));
    if let Some(fields) = role.as_object_mut() {
        fields.remove("rules");
    }
    let label = format!("{AGGREGATE}{name}");
    role["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]});
    match by {
        Some(by) => labelled(role, by),
        None => role,
    }
}

fn gathered(by: &str, rules: &Value) -> Value {
    labelled(
        cluster_role(&format!("system:aggregate-to-{by}"), rules),
        by,
    )
}

fn labelled(mut role: Value, by: &str) -> Value {
    role["metadata"]["labels"][format!("{AGGREGATE}{by}")] = json!("true");
    role
}

fn to_admin() -> Value {
    json!([
        rule(
            &["authorization.k8s.io"],
            &["localsubjectaccessreviews"],
            &["create"]
        ),
        rule(
            &["rbac.authorization.k8s.io"],
            &["rolebindings", "roles"],
            &ALL
        ),
    ])
}

fn to_edit() -> Value {
    let pods = ["pods/attach", "pods/exec", "pods/portforward", "pods/proxy"];
    let secret = [&pods[..], &["secrets", "services/proxy"]].concat();
    json!([
        rule(&[""], &secret, &READ),
        rule(&[""], &["serviceaccounts"], &["impersonate"]),
        rule(&[""], &[&["pods"], &pods[..]].concat(), &WRITE),
        rule(&[""], &["pods/eviction"], &["create"]),
        rule(
            &[""],
            &[
                "configmaps",
                "events",
                "persistentvolumeclaims",
                "replicationcontrollers",
                "replicationcontrollers/scale",
                "secrets",
                "serviceaccounts",
                "services",
                "services/proxy",
            ],
            &WRITE,
        ),
        rule(&[""], &["serviceaccounts/token"], &["create"]),
        rule(
            &["apps"],
            &[
                "daemonsets",
                "deployments",
                "deployments/rollback",
                "deployments/scale",
                "replicasets",
                "replicasets/scale",
                "statefulsets",
                "statefulsets/scale",
            ],
            &WRITE,
        ),
        rule(&["autoscaling"], &["horizontalpodautoscalers"], &WRITE),
        rule(&["batch"], &["cronjobs", "jobs"], &WRITE),
        rule(&["policy"], &["poddisruptionbudgets"], &WRITE),
        rule(
            &["networking.k8s.io"],
            &["ingresses", "networkpolicies"],
            &WRITE
        ),
        rule(&["coordination.k8s.io"], &["leases"], &ALL),
    ])
}

fn to_view() -> Value {
    json!([
        rule(
            &[""],
            &[
                "configmaps",
                "endpoints",
                "persistentvolumeclaims",
                "persistentvolumeclaims/status",
                "pods",
                "replicationcontrollers",
                "replicationcontrollers/scale",
                "serviceaccounts",
                "services",
                "services/status",
            ],
            &READ,
        ),
        rule(
            &[""],
            &[
                "bindings",
                "events",
                "limitranges",
                "namespaces/status",
                "pods/log",
                "pods/status",
                "replicationcontrollers/status",
                "resourcequotas",
                "resourcequotas/status",
            ],
            &READ,
        ),
        rule(&[""], &["namespaces"], &READ),
        rule(&["discovery.k8s.io"], &["endpointslices"], &READ),
        rule(
            &["apps"],
            &[
                "controllerrevisions",
                "daemonsets",
                "daemonsets/status",
                "deployments",
                "deployments/scale",
                "deployments/status",
                "replicasets",
                "replicasets/scale",
                "replicasets/status",
                "statefulsets",
                "statefulsets/scale",
                "statefulsets/status",
            ],
            &READ,
        ),
        rule(
            &["autoscaling"],
            &[
                "horizontalpodautoscalers",
                "horizontalpodautoscalers/status"
            ],
            &READ,
        ),
        rule(
            &["batch"],
            &["cronjobs", "cronjobs/status", "jobs", "jobs/status"],
            &READ
        ),
        rule(
            &["policy"],
            &["poddisruptionbudgets", "poddisruptionbudgets/status"],
            &READ,
        ),
        rule(
            &["networking.k8s.io"],
            &["ingresses", "ingresses/status", "networkpolicies"],
            &READ,
        ),
    ])
}
