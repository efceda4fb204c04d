//! Runs a whole cluster in this process: API server, binder, driver and roles.
//!
//! The parts meet only through the Kubernetes API and the driver's socket, each with its own
//! identity and upstream's rights. This is `tintype up`, the demo's sandbox, and what whole-system
//! tests use. It knows none of the rules by which the parts work.

use std::{
    fs::File,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    time::Duration,
};

use kube::Client;
use tintype_csi::Address;
use tintype_driver::Driver;
use tokio::{
    task::{JoinSet, spawn_blocking},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::mount::{self, MountError};

mod folder;
mod install;
mod kubeconfig;
mod options;
mod roles;

pub use folder::FolderError;
pub(crate) use folder::remove_tree;
pub use install::InstallError;
pub use kubeconfig::KubeconfigError;
pub use options::{DRIVER_NAME, Options};

/// Cluster, user and context in the kubeconfig have this name.
const NAME: &str = "tintype";

/// Together below the two seconds that a person waits for a prompt.
const ROLES_END: Duration = Duration::from_millis(900);
const REST_ENDS: Duration = Duration::from_millis(900);

/// It ends with the rest, unless something has to be unmounted on a slow disk: worth waiting for.
const STORAGE_ENDS: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(
        "port {port} is taken; stop what listens there, choose another with --port, \
         or let one be chosen with --port 0"
    )]
    Port { port: u16, source: io::Error },
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
    #[error("cannot open the API server's data")]
    Server(#[from] tintype_apiserver::OpenError),
    #[error(transparent)]
    Bind(io::Error),
    #[error("cannot write the audit log {}", .path.display())]
    AuditLog {
        path: std::path::PathBuf,
        source: io::Error,
    },
    #[error(transparent)]
    Install(#[from] InstallError),
    #[error(transparent)]
    Address(#[from] tintype_csi::AddressError),
    #[error("cannot open the storage")]
    Storage(#[from] tintype_driver::OpenError),
    #[error("the driver did not come up")]
    DriverSilent(#[source] tintype_csi::ConnectError),
    #[error("the driver came up and is not well")]
    DriverIll(#[source] tintype_csi::CallError),
    #[error(transparent)]
    Ended(#[from] EndedError),
    #[error("the webhook did not come up")]
    Webhook(#[source] anyhow::Error),
    #[error("a worker of the start ended early")]
    Worker(#[from] tokio::task::JoinError),
}

/// A part that should have gone on.
#[derive(Debug, thiserror::Error)]
#[error("{part} ended")]
pub struct EndedError {
    pub part: &'static str,
    pub source: Option<anyhow::Error>,
}

type Parts = JoinSet<(&'static str, anyhow::Result<()>)>;

/// A running cluster. Dropped without [`Cluster::stop`], it ends at once.
pub struct Cluster {
    options: Options,
    address: SocketAddr,
    client: Client,
    server: tintype_apiserver::Server,
    roles: Parts,
    rest: Parts,
    storage: Parts,
    end_roles: CancellationToken,
    end_rest: CancellationToken,
    _lock: File,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Starts everything. Returns when every part is up and the installed kinds are served.
    ///
    /// Whatever makes a start impossible is found before anything is written.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let folder = folder::Folder::look(&options.data_dir, &options.driver_name)?;
        kubeconfig::check(&options.kubeconfig(), NAME)?;
        free(options.port)?;
        let socket = Address::at(options.data_dir.socket())?;
        let lock = folder.take()?;
        let storage = options.clone();
        let driver = spawn_blocking(move || roles::open_driver(&storage)).await??;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
        let server = tintype_apiserver::Server::open(tintype_apiserver::Config {
            data_dir: options.data_dir.api(),
            addr: address,
        })?;
        if let Some(path) = &options.audit_log {
            server.audit(path).map_err(|source| StartError::AuditLog {
                path: path.clone(),
                source,
            })?;
        }
        let address = server.bind().await.map_err(StartError::Bind)?;
        // The certificate authority is ours alone: nobody else can have this name.
        let client = roles::client(&server, "tintype:sandbox", &["system:masters"]);
        let mut cluster = Self {
            options,
            address,
            client,
            server,
            roles: Parts::new(),
            rest: Parts::new(),
            storage: Parts::new(),
            end_roles: CancellationToken::new(),
            end_rest: CancellationToken::new(),
            _lock: lock,
        };
        cluster.bring_up(driver, &socket).await?;
        Ok(cluster)
    }

    async fn bring_up(&mut self, driver: Driver, socket: &Address) -> Result<(), StartError> {
        let (server, end) = (self.server.clone(), self.end_rest.clone());
        self.rest.spawn(async move {
            server.serve(end).await;
            ("the API server", Ok(()))
        });
        self.server.spawn_controllers(self.end_rest.clone());
        let (server, end) = (self.server.clone(), self.end_rest.clone());
        self.rest.spawn(async move {
            let ended = tokio::select! {
                () = end.cancelled() => Ok(()),
                part = server.closed() => Err(part.into()),
            };
            ("a part of the API server", ended)
        });
        roles::driver(
            &mut self.storage,
            driver,
            socket.clone(),
            self.end_rest.clone(),
        );
        let ready = async {
            let classes = self.options.default_classes;
            let webhook = self.options.webhook;
            install::install(&self.client, &self.options.driver_name, classes, webhook).await?;
            roles::driver_answers(socket).await
        };
        tokio::select! {
            ready = ready => ready?,
            ended = first_end(&mut self.rest) => return Err(ended.into()),
            ended = first_end(&mut self.storage) => return Err(ended.into()),
        }
        if self.options.webhook {
            let end = self.end_rest.clone();
            let address = roles::webhook(&mut self.rest, &self.server, end).await?;
            install::webhook_is_at(&self.client, address).await?;
        }
        roles::all(
            &mut self.roles,
            &self.server,
            socket,
            &self.end_roles,
            self.options.without,
        );
        let kubeconfig = self.server.kubeconfig(self.address);
        Ok(kubeconfig::write(&self.options.kubeconfig(), &kubeconfig)?)
    }

    /// A client with all rights, in this process.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Where the API is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Shows the volume of a claim at `target`, which must be absolute.
    pub async fn mount(
        &self,
        namespace: &str,
        claim: &str,
        target: &Path,
    ) -> Result<(), MountError> {
        let found = mount::find(&self.client, namespace, claim).await?;
        let node = mount::Node::connect(&self.options.data_dir).await?;
        Ok(node.mount(&found, target).await?)
    }

    /// Takes away what was shown at `target`.
    pub async fn unmount(&self, target: &Path) -> Result<(), MountError> {
        let node = mount::Node::connect(&self.options.data_dir).await?;
        Ok(node.unmount(target).await?)
    }

    /// Waits for a part to end that should not have.
    pub async fn ended(&mut self) -> EndedError {
        tokio::select! {
            ended = first_end(&mut self.roles) => ended,
            ended = first_end(&mut self.rest) => ended,
            ended = first_end(&mut self.storage) => ended,
        }
    }

    /// Ends all parts: the roles first, while there still is an API to say goodbye to.
    pub async fn stop(mut self) {
        self.end_roles.cancel();
        finish(&mut self.roles, ROLES_END).await;
        self.end_rest.cancel();
        finish(&mut self.rest, REST_ENDS).await;
        finish(&mut self.storage, STORAGE_ENDS).await;
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end_roles.cancel();
        self.end_rest.cancel();
    }
}

async fn finish(parts: &mut Parts, patience: Duration) {
    let all = async {
        while let Some(part) = parts.join_next().await {
            if let Ok((part, Err(error))) = part {
                tracing::warn!(part, error = format!("{error:#}"), "did not end well");
            }
        }
    };
    if timeout(patience, all).await.is_err() {
        tracing::warn!(
            left = parts.len(),
            "some parts did not end in time and were cut off"
        );
        parts.shutdown().await;
    }
}

async fn first_end(parts: &mut Parts) -> EndedError {
    match parts.join_next().await {
        Some(Ok((part, Ok(())))) => EndedError { part, source: None },
        Some(Ok((part, Err(error)))) => EndedError {
            part,
            source: Some(error),
        },
        Some(Err(panic)) => EndedError {
            part: "a part",
            source: Some(panic.into()),
        },
        // Nothing has been started yet, so nothing ends.
        None => std::future::pending().await,
    }
}

/// Whether the port can be had: asked before the data dir is touched.
fn free(port: u16) -> Result<(), StartError> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(source) => Err(StartError::Port { port, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_with_a_cure() {
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = held.local_addr().unwrap().port();
        let error = free(port).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("port {port} is taken;")),
            "{error}"
        );
        drop(held);
        free(port).unwrap();
    }
}
