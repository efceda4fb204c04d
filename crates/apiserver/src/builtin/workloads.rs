//! Fills in and checks the kinds that make pods: StatefulSet, Deployment, ReplicaSet, DaemonSet, Job.
//!
//! Does not make the pods.

use serde_json::{Value, json};

use super::pods;
use super::storage;
use super::values::{at, default, has, set, text};
use crate::schema::error::FieldError;
use crate::selector::LabelSelector;

const SET_UPDATE: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";

/// The selector must be there, say something, and match the pods of the template.
fn selector(new: &Value) -> Vec<FieldError> {
    let selector = at(new, "/spec/selector");
    if selector.is_null() {
        return vec![FieldError::required("spec.selector", "")];
    }
    let parsed = match LabelSelector::from_object(selector) {
        Ok(parsed) => parsed,
        Err(why) => return vec![FieldError::invalid("spec.selector", selector, &why)],
    };
    if parsed.selects_all() {
        return vec![FieldError::invalid(
            "spec.selector",
            selector,
            "empty selector is invalid for deployment",
        )];
    }
    let labels = at(new, "/spec/template/metadata/labels");
    if parsed.matches(labels.as_object()) {
        Vec::new()
    } else {
        let why = "`selector` does not match template `labels`";
        vec![FieldError::invalid(
            "spec.template.metadata.labels",
            labels,
            why,
        )]
    }
}

fn always_restarts(new: &Value) -> Option<FieldError> {
    let policy = at(new, "/spec/template/spec/restartPolicy");
    (policy != "Always").then(|| {
        FieldError::not_supported(
            "spec.template.spec.restartPolicy",
            policy,
            &["Always".into()],
        )
    })
}

fn replicas(new: &Value) -> Option<FieldError> {
    let value = at(new, "/spec/replicas");
    let why = "must be greater than or equal to 0";
    value
        .as_i64()
        .is_some_and(|n| n < 0)
        .then(|| FieldError::invalid("spec.replicas", value, why))
}

fn same_selector(new: &Value, old: Option<&Value>) -> Option<FieldError> {
    let old = old?;
    let selector = at(new, "/spec/selector");
    (selector != at(old, "/spec/selector"))
        .then(|| FieldError::immutable("spec.selector", selector))
}

/// Deployment, ReplicaSet and DaemonSet.
pub(super) fn replicated(new: &mut Value, old: Option<&Value>) -> Vec<FieldError> {
    match text(new, "/kind") {
        "Deployment" => {
            default(new, "/spec", "replicas", 1);
            default(new, "/spec", "revisionHistoryLimit", 10);
            default(new, "/spec", "progressDeadlineSeconds", 600);
            default(new, "/spec/strategy", "type", "RollingUpdate");
            if text(new, "/spec/strategy/type") == "RollingUpdate" {
                default(new, "/spec/strategy/rollingUpdate", "maxSurge", "25%");
                default(new, "/spec/strategy/rollingUpdate", "maxUnavailable", "25%");
            }
        }
        "ReplicaSet" => default(new, "/spec", "replicas", 1),
        _ => {
            default(new, "/spec", "revisionHistoryLimit", 10);
            default(new, "/spec/updateStrategy", "type", "RollingUpdate");
        }
    }
    pods::defaults(new, "/spec/template/spec");
    let mut errors = selector(new);
    errors.extend(replicas(new));
    errors.extend(always_restarts(new));
    errors.extend(pods::check(
        at(new, "/spec/template/spec"),
        "spec.template.spec",
    ));
    errors.extend(same_selector(new, old));
    errors
}

/// StatefulSet.
pub(super) fn stateful_set(new: &mut Value, old: Option<&Value>) -> Vec<FieldError> {
    set_defaults(new);
    let mut errors = selector(new);
    errors.extend(replicas(new));
    errors.extend(always_restarts(new));
    errors.extend(pods::check(
        at(new, "/spec/template/spec"),
        "spec.template.spec",
    ));
    let fixed = |set: &Value| {
        let mut set = json!({"spec": at(set, "/spec")});
        set_defaults(&mut set);
        let mut spec = set["spec"].take();
        if let Some(members) = spec.as_object_mut() {
            for name in [
                "replicas",
                "ordinals",
                "template",
                "updateStrategy",
                "revisionHistoryLimit",
                "persistentVolumeClaimRetentionPolicy",
                "minReadySeconds",
            ] {
                members.remove(name);
            }
        }
        spec
    };
    if old.is_some_and(|old| fixed(old) != fixed(new)) {
        errors.push(FieldError::forbidden("spec", SET_UPDATE));
    }
    errors
}

