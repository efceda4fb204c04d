//! Checks what those who admit a write have put into the audit log.

use super::*;

#[tokio::test]
async fn what_policies_note_is_in_the_audit_log() {
    let sandbox = sandbox();
    let path = sandbox.dir.path().join("audit.log");
    sandbox.server.audit(&path).expect("opened");
    let admission = "/apis/admissionregistration.k8s.io/v1";
    let policy = json!({ "metadata": { "name": "watchful" }, "spec": {
        "matchConstraints": { "resourceRules": [{ "apiGroups": [""], "apiVersions": ["v1"],
            "operations": ["CREATE"], "resources": ["secrets"] }] },
        "validations": [{ "expression": "true" }, { "expression": "has(object.data)", "message": "empty" }],
        "auditAnnotations": [{ "key": "name", "valueExpression": "'it is ' + object.metadata.name" },
            { "key": "none", "valueExpression": "null" }] } });
    let policies = format!("{admission}/validatingadmissionpolicies");
    sandbox.create(&policies, policy).await;
    let binding = json!({ "metadata": { "name": "watch" },
        "spec": { "policyName": "watchful", "validationActions": ["Audit"] } });
    let bindings = format!("{admission}/validatingadmissionpolicybindings");
    sandbox.create(&bindings, binding).await;
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s" } });
    sandbox
        .create("/api/v1/namespaces/default/secrets", secret)
        .await;
    let text = std::fs::read_to_string(&path).expect("read");
    let events = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let noted: Vec<Value> = events
        .filter(|event| event.get("annotations").is_some())
        .map(|event| event["annotations"].clone())
        .collect();
    let failures = "[{\"binding\":\"watch\",\"expressionIndex\":\"1\",\"message\":\"empty\",\
                    \"policy\":\"watchful\",\"validationActions\":[\"Audit\"]}]";
    assert_eq!(noted.len(), 1, "{text}");
    assert_eq!(noted[0]["watchful/name"], "it is s");
    assert_eq!(noted[0].get("watchful/none"), None);
    let told = noted[0]["validation.policy.admission.k8s.io/validation_failure"].as_str();
    let told: Value = serde_json::from_str(told.expect("a text")).expect("JSON");
    assert_eq!(told, serde_json::from_str::<Value>(failures).expect("JSON"));
}
