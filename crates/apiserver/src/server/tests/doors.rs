//! Checks who gets in by which door, and how doors close.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::pki::ClientCertificate;

struct Served {
    sandbox: Sandbox,
    address: SocketAddr,
    shutdown: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
}

async fn served() -> Served {
    serve(sandbox()).await
}

async fn serve(sandbox: Sandbox) -> Served {
    let address = sandbox.server.bind().await.expect("bound");
    let shutdown = CancellationToken::new();
    let (server, token) = (sandbox.server.clone(), shutdown.clone());
    let serving = tokio::spawn(async move { server.serve(token).await });
    Served {
        sandbox,
        address,
        shutdown,
        serving,
    }
}

type Sender = hyper::client::conn::http1::SendRequest<Empty<Bytes>>;

impl Served {
    fn certificate(&self, user: &str, groups: &[&str]) -> ClientCertificate {
        let pki = &self.sandbox.server.inner.pki;
        pki.issue_client(user, groups, pki::now()).expect("issued")
    }

    async fn connect(&self, certificate: Option<&ClientCertificate>) -> Sender {
        let stream = self.shake_hands(certificate, &[]).await;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .expect("HTTP");
        tokio::spawn(connection);
        sender
    }

    async fn shake_hands(
        &self,
        certificate: Option<&ClientCertificate>,
        protocols: &[&str],
    ) -> TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(self.sandbox.server.inner.pki.ca().clone())
            .expect("anchor");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match certificate {
            None => config.with_no_client_auth(),
            Some(shown) => {
                let key = PrivateKeyDer::from_pem_slice(shown.key_pem.as_bytes()).expect("key");
                let chain = vec![shown.certificate.clone()];
                config
                    .with_client_auth_cert(chain, key)
                    .expect("client certificate")
            }
        };
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let stream = TcpStream::connect(self.address).await.expect("connected");
        let name = ServerName::try_from("127.0.0.1").expect("name");
        let connector = TlsConnector::from(Arc::new(config));
        connector
            .connect(name, stream)
            .await
            .expect("TLS handshake")
    }

    /// Waits for the server's end.
    async fn ended(self) {
        let in_time = tokio::time::timeout(PATIENCE, self.serving).await;
        in_time.expect("ends").expect("served");
    }

    /// A watch that has told of an object.
    async fn watch(&self) -> hyper::body::Incoming {
        let admin = &self.sandbox.server.inner.admin;
        let mut sender = self.connect(Some(admin)).await;
        let request = Request::get("/api/v1/namespaces?watch=1&resourceVersion=0");
        let request = request.header("host", "localhost").body(Empty::new());
        let answer = sender.send_request(request.expect("request")).await;
        let mut watch = answer.expect("answer").into_body();
        let event = watch.frame().await.expect("an event");
        event.expect("of the watch");
        watch
    }

    async fn get(
        &self,
        certificate: Option<&ClientCertificate>,
        path: &str,
    ) -> (StatusCode, String) {
        let mut sender = self.connect(certificate).await;
        let request = Request::get(path)
            .header("host", "localhost")
            .body(Empty::new());
        let answer = sender
            .send_request(request.expect("request"))
            .await
            .expect("answer");
        let code = answer.status();
        let body = answer.into_body().collect().await.expect("body").to_bytes();
        (code, String::from_utf8(body.to_vec()).expect("text"))
    }
}

#[tokio::test]
async fn a_certificate_decides_who_gets_in() {
    let served = served().await;
    let namespaces = "/api/v1/namespaces";
    let admin = &served.sandbox.server.inner.admin;
    let (code, body) = served.get(Some(admin), namespaces).await;
    assert_eq!(code, StatusCode::OK, "{body}");
    assert!(body.contains("kube-system"), "{body}");

    let jane = served.certificate("jane", &["dev"]);
    let (code, body) = served.get(Some(&jane), namespaces).await;
    assert_eq!(code, StatusCode::FORBIDDEN);
    let status: Value = serde_json::from_str(&body).expect("a Status");
    let message = r#"namespaces is forbidden: User "jane" cannot list resource "namespaces" in API group "" at the cluster scope"#;
    assert_eq!(status["message"], message);

    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": { "name": "dev" },
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin",
        },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "dev" }],
    });
    let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    served.sandbox.create(bindings, binding).await;
    let (code, body) = served.get(Some(&jane), namespaces).await;
    assert_eq!(code, StatusCode::OK, "bound now: {body}");
}

