//! Opens thousands of idle watches over TLS, as clients do, and tells what each costs the server.
//!
//! Clients of Go speak HTTP/2, and all watches of one go over one connection; others have one for each watch.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::served::Served;
use super::{NOTHING, WATCHES};

/// Watches of one client, over one connection.
const EACH: usize = 50;
/// Clients with a connection for each watch.
const ALONE: usize = 1_000;
const SECRETS: &str = "/api/v1/namespaces/default/secrets";

pub(crate) async fn measure(folder: &Path) -> anyhow::Result<Value> {
    std::fs::create_dir_all(folder)?;
    let mut served = Served::start(folder).await?;
    let client = Client::new(&served.kubeconfig)?;

    // Kept to the end: what they let go would be missing from the next figures.
    let (_alone, connection_bytes) = alone(&client, &mut served).await?;

    let before = served.memory().await?;
    let mut senders = Vec::new();
    let mut watches = Vec::with_capacity(WATCHES);
    for _ in 0..WATCHES / EACH {
        let mut sender = client.connect_two().await?;
        for _ in 0..EACH {
            let request = client.request("GET", NOTHING, String::new())?;
            watches.push(begun(sender.send_request(request).await?).await?);
        }
        senders.push(sender);
    }
    let after = served.memory().await?;
    let mut figures = json!({
        "tls_connection_bytes": connection_bytes,
        "tls_watch_bytes": each(before.heap, after.heap, WATCHES),
        "tls_watch_resident_bytes": each(before.resident, after.resident, WATCHES),
    });

    let began = Instant::now();
    let secret = json!({"metadata": {"name": "news"}}).to_string();
    let request = client.request("POST", SECRETS, secret)?;
    let made = senders[0].send_request(request).await?;
    ensure!(made.status().is_success(), "{}", made.status());
    for watch in &mut watches {
        watch.frame().await.context("a watch ended")??;
    }
    figures["fanout_s"] = json!(began.elapsed().as_secs_f64());
    Ok(figures)
}

fn each(before: usize, after: usize, of: usize) -> usize {
    after.saturating_sub(before) / of
}

type Alone = Vec<(http1::SendRequest<Full<Bytes>>, Incoming)>;

/// Watches with a connection each, and the heap that one takes.
async fn alone(client: &Client, served: &mut Served) -> anyhow::Result<(Alone, usize)> {
    let nothing = NOTHING.replace("secrets", "endpoints");
    let before = served.memory().await?;
    let mut watches = Vec::with_capacity(ALONE);
    for _ in 0..ALONE {
        let mut sender = client.connect_one().await?;
        let request = client.request("GET", &nothing, String::new())?;
        let watch = begun(sender.send_request(request).await?).await?;
        watches.push((sender, watch));
    }
    let after = served.memory().await?;
    Ok((watches, each(before.heap, after.heap, ALONE)))
}

/// The body of a watch, which has not said anything.
async fn begun(answer: http::Response<Incoming>) -> anyhow::Result<Incoming> {
    let status = answer.status();
    let mut body = answer.into_body();
    ensure!(status.is_success(), "a watch was refused: {status}");
    let waits = tokio::time::timeout(std::time::Duration::ZERO, body.frame()).await;
    ensure!(waits.is_err(), "a watch of nothing has something to say");
    Ok(body)
}

/// Whom the kubeconfig speaks of.
struct Client {
    server: String,
    config: ClientConfig,
}

impl Client {
    fn new(kubeconfig: &str) -> anyhow::Result<Self> {
        let config: Value = serde_yaml_ng::from_str(kubeconfig)?;
        let cluster = &config["clusters"][0]["cluster"];
        let user = &config["users"][0]["user"];
        let pem = |of: &Value, field: &str| -> anyhow::Result<Vec<u8>> {
            let text = of[field].as_str().with_context(|| field.to_owned())?;
            Ok(STANDARD.decode(text)?)
        };
        let mut roots = rustls::RootCertStore::empty();
        let authority = pem(cluster, "certificate-authority-data")?;
        roots.add(CertificateDer::from_pem_slice(&authority)?)?;
        let certificate = pem(user, "client-certificate-data")?;
        let key = PrivateKeyDer::from_pem_slice(&pem(user, "client-key-data")?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![CertificateDer::from_pem_slice(&certificate)?], key)?;
        let server = cluster["server"].as_str().context("no server")?;
        Ok(Self {
            server: server.trim_start_matches("https://").to_owned(),
            config,
        })
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        body: String,
    ) -> anyhow::Result<Request<Full<Bytes>>> {
        Ok(Request::builder()
            .method(method)
            .uri(format!("https://{}{path}", self.server))
            .header("host", &self.server)
            .body(Full::new(body.into()))?)
    }

    async fn shake_hands(&self, protocol: &str) -> anyhow::Result<TlsStream<TcpStream>> {
        let mut config = self.config.clone();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let stream = TcpStream::connect(&self.server).await?;
        let host = self.server.rsplit_once(':').context("no port")?.0;
        let name = ServerName::try_from(host.to_owned())?;
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await?;
        let agreed = stream.get_ref().1.alpn_protocol();
        ensure!(agreed == Some(protocol.as_bytes()), "no {protocol}");
        Ok(stream)
    }

    async fn connect_two(&self) -> anyhow::Result<http2::SendRequest<Full<Bytes>>> {
        let io = TokioIo::new(self.shake_hands("h2").await?);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn connect_one(&self) -> anyhow::Result<http1::SendRequest<Full<Bytes>>> {
        let io = TokioIo::new(self.shake_hands("http/1.1").await?);
        let (sender, connection) = http1::handshake(io).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}
