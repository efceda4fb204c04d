//! Puts the parts together: a data folder opened, a port listened on, callers in this process, controllers.
//!
//! Knows nothing of requests; the public face of the crate.

mod supervised;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::auth::{KeyError, PeerVerifier, PeerVerifierError, Rbac, Tokens, service_account};
use crate::controllers::{self, Role};
use crate::door::Door;
use crate::kubeconfig;
use crate::local::{LocalClient, LocalService};
use crate::pki::{self, ClientCertificate, Pki, PkiError};
use crate::rest::{Access, Api, StoredRoles};
use crate::store::{self, Store};
use crate::tls::{SHUTDOWN_PATIENCE, Tls};
pub use supervised::PartEnded;
use supervised::Supervised;

/// Where a server keeps its data, and where it listens.
#[derive(Debug, Clone)]
pub struct Config {
    /// Holds the store and the certificates; made if it is not there. One server at a time.
    pub data_dir: PathBuf,
    /// Port 0 takes any free port.
    pub addr: SocketAddr,
}

/// Why a server cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Store(#[from] store::OpenError),
    #[error(transparent)]
    Pki(#[from] PkiError),
    #[error("the certificate authority cannot be used to know clients")]
    Clients(#[from] PeerVerifierError),
    #[error(transparent)]
    Tokens(#[from] KeyError),
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
}

/// A Kubernetes API server in this process. Clones are handles to the same server.
#[derive(Debug, Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    addr: SocketAddr,
    api: Arc<Api>,
    door: Arc<Door>,
    pki: Arc<Pki>,
    tokens: Arc<Tokens>,
    verifier: PeerVerifier,
    tls: Tls,
    admin: ClientCertificate,
    listener: Mutex<Option<TcpListener>>,
    /// The first controller that died.
    dead: watch::Sender<Option<PartEnded>>,
}

impl Server {
    /// Opens the data folder, or starts one.
    pub fn open(config: Config) -> Result<Self, OpenError> {
        Self::open_with(config, SHUTDOWN_PATIENCE)
    }

    /// The same, with requests under way at shutdown given `shutdown_patience` to end.
    fn open_with(config: Config, shutdown_patience: Duration) -> Result<Self, OpenError> {
        let Config { data_dir, addr } = config;
        // The store first: its lock keeps a second server from touching the certificates.
        let store = Store::open(&data_dir)?;
        let ip = addr.ip();
        let more_names: Vec<_> = (!ip.is_unspecified())
            .then(|| ip.to_string())
            .into_iter()
            .collect();
        let now = pki::now();
        let pki = Arc::new(Pki::open(&data_dir.join("pki"), &more_names, now)?);
        let tokens = Arc::new(Tokens::new(pki.token_key(), store.clone())?);
        let access = Access {
            authorizer: Arc::new(Rbac::new(Arc::new(StoredRoles(store.clone())))),
            tokens: Arc::clone(&tokens),
        };
        let api = Api::over(store, access);
        let verifier = PeerVerifier::new(pki.ca())?;
        let tls = Tls::new(&pki, verifier.clone(), shutdown_patience).map_err(OpenError::Tls)?;
        let admin = pki.issue_client("kubernetes-admin", &["system:masters"], now)?;
        let door = Arc::new(Door::new(Arc::clone(&api)));
        Ok(Self {
            inner: Arc::new(Inner {
                addr,
                api,
                door,
                pki,
                tokens,
                verifier,
                tls,
                admin,
                listener: Mutex::new(None),
                dead: watch::Sender::new(None),
            }),
        })
    }

    /// Appends a line to `path` for each request from now on: an event of `audit.k8s.io/v1` at the level Metadata.
    pub fn audit(&self, path: &Path) -> io::Result<()> {
        self.inner.door.audit(path)
    }

    /// Listens; connections wait until [`Server::serve`]. Gives the address with the port that was taken.
    pub async fn bind(&self) -> io::Result<SocketAddr> {
        let addr = self.inner.addr;
        allow_many_connections();
        let listener = TcpListener::bind(addr).await.map_err(|error| {
            let why = match error.kind() {
                io::ErrorKind::AddrInUse => {
                    "another process listens there; stop it, or choose another port (0 means any)"
                        .to_owned()
                }
                _ => error.to_string(),
            };
            io::Error::new(error.kind(), format!("cannot listen on {addr}: {why}"))
        })?;
        let addr = listener.local_addr()?;
        *self.listener() = Some(listener);
        Ok(addr)
    }

    /// Serves what was bound, until `shutdown`; then ends within a second.
    pub async fn serve(&self, shutdown: CancellationToken) {
        let Some(listener) = self.listener().take() else {
            tracing::error!("nothing to serve: bind first");
            return;
        };
        let door = Arc::clone(&self.inner.door);
        self.inner.tls.serve(listener, door, shutdown).await;
        self.inner.api.close();
    }

    /// A caller in this process. It presents a client certificate of this server's authority for `user`, a member of
    /// `groups`, and is authenticated, authorized, admitted and counted like a caller over TLS.
    pub fn local(&self, user: &str, groups: &[&str]) -> LocalService {
        let Inner {
            door,
            pki,
            verifier,
            ..
        } = &*self.inner;
        LocalService::new(Arc::clone(door), pki, verifier, user, groups)
    }

    /// A caller in this process that is a service account. It presents the account's tokens, a new one whenever the last
    /// is about to end; without the account it is nobody.
    pub fn local_account(&self, namespace: &str, name: &str) -> LocalService {
        let Inner { door, tokens, .. } = &*self.inner;
        LocalService::account(Arc::clone(door), Arc::clone(tokens), namespace, name)
    }

    /// The kubeconfig of an administrator for the server at `addr`.
    pub fn kubeconfig(&self, addr: SocketAddr) -> String {
        kubeconfig::render(addr, &self.inner.pki.ca_pem(), &self.inner.admin)
    }

    /// Starts the controllers that every cluster has; they end with `shutdown`.
    pub fn spawn_controllers(&self, shutdown: CancellationToken) {
        let mut controllers = Supervised::default();
        let authority = self.inner.pki.ca_pem();
        for role in Role::ALL {
            let user = service_account("kube-system", role.account());
            let groups = [
                "system:serviceaccounts",
                "system:serviceaccounts:kube-system",
            ];
            let client = LocalClient::new(self.local(&user, &groups));
            let running = controllers::run(role, client, &authority, shutdown.clone());
            controllers.spawn(format!("the controller {}", role.account()), running);
        }
        let (api, stop) = (Arc::clone(&self.inner.api), shutdown.clone());
        let expiry = async move { api.let_events_go(stop).await };
        controllers.spawn("the end of old events".into(), expiry);
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move {
            if let Some(ended) = controllers.first_end(&shutdown).await {
                inner.dead.send_replace(Some(ended));
            }
        });
    }

    /// Returns once a part has died that cannot be done without: a controller, or the store's writer.
    /// What still answers is not to be trusted with more.
    pub async fn closed(&self) -> PartEnded {
        let mut dead = self.inner.dead.subscribe();
        let writer = PartEnded {
            part: "the store's writer".into(),
            why: "it panicked".into(),
        };
        tokio::select! {
            found = dead.wait_for(Option::is_some) => {
                found.ok().and_then(|found| found.clone()).unwrap_or(writer)
            }
            () = self.inner.api.store.ended() => writer,
        }
    }

    fn listener(&self) -> std::sync::MutexGuard<'_, Option<TcpListener>> {
        self.inner
            .listener
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection is a file to the system, which lets a process have few unless asked; the ceiling that
/// it may ask for is the administrator's.
fn allow_many_connections() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::debug!(%error, "cannot raise the limit of open files");
        }
    }
}

#[cfg(test)]
mod tests;
