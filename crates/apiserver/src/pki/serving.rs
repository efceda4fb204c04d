//! Makes the serving certificate, and judges whether the one on disk will still do.
//!
//! Knows nothing of clients; any doubt about the file leads to a new certificate, since nobody depends on the old one.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, PublicKeyData};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};

use super::{DAY, LEAF_LIFE, PkiError, common_name, files, leaf};

/// A serving certificate is made anew this long before it ends.
const RENEW_BEFORE: Duration = Duration::from_secs(30 * DAY);

#[derive(Debug)]
pub(super) struct Serving {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) renew_at: SystemTime,
}

pub(super) fn names(more: &[String]) -> Vec<String> {
    let usual = [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "127.0.0.1",
        "::1",
    ];
    let mut names: Vec<String> = usual.map(str::to_owned).into();
    for name in more {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// The serving certificate on disk, if it is ours, complete, for all names and not about to end.
pub(super) fn load(
    folder: &Path,
    ca: &CertificateDer<'_>,
    names: &[String],
    now: SystemTime,
) -> Option<Serving> {
    let read = |name| files::read(&folder.join(name)).ok().flatten();
    let cert_pem = read("apiserver.crt")?;
    let key_pem = read("apiserver.key")?;
    let certificate = CertificateDer::from_pem_slice(&cert_pem).ok()?;
    let key = KeyPair::from_pem(std::str::from_utf8(&key_pem).ok()?).ok()?;
    let seen = Seen::of(&certificate)?;
    let renew_at = seen.not_after - RENEW_BEFORE;
    let usable = seen.public_key == key.der_bytes()
        && now < renew_at
        && names.iter().all(|name| seen.names.contains(name))
        && trusted(&certificate, ca, now);
    usable
        .then(|| certified(certificate, &key).ok())
        .flatten()
        .map(|key| Serving { key, renew_at })
}

pub(super) fn make(
    folder: &Path,
    issuer: &Issuer<'static, KeyPair>,
    names: &[String],
    now: SystemTime,
) -> Result<Serving, PkiError> {
    let make = |source| PkiError::Make {
        subject: "kube-apiserver".into(),
        source,
    };
    let key = KeyPair::generate().map_err(make)?;
    let mut params = leaf(ExtendedKeyUsagePurpose::ServerAuth, now);
    params.subject_alt_names = CertificateParams::new(names)
        .map_err(make)?
        .subject_alt_names;
    params.distinguished_name = common_name("kube-apiserver");
    let certificate = params.signed_by(&key, issuer).map_err(make)?;
    files::write(
        &folder.join("apiserver.key"),
        key.serialize_pem().as_bytes(),
        0o600,
    )?;
    files::write(
        &folder.join("apiserver.crt"),
        certificate.pem().as_bytes(),
        0o644,
    )?;
    Ok(Serving {
        key: certified(certificate.der().clone(), &key).map_err(PkiError::ServingKey)?,
        renew_at: now + LEAF_LIFE - RENEW_BEFORE,
    })
}

fn certified(
    certificate: CertificateDer<'static>,
    key: &KeyPair,
) -> Result<Arc<CertifiedKey>, rustls::Error> {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let signer = rustls::crypto::ring::sign::any_supported_type(&key)?;
    Ok(Arc::new(CertifiedKey::new(vec![certificate], signer)))
}

/// What is read back from a certificate to see whether it will do.
pub(super) struct Seen {
    pub(super) public_key: Vec<u8>,
    names: Vec<String>,
    pub(super) not_after: SystemTime,
}

impl Seen {
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
        let names = match parsed.subject_alternative_name() {
            Ok(Some(extension)) => &extension.value.general_names[..],
            _ => &[],
        };
        Some(Self {
            public_key: parsed.public_key().subject_public_key.data.to_vec(),
            names: names.iter().filter_map(name_text).collect(),
            not_after: not_after(&parsed),
        })
    }
}

/// When the certificate ends.
pub(crate) fn not_after(certificate: &x509_parser::certificate::X509Certificate<'_>) -> SystemTime {
    let seconds = certificate.validity().not_after.timestamp();
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

fn name_text(name: &x509_parser::extensions::GeneralName<'_>) -> Option<String> {
    use x509_parser::extensions::GeneralName;
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(IpAddr::from),
            16 => <[u8; 16]>::try_from(*bytes).ok().map(IpAddr::from),
            _ => None,
        }
        .map(|address| address.to_string()),
        _ => None,
    }
}

/// Whether a client that trusts only `ca` would accept the certificate.
fn trusted(certificate: &CertificateDer<'_>, ca: &CertificateDer<'_>, now: SystemTime) -> bool {
    let mut roots = rustls::RootCertStore::empty();
    let (Ok(()), Ok(name)) = (
        roots.add(ca.clone().into_owned()),
        ServerName::try_from("localhost"),
    ) else {
        return false;
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let since_epoch = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .is_ok_and(|verifier| {
            let now = UnixTime::since_unix_epoch(since_epoch);
            verifier
                .verify_server_cert(certificate, &[], &name, &[], now)
                .is_ok()
        })
}
