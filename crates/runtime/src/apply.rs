//! Sends one write to the API server; the only verb here that changes anything.

use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};
use std::sync::Arc;
use tintype_core::Seen;
use tintype_core::object::{Key, Version};
use tintype_core::write::{Kind, Part, Verb, Write};
use tracing::{debug, warn};

use crate::{Cache, Recorder, Row};

/// Why a write did not happen. Five, because callers do five different things.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The object is not what was seen: news is on its way.
    #[error("{0} has changed meanwhile")]
    Conflict(String),
    /// The object is gone.
    #[error("{0} is gone")]
    Gone(String),
    /// The server will not have it.
    #[error("the API server refuses to {what}: {why}")]
    Denied {
        /// Verb and object.
        what: String,
        /// The server's words.
        why: String,
    },
    /// The server asks to be left alone for a while.
    #[error("the API server is busy")]
    Busy(#[source] Box<kube::Error>),
    /// It may or may not have happened.
    #[error("cannot reach the API server to {what}")]
    Transport {
        /// Verb and object.
        what: String,
        /// What went wrong.
        #[source]
        source: Box<kube::Error>,
    },
}

/// What the server answered.
#[derive(Debug, Clone)]
pub enum Reply {
    /// The object as it is now.
    Object(Value),
    /// There is no such object.
    Absent,
}

/// Puts a reply into the cache and returns what is known of the object now: the reply, or news
/// that is newer still.
pub fn fold_reply<R: Row>(cache: &Cache<R>, key: &Key, reply: Reply) -> Seen<Arc<R>> {
    match reply {
        Reply::Absent => {
            cache.absent(key);
            Seen::Absent
        }
        Reply::Object(object) => match R::read_reply(object) {
            Ok(row) => {
                cache.offer(row);
                cache.get(key)
            }
            Err(error) => {
                warn!(%key, %error, "a reply of unexpected shape");
                Seen::NotCached
            }
        },
    }
}

/// Sends writes and tells events.
#[derive(Clone)]
pub struct Applier {
    client: Client,
    recorder: Recorder,
}

impl std::fmt::Debug for Applier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Applier").finish_non_exhaustive()
    }
}

impl Applier {
    /// An applier on this client.
    pub fn new(client: Client, recorder: Recorder) -> Self {
        Self { client, recorder }
    }

    /// The recorder, for events that go with no write.
    pub const fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Sends the write; its event is told once it has succeeded.
    ///
    /// `document` is the object as cached, where the caller keeps it; only
    /// [`Verb::ReplaceFinalizers`] needs it and reads it if there is none.
    pub async fn apply(&self, write: Write, document: Option<&str>) -> Result<Reply, ApplyError> {
        let Write {
            kind,
            key,
            verb,
            event,
        } = write;
        let reply = match verb {
            Verb::Get => self.get(kind, &key).await?,
            Verb::Create(body) => {
                self.send(kind, &key, Method::POST, Part::Object, Some(&body))
                    .await?
            }
            Verb::Patch { part, body } => {
                self.send(kind, &key, Method::PATCH, part, Some(&body))
                    .await?
            }
            Verb::Delete { uid, version } => {
                let options = json!({
                    "apiVersion": "v1",
                    "kind": "DeleteOptions",
                    "preconditions": {"uid": uid.to_string(), "resourceVersion": version.to_string()},
                });
                self.delete(kind, &key, &options).await?
            }
            Verb::ReplaceFinalizers {
                version,
                finalizers,
            } => {
                let mut body = self.document(kind, &key, document, &version).await?;
                body["metadata"]["finalizers"] = finalizers.into();
                self.send(kind, &key, Method::PUT, Part::Object, Some(&body))
                    .await?
            }
            Verb::ReplaceMeta {
                version,
                finalizers,
                annotations,
            } => {
                let mut body = self.document(kind, &key, document, &version).await?;
                body["metadata"]["finalizers"] = finalizers.into();
                annotate(&mut body, annotations);
                self.send(kind, &key, Method::PUT, Part::Object, Some(&body))
                    .await?
            }
        };
        if let Some(event) = event {
            self.recorder.tell(event);
        }
        Ok(reply)
    }

    /// The whole object, of exactly this version.
    async fn document(
        &self,
        kind: Kind,
        key: &Key,
        cached: Option<&str>,
        version: &Version,
    ) -> Result<Value, ApplyError> {
        let document = match cached.and_then(|it| serde_json::from_str(it).ok()) {
            Some(document) => document,
            None => match self.get(kind, key).await? {
                Reply::Object(object) => object,
                Reply::Absent => {
                    return Err(ApplyError::Gone(format!("{} {key}", kind_name(kind))));
                }
            },
        };
        // A document of another version is another object than was decided on.
        if document["metadata"]["resourceVersion"].as_str() != Some(&version.to_string()) {
            return Err(ApplyError::Conflict(format!("{} {key}", kind_name(kind))));
        }
        Ok(document)
    }

