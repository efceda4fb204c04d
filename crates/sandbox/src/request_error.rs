//! Says why a request to the Kubernetes API failed: the server's own words, or the connection's.
//! Knows nothing of what was asked.

use std::{error::Error, fmt};

/// A failed request. kube's own text has the server's answer a second time, as Rust prints it.
#[derive(Debug)]
pub struct RequestError(Box<kube::Error>);

impl From<kube::Error> for RequestError {
    fn from(error: kube::Error) -> Self {
        Self(Box::new(error))
    }
}

impl RequestError {
    /// What was to be made is there already.
    pub fn is_already_exists(&self) -> bool {
        matches!(&*self.0, kube::Error::Api(status) if status.is_already_exists())
    }

    /// What was asked for is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(&*self.0, kube::Error::Api(status) if status.is_not_found())
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            kube::Error::Api(status) if !status.message.is_empty() => f.write_str(&status.message),
            kube::Error::Api(status) => write!(f, "{} ({})", status.reason, status.code),
            other => other.fmt(f),
        }
    }
}

impl Error for RequestError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &*self.0 {
            kube::Error::Api(_) => None,
            other => other.source(),
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn the_servers_words_are_said_once() {
        let status = Status::failure("claims \"x\" not found", "NotFound").with_code(404);
        let error = RequestError::from(kube::Error::Api(status.boxed()));
        assert_eq!(error.to_string(), "claims \"x\" not found");
        assert!(error.source().is_none());
    }
}
