//! Keeps the certificate authority of one API server on disk and issues its serving and client certificates.
//!
//! Knows nothing of sockets, requests or who may do what: a certificate only says who somebody is.

mod files;
mod serving;
mod subject;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
};
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

pub(crate) use serving::not_after;
use serving::{Seen, Serving};

/// In seconds.
const DAY: u64 = 24 * 3600;
/// As long as the CA of kubeadm lives.
const CA_LIFE: Duration = Duration::from_secs(3650 * DAY);
const LEAF_LIFE: Duration = Duration::from_secs(365 * DAY);
/// Clocks of client and server may differ a little.
const BACKDATE: Duration = Duration::from_secs(3600);

/// Why there is no usable certificate.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "{} {problem}; restore it from a copy, or remove the folder {} to start with a new certificate authority (kubeconfigs written before will no longer work)",
        path.display(), folder.display()
    )]
    Damaged {
        path: PathBuf,
        folder: PathBuf,
        problem: &'static str,
    },
    #[error(
        "{} is not a PEM file with a P-256 key; restore it from a copy, or remove it to start with a new key (service account tokens given out before will no longer work)",
        path.display()
    )]
    TokenKey { path: PathBuf },
    #[error("cannot make the key or certificate of {subject:?}")]
    Make {
        subject: String,
        #[source]
        source: rcgen::Error,
    },
    #[error("cannot put the user and groups into the certificate of {subject:?}")]
    Subject {
        subject: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("cannot use the serving key for TLS")]
    ServingKey(#[source] rustls::Error),
}

/// The present moment, for stamping and checking certificates.
#[expect(
    clippy::disallowed_methods,
    reason = "the server's doors are a shell: validity is judged against the real clock, once, here"
)]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// A certificate and its key, ready to be written into a kubeconfig or presented in a call.
pub(crate) struct ClientCertificate {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key_pem: String,
}

impl std::fmt::Debug for ClientCertificate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the key.
        formatter
            .debug_struct("ClientCertificate")
            .finish_non_exhaustive()
    }
}

impl ClientCertificate {
    pub(crate) fn certificate_pem(&self) -> String {
        files::pem("CERTIFICATE", &self.certificate)
    }
}

/// The certificate authority and the serving certificate.
pub(crate) struct Pki {
    folder: PathBuf,
    ca: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    names: Vec<String>,
    serving: ArcSwap<Serving>,
    renewing: Mutex<()>,
    token_key: KeyPair,
}

impl std::fmt::Debug for Pki {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Pki")
            .field("folder", &self.folder)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl Pki {
    /// Loads the authority kept in `folder`, or makes one there; `more_names` are served besides the usual ones.
    pub(crate) fn open(
        folder: &Path,
        more_names: &[String],
        now: SystemTime,
    ) -> Result<Self, PkiError> {
        files::private_folder(folder)?;
        let (ca, issuer) = match load_ca(folder, now)? {
            Some(loaded) => loaded,
            None => make_ca(folder, now)?,
        };
        let names = serving::names(more_names);
        let serving = match serving::load(folder, &ca, &names, now) {
            Some(serving) => serving,
            None => serving::make(folder, &issuer, &names, now)?,
        };
        Ok(Self {
            folder: folder.to_owned(),
            ca,
            issuer,
            names,
            serving: ArcSwap::from_pointee(serving),
            renewing: Mutex::new(()),
            token_key: token_key(folder)?,
        })
    }

    pub(crate) fn ca(&self) -> &CertificateDer<'static> {
        &self.ca
    }

    /// The private key that signs the tokens of service accounts: P-256, PKCS #8, DER.
    pub(crate) fn token_key(&self) -> &[u8] {
        self.token_key.serialized_der()
    }

    pub(crate) fn ca_pem(&self) -> String {
        files::pem("CERTIFICATE", &self.ca)
    }

    /// The certificate to show to clients, made anew when the present one is about to end.
    pub(crate) fn serving(&self, now: SystemTime) -> Arc<CertifiedKey> {
        let serving = self.serving.load();
        if now < serving.renew_at {
            return Arc::clone(&serving.key);
        }
        let _one_at_a_time = self.renewing.lock().unwrap_or_else(PoisonError::into_inner);
        let serving = self.serving.load_full();
        if now < serving.renew_at {
            return Arc::clone(&serving.key);
        }
        match serving::make(&self.folder, &self.issuer, &self.names, now) {
            Ok(new) => {
                let key = Arc::clone(&new.key);
                self.serving.store(Arc::new(new));
                key
            }
            Err(error) => {
                tracing::error!(%error, "cannot renew the serving certificate; the old one stays");
                Arc::clone(&serving.key)
            }
        }
    }

