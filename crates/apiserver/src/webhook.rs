//! Calls webhooks: finds the server that a `clientConfig` names, posts a review to it and takes the answer.
//!
//! TLS only, with the authority in `caBundle`: the server trusts nobody of its own accord. Does not know what a review says.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::body::BoxError;
use crate::schema::error::FieldError;
use crate::store::Store;

/// As much as a list of large objects may become.
const LARGEST_ANSWER: usize = 64 << 20;

/// Where a webhook listens, and how it proves who it is.
#[derive(Debug)]
struct Endpoint {
    /// As it is told in errors.
    url: Uri,
    name: String,
    address: String,
    authority: Vec<u8>,
}

/// Posts `review` and gives back what was answered. The error says what was posted where, and why it failed.
pub(crate) async fn call(
    store: &Store,
    config: &Value,
    review: &Value,
    timeout: Duration,
) -> Result<Value, String> {
    let endpoint = Endpoint::of(store, config, timeout)?;
    let shown = format!("Post \"{}\"", endpoint.url);
    match tokio::time::timeout(timeout, endpoint.post(review)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(format!("{shown}: {}", told(&*error))),
        Err(_) => Err(format!("{shown}: context deadline exceeded")),
    }
}

/// An error with what is behind it, said once.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = source.source();
    }
    text
}

impl Endpoint {
    fn of(store: &Store, config: &Value, timeout: Duration) -> Result<Self, String> {
        let authority = config["caBundle"].as_str().unwrap_or_default();
        let authority = STANDARD
            .decode(authority)
            .map_err(|error| format!("caBundle is not base64: {error}"))?;
        if let Some(url) = config["url"].as_str() {
            let url = with_timeout(url, timeout)?;
            let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
            let port = url.port_u16().unwrap_or(443);
            return Ok(Self {
                name: host.to_owned(),
                address: format!("{}:{port}", url.host().unwrap_or_default()),
                url,
                authority,
            });
        }
        let text = |field: &str| config["service"][field].as_str().unwrap_or_default();
        let (namespace, service) = (text("namespace"), text("name"));
        let port = config["service"]["port"].as_u64().unwrap_or(443);
        let name = format!("{service}.{namespace}.svc");
        let url = format!(
            "https://{name}:{port}/{}",
            text("path").trim_start_matches('/')
        );
        let url = with_timeout(&url, timeout)?;
        let address = service_address(store, namespace, service, port)
            .map_err(|why| format!("Post \"{url}\": {why}"))?;
        Ok(Self {
            url,
            name,
            address,
            authority,
        })
    }

    async fn post(&self, review: &Value) -> Result<Value, BoxError> {
        let stream = TcpStream::connect(&self.address).await?;
        let server = ServerName::try_from(self.name.clone())?;
        let connector = TlsConnector::from(Arc::new(self.tls()?));
        let stream = connector.connect(server, stream).await?;
        let io = TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
        let connection = tokio::spawn(connection);
        let path = self.url.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::post(path)
            .header(
                "host",
                self.url.authority().map_or("", |host| host.as_str()),
            )
            .header("content-type", "application/json")
            .header("accept", "application/json")
            .body(Full::new(Bytes::from(review.to_string())))?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LARGEST_ANSWER);
        let bytes = body.collect().await?.to_bytes();
        connection.abort();
        if !status.is_success() {
            let said: String = String::from_utf8_lossy(&bytes).chars().take(200).collect();
            return Err(format!("the server answered {status}: {said}").into());
        }
        Ok(serde_json::from_slice(&bytes)?)
    }

    fn tls(&self) -> Result<ClientConfig, BoxError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&self.authority) {
            roots.add(certificate?)?;
        }
        if roots.is_empty() {
            let why =
                "tls: clientConfig.caBundle names no authority that could vouch for the server";
            return Err(why.into());
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Ok(ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth())
    }
}

