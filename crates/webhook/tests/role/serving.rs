//! What is answered over TLS with a certificate from files, what is refused, and what happens to those who ask while the
//! certificate changes or the webhook ends.

use std::net::SocketAddr;
use std::path::Path;

use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use rustls_pki_types::CertificateDer;
use serde_json::{Value, json};
use tintype_webhook::{Args, Webhook};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::caller::{Caller, PATIENCE, post, tls};

/// A webhook with a certificate of its own folder.
struct Served {
    folder: tempfile::TempDir,
    address: SocketAddr,
    end: CancellationToken,
    serving: JoinHandle<anyhow::Result<()>>,
}

fn write_pair(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("tls.crt"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

async fn served(groups: bool) -> (Served, CertificateDer<'static>) {
    let folder = tempfile::tempdir().unwrap();
    let certificate = write_pair(folder.path());
    let args = Args {
        tls_cert_file: Some(folder.path().join("tls.crt")),
        tls_private_key_file: Some(folder.path().join("tls.key")),
        port: 0,
        bind_address: "127.0.0.1".to_owned(),
        enable_volume_group_snapshot_webhook: groups,
        ..Args::default()
    };
    let webhook = Webhook::open(args, None).await.unwrap();
    let (address, end) = (webhook.address(), CancellationToken::new());
    let serving = tokio::spawn(webhook.serve(end.clone()));
    let served = Served {
        folder,
        address,
        end,
        serving,
    };
    (served, certificate)
}

fn conversion() -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "request": {
        "uid": "u", "desiredAPIVersion": "groupsnapshot.storage.k8s.io/v1beta1", "objects": [
            {"apiVersion": "groupsnapshot.storage.k8s.io/v1", "kind": "VolumeGroupSnapshotContent",
             "metadata": {"name": "g"}, "status": {"volumeSnapshotInfoList": [
                {"volumeHandle": "v", "snapshotHandle": "s", "readyToUse": true}]}}]}})
}

fn admission(group: &str, resource: &str, object: &Value) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "operation": "CREATE", "object": object, "oldObject": null,
        "resource": {"group": group, "version": "v1", "resource": resource}}})
}

#[tokio::test]
async fn reviews_are_answered_over_tls() {
    let (served, trusted) = served(true).await;
    let mut caller = Caller::connect(served.address, &trusted).await.unwrap();
    let answer = caller.review("/convert", &conversion()).await;
    assert_eq!(
        answer["response"]["convertedObjects"][0]["status"],
        json!({"volumeSnapshotHandlePairList": [{"volumeHandle": "v", "snapshotHandle": "s"}]})
    );
    let snapshot = json!({"metadata": {"name": "s"}, "spec": {"source": {}}});
    let answer = caller
        .review(
            "/volumesnapshot?timeout=2s",
            &admission("snapshot.storage.k8s.io", "volumesnapshots", &snapshot),
        )
        .await;
    assert_eq!(answer["response"]["allowed"], false);
    let group = json!({"metadata": {"name": "g"}, "spec": {"source": {"selector": {}}}});
    let answer = caller
        .review(
            "/volumegroupsnapshot",
            &admission(
                "groupsnapshot.storage.k8s.io",
                "volumegroupsnapshots",
                &group,
            ),
        )
        .await;
    assert_eq!(answer["response"]["allowed"], true);
    let ready = Request::get("/readyz")
        .header("host", "localhost")
        .body(Full::default())
        .unwrap();
    assert_eq!(caller.send(ready).await, (StatusCode::OK, "ok".to_owned()));
}

/// Upstream reads and writes YAML too.
#[tokio::test]
async fn a_conversion_may_be_yaml() {
    let (served, trusted) = served(false).await;
    let mut caller = Caller::connect(served.address, &trusted).await.unwrap();
    let review = serde_yaml_ng::to_string(&conversion()).unwrap();
    let mut request = post("/convert", "application/yaml; charset=utf-8", review);
    request
        .headers_mut()
        .insert("accept", "application/yaml".parse().unwrap());
    let (status, body) = caller.send(request).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let answer: Value = serde_yaml_ng::from_str(&body).unwrap();
    assert_eq!(answer["response"]["result"]["status"], "Success");
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused_in_words() {
    let (served, trusted) = served(false).await;
    let json = "application/json";
    let with = |method: Method, accept: &str| {
        let mut request = post("/convert", json, conversion().to_string());
        *request.method_mut() = method;
        request
            .headers_mut()
            .insert("accept", accept.parse().unwrap());
        request
    };
    let wrong_kind = admission("snapshot.storage.k8s.io", "volumesnapshots", &json!({}));
    let cases = [
        (
            post("/", json, "{}"),
            404,
            "there is nothing at /; reviews are answered at /convert, ",
        ),
        (
            post("/volumegroupsnapshot", json, "{}"),
            404,
            "start the webhook with --enable-volume-group-snapshot-webhook",
        ),
        (
            with(Method::GET, "*/*"),
            405,
            "/convert takes POST, not GET",
        ),
        (
            with(Method::POST, "text/html"),
            400,
            "invalid accept header `text/html`",
        ),
        (
            post("/convert", "text/plain", "{}"),
            400,
            "invalid Content-Type header `text/plain`",
        ),
        (
            post("/volumesnapshot", "application/yaml", "{}"),
            400,
            "send application/json",
        ),
        (
            post("/convert", json, "{\"a\": garbage"),
            400,
            "the body is not JSON: ",
        ),
        (post("/convert", json, ""), 400, "the body is not JSON: "),
        (
            post("/convert", json, wrong_kind.to_string()),
            400,
            "kind: \"AdmissionReview\": post a ConversionReview here",
        ),
        (
            post("/volumesnapshot", json, conversion().to_string()),
            400,
            "kind: \"ConversionReview\": post a AdmissionReview here",
        ),
    ];
    for (request, status, words) in cases {
        let mut caller = Caller::connect(served.address, &trusted).await.unwrap();
        let shown = format!("{} {}", request.method(), request.uri());
        caller.sender.ready().await.unwrap();
        let response = caller.sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), status, "{shown}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(body.contains(words), "{shown}: {body}");
    }
}

