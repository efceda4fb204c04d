//! Takes in a request's body: bounded, and decoded by its Content-Type.
//!
//! Does not know which kind the body should hold.

use bytes::Bytes;
use futures::FutureExt as _;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::decode::{self, Decoded};
use crate::body::Body;
use crate::protobuf;
use crate::status::Failure;

/// The most a request may carry, as in Kubernetes.
pub(crate) const LIMIT: usize = 3 << 20;
const ACCEPTED: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

pub(crate) async fn read(body: &mut Body) -> Result<Bytes, Failure> {
    match Limited::new(body, LIMIT).collect().boxed().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Failure::too_large(format!(
            "Request entity too large: limit is {LIMIT}"
        ))),
        Err(error) => Err(Failure::bad_request(format!(
            "the body of the request broke off: {error}"
        ))),
    }
}

/// Reads what an answer did not need, so that the connection can carry the next request.
pub(crate) async fn drain(body: &mut Body) {
    let mut left = LIMIT;
    while !body.is_end_stream()
        && let Some(Ok(frame)) = body.frame().await
    {
        let read = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(read) {
            Some(rest) => left = rest,
            // Closing the connection is cheaper.
            None => return,
        }
    }
}

/// The media type of the body, without its parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> &str {
    let header = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    header
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
}

/// Decodes an object. `kind` is the expected one, for messages.
pub(crate) fn decode(headers: &HeaderMap, bytes: &[u8], kind: &str) -> Result<Decoded, Failure> {
    let unrecognized = |problem: String| {
        Failure::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): couldn't get \
             version/kind; {problem} ({})",
            shown(bytes)
        ))
    };
    match media_type(headers) {
        "" | "application/json" => decode::json(bytes)
            .map_err(|error| unrecognized(format!("json parse error: {}", wording(&error)))),
        "application/yaml" => decode::yaml(bytes)
            .map_err(|error| unrecognized(format!("error converting YAML to JSON: {error}"))),
        "application/vnd.kubernetes.protobuf" => match protobuf::decode(bytes) {
            Ok(value) => Ok(Decoded {
                value,
                duplicates: Vec::new(),
            }),
            Err(error) => Err(Failure::bad_request(format!(
                "the object provided is unrecognized (must be of type {kind}): {error}"
            ))),
        },
        _ => Err(Failure::unsupported_media_type(ACCEPTED)),
    }
}

fn wording(error: &serde_json::Error) -> String {
    if error.is_eof() {
        "unexpected end of JSON input".into()
    } else {
        error.to_string()
    }
}

/// The beginning of a body, for a message.
fn shown(bytes: &[u8]) -> String {
    const SHOWN: usize = 300;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    if bytes.len() > SHOWN {
        format!("{text}…")
    } else {
        text.into_owned()
    }
}
