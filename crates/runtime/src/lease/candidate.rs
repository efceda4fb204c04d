//! Takes steps for one candidate: sends them, folds the answers in, tells events.

use std::time::Duration;

use http::{Method, Request, StatusCode};
use kube::Client;
use serde_json::Value;
use tintype_api::names::leader_name;
use tintype_core::object::Key;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::decide::{Facts, Loss, Sight, Step, decide};
use super::document::{Document, Writer};
use super::{LeaseConfig, LeaseLost, Pulse};
use crate::event::{Subject, tell_about};
use crate::metrics::LeaderMetrics;
use crate::{Chain, Clock};

/// How long the last words of a leader may take.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long giving the lease back may take: longer, since who follows has to wait for the lease to
/// run out otherwise, and well below the 30 seconds a pod has to end.
const RELEASE: Duration = Duration::from_secs(10);

/// Wants the lease.
pub struct Candidate {
    config: LeaseConfig,
    client: Client,
    clock: Clock,
    pulse: Pulse,
    metrics: LeaderMetrics,
    /// The object as last read or written.
    document: Option<Document>,
    /// Its spec, and when that was first seen.
    observed: Option<(Value, Instant)>,
    sight: Sight,
    renewed: Option<Instant>,
    not_before: Instant,
    /// A write was sent at least once: the lease may be ours.
    wrote: bool,
}

impl std::fmt::Debug for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Candidate")
            .field("config", &self.config)
            .field("sight", &self.sight)
            .finish_non_exhaustive()
    }
}

impl Candidate {
    /// A candidate that has asked nothing yet. The client should have no limit on its requests: a
    /// lease must be renewed however busy the rest is.
    pub fn new(
        mut config: LeaseConfig,
        client: Client,
        clock: Clock,
        pulse: Pulse,
        metrics: LeaderMetrics,
    ) -> Self {
        config.name = leader_name(&config.name);
        config.identity = leader_name(&config.identity);
        Self {
            config,
            client,
            clock,
            pulse,
            metrics,
            document: None,
            observed: None,
            sight: Sight::Unknown,
            renewed: None,
            not_before: Instant::now(),
            wrote: false,
        }
    }

    /// Waits until this candidate leads, and keeps it so; none if `shutdown` comes first.
    pub async fn lead(mut self, shutdown: &CancellationToken) -> Option<Leadership> {
        self.metrics.leads(false);
        let lease = self.lease();
        info!(%lease, identity = self.config.identity, "waits for the lease");
        tokio::select! {
            () = self.seek() => {}
            () = shutdown.cancelled() => {
                // The write that was cut off may have arrived.
                self.release().await;
                return None;
            }
        }
        info!(%lease, "leads");
        self.metrics.leads(true);
        let words = self.words("became leader");
        tokio::spawn(words);
        let (lost, stop) = (CancellationToken::new(), CancellationToken::new());
        let task = tokio::spawn(self.serve(lost.clone(), stop.clone()));
        Some(Leadership {
            lease,
            lost,
            stop,
            task,
        })
    }

    async fn seek(&mut self) {
        while self.renewed.is_none() {
            self.step().await;
        }
    }

    /// Renews until the lease is lost or `stop` is given, then says so.
    async fn serve(mut self, lost: CancellationToken, stop: CancellationToken) -> Option<Loss> {
        // However this task ends, nobody may believe to lead any more.
        let _lost = lost.clone().drop_guard();
        let loss = tokio::select! {
            loss = self.keep() => Some(loss),
            () = stop.cancelled() => None,
        };
        self.pulse.stop();
        self.metrics.leads(false);
        match loss {
            Some(loss) => {
                lost.cancel();
                warn!(lease = %self.lease(), ?loss, "leads no more");
            }
            None => self.release().await,
        }
        let words = self.words("stopped leading");
        if timeout(FAREWELL, words).await.is_err() {
            debug!("the event of the end could not be sent in time");
        }
        loss
    }

    async fn keep(&mut self) -> Loss {
        loop {
            if let Some(loss) = self.step().await {
                return loss;
            }
        }
    }

