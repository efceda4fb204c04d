//! Sets up TLS 1.2 and 1.3: which certificate is shown, and what is asked of clients.
//!
//! A client certificate is optional, and one that nobody vouches for does not fail the handshake: the client only
//! has to prove that it holds the key. What the certificate is worth is told with each request.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::auth::PeerVerifier;
use crate::pki::{self, Pki};

/// HTTP/2, by the name that it has in a handshake.
pub(super) const MANY_AT_ONCE: &[u8] = b"h2";
const ONE_BY_ONE: &[u8] = b"http/1.1";

pub(super) fn config(
    pki: Arc<Pki>,
    verifier: &PeerVerifier,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_client_cert_verifier(Arc::new(AnyHolder(verifier.clone())))
        .with_cert_resolver(Arc::new(Serving(pki)));
    config.alpn_protocols = vec![MANY_AT_ONCE.to_vec(), ONE_BY_ONE.to_vec()];
    Ok(config)
}

#[derive(Debug)]
struct Serving(Arc<Pki>);

impl ResolvesServerCert for Serving {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.serving(pki::now()))
    }
}

/// Lets in anybody who holds the key of the certificate they show.
#[derive(Debug)]
struct AnyHolder(PeerVerifier);

impl ClientCertVerifier for AnyHolder {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.inner().root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let inner = self.0.inner();
        inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let inner = self.0.inner();
        inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.inner().supported_verify_schemes()
    }
}
