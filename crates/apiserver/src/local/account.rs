//! Holds the token that a service account in this process presents, and gets a new one in time.
//!
//! Knows nothing of requests.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use http::HeaderValue;

use crate::auth::Tokens;

const LIFE: Duration = Duration::from_secs(3600);
/// A kubelet renews at 80 % of a token's life, so do we.
const RENEW: Duration = Duration::from_secs(2880);

#[derive(Debug)]
pub(super) struct Account {
    tokens: Arc<Tokens>,
    namespace: String,
    name: String,
    held: Mutex<Option<Held>>,
}

#[derive(Debug)]
struct Held {
    header: HeaderValue,
    renew_at: SystemTime,
    /// The account's version that the token was made from: a deleted and recreated one has another.
    version: u64,
}

impl Account {
    pub(super) fn new(tokens: Arc<Tokens>, namespace: &str, name: &str) -> Self {
        Self {
            tokens,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            held: Mutex::default(),
        }
    }

    /// The header to send, or why there is none.
    pub(super) fn header(&self, now: SystemTime) -> Result<HeaderValue, String> {
        let Self {
            tokens,
            namespace,
            name,
            ..
        } = self;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = &*held
            && now < held.renew_at
            && tokens.account_version(namespace, name) == Some(held.version)
        {
            return Ok(held.header.clone());
        }
        let account = tokens.account(namespace, name);
        let (private, version) =
            account.ok_or_else(|| format!("there is no service account {namespace}/{name}"))?;
        let token = tokens.issue(private, &[], LIFE, now);
        let token = token.ok_or("the system gives no random numbers")?;
        let mut header =
            HeaderValue::try_from(format!("Bearer {token}")).map_err(|error| error.to_string())?;
        header.set_sensitive(true);
        *held = Some(Held {
            header: header.clone(),
            renew_at: now + RENEW,
            version,
        });
        Ok(header)
    }
}
