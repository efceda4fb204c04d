//! Serves what is no resource: discovery, version, health, metrics, OpenAPI.
//!
//! Does not know single resources; the catalog does.

use std::fmt::Write as _;

use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::auth::ISSUER;
use crate::registry::{Catalog, Resource, Target, api_resources, subresource_shape};
use crate::rest::{Api, Form, Query, Reply, RequestInfo, negotiate};
use crate::status::Failure;

mod openapi;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const KEYS: &str = "application/jwk-set+json";
/// The release that this server behaves like.
const MAJOR: &str = "1";
const MINOR: &str = "36";
const GIT_VERSION: &str = "v1.36.2+tintype";

pub(crate) fn serve(
    api: &Api,
    catalog: &Catalog,
    parts: &Parts,
    info: &RequestInfo,
) -> Result<Reply, Failure> {
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return Err(Failure::no_such_page());
    }
    let path: Vec<&str> = info
        .path
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    match path.as_slice() {
        ["api"] => either(parts, legacy_versions, || aggregated(catalog, true)),
        ["apis"] => either(parts, || group_list(catalog), || aggregated(catalog, false)),
        ["api", version] => resource_list(catalog, "", version),
        ["apis", group] => one_group(catalog, group),
        ["apis", group, version] => resource_list(catalog, group, version),
        ["version"] => Ok(Reply::json(StatusCode::OK, &version())),
        ["healthz" | "livez" | "readyz", ..] => health(api, parts, &path),
        ["metrics"] => metrics(api),
        ["openapi", rest @ ..] => openapi::serve(api, catalog, parts, rest),
        [".well-known", "openid-configuration"] => Ok(Reply::json(StatusCode::OK, &issuer())),
        ["openid", "v1", "jwks"] => {
            let keys = api.access.tokens.keys().to_string();
            Ok(Reply::bytes(StatusCode::OK, KEYS, keys.into()))
        }
        [] => Ok(Reply::json(StatusCode::OK, &paths(catalog))),
        _ => Err(Failure::no_such_page()),
    }
}

/// `/readyz`, `/readyz?verbose` and `/readyz/ping`.
fn health(api: &Api, parts: &Parts, path: &[&str]) -> Result<Reply, Failure> {
    let checks = [("ping", true), ("store", api.store.is_writable())];
    let asked = match path {
        [_] => checks.to_vec(),
        [_, name] => checks
            .into_iter()
            .filter(|(check, _)| check == name)
            .collect(),
        _ => Vec::new(),
    };
    if asked.is_empty() {
        return Err(Failure::no_such_page());
    }
    let well = asked.iter().all(|(_, well)| *well);
    let verbose = Query::parse(parts.uri.query().unwrap_or_default()).flag("verbose");
    if well && !verbose {
        return Ok(Reply::text(StatusCode::OK, "ok"));
    }
    let mut text: String = asked
        .iter()
        .map(|(check, well)| {
            if *well {
                format!("[+]{check} ok\n")
            } else {
                format!("[-]{check} failed\n")
            }
        })
        .collect();
    let (code, outcome) = if well {
        (StatusCode::OK, "passed")
    } else {
        (StatusCode::INTERNAL_SERVER_ERROR, "failed")
    };
    let _ = writeln!(text, "{} check {outcome}", path[0]);
    Ok(Reply::text(code, text))
}

fn either(
    parts: &Parts,
    plain: impl FnOnce() -> Value,
    whole: impl FnOnce() -> Value,
) -> Result<Reply, Failure> {
    Ok(
        match negotiate(&parts.headers, &[Form::Plain, Form::GroupDiscovery])? {
            Form::GroupDiscovery => {
                Reply::bytes(StatusCode::OK, AGGREGATED, whole().to_string().into())
            }
            Form::Plain | Form::Table | Form::Metadata => Reply::json(StatusCode::OK, &plain()),
        },
    )
}

/// Where others find the keys that service account tokens are signed with (OpenID Connect Discovery).
fn issuer() -> Value {
    json!({
        "issuer": ISSUER,
        "jwks_uri": format!("{ISSUER}/openid/v1/jwks"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    })
}

fn legacy_versions() -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
}

