//! Writes a line for each request: who asked for what, by which program, from where, and with what outcome.
//!
//! Lines are events of `audit.k8s.io/v1` at the level Metadata: no bodies, so no Secrets. A line is in the file before
//! its answer leaves. Does not decide who may do what.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use http::Response;
use http::header::USER_AGENT;
use http::request::Parts;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::auth::User;
use crate::rest::{Query, RequestInfo};

/// Where a request came from; requests of this process have none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source(pub IpAddr);

#[derive(Debug)]
pub(crate) struct Audit {
    file: Mutex<File>,
}

/// What was noted about a request while it was served, by key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Annotations(pub BTreeMap<String, String>);

/// A request as it came.
pub(crate) struct Received {
    event: Value,
    verb: &'static str,
}

impl Audit {
    /// Appends to the file, which is made for its owner's eyes only if it is not there.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)?;
        Ok(Self {
            file: Mutex::new(file),
        })
    }

    /// Tells the outcome: of a watch, that it began.
    pub(crate) fn answered<T>(&self, received: Received, who: &Who<'_>, response: &Response<T>) {
        let Received { mut event, verb } = received;
        let stage = if verb == "watch" {
            "ResponseStarted"
        } else {
            "ResponseComplete"
        };
        event["stage"] = json!(stage);
        event["stageTimestamp"] = json!(micros(Timestamp::now()));
        event["responseStatus"] = json!({"metadata": {}, "code": response.status().as_u16()});
        let noted = response.extensions().get::<Annotations>();
        if let Some(Annotations(noted)) = noted.filter(|noted| !noted.0.is_empty()) {
            event["annotations"] = json!(noted);
        }
        event["user"] = who.user.map_or_else(|| json!({}), person);
        if let Some(other) = who.impersonated {
            event["impersonatedUser"] = person(other);
        }
        let mut line = event.to_string();
        line.push('\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(line.as_bytes()) {
            tracing::error!(%error, "the audit log lacks a request: {line}");
        }
    }
}

/// Who made a request, as far as that was established.
#[derive(Debug, Default)]
pub(crate) struct Who<'a> {
    pub user: Option<&'a User>,
    /// As whom they made it.
    pub impersonated: Option<&'a User>,
}

impl Received {
    pub(crate) fn new(parts: &Parts) -> Self {
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let info = RequestInfo::parse(&parts.method, parts.uri.path(), &query);
        let target = parts.uri.path_and_query();
        let mut event = json!({
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": "Metadata",
            "auditID": uuid::Uuid::new_v4().to_string(),
            "requestURI": target.map_or("/", |target| target.as_str()),
            "verb": info.verb,
            "requestReceivedTimestamp": micros(Timestamp::now()),
        });
        if let Some(Source(address)) = parts.extensions.get() {
            event["sourceIPs"] = json!([address]);
        }
        let agent = parts.headers.get(USER_AGENT);
        if let Some(agent) = agent.and_then(|agent| agent.to_str().ok()) {
            event["userAgent"] = json!(agent);
        }
        if info.is_resource() {
            event["objectRef"] = reference(&info);
        }
        Self {
            event,
            verb: info.verb,
        }
    }
}

fn reference(info: &RequestInfo) -> Value {
    let fields = [
        ("resource", &info.resource),
        ("namespace", &info.namespace),
        ("name", &info.name),
        ("apiGroup", &info.group),
        ("apiVersion", &info.version),
        ("subresource", &info.subresource),
    ];
    let given = fields.into_iter().filter(|(_, value)| !value.is_empty());
    given
        .map(|(field, value)| (field.to_owned(), json!(value)))
        .collect()
}

fn person(user: &User) -> Value {
    let mut person = json!({"username": user.name, "groups": user.groups});
    if !user.uid.is_empty() {
        person["uid"] = json!(user.uid);
    }
    if !user.extra.is_empty() {
        person["extra"] = json!(user.extra);
    }
    person
}

fn micros(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}