/// One that says how long it is is refused before it is sent.
#[tokio::test]
async fn a_body_that_is_too_long_is_refused_unread() {
    let (served, trusted) = served(false).await;
    let mut stream = tls(served.address, &trusted).await.unwrap();
    let head = "POST /volumesnapshot HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 16777217\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let words = b"the body is larger than 16777216 bytes";
    let mut answer = Vec::new();
    while !answer.windows(words.len()).any(|it| it == words) {
        let read = timeout(PATIENCE, stream.read_buf(&mut answer))
            .await
            .unwrap();
        assert_ne!(read.unwrap(), 0, "{}", String::from_utf8_lossy(&answer));
    }
    assert!(answer.starts_with(b"HTTP/1.1 413"));
}

/// A body whose length is only seen as it arrives is cut off too.
#[tokio::test]
async fn a_body_without_length_is_measured() {
    let (served, trusted) = served(false).await;
    let mut stream = tls(served.address, &trusted).await.unwrap();
    let head = "POST /volumesnapshot HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = [
        format!("{:x}\r\n", 1 << 20).into_bytes(),
        vec![b' '; 1 << 20],
        b"\r\n".to_vec(),
    ]
    .concat();
    for _ in 0..17 {
        // It may have hung up by then.
        if stream.write_all(&chunk).await.is_err() {
            break;
        }
    }
    let mut answer = vec![0; 12];
    timeout(PATIENCE, stream.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), "HTTP/1.1 413");
}

#[tokio::test]
async fn a_new_certificate_costs_no_request() {
    let (served, old) = served(false).await;
    let mut steady = Caller::connect(served.address, &old).await.unwrap();
    let new = write_pair(served.folder.path());
    let wait = async {
        loop {
            // Whoever is connected is answered, whatever is shown to the next one.
            steady.review("/convert", &conversion()).await;
            if let Ok(caller) = Caller::connect(served.address, &new).await {
                assert_eq!(caller.certificate, new);
                break;
            }
            let mut before = Caller::connect(served.address, &old).await.ok();
            if let Some(caller) = &mut before {
                caller.review("/convert", &conversion()).await;
            }
        }
    };
    timeout(PATIENCE, wait)
        .await
        .expect("the new certificate is shown");
    steady.review("/convert", &conversion()).await;
}

#[tokio::test]
async fn what_was_asked_before_the_end_is_answered() {
    let (served, trusted) = served(false).await;
    let mut stream = tls(served.address, &trusted).await.unwrap();
    let body = conversion().to_string();
    let head = format!(
        "POST /convert HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = vec![0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    timeout(PATIENCE, stream.read_exact(&mut go_on))
        .await
        .unwrap()
        .unwrap();
    served.end.cancel();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("\"Success\""), "{answer}");
    timeout(PATIENCE, served.serving)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(
        tokio::net::TcpStream::connect(served.address)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_start_without_certificate_says_what_is_missing() {
    let open = async |args: Args| {
        let opened = Webhook::open(Args { port: 0, ..args }, None).await;
        opened.map(drop).unwrap_err().to_string()
    };
    assert!(
        open(Args::default())
            .await
            .starts_with("--tls-cert-file must be specified")
    );
    let missing = Args {
        tls_cert_file: Some("/no/such/tls.crt".into()),
        tls_private_key_file: Some("/no/such/tls.key".into()),
        ..Args::default()
    };
    assert_eq!(open(missing).await, "cannot read /no/such/tls.crt");
    let lonely = Args {
        self_signed: true,
        ..Args::default()
    };
    assert!(open(lonely).await.contains("give a --kubeconfig"));
}
