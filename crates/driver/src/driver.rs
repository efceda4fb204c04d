//! Opens a store and serves it over CSI.
//!
//! It does not know what the calls do; those are in `volumes`, `snapshots` and `publish`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tintype_csi::v1::controller_server::ControllerServer;
use tintype_csi::v1::group_controller_server::GroupControllerServer;
use tintype_csi::v1::identity_server::IdentityServer;
use tintype_csi::v1::node_server::NodeServer;
use tintype_csi::{Address, BindError, Listener, ServeError};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::service::Routes;

use crate::args::BackendChoice;
use crate::backend::Backend;
use crate::catalog::Catalog;
use crate::choose::{self, Opened};
use crate::locks::{Hold, Key, Locks};
use crate::publications::Publications;
use crate::publish;
use crate::record::Volume;
use crate::refusal::Refusal;
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
    /// Bytes that the pool of backend `image` may have; else most of what the data dir has.
    pub pool_size: Option<u64>,
    /// Cut groups also where that takes one volume after the other.
    pub allow_non_atomic_groups: bool,
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
        let claim = Claim::take(&config.data_dir)?;
        let Opened {
            backend,
            shelf,
            reason,
        } = choose::open(&config, &claim)?;
        let catalog = Catalog::load(backend.as_ref())?;
        for leftover in catalog.leftovers() {
            let (id, group) = (&leftover.id, &leftover.group);
            backend.delete_snapshot(id)?;
            catalog.drop_snapshot(id);
            tracing::info!(
                id,
                ?group,
                "removed a member of a group that was never finished"
            );
        }
        backend.tidy(&|id| catalog.has_volume(id))?;
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
            .add_service(GroupControllerServer::new(self.clone()))
            .add_service(NodeServer::new(self.clone()));
        let inner = Arc::clone(&self.inner);
        let ending = async move {
            shutdown.cancelled().await;
            inner.stop.store(true, Ordering::Relaxed);
        };
        let served = tintype_csi::serve(listener, routes, ending, DRAIN).await;
        let inner = Arc::clone(&self.inner);
        if let Err(error) = tokio::task::spawn_blocking(move || inner.close()).await {
            tracing::error!(%error, "the store was not closed");
        }
        Ok(served?)
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

    /// Lets go of all that is not in use: what is published goes on without us.
    fn close(&self) {
        for id in self.backend.attached() {
            let found = self.catalog.volume(&id, self.backend.as_ref());
            let outcome = found.and_then(|it| it.map_or(Ok(()), |volume| self.let_go(&volume)));
            if let Err(refusal) = outcome {
                tracing::debug!(id, %refusal, "stays attached");
            }
        }
        if let Err(refusal) = self.backend.close() {
            tracing::info!(%refusal, "left for the next start to adopt");
        }
    }

    fn let_go(&self, volume: &Volume) -> Result<(), Refusal> {
        let published = self.publications.of(&volume.id);
        if !published.is_empty() {
            let source = self.backend.exposed(volume)?;
            if published.iter().any(|it| publish::is_live(it, &source)) {
                return Ok(());
            }
        }
        self.backend.detach(volume)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Again, if it was served: what was under way then has ended by now.
        self.close();
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
    // CSI, Topology: values are as those of labels.
    let inner = |byte: u8| plain(byte) || byte == b'_';
    for (key, value) in &config.topology {
        let bytes = value.as_bytes();
        if bytes.len() > 63
            || !value.bytes().all(inner)
            || !ends(bytes.first())
            || !ends(bytes.last())
        {
            let (key, value) = (key.clone(), value.clone());
            return Err(OpenError::BadPlace { key, value });
        }
    }
    Ok(())
}
