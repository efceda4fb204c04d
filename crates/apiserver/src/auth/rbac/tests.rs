//! Checks decisions over whole sets of roles and bindings.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use super::*;

#[derive(Default)]
struct Roles {
    revision: AtomicU64,
    objects: Mutex<Vec<(String, Arc<Value>)>>,
}

impl Roles {
    fn add(&self, plural: &str, object: Value) {
        let mut objects = self.objects.lock().expect("lock");
        objects.push((plural.to_owned(), Arc::new(object)));
        self.revision.fetch_add(1, Ordering::SeqCst);
    }
}

impl RoleSource for Roles {
    fn revision(&self) -> u64 {
        self.revision.load(Ordering::SeqCst)
    }

    fn list(&self, plural: &str) -> Vec<Arc<Value>> {
        let objects = self.objects.lock().expect("lock");
        let wanted = objects.iter().filter(|(kind, _)| kind == plural);
        wanted.map(|(_, object)| Arc::clone(object)).collect()
    }
}

fn role(namespace: &str, name: &str, resource: &str) -> Value {
    json!({
        "metadata": { "name": name, "namespace": namespace },
        "rules": [{ "verbs": ["get"], "apiGroups": [""], "resources": [resource] }],
    })
}

fn binding(namespace: &str, kind: &str, role: &str, subject: &Value) -> Value {
    json!({
        "metadata": { "name": "any", "namespace": namespace },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role },
        "subjects": [subject],
    })
}

fn get<'a>(resource: &'a str, namespace: &'a str) -> Attributes<'a> {
    Attributes {
        verb: "get",
        resource,
        namespace,
        name: "x",
        ..Attributes::default()
    }
}

fn allowed(rbac: &Rbac, user: &User, what: &Attributes<'_>) -> bool {
    rbac.authorize(user, what) == Decision::Allow
}

fn jane() -> User {
    User::authenticated("jane".into(), vec!["dev".into()])
}

#[test]
fn a_cluster_binding_reaches_everywhere_and_a_binding_only_its_namespace() {
    let roles = Arc::new(Roles::default());
    roles.add("clusterroles", role("", "pods", "pods"));
    roles.add("clusterroles", role("", "secrets", "secrets"));
    let user = json!({ "kind": "User", "name": "jane" });
    let group = json!({ "kind": "Group", "name": "dev" });
    roles.add(
        "clusterrolebindings",
        binding("", "ClusterRole", "pods", &user),
    );
    roles.add(
        "rolebindings",
        binding("a", "ClusterRole", "secrets", &group),
    );
    let rbac = Rbac::new(roles);
    for (what, expected) in [
        (get("pods", "a"), true),
        (get("pods", "b"), true),
        (get("pods", ""), true),
        (get("secrets", "a"), true),
        (get("secrets", "b"), false),
        (get("secrets", ""), false),
    ] {
        assert_eq!(allowed(&rbac, &jane(), &what), expected, "{what:?}");
    }
    let other = User::authenticated("joe".into(), vec![]);
    assert!(!allowed(&rbac, &other, &get("pods", "a")));
}

#[test]
fn a_role_counts_only_in_its_own_namespace() {
    let roles = Arc::new(Roles::default());
    roles.add("roles", role("a", "pods", "pods"));
    let user = json!({ "kind": "User", "name": "jane" });
    roles.add("rolebindings", binding("b", "Role", "pods", &user));
    let rbac = Rbac::new(Arc::clone(&roles) as Arc<dyn RoleSource>);
    let decision = rbac.authorize(&jane(), &get("pods", "b"));
    let reason = r#"RBAC: role.rbac.authorization.k8s.io "pods" not found"#.to_owned();
    assert_eq!(decision, Decision::Deny { reason });
    roles.add("rolebindings", binding("a", "Role", "pods", &user));
    assert!(allowed(&rbac, &jane(), &get("pods", "a")), "seen at once");
}

#[test]
fn service_accounts_are_bound_by_their_own_or_the_bindings_namespace() {
    let roles = Arc::new(Roles::default());
    roles.add("clusterroles", role("", "pods", "pods"));
    let here = json!({ "kind": "ServiceAccount", "name": "here" });
    let there = json!({ "kind": "ServiceAccount", "name": "there", "namespace": "z" });
    roles.add("rolebindings", binding("a", "ClusterRole", "pods", &here));
    roles.add("rolebindings", binding("a", "ClusterRole", "pods", &there));
    let rbac = Rbac::new(roles);
    for (name, expected) in [
        ("system:serviceaccount:a:here", true),
        ("system:serviceaccount:z:there", true),
        ("system:serviceaccount:a:there", false),
    ] {
        let user = User::authenticated(name.into(), vec![]);
        assert_eq!(allowed(&rbac, &user, &get("pods", "a")), expected, "{name}");
    }
}

#[test]
fn masters_pass_everywhere_and_anonymous_only_to_the_probes() {
    let roles = Arc::new(Roles::default());
    for (plural, object) in super::super::bootstrap::objects() {
        roles.add(plural, object);
    }
    let rbac = Rbac::new(roles);
    let master = User::authenticated("admin".into(), vec![MASTERS.into()]);
    assert!(allowed(&rbac, &master, &get("secrets", "a")));
    for (path, nobody, somebody) in [
        ("/healthz", true, true),
        ("/livez", true, true),
        ("/readyz", true, true),
        ("/version", true, true),
        ("/api", false, true),
        ("/apis/apps/v1", false, true),
        ("/openapi/v3", false, true),
        ("/metrics", false, false),
    ] {
        let what = Attributes {
            verb: "get",
            path,
            ..Attributes::default()
        };
        assert_eq!(allowed(&rbac, &User::anonymous(), &what), nobody, "{path}");
        assert_eq!(allowed(&rbac, &jane(), &what), somebody, "{path}");
    }
    assert!(!allowed(&rbac, &jane(), &get("pods", "a")));
}

#[test]
fn an_aggregating_role_has_the_rules_of_the_roles_it_selects() {
    let roles = Arc::new(Roles::default());
    let mut member = role("", "widgets-view", "widgets");
    member["metadata"]["labels"] = json!({ "to-view": "true" });
    roles.add("clusterroles", member);
    roles.add(
        "clusterroles",
        json!({
            "metadata": { "name": "view" },
            "aggregationRule": { "clusterRoleSelectors": [{ "matchLabels": { "to-view": "true" } }] },
        }),
    );
    let user = json!({ "kind": "User", "name": "jane" });
    roles.add(
        "clusterrolebindings",
        binding("", "ClusterRole", "view", &user),
    );
    let rbac = Rbac::new(roles);
    assert!(allowed(&rbac, &jane(), &get("widgets", "a")));
    assert!(!allowed(&rbac, &jane(), &get("pods", "a")));
}