    /// A certificate that says: this is `user`, a member of `groups`.
    pub(crate) fn issue_client(
        &self,
        user: &str,
        groups: &[&str],
        now: SystemTime,
    ) -> Result<ClientCertificate, PkiError> {
        self.issue(user, groups, now, LEAF_LIFE)
    }

    /// The same for a caller in this process, which cannot come back for another: it lives as long as the authority
    /// may.
    pub(crate) fn issue_local(
        &self,
        user: &str,
        groups: &[&str],
        now: SystemTime,
    ) -> Result<ClientCertificate, PkiError> {
        self.issue(user, groups, now, CA_LIFE)
    }

    fn issue(
        &self,
        user: &str,
        groups: &[&str],
        now: SystemTime,
        life: Duration,
    ) -> Result<ClientCertificate, PkiError> {
        let make = |source| PkiError::Make {
            subject: user.to_owned(),
            source,
        };
        let key = KeyPair::generate().map_err(make)?;
        let mut params = leaf(ExtendedKeyUsagePurpose::ClientAuth, now);
        params.not_after = (now + life).into();
        let unnamed = params.signed_by(&key, &self.issuer).map_err(make)?;
        let certificate = subject::with_subject(unnamed.der(), user, groups, self.issuer.key())
            .map_err(|source| PkiError::Subject {
                subject: user.to_owned(),
                source: Box::new(source),
            })?;
        Ok(ClientCertificate {
            certificate,
            key_pem: key.serialize_pem(),
        })
    }
}

fn load_ca(
    folder: &Path,
    now: SystemTime,
) -> Result<Option<(CertificateDer<'static>, Issuer<'static, KeyPair>)>, PkiError> {
    let (cert_path, key_path) = (folder.join("ca.crt"), folder.join("ca.key"));
    // The certificate is written last: without it nothing was ever signed, and a lone key is a first start cut short.
    let Some(cert_pem) = files::read(&cert_path)? else {
        return Ok(None);
    };
    let damaged = |path: &Path, problem| PkiError::Damaged {
        path: path.to_owned(),
        folder: folder.to_owned(),
        problem,
    };
    let key_pem = files::read(&key_path)?.ok_or_else(|| damaged(&key_path, "is missing"))?;
    let not_pem = "is not a PEM file that can be read";
    let ca = CertificateDer::from_pem_slice(&cert_pem).map_err(|_| damaged(&cert_path, not_pem))?;
    let key = std::str::from_utf8(&key_pem)
        .ok()
        .and_then(|pem| KeyPair::from_pem(pem).ok())
        .ok_or_else(|| damaged(&key_path, not_pem))?;
    let Some(seen) = Seen::of(&ca) else {
        return Err(damaged(&cert_path, "is not a certificate"));
    };
    if seen.public_key != key.der_bytes() {
        return Err(damaged(&key_path, "does not belong to ca.crt beside it"));
    }
    if seen.not_after <= now {
        return Err(damaged(&cert_path, "has expired"));
    }
    let issuer = Issuer::from_ca_cert_der(&ca, key).map_err(|_| {
        damaged(
            &cert_path,
            "is not the certificate of a certificate authority",
        )
    })?;
    Ok(Some((ca, issuer)))
}

fn make_ca(
    folder: &Path,
    now: SystemTime,
) -> Result<(CertificateDer<'static>, Issuer<'static, KeyPair>), PkiError> {
    let make = |source| PkiError::Make {
        subject: "kubernetes".into(),
        source,
    };
    let key = KeyPair::generate().map_err(make)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name("kubernetes");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyCertSign,
    ];
    params.not_before = (now - BACKDATE).into();
    params.not_after = (now + CA_LIFE).into();
    let certificate = params.self_signed(&key).map_err(make)?;
    files::write(
        &folder.join("ca.key"),
        key.serialize_pem().as_bytes(),
        0o600,
    )?;
    files::write(&folder.join("ca.crt"), certificate.pem().as_bytes(), 0o644)?;
    let ca = certificate.der().clone();
    Ok((ca, Issuer::new(params, key)))
}

/// The key that signs tokens, made at the first start. Without it every token given out is void.
fn token_key(folder: &Path) -> Result<KeyPair, PkiError> {
    let path = folder.join("sa.key");
    let Some(pem) = files::read(&path)? else {
        let key = KeyPair::generate().map_err(|source| PkiError::Make {
            subject: "service account tokens".into(),
            source,
        })?;
        files::write(&path, key.serialize_pem().as_bytes(), 0o600)?;
        return Ok(key);
    };
    let read = std::str::from_utf8(&pem).ok();
    let read = read.and_then(|pem| KeyPair::from_pem(pem).ok());
    // Others would be taken as keys, but their signatures have another form.
    read.filter(|key| key.is_compatible(&rcgen::PKCS_ECDSA_P256_SHA256))
        .ok_or_else(|| PkiError::TokenKey { path })
}

