//! Checks that nobody gives away what they do not have, and what people are given to begin with.

use super::*;

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

fn rule(group: &str, resource: &str, verbs: &[&str]) -> Value {
    json!({ "apiGroups": [group], "resources": [resource], "verbs": verbs })
}

fn role(name: &str, rules: &[&Value]) -> Value {
    json!({ "metadata": { "name": name }, "rules": rules })
}

fn binding(name: &str, role: &str, subject: &Value) -> Value {
    let reference = json!({
        "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role,
    });
    json!({ "metadata": { "name": name }, "roleRef": reference, "subjects": [subject] })
}

fn user(name: &str) -> Value {
    json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name })
}

/// The message of a refusal.
fn refused(reply: Result<Value, CallError>, code: u16) -> String {
    match reply {
        Err(CallError::Refused {
            code: got, message, ..
        }) if got == code => message,
        other => panic!("not refused with {code}: {other:?}"),
    }
}

impl Sandbox {
    fn user(&self, name: &str, groups: &[&str]) -> LocalClient {
        LocalClient::new(self.server.local(name, groups))
    }

    /// Jane may write roles and bindings everywhere, and read pods; nothing else.
    async fn jane(&self) -> LocalClient {
        let roles = format!("{RBAC}/clusterroles");
        let write = rule(
            "rbac.authorization.k8s.io",
            "*",
            &["create", "update", "patch", "get"],
        );
        let pods = rule("", "pods", &["get", "list"]);
        self.create(&roles, role("janes", &[&write, &pods])).await;
        let bindings = format!("{RBAC}/clusterrolebindings");
        self.create(&bindings, binding("jane", "janes", &user("jane")))
            .await;
        self.user("jane", &["dev"])
    }
}

#[tokio::test]
async fn a_role_gives_only_what_its_writer_has() {
    let sandbox = sandbox();
    let jane = sandbox.jane().await;
    let roles = format!("{RBAC}/clusterroles");
    let pods = rule("", "pods", &["get"]);
    let made = role("fine", &[&pods]);
    jane.call(Call::create(&roles, made)).await.expect("held");
    let secrets = rule("", "secrets", &["get", "list"]);
    let greedy = role("greedy", &[&pods, &secrets]);
    let message = refused(jane.call(Call::create(&roles, greedy)).await, 403);
    assert_eq!(
        message,
        "clusterroles.rbac.authorization.k8s.io \"greedy\" is forbidden: user \"jane\" \
         (groups=[\"dev\" \"system:authenticated\"]) is attempting to grant RBAC permissions not \
         currently held:\n{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"list\"]}"
    );
    let fine = format!("{roles}/fine");
    let more = json!({ "rules": [secrets] });
    refused(jane.call(Call::merge(&fine, more)).await, 403);
    refused(
        jane.call(Call::replace(&fine, role("fine", &[&secrets])))
            .await,
        403,
    );
    let namespaced = format!("{RBAC}/namespaces/default/roles");
    refused(
        jane.call(Call::create(&namespaced, role("greedy", &[&secrets])))
            .await,
        403,
    );
    // Letting go of an owner is no gift.
    sandbox.create(&roles, role("others", &[&secrets])).await;
    let finalizer = json!({ "metadata": { "finalizers": ["e.com/x"] } });
    jane.call(Call::merge(format!("{roles}/others"), finalizer))
        .await
        .expect("nothing is given");
    let label = json!({ "metadata": { "labels": { "a": "b" } } });
    refused(
        jane.call(Call::merge(format!("{roles}/others"), label))
            .await,
        403,
    );
    let gather = json!({ "metadata": { "name": "all" },
        "aggregationRule": { "clusterRoleSelectors": [{ "matchLabels": { "a": "b" } }] } });
    let message = refused(jane.call(Call::create(&roles, gather)).await, 403);
    assert!(
        message.ends_with("must have cluster-admin privileges to use an aggregationRule"),
        "{message}"
    );
    let escalate = rule("rbac.authorization.k8s.io", "clusterroles", &["escalate"]);
    sandbox
        .create(&roles, role("escalator", &[&escalate]))
        .await;
    let bindings = format!("{RBAC}/clusterrolebindings");
    sandbox
        .create(&bindings, binding("up", "escalator", &user("jane")))
        .await;
    let greedy = role("greedy", &[&secrets]);
    jane.call(Call::create(&roles, greedy))
        .await
        .expect("may escalate");
}

