//! The role `snapshot-conversion-webhook`, and what else there is to versions: `tintype crds` and `tintype convert`.
//!
//! What is converted and what is refused is decided in `tintype_api::conversion` and `tintype_core::validation`; here is
//! who asks and how they are answered. The role keeps nothing, so any number of replicas may run.

mod args;
mod authority;
mod check;
mod classes;
#[cfg(test)]
mod cluster;
pub mod convert;
pub mod crds;
mod door;
mod pages;
mod pair;
mod read;
mod review;
mod stored;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use kube::Client;
use tintype_core::validation::Rules;
use tintype_runtime::lease::own_namespace;
use tintype_runtime::{Clock, Desk, Tasks};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::info;

use args::Certificates;
pub use args::{Args, ArgsError};
use authority::{Keeper, Lives, Names};
pub use check::check;
use classes::Classes;
use pages::Pages;
use pair::{Files, Shown};
pub use stored::migrate;

/// Name of the role.
const NAME: &str = "snapshot-conversion-webhook";

/// A webhook that listens and does not answer yet.
pub struct Webhook {
    listener: TcpListener,
    address: SocketAddr,
    tls: TlsAcceptor,
    pages: Arc<Pages>,
    desk: Arc<Desk>,
    feed: Feed,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Where the certificate comes from.
enum Feed {
    Files(Files),
    Keeper(Box<Keeper>),
}

impl Webhook {
    /// Opens everything; what makes a start impossible is found here. A client is needed to judge default classes, and
    /// with `--self-signed`.
    pub async fn open(args: Args, client: Option<Client>) -> anyhow::Result<Self> {
        let certificates = args.certificates()?;
        let desk = Desk::open(NAME, args.http).await?;
        let client = client.map(|it| desk.client(&it));
        let metrics = desk.metrics.reviews()?;
        let shown = Shown::default();
        let feed = match certificates {
            Certificates::Files { certificate, key } => {
                Feed::Files(Files::open(certificate, key, shown.clone(), metrics.clone()).await?)
            }
            Certificates::SelfSigned => {
                let client = client.as_ref().context(
                    "--self-signed keeps its authority in the cluster; give a --kubeconfig, or run it in a pod",
                )?;
                let names = Names {
                    namespace: Some(args.service_namespace)
                        .filter(|it| !it.is_empty())
                        .unwrap_or_else(own_namespace),
                    secret: args.secret_name,
                    service: args.service_name,
                };
                let mut keeper = Keeper::new(
                    client,
                    names,
                    Lives::default(),
                    shown.clone(),
                    metrics.clone(),
                );
                // Whoever waits for this to return can be sure that it is trusted, if all is well.
                keeper.look(Clock::start().wall().0).await;
                Feed::Keeper(Box::new(keeper))
            }
        };
        if client.is_none() {
            info!(
                "there is no access to a Kubernetes API: that a driver has one default class is not checked"
            );
        }
        let listener = door::listen(&args.bind_address, args.port).await?;
        let tls = pair::tls(shown.clone()).context("cannot set up TLS")?;
        Ok(Self {
            address: listener
                .local_addr()
                .context("cannot tell where the webhook listens")?,
            listener,
            tls: TlsAcceptor::from(Arc::new(tls)),
            pages: Arc::new(Pages {
                rules: Rules {
                    mode_is_fixed: args.prevent_volume_mode_conversion,
                },
                groups: args.enable_volume_group_snapshot_webhook,
                classes: client.map(Classes::new),
                metrics,
                shown,
            }),
            desk: Arc::new(desk),
            feed,
        })
    }

    /// Where it listens: with port 0 the system chose one.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown`, and what was asked before it.
    pub async fn serve(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        info!(address = %self.address, "reviews are answered");
        let mut tasks = Tasks::default();
        match self.feed {
            Feed::Files(files) => {
                self.desk.is_ready();
                tasks.spawn("certificate files", files.follow(shutdown.clone()));
            }
            Feed::Keeper(keeper) => {
                let following = keeper.follow(Clock::start(), self.desk.clone(), shutdown.clone());
                tasks.spawn("certificate authority", following);
            }
        }
        tokio::select! {
            () = door::serve(self.listener, self.tls, self.pages, shutdown) => Ok(()),
            death = tasks.died() => Err(death.into()),
        }
    }
}

/// Runs the role until `shutdown`.
pub async fn run(
    args: Args,
    client: Option<Client>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    Webhook::open(args, client).await?.serve(shutdown).await
}