fn leaf(usage: ExtendedKeyUsagePurpose, now: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    params.not_before = (now - BACKDATE).into();
    params.not_after = (now + LEAF_LIFE).into();
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn open(folder: &Path, now: SystemTime) -> Pki {
        Pki::open(folder, &[], now).expect("opens")
    }

    #[test]
    fn the_authority_and_the_serving_certificate_survive_a_restart() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let first = open(dir.path(), now());
        let second = open(dir.path(), now());
        assert_eq!(first.ca(), second.ca());
        assert_eq!(first.serving(now()).cert, second.serving(now()).cert);
    }

    #[test]
    fn keys_are_for_their_owner_only() {
        let dir = tempfile::tempdir().expect("temporary folder");
        open(dir.path(), now());
        for key in ["ca.key", "apiserver.key", "sa.key"] {
            let meta = std::fs::metadata(dir.path().join(key)).expect(key);
            assert_eq!(meta.permissions().mode() & 0o777, 0o600, "{key}");
        }
    }

    #[test]
    fn a_serving_certificate_that_is_about_to_end_is_made_anew_by_the_same_authority() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let first = open(dir.path(), now());
        let before = first.serving(now()).cert.clone();
        let later = now() + LEAF_LIFE - Duration::from_secs(DAY);
        assert_ne!(before, first.serving(later).cert, "while running");
        let reopened = open(dir.path(), later + LEAF_LIFE);
        assert_ne!(
            before,
            reopened.serving(later + LEAF_LIFE).cert,
            "at a start"
        );
        assert_eq!(first.ca(), reopened.ca());
    }

    #[test]
    fn a_new_name_asks_for_a_new_serving_certificate() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let first = open(dir.path(), now());
        let names = ["10.1.2.3".to_owned(), "sandbox.example".to_owned()];
        let second = Pki::open(dir.path(), &names, now()).expect("opens");
        assert_ne!(first.serving(now()).cert, second.serving(now()).cert);
        let third = Pki::open(dir.path(), &names, now()).expect("opens");
        assert_eq!(second.serving(now()).cert, third.serving(now()).cert);
    }

    #[test]
    fn a_damaged_serving_certificate_is_replaced_silently() {
        let dir = tempfile::tempdir().expect("temporary folder");
        open(dir.path(), now());
        std::fs::write(dir.path().join("apiserver.crt"), "garbage").expect("written");
        open(dir.path(), now());
    }

    #[test]
    fn a_damaged_authority_is_an_error_that_names_the_file_and_the_cure() {
        for (file, content, problem) in [
            ("ca.key", "garbage", "is not a PEM file"),
            ("ca.crt", "garbage", "is not a PEM file"),
            ("ca.key", OTHER_KEY, "does not belong to ca.crt"),
        ] {
            let dir = tempfile::tempdir().expect("temporary folder");
            open(dir.path(), now());
            let content = match content {
                OTHER_KEY => KeyPair::generate().expect("key").serialize_pem(),
                other => other.to_owned(),
            };
            std::fs::write(dir.path().join(file), content).expect("written");
            let error = Pki::open(dir.path(), &[], now()).expect_err("damaged");
            let text = error.to_string();
            assert!(text.contains(problem) && text.contains(file), "{text}");
            assert!(text.contains("remove the folder"), "{text}");
        }
    }

    #[test]
    fn the_key_of_tokens_is_kept_and_a_damaged_one_is_named() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let first = open(dir.path(), now());
        let second = open(dir.path(), now());
        assert_eq!(first.token_key(), second.token_key());
        std::fs::write(dir.path().join("sa.key"), "garbage").expect("written");
        let error = Pki::open(dir.path(), &[], now()).expect_err("damaged");
        assert!(error.to_string().contains("sa.key"), "{error}");
    }

    const OTHER_KEY: &str = "a key of somebody else";

    #[test]
    fn an_expired_authority_is_an_error() {
        let dir = tempfile::tempdir().expect("temporary folder");
        open(dir.path(), now());
        let error = Pki::open(dir.path(), &[], now() + CA_LIFE).expect_err("expired");
        assert!(error.to_string().contains("has expired"), "{error}");
    }

    #[test]
    fn a_client_certificate_carries_the_user_and_every_group() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let groups = ["one", "two", "system:serviceaccounts:a-namespace"];
        let issued = open(dir.path(), now())
            .issue_client("system:serviceaccount:a:b", &groups, now())
            .expect("issued");
        let (_, parsed) =
            x509_parser::parse_x509_certificate(&issued.certificate).expect("certificate");
        let subject = parsed.subject();
        let users = subject.iter_common_name().filter_map(|n| n.as_str().ok());
        assert!(users.eq(["system:serviceaccount:a:b"]));
        let organizations = subject.iter_organization().filter_map(|n| n.as_str().ok());
        assert!(organizations.eq(groups));
    }
}
