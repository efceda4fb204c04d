//! Answers an `AdmissionReview`: allowed, or refused with everything that is wrong.
//!
//! Whether a class may become the default depends on the other classes: then the question says so, and is answered once
//! somebody has brought them.

use serde_json::{Value, json};
use tintype_core::validation::{self, Complaint, Kind, Rules};

use super::{BadReview, request};

const KIND: &str = "AdmissionReview";
const VERSIONS: [&str; 2] = ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"];

/// Which kinds are judged at one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Set {
    Single,
    Group,
}

/// One resource, and what is judged under its name.
type Judged = (&'static str, Kind);

impl Set {
    const fn group(self) -> &'static str {
        match self {
            Self::Single => tintype_api::GROUP,
            Self::Group => tintype_api::GROUP_OF_GROUPS,
        }
    }

    const fn resources(self) -> [Judged; 3] {
        match self {
            Self::Single => [
                ("volumesnapshots", Kind::Snapshot),
                ("volumesnapshotcontents", Kind::Content),
                ("volumesnapshotclasses", Kind::Class),
            ],
            Self::Group => [
                ("volumegroupsnapshots", Kind::Group),
                ("volumegroupsnapshotcontents", Kind::GroupContent),
                ("volumegroupsnapshotclasses", Kind::GroupClass),
            ],
        }
    }
}

/// A review that was read.
#[derive(Debug)]
pub(crate) struct Admission {
    version: String,
    uid: Value,
    question: Question,
}

/// What has to be found out.
#[derive(Debug)]
enum Question {
    /// Nothing: it is not for us to judge.
    None,
    /// The resource is none of this path's.
    Foreign(String),
    /// The object, by itself or against what it was.
    Judge {
        kind: Kind,
        object: Value,
        old: Option<Value>,
    },
}

/// What is answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) review: Value,
    pub(crate) allowed: bool,
}

impl Admission {
    pub(crate) fn read(mut review: Value, set: Set) -> Result<Self, BadReview> {
        let named = "admission.k8s.io/v1 or v1beta1";
        let asked = request(&review, KIND, (&VERSIONS, named))?;
        let uid = asked["uid"].clone();
        let version = review["apiVersion"].as_str().unwrap_or_default().to_owned();
        let question = question(&mut review["request"], set);
        Ok(Self {
            version,
            uid,
            question,
        })
    }

    /// All classes of this kind have to be brought before it can be answered.
    pub(crate) fn needs_classes(&self) -> Option<Kind> {
        match &self.question {
            Question::Judge { kind, object, old } => {
                validation::wants_default(*kind, object, old.as_ref()).map(|_| *kind)
            }
            Question::None | Question::Foreign(_) => None,
        }
    }

    /// `classes` are none if nobody could be asked.
    pub(crate) fn answer(&self, rules: Rules, classes: Option<&[Value]>) -> Answer {
        let (complaints, warning) = match &self.question {
            Question::None => (Vec::new(), None),
            Question::Foreign(why) => (vec![why.clone()], None),
            Question::Judge { kind, object, old } => {
                let old = old.as_ref();
                let mut found = validation::complaints(*kind, object, old, rules);
                let unasked = self.needs_classes().is_some() && classes.is_none();
                found.extend(classes.and_then(|it| validation::rival(*kind, object, old, it)));
                let warning = unasked.then_some(
                    "whether another class is already the default of this driver was not checked: \
                     the webhook has no access to the Kubernetes API",
                );
                (found.iter().map(Complaint::to_string).collect(), warning)
            }
        };
        let allowed = complaints.is_empty();
        let mut response = json!({"uid": self.uid, "allowed": allowed});
        if !allowed {
            response["status"] = json!({"status": "Failure", "reason": "Invalid", "code": 422,
                "message": complaints.join("; ")});
        }
        if let Some(warning) = warning {
            response["warnings"] = json!([warning]);
        }
        let review = json!({"apiVersion": self.version, "kind": KIND, "response": response});
        Answer { review, allowed }
    }
}

