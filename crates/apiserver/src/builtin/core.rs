//! Fills in and checks namespaces, secrets, config maps, services and leases.
//!
//! Does not allocate addresses or tokens.

use base64::Engine as _;
use serde_json::{Map, Value, json};

use super::values::{at, default, list, object, one_of, set, text};
use crate::names::{label_1035_problems, label_problems};
use crate::schema::error::FieldError;

/// Data of one Secret or ConfigMap.
const DATA_BYTES: usize = 1024 * 1024;
const KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

/// Namespace.
pub(super) fn namespace(new: &mut Value, old: Option<&Value>) -> Vec<FieldError> {
    let name = text(new, "/metadata/name").to_owned();
    if !name.is_empty() {
        set(new, "/metadata/labels", "kubernetes.io/metadata.name", name);
    }
    if old.is_none() {
        set(new, "/spec", "finalizers", json!(["kubernetes"]));
        set(new, "", "status", json!({"phase": "Active"}));
    }
    Vec::new()
}

fn key_problems(key: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if key.len() > 253 {
        problems.push("must be no more than 253 characters".into());
    }
    if key.is_empty()
        || !key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    {
        problems.push(KEY.into());
    } else if key == "." || key == ".." {
        problems.push(format!("must not be '{key}'"));
    } else if key.starts_with("..") {
        problems.push("must not start with '..'".into());
    }
    problems
}

fn data_keys(object: &Value, field: &str, errors: &mut Vec<FieldError>) -> usize {
    let members = object.get(field).and_then(Value::as_object);
    let mut bytes = 0;
    for (key, value) in members.into_iter().flatten() {
        let path = format!("{field}[{key}]");
        errors.extend(
            key_problems(key)
                .iter()
                .map(|p| FieldError::invalid_text(&path, key, p)),
        );
        bytes += value.as_str().map_or(0, str::len);
    }
    bytes
}

/// What a Secret or ConfigMap marked immutable may not do.
fn frozen(new: &Value, old: &Value, fields: &[&str]) -> Vec<FieldError> {
    let why = "field is immutable when `immutable` is set";
    let mut errors = Vec::new();
    if old.get("immutable").and_then(Value::as_bool) != Some(true) {
        return errors;
    }
    if new.get("immutable").and_then(Value::as_bool) != Some(true) {
        errors.push(FieldError::forbidden("immutable", why));
    }
    let content =
        |object: &Value, field: &str| object.get(field).filter(|v| **v != json!({})).cloned();
    for field in fields {
        if content(new, field) != content(old, field) {
            errors.push(FieldError::forbidden(field, why));
        }
    }
    errors
}

/// Secret.
pub(super) fn secret(new: &mut Value, old: Option<&Value>) -> Vec<FieldError> {
    if let Some(Value::Object(plain)) = new.as_object_mut().and_then(|m| m.remove("stringData"))
        && let Some(data) = object(new, "/data")
    {
        for (key, value) in plain {
            let text = value.as_str().unwrap_or_default();
            data.insert(
                key,
                base64::engine::general_purpose::STANDARD
                    .encode(text)
                    .into(),
            );
        }
    }
    default(new, "", "type", "Opaque");
    let mut errors = Vec::new();
    let encoded = data_keys(new, "data", &mut errors);
    if encoded / 4 * 3 > DATA_BYTES {
        errors.push(FieldError::too_long("data", DATA_BYTES as u64));
    }
    errors.extend(secret_type(new));
    if let Some(old) = old {
        if at(new, "/type") != at(old, "/type") {
            errors.push(FieldError::immutable("type", at(new, "/type")));
        }
        errors.extend(frozen(new, old, &["data"]));
    }
    errors
}

