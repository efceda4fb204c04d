//! Says where in the sandbox's folder each thing is.
//! Knows names only: reads and writes nothing.
//!
//! ```text
//! <data-dir>/
//!   tintype.json       what the folder was made with: its version, the driver's name
//!   lock               held by the process that runs the sandbox
//!   api/               the API server's store and certificates
//!   storage/           the driver's volumes and snapshots
//!   csi.sock           the driver
//!   node/plugins/…     where volumes are staged, laid out as a kubelet does
//!   mounts/            one record per directory that `tintype mount` made
//!   kubeconfig
//! ```

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::words;

/// Where the folder is when nobody says.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error("neither XDG_DATA_HOME nor HOME is set; say where with --data-dir")]
    NoHome,
    #[error("cannot make {} absolute", .path.display())]
    Relative {
        path: PathBuf,
        source: std::io::Error,
    },
}

/// The sandbox's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// `path`, or `$XDG_DATA_HOME/tintype`, or `~/.local/share/tintype`; always absolute.
    pub fn choose(path: Option<&Path>) -> Result<Self, DataDirError> {
        let path = match path {
            Some(path) => path.to_owned(),
            None => Self::home()?.join("tintype"),
        };
        match std::path::absolute(&path) {
            Ok(path) => Ok(Self(path)),
            Err(source) => Err(DataDirError::Relative { path, source }),
        }
    }

    fn home() -> Result<PathBuf, DataDirError> {
        // The XDG base directory specification: a relative path is to be ignored.
        let set = |name| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        set("XDG_DATA_HOME")
            .or_else(|| Some(set("HOME")?.join(".local/share")))
            .ok_or(DataDirError::NoHome)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn socket(&self) -> PathBuf {
        self.0.join("csi.sock")
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.0.join("kubeconfig")
    }

    pub(crate) fn about(&self) -> PathBuf {
        self.0.join("tintype.json")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    pub(crate) fn api(&self) -> PathBuf {
        self.0.join("api")
    }

    pub fn storage(&self) -> PathBuf {
        self.0.join("storage")
    }

    pub(crate) fn mounts(&self) -> PathBuf {
        self.0.join("mounts")
    }

    /// Where a kubelet stages a volume; block volumes have a place of their own.
    pub(crate) fn staging(&self, driver: &str, handle: &str, volume: &str, block: bool) -> PathBuf {
        let plugins = self.0.join("node/plugins/kubernetes.io/csi");
        if block {
            return plugins.join("volumeDevices/staging").join(volume);
        }
        let hash = words::hex(&Sha256::digest(handle));
        plugins.join(driver).join(hash).join("globalmount")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_folder_is_made_absolute() {
        let dir = DataDir::choose(Some(Path::new("here"))).unwrap();
        assert!(dir.path().is_absolute() && dir.path().ends_with("here"));
    }

    #[test]
    fn volumes_are_staged_where_a_kubelet_would() {
        let dir = DataDir::choose(Some(Path::new("/d"))).unwrap();
        // printf vol-1 | sha256sum
        let hash = "d2e8363faaac7ae76def3b14091d8eb5755f6b92e9531627aeec833a8731cc49";
        let staged = dir.staging("d.example", "vol-1", "pvc-1", false);
        let wanted = "/d/node/plugins/kubernetes.io/csi/d.example";
        assert_eq!(staged, Path::new(wanted).join(hash).join("globalmount"));
        let block = dir.staging("d.example", "vol-1", "pvc-1", true);
        assert!(block.ends_with("volumeDevices/staging/pvc-1"));
    }
}
