//! Holds one connection to a driver and makes calls with a deadline on it.
//!
//! The calls themselves are beside this file, one file per service. It does not know when to retry.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

use crate::connection::{ConnectError, Losses, Watched};
use crate::{Address, CallError, Purpose, v1};

/// Told of every call, for metrics.
///
/// The method is the full path, such as `/csi.v1.Controller/CreateSnapshot`.
pub trait Observe: Send + Sync {
    /// One call has ended.
    fn called(&self, method: &'static str, code: Code, took: Duration);
}

/// A driver, as its callers see it. Cheap to clone; clones share the connection.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
    losses: watch::Receiver<u64>,
    deadline: Duration,
    observer: Option<Arc<dyn Observe>>,
}

/// One call of the specification.
#[derive(Clone, Copy)]
pub(crate) struct Rpc {
    pub(crate) name: &'static str,
    pub(crate) method: &'static str,
    pub(crate) purpose: Purpose,
}

/// Names a call: `rpc!(Controller, CreateSnapshot)`.
macro_rules! rpc {
    ($service:ident, $name:ident) => {
        $crate::client::rpc!($service, $name, Other)
    };
    ($service:ident, $name:ident, $purpose:ident) => {
        $crate::client::Rpc {
            name: stringify!($name),
            method: concat!("/csi.v1.", stringify!($service), "/", stringify!($name)),
            purpose: $crate::Purpose::$purpose,
        }
    };
}
pub(crate) use rpc;

/// Upstream's default for `--timeout` of the sidecars.
const DEADLINE: Duration = Duration::from_secs(60);

/// Between two tries to reach a driver that is not there yet: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(500));

/// How often a wait for the driver is mentioned in the log.
const REMIND: Duration = Duration::from_secs(10);

/// Lists of many thousand snapshots pass; tonic's own limit is 4 MiB.
const MAX_REPLY: usize = 64 << 20;

impl Client {
    /// Makes a client that connects at its first call and again after each loss.
    pub fn lazy(address: &Address) -> Self {
        let losses = Losses::new(0);
        let receiver = losses.subscribe();
        let path = address.path().to_owned();
        let connector = tower::service_fn(move |_| {
            let opening = Watched::open(path.clone(), losses.clone());
            async move { opening.await.map(TokioIo::new) }
        });
        // The name is never looked up: the connector above ignores it.
        let channel =
            Endpoint::from_static("http://localhost").connect_with_connector_lazy(connector);
        Self {
            channel,
            losses: receiver,
            deadline: DEADLINE,
            observer: None,
        }
    }

    /// Waits until somebody listens, then makes a client as [`Client::lazy`] does.
    pub async fn connect(address: &Address, patience: Duration) -> Result<Self, ConnectError> {
        let start = Instant::now();
        let mut reminded = start;
        let mut pause = RETRY.0;
        loop {
            let Err(source) = UnixStream::connect(address.path()).await else {
                return Ok(Self::lazy(address));
            };
            if start.elapsed() + pause > patience {
                let path = address.path().to_owned();
                return Err(ConnectError::Unreachable {
                    path,
                    patience,
                    source,
                });
            }
            if reminded.elapsed() >= REMIND {
                reminded = Instant::now();
                tracing::info!(%address, error = %source, "still connecting to the CSI driver");
            }
            sleep(pause).await;
            pause = (pause * 2).min(RETRY.1);
        }
    }

    /// Sets how long each call may take.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Has every call reported.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observe>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Completes once a connection of this client has been lost, also if that was before the call.
    ///
    /// It never completes for a client that has not yet made a connection.
    pub async fn lost(&self) {
        let mut losses = self.losses.clone();
        if losses.wait_for(|count| *count > 0).await.is_err() {
            // The channel's task is gone, and with it every connection.
            tracing::debug!("the CSI channel has ended");
        }
    }

    /// Sends one call and classifies its failure.
    pub(crate) async fn call<T>(
        &self,
        rpc: Rpc,
        reply: impl Future<Output = Result<Response<T>, Status>> + Send,
    ) -> Result<T, CallError> {
        let start = Instant::now();
        let outcome = match timeout(self.deadline, reply).await {
            Ok(Ok(reply)) => Ok(reply.into_inner()),
            // tonic keeps the deadline on both sides too, and calls its end a cancellation.
            Ok(Err(status))
                if status.code() == Code::Cancelled && start.elapsed() >= self.deadline =>
            {
                Err(CallError::deadline(rpc.name))
            }
            Ok(Err(status)) => Err(CallError::of_status(rpc.name, rpc.purpose, &status)),
            Err(_) => Err(CallError::deadline(rpc.name)),
        };
        let code = outcome
            .as_ref()
            .map_or_else(|error| error.code, |_| Code::Ok);
        let took = start.elapsed();
        tracing::debug!(method = rpc.method, ?code, ?took, "called the CSI driver");
        if let Some(observer) = &self.observer {
            observer.called(rpc.method, code, took);
        }
        outcome
    }

    /// Wraps a message and tells the driver how long we shall wait.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.deadline);
        request
    }

    pub(crate) fn identity(&self) -> v1::identity_client::IdentityClient<Channel> {
        v1::identity_client::IdentityClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_REPLY)
    }

    pub(crate) fn controller(&self) -> v1::controller_client::ControllerClient<Channel> {
        v1::controller_client::ControllerClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_REPLY)
    }

    pub(crate) fn groups(&self) -> v1::group_controller_client::GroupControllerClient<Channel> {
        v1::group_controller_client::GroupControllerClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_REPLY)
    }

    pub(crate) fn node(&self) -> v1::node_client::NodeClient<Channel> {
        v1::node_client::NodeClient::new(self.channel.clone()).max_decoding_message_size(MAX_REPLY)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Client")
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
