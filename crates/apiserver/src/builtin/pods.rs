//! Fills in and checks pods and the templates of pods.
//!
//! Does not schedule or run them.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::core::{port_name, port_number};
use super::values::{at, default, has, list, object, one_of, required, set, text};
use crate::names::label_problems;
use crate::schema::error::FieldError;

const UPDATE: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// Pod.
pub(super) fn pod(new: &mut Value, old: Option<&Value>) -> Vec<FieldError> {
    defaults(new, "/spec");
    if old.is_none() {
        let quality = quality_of_service(at(new, "/spec"));
        set(
            new,
            "",
            "status",
            json!({"phase": "Pending", "qosClass": quality}),
        );
        default(new, "/spec", "serviceAccountName", "default");
    }
    let account = text(new, "/spec/serviceAccountName").to_owned();
    if !account.is_empty() {
        default(new, "/spec", "serviceAccount", account);
    }
    let mut errors = check(at(new, "/spec"), "spec");
    errors.extend(one_of(
        new,
        "/spec/restartPolicy",
        "spec.restartPolicy",
        &["Always", "Never", "OnFailure"],
    ));
    if let Some(old) = old
        && fixed_part(new) != fixed_part(old)
    {
        errors.push(FieldError::forbidden("spec", UPDATE));
    }
    errors
}

/// What of a pod's spec never changes.
fn fixed_part(pod: &Value) -> Value {
    let mut pod = json!({"spec": at(pod, "/spec")});
    defaults(&mut pod, "/spec");
    let mut spec = pod["spec"].take();
    if let Some(members) = spec.as_object_mut() {
        for name in [
            "activeDeadlineSeconds",
            "tolerations",
            "terminationGracePeriodSeconds",
            "schedulingGates",
        ] {
            members.remove(name);
        }
        // Ephemeral containers come through a subresource of their own.
        members.remove("ephemeralContainers");
        let account = members.get("serviceAccountName").cloned();
        if let Some(account) = account {
            members.insert("serviceAccount".into(), account);
        }
    }
    for list in ["containers", "initContainers"] {
        for container in spec
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            set(container, "", "image", "");
            set(container, "", "imagePullPolicy", "");
        }
    }
    spec
}

/// Guaranteed, Burstable or BestEffort, by the resources of the containers.
fn quality_of_service(spec: &Value) -> &'static str {
    let (mut any, mut all_equal) = (false, true);
    for container in ["containers", "initContainers"]
        .iter()
        .flat_map(|l| list(spec, &format!("/{l}")))
    {
        for resource in ["cpu", "memory"] {
            let limit = at(container, &format!("/resources/limits/{resource}"));
            let request = at(container, &format!("/resources/requests/{resource}"));
            any |= !limit.is_null() || !request.is_null();
            all_equal &= !limit.is_null() && (request.is_null() || request == limit);
        }
    }
    match (any, all_equal) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// Defaults of the pod spec at a pointer.
pub(super) fn defaults(document: &mut Value, pointer: &str) {
    default(document, pointer, "restartPolicy", "Always");
    default(document, pointer, "dnsPolicy", "ClusterFirst");
    default(document, pointer, "schedulerName", "default-scheduler");
    default(document, pointer, "terminationGracePeriodSeconds", 30);
    default(document, pointer, "securityContext", json!({}));
    let Some(spec) = document.pointer_mut(pointer) else {
        return;
    };
    for list in ["containers", "initContainers"] {
        for container in spec
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            container_defaults(container);
        }
    }
    for volume in spec
        .get_mut("volumes")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        volume_defaults(volume);
    }
}

fn container_defaults(container: &mut Value) {
    let image = text(container, "/image");
    let last = image.rsplit('/').next().unwrap_or_default();
    let moving = !image.contains('@') && (!last.contains(':') || last.ends_with(":latest"));
    default(
        container,
        "",
        "imagePullPolicy",
        if moving { "Always" } else { "IfNotPresent" },
    );
    default(
        container,
        "",
        "terminationMessagePath",
        "/dev/termination-log",
    );
    default(container, "", "terminationMessagePolicy", "File");
    default(container, "", "resources", json!({}));
    for port in container
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        default(port, "", "protocol", "TCP");
    }
    for variable in container
        .get_mut("env")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if has(variable, "/valueFrom/fieldRef") {
            default(variable, "/valueFrom/fieldRef", "apiVersion", "v1");
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if has(container, &format!("/{probe}")) {
            let pointer = format!("/{probe}");
            for (name, value) in [
                ("failureThreshold", 3),
                ("periodSeconds", 10),
                ("successThreshold", 1),
                ("timeoutSeconds", 1),
            ] {
                default(container, &pointer, name, value);
            }
        }
    }
}

fn volume_defaults(volume: &mut Value) {
    let sourceless = volume.as_object().is_some_and(|m| {
        m.iter()
            .all(|(name, value)| name == "name" || value.is_null())
    });
    if sourceless {
        set(volume, "", "emptyDir", json!({}));
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if has(volume, &format!("/{source}")) {
            default(volume, &format!("/{source}"), "defaultMode", 420);
        }
    }
    if has(volume, "/hostPath")
        && let Some(path) = object(volume, "/hostPath")
    {
        path.entry("type").or_insert_with(|| "".into());
    }
}