fn secret_type(secret: &Value) -> Vec<FieldError> {
    let has_key = |key: &str| secret.get("data").and_then(|d| d.get(key)).is_some();
    let needs = |keys: &[&str]| -> Vec<FieldError> {
        let missing = keys.iter().filter(|key| !has_key(key));
        missing
            .map(|key| FieldError::required(&format!("data[{key}]"), ""))
            .collect()
    };
    match text(secret, "/type") {
        "kubernetes.io/dockerconfigjson" => needs(&[".dockerconfigjson"]),
        "kubernetes.io/dockercfg" => needs(&[".dockercfg"]),
        "kubernetes.io/ssh-auth" => needs(&["ssh-privatekey"]),
        "kubernetes.io/tls" => needs(&["tls.crt", "tls.key"]),
        "kubernetes.io/basic-auth" if !has_key("username") && !has_key("password") => {
            needs(&["username", "password"])
        }
        "kubernetes.io/service-account-token" => {
            let key = "kubernetes.io/service-account.name";
            let named = at(secret, "/metadata/annotations")
                .get(key)
                .and_then(Value::as_str)
                .is_some_and(|n| !n.is_empty());
            let path = format!("metadata.annotations[{key}]");
            if named {
                Vec::new()
            } else {
                vec![FieldError::required(&path, "")]
            }
        }
        _ => Vec::new(),
    }
}

/// ConfigMap.
pub(super) fn config_map(new: &mut Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let plain = data_keys(new, "data", &mut errors);
    let encoded = data_keys(new, "binaryData", &mut errors);
    let empty = Map::new();
    let data = new.get("data").and_then(Value::as_object).unwrap_or(&empty);
    for key in new
        .get("binaryData")
        .and_then(Value::as_object)
        .unwrap_or(&empty)
        .keys()
    {
        if data.contains_key(key) {
            errors.push(FieldError::invalid_text(
                &format!("data[{key}]"),
                key,
                "duplicate of key present in binaryData",
            ));
        }
    }
    if plain + encoded / 4 * 3 > DATA_BYTES {
        errors.push(FieldError::too_long("", DATA_BYTES as u64));
    }
    if let Some(old) = old {
        errors.extend(frozen(new, old, &["data", "binaryData"]));
    }
    errors
}

/// Service.
pub(super) fn service(new: &mut Value, _old: Option<&Value>) -> Vec<FieldError> {
    default(new, "/spec", "type", "ClusterIP");
    default(new, "/spec", "sessionAffinity", "None");
    if text(new, "/spec/type") != "ExternalName" {
        default(new, "/spec", "internalTrafficPolicy", "Cluster");
    }
    if let Some(ports) = new.pointer_mut("/spec/ports").and_then(Value::as_array_mut) {
        for port in ports {
            default(port, "", "protocol", "TCP");
            let number = at(port, "/port").clone();
            default(port, "", "targetPort", number);
        }
    }
    let types = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    let mut errors: Vec<FieldError> = one_of(new, "/spec/type", "spec.type", &types)
        .into_iter()
        .collect();
    let ports = list(new, "/spec/ports");
    let headless = text(new, "/spec/clusterIP") == "None";
    if ports.is_empty() && !headless && text(new, "/spec/type") != "ExternalName" {
        errors.push(FieldError::required("spec.ports", ""));
    }
    for (i, port) in ports.iter().enumerate() {
        let path = format!("spec.ports[{i}]");
        let name = text(port, "/name");
        if name.is_empty() {
            if ports.len() > 1 {
                errors.push(FieldError::required(&format!("{path}.name"), ""));
            }
        } else {
            errors.extend(
                label_problems(name)
                    .iter()
                    .map(|p| FieldError::invalid_text(&format!("{path}.name"), name, p)),
            );
        }
        errors.extend(port_number(at(port, "/port"), &format!("{path}.port")));
        errors.extend(one_of(
            port,
            "/protocol",
            &format!("{path}.protocol"),
            &["SCTP", "TCP", "UDP"],
        ));
    }
    errors
}

/// A port is between 1 and 65535.
pub(super) fn port_number(value: &Value, path: &str) -> Option<FieldError> {
    let good = value.as_i64().is_some_and(|n| (1..=65535).contains(&n));
    let shown = if value.is_null() {
        Value::from(0)
    } else {
        value.clone()
    };
    (!good).then(|| FieldError::invalid(path, &shown, "must be between 1 and 65535, inclusive"))
}

