//! Serves the OpenAPI documents: what is asked for, in the form and the freshness the client wants.
//!
//! Does not make the documents.

use http::header::{ACCEPT, CACHE_CONTROL, ETAG, EXPIRES, IF_NONE_MATCH, VARY};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use crate::openapi;
use crate::registry::{Catalog, bucket, crd};
use crate::rest::{Api, Reply};
use crate::status::Failure;

/// What clients ask for; the `@` is no legal part of a media type, so the answer has its own spelling.
const ASKED: [&str; 2] = [
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
];
const PROTOBUF: &str = ASKED[1];

/// `/openapi/…`; `rest` is the path after it.
pub(super) fn serve(
    api: &Api,
    catalog: &Catalog,
    parts: &Parts,
    rest: &[&str],
) -> Result<Reply, Failure> {
    let definitions = definitions(api, catalog)?;
    let crds: Vec<&Value> = definitions.iter().collect();
    match rest {
        ["v2"] => {
            let protobuf = wants_protobuf(parts);
            let form = if protobuf { "-pb" } else { "" };
            let tag = format!("{}{form}", openapi::v2_hash(&crds));
            if let Some(fresh) = still_fresh(parts, &tag) {
                return Ok(fresh);
            }
            let mut reply = if protobuf {
                Reply::bytes(StatusCode::OK, PROTOBUF, openapi::v2_protobuf(&crds).into())
            } else {
                Reply::raw(StatusCode::OK, openapi::v2_json(&crds).into())
            };
            reply
                .headers
                .push((VARY, HeaderValue::from_static("Accept, Accept-Encoding")));
            Ok(tagged(reply, &tag))
        }
        // A real server lets the type of this one document be guessed from its text.
        ["v3"] => Ok(Reply::bytes(
            StatusCode::OK,
            "text/plain; charset=utf-8",
            openapi::v3_index(&crds).into(),
        )),
        ["v3", place @ ..] => {
            let place = place.join("/");
            let tag = openapi::v3_hash(&place, &crds).ok_or_else(Failure::no_such_page)?;
            if let Some(fresh) = still_fresh(parts, &tag) {
                return Ok(fresh);
            }
            let document = openapi::v3_document(&place, &crds).ok_or_else(Failure::no_such_page)?;
            let mut reply = tagged(Reply::raw(StatusCode::OK, document.into()), &tag);
            if asked_by_hash(parts, &tag) {
                // This address will never say anything else.
                reply.headers.push((
                    CACHE_CONTROL,
                    HeaderValue::from_static("public, immutable, max-age=31536000"),
                ));
                reply.headers.push((
                    EXPIRES,
                    HeaderValue::from_static("Fri, 31 Dec 2100 23:59:59 GMT"),
                ));
            }
            Ok(reply)
        }
        _ => Err(Failure::no_such_page()),
    }
}

/// The definitions whose resources are served.
fn definitions(api: &Api, catalog: &Catalog) -> Result<Vec<Value>, Failure> {
    let mut found = Vec::new();
    for object in api.store.list(&bucket(crd::GROUP, crd::PLURAL), "").objects {
        let definition: Value = serde_json::from_slice(object.json()).map_err(Failure::internal)?;
        let text = |pointer: &str| {
            definition
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        if catalog
            .resource(text("/spec/group"), text("/spec/names/plural"))
            .is_some()
        {
            found.push(definition);
        }
    }
    Ok(found)
}

fn wants_protobuf(parts: &Parts) -> bool {
    parts.headers.get_all(ACCEPT).iter().any(|header| {
        header
            .to_str()
            .is_ok_and(|text| ASKED.iter().any(|asked| text.contains(asked)))
    })
}

fn asked_by_hash(parts: &Parts, tag: &str) -> bool {
    let query = parts.uri.query().unwrap_or_default();
    query
        .split('&')
        .any(|pair| pair.strip_prefix("hash=") == Some(tag))
}

fn still_fresh(parts: &Parts, tag: &str) -> Option<Reply> {
    let known = parts.headers.get(IF_NONE_MATCH)?.to_str().ok()?;
    let same = known
        .split(',')
        .any(|one| one.trim().trim_start_matches("W/").trim_matches('"') == tag);
    same.then(|| {
        tagged(
            Reply::raw(StatusCode::NOT_MODIFIED, bytes::Bytes::new()),
            tag,
        )
    })
}

fn tagged(mut reply: Reply, tag: &str) -> Reply {
    let header: Option<(HeaderName, HeaderValue)> = HeaderValue::try_from(format!("\"{tag}\""))
        .ok()
        .map(|value| (ETAG, value));
    reply.headers.extend(header);
    reply
}
