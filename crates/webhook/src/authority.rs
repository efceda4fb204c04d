//! Makes the webhook's own certificate authority, shares it between replicas, publishes it and rotates it.
//!
//! ```text
//!  Secret (one, shared)            definitions and ValidatingWebhookConfigurations
//!   ca.crt  authorities, newest first ───► caBundle wherever our Service is named
//!   ca.key  key of the newest ──► each replica's own certificate, in memory only
//! ```
//!
//! Whoever writes the Secret first wins, and the others take what it wrote: all writes name the version they are for.
//! Which step comes next is in [`decide`]; what the certificates are for is none of its business.

mod decide;
mod make;
mod publish;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use rustls_pki_types::CertificateDer;
use serde_json::json;
use tintype_runtime::{Chain, Clock, Desk, ReviewMetrics};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::pair::Shown;
use decide::{Facts, Leaf, Published, Shared, Step, decide};
pub(crate) use make::Lives;
use make::{Authority, MakeError};
use publish::{PublishError, Targets};

/// Between two looks: a definition that is applied anew may have lost its bundle.
const LOOK: Duration = Duration::from_secs(10);
/// A pass that needs more has something to fight with.
const STEPS: usize = 8;

/// Secret and Service of the webhook.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub(crate) namespace: String,
    pub(crate) secret: String,
    pub(crate) service: String,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthorityError {
    #[error("cannot {verb} the Secret {name}")]
    Secret {
        verb: &'static str,
        name: String,
        source: Box<kube::Error>,
    },
    #[error("API servers cannot be told whom to trust")]
    Publish(#[from] PublishError),
    #[error("cannot make a certificate")]
    Make(#[from] MakeError),
}

/// The certificate in use.
#[derive(Debug)]
struct InUse {
    issuer: CertificateDer<'static>,
    /// Unix seconds, as is `not_after`.
    renew_at: i64,
    not_after: i64,
}

/// Keeps the certificate of one replica.
pub(crate) struct Keeper {
    names: Names,
    lives: Lives,
    secrets: Api<Secret>,
    targets: Targets,
    shown: Shown,
    metrics: ReviewMetrics,
    in_use: Option<InUse>,
    complaint: Option<String>,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// What the Secret holds.
struct Held {
    version: Option<String>,
    authority: Option<Authority>,
    /// There is a Secret, and it cannot be used.
    damaged: bool,
}

impl Keeper {
    pub(crate) fn new(
        client: &Client,
        names: Names,
        lives: Lives,
        shown: Shown,
        metrics: ReviewMetrics,
    ) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), &names.namespace),
            targets: Targets::new(client, &names),
            names,
            lives,
            shown,
            metrics,
            in_use: None,
            complaint: None,
        }
    }

    /// Keeps at it until the end.
    pub(crate) async fn follow(mut self, clock: Clock, desk: Arc<Desk>, end: CancellationToken) {
        loop {
            self.look(clock.wall().0).await;
            if self.shown.is_some() {
                desk.is_ready();
            }
            tokio::select! {
                () = end.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// One pass; what goes wrong is told, and tried again at the next.
    pub(crate) async fn look(&mut self, now: i64) {
        match self.pass(now).await {
            Ok(()) => self.complaint = None,
            Err(error) => self.complain(&Chain(&error).to_string()),
        }
    }

    fn complain(&mut self, error: &str) {
        if self.complaint.as_deref() != Some(error) {
            warn!(
                error,
                "the webhook's certificate could not be looked after; it is tried again"
            );
            self.metrics.not_loaded();
            self.complaint = Some(error.to_owned());
        }
    }

    /// Does what is to be done at `now` (Unix seconds).
    pub(crate) async fn pass(&mut self, now: i64) -> Result<(), AuthorityError> {
        let mut held = self.read().await?;
        let mut published = Published::Unknown;
        let mut unpublished = None;
        for _ in 0..STEPS {
            match decide(self.facts(&held, published, now)) {
                None => break,
                Some(Step::Make) => held = self.make(&held, now).await?,
                Some(Step::Publish) => {
                    let bundle = held
                        .authority
                        .as_ref()
                        .map(|it| STANDARD.encode(&it.bundle));
                    published = match self.targets.publish(&bundle.unwrap_or_default()).await {
                        Ok(0) => Published::Before,
                        Ok(written) => {
                            info!(written, "the webhook's authority was published");
                            Published::JustNow
                        }
                        Err(error) => {
                            unpublished = Some(error);
                            Published::Failed
                        }
                    };
                }
                Some(Step::Issue) => self.issue(&held, now)?,
            }
        }
        unpublished.map_or(Ok(()), |error| Err(error.into()))
    }

    fn facts(&self, held: &Held, published: Published, now: i64) -> Facts {
        let shared = match &held.authority {
            _ if held.damaged => Shared::Damaged,
            None => Shared::Absent,
            Some(authority) if now >= authority.renew_at => Shared::Due,
            Some(_) => Shared::Fresh,
        };
        let newest = held.authority.as_ref().map(|it| &it.certificate);
        let leaf = match &self.in_use {
            None => Leaf::None,
            Some(it) if now >= it.not_after - self.lives.certificate / 30 => Leaf::None,
            Some(it) if newest != Some(&it.issuer) => Leaf::OfAnother,
            Some(it) if now >= it.renew_at => Leaf::Due,
            Some(_) => Leaf::Good,
        };
        Facts {
            shared,
            leaf,
            published,
        }
    }

    async fn read(&self) -> Result<Held, AuthorityError> {
        let found = self
            .secrets
            .get_opt(&self.names.secret)
            .await
            .map_err(self.failed("read"))?;
        let Some(secret) = found else {
            return Ok(Held {
                version: None,
                authority: None,
                damaged: false,
            });
        };
        let data = secret.data.unwrap_or_default();
        let text = |key: &str| data.get(key).map(|it| it.0.as_slice()).unwrap_or_default();
        let authority = Authority::read(text("ca.crt"), text("ca.key"), self.lives);
        if let Err(error) = &authority {
            warn!(secret = self.names.secret, error = %Chain(error), "the Secret holds no authority; a new one takes its place");
        }
        Ok(Held {
            version: secret.metadata.resource_version,
            damaged: authority.is_err(),
            authority: authority.ok(),
        })
    }

    /// Writes a new authority in front of the one before it, unless another replica was quicker. If the Secret was lost,
    /// that is the one whose certificate is in use: it stays trusted until the next pass.
    async fn make(&self, held: &Held, now: i64) -> Result<Held, AuthorityError> {
        let held_before = held.authority.as_ref().map(|it| &it.certificate);
        let before = held_before.or(self.in_use.as_ref().map(|it| &it.issuer));
        let (bundle, key) = Authority::make(before, self.lives, now)?;
        let data = BTreeMap::from([
            ("ca.crt".to_owned(), ByteString(bundle.into_bytes())),
            ("ca.key".to_owned(), ByteString(key.into_bytes())),
        ]);
        let written = match &held.version {
            None => {
                let mut secret = Secret {
                    data: Some(data),
                    ..Secret::default()
                };
                secret.metadata.name = Some(self.names.secret.clone());
                self.secrets.create(&PostParams::default(), &secret).await
            }
            Some(version) => {
                let patch = json!({"metadata": {"resourceVersion": version}, "data": data});
                let patch = Patch::Merge(patch);
                self.secrets
                    .patch(&self.names.secret, &PatchParams::default(), &patch)
                    .await
            }
        };
        match written {
            Ok(_) => info!(
                secret = self.names.secret,
                "a certificate authority was made"
            ),
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(self.failed("write")(error)),
        }
        self.read().await
    }

    fn issue(&mut self, held: &Held, now: i64) -> Result<(), AuthorityError> {
        let Some(authority) = &held.authority else {
            return Ok(());
        };
        let Names {
            namespace, service, ..
        } = &self.names;
        let names = [
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.cluster.local"),
            format!("{service}.{namespace}"),
            service.clone(),
        ];
        let (pair, renew_at) = authority.issue(&names, self.lives, now)?;
        let not_after = pair.not_after;
        self.metrics.loaded(not_after);
        self.shown.show(pair);
        self.in_use = Some(InUse {
            issuer: authority.certificate.clone(),
            renew_at,
            not_after,
        });
        info!("a new certificate is in use");
        Ok(())
    }

    fn failed(&self, verb: &'static str) -> impl Fn(kube::Error) -> AuthorityError {
        let name = format!("{}/{}", self.names.namespace, self.names.secret);
        move |source| AuthorityError::Secret {
            verb,
            name: name.clone(),
            source: Box::new(source),
        }
    }
}