fn set_defaults(new: &mut Value) {
    default(new, "/spec", "replicas", 1);
    default(new, "/spec", "podManagementPolicy", "OrderedReady");
    default(new, "/spec", "revisionHistoryLimit", 10);
    default(new, "/spec/updateStrategy", "type", "RollingUpdate");
    if text(new, "/spec/updateStrategy/type") == "RollingUpdate" {
        default(new, "/spec/updateStrategy/rollingUpdate", "partition", 0);
    }
    for name in ["whenDeleted", "whenScaled"] {
        default(
            new,
            "/spec/persistentVolumeClaimRetentionPolicy",
            name,
            "Retain",
        );
    }
    pods::defaults(new, "/spec/template/spec");
    for claim in new
        .pointer_mut("/spec/volumeClaimTemplates")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        default(claim, "", "apiVersion", "v1");
        default(claim, "", "kind", "PersistentVolumeClaim");
        default(claim, "/spec", "volumeMode", "Filesystem");
        storage::pending(claim);
    }
}

/// Job.
pub(super) fn job(new: &mut Value, old: Option<&Value>) -> Vec<FieldError> {
    if !has(new, "/spec/completions") && !has(new, "/spec/parallelism") {
        default(new, "/spec", "completions", 1);
    }
    default(new, "/spec", "parallelism", 1);
    default(new, "/spec", "backoffLimit", 6);
    default(new, "/spec", "completionMode", "NonIndexed");
    default(new, "/spec", "suspend", false);
    default(new, "/spec", "podReplacementPolicy", "TerminatingOrFailed");
    let named = has(new, "/spec/template/spec/restartPolicy");
    pods::defaults(new, "/spec/template/spec");
    if old.is_none() {
        own_selector(new);
    }
    let mut errors = Vec::new();
    if !named {
        let path = "spec.template.spec.restartPolicy";
        errors.push(FieldError::required(
            path,
            "valid values: \"OnFailure\", \"Never\"",
        ));
    } else if text(new, "/spec/template/spec/restartPolicy") == "Always" {
        let all = ["OnFailure".to_owned(), "Never".to_owned()];
        errors.push(FieldError::not_supported(
            "spec.template.spec.restartPolicy",
            &"Always".into(),
            &all,
        ));
    }
    errors.extend(pods::check(
        at(new, "/spec/template/spec"),
        "spec.template.spec",
    ));
    if let Some(old) = old
        && at(new, "/spec/template") != at(old, "/spec/template")
    {
        errors.push(FieldError::immutable(
            "spec.template",
            at(new, "/spec/template"),
        ));
    }
    errors.extend(same_selector(new, old));
    errors
}

/// A job finds its pods by its own uid, unless told otherwise.
fn own_selector(job: &mut Value) {
    let uid = text(job, "/metadata/uid").to_owned();
    if uid.is_empty() || at(job, "/spec/manualSelector") == true {
        return;
    }
    let name = text(job, "/metadata/name").to_owned();
    let labels = "/spec/template/metadata/labels";
    set(
        job,
        labels,
        "batch.kubernetes.io/controller-uid",
        uid.clone(),
    );
    set(job, labels, "batch.kubernetes.io/job-name", name.clone());
    set(job, labels, "controller-uid", uid.clone());
    set(job, labels, "job-name", name);
    set(
        job,
        "/spec/selector/matchLabels",
        "batch.kubernetes.io/controller-uid",
        uid,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::told::texts;

    fn a_set() -> Value {
        json!({"kind": "StatefulSet", "spec": {"serviceName": "s", "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}},
            "volumeClaimTemplates": [{"metadata": {"name": "d"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]}})
    }

    #[test]
    fn stateful_sets_change_only_what_they_may() {
        let mut old = a_set();
        assert!(stateful_set(&mut old, None).is_empty());
        assert_eq!(
            old["spec"]["volumeClaimTemplates"][0]["status"],
            json!({"phase": "Pending"})
        );
        assert_eq!(old["spec"]["replicas"], 1);
        let mut more = old.clone();
        more["spec"]["replicas"] = 3.into();
        assert!(stateful_set(&mut more, Some(&old)).is_empty());
        let mut service = old.clone();
        service["spec"]["serviceName"] = "t".into();
        assert!(
            texts(&stateful_set(&mut service, Some(&old)))[0]
                .starts_with("spec: Forbidden: updates to statefulset spec")
        );
        let mut labels = a_set();
        labels["spec"]["template"]["metadata"]["labels"]["a"] = "z".into();
        assert_eq!(
            texts(&stateful_set(&mut labels, None)),
            [
                "spec.template.metadata.labels: Invalid value: {\"a\":\"z\"}: `selector` does not match template `labels`"
            ]
        );
    }

    #[test]
    fn jobs_select_their_own_pods() {
        let mut new = json!({"metadata": {"name": "j", "uid": "u"}, "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}});
        assert!(job(&mut new, None).is_empty());
        assert_eq!(
            new["spec"]["selector"],
            json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}})
        );
        let mut bad =
            json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}});
        assert_eq!(
            texts(&job(&mut bad, None)),
            [
                "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""
            ]
        );
    }
}
