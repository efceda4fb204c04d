//! Loads a certificate and its key from two files, and loads them again when they change.
//!
//! The files are read once a second rather than watched: a mounted Secret is a link to a link that is swapped, a pair is
//! written in two steps, and some file systems tell nobody; reading sees what is there in each of these cases. A pair that
//! cannot be used is told once and the one in use stays. Does not know who is served.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tintype_runtime::{Chain, ReviewMetrics};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(1);

/// Files that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PairError {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} holds no certificate in PEM form", path.display())]
    NoCertificate { path: PathBuf },
    #[error("{} holds no private key in PEM form", path.display())]
    NoKey { path: PathBuf },
    #[error("the key cannot be used for TLS")]
    Key(#[source] rustls::Error),
    #[error("the certificate and the key do not belong together; the pair may be half written")]
    Mismatch(#[source] rustls::Error),
    #[error("the certificate cannot be read: {0}")]
    Certificate(String),
}

/// A certificate with its key, ready to be shown.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) key: Arc<CertifiedKey>,
    /// Unix seconds.
    pub(crate) not_after: i64,
}

impl Pair {
    /// From PEM texts; the names are for errors.
    pub(crate) fn from_pem(
        (certificate, of): (&[u8], &Path),
        (key, of_key): (&[u8], &Path),
    ) -> Result<Self, PairError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<_, _>>()
            .map_err(|_| PairError::NoCertificate {
                path: of.to_owned(),
            })?;
        let leaf = chain.first().ok_or_else(|| PairError::NoCertificate {
            path: of.to_owned(),
        })?;
        let (_, parsed) = x509_parser::parse_x509_certificate(leaf)
            .map_err(|error| PairError::Certificate(error.to_string()))?;
        let not_after = parsed.validity().not_after.timestamp();
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| PairError::NoKey {
            path: of_key.to_owned(),
        })?;
        let signer =
            rustls::crypto::ring::sign::any_supported_type(&key).map_err(PairError::Key)?;
        let key = CertifiedKey::new(chain, signer);
        key.keys_match().map_err(PairError::Mismatch)?;
        Ok(Self {
            key: Arc::new(key),
            not_after,
        })
    }
}

/// The pair that is shown to whoever connects; none at first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shown(Arc<ArcSwapOption<Pair>>);

impl Shown {
    /// Connections made from now on see this pair; those that are open keep theirs.
    pub(crate) fn show(&self, pair: Pair) {
        self.0.store(Some(Arc::new(pair)));
    }

    pub(crate) fn is_some(&self) -> bool {
        self.0.load().is_some()
    }

    /// What whoever connects now would see.
    pub(crate) fn current(&self) -> Option<Arc<CertifiedKey>> {
        self.0.load().as_ref().map(|pair| pair.key.clone())
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current()
    }
}

/// TLS 1.2 and 1.3, with whatever pair is shown.
pub(crate) fn tls(shown: Shown) -> Result<rustls::ServerConfig, rustls::Error> {
    let provider: Arc<CryptoProvider> = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(shown));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The texts of two files, to see whether they changed.
type Texts = (Vec<u8>, Vec<u8>);

/// Two files that are followed.
#[derive(Debug)]
pub(crate) struct Files {
    certificate: PathBuf,
    key: PathBuf,
    shown: Shown,
    metrics: ReviewMetrics,
    /// As last read, usable or not.
    seen: Option<Texts>,
    /// Told last, so that it is told once.
    complaint: Option<String>,
}

impl Files {
    /// Loads the pair; it must be usable at the start.
    pub(crate) async fn open(
        certificate: PathBuf,
        key: PathBuf,
        shown: Shown,
        metrics: ReviewMetrics,
    ) -> Result<Self, PairError> {
        let mut files = Self {
            certificate,
            key,
            shown,
            metrics,
            seen: None,
            complaint: None,
        };
        let texts = files.read().await?;
        files.load(&texts)?;
        files.seen = Some(texts);
        Ok(files)
    }

    /// Looks at the files until the end.
    pub(crate) async fn follow(mut self, end: CancellationToken) {
        loop {
            tokio::select! {
                () = end.cancelled() => return,
                () = tokio::time::sleep(LOOK) => self.look().await,
            }
        }
    }

    /// Puts the pair to use if it changed and can be used.
    pub(crate) async fn look(&mut self) {
        let looked = match self.read().await {
            Ok(texts) if self.seen.as_ref() == Some(&texts) => return,
            Ok(texts) => {
                let loaded = self.load(&texts);
                self.seen = Some(texts);
                loaded
            }
            // It may be back with the same text, or another.
            Err(error) => Err(error),
        };
        match looked {
            Ok(()) => {
                self.complaint = None;
                info!(certificate = %self.certificate.display(), "a new certificate is in use");
            }
            Err(error) => self.complain(&error),
        }
    }

    fn complain(&mut self, error: &PairError) {
        let words = Chain(error).to_string();
        if self.complaint.as_ref() != Some(&words) {
            warn!(error = words, certificate = %self.certificate.display(), key = %self.key.display(),
                "the new certificate cannot be used; the one before stays until it can");
            self.metrics.not_loaded();
            self.complaint = Some(words);
        }
    }