/// Checks a pod spec that stands at `path`.
pub(super) fn check(spec: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut volumes = HashSet::new();
    for (i, volume) in list(spec, "/volumes").iter().enumerate() {
        let name = text(volume, "/name");
        let at_name = format!("{path}.volumes[{i}].name");
        errors.extend(label(name, &at_name));
        if !name.is_empty() && !volumes.insert(name) {
            errors.push(FieldError::duplicate(&at_name, &name.into()));
        }
        if has(volume, "/persistentVolumeClaim") {
            let at_claim = format!("{path}.volumes[{i}].persistentVolumeClaim.claimName");
            errors.extend(required(
                volume,
                "/persistentVolumeClaim/claimName",
                &at_claim,
            ));
        }
    }
    if list(spec, "/containers").is_empty() {
        errors.push(FieldError::required(&format!("{path}.containers"), ""));
    }
    let mut names = HashSet::new();
    for field in ["containers", "initContainers"] {
        for (i, container) in list(spec, &format!("/{field}")).iter().enumerate() {
            let at_container = format!("{path}.{field}[{i}]");
            let name = text(container, "/name");
            errors.extend(label(name, &format!("{at_container}.name")));
            if !name.is_empty() && !names.insert(name) {
                errors.push(FieldError::duplicate(
                    &format!("{at_container}.name"),
                    &name.into(),
                ));
            }
            errors.extend(check_container(container, &at_container, &volumes));
        }
    }
    errors
}

fn label(name: &str, path: &str) -> Vec<FieldError> {
    if name.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    label_problems(name)
        .iter()
        .map(|p| FieldError::invalid_text(path, name, p))
        .collect()
}

fn check_container(container: &Value, path: &str, volumes: &HashSet<&str>) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = required(container, "/image", &format!("{path}.image"))
        .into_iter()
        .collect();
    for (field, place) in [
        ("volumeMounts", "mountPath"),
        ("volumeDevices", "devicePath"),
    ] {
        for (i, mount) in list(container, &format!("/{field}")).iter().enumerate() {
            let at_mount = format!("{path}.{field}[{i}]");
            let name = text(mount, "/name");
            if name.is_empty() {
                errors.push(FieldError::required(&format!("{at_mount}.name"), ""));
            } else if !volumes.contains(name) {
                errors.push(FieldError::not_found(&format!("{at_mount}.name"), name));
            }
            errors.extend(required(
                mount,
                &format!("/{place}"),
                &format!("{at_mount}.{place}"),
            ));
        }
    }
    for (i, port) in list(container, "/ports").iter().enumerate() {
        errors.extend(port_number(
            at(port, "/containerPort"),
            &format!("{path}.ports[{i}].containerPort"),
        ));
        let name = text(port, "/name");
        if !name.is_empty() {
            errors.extend(port_name(name, &format!("{path}.ports[{i}].name")));
        }
    }
    for (i, variable) in list(container, "/env").iter().enumerate() {
        errors.extend(required(
            variable,
            "/name",
            &format!("{path}.env[{i}].name"),
        ));
    }
    let policies = ["Always", "IfNotPresent", "Never"];
    errors.extend(one_of(
        container,
        "/imagePullPolicy",
        &format!("{path}.imagePullPolicy"),
        &policies,
    ));
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::told::texts;

    #[test]
    fn pods_get_their_defaults() {
        let mut new = json!({"spec": {"containers": [{"name": "a", "image": "x"}], "volumes": [{"name": "v"}, {"name": "c", "configMap": {"name": "m"}}]}});
        assert!(pod(&mut new, None).is_empty());
        assert_eq!(new["spec"]["containers"][0]["imagePullPolicy"], "Always");
        assert_eq!(new["spec"]["restartPolicy"], "Always");
        assert_eq!(
            new["spec"]["volumes"],
            json!([{"name": "v", "emptyDir": {}}, {"name": "c", "configMap": {"name": "m", "defaultMode": 420}}])
        );
        assert_eq!(
            new["status"],
            json!({"phase": "Pending", "qosClass": "BestEffort"})
        );
    }

    #[test]
    fn pods_are_checked() {
        let cases = [
            (json!({}), vec!["spec.containers: Required value"]),
            (
                json!({"containers": [{"name": "a"}]}),
                vec!["spec.containers[0].image: Required value"],
            ),
            (
                json!({"containers": [{"name": "a", "image": "x"}, {"name": "a", "image": "x"}]}),
                vec!["spec.containers[1].name: Duplicate value: \"a\""],
            ),
            (
                json!({"containers": [{"name": "a", "image": "x", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}),
                vec!["spec.containers[0].volumeMounts[0].name: Not found: \"v\""],
            ),
            (
                json!({"containers": [{"name": "a", "image": "x", "ports": [{"containerPort": 70000}]}]}),
                vec![
                    "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
                ],
            ),
            (
                json!({"containers": [{"name": "a", "image": "x"}], "volumes": [{"name": "v", "persistentVolumeClaim": {}}]}),
                vec!["spec.volumes[0].persistentVolumeClaim.claimName: Required value"],
            ),
        ];
        for (spec, expect) in cases {
            let mut new = json!({"spec": spec});
            assert_eq!(texts(&pod(&mut new, None)), expect, "{spec}");
        }
    }

    #[test]
    fn a_running_pod_changes_only_its_image() {
        let mut old = json!({"spec": {"containers": [{"name": "a", "image": "x"}]}});
        pod(&mut old, None);
        let mut image = old.clone();
        image["spec"]["containers"][0]["image"] = "y".into();
        assert!(pod(&mut image, Some(&old)).is_empty());
        let mut node = old.clone();
        node["spec"]["nodeName"] = "n".into();
        assert!(
            texts(&pod(&mut node, Some(&old)))[0]
                .starts_with("spec: Forbidden: pod updates may not change fields other than")
        );
    }
}