    /// Decides once and does it.
    async fn step(&mut self) -> Option<Loss> {
        let facts = Facts {
            sight: self.sight,
            renewed: self.renewed,
            not_before: self.not_before,
            now: Instant::now(),
        };
        match decide(&facts, &self.config.terms) {
            Step::Read => self.read().await,
            Step::Create => {
                let now = self.clock.wall_micros();
                let first =
                    Document::first(&self.config.namespace, &self.config.name, self.writer(&now));
                self.write(Method::POST, first).await;
            }
            Step::Take | Step::Renew => {
                let now = self.clock.wall_micros();
                match &self.document {
                    Some(document) => {
                        let held = document.held(self.writer(&now));
                        self.write(Method::PUT, held).await;
                    }
                    None => self.sight = Sight::Unknown,
                }
            }
            Step::Wait(delay) => tokio::time::sleep(delay).await,
            Step::Lost(loss) => return Some(loss),
        }
        None
    }

    async fn read(&mut self) {
        if self.renewed.is_some() {
            self.metrics.slow();
        }
        match self.send(Method::GET, None).await {
            Sent::Is(document) => {
                self.saw(document);
                if let Sight::Theirs { until } = self.sight {
                    self.not_before = until.min(Instant::now() + self.pause());
                }
            }
            Sent::Gone => {
                self.document = None;
                self.sight = Sight::Absent;
            }
            Sent::Conflict => self.sight = Sight::Unknown,
            Sent::Failed(why) => self.failed("read", &why),
        }
    }

    async fn write(&mut self, method: Method, document: Document) {
        // The others count from when the server has it, which is later.
        let sent = Instant::now();
        self.wrote = true;
        let creates = method == Method::POST;
        match self.send(method, Some(&document)).await {
            Sent::Is(document) => {
                self.saw(document);
                if self.sight == Sight::Ours {
                    self.renewed = Some(sent);
                    self.pulse.beat(sent, self.config.terms.duration);
                } else {
                    self.failed("hold", "the server answers with another holder");
                }
            }
            // Somebody was faster, or changed a label: look again at once.
            Sent::Conflict => self.sight = Sight::Unknown,
            Sent::Gone if creates => self.failed("create", "its namespace does not exist"),
            Sent::Gone => self.sight = Sight::Absent,
            Sent::Failed(why) => {
                // It may have arrived.
                self.sight = Sight::Unknown;
                self.failed("write", &why);
            }
        }
    }

    /// Folds a document in; its age counts from when this spec was first seen.
    fn saw(&mut self, document: Document) {
        let now = Instant::now();
        let since = match &self.observed {
            Some((spec, since)) if spec == document.spec() => *since,
            Some(_) | None => {
                self.observed = Some((document.spec().clone(), now));
                now
            }
        };
        self.sight = match document.holder() {
            "" => Sight::Free,
            holder if holder == self.config.identity => Sight::Ours,
            holder => {
                debug!(lease = %self.lease(), holder, "somebody else leads");
                let duration = document.duration();
                Sight::Theirs {
                    until: since + duration.unwrap_or(self.config.terms.duration),
                }
            }
        };
        self.document = Some(document);
    }

    fn failed(&mut self, what: &str, why: &str) {
        warn!(lease = %self.lease(), "cannot {what} the lease: {why}");
        let pause = if self.renewed.is_some() {
            // There is a deadline now: more tries than upstream's one or two.
            self.config.terms.retry_period / 5
        } else {
            self.pause()
        };
        self.not_before = Instant::now() + pause;
    }

    /// Between two looks at a lease that is taken; candidates spread out.
    fn pause(&self) -> Duration {
        let spread = f64::from(rand::random::<u8>()) / 255.0 * 0.2;
        self.config.terms.retry_period.mul_f64(1.0 + spread)
    }

    /// Gives the lease up if it is ours. Reads first: a write may have been cut off.
    async fn release(&mut self) {
        if !self.wrote {
            return;
        }
        let released = timeout(RELEASE, async {
            while let Sent::Is(document) = self.send(Method::GET, None).await
                && document.holder() == self.config.identity
            {
                let free = document.released(&self.clock.wall_micros());
                match self.send(Method::PUT, Some(&free)).await {
                    Sent::Is(_) => return true,
                    // The renewal that was cut off came in between.
                    Sent::Conflict => {}
                    Sent::Gone | Sent::Failed(_) => return false,
                }
            }
            false
        });
        if released.await == Ok(true) {
            info!(lease = %self.lease(), "the lease is free for the next");
        } else {
            debug!(lease = %self.lease(), "the lease is left to run out");
        }
    }