    async fn read(&self) -> Result<Texts, PairError> {
        let read = async |path: &PathBuf| {
            let text = tokio::fs::read(path).await;
            text.map_err(|source| PairError::Read {
                path: path.clone(),
                source,
            })
        };
        Ok((read(&self.certificate).await?, read(&self.key).await?))
    }

    fn load(&self, (certificate, key): &Texts) -> Result<(), PairError> {
        let pair = Pair::from_pem((certificate, &self.certificate), (key, &self.key))?;
        self.metrics.loaded(pair.not_after);
        self.shown.show(pair);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    struct Made {
        certificate: String,
        key: String,
        der: CertificateDer<'static>,
    }

    fn made() -> Made {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Made {
            certificate: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
            der: made.cert.der().clone(),
        }
    }

    struct Rig {
        folder: tempfile::TempDir,
        shown: Shown,
        metrics: tintype_runtime::Metrics,
        reviews: ReviewMetrics,
    }

    impl Rig {
        fn new() -> Self {
            let metrics = tintype_runtime::Metrics::new().unwrap();
            Self {
                folder: tempfile::tempdir().unwrap(),
                shown: Shown::default(),
                reviews: metrics.reviews().unwrap(),
                metrics,
            }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.path(name), text).unwrap();
        }

        async fn open(&self, certificate: &str, key: &str) -> Result<Files, PairError> {
            let metrics = self.reviews.clone();
            Files::open(
                self.path(certificate),
                self.path(key),
                self.shown.clone(),
                metrics,
            )
            .await
        }

        fn shows(&self, made: &Made) -> bool {
            self.shown.0.load().as_ref().unwrap().key.cert[0] == made.der
        }

        fn counted(&self, outcome: &str) -> bool {
            let line =
                format!("tintype_webhook_certificate_loads_total{{outcome=\"{outcome}\"}} 1");
            self.metrics.text().unwrap().contains(&line)
        }
    }

    #[tokio::test]
    async fn a_half_written_pair_keeps_the_one_before() {
        let it = Rig::new();
        let (old, new) = (made(), made());
        it.write("tls.crt", &old.certificate);
        it.write("tls.key", &old.key);
        let mut files = it.open("tls.crt", "tls.key").await.unwrap();
        assert!(it.shows(&old) && it.counted("used"));
        it.write("tls.crt", &new.certificate);
        files.look().await;
        files.look().await;
        assert!(it.shows(&old));
        assert!(files.complaint.as_ref().unwrap().contains("half written"));
        assert!(it.counted("failed"), "told once");
        it.write("tls.key", &new.key);
        files.look().await;
        assert!(it.shows(&new));
        assert_eq!(files.complaint, None);
        for cut in ["", "-----BEGIN CERTIFICATE-----\n"] {
            it.write("tls.crt", cut);
            files.look().await;
            assert!(it.shows(&new));
        }
        std::fs::remove_file(it.path("tls.key")).unwrap();
        files.look().await;
        assert!(it.shows(&new));
        assert!(files.complaint.unwrap().starts_with("cannot read"));
    }

    /// The kubelet mounts a Secret as links into a folder that is itself a link, and swaps that one.
    #[tokio::test]
    async fn a_mounted_secret_is_followed_through_its_links() {
        let it = Rig::new();
        let (old, new) = (made(), made());
        for (folder, made) in [("one", &old), ("two", &new)] {
            std::fs::create_dir(it.path(folder)).unwrap();
            it.write(&format!("{folder}/tls.crt"), &made.certificate);
            it.write(&format!("{folder}/tls.key"), &made.key);
        }
        symlink("one", it.path("..data")).unwrap();
        for file in ["tls.crt", "tls.key"] {
            symlink(format!("..data/{file}"), it.path(file)).unwrap();
        }
        let mut files = it.open("tls.crt", "tls.key").await.unwrap();
        symlink("two", it.path("..next")).unwrap();
        std::fs::rename(it.path("..next"), it.path("..data")).unwrap();
        files.look().await;
        assert!(it.shows(&new));
    }

    #[tokio::test]
    async fn what_is_wrong_with_the_files_is_told_at_the_start() {
        let it = Rig::new();
        let (one, other) = (made(), made());
        it.write("tls.crt", &one.certificate);
        it.write("tls.key", &one.key);
        it.write("other.key", &other.key);
        it.write("empty", "");
        for (certificate, key, wanted) in [
            ("none", "tls.key", "cannot read "),
            ("empty", "tls.key", "holds no certificate in PEM form"),
            ("tls.key", "tls.key", "holds no certificate in PEM form"),
            ("tls.crt", "empty", "holds no private key in PEM form"),
            ("tls.crt", "other.key", "do not belong together"),
        ] {
            let error = it.open(certificate, key).await.unwrap_err().to_string();
            assert!(error.contains(wanted), "{certificate} {key}: {error}");
        }
    }
}
