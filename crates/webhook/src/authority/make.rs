//! Makes authorities and the certificates they issue. Time is an argument; keys are chance.

use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::pair::{Pair, PairError};

const DAY: i64 = 24 * 3600;
/// Clocks of replicas and API servers may differ a little.
const BACKDATE: i64 = 3600;

/// How long authorities and certificates hold, in seconds. Both are made anew after two thirds of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lives {
    pub(crate) authority: i64,
    pub(crate) certificate: i64,
}

impl Default for Lives {
    fn default() -> Self {
        Self {
            authority: 360 * DAY,
            certificate: 30 * DAY,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum MakeError {
    #[error("ca.crt holds no certificate")]
    NoCertificate,
    #[error("ca.key holds no private key")]
    NoKey,
    #[error("ca.key does not belong to ca.crt")]
    Mismatch,
    #[error("the first of ca.crt is not the certificate of an authority")]
    NoAuthority(#[source] rcgen::Error),
    #[error("no key or certificate can be made")]
    Rcgen(#[from] rcgen::Error),
    #[error("the new certificate cannot be used")]
    Pair(#[from] PairError),
}

/// The newest authority, with all that still count.
#[derive(Debug)]
pub(crate) struct Authority {
    pub(super) certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    /// All of them, newest first, PEM.
    pub(super) bundle: String,
    /// Unix seconds.
    pub(super) renew_at: i64,
    not_after: i64,
}

impl Authority {
    /// Reads what [`Authority::make`] wrote.
    pub(super) fn read(bundle: &[u8], key: &[u8], lives: Lives) -> Result<Self, MakeError> {
        let certificate =
            CertificateDer::from_pem_slice(bundle).map_err(|_| MakeError::NoCertificate)?;
        let bundle = std::str::from_utf8(bundle).map_err(|_| MakeError::NoCertificate)?;
        let key = std::str::from_utf8(key)
            .ok()
            .and_then(|it| KeyPair::from_pem(it).ok());
        let key = key.ok_or(MakeError::NoKey)?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate)
            .map_err(|_| MakeError::NoCertificate)?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.der_bytes() {
            return Err(MakeError::Mismatch);
        }
        let not_after = parsed.validity().not_after.timestamp();
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(MakeError::NoAuthority)?;
        Ok(Self {
            issuer,
            bundle: bundle.to_owned(),
            renew_at: not_after - lives.authority / 3,
            not_after,
            certificate,
        })
    }

    /// A new authority: the bundle with it in front of the one `before` it, unless that has ended, and its key; both PEM.
    pub(super) fn make(
        before: Option<&CertificateDer<'_>>,
        lives: Lives,
        now: i64,
    ) -> Result<(String, String), MakeError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "snapshot-conversion-webhook");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
        ];
        params.not_before = at(now - BACKDATE).into();
        params.not_after = at(now + lives.authority).into();
        let mut bundle = params.self_signed(&key)?.pem();
        // One more is enough: certificates end long before the second authority does.
        if let Some(before) = before.filter(|it| ends(it).is_some_and(|end| end > now)) {
            bundle.push_str(&pem(before));
        }
        Ok((bundle, key.serialize_pem()))
    }

    /// A certificate for these names, and when it is time for the next.
    pub(super) fn issue(
        &self,
        names: &[String],
        lives: Lives,
        now: i64,
    ) -> Result<(Pair, i64), MakeError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names.to_vec())?;
        params
            .distinguished_name
            .push(DnType::CommonName, "snapshot-conversion-webhook");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let end = (now + lives.certificate).min(self.not_after);
        params.not_before = at(now - BACKDATE).into();
        params.not_after = at(end).into();
        let certificate = params.signed_by(&key, &self.issuer)?;
        let (certificate, key) = (certificate.pem(), key.serialize_pem());
        let place = Path::new("the certificate made here");
        let pair = Pair::from_pem((certificate.as_bytes(), place), (key.as_bytes(), place))?;
        Ok((pair, end - lives.certificate / 3))
    }
}

/// When it ends, in Unix seconds; none if it cannot be read.
fn ends(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(parsed.validity().not_after.timestamp())
}

fn at(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        // Base64 is ASCII.
        let (line, more) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn read((bundle, key): &(String, String)) -> Authority {
        Authority::read(bundle.as_bytes(), key.as_bytes(), Lives::default()).unwrap()
    }

    fn certificates(bundle: &str) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(bundle.as_bytes())
            .map(Result::unwrap)
            .collect()
    }

    #[test]
    fn a_new_authority_stands_before_the_last_one() {
        let lives = Lives::default();
        let first = read(&Authority::make(None, lives, NOW).unwrap());
        assert_eq!(first.renew_at, NOW + lives.authority * 2 / 3);
        let second =
            read(&Authority::make(Some(&first.certificate), lives, first.renew_at).unwrap());
        let both = [second.certificate.clone(), first.certificate.clone()];
        assert_eq!(certificates(&second.bundle), both);
        let third =
            read(&Authority::make(Some(&second.certificate), lives, second.renew_at).unwrap());
        assert_eq!(
            certificates(&third.bundle),
            [third.certificate.clone(), second.certificate]
        );
        let late = Authority::make(Some(&first.certificate), lives, first.not_after).unwrap();
        assert_eq!(
            certificates(&late.0).len(),
            1,
            "one that has ended is left out"
        );
    }

    #[test]
    fn a_certificate_ends_before_its_authority() {
        let lives = Lives::default();
        let authority = read(&Authority::make(None, lives, NOW).unwrap());
        let names = ["a.b.svc".to_owned()];
        let (pair, renew_at) = authority.issue(&names, lives, NOW).unwrap();
        assert_eq!(
            (pair.not_after, renew_at),
            (NOW + lives.certificate, NOW + lives.certificate * 2 / 3)
        );
        let (pair, _) = authority
            .issue(&names, lives, authority.not_after - DAY)
            .unwrap();
        assert_eq!(pair.not_after, authority.not_after);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let lives = Lives::default();
        let one = Authority::make(None, lives, NOW).unwrap();
        let other = Authority::make(None, lives, NOW).unwrap();
        let of = |bundle: &str, key: &str| {
            Authority::read(bundle.as_bytes(), key.as_bytes(), lives)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(of("", &one.1), "ca.crt holds no certificate");
        assert_eq!(of(&one.0, ""), "ca.key holds no private key");
        assert_eq!(of(&one.0, &other.1), "ca.key does not belong to ca.crt");
    }
}
