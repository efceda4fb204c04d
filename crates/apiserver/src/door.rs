//! Lets a request in from any side: finds out who makes it, then hands it to the API.
//!
//! TLS connections and callers in this process come through here alike. Knows nothing of sockets or resources.

mod roles;

use std::sync::Arc;

use http::request::Parts;
use http::{Request, Response};
use tokio::sync::OnceCell;

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
}

impl Door {
    pub(crate) fn new(api: Arc<Api>) -> Self {
        Self {
            api,
            roles: OnceCell::new(),
        }
    }
}

impl Answer for Door {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        self.roles.get_or_init(|| roles::ensure(&self.api)).await;
        let (parts, body) = request.into_parts();
        match self.user_of(&parts) {
            Ok(user) => {
                let request = Request::from_parts(parts, body);
                self.api.handle(&user, request).await
            }
            Err(failure) => self.api.refuse(&parts, failure),
        }
    }
}

impl Door {
    /// The user that the request is made as: who makes it, or whom they may make it as.
    fn user_of(&self, parts: &Parts) -> Result<Arc<User>, Failure> {
        let now = pki::now();
        let by_token = |token: &str| {
            let bearer = self.api.access.tokens.check(token, &[], now)?;
            Ok(bearer.user)
        };
        let user = authenticate(parts, now, by_token).map_err(|reason| {
            tracing::debug!(path = parts.uri.path(), %reason, "unauthenticated");
            Failure::unauthorized()
        })?;
        let Some(other) = impersonation(&parts.headers).map_err(Failure::bad_request)? else {
            return Ok(user);
        };
        for check in other.checks() {
            self.api.authorize(&user, &check)?;
        }
        Ok(Arc::new(other.into_user()))
    }
}
