//! Judges a client certificate: who it names, and whether our authority stands behind it.
//!
//! A bad certificate does not end the connection: the request is answered with 401, as Kubernetes does, so the
//! judgement is kept with the connection and told when a request arrives. Knows nothing of requests.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::certificate::X509Certificate;

use super::user::User;
use crate::pki;

/// What the client certificate of one connection is worth.
#[derive(Debug, Clone)]
pub(crate) enum PeerCertificate {
    Valid {
        user: Arc<User>,
        not_after: SystemTime,
    },
    Invalid {
        reason: String,
    },
}

/// Checks chains against one certificate authority.
#[derive(Debug, Clone)]
pub(crate) struct PeerVerifier {
    verifier: Arc<dyn ClientCertVerifier>,
}

/// The authority's certificate cannot be used to verify others.
#[derive(Debug, thiserror::Error)]
pub enum PeerVerifierError {
    #[error("the certificate of the authority cannot be a trust anchor")]
    Anchor(#[source] rustls::Error),
    #[error("cannot set up the check of client certificates")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
}

impl PeerVerifier {
    pub(crate) fn new(ca: &CertificateDer<'static>) -> Result<Self, PeerVerifierError> {
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone()).map_err(PeerVerifierError::Anchor)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .allow_unauthenticated()
            .build()
            .map_err(PeerVerifierError::Verifier)?;
        Ok(Self { verifier })
    }

    /// The verifier proper, for the parts of a TLS handshake that do not depend on trust.
    pub(crate) fn inner(&self) -> &Arc<dyn ClientCertVerifier> {
        &self.verifier
    }

    /// Judges the chain a client presented, leaf first.
    pub(crate) fn judge(&self, chain: &[CertificateDer<'_>], now: SystemTime) -> PeerCertificate {
        self.check(chain, now)
            .unwrap_or_else(|reason| PeerCertificate::Invalid { reason })
    }

    fn check(
        &self,
        chain: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<PeerCertificate, String> {
        let (leaf, intermediates) = chain.split_first().ok_or("no certificate")?;
        let since_epoch = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        self.verifier
            .verify_client_cert(leaf, intermediates, UnixTime::since_unix_epoch(since_epoch))
            .map_err(|error| error.to_string())?;
        let (_, parsed) =
            x509_parser::parse_x509_certificate(leaf).map_err(|error| error.to_string())?;
        Ok(PeerCertificate::Valid {
            user: Arc::new(named(&parsed)?),
            not_after: pki::not_after(&parsed),
        })
    }
}

/// The user is the common name, the groups are the organizations.
fn named(certificate: &X509Certificate<'_>) -> Result<User, String> {
    let subject = certificate.subject();
    let name = subject
        .iter_common_name()
        .last()
        .and_then(|name| name.as_str().ok())
        .filter(|name| !name.is_empty())
        .ok_or("the certificate names no user (subject common name)")?;
    let groups = subject
        .iter_organization()
        .map(|group| group.as_str().map(str::to_owned))
        .collect::<Result<_, _>>()
        .map_err(|_| "a group of the certificate (subject organization) is not text")?;
    Ok(User::authenticated(name.to_owned(), groups))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::Pki;
    use std::time::Duration;

    fn judged(by: &Pki, issued_by: &Pki, at: SystemTime) -> PeerCertificate {
        let issued = issued_by
            .issue_client("jane", &["dev", "ops"], pki::now())
            .expect("issued");
        PeerVerifier::new(by.ca())
            .expect("verifier")
            .judge(&[issued.certificate], at)
    }

    fn authority() -> Pki {
        let dir = tempfile::tempdir().expect("temporary folder");
        Pki::open(dir.path(), &[], pki::now()).expect("opens")
    }

    #[test]
    fn a_certificate_of_our_authority_names_user_and_groups() {
        let ours = authority();
        let PeerCertificate::Valid { user, .. } = judged(&ours, &ours, pki::now()) else {
            panic!("our own certificate was refused");
        };
        assert_eq!(user.name, "jane");
        assert_eq!(user.groups, ["dev", "ops", "system:authenticated"]);
    }

    #[test]
    fn certificates_of_others_and_expired_ones_are_invalid() {
        let ours = authority();
        let later = pki::now() + Duration::from_secs(366 * 24 * 3600);
        for (case, judged) in [
            ("foreign", judged(&ours, &authority(), pki::now())),
            ("expired", judged(&ours, &ours, later)),
        ] {
            assert!(matches!(judged, PeerCertificate::Invalid { .. }), "{case}");
        }
    }

    #[test]
    fn a_serving_certificate_is_not_a_client_certificate() {
        let ours = authority();
        let serving = ours.serving(pki::now());
        let judged = PeerVerifier::new(ours.ca())
            .expect("verifier")
            .judge(&serving.cert, pki::now());
        assert!(matches!(judged, PeerCertificate::Invalid { .. }));
    }
}
