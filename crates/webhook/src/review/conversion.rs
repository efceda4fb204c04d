//! Answers a `ConversionReview`: all its objects in the version that is wanted, or why one of them cannot be.

use serde_json::{Value, json};
use tintype_api::conversion::convert;

use super::{BadReview, field, request};

const KIND: &str = "ConversionReview";
/// Older servers' `v1beta1` is not answered, as by upstream.
const VERSION: &str = "apiextensions.k8s.io/v1";

/// What to answer, and whether all was converted.
pub(crate) fn converted(mut review: Value) -> Result<(Value, bool), BadReview> {
    let asked = request(&review, KIND, (&[VERSION], VERSION))?;
    let uid = asked["uid"].clone();
    let Some(wanted) = asked["desiredAPIVersion"].as_str().map(str::to_owned) else {
        return Err(field(
            asked,
            "desiredAPIVersion",
            "the version that is wanted",
        ));
    };
    let Value::Array(mut objects) = review["request"]["objects"].take() else {
        return Err(field(&review["request"], "objects", "a list of objects"));
    };
    for (at, object) in objects.iter_mut().enumerate() {
        if let Err(error) = convert(object, &wanted) {
            let meta = &object["metadata"];
            let name = meta["name"].as_str().unwrap_or("without a name");
            let place = meta["namespace"]
                .as_str()
                .map(|it| format!("{it}/"))
                .unwrap_or_default();
            let message = format!("object {at} ({place}{name}) cannot become {wanted}: {error}");
            let result = json!({"status": "Failure", "message": message});
            return Ok((answer(json!({"uid": uid, "result": result})), false));
        }
    }
    let result = json!({"status": "Success"});
    let response = json!({"uid": uid, "convertedObjects": objects, "result": result});
    Ok((answer(response), true))
}

fn answer(response: Value) -> Value {
    let mut answer = json!({"apiVersion": VERSION, "kind": KIND});
    answer["response"] = response;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn review(wanted: &str, objects: &Value) -> Value {
        json!({"apiVersion": VERSION, "kind": KIND,
            "request": {"uid": "u", "desiredAPIVersion": wanted, "objects": objects}})
    }

    fn group(version: &str, name: &str) -> Value {
        json!({"apiVersion": format!("groupsnapshot.storage.k8s.io/{version}"),
            "kind": "VolumeGroupSnapshot", "metadata": {"name": name, "namespace": "n"}})
    }

    #[test]
    fn every_object_is_answered_in_the_version_that_is_wanted() {
        let objects = json!([
            group("v1beta1", "a"),
            group("v1beta2", "b"),
            group("v1", "c")
        ]);
        let (answer, all) = converted(review("groupsnapshot.storage.k8s.io/v1", &objects)).unwrap();
        assert!(all);
        let wanted = json!([group("v1", "a"), group("v1", "b"), group("v1", "c")]);
        assert_eq!(answer["response"]["convertedObjects"], wanted);
        assert_eq!(answer["response"]["uid"], "u");
        assert_eq!(answer["response"]["result"]["status"], "Success");
        assert_eq!(answer.get("request"), None);
    }

    #[test]
    fn the_first_object_that_cannot_be_converted_is_named() {
        let objects = json!([group("v1", "a"), group("v7", "b")]);
        let (answer, all) =
            converted(review("groupsnapshot.storage.k8s.io/v1beta1", &objects)).unwrap();
        assert!(!all);
        let result = &answer["response"]["result"];
        assert_eq!(result["status"], "Failure");
        let message = result["message"].as_str().unwrap();
        assert!(
            message.starts_with("object 1 (n/b) cannot become"),
            "{message}"
        );
        assert!(message.contains("apiVersion: v7"), "{message}");
        assert_eq!(answer["response"].get("convertedObjects"), None);
    }

    #[test]
    fn what_is_no_review_is_told_with_what_was_found() {
        let good = review("groupsnapshot.storage.k8s.io/v1", &json!([]));
        let told = |field: &str, value: Value| {
            let mut bad = good.clone();
            *bad.pointer_mut(field).unwrap() = value;
            converted(bad).unwrap_err().to_string()
        };
        assert_eq!(
            told("/kind", json!("AdmissionReview")),
            "kind: \"AdmissionReview\": post a ConversionReview here"
        );
        assert_eq!(
            told("/apiVersion", json!("apiextensions.k8s.io/v1beta1")),
            "apiVersion: \"apiextensions.k8s.io/v1beta1\": only apiextensions.k8s.io/v1 is answered here"
        );
        // Upstream panics.
        assert_eq!(
            told("/request", Value::Null),
            "request: not set: a ConversionReview carries the question in it"
        );
        assert_eq!(
            told("/request/uid", json!("")),
            "request.uid: \"\": must be the uid of the request"
        );
        assert_eq!(
            told("/request/objects", json!({})),
            "request.objects: null: must be a list of objects"
        );
        assert_eq!(
            told("/request/desiredAPIVersion", json!(1)),
            "request.desiredAPIVersion: 1: must be the version that is wanted"
        );
        assert!(converted(json!([])).is_err());
    }
}
