//! Answers reviews: what a request asks, and what is said to it. Pure, over plain JSON.
//!
//! Does not know how a review comes here, nor whom to ask about other objects.

mod admission;
mod conversion;

use serde_json::Value;

pub(crate) use admission::{Admission, Set};
pub(crate) use conversion::converted;

/// A request that is no review that can be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadReview {
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    #[error("the body is not YAML: {0}")]
    NotYaml(String),
    #[error("kind: {found}: post a {wanted} here")]
    Kind { found: Value, wanted: &'static str },
    #[error("apiVersion: {found}: only {wanted} is answered here")]
    Version { found: Value, wanted: &'static str },
    #[error("request: not set: a {0} carries the question in it")]
    NoRequest(&'static str),
    #[error("request.{field}: {found}: must be {wanted}")]
    Field {
        field: &'static str,
        found: Value,
        wanted: &'static str,
    },
}

/// The question of a review of this kind, in one of these versions.
fn request<'a>(
    review: &'a Value,
    kind: &'static str,
    (versions, named): (&[&str], &'static str),
) -> Result<&'a Value, BadReview> {
    if review["kind"] != kind {
        return Err(BadReview::Kind {
            found: review["kind"].clone(),
            wanted: kind,
        });
    }
    let version = review["apiVersion"].as_str().unwrap_or_default();
    if !versions.contains(&version) {
        return Err(BadReview::Version {
            found: review["apiVersion"].clone(),
            wanted: named,
        });
    }
    let request = &review["request"];
    if !request.is_object() {
        return Err(BadReview::NoRequest(kind));
    }
    if request["uid"].as_str().is_none_or(str::is_empty) {
        return Err(field(request, "uid", "the uid of the request"));
    }
    Ok(request)
}

fn field(request: &Value, field: &'static str, wanted: &'static str) -> BadReview {
    BadReview::Field {
        field,
        found: request[field].clone(),
        wanted,
    }
}
