//! Finds out who makes a request: a client certificate, else a bearer token, else nobody in particular.
//!
//! Knows nothing of what anybody may do, and reads nothing of the request but its headers and its connection's peer.

use std::sync::Arc;
use std::time::SystemTime;

use http::header::AUTHORIZATION;
use http::request::Parts;

use super::peer::PeerCertificate;
use super::user::User;

/// The request shows a proof of identity that does not hold; the reason is for the log, not for the client.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unauthenticated(pub(crate) String);

/// Who makes the request. Showing nothing is no failure, showing something false is. `by_token` says
/// whom a token stands for.
pub(crate) fn authenticate(
    parts: &Parts,
    now: SystemTime,
    by_token: impl FnOnce(&str) -> Result<Arc<User>, String>,
) -> Result<Arc<User>, Unauthenticated> {
    let by_certificate = match parts.extensions.get::<PeerCertificate>() {
        Some(PeerCertificate::Valid { user, not_after }) if now < *not_after => {
            return Ok(Arc::clone(user));
        }
        Some(PeerCertificate::Valid { .. }) => Some("the client certificate has expired"),
        Some(PeerCertificate::Invalid { reason }) => Some(reason.as_str()),
        None => None,
    };
    if let Some(token) = bearer_token(parts) {
        return by_token(token).map_err(Unauthenticated);
    }
    match by_certificate {
        Some(reason) => Err(Unauthenticated(reason.to_owned())),
        None => Ok(Arc::new(User::anonymous())),
    }
}

fn bearer_token(parts: &Parts) -> Option<&str> {
    let header = parts.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = header.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const START: SystemTime = SystemTime::UNIX_EPOCH;

    fn request(header: Option<&str>, peer: Option<PeerCertificate>) -> Parts {
        let mut request = http::Request::new(());
        if let Some(header) = header {
            let value = header.parse().expect("header value");
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        request.into_parts().0
    }

    fn valid() -> PeerCertificate {
        PeerCertificate::Valid {
            user: Arc::new(User::authenticated("jane".into(), vec![])),
            not_after: START + Duration::from_secs(10),
        }
    }

    fn invalid() -> PeerCertificate {
        PeerCertificate::Invalid {
            reason: "unknown issuer".into(),
        }
    }

    #[test]
    fn says_who_asks() {
        let name = |parts: Parts, at: u64| {
            let by_token = |token: &str| match token {
                "good" => Ok(Arc::new(User::authenticated("robot".into(), vec![]))),
                _ => Err("no such token".to_owned()),
            };
            authenticate(&parts, START + Duration::from_secs(at), by_token)
                .map(|user| user.name.clone())
                .map_err(|error| error.0)
        };
        let jane = Ok("jane".to_owned());
        let nobody = Ok("system:anonymous".to_owned());
        assert_eq!(name(request(None, Some(valid())), 0), jane);
        assert_eq!(name(request(Some("Bearer x"), Some(valid())), 0), jane);
        assert_eq!(name(request(None, None), 0), nobody);
        assert_eq!(name(request(Some("Basic x"), None), 0), nobody);
        let robot = Ok("robot".to_owned());
        assert_eq!(name(request(Some("Bearer good"), None), 0), robot);
        assert_eq!(
            name(request(Some("bearer  good"), Some(invalid())), 0),
            robot
        );
        for (parts, at) in [
            (request(None, Some(valid())), 10),
            (request(None, Some(invalid())), 0),
            (request(Some("Bearer x"), None), 0),
            (request(Some("bearer  x"), Some(invalid())), 0),
        ] {
            assert!(name(parts, at).is_err());
        }
    }
}
