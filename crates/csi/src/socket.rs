//! Takes a unix socket for a server: in a private folder, from nobody who still lives.
//!
//! It does not know what is served.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use crate::Address;
use crate::address::ASIDE;

/// Why a socket could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another server answers there.
    #[error("another process is serving at {0:?}; stop it or choose another socket")]
    InUse(PathBuf),
    /// Something else has that name.
    #[error("{0:?} exists and is not a socket; remove it or choose another path")]
    NotASocket(PathBuf),
    /// A system call failed.
    #[error("cannot {action} {path:?}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A bound socket; its file goes with it.
#[derive(Debug)]
pub struct Listener {
    pub(crate) listener: UnixListener,
    pub(crate) file: SocketFile,
}

/// The name in the file system, removed at the end.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Listener {
    /// Binds the socket: mode 0600, in a folder that is made with mode 0700 if it is missing.
    ///
    /// A socket that a dead process left is removed; one that answers is refused.
    pub async fn bind(address: &Address) -> Result<Self, BindError> {
        let path = address.path();
        let io = |action, path: &Path| {
            let path = path.to_owned();
            move |source| BindError::Io {
                action,
                path,
                source,
            }
        };
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(0o700);
            builder
                .create(folder)
                .map_err(io("make the folder", folder))?;
        }
        refuse_the_living(path).await?;
        // Prepared aside and renamed: nobody ever meets a socket with other permissions, and a
        // client that waits for the name finds a listener behind it.
        let mut aside = path.as_os_str().to_owned();
        aside.push(ASIDE);
        let aside = PathBuf::from(aside);
        match fs::remove_file(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io("remove", &aside)(error));
            }
            _ => {}
        }
        let listener = UnixListener::bind(&aside).map_err(io("bind", &aside))?;
        fs::set_permissions(&aside, Permissions::from_mode(0o600))
            .map_err(io("set the mode of", &aside))?;
        fs::rename(&aside, path).map_err(io("put the socket at", path))?;
        let inode = fs::symlink_metadata(path)
            .map_err(io("look at", path))?
            .ino();
        Ok(Self {
            listener,
            file: SocketFile {
                path: path.to_owned(),
                inode,
            },
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Not if somebody has taken the name meanwhile.
        if fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::debug!(path = %self.path.display(), %error, "the socket file stays");
        }
    }
}

async fn refuse_the_living(path: &Path) -> Result<(), BindError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Ok(found) if found.file_type().is_socket() => {}
        Ok(_) => return Err(BindError::NotASocket(path.to_owned())),
        Err(source) => {
            return Err(BindError::Io {
                action: "look at",
                path: path.to_owned(),
                source,
            });
        }
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(BindError::InUse(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            tracing::info!(path = %path.display(), "taking over the socket of a dead process");
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(BindError::Io {
            action: "connect to",
            path: path.to_owned(),
            source,
        }),
    }
}
