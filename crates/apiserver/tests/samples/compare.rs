//! Compares a recorded body with a fresh one, and cuts out the part that was recorded.

use regex::Regex;
use serde_json::{Value, json};

const UID: &str = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}";
/// Between the errors of a recorded message, sorted there because their order is not fixed.
const ERRORS: &str = " | ";

/// The part of an answer that was recorded.
pub(super) fn part(step: &str, mut body: Value) -> Value {
    let each = |list: &Value, fields: &[&str]| -> Value {
        let items = list.as_array().into_iter().flatten();
        items.map(|item| several(item, fields)).collect()
    };
    match step {
        "crud/41 delall" => {
            let names = body["items"].as_array().into_iter().flatten();
            let names = names.map(|item| item["metadata"]["name"].clone());
            let names: Vec<Value> = names
                .filter(|name| !name.as_str().unwrap().starts_with("gen-"))
                .collect();
            json!([body["kind"], names])
        }
        "crd/01 create" => several(
            &body,
            &[
                "/kind",
                "/spec/names",
                "/spec/conversion",
                "/spec/preserveUnknownFields",
            ],
        ),
        // Recorded in alphabetical order.
        "crd/02 conditions" => {
            let fields = ["/type", "/status", "/reason"];
            json!([
                sorted(each(&body["status"]["conditions"], &fields)),
                body["status"]["storedVersions"],
                body["status"]["acceptedNames"],
            ])
        }
        "crd/04 discov" => {
            for resource in body["resources"].as_array_mut().unwrap() {
                resource["verbs"] = sorted(resource["verbs"].take());
            }
            let fields = "/name /singularName /kind /namespaced /shortNames /categories /verbs";
            let fields: Vec<&str> = fields.split(' ').collect();
            each(&body["resources"], &fields)
        }
        "crd/43 list other" => {
            let items = body["items"].as_array().into_iter().flatten();
            let items: Vec<String> = items
                .map(|item| {
                    let text =
                        |at: &str| item.pointer(at).and_then(Value::as_str).unwrap().to_owned();
                    text("/metadata/name") + &text("/apiVersion")
                })
                .collect();
            json!([body["kind"], body["apiVersion"], items])
        }
        "crd/45 tablelist" => {
            let rows = body["rows"].as_array().into_iter().flatten();
            let cells: Vec<&Value> = rows.map(|row| &row["cells"]).collect();
            json!([body["columnDefinitions"], cells])
        }
        "crd/49 fgeneration" => {
            let metadata = &body["metadata"];
            let deleting = metadata["deletionTimestamp"].is_string();
            json!([
                metadata["generation"],
                deleting,
                metadata["deletionGracePeriodSeconds"]
            ])
        }
        "crd/55 gone with crd" => body["kind"].take(),
        page if page.starts_with("meta/") => part_of_page(page, body),
        _ => body,
    }
}

/// The same of what is no object.
fn part_of_page(step: &str, body: Value) -> Value {
    let top = |body: &Value, names: &[&str]| -> Value {
        let resources = body["resources"].as_array().into_iter().flatten();
        resources
            .filter(|resource| {
                let name = resource["name"].as_str().unwrap_or_default();
                !name.contains('/') && (names.is_empty() || names.contains(&name))
            })
            .map(|resource| several(resource, &["/name", "/kind", "/namespaced", "/shortNames"]))
            .collect()
    };
    match step {
        "meta/01 version" => body
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, _)| json!(key))
            .collect(),
        "meta/02 api" => several(&body, &["/kind", "/versions"]),
        "meta/03 core" => top(
            &body,
            &[
                "configmaps",
                "events",
                "namespaces",
                "nodes",
                "persistentvolumeclaims",
                "persistentvolumes",
                "pods",
                "secrets",
                "serviceaccounts",
                "services",
            ],
        ),
        "meta/04 storage" => top(&body, &[]),
        "meta/08 agg" => json!([body["kind"], !body["items"].as_array().unwrap().is_empty()]),
        "meta/09 openapi3" => {
            let has = |path: &str| body["paths"].get(path).is_some();
            json!([has("api/v1"), has("apis/storage.k8s.io/v1")])
        }
        "meta/10 openapi2" => {
            json!([
                body["swagger"],
                !body["definitions"].as_object().unwrap().is_empty()
            ])
        }
        _ => body,
    }
}

