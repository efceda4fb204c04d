//! Lets a request in from any side: finds out who makes it, then hands it to the API.
//!
//! TLS connections and callers in this process come through here alike. Knows nothing of sockets or resources.

mod roles;

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use http::request::Parts;
use http::{Request, Response};
use tokio::sync::OnceCell;

use crate::audit::{Audit, Received, Who};
use crate::auth::{User, authenticate, impersonation};
use crate::body::Body;
use crate::pki;
use crate::rest::Api;
use crate::status::Failure;
use crate::tls::Answer;

#[derive(Debug)]
pub(crate) struct Door {
    api: Arc<Api>,
    /// The roles everybody counts on are there.
    roles: OnceCell<()>,
    audit: OnceLock<Audit>,
}

impl Door {
    pub(crate) fn new(api: Arc<Api>) -> Self {
        Self {
            api,
            roles: OnceCell::new(),
            audit: OnceLock::new(),
        }
    }

    /// Writes a line for each request from now on. Only the first call counts.
    pub(crate) fn audit(&self, path: &Path) -> io::Result<()> {
        let audit = Audit::open(path)?;
        let _ = self.audit.set(audit);
        Ok(())
    }
}

impl Answer for Door {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        self.roles.get_or_init(|| roles::ensure(&self.api)).await;
        let (parts, body) = request.into_parts();
        let audit = self.audit.get().map(|audit| (audit, Received::new(&parts)));
        let made_by = self.made_by(&parts);
        let made_as = made_by.as_ref().map_err(Failure::clone).and_then(|user| {
            let other = self.made_as(&parts, user)?;
            Ok((Arc::clone(user), other))
        });
        let response = match &made_as {
            Ok((user, other)) => {
                let request = Request::from_parts(parts, body);
                let user = other.as_ref().unwrap_or(user);
                self.api.handle(user, request).await
            }
            Err(failure) => self.api.refuse(&parts, failure.clone()),
        };
        if let Some((audit, received)) = audit {
            let who = Who {
                user: made_by.as_deref().ok(),
                impersonated: made_as
                    .as_ref()
                    .ok()
                    .and_then(|(_, other)| other.as_deref()),
            };
            audit.answered(received, &who, &response);
        }
        response
    }
}

impl Door {
    /// Who makes the request.
    fn made_by(&self, parts: &Parts) -> Result<Arc<User>, Failure> {
        let now = pki::now();
        let by_token = |token: &str| {
            let bearer = self.api.access.tokens.check(token, &[], now)?;
            Ok(bearer.user)
        };
        authenticate(parts, now, by_token).map_err(|reason| {
            tracing::debug!(path = parts.uri.path(), %reason, "unauthenticated");
            Failure::unauthorized()
        })
    }

    /// Whom they want to make it as, and may.
    fn made_as(&self, parts: &Parts, user: &User) -> Result<Option<Arc<User>>, Failure> {
        let Some(other) = impersonation(&parts.headers).map_err(Failure::bad_request)? else {
            return Ok(None);
        };
        for check in other.checks() {
            self.api.authorize(user, &check)?;
        }
        Ok(Some(Arc::new(other.into_user())))
    }
}
