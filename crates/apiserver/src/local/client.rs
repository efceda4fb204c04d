//! Speaks JSON to the server from within: single calls and watches, for the controllers.
//!
//! Knows nothing of kinds; an answer that is no success is an error with the server's reason.

use std::fmt;

use bytes::{Buf as _, BytesMut};
use futures::stream::{self, Stream, StreamExt as _};
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;

use super::LocalService;
use crate::body::{self, Body};

const JSON: &str = "application/json";
/// As the controllers of every cluster call themselves.
const AGENT: &str = "kube-controller-manager";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// How much of the objects is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Whole,
    /// `PartialObjectMetadata`.
    Metadata,
    /// Aggregated discovery, of the paths that have it.
    Discovery,
}

impl Shape {
    /// What to accept for one object or document, for a list and for a watch alike.
    fn accept(self, many: bool) -> &'static str {
        match (self, many) {
            (Self::Whole, _) => JSON,
            (Self::Metadata, false) => {
                "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
            }
            (Self::Metadata, true) => {
                "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
            }
            (Self::Discovery, _) => {
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
            }
        }
    }
}

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    method: Method,
    path: String,
    content: &'static str,
    body: Option<Value>,
    accept: &'static str,
}

impl Call {
    fn new(method: Method, path: impl Into<String>, body: Option<Value>) -> Self {
        Self {
            method,
            path: path.into(),
            content: JSON,
            body,
            accept: JSON,
        }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path, None)
    }

    pub(crate) fn create(path: impl Into<String>, object: Value) -> Self {
        Self::new(Method::POST, path, Some(object))
    }

    pub(crate) fn replace(path: impl Into<String>, object: Value) -> Self {
        Self::new(Method::PUT, path, Some(object))
    }

    /// A JSON merge patch; it may carry the resourceVersion it depends on.
    pub(crate) fn merge(path: impl Into<String>, patch: Value) -> Self {
        Self {
            content: MERGE_PATCH,
            ..Self::new(Method::PATCH, path, Some(patch))
        }
    }

    pub(crate) fn delete(path: impl Into<String>, options: Value) -> Self {
        Self::new(Method::DELETE, path, Some(options))
    }

    /// Asks for another shape of what a list or a single document has.
    pub(crate) fn shaped(mut self, shape: Shape, many: bool) -> Self {
        self.accept = shape.accept(many);
        self
    }
}

impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.method, self.path)
    }
}

/// A call that did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("{code} {reason}: {message}")]
    Refused {
        code: u16,
        reason: String,
        message: String,
    },
    #[error("the answer is not what was asked for: {0}")]
    Unreadable(String),
}

impl CallError {
    pub(crate) fn is_not_found(&self) -> bool {
        self.code() == Some(StatusCode::NOT_FOUND)
    }

    /// The version asked for is no longer known.
    pub(crate) fn is_expired(&self) -> bool {
        self.code() == Some(StatusCode::GONE)
    }

    /// Somebody else wrote first, or what was to be made is there.
    pub(crate) fn is_conflict(&self) -> bool {
        self.code() == Some(StatusCode::CONFLICT)
    }

    /// Heals by itself once news arrive.
    pub(crate) fn is_passing(&self) -> bool {
        self.is_conflict() || self.is_not_found()
    }

    fn code(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { code, .. } => StatusCode::from_u16(*code).ok(),
            Self::Unreadable(_) => None,
        }
    }

    fn refused(code: StatusCode, status: &Value) -> Self {
        let text = |field: &str| status[field].as_str().unwrap_or_default().to_owned();
        Self::Refused {
            code: code.as_u16(),
            reason: text("reason"),
            message: text("message"),
        }
    }
}

/// What a watch tells.
#[derive(Debug)]
pub(crate) enum WatchEvent {
    Put(Value),
    Gone(Value),
    /// Nothing new up to this version.
    Bookmark(String),
}

/// Calls the server as one user.
#[derive(Debug, Clone)]
pub(crate) struct LocalClient {
    service: LocalService,
}

impl LocalClient {
    pub(crate) fn new(service: LocalService) -> Self {
        Self { service }
    }

    /// Makes one call; gives what the server answers.
    pub(crate) async fn call(&self, call: Call) -> Result<Value, CallError> {
        let response = self.send(call).await?;
        let code = response.status();
        let body = response.into_body().collect().await;
        let bytes = body
            .map_err(|error| CallError::Unreadable(error.to_string()))?
            .to_bytes();
        let answer = serde_json::from_slice(&bytes);
        if code.is_success() {
            answer.map_err(|error| CallError::Unreadable(error.to_string()))
        } else {
            Err(CallError::refused(code, &answer.unwrap_or_default()))
        }
    }