#[tokio::test]
async fn without_a_certificate_only_the_probes_and_the_version_are_open() {
    let served = served().await;
    for (path, expected) in [
        ("/healthz", StatusCode::OK),
        ("/livez", StatusCode::OK),
        ("/readyz", StatusCode::OK),
        ("/version", StatusCode::OK),
        ("/api", StatusCode::FORBIDDEN),
        ("/metrics", StatusCode::FORBIDDEN),
        ("/api/v1/namespaces", StatusCode::FORBIDDEN),
    ] {
        let (code, body) = served.get(None, path).await;
        assert_eq!(code, expected, "{path}: {body}");
    }
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_answered_with_401() {
    let served = served().await;
    let elsewhere = tempfile::tempdir().expect("temporary folder");
    let other = Pki::open(elsewhere.path(), &[], pki::now()).expect("opens");
    let forged = other
        .issue_client("admin", &["system:masters"], pki::now())
        .expect("issued");
    for path in ["/api/v1/namespaces", "/healthz"] {
        let (code, body) = served.get(Some(&forged), path).await;
        assert_eq!(code, StatusCode::UNAUTHORIZED, "{path}");
        let status: Value = serde_json::from_str(&body).expect("a Status");
        assert_eq!(
            (&status["reason"], &status["code"]),
            (&json!("Unauthorized"), &json!(401))
        );
    }
}

#[tokio::test]
async fn a_caller_in_the_process_has_no_more_rights_than_one_over_tls() {
    let sandbox = sandbox();
    let jane = LocalClient::new(sandbox.server.local("jane", &["dev"]));
    let error = jane
        .call(Call::get("/api/v1/secrets"))
        .await
        .expect_err("forbidden");
    let message = r#"403 Forbidden: secrets is forbidden: User "jane" cannot list resource "secrets" in API group "" at the cluster scope"#;
    assert_eq!(error.to_string(), message);
    let me = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
    let reviews = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let review = jane
        .call(Call::create(reviews, me))
        .await
        .expect("reviewed");
    let groups = json!(["dev", "system:authenticated"]);
    assert_eq!(review["status"]["userInfo"]["groups"], groups);
}

#[tokio::test]
async fn shutting_down_ends_watches_in_good_order() {
    let served = served().await;
    let watch = served.watch().await;
    let _idle = served.connect(None).await;
    served.shutdown.cancel();
    watch.collect().await.expect("ends without an error");
    let address = served.address;
    served.ended().await;
    TcpStream::connect(address)
        .await
        .expect_err("nobody listens any more");
}

#[tokio::test]
async fn a_request_that_never_ends_does_not_keep_the_server_from_ending() {
    let served = serve(sandbox_with(Duration::ZERO)).await;
    let admin = &served.sandbox.server.inner.admin;
    let mut stream = served.shake_hands(Some(admin), &[]).await;
    let head = "POST /api/v1/namespaces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                content-length: 100\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("sent");
    // The server has begun to read the body once it asks for it.
    let mut asked = [0; 12];
    stream.read_exact(&mut asked).await.expect("asked");
    assert_eq!(&asked, b"HTTP/1.1 100");
    served.shutdown.cancel();
    served.ended().await;
    // TLS calls it an error if nobody said goodbye.
    let mut rest = Vec::new();
    if let Err(error) = stream.read_to_end(&mut rest).await {
        let cut = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset];
        assert!(cut.contains(&error.kind()), "{error}");
    }
    assert!(
        !rest.windows(9).any(|seen| seen == b"HTTP/1.1 "),
        "no answer"
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_shake_hands_is_cut_off() {
    let served = served().await;
    let mut silent = TcpStream::connect(served.address).await.expect("connected");
    let end = silent.read_to_end(&mut Vec::new()).await;
    assert!(end.is_ok_and(|bytes| bytes == 0), "closed by the server");
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_names_it() {
    let served = served().await;
    let dir = tempfile::tempdir().expect("temporary folder");
    let other = Server::open(Config {
        data_dir: dir.path().to_owned(),
        addr: served.address,
    })
    .expect("opens");
    let error = other.bind().await.expect_err("taken");
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert!(
        error.to_string().contains(&served.address.to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn one_folder_has_one_server_at_a_time_and_the_next_finds_all_of_it() {
    let first = sandbox();
    first.namespace("kept").await;
    open(&first.dir).expect_err("the folder is in use");
    let ca = first.server.inner.pki.ca_pem();
    let Sandbox {
        server,
        client,
        _stop: stop,
        dir,
    } = first;
    drop((server, client, stop));
    let reopened = loop {
        // The controllers let go of the server once they have seen that they are to end.
        match open(&dir) {
            Ok(server) => break server,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    assert_eq!(reopened.inner.pki.ca_pem(), ca);
    let client = LocalClient::new(reopened.local("admin", &["system:masters"]));
    client
        .call(Call::get("/api/v1/namespaces/kept"))
        .await
        .expect("kept");
}

#[tokio::test]
async fn a_request_is_made_as_somebody_else_only_if_that_is_allowed() {
    let served = served().await;
    let namespaces = "/api/v1/namespaces";
    let ask = async |by: &ClientCertificate, header: &str, value: &str| {
        let mut sender = served.connect(Some(by)).await;
        let request = Request::get(namespaces)
            .header("host", "localhost")
            .header(header, value);
        let request = request.body(Empty::new()).expect("request");
        let answer = sender.send_request(request).await.expect("answer");
        let code = answer.status();
        let body = answer.into_body().collect().await.expect("body").to_bytes();
        let status: Value = serde_json::from_slice(&body).expect("JSON");
        (
            code,
            status["message"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let admin = &served.sandbox.server.inner.admin;
    let (code, message) = ask(admin, "impersonate-user", "jane").await;
    assert_eq!(code, StatusCode::FORBIDDEN);
    assert!(
        message.starts_with(r#"namespaces is forbidden: User "jane" cannot list"#),
        "{message}"
    );
    let jane = served.certificate("jane", &[]);
    let (code, message) = ask(&jane, "impersonate-user", "admin").await;
    assert_eq!(code, StatusCode::FORBIDDEN);
    let refusal = r#"users "admin" is forbidden: User "jane" cannot impersonate resource "users" in API group "" at the cluster scope"#;
    assert_eq!(message, refusal);
    let (code, _) = ask(&jane, "impersonate-group", "system:masters").await;
    assert_eq!(code, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn many_watches_share_one_connection() {
    let served = served().await;
    let admin = &served.sandbox.server.inner.admin;
    let stream = served.shake_hands(Some(admin), &["h2", "http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let io = TokioIo::new(stream);
    let (sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), io)
            .await
            .expect("HTTP/2");
    tokio::spawn(connection);
    let ask = async |path: &str| {
        let uri = format!("https://{}{path}", served.address);
        let request = Request::get(uri).body(Empty::new()).expect("request");
        let answer = sender.clone().send_request(request).await.expect("answer");
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.into_body()
    };
    let mut watches = Vec::new();
    for _ in 0..200 {
        watches.push(ask("/api/v1/nodes?watch=1").await);
    }
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}});
    served.sandbox.create("/api/v1/nodes", node).await;
    for watch in &mut watches {
        let frame = watch
            .frame()
            .await
            .expect("an event")
            .expect("of the watch");
        let line = frame.into_data().expect("data");
        let event: Value = serde_json::from_slice(&line).expect("JSON");
        assert_eq!(
            (&event["type"], &event["object"]["metadata"]["name"]),
            (&json!("ADDED"), &json!("n"))
        );
    }
    let read = ask("/api/v1/nodes/n").await.collect().await.expect("body");
    assert!(!read.to_bytes().is_empty(), "beside the watches");
    served.shutdown.cancel();
    for watch in watches {
        watch.collect().await.expect("ends without an error");
    }
    served.ended().await;
}

#[tokio::test]
async fn a_connection_over_which_nothing_is_asked_is_cut_off() {
    let served = served().await;
    let mut silent = served.shake_hands(None, &["h2"]).await;
    // From here on nothing arrives any more, so that only time passes.
    tokio::time::pause();
    let mut said = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(600), silent.read_to_end(&mut said));
    let end = end.await.expect("does not last");
    assert!(
        end.as_ref().is_ok_and(|bytes| *bytes < 1000)
            || end.is_err_and(|error| error.kind() == io::ErrorKind::UnexpectedEof)
    );
}

#[tokio::test]
async fn the_audit_log_tells_who_did_what_and_not_what_was_said() {
    let served = served().await;
    let path = served.sandbox.dir.path().join("audit.log");
    served.sandbox.server.audit(&path).expect("opened");
    let admin = &served.sandbox.server.inner.admin;
    let mut sender = served.connect(Some(admin)).await;
    let request = Request::get("/api/v1/namespaces/default/secrets/gone?pretty=true")
        .header("host", "localhost")
        .header("user-agent", "kubectl/v1")
        .header("impersonate-user", "jane");
    let request = request.body(Empty::new()).expect("request");
    let answer = sender.send_request(request).await.expect("answer");
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
        "stringData": {"password": "hunter2"}});
    let secrets = "/api/v1/namespaces/default/secrets";
    served.sandbox.create(secrets, secret).await;
    served.get(None, secrets).await;
    let text = std::fs::read_to_string(&path).expect("read");
    assert!(!text.contains("hunter2"), "{text}");
    let events = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    let events: Vec<Value> = events.collect();
    let one = |matches: &dyn Fn(&Value) -> bool| {
        let found: Vec<&Value> = events.iter().filter(|event| matches(event)).collect();
        assert_eq!(found.len(), 1, "{text}");
        found[0].clone()
    };
    let refused = one(&|event| event["impersonatedUser"]["username"] == "jane");
    let expected = json!({
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "verb": "get",
        "stage": "ResponseComplete", "userAgent": "kubectl/v1", "sourceIPs": ["127.0.0.1"],
        "requestURI": "/api/v1/namespaces/default/secrets/gone?pretty=true",
        "responseStatus": {"metadata": {}, "code": 403},
        "objectRef": {"resource": "secrets", "namespace": "default", "name": "gone",
            "apiVersion": "v1"},
        "user": {"username": "kubernetes-admin",
            "groups": ["system:masters", "system:authenticated"]},
    });
    for (field, value) in expected.as_object().expect("an object") {
        assert_eq!(&refused[field], value, "{field}");
    }
    let made =
        one(&|event| event["verb"] == "create" && event["objectRef"]["resource"] == "secrets");
    assert_eq!(
        (&made["user"]["username"], &made["responseStatus"]["code"]),
        (&json!("admin"), &json!(201))
    );
    let anonymous = one(&|event| event["user"]["username"] == "system:anonymous");
    assert_eq!(anonymous["responseStatus"]["code"], 403);
    let mode = std::fs::metadata(&path)
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}