/// The webhook is told how long it has.
fn with_timeout(url: &str, timeout: Duration) -> Result<Uri, String> {
    let sign = if url.contains('?') { '&' } else { '?' };
    let whole = format!("{url}{sign}timeout={}s", timeout.as_secs());
    let parsed = whole.parse();
    parsed.map_err(|error| format!("the url {url:?} is not valid: {error}"))
}

/// There is no network of services here: the first of its endpoints is the service, or the host that
/// it stands for.
fn service_address(
    store: &Store,
    namespace: &str,
    name: &str,
    port: u64,
) -> Result<String, String> {
    let key = format!("{namespace}/{name}");
    let Some(service) = store.get("services", &key) else {
        return Err(format!(
            "service {name:?} not found in namespace {namespace:?}"
        ));
    };
    let service = service.value();
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    let wanted = ports.clone().find(|found| found["port"] == port);
    let Some(wanted) = wanted else {
        return Err(format!("no service port {port} found for service {name:?}"));
    };
    if service["spec"]["type"] == "ExternalName" {
        let host = service["spec"]["externalName"].as_str().unwrap_or_default();
        return Ok(format!("{host}:{port}"));
    }
    let endpoints = store.get("endpoints", &key).map(|object| object.value());
    let subsets = endpoints
        .as_ref()
        .and_then(|endpoints| endpoints["subsets"].as_array());
    subsets
        .into_iter()
        .flatten()
        .find_map(|subset| {
            let address = subset["addresses"][0]["ip"].as_str()?;
            let ports = subset["ports"].as_array()?;
            let named = ports.iter().find(|port| port["name"] == wanted["name"]);
            let port = named.or(ports.first())?["port"].as_u64()?;
            Some(if address.contains(':') {
                format!("[{address}]:{port}")
            } else {
                format!("{address}:{port}")
            })
        })
        .ok_or_else(|| format!("no endpoints available for service {name:?}"))
}

/// Refuses a `clientConfig` that names no server, or two.
pub(crate) fn check_config(config: &Value, path: &str) -> Vec<FieldError> {
    let has = |field: &str| config.get(field).is_some_and(|value| !value.is_null());
    let mut errors = Vec::new();
    if has("url") == has("service") {
        errors.push(FieldError::required(
            path,
            "exactly one of url or service is required",
        ));
    }
    if let Some(text) = config["url"].as_str() {
        let path = format!("{path}.url");
        match text.parse::<Uri>() {
            Err(error) => {
                let why = format!("url must be a valid URL: {error}");
                errors.push(FieldError::invalid_text(&path, text, &why));
            }
            Ok(url) if url.scheme_str() != Some("https") => {
                let why = "'https' is the only allowed URL scheme";
                errors.push(FieldError::invalid_text(&path, text, why));
            }
            Ok(url) if url.host().is_none_or(str::is_empty) => {
                let why = "host must be specified";
                errors.push(FieldError::invalid_text(&path, text, why));
            }
            // Written out, since the parser takes what Kubernetes refuses.
            Ok(_) if text.contains('#') => {
                let why = "fragments are not permitted in the URL";
                errors.push(FieldError::invalid_text(&path, text, why));
            }
            Ok(_) if text.contains('?') => {
                let why = "query parameters are not permitted in the URL";
                errors.push(FieldError::invalid_text(&path, text, why));
            }
            Ok(url)
                if url
                    .authority()
                    .is_some_and(|host| host.as_str().contains('@')) =>
            {
                let why = "user information is not permitted in the URL";
                errors.push(FieldError::invalid_text(&path, text, why));
            }
            Ok(_) => {}
        }
    }
    if has("service") {
        for field in ["name", "namespace"] {
            if config["service"][field]
                .as_str()
                .unwrap_or_default()
                .is_empty()
            {
                let path = format!("{path}.service.{field}");
                errors.push(FieldError::required(&path, ""));
            }
        }
    }
    errors
}
