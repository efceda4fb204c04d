//! Opens what a role stands on that answers instead of working: metrics and health, no lease.
//!
//! Every replica answers, so nobody is elected. Does not know what is asked.

use http::HeaderValue;
use kube::Client;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::info;

use crate::flags::HttpFlags;
use crate::http::Health;
use crate::metrics::dress;
use crate::role::serve;
use crate::{Metrics, RoleError};

/// What such a role stands on, from start to end. Metrics and health are served while it lives.
#[derive(Debug)]
pub struct Desk {
    /// The metrics of this role.
    pub metrics: Metrics,
    health: Health,
    agent: HeaderValue,
    _end: DropGuard,
}

impl Desk {
    /// Opens the role called `name`.
    pub async fn open(name: &str, http: HttpFlags) -> Result<Self, RoleError> {
        info!(version = env!("CARGO_PKG_VERSION"), "{name} starts");
        let agent = HeaderValue::try_from(format!("tintype/{name}"))
            .map_err(|_| RoleError::BadName(name.to_owned()))?;
        let metrics = Metrics::new()?;
        let health = Health::default();
        let end = CancellationToken::new();
        serve(http, "", (&metrics, &health), false, &end).await?;
        Ok(Self {
            metrics,
            health,
            agent,
            _end: end.drop_guard(),
        })
    }

    /// The same client, counted and under the role's name.
    pub fn client(&self, client: &Client) -> Client {
        dress(client, &self.agent, self.metrics.requests(), None)
    }

    /// From now on `/readyz` says that questions are answered.
    pub fn is_ready(&self) {
        self.health.is_ready();
    }
}
