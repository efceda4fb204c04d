//! Counts requests to the API server and notes when it last said something on a watch.
//!
//! Stands between a role and its client; changes nothing but the user agent and, where a rate is
//! given, the moment a request leaves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::header::{HeaderValue, USER_AGENT};
use http::{Method, Request, Uri};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use prometheus::{GaugeVec, IntCounterVec, Opts, Registry};
use tokio::time::Instant;

use super::{MetricsError, registered};
use crate::limit::Bucket;

/// Resources that are counted by name; whatever else is asked for counts as `other`.
const RESOURCES: [&str; 18] = [
    "volumesnapshots",
    "volumesnapshotcontents",
    "volumesnapshotclasses",
    "volumegroupsnapshots",
    "volumegroupsnapshotcontents",
    "volumegroupsnapshotclasses",
    "persistentvolumeclaims",
    "persistentvolumes",
    "storageclasses",
    "csinodes",
    "csistoragecapacities",
    "volumeattachments",
    "nodes",
    "secrets",
    "events",
    "leases",
    "referencegrants",
    "volumeattributesclasses",
];

/// What one request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked {
    verb: &'static str,
    resource: &'static str,
    /// Of the status subresource.
    status: bool,
}

impl Asked {
    fn of(method: &Method, uri: &Uri) -> Self {
        let mut parts = uri.path().split('/').filter(|it| !it.is_empty());
        let skip = match parts.next() {
            Some("api") => 1,
            Some("apis") => 2,
            _ => usize::MAX,
        };
        let mut parts = parts.skip(skip).peekable();
        if parts.peek() == Some(&"namespaces") {
            parts.next();
            parts.next();
        }
        let resource = parts.next().unwrap_or_default();
        let named = parts.next().is_some();
        let status = parts.next() == Some("status");
        let known = RESOURCES.into_iter().find(|it| *it == resource);
        let watch = uri
            .query()
            .into_iter()
            .flat_map(|it| it.split('&'))
            .any(|it| it == "watch=true" || it == "watch=1");
        let verb = match (method.as_str(), named) {
            ("GET", _) if watch => "watch",
            ("GET", true) => "get",
            ("GET", false) => "list",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", true) => "delete",
            ("DELETE", false) => "deletecollection",
            _ => "other",
        };
        Self {
            verb,
            resource: known.unwrap_or("other"),
            status,
        }
    }

    fn label(self) -> String {
        let part = if self.status { "/status" } else { "" };
        format!("{}{part}", self.resource)
    }
}

/// `tintype_api_requests_total` and `tintype_cache_age_seconds`. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct RequestMetrics {
    requests: IntCounterVec,
    ages: GaugeVec,
    /// When the server last said something about a resource that is watched.
    news: Arc<Mutex<HashMap<&'static str, Instant>>>,
}

impl RequestMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let requests = Opts::new(
            "tintype_api_requests_total",
            "Requests to the API server, by verb, resource and HTTP status.",
        );
        let ages = Opts::new(
            "tintype_cache_age_seconds",
            "Time since the API server last said anything on the watch that fills this cache, bookmarks included.",
        );
        let labels = ["verb", "resource", "code"];
        Ok(Self {
            requests: registered(registry, IntCounterVec::new(requests, &labels))?,
            ages: registered(registry, GaugeVec::new(ages, &["resource"]))?,
            news: Arc::default(),
        })
    }

    pub(super) fn refresh(&self) {
        let news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        for (resource, at) in news.iter() {
            self.ages
                .with_label_values(&[*resource])
                .set(at.elapsed().as_secs_f64());
        }
    }

    fn answered(&self, asked: Asked, code: &str) {
        self.requests
            .with_label_values(&[asked.verb, &*asked.label(), code])
            .inc();
    }

    fn heard(&self, resource: &'static str) {
        self.news
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(resource, Instant::now());
    }
}

