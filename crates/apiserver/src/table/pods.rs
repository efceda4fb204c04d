//! Prints pods and nodes, whose state is scattered over their status.
//!
//! Does not know other kinds.

use jiff::Timestamp;
use serde_json::Value;

use super::age;
use super::columns::{AGE, Column, NAME, int, items, or, shown, str_at, text, wide};

pub(super) const POD: &[Column] = &[
    NAME,
    text("Ready", |o, _| {
        let statuses = items(o, "/status/containerStatuses");
        let ready = statuses
            .iter()
            .filter(|s| s.get("ready").and_then(Value::as_bool) == Some(true))
            .count();
        format!("{ready}/{}", items(o, "/spec/containers").len()).into()
    }),
    text("Status", |o, _| status(o).into()),
    text("Restarts", restarts),
    AGE,
    wide("IP", |o, _| or(o, "/status/podIP", "<none>")),
    wide("Node", |o, _| or(o, "/spec/nodeName", "<none>")),
    wide("Nominated Node", |o, _| {
        or(o, "/status/nominatedNodeName", "<none>")
    }),
    wide("Readiness Gates", |o, _| readiness_gates(o)),
];

pub(super) const NODE: &[Column] = &[
    NAME,
    text("Status", |o, _| node_status(o).into()),
    text("Roles", |o, _| roles(o).into()),
    AGE,
    text("Version", |o, _| {
        shown(o, "/status/nodeInfo/kubeletVersion")
    }),
    wide("Internal-IP", |o, _| address(o, "InternalIP")),
    wide("External-IP", |o, _| address(o, "ExternalIP")),
    wide("OS-Image", |o, _| {
        or(o, "/status/nodeInfo/osImage", "<unknown>")
    }),
    wide("Kernel-Version", |o, _| {
        or(o, "/status/nodeInfo/kernelVersion", "<unknown>")
    }),
    wide("Container-Runtime", |o, _| {
        or(o, "/status/nodeInfo/containerRuntimeVersion", "<unknown>")
    }),
];

fn status(pod: &Value) -> String {
    let mut reason = match str_at(pod, "/status/reason") {
        "" => str_at(pod, "/status/phase").to_owned(),
        given => given.to_owned(),
    };
    if let Some(starting) = initializing(pod) {
        reason = starting;
    } else {
        let mut running = false;
        for container in items(pod, "/status/containerStatuses").iter().rev() {
            if let Some(state) = state(container) {
                reason = state;
            } else if container.get("ready").and_then(Value::as_bool) == Some(true) {
                running |= container.pointer("/state/running").is_some();
            }
        }
        if reason == "Completed" && running {
            reason = if condition(pod, "Ready") == "True" {
                "Running"
            } else {
                "NotReady"
            }
            .into();
        }
    }
    if pod.pointer("/metadata/deletionTimestamp").is_none() {
        return reason;
    }
    match (str_at(pod, "/status/reason"), str_at(pod, "/status/phase")) {
        ("NodeLost", _) => "Unknown".into(),
        (_, "Failed" | "Succeeded") => reason,
        _ => "Terminating".into(),
    }
}

/// Why a container is not running, if it is not.
fn state(container: &Value) -> Option<String> {
    let waiting = str_at(container, "/state/waiting/reason");
    if !waiting.is_empty() {
        return Some(waiting.into());
    }
    let terminated = container.pointer("/state/terminated")?;
    Some(
        match (str_at(terminated, "/reason"), int(terminated, "/signal")) {
            ("", 0) => format!("ExitCode:{}", int(terminated, "/exitCode")),
            ("", signal) => format!("Signal:{signal}"),
            (reason, _) => reason.to_owned(),
        },
    )
}

/// `Init:1/2` and the like while the init containers are at work.
fn initializing(pod: &Value) -> Option<String> {
    let all = items(pod, "/spec/initContainers").len();
    for (i, container) in items(pod, "/status/initContainerStatuses")
        .iter()
        .enumerate()
    {
        let done = container.pointer("/state/terminated").is_some()
            && int(container, "/state/terminated/exitCode") == 0;
        let sidecar = container.get("started").and_then(Value::as_bool) == Some(true)
            && container.pointer("/state/running").is_some();
        if done || sidecar {
            continue;
        }
        return Some(match state(container) {
            Some(reason) if reason != "PodInitializing" => format!("Init:{reason}"),
            _ => format!("Init:{i}/{all}"),
        });
    }
    None
}

fn condition<'a>(object: &'a Value, kind: &str) -> &'a str {
    let found = items(object, "/status/conditions")
        .iter()
        .find(|c| str_at(c, "/type") == kind);
    found.map_or("", |c| str_at(c, "/status"))
}

fn restarts(pod: &Value, now: Timestamp) -> Value {
    let statuses = items(pod, "/status/containerStatuses");
    let total: i64 = statuses.iter().map(|s| int(s, "/restartCount")).sum();
    let last = statuses
        .iter()
        .filter_map(|s| {
            str_at(s, "/lastState/terminated/finishedAt")
                .parse::<Timestamp>()
                .ok()
        })
        .max();
    match last {
        Some(last) if total > 0 => format!("{total} ({} ago)", age::since(last, now)).into(),
        _ => total.to_string().into(),
    }
}

fn readiness_gates(pod: &Value) -> Value {
    let gates = items(pod, "/spec/readinessGates");
    if gates.is_empty() {
        return "<none>".into();
    }
    let open = gates
        .iter()
        .filter(|g| condition(pod, str_at(g, "/conditionType")) == "True")
        .count();
    format!("{open}/{}", gates.len()).into()
}

fn node_status(node: &Value) -> String {
    let mut words = vec![match condition(node, "Ready") {
        "True" => "Ready",
        "" => "Unknown",
        _ => "NotReady",
    }];
    if node.pointer("/spec/unschedulable").and_then(Value::as_bool) == Some(true) {
        words.push("SchedulingDisabled");
    }
    words.join(",")
}

fn roles(node: &Value) -> String {
    let labels = node.pointer("/metadata/labels").and_then(Value::as_object);
    let mut roles: Vec<&str> = labels
        .into_iter()
        .flatten()
        .filter_map(
            |(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
                Some(role) => Some(role).filter(|r| !r.is_empty()),
                None if key == "kubernetes.io/role" => value.as_str(),
                None => None,
            },
        )
        .collect();
    roles.sort_unstable();
    if roles.is_empty() {
        "<none>".into()
    } else {
        roles.join(",")
    }
}

fn address(node: &Value, kind: &str) -> Value {
    let found = items(node, "/status/addresses")
        .iter()
        .find(|a| str_at(a, "/type") == kind);
    found.map_or_else(|| "<none>".into(), |a| shown(a, "/address"))
}