    /// Watches; `path` has the query in it.
    pub(crate) async fn watch(
        &self,
        path: &str,
        shape: Shape,
    ) -> Result<impl Stream<Item = Result<WatchEvent, CallError>> + Unpin + use<>, CallError> {
        let response = self.send(Call::get(path).shaped(shape, false)).await?;
        let code = response.status();
        if code.is_success() {
            return Ok(Box::pin(events(response.into_body())));
        }
        let body = response.into_body().collect().await;
        let bytes = body
            .map_err(|error| CallError::Unreadable(error.to_string()))?
            .to_bytes();
        let status = serde_json::from_slice(&bytes).unwrap_or_default();
        Err(CallError::refused(code, &status))
    }

    async fn send(&self, call: Call) -> Result<Response<Body>, CallError> {
        let body = match &call.body {
            Some(body) => body::full(body.to_string()),
            None => body::empty(),
        };
        let mut request = Request::builder()
            .method(call.method)
            .uri(call.path)
            .header(ACCEPT, call.accept)
            .header(USER_AGENT, AGENT);
        if call.body.is_some() {
            request = request.header(CONTENT_TYPE, call.content);
        }
        let request = request
            .body(body)
            .map_err(|error| CallError::Unreadable(error.to_string()))?;
        Ok(self.service.clone().answer(request).await)
    }
}

/// Splits a watch's body into its lines, one event each.
fn events(body: Body) -> impl Stream<Item = Result<WatchEvent, CallError>> {
    let state = (body.into_data_stream(), BytesMut::new());
    stream::unfold(state, |(mut chunks, mut buffer)| async move {
        loop {
            if let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line = buffer.split_to(end);
                buffer.advance(1);
                if line.is_empty() {
                    continue;
                }
                return Some((event(&line), (chunks, buffer)));
            }
            match chunks.next().await? {
                Ok(chunk) => buffer.extend_from_slice(&chunk),
                Err(error) => {
                    let error = CallError::Unreadable(error.to_string());
                    return Some((Err(error), (chunks, buffer)));
                }
            }
        }
    })
}

fn event(line: &[u8]) -> Result<WatchEvent, CallError> {
    let mut event: Value =
        serde_json::from_slice(line).map_err(|error| CallError::Unreadable(error.to_string()))?;
    let object = event["object"].take();
    match event["type"].as_str() {
        Some("ADDED" | "MODIFIED") => Ok(WatchEvent::Put(object)),
        Some("DELETED") => Ok(WatchEvent::Gone(object)),
        Some("BOOKMARK") => {
            let version = object["metadata"]["resourceVersion"].as_str();
            Ok(WatchEvent::Bookmark(version.unwrap_or_default().to_owned()))
        }
        _ => {
            let code = object["code"]
                .as_u64()
                .and_then(|code| u16::try_from(code).ok());
            let code = code.and_then(|code| StatusCode::from_u16(code).ok());
            let code = code.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Err(CallError::refused(code, &object))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Frame;
    use http_body_util::StreamBody;
    use serde_json::json;

    async fn read(chunks: &[&'static str]) -> Vec<String> {
        let frames = chunks.iter().map(|chunk| {
            Ok::<_, body::BoxError>(Frame::data(bytes::Bytes::from_static(chunk.as_bytes())))
        });
        let frames: Vec<_> = frames.collect();
        let body = body::boxed(StreamBody::new(stream::iter(frames)));
        let events = events(body).map(|event| match event {
            Ok(WatchEvent::Put(object)) => format!("put {}", object["a"]),
            Ok(WatchEvent::Gone(object)) => format!("gone {}", object["a"]),
            Ok(WatchEvent::Bookmark(version)) => format!("bookmark {version}"),
            Err(error) => error.to_string(),
        });
        events.collect().await
    }

    #[tokio::test]
    async fn events_are_read_wherever_the_chunks_are_cut() {
        let read = read(&[
            "{\"type\":\"ADDED\",\"object\":{\"a\":1}}\n{\"type\":\"MODI",
            "FIED\",\"object\":{\"a\":2}}\n\n",
            "{\"type\":\"DELETED\",\"object\":{\"a\":3}}\n",
            "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"7\"}}}\n",
            "{\"type\":\"ERROR\",\"object\":{\"code\":410,\"reason\":\"Expired\",\"message\":\"too old\"}}\n",
        ])
        .await;
        let expected = [
            "put 1",
            "put 2",
            "gone 3",
            "bookmark 7",
            "410 Expired: too old",
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn errors_are_told_apart_by_code() {
        let error = |code| CallError::refused(code, &json!({}));
        assert!(error(StatusCode::NOT_FOUND).is_not_found());
        assert!(error(StatusCode::GONE).is_expired());
        assert!(error(StatusCode::CONFLICT).is_conflict());
        assert!(!error(StatusCode::FORBIDDEN).is_passing());
    }
}
