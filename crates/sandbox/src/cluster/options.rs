//! Says what kind of sandbox is wanted.
//! Knows nothing of how it is run.

use std::path::PathBuf;

use crate::data_dir::DataDir;

/// The name of our driver, and of the provisioner in the default class.
pub const DRIVER_NAME: &str = "csi.tintype.dev";

/// What to run, and where.
#[derive(Debug, Clone)]
pub struct Options {
    pub data_dir: DataDir,
    /// TLS on loopback; 0 takes any free port.
    pub port: u16,
    /// Where to write the kubeconfig; else into the data dir.
    pub kubeconfig: Option<PathBuf>,
    /// Where to write a line for each request to the API; else nowhere.
    pub audit_log: Option<PathBuf>,
    pub driver_name: String,
    pub driver_backend: tintype_driver::BackendChoice,
    /// Bytes that backend `image` may take; else most of what there is.
    pub driver_pool_size: Option<u64>,
    /// Groups also with a backend that copies one volume after the other.
    pub allow_non_atomic_groups: bool,
    /// Install a StorageClass and a VolumeSnapshotClass that are the default.
    pub default_classes: bool,
    /// Run the webhook: group snapshots are converted between their versions and objects validated by it.
    pub webhook: bool,
    /// Roles, by name, that somebody else runs against this cluster.
    pub without: &'static [&'static str],
}

impl Options {
    /// A sandbox in `data_dir` on any free port, with a driver that needs no rights, as tests want
    /// it: nothing stays mounted if they are killed.
    pub fn in_folder(data_dir: DataDir) -> Self {
        Self {
            data_dir,
            port: 0,
            kubeconfig: None,
            audit_log: None,
            driver_name: DRIVER_NAME.to_owned(),
            driver_backend: tintype_driver::BackendChoice::Directory,
            driver_pool_size: None,
            allow_non_atomic_groups: false,
            default_classes: true,
            webhook: false,
            without: &[],
        }
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.kubeconfig
            .clone()
            .unwrap_or_else(|| self.data_dir.kubeconfig())
    }
}
