//! Drives whole requests through the API, over a store in a temporary folder.

mod applies;
mod bodies;
mod conversions;
mod crud;
mod definitions;
mod full_disk;
mod histories;
mod hook;
mod lists;
mod openapi;
mod policies;
mod protobuf;
mod quotas;
mod reflectors;
mod takeovers;
mod watches;
mod webhooks;

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use redb::StorageBackend;
use redb::backends::InMemoryBackend;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Access, Api};
use crate::auth::{Attributes, Authorizer, Decision, Granted, Rule, Tokens, User};
use crate::body::{self, Body};
use crate::store::{Bounds, Store};

struct Everybody;

impl Authorizer for Everybody {
    fn authorize(&self, user: &User, _what: &Attributes<'_>) -> Decision {
        match user.name.as_str() {
            "nobody" => Decision::Deny {
                reason: String::new(),
            },
            _ => Decision::Allow,
        }
    }

    fn why(&self, _user: &User, _what: &Attributes<'_>) -> String {
        String::new()
    }

    fn granted(&self, _user: &User, _namespace: &str) -> Granted {
        Granted {
            rules: Rule::everything().into(),
            problems: Vec::new(),
        }
    }

    fn rules_of(&self, _reference: &Value, _namespace: &str) -> Option<Vec<Rule>> {
        None
    }
}

/// An API over a store that lasts as long as the test.
struct World {
    api: Arc<Api>,
    place: Place,
}

/// What outlives a restart.
enum Place {
    Folder(TempDir),
    Memory(Arc<dyn StorageBackend>, Bounds),
}

impl Place {
    fn open(&self) -> Arc<Api> {
        let store = match self {
            Self::Folder(dir) => Store::open(dir.path()).unwrap(),
            Self::Memory(backend, bounds) => Store::open_backend(backend.clone(), *bounds).unwrap(),
        };
        let key = rcgen::KeyPair::generate().unwrap().serialize_der();
        let access = Access {
            authorizer: Arc::new(Everybody),
            tokens: Arc::new(Tokens::new(&key, store.clone()).unwrap()),
        };
        Api::over(store, access)
    }
}

/// What came back.
struct Answer {
    code: u16,
    warnings: Vec<String>,
    body: Value,
}

impl World {
    fn new() -> Self {
        Self::over(Place::Folder(tempfile::tempdir().unwrap()))
    }

    /// Over a file in memory, with watches that look back so far.
    fn in_memory(bounds: Bounds) -> Self {
        Self::over_backend(Arc::new(InMemoryBackend::new()), bounds)
    }

    fn over_backend(backend: Arc<dyn StorageBackend>, bounds: Bounds) -> Self {
        Self::over(Place::Memory(backend, bounds))
    }

    fn over(place: Place) -> Self {
        Self {
            api: place.open(),
            place,
        }
    }

    /// Stops and starts over the same bytes. Nobody may hold a watch still.
    fn restart(self) -> Self {
        let Self { api, place } = self;
        drop(api);
        Self::over(place)
    }

    async fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let user = User::authenticated("tester".into(), Vec::new());
        self.api
            .handle(&user, request.body(body::full(body)).unwrap())
            .await
    }

    async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let response = self.raw(method, path, headers, body).await;
        let warnings = response.headers().get_all("warning").iter();
        let warnings = warnings
            .map(|warning| warning.to_str().unwrap().to_owned())
            .collect();
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let text = || json!(String::from_utf8_lossy(&bytes));
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| text());
        Answer {
            code,
            warnings,
            body,
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "").await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask("POST", path, &[], body.to_string()).await
    }

    async fn put(&self, path: &str, body: Value) -> Answer {
        self.ask("PUT", path, &[], body.to_string()).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", path, &[], "").await
    }

    async fn merge(&self, path: &str, body: Value) -> Answer {
        let header = [("content-type", "application/merge-patch+json")];
        self.ask("PATCH", path, &header, body.to_string()).await
    }
}

impl Answer {
    fn expect(self, code: u16) -> Value {
        assert_eq!(self.code, code, "{:#}", self.body);
        self.body
    }
}

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "1"}})
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn at(name: &str) -> String {
    format!("{MAPS}/{name}")
}
