//! Opens a store and serves it over CSI.
//!
//! It does not know what the calls do; those are in `volumes`, `snapshots` and `publish`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tintype_csi::v1::controller_server::ControllerServer;
use tintype_csi::v1::identity_server::IdentityServer;
use tintype_csi::v1::node_server::NodeServer;
use tintype_csi::{Address, BindError, Listener, ServeError};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::service::Routes;

use crate::args::BackendChoice;
use crate::backend::Backend;
use crate::catalog::Catalog;
use crate::directory::Directory;
use crate::locks::{Hold, Key, Locks};
use crate::null::Null;
use crate::publications::Publications;
use crate::refusal::Refusal;
use crate::shelf::Shelf;
use crate::store::{Claim, OpenError};

/// What a driver needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where volumes and snapshots are kept; made if missing.
    pub data_dir: PathBuf,
    /// What the driver calls itself.
    pub driver_name: String,
    /// How bytes are kept.
    pub backend: BackendChoice,
    /// What this node is called.
    pub node_id: String,
    /// Where this node is; empty: volumes are not bound to a place.
    pub topology: BTreeMap<String, String>,
}

/// An opened store. Clones share it.
#[derive(Clone, Debug)]
pub struct Driver {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) catalog: Catalog,
    pub(crate) publications: Publications,
    locks: Locks,
    /// Tells long copies to end.
    pub(crate) stop: AtomicBool,
    reason: String,
    /// Last, so that the folder is free only when nothing uses it.
    claim: Claim,
}

/// Why serving ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// How long calls under way may take to end.
const DRAIN: Duration = Duration::from_millis(1500);

impl Driver {
    /// Opens the store, sweeps what an earlier run left half done, and reads what exists.
    pub fn open(config: Config) -> Result<Self, OpenError> {
        check_names(&config)?;
        if config.backend == BackendChoice::Image {
            return Err(OpenError::NoImages);
        }
        let claim = Claim::take(&config.data_dir)?;
        let found = claim.backend()?;
        let (name, reason) = choose(config.backend, found.as_deref());
        match found {
            None => claim.label(name)?,
            Some(found) if found == name => {}
            Some(found) => {
                let path = claim.root.clone();
                return Err(OpenError::OtherBackend {
                    path,
                    found,
                    asked: name,
                });
            }
        }
        let shelf = Arc::new(Shelf::open(&claim.root)?);
        let backend: Box<dyn Backend> = match name {
            "null" => Box::new(Null::open(&claim.root)?),
            _ => Box::new(Directory::new(Arc::clone(&shelf))),
        };
        let catalog = Catalog::load(backend.as_ref())?;
        let publications = Publications::load(shelf)?;
        let (locks, stop) = (Locks::default(), AtomicBool::new(false));
        let inner = Inner {
            config,
            backend,
            catalog,
            publications,
            locks,
            stop,
            reason,
            claim,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Which backend is used, and why.
    pub fn backend(&self) -> (&'static str, &str) {
        (self.inner.backend.name(), &self.inner.reason)
    }

    /// Serves all services at the socket until told to stop; a driver serves once.
    pub async fn serve(
        self,
        address: &Address,
        shutdown: CancellationToken,
    ) -> Result<(), RunError> {
        let listener = Listener::bind(address).await?;
        let (backend, why) = self.backend();
        let driver = &self.inner.config.driver_name;
        let data_dir = self.inner.config.data_dir.display();
        tracing::info!(%address, driver, backend, why, %data_dir, "serving CSI");
        let routes = Routes::new(IdentityServer::new(self.clone()))
            .add_service(ControllerServer::new(self.clone()))
            .add_service(NodeServer::new(self.clone()));
        let inner = Arc::clone(&self.inner);
        let ending = async move {
            shutdown.cancelled().await;
            inner.stop.store(true, Ordering::Relaxed);
        };
        tintype_csi::serve(listener, routes, ending, DRAIN).await?;
        Ok(())
    }

    /// Does blocking work under locks. Once begun it goes on even if the caller gives up, so that
    /// a retry finds it done or waits for it.
    pub(crate) async fn perform<T: Send + 'static>(
        &self,
        keys: &[(Key, Hold)],
        work: impl FnOnce(&Inner) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Status> {
        let guards = self.inner.locks.take(keys).await;
        let inner = Arc::clone(&self.inner);
        let task = tokio::task::spawn_blocking(move || {
            let outcome = work(&inner);
            drop(guards);
            outcome
        });
        match task.await {
            Ok(outcome) => Ok(outcome?),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(Refusal::Stopping.into()),
        }
    }
}

impl Inner {
    /// The store's folder, without symlinks in its path.
    pub(crate) fn root(&self) -> &Path {
        &self.claim.root
    }
}

/// The backend, and in words why it.
fn choose(choice: BackendChoice, found: Option<&str>) -> (&'static str, String) {
    match (choice, found) {
        (BackendChoice::Null, _) => ("null", "asked for".to_owned()),
        (BackendChoice::Directory, _) => ("directory", "asked for".to_owned()),
        (_, Some("null")) => ("null", "the data dir was made with it".to_owned()),
        (_, Some(_)) => ("directory", "the data dir was made with it".to_owned()),
        (_, None) => (
            "directory",
            "auto: it works everywhere; `image` is not there yet".to_owned(),
        ),
    }
}

fn check_names(config: &Config) -> Result<(), OpenError> {
    let name = &config.driver_name;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    // CSI, GetPluginInfo: domain name notation, at most 63 characters.
    if bytes.len() > 63 || !name.bytes().all(plain) || !ends(bytes.first()) || !ends(bytes.last()) {
        return Err(OpenError::BadName(name.clone()));
    }
    let node = &config.node_id;
    // CSI, NodeGetInfo: at most 192 bytes.
    if node.is_empty() || node.len() > 192 || node.chars().any(char::is_control) {
        return Err(OpenError::BadNode(node.clone()));
    }
    Ok(())
}