#[tokio::test]
async fn a_binding_gives_only_what_its_writer_has_or_may_bind() {
    let sandbox = sandbox();
    let jane = sandbox.jane().await;
    let (roles, bindings) = (
        format!("{RBAC}/clusterroles"),
        format!("{RBAC}/clusterrolebindings"),
    );
    let secrets = rule("", "secrets", &["get"]);
    sandbox.create(&roles, role("secrets", &[&secrets])).await;
    let joe = user("joe");
    let own = binding("own", "janes", &joe);
    jane.call(Call::create(&bindings, own)).await.expect("held");
    let greedy = || binding("greedy", "secrets", &joe);
    let message = refused(jane.call(Call::create(&bindings, greedy())).await, 403);
    assert!(
        message.starts_with(
            "clusterrolebindings.rbac.authorization.k8s.io \"greedy\" is forbidden: user \"jane\""
        ),
        "{message}"
    );
    let masters = binding("masters", "cluster-admin", &user("jane"));
    refused(jane.call(Call::create(&bindings, masters)).await, 403);
    let missing = binding("missing", "nothing", &joe);
    let message = refused(jane.call(Call::create(&bindings, missing)).await, 404);
    assert_eq!(
        message,
        "clusterroles.rbac.authorization.k8s.io \"nothing\" not found"
    );
    let bind = json!({ "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"],
        "resourceNames": ["secrets"], "verbs": ["bind"] });
    sandbox.create(&roles, role("binder", &[&bind])).await;
    sandbox
        .create(&bindings, binding("binder", "binder", &user("jane")))
        .await;
    jane.call(Call::create(&bindings, greedy()))
        .await
        .expect("may bind this one");
    let masters = binding("masters", "cluster-admin", &user("jane"));
    refused(jane.call(Call::create(&bindings, masters)).await, 403);
}

#[tokio::test]
async fn people_are_given_a_namespace_as_admin_edit_or_view() {
    let sandbox = sandbox();
    let may = async |role: &str, verb: &str, resource: &str| {
        let name = format!("{role}-user");
        let spec = json!({ "user": name, "resourceAttributes": {
            "namespace": "default", "verb": verb, "resource": resource,
            "group": if resource.starts_with("role") { "rbac.authorization.k8s.io" } else { "" } } });
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        let review = sandbox.create(path, json!({ "spec": spec })).await;
        review["status"].clone()
    };
    for role in ["admin", "edit", "view"] {
        let subject = user(&format!("{role}-user"));
        let path = format!("{RBAC}/namespaces/default/rolebindings");
        sandbox.create(&path, binding(role, role, &subject)).await;
    }
    for (verb, resource, who) in [
        (
            "get",
            "persistentvolumeclaims",
            ["admin", "edit", "view"].as_slice(),
        ),
        ("create", "persistentvolumeclaims", &["admin", "edit"]),
        ("get", "secrets", &["admin", "edit"]),
        ("create", "rolebindings", &["admin"]),
        ("delete", "nodes", &[]),
    ] {
        for role in ["admin", "edit", "view"] {
            let status = may(role, verb, resource).await;
            assert_eq!(
                status["allowed"],
                who.contains(&role),
                "{role} {verb} {resource}: {status}"
            );
        }
    }
    assert_eq!(
        may("view", "get", "pods").await["reason"],
        "RBAC: allowed by RoleBinding \"view/default\" of ClusterRole \"view\" to User \"view-user\""
    );
    // A definition's author adds to them by a label.
    let mut more = role("more", &[&rule("", "nodes", &["delete"])]);
    more["metadata"]["labels"] = json!({ "rbac.authorization.k8s.io/aggregate-to-view": "true" });
    sandbox.create(&format!("{RBAC}/clusterroles"), more).await;
    for role in ["admin", "edit", "view"] {
        assert_eq!(
            may(role, "delete", "nodes").await["allowed"],
            true,
            "{role}"
        );
        let path = format!("{RBAC}/clusterroles/{role}");
        let listed = |role: Option<&Value>| {
            let rules = role.map(|role| role["rules"].to_string());
            rules.is_some_and(|rules| rules.contains("nodes"))
        };
        sandbox.until(&path, listed).await;
    }
}

