//! Lists the roles and bindings a server starts with: those of every Kubernetes, and one per controller of ours.
//!
//! Knows nothing of how they are stored or whether they are there already.

mod controllers;
mod people;

use serde_json::{Value, json};

use super::user::{AUTHENTICATED, MASTERS, UNAUTHENTICATED};

const GROUP: &str = "rbac.authorization.k8s.io";
const ISSUER: &str = "system:service-account-issuer-discovery";
/// Verbs that only look.
const READ: [&str; 3] = ["get", "list", "watch"];

/// Each object with the plural of its kind.
pub(crate) fn objects() -> Vec<(&'static str, Value)> {
    let mut objects = general();
    let roles = people::roles().into_iter();
    objects.extend(roles.map(|role| ("clusterroles", role)));
    for (controller, rules) in controllers::all() {
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
    let delegator = json!([
        rule(&["authentication.k8s.io"], &["tokenreviews"], &["create"]),
        rule(
            &["authorization.k8s.io"],
            &["subjectaccessreviews"],
            &["create"]
        ),
    ]);
    let issuer = json!([{
        "nonResourceURLs": [
            "/.well-known/openid-configuration", "/.well-known/openid-configuration/",
            "/openid/v1/jwks", "/openid/v1/jwks/",
        ],
        "verbs": ["get"],
    }]);
    let monitoring = json!([{
        "nonResourceURLs": [
            "/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics", "/metrics/slis", "/readyz",
            "/readyz/*",
        ],
        "verbs": ["get"],
    }]);
    let public = json!([{
        "nonResourceURLs": ["/healthz", "/livez", "/readyz", "/version", "/version/"],
        "verbs": ["get"],
    }]);
    let accounts = [group("system:serviceaccounts")];
    let monitors = [group("system:monitoring")];
    vec![
        ("clusterroles", cluster_role("cluster-admin", &all)),
        ("clusterrolebindings", binding("cluster-admin", &masters)),
        (
            "clusterroles",
            cluster_role("system:auth-delegator", &delegator),
        ),
        ("clusterroles", cluster_role(ISSUER, &issuer)),
        ("clusterrolebindings", binding(ISSUER, &accounts)),
        (
            "clusterroles",
            cluster_role("system:monitoring", &monitoring),
        ),
        (
            "clusterrolebindings",
            binding("system:monitoring", &monitors),
        ),
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
