//! Opens what every role stands on: client, metrics, health, and the lease of who works.
//!
//! Does not know what the role does.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderValue;
use kube::Client;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::info;

use crate::flags::{HttpFlags, LeaderFlags, RoleFlags};
use crate::http::{Endpoint, Health, HttpError, Pages};
use crate::lease::{
    Candidate, Leadership, LeaseConfig, LeaseLost, TermsError, host_name, own_namespace,
};
use crate::limit::{Bucket, Rate};
use crate::metrics::dress;
use crate::{Clock, Metrics, MetricsError};

/// A role cannot start.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// Metrics or health cannot be served.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Durations that cannot work.
    #[error(transparent)]
    Terms(#[from] TermsError),
    /// Metrics are not well formed.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// Both addresses are given.
    #[error(
        "only one of --metrics-address and --http-endpoint can be set; the second serves health too"
    )]
    TwoAddresses,
    /// A leader needs a name.
    #[error("this host has no name to hold a lease by")]
    NoName(#[source] std::io::Error),
    /// The name does not fit into a header.
    #[error("\"{0}\" is no name for a role")]
    BadName(String),
}

/// What a role stands on, from start to end. Metrics and health are served while it lives.
pub struct Role {
    /// The client of all work: counted, and limited if that was asked for.
    pub client: Client,
    /// The clock of this role.
    pub clock: Clock,
    /// The metrics of this role.
    pub metrics: Metrics,
    lease_client: Client,
    bare: (Client, HeaderValue),
    leader: LeaderFlags,
    health: Health,
    shutdown: CancellationToken,
    _end: DropGuard,
}

impl std::fmt::Debug for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Role")
            .field("leader", &self.leader)
            .finish_non_exhaustive()
    }
}

/// The right to work, until it ends.
#[derive(Debug)]
pub struct Term {
    end: CancellationToken,
    leadership: Option<Leadership>,
}

impl Role {
    /// Opens the role called `name`; `metrics_address` is the sidecars' old flag.
    pub async fn open(
        name: &str,
        flags: RoleFlags,
        metrics_address: &str,
        client: Client,
        shutdown: CancellationToken,
    ) -> Result<Self, RoleError> {
        info!(version = env!("CARGO_PKG_VERSION"), "{name} starts");
        for note in flags.notes() {
            info!("{note}");
        }
        let RoleFlags {
            leader,
            rate,
            http,
            log: _, // Read by whoever started the log.
        } = flags;
        if leader.leader_election {
            leader.terms().check()?;
        }
        let agent = HeaderValue::try_from(format!("tintype/{name}"))
            .map_err(|_| RoleError::BadName(name.to_owned()))?;
        let metrics = Metrics::new()?;
        let health = Health::default();
        let end = CancellationToken::new();
        serve(
            http,
            metrics_address,
            (&metrics, &health),
            leader.leader_election,
            &end,
        )
        .await?;
        let bucket = rate.rate().map(|rate| Arc::new(Bucket::new(rate)));
        Ok(Self {
            client: dress(&client, &agent, metrics.requests(), bucket),
            // Upstream too has a client of its own for the lease: work must not hold it up.
            lease_client: dress(&client, &agent, metrics.requests(), None),
            bare: (client, agent),
            clock: Clock::start(),
            metrics,
            leader,
            health,
            shutdown,
            _end: end.drop_guard(),
        })
    }

    /// A client of its own for work that must not crowd out the rest: so many requests per second,
    /// and so many at once after a pause.
    pub fn limited_client(&self, per_second: f64, burst: u32) -> Client {
        let bucket = Arc::new(Bucket::new(Rate { per_second, burst }));
        let (client, agent) = &self.bare;
        dress(client, agent, self.metrics.requests(), Some(bucket))
    }

    /// The caches are filled: from now on `/readyz` says so.
    pub fn is_ready(&self) {
        self.health.is_ready();
    }

    /// Waits for the right to work: at once without leader election, else for the lease of this
    /// name. None if the shutdown comes first.
    pub async fn lead(
        &self,
        lease: &str,
        labels: BTreeMap<String, String>,
    ) -> Result<Option<Term>, RoleError> {
        let end = self.shutdown.child_token();
        if !self.leader.leader_election {
            return Ok(Some(Term::without_lease(end)));
        }
        let flag = &self.leader.leader_election_namespace;
        let config = LeaseConfig {
            namespace: if flag.is_empty() {
                own_namespace()
            } else {
                flag.clone()
            },
            name: lease.to_owned(),
            identity: host_name().map_err(RoleError::NoName)?,
            labels,
            terms: self.leader.terms(),
        };
        let metrics = self.metrics.leader(lease)?;
        let candidate = Candidate::new(
            config,
            self.lease_client.clone(),
            self.clock,
            self.health.pulse.clone(),
            metrics,
        );
        let Some(leadership) = candidate.lead(&self.shutdown).await else {
            return Ok(None);
        };
        let (lost, ends) = (leadership.lost().clone(), end.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = lost.cancelled() => ends.cancel(),
                () = ends.cancelled() => {}
            }
        });
        Ok(Some(Term {
            end,
            leadership: Some(leadership),
        }))
    }
}

impl Term {
    /// The right of the only replica.
    pub(crate) const fn without_lease(end: CancellationToken) -> Self {
        Self {
            end,
            leadership: None,
        }
    }

    /// There may have been another leader a moment ago.
    pub const fn follows(&self) -> bool {
        self.leadership.is_some()
    }

    /// Cancelled when the work has to end: at the shutdown, or when the lease is lost.
    pub const fn end(&self) -> &CancellationToken {
        &self.end
    }

    /// The work has ended: gives the lease back, or says that it was lost.
    pub async fn finish(self) -> Result<(), LeaseLost> {
        match self.leadership {
            Some(leadership) => leadership.end().await,
            None => Ok(()),
        }
    }
}

pub(crate) async fn serve(
    flags: HttpFlags,
    metrics_address: &str,
    (metrics, health): (&Metrics, &Health),
    election: bool,
    end: &CancellationToken,
) -> Result<(), RoleError> {
    let HttpFlags {
        http_endpoint,
        metrics_path,
    } = flags;
    let (flag, address) = match (&*http_endpoint, metrics_address) {
        ("", "") => return Ok(()),
        (address, "") => ("--http-endpoint", address),
        ("", address) => ("--metrics-address", address),
        (_, _) => return Err(RoleError::TwoAddresses),
    };
    let pages = Pages {
        metrics_path,
        metrics: metrics.clone(),
        health: health.clone(),
        // Upstream's old flag has no health beside it.
        election: election && flag == "--http-endpoint",
    };
    pages.check()?;
    let endpoint = Endpoint::open(flag, address).await?;
    tokio::spawn(endpoint.serve(pages, end.clone()));
    Ok(())
}
