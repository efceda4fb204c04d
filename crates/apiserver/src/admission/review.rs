//! Writes AdmissionReviews and reads their answers, as `admission.k8s.io/v1` and `v1beta1` have them.
//!
//! Does not post them.

use http::StatusCode;
use serde_json::{Value, json};

use super::request::{Pair, Request};
use crate::schema::error::go_quote;
use crate::status::Failure;

/// Versions of AdmissionReview, as `admissionReviewVersions` names them.
pub(crate) const VERSIONS: [&str; 2] = ["v1", "v1beta1"];
const GROUP: &str = "admission.k8s.io";
const KIND: &str = "AdmissionReview";

/// An answer that can be relied on.
#[derive(Debug)]
pub(crate) struct Answer {
    pub warnings: Vec<String>,
    /// For the audit log, by key.
    pub annotations: Vec<(String, String)>,
    /// The `status` of a refusal; absent if the write is allowed.
    pub denied: Option<Value>,
}

/// The review to post, for a webhook that matched at `version`.
pub(crate) fn question(
    uid: &str,
    review_version: &str,
    request: &Request<'_>,
    pair: Pair<'_>,
    version: &str,
) -> Value {
    let mut document = request.document(version);
    document["uid"] = json!(uid);
    document["object"] = json!(pair.object);
    document["oldObject"] = json!(pair.old);
    json!({"kind": KIND, "apiVersion": format!("{GROUP}/{review_version}"), "request": document})
}

/// Reads what a validating webhook answered. The error says why the answer does not count.
pub(crate) fn answer(uid: &str, review_version: &str, review: &Value) -> Result<Answer, String> {
    let response = &review["response"];
    if !response.is_object() {
        return Err("webhook response was absent".into());
    }
    // The older version never asked for these.
    if review_version == "v1" {
        let given = response["uid"].as_str().unwrap_or_default();
        if given != uid {
            return Err(format!(
                "expected response.uid={}, got {}",
                go_quote(uid),
                go_quote(given)
            ));
        }
        let text = |field: &str| review[field].as_str().unwrap_or_default();
        let (version, kind) = (text("apiVersion"), text("kind"));
        if version != format!("{GROUP}/v1") || kind != KIND {
            return Err(format!(
                "expected webhook response of {GROUP}/v1, Kind={KIND}, got {version}, Kind={kind}"
            ));
        }
    }
    for field in ["patch", "patchType"] {
        if response
            .get(field)
            .is_some_and(|value| !value.is_null() && value != "")
        {
            return Err(format!(
                "validating webhook may not return response.{field}"
            ));
        }
    }
    let allowed = match &response["allowed"] {
        Value::Bool(allowed) => *allowed,
        Value::Null => false,
        other => return Err(format!("response.allowed is {other}, it must be a boolean")),
    };
    let warnings = response["warnings"].as_array().into_iter().flatten();
    let warnings = warnings.filter_map(|text| text.as_str().map(str::to_owned));
    let annotations = response["auditAnnotations"]
        .as_object()
        .into_iter()
        .flatten();
    let annotations =
        annotations.filter_map(|(key, text)| Some((key.clone(), text.as_str()?.to_owned())));
    Ok(Answer {
        warnings: warnings.collect(),
        annotations: annotations.collect(),
        denied: (!allowed).then(|| response["status"].clone()),
    })
}

/// The refusal that a client gets for a webhook's `status`.
pub(crate) fn denial(webhook: &str, status: &Value) -> Failure {
    let text = |field: &str| status[field].as_str().unwrap_or_default();
    let by = format!("admission webhook {} denied the request", go_quote(webhook));
    let message = match (text("message"), text("reason")) {
        ("", "") => format!("{by} without explanation"),
        ("", why) | (why, _) => format!("{by}: {why}"),
    };
    let code = status["code"].as_u64();
    let code = code.and_then(|code| u16::try_from(code).ok());
    let code = code.and_then(|code| StatusCode::from_u16(code).ok());
    let code = code.filter(|code| code.as_u16() >= 400);
    let code = code.unwrap_or(StatusCode::BAD_REQUEST);
    Failure::new(code, text("reason").to_owned(), message)
        .with_details(status["details"].as_object().cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reviewed(change: &Value) -> Value {
        let mut review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "response": {"uid": "u", "allowed": true}});
        json_patch::merge(&mut review, change);
        review
    }

    #[test]
    fn answers_that_do_not_count_are_told_why() {
        for (change, why) in [
            (json!({"response": null}), "webhook response was absent"),
            (
                json!({"response": {"uid": "x"}}),
                r#"expected response.uid="u", got "x""#,
            ),
            (
                json!({"response": {"uid": null}}),
                r#"expected response.uid="u", got """#,
            ),
            (
                json!({"apiVersion": "admission.k8s.io/v1beta1"}),
                "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got \
                 admission.k8s.io/v1beta1, Kind=AdmissionReview",
            ),
            (
                json!({"kind": "Pod"}),
                "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got \
                 admission.k8s.io/v1, Kind=Pod",
            ),
            (
                json!({"response": {"patch": "W10="}}),
                "validating webhook may not return response.patch",
            ),
            (
                json!({"response": {"patchType": "JSONPatch"}}),
                "validating webhook may not return response.patchType",
            ),
            (
                json!({"response": {"allowed": "yes"}}),
                "response.allowed is \"yes\", it must be a boolean",
            ),
        ] {
            assert_eq!(answer("u", "v1", &reviewed(&change)).unwrap_err(), why);
        }
        let allowed = answer(
            "u",
            "v1",
            &reviewed(&json!({"response": {"warnings": ["w"]}})),
        );
        let allowed = allowed.unwrap();
        assert_eq!(
            (allowed.denied, allowed.warnings),
            (None, vec!["w".to_owned()])
        );
        // Nobody promised these in the older version.
        let older = reviewed(&json!({"apiVersion": null, "response": {"uid": null}}));
        assert!(answer("u", "v1beta1", &older).unwrap().denied.is_none());
        let silent = reviewed(&json!({"response": {"allowed": null}}));
        assert!(answer("u", "v1", &silent).unwrap().denied.is_some());
    }

    #[test]
    fn refusals_are_worded_as_kubernetes_does() {
        for (status, code, reason, message) in [
            (
                json!({"message": "no", "code": 422, "reason": "Invalid"}),
                422,
                "Invalid",
                r#"admission webhook "a.b.c" denied the request: no"#,
            ),
            (
                json!({"reason": "because", "code": 200}),
                400,
                "because",
                r#"admission webhook "a.b.c" denied the request: because"#,
            ),
            (
                Value::Null,
                400,
                "",
                r#"admission webhook "a.b.c" denied the request without explanation"#,
            ),
        ] {
            let told = denial("a.b.c", &status).status();
            assert_eq!(
                (&told["code"], &told["message"]),
                (&json!(code), &json!(message))
            );
            assert_eq!(told["reason"].as_str().unwrap_or_default(), reason);
        }
    }
}
