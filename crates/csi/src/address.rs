//! Reads where a driver listens: a path or a `unix://` URL.
//!
//! It does not know whether anybody is there.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where a driver's unix socket is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address(PathBuf);

/// What is wrong with an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing was given.
    #[error("the CSI address is empty; give the path of the driver's unix socket")]
    Empty,
    /// A network address or an abstract socket.
    #[error(
        "the CSI address {0:?} is not a unix socket; give a path such as /run/csi/socket or \
         unix:///run/csi/socket"
    )]
    NotUnix(String),
    /// The kernel would refuse it.
    #[error(
        "the socket path {path:?} has {length} bytes and the kernel takes at most {MAX_PATH}; \
         use a shorter folder"
    )]
    TooLong {
        /// The path.
        path: PathBuf,
        /// Its length.
        length: usize,
    },
}

/// `sun_path` has 108 bytes, the last of which ends the string.
const MAX_PATH: usize = 107;

/// What the server adds to the path while it prepares the socket.
pub(crate) const ASIDE: &str = ".new";

impl Address {
    /// Takes a path as it is.
    pub fn at(path: impl Into<PathBuf>) -> Result<Self, AddressError> {
        let path = path.into();
        let length = path.as_os_str().len();
        if length == 0 {
            return Err(AddressError::Empty);
        }
        if length > MAX_PATH - ASIDE.len() {
            return Err(AddressError::TooLong {
                path,
                length: length + ASIDE.len(),
            });
        }
        Ok(Self(path))
    }

    /// The socket's path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let path = text
            .strip_prefix("unix://")
            .or_else(|| text.strip_prefix("unix:"));
        let path = path.unwrap_or(text);
        if path.contains("://") || path.starts_with('@') {
            return Err(AddressError::NotUnix(text.to_owned()));
        }
        Self::at(path)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "unix://{}", self.0.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_urls_mean_the_same() {
        for text in [
            "/run/csi/socket",
            "unix:///run/csi/socket",
            "unix:/run/csi/socket",
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.path(), Path::new("/run/csi/socket"), "{text}");
        }
        let relative: Address = "unix://csi.sock".parse().unwrap();
        assert_eq!(relative.path(), Path::new("csi.sock"));
    }

    #[test]
    fn what_is_no_unix_socket_is_refused_by_name() {
        for text in [
            "tcp://127.0.0.1:1",
            "dns:///x",
            "unix://@abstract",
            "@abstract",
        ] {
            assert_eq!(
                text.parse::<Address>(),
                Err(AddressError::NotUnix(text.to_owned()))
            );
        }
        assert_eq!("".parse::<Address>(), Err(AddressError::Empty));
        assert_eq!("unix://".parse::<Address>(), Err(AddressError::Empty));
        let long = "/".repeat(200).parse::<Address>();
        assert!(
            matches!(long, Err(AddressError::TooLong { .. })),
            "{long:?}"
        );
    }
}
