//! Counts requests under the names Kubernetes gives them.
//!
//! Does not know what a request did.

use http::StatusCode;
use http::request::Parts;
use prometheus::{Encoder, IntCounterVec, Opts, Registry, TextEncoder};

use crate::rest::{Query, RequestInfo};

const LABELS: [&str; 9] = [
    "verb",
    "dry_run",
    "group",
    "version",
    "resource",
    "subresource",
    "scope",
    "component",
    "code",
];

pub(crate) struct Metrics {
    registry: Registry,
    requests: Option<IntCounterVec>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let registry = Registry::new();
        let options = Opts::new(
            "apiserver_request_total",
            "Counter of apiserver requests broken out for each verb, dry run value, group, \
             version, resource, scope, component, and HTTP response code.",
        );
        let requests = IntCounterVec::new(options, &LABELS)
            .and_then(|counter| {
                registry.register(Box::new(counter.clone()))?;
                Ok(counter)
            })
            .inspect_err(|error| tracing::error!(%error, "requests are not counted"))
            .ok();
        Self { registry, requests }
    }

    pub(crate) fn count(&self, info: &RequestInfo, query: &Query, parts: &Parts, code: StatusCode) {
        let Some(requests) = &self.requests else {
            return;
        };
        let dry_run = if query.all("dryRun").any(|value| value == "All") {
            "All"
        } else {
            ""
        };
        let values = [
            verb(info, parts),
            dry_run,
            &info.group,
            &info.version,
            &info.resource,
            &info.subresource,
            scope(info),
            "apiserver",
            code.as_str(),
        ];
        requests.with_label_values(&values).inc();
    }

    /// All metrics as text.
    pub(crate) fn text(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

fn verb<'a>(info: &RequestInfo, parts: &'a Parts) -> &'a str {
    let apply = || {
        let media = parts.headers.get(http::header::CONTENT_TYPE);
        media.is_some_and(|media| media.as_bytes().starts_with(b"application/apply-patch"))
    };
    match info.verb {
        _ if !info.is_resource() => parts.method.as_str(),
        "list" => "LIST",
        "watch" => "WATCH",
        "deletecollection" => "DELETECOLLECTION",
        "patch" if apply() => "APPLY",
        _ => parts.method.as_str(),
    }
}

fn scope(info: &RequestInfo) -> &'static str {
    match info {
        info if !info.is_resource() => "",
        info if info.verb == "create" => "resource",
        info if !info.name.is_empty() && !matches!(info.verb, "list" | "watch") => "resource",
        info if !info.namespace.is_empty() => "namespace",
        _ => "cluster",
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn names_requests_as_kubernetes_does() {
        let metrics = Metrics::new();
        let count = |method: &str, path: &str| {
            let (parts, ()) = Request::builder()
                .method(method)
                .uri(path)
                .body(())
                .unwrap()
                .into_parts();
            let query = Query::parse(parts.uri.query().unwrap_or_default());
            let info = RequestInfo::parse(&parts.method, parts.uri.path(), &query);
            metrics.count(&info, &query, &parts, StatusCode::OK);
        };
        count("GET", "/api/v1/namespaces/n/pods?watch=true");
        count("POST", "/apis/a.b/v1/things?dryRun=All");
        count("GET", "/version");
        let text = String::from_utf8(metrics.text().unwrap()).unwrap();
        for line in [
            r#"{code="200",component="apiserver",dry_run="",group="",resource="pods",scope="namespace",subresource="",verb="WATCH",version="v1"} 1"#,
            r#"{code="200",component="apiserver",dry_run="All",group="a.b",resource="things",scope="resource",subresource="",verb="POST",version="v1"} 1"#,
            r#"{code="200",component="apiserver",dry_run="",group="",resource="",scope="",subresource="",verb="GET",version=""} 1"#,
        ] {
            assert!(
                text.contains(&format!("apiserver_request_total{line}")),
                "{line}\n{text}"
            );
        }
    }
}