fn group_list(catalog: &Catalog) -> Value {
    let groups: Vec<Value> = catalog
        .groups()
        .filter(|(group, _)| !group.is_empty())
        .map(|(group, versions)| api_group(group, versions))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

fn api_group(group: &str, versions: &[String]) -> Value {
    let entry = |version: &String| json!({"groupVersion": format!("{group}/{version}"), "version": version});
    json!({
        "name": group,
        "versions": versions.iter().map(entry).collect::<Vec<Value>>(),
        "preferredVersion": versions.first().map(entry),
    })
}

fn one_group(catalog: &Catalog, group: &str) -> Result<Reply, Failure> {
    let versions = catalog.versions(group).filter(|_| !group.is_empty());
    let mut entry = api_group(group, versions.ok_or_else(Failure::no_such_page)?);
    entry["kind"] = json!("APIGroup");
    entry["apiVersion"] = json!("v1");
    Ok(Reply::json(StatusCode::OK, &entry))
}

fn resource_list(catalog: &Catalog, group: &str, version: &str) -> Result<Reply, Failure> {
    let served = catalog.versions(group).unwrap_or_default();
    if !served.iter().any(|have| have == version) {
        return Err(Failure::no_such_page());
    }
    let resources: Vec<Value> = catalog
        .at(group, version)
        .iter()
        .flat_map(api_resources)
        .collect();
    let group_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    let list = json!({"kind": "APIResourceList", "apiVersion": "v1",
        "groupVersion": group_version, "resources": resources});
    Ok(Reply::json(StatusCode::OK, &list))
}

/// All groups with all their resources in one document.
fn aggregated(catalog: &Catalog, core: bool) -> Value {
    let items: Vec<Value> = catalog
        .groups()
        .filter(|(group, _)| group.is_empty() == core)
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| {
                    let resources: Vec<Value> =
                        catalog.at(group, version).iter().map(discovered).collect();
                    json!({"version": version, "resources": resources, "freshness": "Current"})
                })
                .collect();
            json!({"metadata": {"name": group, "creationTimestamp": null}, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {}, "items": items})
}

fn discovered(target: &Target) -> Value {
    let resource = &target.resource;
    let mut entry = json!({
        "resource": resource.plural,
        "responseKind": {"group": resource.group, "version": target.version.name,
            "kind": resource.kind},
        "scope": scope(resource),
        "singularResource": resource.singular,
        "verbs": resource.verbs,
    });
    if !resource.short_names.is_empty() {
        entry["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        entry["categories"] = json!(resource.categories);
    }
    let subresources: Vec<Value> = target
        .version
        .subresources
        .iter()
        .map(|subresource| {
            let (kind, group, version, verbs) = subresource_shape(resource, subresource);
            let (group, version) = match version {
                "" => (resource.group.as_str(), target.version.name.as_str()),
                version => (group, version),
            };
            json!({"subresource": subresource, "verbs": verbs,
                "responseKind": {"group": group, "version": version, "kind": kind}})
        })
        .collect();
    if !subresources.is_empty() {
        entry["subresources"] = json!(subresources);
    }
    entry
}

fn scope(resource: &Resource) -> &'static str {
    if resource.namespaced {
        "Namespaced"
    } else {
        "Cluster"
    }
}

fn version() -> Value {
    json!({
        "major": MAJOR, "minor": MINOR,
        "emulationMajor": MAJOR, "emulationMinor": MINOR,
        "minCompatibilityMajor": MAJOR, "minCompatibilityMinor": "35",
        "gitVersion": GIT_VERSION, "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, architecture()),
    })
}

/// As Go names it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn metrics(api: &Api) -> Result<Reply, Failure> {
    const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
    let text = api.metrics.text().map_err(Failure::internal)?;
    Ok(Reply::bytes(StatusCode::OK, FORMAT, text.into()))
}

fn paths(catalog: &Catalog) -> Value {
    let mut paths = vec!["/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned()];
    for (group, versions) in catalog.groups().filter(|(group, _)| !group.is_empty()) {
        paths.push(format!("/apis/{group}"));
        paths.extend(
            versions
                .iter()
                .map(|version| format!("/apis/{group}/{version}")),
        );
    }
    let others = [
        "/.well-known/openid-configuration",
        "/healthz",
        "/livez",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/openid/v1/jwks",
        "/readyz",
        "/version",
    ];
    paths.extend(others.map(str::to_owned));
    json!({"paths": paths})
}