    async fn get(&self, kind: Kind, key: &Key) -> Result<Reply, ApplyError> {
        match self.send(kind, key, Method::GET, Part::Object, None).await {
            Err(ApplyError::Gone(_)) => Ok(Reply::Absent),
            other => other,
        }
    }

    async fn delete(&self, kind: Kind, key: &Key, options: &Value) -> Result<Reply, ApplyError> {
        match self
            .send(kind, key, Method::DELETE, Part::Object, Some(options))
            .await
        {
            Err(ApplyError::Gone(_)) => Ok(Reply::Absent),
            // A server answers with the object while finalizers hold it, else with a status.
            Ok(Reply::Object(object)) if object["kind"] == "Status" => Ok(Reply::Absent),
            Ok(Reply::Object(object)) if object["metadata"]["deletionTimestamp"].is_null() => {
                Ok(Reply::Absent)
            }
            other => other,
        }
    }

    async fn send(
        &self,
        kind: Kind,
        key: &Key,
        method: Method,
        part: Part,
        body: Option<&Value>,
    ) -> Result<Reply, ApplyError> {
        let what = || format!("{method} {} {key}", kind_name(kind));
        let mut path = collection(kind, key);
        if method != Method::POST {
            path = format!("{path}/{}", key.name);
        }
        if part == Part::Status {
            path.push_str("/status");
        }
        let content_type = if method == Method::PATCH {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        let request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header(http::header::CONTENT_TYPE, content_type)
            .body(
                body.map(|it| it.to_string().into_bytes())
                    .unwrap_or_default(),
            )
            .map_err(|error| ApplyError::Denied {
                what: what(),
                why: error.to_string(),
            })?;
        let result: Result<Value, kube::Error> = self.client.request(request).await;
        debug!(request = %what(), ok = result.is_ok(), "sent");
        result
            .map(Reply::Object)
            .map_err(|error| classify(error, kind, key, what()))
    }
}

fn annotate(body: &mut Value, annotations: Vec<(&'static str, Option<String>)>) {
    for (name, value) in annotations {
        match value {
            Some(value) => body["metadata"]["annotations"][name] = value.into(),
            None => {
                if let Some(all) = body["metadata"]["annotations"].as_object_mut() {
                    all.remove(name);
                }
            }
        }
    }
}

/// The server answers a stale `resourceVersion` with 409, a failed JSON-patch test with 422.
fn classify(error: kube::Error, kind: Kind, key: &Key, what: String) -> ApplyError {
    let object = || format!("{} {key}", kind_name(kind));
    let kube::Error::Api(status) = &error else {
        return ApplyError::Transport {
            what,
            source: Box::new(error),
        };
    };
    match (status.code, status.reason.as_str()) {
        (409, _) => ApplyError::Conflict(object()),
        (404 | 410, _) => ApplyError::Gone(object()),
        (429 | 503, _) => ApplyError::Busy(Box::new(error)),
        (400..=499, _) => ApplyError::Denied {
            what,
            why: status.message.clone(),
        },
        (_, _) => ApplyError::Transport {
            what,
            source: Box::new(error),
        },
    }
}

/// The kind as `kubectl` prints it.
pub(crate) const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Snapshot => "VolumeSnapshot",
        Kind::Content => "VolumeSnapshotContent",
        Kind::Group => "VolumeGroupSnapshot",
        Kind::GroupContent => "VolumeGroupSnapshotContent",
        Kind::Claim => "PersistentVolumeClaim",
        Kind::Volume => "PersistentVolume",
        Kind::AttributesClass => "VolumeAttributesClass",
    }
}

/// The kind's `apiVersion`.
pub(crate) const fn api_version(kind: Kind) -> &'static str {
    match kind {
        Kind::Snapshot | Kind::Content => tintype_api::API_VERSION,
        Kind::Group | Kind::GroupContent => tintype_api::GROUP_API_VERSION,
        Kind::Claim | Kind::Volume => "v1",
        Kind::AttributesClass => "storage.k8s.io/v1",
    }
}

fn collection(kind: Kind, key: &Key) -> String {
    let namespace = &key.namespace;
    match kind {
        Kind::Snapshot => format!(
            "/apis/{}/namespaces/{namespace}/volumesnapshots",
            tintype_api::API_VERSION
        ),
        Kind::Content => format!("/apis/{}/volumesnapshotcontents", tintype_api::API_VERSION),
        Kind::Group => format!(
            "/apis/{}/namespaces/{namespace}/volumegroupsnapshots",
            tintype_api::GROUP_API_VERSION
        ),
        Kind::GroupContent => format!(
            "/apis/{}/volumegroupsnapshotcontents",
            tintype_api::GROUP_API_VERSION
        ),
        Kind::Claim => format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims"),
        Kind::Volume => "/api/v1/persistentvolumes".to_owned(),
        Kind::AttributesClass => "/apis/storage.k8s.io/v1/volumeattributesclasses".to_owned(),
    }
}