/// A port by number or by name.
pub(super) fn port_name(name: &str, path: &str) -> Vec<FieldError> {
    label_1035_problems(name)
        .iter()
        .map(|p| FieldError::invalid_text(path, name, p))
        .collect()
}

/// Lease.
pub(super) fn lease(new: &mut Value, _old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if new
        .pointer("/spec/leaseDurationSeconds")
        .and_then(Value::as_i64)
        .is_some_and(|n| n <= 0)
    {
        let value = at(new, "/spec/leaseDurationSeconds");
        errors.push(FieldError::invalid(
            "spec.leaseDurationSeconds",
            value,
            "must be greater than 0",
        ));
    }
    if new
        .pointer("/spec/leaseTransitions")
        .and_then(Value::as_i64)
        .is_some_and(|n| n < 0)
    {
        let value = at(new, "/spec/leaseTransitions");
        errors.push(FieldError::invalid(
            "spec.leaseTransitions",
            value,
            "must be greater than or equal to 0",
        ));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::told::texts;

    #[test]
    fn namespaces_hold_themselves_until_emptied() {
        let mut space = json!({"metadata": {"name": "a"}});
        assert!(namespace(&mut space, None).is_empty());
        assert_eq!(
            space,
            json!({"metadata": {"name": "a", "labels": {"kubernetes.io/metadata.name": "a"}}, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}})
        );
    }

    #[test]
    fn secrets_are_encoded_and_typed() {
        let mut new = json!({"data": {"a": "MQ=="}, "stringData": {"b": "hi"}});
        assert!(secret(&mut new, None).is_empty());
        assert_eq!(
            new,
            json!({"data": {"a": "MQ==", "b": "aGk="}, "type": "Opaque"})
        );
        let mut other = json!({"type": "kubernetes.io/tls", "data": {"tls.crt": ""}});
        assert_eq!(
            texts(&secret(&mut other, Some(&new))),
            [
                "data[tls.key]: Required value",
                "type: Invalid value: \"kubernetes.io/tls\": field is immutable"
            ]
        );
        let mut bad = json!({"data": {"a b": ""}});
        assert!(
            texts(&secret(&mut bad, None))[0]
                .starts_with("data[a b]: Invalid value: \"a b\": a valid config key must consist")
        );
    }

    #[test]
    fn an_immutable_map_stays_as_it_is() {
        let old = json!({"data": {"a": "1"}, "immutable": true});
        let mut new = json!({"data": {"a": "9"}, "immutable": true});
        assert_eq!(
            texts(&config_map(&mut new, Some(&old))),
            ["data: Forbidden: field is immutable when `immutable` is set"]
        );
        let mut new = json!({"data": {"a": "1"}});
        assert_eq!(
            texts(&config_map(&mut new, Some(&old))),
            ["immutable: Forbidden: field is immutable when `immutable` is set"]
        );
        let mut twice = json!({"data": {"a": "1"}, "binaryData": {"a": "MQ=="}});
        assert_eq!(
            texts(&config_map(&mut twice, None)),
            ["data[a]: Invalid value: \"a\": duplicate of key present in binaryData"]
        );
    }

    #[test]
    fn services_and_leases_are_checked_lightly() {
        let mut new = json!({"spec": {"ports": [{"port": 80}, {"port": 0, "name": "x"}]}});
        assert_eq!(
            texts(&service(&mut new, None)),
            [
                "spec.ports[0].name: Required value",
                "spec.ports[1].port: Invalid value: 0: must be between 1 and 65535, inclusive"
            ]
        );
        assert_eq!(
            new["spec"]["ports"][0],
            json!({"port": 80, "protocol": "TCP", "targetPort": 80})
        );
        let mut new = json!({"spec": {"leaseDurationSeconds": 0}});
        assert_eq!(
            texts(&lease(&mut new, None)),
            ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"]
        );
    }
}