/// A client whose requests say who sends them, are counted, and keep to the rate if there is one.
pub(crate) fn dress(
    client: &Client,
    agent: &HeaderValue,
    metrics: &RequestMetrics,
    rate: Option<Arc<Bucket>>,
) -> Client {
    let namespace = client.default_namespace().to_owned();
    let (inner, agent, metrics) = (client.clone(), agent.clone(), metrics.clone());
    let service = tower::service_fn(move |mut request: Request<Body>| {
        let (inner, metrics, rate) = (inner.clone(), metrics.clone(), rate.clone());
        request.headers_mut().insert(USER_AGENT, agent.clone());
        let asked = Asked::of(request.method(), request.uri());
        async move {
            if let Some(rate) = rate {
                tokio::time::sleep(rate.reserve(Instant::now())).await;
            }
            let answer = inner.send(request).await;
            match &answer {
                Ok(answer) => metrics.answered(asked, answer.status().as_str()),
                Err(_) => metrics.answered(asked, "none"),
            }
            let answer = answer?;
            let fills_a_cache = asked.verb == "watch" && answer.status().is_success();
            if fills_a_cache {
                metrics.heard(asked.resource);
            }
            Ok::<_, kube::Error>(answer.map(|body| {
                body.map_frame(move |frame| {
                    if fills_a_cache {
                        metrics.heard(asked.resource);
                    }
                    frame
                })
            }))
        }
    });
    Client::new(service, namespace)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Response;
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;
    use crate::Metrics;
    use crate::limit::Rate;

    #[test]
    fn requests_are_named_as_rights_name_them() {
        for (method, uri, verb, resource) in [
            (
                "GET",
                "/apis/snapshot.storage.k8s.io/v1/volumesnapshots?limit=500",
                "list",
                "volumesnapshots",
            ),
            (
                "GET",
                "/apis/snapshot.storage.k8s.io/v1/volumesnapshots?&watch=true&allowWatchBookmarks=true",
                "watch",
                "volumesnapshots",
            ),
            (
                "PATCH",
                "/apis/snapshot.storage.k8s.io/v1/namespaces/a/volumesnapshots/b/status",
                "patch",
                "volumesnapshots/status",
            ),
            ("POST", "/api/v1/namespaces/a/events", "create", "events"),
            ("GET", "/api/v1/namespaces/a/secrets/b", "get", "secrets"),
            (
                "PUT",
                "/apis/coordination.k8s.io/v1/namespaces/a/leases/b",
                "update",
                "leases",
            ),
            (
                "DELETE",
                "/apis/snapshot.storage.k8s.io/v1/volumesnapshotcontents/c",
                "delete",
                "volumesnapshotcontents",
            ),
            (
                "GET",
                "/api/v1/persistentvolumes/watch=true",
                "get",
                "persistentvolumes",
            ),
            ("GET", "/api/v1/namespaces/a", "list", "other"),
            ("GET", "/version", "list", "other"),
            ("GET", "/", "list", "other"),
        ] {
            let asked = Asked::of(&method.parse().unwrap(), &uri.parse().unwrap());
            assert_eq!(
                (asked.verb, &*asked.label()),
                (verb, resource),
                "{method} {uri}"
            );
        }
    }

    /// Answers a watch with a line every ten seconds, everything else with an empty object.
    fn server(seen: Arc<Mutex<Vec<Request<Body>>>>) -> Client {
        let service = tower::service_fn(move |request: Request<Body>| {
            let watch = request.uri().query().is_some();
            seen.lock().unwrap().push(request);
            async move {
                let first = if watch { "\n" } else { "{}" };
                let lines = futures::stream::unfold(0, move |count| async move {
                    match count {
                        0 => {}
                        _ if watch => tokio::time::sleep(Duration::from_secs(10)).await,
                        _ => return None,
                    }
                    let frame = Frame::data(bytes::Bytes::from(first));
                    Some((Ok::<_, std::io::Error>(frame), count + 1))
                });
                Ok::<_, std::io::Error>(Response::new(StreamBody::new(Box::pin(lines))))
            }
        });
        Client::new(service, "default")
    }

    #[tokio::test(start_paused = true)]
    async fn requests_are_counted_and_say_who_sends_them() {
        let metrics = Metrics::new().unwrap();
        let seen = Arc::default();
        let agent = HeaderValue::from_static("tintype/snapshot-controller");
        let client = dress(&server(Arc::clone(&seen)), &agent, metrics.requests(), None);
        for _ in 0..2 {
            let request = Request::get("/api/v1/namespaces/a/secrets/b").body(Vec::new());
            let _: serde_json::Value = client.request(request.unwrap()).await.unwrap();
        }
        let text = metrics.text().unwrap();
        let line = "tintype_api_requests_total{code=\"200\",resource=\"secrets\",verb=\"get\"} 2";
        assert!(text.contains(line), "{text}");
        for request in seen.lock().unwrap().iter() {
            assert_eq!(request.headers()[USER_AGENT], "tintype/snapshot-controller");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_cache_is_as_old_as_the_last_word_on_its_watch() {
        let metrics = Metrics::new().unwrap();
        let agent = HeaderValue::from_static("tintype/test");
        let client = dress(&server(Arc::default()), &agent, metrics.requests(), None);
        let request = Request::get("/api/v1/persistentvolumes?watch=true").body(Body::empty());
        let mut body = client.send(request.unwrap()).await.unwrap().into_body();
        body.frame().await.unwrap().unwrap();
        let age = |seconds: u32| {
            let line =
                format!("tintype_cache_age_seconds{{resource=\"persistentvolumes\"}} {seconds}");
            let text = metrics.text().unwrap();
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        };
        tokio::time::advance(Duration::from_secs(4)).await;
        age(4);
        body.frame().await.unwrap().unwrap();
        age(0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_kept_after_the_burst() {
        let metrics = Metrics::new().unwrap();
        let agent = HeaderValue::from_static("tintype/test");
        let rate = Rate {
            per_second: 5.0,
            burst: 10,
        };
        let bucket = Some(Arc::new(Bucket::new(rate)));
        let client = dress(&server(Arc::default()), &agent, metrics.requests(), bucket);
        let start = Instant::now();
        let request = || async {
            let request = Request::get("/api/v1/namespaces/a/secrets/b").body(Vec::new());
            client
                .request::<serde_json::Value>(request.unwrap())
                .await
                .unwrap();
        };
        futures::future::join_all((0..30).map(|_| request())).await;
        // Ten at once, the other twenty at five a second.
        assert_eq!(start.elapsed().as_secs(), 4);
    }
}
