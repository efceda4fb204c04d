//! Issues the tokens of service accounts, and says whom a token stands for while it holds.
//!
//! A token holds until it expires, and as long as its account and the object it is bound to are
//! there. Knows nothing of requests.

mod claims;
mod holders;
mod jwt;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use claims::Claims;
pub(crate) use claims::{Private, Reference};
use holders::Holders;
pub use jwt::KeyError;
use jwt::SigningKey;

use super::user::User;
use crate::store::Store;

/// As kubeadm names it. Tokens without an audience of their own are for the issuer.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// Checking a signature costs some 100 µs, so tokens that were good are remembered, up to this many.
const REMEMBERED: usize = 1024;

/// Issues and checks the tokens of one server.
pub(crate) struct Tokens {
    key: SigningKey,
    store: Store,
    known: Mutex<HashMap<String, Arc<Known>>>,
}

/// A token whose signature was checked.
#[derive(Debug)]
struct Known {
    claims: Claims,
    user: Arc<User>,
    holders: Holders,
}

/// Whom a token stands for, and for which of the asked audiences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bearer {
    pub user: Arc<User>,
    pub audiences: Vec<String>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    /// `key` is a P-256 private key in PKCS #8, DER.
    pub(crate) fn new(key: &[u8], store: Store) -> Result<Self, KeyError> {
        Ok(Self {
            key: SigningKey::from_pkcs8(key)?,
            store,
            known: Mutex::default(),
        })
    }

    /// A token for an account, good from `now` on for `life`; none only if the system has no random
    /// numbers. No audiences means the server itself.
    pub(crate) fn issue(
        &self,
        private: Private,
        audiences: &[String],
        life: Duration,
        now: SystemTime,
    ) -> Option<String> {
        let now = seconds(now);
        let claims = Claims {
            aud: or_ours(audiences),
            exp: now.saturating_add(life.as_secs()),
            iat: now,
            iss: ISSUER.to_owned(),
            jti: uuid::Uuid::new_v4().to_string(),
            nbf: now,
            sub: private.subject(),
            private,
        };
        self.key.sign(&json!(claims))
    }

    /// An account as a token names it, with the version it has; none if it is not there.
    pub(crate) fn account(&self, namespace: &str, name: &str) -> Option<(Private, u64)> {
        let object = self
            .store
            .get("serviceaccounts", &format!("{namespace}/{name}"))?;
        let uid = object.value()["metadata"]["uid"].as_str()?.to_owned();
        let serviceaccount = Reference {
            name: name.to_owned(),
            uid,
        };
        let private = Private {
            namespace: namespace.to_owned(),
            node: None,
            pod: None,
            secret: None,
            serviceaccount,
        };
        Some((private, object.rv))
    }

    /// The version an account has; none if it is not there.
    pub(crate) fn account_version(&self, namespace: &str, name: &str) -> Option<u64> {
        let object = self
            .store
            .get("serviceaccounts", &format!("{namespace}/{name}"))?;
        Some(object.rv)
    }

    /// Whom the token stands for now, for one of `audiences`. The error is for the log and for reviews.
    pub(crate) fn check(
        &self,
        token: &str,
        audiences: &[String],
        now: SystemTime,
    ) -> Result<Bearer, String> {
        let known = self.recall(token, now)?;
        let claims = &known.claims;
        let at = seconds(now);
        if at >= claims.exp {
            self.lock().remove(token);
            return Err("service account token has expired".to_owned());
        }
        if at < claims.nbf {
            return Err("service account token is not valid yet".to_owned());
        }
        let wanted = or_ours(audiences);
        let common = wanted
            .iter()
            .filter(|audience| claims.aud.contains(audience));
        let common: Vec<String> = common.cloned().collect();
        if common.is_empty() {
            return Err(format!(
                "token audiences {:?} is invalid for the target audiences {wanted:?}",
                claims.aud
            ));
        }
        Ok(Bearer {
            user: Arc::clone(&known.user),
            audiences: common,
        })
    }

    fn recall(&self, token: &str, now: SystemTime) -> Result<Arc<Known>, String> {
        let known = self.lock().get(token).cloned();
        if let Some(known) = &known
            && known.holders.unchanged(&self.store)
        {
            return Ok(Arc::clone(known));
        }
        let claims = match known {
            Some(known) => known.claims.clone(),
            None => self.claims(token)?,
        };
        let holders = Holders::find(&self.store, &claims.private, now).inspect_err(|_| {
            self.lock().remove(token);
        })?;
        let known = Arc::new(Known {
            user: Arc::new(claims.private.user(&claims.jti)),
            claims,
            holders,
        });
        let mut all = self.lock();
        if all.len() >= REMEMBERED {
            all.clear();
        }
        all.insert(token.to_owned(), Arc::clone(&known));
        Ok(known)
    }

    /// What a token claims that we signed.
    fn claims(&self, token: &str) -> Result<Claims, String> {
        let claims = self.key.verify(token).ok_or("not a token of this server")?;
        let claims: Claims = serde_json::from_slice(&claims).map_err(|error| error.to_string())?;
        if claims.iss != ISSUER || claims.sub != claims.private.subject() {
            return Err("the token's claims contradict each other".to_owned());
        }
        Ok(claims)
    }

    /// The keys that others may check tokens with: `/openid/v1/jwks`.
    pub(crate) fn keys(&self) -> Value {
        json!({"keys": [self.key.public()]})
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Known>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn or_ours(audiences: &[String]) -> Vec<String> {
    match audiences {
        [] => vec![ISSUER.to_owned()],
        some => some.to_vec(),
    }
}

fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests;