fn question(request: &mut Value, set: Set) -> Question {
    let operation = request["operation"].as_str().unwrap_or_default();
    let changes = ["CREATE", "UPDATE"].contains(&operation);
    let updates = operation == "UPDATE";
    // Status and the like are not what the rules are about.
    let part = request["subResource"]
        .as_str()
        .is_some_and(|it| !it.is_empty());
    if !changes || part {
        return Question::None;
    }
    let of = |field: &str| {
        request["resource"][field]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let (group, resource) = (of("group"), of("resource"));
    let resources = set.resources();
    let known = resources.iter().find(|(name, _)| *name == resource);
    let Some((_, kind)) = known.filter(|_| group == set.group()) else {
        let wanted: Vec<&str> = resources.iter().map(|(name, _)| *name).collect();
        return Question::Foreign(format!(
            "expect resource to be {} of {}, but found {resource} of {group}",
            wanted.join(", "),
            set.group()
        ));
    };
    let old = request["oldObject"].take();
    Question::Judge {
        kind: *kind,
        object: request["object"].take(),
        old: (updates && !old.is_null()).then_some(old),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        mode_is_fixed: true,
    };

    fn review(resource: &str, object: &Value, old: &Value) -> Value {
        let operation = if old.is_null() { "CREATE" } else { "UPDATE" };
        json!({"apiVersion": "admission.k8s.io/v1", "kind": KIND, "request": {
            "uid": "u", "operation": operation, "object": object, "oldObject": old,
            "resource": {"group": "snapshot.storage.k8s.io", "version": "v1", "resource": resource}}})
    }

    fn answer(review: Value) -> Answer {
        Admission::read(review, Set::Single)
            .unwrap()
            .answer(RULES, None)
    }

    fn snapshot(source: &Value) -> Value {
        json!({"metadata": {"name": "s"}, "spec": {"source": source}})
    }

    #[test]
    fn an_object_is_allowed_or_refused_with_everything_that_is_wrong() {
        let good = snapshot(&json!({"persistentVolumeClaimName": "c"}));
        let said = answer(review("volumesnapshots", &good, &Value::Null));
        assert!(said.allowed);
        assert_eq!(
            said.review,
            json!({"apiVersion": "admission.k8s.io/v1", "kind": KIND,
            "response": {"uid": "u", "allowed": true}})
        );
        let mut bad = snapshot(&json!({}));
        bad["spec"]["volumeSnapshotClassName"] = "".into();
        let said = answer(review("volumesnapshots", &bad, &Value::Null));
        assert!(!said.allowed);
        let status = &said.review["response"]["status"];
        assert_eq!(
            (&status["code"], &status["reason"]),
            (&json!(422), &json!("Invalid"))
        );
        assert_eq!(
            status["message"]
                .as_str()
                .unwrap()
                .split("; set one of")
                .count(),
            1
        );
        assert!(
            status["message"]
                .as_str()
                .unwrap()
                .contains("; spec.volumeSnapshotClassName: \"\"")
        );
    }

    /// Upstream's phase one: an object that is already bad can be updated, so that it can be let go.
    #[test]
    fn an_update_is_judged_against_what_was_there() {
        let (claim, other) = (
            json!({"persistentVolumeClaimName": "c"}),
            json!({"persistentVolumeClaimName": "d"}),
        );
        assert!(
            !answer(review(
                "volumesnapshots",
                &snapshot(&other),
                &snapshot(&claim)
            ))
            .allowed
        );
        let bad = snapshot(&json!({}));
        assert!(answer(review("volumesnapshots", &bad, &bad)).allowed);
    }

    #[test]
    fn what_is_not_ours_is_allowed_or_named() {
        let bad = snapshot(&json!({}));
        for (field, value) in [
            ("operation", "DELETE"),
            ("operation", "CONNECT"),
            ("subResource", "status"),
        ] {
            let mut review = review("volumesnapshots", &bad, &Value::Null);
            review["request"][field] = value.into();
            assert!(answer(review).allowed, "{field} {value}");
        }
        let said = answer(review("pods", &bad, &Value::Null));
        assert!(!said.allowed);
        let message = said.review["response"]["status"]["message"]
            .as_str()
            .unwrap();
        assert!(
            message.starts_with("expect resource to be volumesnapshots, "),
            "{message}"
        );
        assert!(
            message.ends_with("but found pods of snapshot.storage.k8s.io"),
            "{message}"
        );
        let group = review("volumesnapshots", &bad, &Value::Null);
        assert!(
            !Admission::read(group, Set::Group)
                .unwrap()
                .answer(RULES, None)
                .allowed
        );
    }

    #[test]
    fn an_answer_is_in_the_version_of_the_question() {
        let mut old = review("volumesnapshots", &snapshot(&json!({})), &Value::Null);
        old["apiVersion"] = "admission.k8s.io/v1beta1".into();
        assert_eq!(
            answer(old.clone()).review["apiVersion"],
            "admission.k8s.io/v1beta1"
        );
        old["apiVersion"] = "admission.k8s.io/v2".into();
        let error = Admission::read(old, Set::Single).unwrap_err().to_string();
        assert_eq!(
            error,
            "apiVersion: \"admission.k8s.io/v2\": only admission.k8s.io/v1 or v1beta1 is answered here"
        );
    }

    #[test]
    fn classes_are_asked_for_only_when_one_wants_to_become_the_default() {
        let class = |name: &str, default: &str| {
            json!({"metadata": {"name": name, "annotations":
            {"snapshot.storage.kubernetes.io/is-default-class": default}}, "driver": "d"})
        };
        let read = |object: &Value| {
            let review = review("volumesnapshotclasses", object, &Value::Null);
            Admission::read(review, Set::Single).unwrap()
        };
        assert_eq!(read(&class("a", "false")).needs_classes(), None);
        let asks = read(&class("a", "true"));
        assert_eq!(asks.needs_classes(), Some(Kind::Class));
        assert!(!asks.answer(RULES, Some(&[class("b", "true")])).allowed);
        assert!(asks.answer(RULES, Some(&[class("b", "false")])).allowed);
        let unasked = asks.answer(RULES, None);
        assert!(unasked.allowed);
        assert!(
            unasked.review["response"]["warnings"][0]
                .as_str()
                .unwrap()
                .contains("not checked")
        );
    }
}
