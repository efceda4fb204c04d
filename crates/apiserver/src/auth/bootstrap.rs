//! Lists the roles and bindings a server starts with: those of every Kubernetes, and one per controller of ours.
//!
//! Knows nothing of how they are stored or whether they are there already.

use serde_json::{Value, json};

use super::user::{AUTHENTICATED, MASTERS, UNAUTHENTICATED};

const GROUP: &str = "rbac.authorization.k8s.io";
/// Verbs that only look.
const READ: [&str; 3] = ["get", "list", "watch"];

/// Each object with the plural of its kind.
pub(crate) fn objects() -> Vec<(&'static str, Value)> {
    let mut objects = general();
    for (controller, rules) in controllers() {
        let role = format!("system:controller:{controller}");
        let subject = json!({
            "kind": "ServiceAccount", "name": controller, "namespace": "kube-system",
        });
        objects.push(("clusterroles", cluster_role(&role, &rules)));
        objects.push(("clusterrolebindings", binding(&role, &[subject])));
    }
    objects
}

fn general() -> Vec<(&'static str, Value)> {
    let masters = [group(MASTERS)];
    let authenticated = [group(AUTHENTICATED)];
    let everybody = [group(AUTHENTICATED), group(UNAUTHENTICATED)];
    let all = json!([
        { "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] },
        { "nonResourceURLs": ["*"], "verbs": ["*"] },
    ]);
    let discovery = json!([{
        "nonResourceURLs": [
            "/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*",
            "/readyz", "/version", "/version/",
        ],
        "verbs": ["get"],
    }]);
    let myself = json!([
        {
            "apiGroups": ["authorization.k8s.io"],
            "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
            "verbs": ["create"],
        },
        {
            "apiGroups": ["authentication.k8s.io"],
            "resources": ["selfsubjectreviews"],
            "verbs": ["create"],
        },
    ]);
    let public = json!([{
        "nonResourceURLs": ["/healthz", "/livez", "/readyz", "/version", "/version/"],
        "verbs": ["get"],
    }]);
    vec![
        ("clusterroles", cluster_role("cluster-admin", &all)),
        ("clusterrolebindings", binding("cluster-admin", &masters)),
        ("clusterroles", cluster_role("system:discovery", &discovery)),
        (
            "clusterrolebindings",
            binding("system:discovery", &authenticated),
        ),
        ("clusterroles", cluster_role("system:basic-user", &myself)),
        (
            "clusterrolebindings",
            binding("system:basic-user", &authenticated),
        ),
        (
            "clusterroles",
            cluster_role("system:public-info-viewer", &public),
        ),
        (
            "clusterrolebindings",
            binding("system:public-info-viewer", &everybody),
        ),
    ]
}

/// The controllers, named as the service accounts of Kubernetes' own, with what each needs.
fn controllers() -> Vec<(&'static str, Value)> {
    let events = rule(
        &["", "events.k8s.io"],
        &["events"],
        &["create", "patch", "update"],
    );
    vec![
        (
            "persistent-volume-binder",
            json!([
                rule(
                    &[""],
                    &["persistentvolumes", "persistentvolumeclaims"],
                    &READ
                ),
                rule(
                    &[""],
                    &["persistentvolumes", "persistentvolumeclaims"],
                    &["update", "patch"]
                ),
                rule(
                    &[""],
                    &["persistentvolumes/status", "persistentvolumeclaims/status"],
                    &["update", "patch"],
                ),
                rule(&["storage.k8s.io"], &["storageclasses"], &READ),
                events,
            ]),
        ),
        (
            "pvc-protection-controller",
            json!([
                rule(
                    &[""],
                    &["persistentvolumeclaims"],
                    &["get", "list", "watch", "update", "patch"]
                ),
                rule(&[""], &["pods"], &READ),
            ]),
        ),
        (
            "pv-protection-controller",
            json!([rule(
                &[""],
                &["persistentvolumes"],
                &["get", "list", "watch", "update", "patch"],
            )]),
        ),
        (
            "namespace-controller",
            json!([
                rule(&[""], &["namespaces"], &["get", "list", "watch", "delete"]),
                rule(
                    &[""],
                    &["namespaces/finalize", "namespaces/status"],
                    &["update", "patch"]
                ),
                rule(
                    &["*"],
                    &["*"],
                    &["get", "list", "watch", "delete", "deletecollection"],
                ),
            ]),
        ),
        (
            "generic-garbage-collector",
            json!([rule(
                &["*"],
                &["*"],
                &["get", "list", "watch", "patch", "update", "delete"],
            )]),
        ),
        (
            "service-account-controller",
            json!([
                rule(
                    &[""],
                    &["serviceaccounts"],
                    &["get", "list", "watch", "create"]
                ),
                rule(&[""], &["namespaces"], &READ),
            ]),
        ),
    ]
}

fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> Value {
    json!({ "apiGroups": groups, "resources": resources, "verbs": verbs })
}

fn group(name: &str) -> Value {
    json!({ "apiGroup": GROUP, "kind": "Group", "name": name })
}

fn metadata(name: &str) -> Value {
    json!({
        "name": name,
        "labels": { "kubernetes.io/bootstrapping": "rbac-defaults" },
        "annotations": { "rbac.authorization.kubernetes.io/autoupdate": "true" },
    })
}

fn cluster_role(name: &str, rules: &Value) -> Value {
    json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": "ClusterRole",
        "metadata": metadata(name),
        "rules": rules,
    })
}

/// A binding is named after its role.
fn binding(role: &str, subjects: &[Value]) -> Value {
    json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": "ClusterRoleBinding",
        "metadata": metadata(role),
        "roleRef": { "apiGroup": GROUP, "kind": "ClusterRole", "name": role },
        "subjects": subjects,
    })
}
