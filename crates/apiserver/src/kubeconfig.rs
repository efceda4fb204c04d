//! Writes the kubeconfig of a user: where the server is, its authority, and the user's certificate, all embedded.
//!
//! Knows nothing of files or of who asked for it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::net::SocketAddr;

use crate::pki::ClientCertificate;

/// Cluster, user and context all have this name.
const NAME: &str = "tintype";

pub(crate) fn render(server: SocketAddr, ca_pem: &str, client: &ClientCertificate) -> String {
    let ca = STANDARD.encode(ca_pem);
    let certificate = STANDARD.encode(client.certificate_pem());
    let key = STANDARD.encode(&client.key_pem);
    let server = reachable(server);
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: {NAME}
  cluster:
    server: https://{server}
    certificate-authority-data: {ca}
users:
- name: {NAME}
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
contexts:
- name: {NAME}
  context:
    cluster: {NAME}
    user: {NAME}
current-context: {NAME}
preferences: {{}}
"
    )
}

/// A server that listens on every address is reached over loopback.
fn reachable(listening: SocketAddr) -> SocketAddr {
    let mut server = listening;
    if server.ip().is_unspecified() {
        let loopback = match server {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        };
        server.set_ip(loopback);
    }
    server
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{self, Pki};

    #[test]
    fn embeds_all_that_a_client_needs() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let pki = Pki::open(dir.path(), &[], pki::now()).expect("opens");
        let client = pki
            .issue_client("admin", &["system:masters"], pki::now())
            .expect("issued");
        let text = render(
            "[::]:16443".parse().expect("address"),
            &pki.ca_pem(),
            &client,
        );
        let config: serde_json::Value = serde_yaml_ng::from_str(&text).expect("YAML");
        assert_eq!(
            config["clusters"][0]["cluster"]["server"],
            "https://[::1]:16443"
        );
        assert_eq!(config["current-context"], config["contexts"][0]["name"]);
        let decoded = |value: &serde_json::Value| {
            let bytes = STANDARD
                .decode(value.as_str().expect("text"))
                .expect("base64");
            String::from_utf8(bytes).expect("PEM")
        };
        let user = &config["users"][0]["user"];
        assert_eq!(decoded(&user["client-key-data"]), client.key_pem);
        assert_eq!(
            decoded(&config["clusters"][0]["cluster"]["certificate-authority-data"]),
            pki.ca_pem()
        );
        assert!(
            decoded(&user["client-certificate-data"]).starts_with("-----BEGIN CERTIFICATE-----")
        );
    }
}