    async fn send(&self, method: Method, document: Option<&Document>) -> Sent {
        let LeaseConfig {
            namespace, name, ..
        } = &self.config;
        let mut path = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases");
        if method != Method::POST {
            path = format!("{path}/{name}");
        }
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(document.map_or_else(Vec::new, |it| it.0.to_string().into_bytes()));
        let request = match request {
            Ok(request) => request,
            Err(error) => return Sent::Failed(Chain(&error).to_string()),
        };
        let patience = self.patience();
        match timeout(patience, self.client.request::<Value>(request)).await {
            Ok(Ok(document)) => Sent::Is(Document(document)),
            Ok(Err(kube::Error::Api(status))) if status.code == StatusCode::CONFLICT.as_u16() => {
                Sent::Conflict
            }
            Ok(Err(kube::Error::Api(status))) if status.code == StatusCode::NOT_FOUND.as_u16() => {
                Sent::Gone
            }
            Ok(Err(error)) => Sent::Failed(Chain(&error).to_string()),
            Err(_) => Sent::Failed(format!("no answer within {patience:?}")),
        }
    }

    /// How long a request may take: several fit before the deadline, and none goes beyond it.
    fn patience(&self) -> Duration {
        let terms = &self.config.terms;
        let part = terms.renew_deadline / 4;
        self.renewed.map_or(part, |renewed| {
            let deadline = renewed + terms.renew_deadline;
            part.min(deadline.saturating_duration_since(Instant::now()))
        })
    }

    fn writer<'a>(&'a self, now: &'a str) -> Writer<'a> {
        Writer {
            identity: &self.config.identity,
            labels: &self.config.labels,
            duration: self.config.terms.duration,
            now,
        }
    }

    fn lease(&self) -> String {
        format!("{}/{}", self.config.namespace, self.config.name)
    }

    /// The event of a change of leaders; upstream's words, which people look for.
    fn words(&self, what: &str) -> impl Future<Output = ()> + Send + use<> {
        let LeaseConfig {
            namespace,
            name,
            identity,
            ..
        } = &self.config;
        let meta = |field: &str| {
            let document = self.document.as_ref();
            let text = document.and_then(|it| it.0["metadata"][field].as_str());
            text.unwrap_or_default().to_owned()
        };
        let subject = Subject {
            api_version: "coordination.k8s.io/v1",
            kind: "Lease",
            key: Key::namespaced(namespace.as_str(), name.as_str()),
            uid: meta("uid"),
            version: meta("resourceVersion"),
        };
        let (client, clock) = (self.client.clone(), self.clock);
        let component = format!("{name}/{identity}");
        let message = format!("{identity} {what}");
        async move {
            tell_about(
                &client,
                clock,
                &component,
                &subject,
                "LeaderElection",
                &message,
            )
            .await;
        }
    }
}

/// What came of a request.
enum Sent {
    Is(Document),
    Conflict,
    Gone,
    Failed(String),
}

/// This process leads.
#[derive(Debug)]
pub struct Leadership {
    lease: String,
    lost: CancellationToken,
    stop: CancellationToken,
    task: JoinHandle<Option<Loss>>,
}

impl Leadership {
    /// Cancelled when the lease is lost.
    pub const fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Gives the lease up; an error if it was lost before.
    pub async fn end(self) -> Result<(), LeaseLost> {
        self.stop.cancel();
        let why = match self.task.await {
            Ok(None) => return Ok(()),
            Ok(Some(Loss::Deadline)) => "it could not be renewed in time".to_owned(),
            Ok(Some(Loss::Taken)) => "somebody else holds it".to_owned(),
            Err(error) => error.to_string(),
        };
        let lease = self.lease;
        Err(LeaseLost { lease, why })
    }
}
