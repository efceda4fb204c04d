//! Chooses the form of an answer from the Accept headers: plain, Table or metadata only.
//!
//! Does not make the answer.

use http::HeaderMap;
use http::header::ACCEPT;

use crate::status::Failure;

/// The media types this server answers with.
const ACCEPTED: &str = "application/json";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    Table,
    /// PartialObjectMetadata, or its list.
    Metadata,
    /// Aggregated discovery.
    GroupDiscovery,
}

/// Picks the first form in the client's order that this server has.
pub(crate) fn negotiate(headers: &HeaderMap, offered: &[Form]) -> Result<Form, Failure> {
    let mut any = false;
    for header in headers.get_all(ACCEPT) {
        for clause in header.to_str().unwrap_or_default().split(',') {
            any = true;
            if let Some(form) = form_of(clause).filter(|form| offered.contains(form)) {
                return Ok(form);
            }
        }
    }
    if any {
        Err(Failure::not_acceptable(ACCEPTED))
    } else {
        Ok(Form::Plain)
    }
}

fn form_of(clause: &str) -> Option<Form> {
    let mut parts = clause.split(';').map(str::trim);
    let media = parts.next()?;
    if !matches!(media, "application/json" | "application/*" | "*/*" | "") {
        return None;
    }
    let (mut kind, mut group, mut version) = ("", "", "");
    for part in parts {
        match part.split_once('=') {
            Some(("as", value)) => kind = value,
            Some(("g", value)) => group = value,
            Some(("v", value)) => version = value,
            _ => {}
        }
    }
    match (kind, group, version) {
        ("", ..) => Some(Form::Plain),
        ("Table", "meta.k8s.io", "v1") => Some(Form::Table),
        ("PartialObjectMetadata" | "PartialObjectMetadataList", "meta.k8s.io", "v1") => {
            Some(Form::Metadata)
        }
        ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2") => Some(Form::GroupDiscovery),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: &str, expected: Option<Form>) {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        let offered = [Form::Plain, Form::Table, Form::Metadata];
        assert_eq!(negotiate(&headers, &offered).ok(), expected, "{accept}");
    }

    #[test]
    fn takes_the_first_form_it_has() {
        check("application/json", Some(Form::Plain));
        check("*/*", Some(Form::Plain));
        check(
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
            Some(Form::Table),
        );
        check(
            "application/json;as=Table;v=v1beta1;g=meta.k8s.io, application/json",
            Some(Form::Plain),
        );
        check(
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,\
             application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json",
            Some(Form::Metadata),
        );
        check(
            "application/vnd.kubernetes.protobuf,application/json",
            Some(Form::Plain),
        );
        check("application/vnd.kubernetes.protobuf", None);
        check("text/html", None);
    }
}
