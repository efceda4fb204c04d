//! Turns what a request came to into an HTTP response: JSON, text, stream; warnings; gzip.
//!
//! Does not decide what the answer is.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, VARY, WARNING};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde_json::Value;

use crate::body::{self, Body};
use crate::schema::error::go_quote;
use crate::status::Failure;

/// Below this, compressing costs more than it saves; Kubernetes has the same bound.
const GZIP_FROM: usize = 128 * 1024;
const JSON: &str = "application/json";

pub(crate) struct Reply {
    pub code: StatusCode,
    content_type: &'static str,
    content: Content,
    pub warnings: Vec<String>,
    /// Beyond those every answer has, or instead of them.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

enum Content {
    Whole(Bytes),
    Stream(Body),
}

impl Reply {
    pub(crate) fn bytes(code: StatusCode, content_type: &'static str, bytes: Bytes) -> Self {
        Self {
            code,
            content_type,
            content: Content::Whole(bytes),
            warnings: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// JSON that is encoded already.
    pub(crate) fn raw(code: StatusCode, json: Bytes) -> Self {
        Self::bytes(code, JSON, json)
    }

    pub(crate) fn json(code: StatusCode, value: &Value) -> Self {
        Self::raw(code, value.to_string().into())
    }

    pub(crate) fn text(code: StatusCode, text: impl Into<String>) -> Self {
        Self::bytes(code, "text/plain; charset=utf-8", text.into().into())
    }

    pub(crate) fn stream(content_type: &'static str, body: Body) -> Self {
        let content = Content::Stream(body);
        Self {
            code: StatusCode::OK,
            content_type,
            content,
            warnings: Vec::new(),
            headers: Vec::new(),
        }
    }

    pub(crate) fn with_warnings(mut self, warnings: Vec<String>) -> Self {
        self.warnings = warnings;
        self
    }

    pub(crate) fn into_response(self, headers: &HeaderMap) -> Response<Body> {
        let mut compressed = false;
        let content = match self.content {
            Content::Whole(bytes) if bytes.len() >= GZIP_FROM && takes_gzip(headers) => {
                match gzip(&bytes) {
                    Ok(smaller) => {
                        compressed = true;
                        body::full(smaller)
                    }
                    Err(_) => body::full(bytes),
                }
            }
            Content::Whole(bytes) => body::full(bytes),
            Content::Stream(stream) => stream,
        };
        let mut response = Response::new(content);
        *response.status_mut() = self.code;
        let out = response.headers_mut();
        out.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        out.insert(
            http::header::CACHE_CONTROL,
            HeaderValue::from_static("no-cache, private"),
        );
        if compressed {
            out.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            out.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        for warning in &self.warnings {
            if let Ok(value) = HeaderValue::try_from(format!("299 - {}", go_quote(warning))) {
                out.append(WARNING, value);
            }
        }
        for (name, value) in self.headers {
            out.insert(name, value);
        }
        response
    }
}

impl From<Failure> for Reply {
    fn from(failure: Failure) -> Self {
        if failure.plain {
            return Self::text(failure.code, failure.message());
        }
        Self::json(failure.code, &failure.status()).with_warnings(failure.warnings)
    }
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT_ENCODING).iter().any(|header| {
        header
            .to_str()
            .unwrap_or_default()
            .split(',')
            .any(|coding| {
                let mut parts = coding.split(';').map(str::trim);
                parts.next() == Some("gzip") && !parts.any(|part| part.replace(' ', "") == "q=0")
            })
    })
}

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn answer(len: usize, accept: &str) -> (Option<HeaderValue>, usize) {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, accept.parse().unwrap());
        let reply = Reply::raw(StatusCode::OK, vec![b'x'; len].into());
        let response = reply.into_response(&headers);
        let coding = response.headers().get(CONTENT_ENCODING).cloned();
        (
            coding,
            response
                .into_body()
                .collect()
                .await
                .unwrap()
                .to_bytes()
                .len(),
        )
    }

    #[tokio::test]
    async fn compresses_large_answers_for_those_who_ask() {
        let (coding, len) = answer(200_000, "deflate, gzip").await;
        assert_eq!(coding.unwrap(), "gzip");
        assert!(len < 2000);
        assert_eq!(answer(1000, "gzip").await, (None, 1000));
        assert_eq!(answer(200_000, "gzip;q=0").await, (None, 200_000));
    }
}
