//! Lists the columns of workloads, events, services, roles and policies.
//!
//! Does not know how a row is framed.

use jiff::Timestamp;
use serde_json::Value;

use super::age;
use super::columns::{
    AGE, Column, NAME, at, count, flag, int, items, joined, number, or, selector, shown, str_at,
    text, wide,
};

const CONTAINERS: Column = wide("Containers", |o, _| containers(o, "/name"));
const IMAGES: Column = wide("Images", |o, _| containers(o, "/image"));
const SELECTOR: Column = wide("Selector", |o, _| selector(o, "/spec/selector"));

fn containers(object: &Value, field: &str) -> Value {
    joined(
        items(object, "/spec/template/spec/containers")
            .iter()
            .map(|c| str_at(c, field)),
    )
    .into()
}

const DEPLOYMENT: &[Column] = &[
    NAME,
    text("Ready", |o, _| {
        format!(
            "{}/{}",
            int(o, "/status/readyReplicas"),
            int(o, "/spec/replicas")
        )
        .into()
    }),
    number("Up-to-date", |o, _| {
        int(o, "/status/updatedReplicas").into()
    }),
    number("Available", |o, _| {
        int(o, "/status/availableReplicas").into()
    }),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
const STATEFUL_SET: &[Column] = &[
    NAME,
    text("Ready", |o, _| {
        format!(
            "{}/{}",
            int(o, "/status/readyReplicas"),
            int(o, "/spec/replicas")
        )
        .into()
    }),
    AGE,
    CONTAINERS,
    IMAGES,
];
const REPLICA_SET: &[Column] = &[
    NAME,
    number("Desired", |o, _| int(o, "/spec/replicas").into()),
    number("Current", |o, _| int(o, "/status/replicas").into()),
    number("Ready", |o, _| int(o, "/status/readyReplicas").into()),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
const DAEMON_SET: &[Column] = &[
    NAME,
    number("Desired", |o, _| {
        int(o, "/status/desiredNumberScheduled").into()
    }),
    number("Current", |o, _| {
        int(o, "/status/currentNumberScheduled").into()
    }),
    number("Ready", |o, _| int(o, "/status/numberReady").into()),
    number("Up-to-date", |o, _| {
        int(o, "/status/updatedNumberScheduled").into()
    }),
    number("Available", |o, _| int(o, "/status/numberAvailable").into()),
    text("Node Selector", |o, _| {
        pairs(o, "/spec/template/spec/nodeSelector")
    }),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
const JOB: &[Column] = &[
    NAME,
    text("Status", |o, _| job_status(o).into()),
    text("Completions", |o, _| completions(o).into()),
    text("Duration", duration),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
const EVENT: &[Column] = &[
    text("Last Seen", |o, now| {
        seen(
            o,
            &[
                "/series/lastObservedTime",
                "/lastTimestamp",
                "/deprecatedLastTimestamp",
            ],
            now,
        )
    }),
    text("Type", |o, _| shown(o, "/type")),
    text("Reason", |o, _| shown(o, "/reason")),
    text("Object", |o, _| {
        let about = o
            .get("involvedObject")
            .or_else(|| o.get("regarding"))
            .unwrap_or(&Value::Null);
        let kind = str_at(about, "/kind").to_lowercase();
        match str_at(about, "/name") {
            "" => kind.into(),
            name => format!("{kind}/{name}").into(),
        }
    }),
    wide("Subobject", |o, _| {
        or(
            o,
            "/involvedObject/fieldPath",
            str_at(o, "/regarding/fieldPath"),
        )
    }),
    wide("Source", |o, _| source(o).into()),
    text("Message", |o, _| {
        or(o, "/message", str_at(o, "/note"))
            .as_str()
            .unwrap_or_default()
            .trim()
            .into()
    }),
    wide("First Seen", |o, now| {
        seen(o, &["/firstTimestamp", "/deprecatedFirstTimestamp"], now)
    }),
    wide("Count", |o, _| times(o).into()),
    wide("Name", |o, _| shown(o, "/metadata/name")),
];
const SERVICE: &[Column] = &[
    NAME,
    text("Type", |o, _| shown(o, "/spec/type")),
    text("Cluster-IP", |o, _| or(o, "/spec/clusterIP", "<none>")),
    text("External-IP", |o, _| external(o)),
    text("Port(s)", |o, _| ports(o)),
    AGE,
    wide("Selector", |o, _| pairs(o, "/spec/selector")),
];
const ENDPOINTS: &[Column] = &[
    NAME,
    text("Endpoints", |o, _| {
        let addresses = items(o, "/subsets")
            .iter()
            .flat_map(|s| items(s, "/addresses"))
            .map(|a| str_at(a, "/ip"));
        match joined(addresses).as_str() {
            "" => "<none>".into(),
            found => found.into(),
        }
    }),
    AGE,
];
const QUOTA: &[Column] = &[
    NAME,
    text("Request", |o, _| quota(o, false).into()),
    text("Limit", |o, _| quota(o, true).into()),
    AGE,
];
const BINDING: &[Column] = &[
    NAME,
    text("Role", |o, _| {
        format!(
            "{}/{}",
            str_at(o, "/roleRef/kind"),
            str_at(o, "/roleRef/name")
        )
        .into()
    }),
    AGE,
    wide("Users", |o, _| subjects(o, "User").into()),
    wide("Groups", |o, _| subjects(o, "Group").into()),
    wide("ServiceAccounts", |o, _| {
        subjects(o, "ServiceAccount").into()
    }),
];
const BUDGET: &[Column] = &[
    NAME,
    text("Min Available", |o, _| {
        plain(o, "/spec/minAvailable", "N/A").into()
    }),
    text("Max Unavailable", |o, _| {
        plain(o, "/spec/maxUnavailable", "N/A").into()
    }),
    number("Allowed Disruptions", |o, _| {
        int(o, "/status/disruptionsAllowed").into()
    }),
    AGE,
];
const NETWORK_POLICY: &[Column] = &[
    NAME,
    text("Pod-Selector", |o, _| selector(o, "/spec/podSelector")),
    AGE,
];
const PRIORITY: &[Column] = &[
    NAME,
    number("Value", |o, _| int(o, "/value").into()),
    flag("Global-Default", |o, _| {
        o.get("globalDefault")
            .and_then(Value::as_bool)
            .unwrap_or_default()
            .into()
    }),
    AGE,
    text("PreemptionPolicy", |o, _| {
        or(o, "/preemptionPolicy", "PreemptLowerPriority")
    }),
];
const POLICY: &[Column] = &[
    NAME,
    number("Validations", |o, _| count(o, "/spec/validations").into()),
    text("ParamKind", |o, _| {
        match str_at(o, "/spec/paramKind/kind") {
            "" => "<unset>".into(),
            kind => format!("{}/{kind}", str_at(o, "/spec/paramKind/apiVersion")).into(),
        }
    }),
    AGE,
];
const POLICY_BINDING: &[Column] = &[
    NAME,
    text("PolicyName", |o, _| shown(o, "/spec/policyName")),
    text("ParamRef", |o, _| match str_at(o, "/spec/paramRef/name") {
        "" => "<unset>".into(),
        name => name.into(),
    }),
    AGE,
];

pub(super) fn of(kind: &str) -> Option<&'static [Column]> {
    Some(match kind {
        "Deployment" => DEPLOYMENT,
        "StatefulSet" => STATEFUL_SET,
        "ReplicaSet" => REPLICA_SET,
        "DaemonSet" => DAEMON_SET,
        "Job" => JOB,
        "Event" => EVENT,
        "Service" => SERVICE,
        "Endpoints" => ENDPOINTS,
        "ResourceQuota" => QUOTA,
        "RoleBinding" | "ClusterRoleBinding" => BINDING,
        "PodDisruptionBudget" => BUDGET,
        "NetworkPolicy" => NETWORK_POLICY,
        "PriorityClass" => PRIORITY,
        "ValidatingAdmissionPolicy" => POLICY,
        "ValidatingAdmissionPolicyBinding" => POLICY_BINDING,
        _ => return None,
    })
}

fn plain(object: &Value, pointer: &str, absent: &str) -> String {
    match at(object, pointer) {
        Value::Null => absent.into(),
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn pairs(object: &Value, pointer: &str) -> Value {
    let members = object.pointer(pointer).and_then(Value::as_object);
    let each = members
        .into_iter()
        .flatten()
        .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default()));
    let each: Vec<String> = each.collect();
    if each.is_empty() {
        "<none>".into()
    } else {
        each.join(",").into()
    }
}

fn job_status(job: &Value) -> &'static str {
    let is = |kind: &str| {
        let mut conditions = items(job, "/status/conditions").iter();
        conditions.any(|c| str_at(c, "/type") == kind && str_at(c, "/status") == "True")
    };
    if is("Complete") {
        "Complete"
    } else if is("Failed") {
        "Failed"
    } else if job.pointer("/metadata/deletionTimestamp").is_some() {
        "Terminating"
    } else if is("Suspended") {
        "Suspended"
    } else if is("FailureTarget") {
        "FailureTarget"
    } else if is("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    }
}

fn completions(job: &Value) -> String {
    let done = int(job, "/status/succeeded");
    match (
        at(job, "/spec/completions").as_i64(),
        int(job, "/spec/parallelism"),
    ) {
        (Some(wanted), _) => format!("{done}/{wanted}"),
        (None, many) if many > 1 => format!("{done}/1 of {many}"),
        (None, _) => format!("{done}/1"),
    }
}

fn duration(job: &Value, now: Timestamp) -> Value {
    let time = |pointer: &str| str_at(job, pointer).parse::<Timestamp>().ok();
    let Some(started) = time("/status/startTime") else {
        return "".into();
    };
    let ended = time("/status/completionTime").unwrap_or(now);
    age::span(ended.duration_since(started).as_secs().max(0)).into()
}

fn seen(event: &Value, pointers: &[&str], now: Timestamp) -> Value {
    let found = pointers
        .iter()
        .chain(&["/eventTime"])
        .find(|p| !str_at(event, p).is_empty());
    found.map_or_else(
        || "<unknown>".into(),
        |pointer| age::of(event, pointer, now),
    )
}

fn source(event: &Value) -> String {
    let old = [
        str_at(event, "/source/component"),
        str_at(event, "/deprecatedSource/component"),
    ];
    let new = [
        str_at(event, "/reportingComponent"),
        str_at(event, "/reportingController"),
    ];
    let component = old
        .into_iter()
        .chain(new)
        .find(|c| !c.is_empty())
        .unwrap_or_default();
    match str_at(event, "/source/host") {
        "" => component.to_owned(),
        host => format!("{component}, {host}"),
    }
}

fn times(event: &Value) -> i64 {
    let counts = ["/series/count", "/count", "/deprecatedCount"].map(|p| int(event, p));
    counts.into_iter().find(|n| *n > 0).unwrap_or(1)
}

fn external(service: &Value) -> Value {
    let given = items(service, "/spec/externalIPs")
        .iter()
        .filter_map(Value::as_str);
    let ingress = items(service, "/status/loadBalancer/ingress")
        .iter()
        .map(|i| match str_at(i, "/ip") {
            "" => str_at(i, "/hostname"),
            ip => ip,
        });
    let all = joined(given.chain(ingress));
    match (str_at(service, "/spec/type"), all.as_str()) {
        ("ExternalName", _) => shown(service, "/spec/externalName"),
        ("LoadBalancer", "") => "<pending>".into(),
        (_, "") => "<none>".into(),
        (_, found) => found.into(),
    }
}

fn ports(service: &Value) -> Value {
    let each = items(service, "/spec/ports").iter().map(|port| {
        let protocol = or(port, "/protocol", "TCP");
        let protocol = protocol.as_str().unwrap_or_default();
        match int(port, "/nodePort") {
            0 => format!("{}/{protocol}", int(port, "/port")),
            node => format!("{}:{node}/{protocol}", int(port, "/port")),
        }
    });
    let each: Vec<String> = each.collect();
    if each.is_empty() {
        "<none>".into()
    } else {
        each.join(",").into()
    }
}

fn quota(quota: &Value, limits: bool) -> String {
    let hard = quota.pointer("/status/hard").and_then(Value::as_object);
    let each = hard
        .into_iter()
        .flatten()
        .filter(|(name, _)| name.starts_with("limits.") == limits)
        .map(|(name, hard)| {
            let used = quota
                .pointer("/status/used")
                .and_then(|u| u.get(name))
                .and_then(Value::as_str)
                .unwrap_or("0");
            format!("{name}: {used}/{}", hard.as_str().unwrap_or_default())
        });
    each.collect::<Vec<_>>().join(", ")
}

fn subjects(binding: &Value, kind: &str) -> String {
    let of_kind = items(binding, "/subjects")
        .iter()
        .filter(|s| str_at(s, "/kind") == kind);
    let each = of_kind.map(|s| match kind {
        "ServiceAccount" => format!("{}/{}", str_at(s, "/namespace"), str_at(s, "/name")),
        _ => str_at(s, "/name").to_owned(),
    });
    each.collect::<Vec<_>>().join(", ")
}
