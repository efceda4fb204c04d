//! Puts the roles and bindings in place that a server starts with, and mends those that were changed.
//!
//! Does so through the API like anybody else, as a user who may do everything. Knows nothing of what they allow.

use std::collections::HashMap;

use futures::future::join_all;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{Method, Request};
use http_body_util::BodyExt as _;
use serde_json::Value;

use crate::auth::{User, bootstrap};
use crate::body;
use crate::rest::{Api, OURSELVES};

const PATH: &str = "/apis/rbac.authorization.k8s.io/v1";
/// An administrator switches the mending off by setting this to `false`.
const MEND: &str = "rbac.authorization.kubernetes.io/autoupdate";

pub(super) async fn ensure(api: &Api) {
    let mut present = HashMap::new();
    for plural in ["clusterroles", "clusterrolebindings"] {
        let list = request(api, Method::GET, format!("{PATH}/{plural}"), None).await;
        for object in list["items"].as_array().into_iter().flatten() {
            present.insert((plural, name(object).to_owned()), object.clone());
        }
    }
    // All at once, so that they share one write to the disk.
    let writes = bootstrap::objects().into_iter().map(|(plural, object)| {
        let present = present.get(&(plural, name(&object).to_owned()));
        put(api, plural, object, present)
    });
    join_all(writes).await;
}

async fn put(api: &Api, plural: &str, object: Value, present: Option<&Value>) {
    let path = format!("{PATH}/{plural}");
    let answer = match present {
        None => request(api, Method::POST, path, Some(object)).await,
        Some(present) if !differs(present, &object) => return,
        Some(present) => {
            let path = format!("{path}/{}", name(present));
            request(api, Method::PUT, path, Some(object)).await
        }
    };
    if answer["kind"] == "Status" {
        tracing::error!(%answer, plural, "cannot put a role in place");
    }
}

fn differs(present: &Value, wanted: &Value) -> bool {
    let mended = present["metadata"]["annotations"][MEND] != "false";
    let differ = |field: &&str| present.get(*field) != wanted.get(*field);
    // What a role gathers is written by a controller.
    let fields: &[&str] = match wanted.get("aggregationRule") {
        Some(_) => &["aggregationRule"],
        None => &["rules", "roleRef", "subjects"],
    };
    let labels = wanted["metadata"]["labels"].as_object();
    let unlabelled = labels
        .into_iter()
        .flatten()
        .any(|(key, value)| present["metadata"]["labels"].get(key) != Some(value));
    mended && (unlabelled || fields.iter().any(differ))
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// The answer's document; null if there was none.
async fn request(api: &Api, method: Method, path: String, object: Option<Value>) -> Value {
    let user = User::authenticated(
        "system:apiserver".to_owned(),
        vec!["system:masters".to_owned()],
    );
    let body = object.map_or_else(body::empty, |object| body::full(object.to_string()));
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, OURSELVES)
        .body(body);
    let Ok(request) = request else {
        return Value::Null;
    };
    let answer = api.handle(&user, request).await.into_body().collect().await;
    let bytes = answer
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}