#[tokio::test]
async fn everybody_can_ask_what_they_may_do() {
    let sandbox = sandbox();
    let jane = sandbox.jane().await;
    let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let ask = |namespace: &str| Call::create(path, json!({ "spec": { "namespace": namespace } }));
    let status = jane.call(ask("default")).await.expect("listed")["status"].take();
    assert_eq!(status["incomplete"], false);
    let pods = rule("", "pods", &["get", "list"]);
    let rules = status["resourceRules"].as_array().expect("rules");
    assert!(rules.contains(&pods), "{status}");
    assert!(
        status["nonResourceRules"].to_string().contains("/healthz"),
        "{status}"
    );
    let message = refused(jane.call(ask("")).await, 400);
    assert_eq!(message, "no namespace on request");
    let nobody = sandbox.user("system:anonymous", &[]);
    assert!(
        nobody.call(Call::get("/api")).await.is_ok(),
        "a certificate is a proof"
    );
}

#[tokio::test]
async fn every_namespace_has_the_certificate_to_check_the_server_by() {
    let sandbox = sandbox();
    sandbox.namespace("new").await;
    let path = "/api/v1/namespaces/new/configmaps/kube-root-ca.crt";
    let authority = sandbox.server.inner.pki.ca_pem();
    let right =
        |map: Option<&Value>| map.is_some_and(|map| map["data"] == json!({ "ca.crt": authority }));
    sandbox.until(path, right).await;
    sandbox
        .until(
            "/api/v1/namespaces/default/configmaps/kube-root-ca.crt",
            right,
        )
        .await;
    let forged = json!({ "data": { "ca.crt": "forged" } });
    sandbox
        .client
        .call(Call::merge(path, forged))
        .await
        .expect("patched");
    sandbox.until(path, right).await;
    sandbox.delete(path, json!({})).await;
    sandbox.until(path, right).await;
}

#[tokio::test]
async fn who_configures_a_policy_can_read_its_parameters() {
    const ADMISSION: &str = "/apis/admissionregistration.k8s.io/v1";
    let sandbox = sandbox();
    let all = ["create", "update", "patch", "get"];
    let policies = rule("admissionregistration.k8s.io", "*", &all);
    let roles = format!("{RBAC}/clusterroles");
    sandbox.create(&roles, role("pats", &[&policies])).await;
    let bound = binding("pat", "pats", &user("pat"));
    let bindings = format!("{RBAC}/clusterrolebindings");
    sandbox.create(&bindings, bound).await;
    let pat = sandbox.user("pat", &[]);
    let policy = |name: &str| {
        json!({ "metadata": { "name": name }, "spec": {
            "paramKind": { "apiVersion": "v1", "kind": "Secret" },
            "matchConstraints": { "resourceRules": [{ "apiGroups": [""], "apiVersions": ["v1"],
                "operations": ["CREATE"], "resources": ["configmaps"] }] },
            "validations": [{ "expression": "params == null" }] } })
    };
    let bind = |name: &str, reference: Value| {
        json!({ "metadata": { "name": name }, "spec": { "policyName": "secretive",
            "validationActions": ["Deny"], "paramRef": reference } })
    };
    let to = |kind: &str, object: Value| Call::create(format!("{ADMISSION}/{kind}"), object);
    let (kinds, links) = (
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
    );
    let message = refused(pat.call(to(kinds, policy("own"))).await, 422);
    assert!(
        message.ends_with(
            "spec.paramKind: Forbidden: user \"pat\" must have \"get\" permission on all objects of \
             the referenced paramKind (kind=Secret, apiVersion=v1)"
        ),
        "{message}"
    );
    sandbox
        .client
        .call(to(kinds, policy("secretive")))
        .await
        .expect("an administrator may");
    let by_name = json!({ "name": "s", "namespace": "default" });
    for (reference, verb) in [
        (by_name.clone(), "get"),
        (json!({ "selector": {} }), "list"),
    ] {
        let message = refused(pat.call(to(links, bind("b", reference))).await, 422);
        let ends = format!(
            "spec.paramRef: Forbidden: user \"pat\" does not have \"{verb}\" permission on the object \
             referenced by paramRef"
        );
        assert!(message.ends_with(&ends), "{message}");
    }
    let secrets = rule("", "secrets", &["get"]);
    sandbox.create(&roles, role("readers", &[&secrets])).await;
    let bound = binding("pat-reads", "readers", &user("pat"));
    sandbox.create(&bindings, bound).await;
    pat.call(to(kinds, policy("own")))
        .await
        .expect("can be read");
    pat.call(to(links, bind("b", by_name)))
        .await
        .expect("can be read");
    // What was allowed to somebody else may be changed otherwise.
    let label = json!({ "metadata": { "labels": { "a": "b" } } });
    let path = format!("{ADMISSION}/{links}/b");
    sandbox
        .user("pat", &[])
        .call(Call::merge(path, label))
        .await
        .expect("no new reference");
}