fn several(value: &Value, pointers: &[&str]) -> Value {
    let at = |pointer: &&str| value.pointer(pointer).cloned().unwrap_or_default();
    pointers.iter().map(at).collect()
}

fn sorted(mut list: Value) -> Value {
    let items = list.as_array_mut().unwrap();
    items.sort_by_key(Value::to_string);
    list
}

/// Says where two bodies differ, placeholders aside.
pub(super) fn bodies(expected: &Value, got: &Value) -> Result<(), String> {
    let mut got = got.clone();
    let causes = expected["details"]["causes"].as_array();
    if causes.is_some_and(|causes| causes.len() > 1) {
        sort_errors(&mut got)?;
    }
    let mut places = Vec::new();
    differ("", expected, &got, &mut places);
    if places.is_empty() {
        Ok(())
    } else {
        Err(places.join("\n"))
    }
}

/// Puts the errors of a `Status` in the order of the recordings. The message must hold each cause.
fn sort_errors(status: &mut Value) -> Result<(), String> {
    let message = status["message"].as_str().unwrap_or_default().to_owned();
    let causes = status["details"]["causes"].as_array_mut();
    let causes = causes.ok_or("no causes in details")?;
    let worded = |cause: &Value| {
        let text = |field: &str| cause[field].as_str().unwrap_or_default();
        format!("{}: {}", text("field"), text("message"))
    };
    let list: Vec<String> = causes.iter().map(worded).collect();
    let list = format!("[{}]", list.join(", "));
    let head = message.strip_suffix(&list);
    let head = head.ok_or_else(|| format!("{message:?} does not end with its causes: {list}"))?;
    causes.sort_by_key(worded);
    let list: Vec<String> = causes.iter().map(worded).collect();
    status["message"] = json!(format!("{head}[{}]", list.join(ERRORS)));
    Ok(())
}

fn differ(at: &str, expected: &Value, got: &Value, places: &mut Vec<String>) {
    match (expected, got) {
        (Value::Object(a), Value::Object(b)) => {
            for (name, value) in a {
                let at = format!("{at}.{name}");
                differ(&at, value, b.get(name).unwrap_or(&Value::Null), places);
            }
            let more = b.iter().filter(|(name, _)| !a.contains_key(*name));
            places.extend(more.map(|(name, value)| format!("{at}.{name} is {value}, not there")));
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                differ(&format!("{at}[{i}]"), a, b, places);
            }
        }
        _ if stands_for(expected, got) => {}
        _ => places.push(format!("{at} is {got}, not {expected}")),
    }
}

/// Whether `got` is what `expected` says, or what its placeholders stand for.
fn stands_for(expected: &Value, got: &Value) -> bool {
    if expected == got {
        return true;
    }
    if expected == &json!("<mf>") {
        return got.as_array().is_some_and(|entries| !entries.is_empty());
    }
    let (Some(expected), Some(got)) = (expected.as_str(), got.as_str()) else {
        return false;
    };
    let mut pattern = regex::escape(expected);
    for (placeholder, stands_for) in [
        ("<uid>", UID),
        ("<rv>", "[1-9][0-9]*"),
        (
            "<ts>",
            "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z",
        ),
        ("<age>", "[0-9]+s"),
        ("<rnd>", "[a-z0-9]{5}"),
    ] {
        pattern = pattern.replace(placeholder, stands_for);
    }
    Regex::new(&format!("^{pattern}$")).unwrap().is_match(got)
}
