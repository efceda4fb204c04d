//! Counts and times what one role does, and prints it for Prometheus.
//!
//! Upstream's names, labels, buckets and help texts are letter for letter; ours begin with
//! `tintype_`. Every role has a registry of its own, so several live in one process. Labels come
//! from sets known at build time: memory is bounded.

mod calls;
mod leader;
mod machine;
mod operations;
mod process;
mod provision;
mod queue;
mod requests;
mod reviews;

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::{IntGauge, Registry, TextEncoder};

pub use calls::CallMetrics;
pub use leader::LeaderMetrics;
pub use operations::{Operation, Operations, SnapshotType};
pub use provision::ProvisionMetrics;
pub use reviews::ReviewMetrics;

use machine::MachineVecs;
pub(crate) use machine::{MachineMetrics, Outcome};
use queue::QueueVecs;
pub(crate) use queue::{QueueMetrics, Standing};
pub(crate) use requests::{RequestMetrics, dress};

use crate::Queue;

/// Metrics could not be set up or printed.
#[derive(Debug, thiserror::Error)]
#[error("metrics cannot be served")]
pub struct MetricsError(#[from] prometheus::Error);

/// Done before each scrape.
type Refresh = Box<dyn Fn() + Send + Sync>;

/// The metrics of one role. Clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    machines: MachineVecs,
    queues: QueueVecs,
    requests: RequestMetrics,
    refreshes: Mutex<Vec<Refresh>>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// The metrics every role has.
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let requests = RequestMetrics::new(&registry)?;
        let metrics = Self(Arc::new(Inner {
            machines: MachineVecs::new(&registry)?,
            queues: QueueVecs::new(&registry)?,
            requests: requests.clone(),
            refreshes: Mutex::default(),
            registry,
        }));
        let process = process::ProcessMetrics::new(metrics.registry())?;
        metrics.before_scrapes(move || process.refresh());
        metrics.before_scrapes(move || requests.refresh());
        Ok(metrics)
    }

    /// Everything, as Prometheus reads it.
    pub fn text(&self) -> Result<String, MetricsError> {
        let refreshes = self.0.refreshes.lock();
        for refresh in refreshes.unwrap_or_else(PoisonError::into_inner).iter() {
            refresh();
        }
        let families = self.0.registry.gather();
        Ok(TextEncoder::new().encode_to_string(&families)?)
    }

    /// A gauge that is asked for its value when it is scraped.
    pub fn gauge(
        &self,
        name: &str,
        help: &str,
        value: impl Fn() -> usize + Send + Sync + 'static,
    ) -> Result<(), MetricsError> {
        let gauge = registered(self.registry(), IntGauge::new(name, help))?;
        self.before_scrapes(move || gauge.set(i64::try_from(value()).unwrap_or(i64::MAX)));
        Ok(())
    }

    /// Upstream's `workqueue_*` of this queue, under the name it has there.
    pub fn work_queue(&self, name: &str, queue: &Arc<Queue>) -> Result<(), MetricsError> {
        let refresh = queue::work_queue(self.registry(), name, queue)?;
        self.before_scrapes(refresh);
        Ok(())
    }

    /// How long the driver's calls take.
    pub fn calls(&self) -> Result<CallMetrics, MetricsError> {
        CallMetrics::new(self.registry())
    }

    /// How long users wait for a snapshot to be made or to go.
    pub fn operations(&self) -> Result<Arc<Operations>, MetricsError> {
        Operations::new(self.registry()).map(Arc::new)
    }

    /// How many volumes are made and deleted, and how long that takes.
    pub fn volumes(&self) -> Result<ProvisionMetrics, MetricsError> {
        ProvisionMetrics::new(self.registry())
    }

    /// What a webhook is asked.
    pub fn reviews(&self) -> Result<ReviewMetrics, MetricsError> {
        ReviewMetrics::new(self.registry())
    }

    /// Whether this process holds the lease.
    pub fn leader(&self, lease: &str) -> Result<LeaderMetrics, MetricsError> {
        LeaderMetrics::new(self.registry(), lease)
    }

    /// What the passes of one machine come to, and how its queue stands.
    pub(crate) fn machine(&self, name: &'static str, queue: &Arc<Queue>) -> MachineMetrics {
        self.before_scrapes(self.0.queues.refresh(name, queue));
        self.0.machines.of(name)
    }

    pub(crate) fn requests(&self) -> &RequestMetrics {
        &self.0.requests
    }

    fn registry(&self) -> &Registry {
        &self.0.registry
    }

    fn before_scrapes(&self, refresh: impl Fn() + Send + Sync + 'static) {
        let refreshes = self.0.refreshes.lock();
        refreshes
            .unwrap_or_else(PoisonError::into_inner)
            .push(Box::new(refresh));
    }
}

/// Puts a new metric into the registry.
fn registered<C: Collector + Clone + 'static>(
    registry: &Registry,
    metric: Result<C, prometheus::Error>,
) -> Result<C, MetricsError> {
    let metric = metric?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_roles_in_one_process_count_apart() {
        let (one, two) = (Metrics::new().unwrap(), Metrics::new().unwrap());
        one.calls().unwrap();
        two.calls().unwrap();
    }

    #[test]
    fn every_role_tells_when_it_started() {
        let text = Metrics::new().unwrap().text().unwrap();
        let help = "# HELP process_start_time_seconds [ALPHA] Start time of the process since unix epoch in seconds.\n# TYPE process_start_time_seconds gauge\n";
        assert!(text.contains(help), "{text}");
        let value = text
            .lines()
            .find_map(|it| it.strip_prefix("process_start_time_seconds "))
            .unwrap();
        let now = crate::Clock::start().wall().0;
        let age = i64::try_from(
            value
                .parse::<f64>()
                .map(std::time::Duration::from_secs_f64)
                .unwrap()
                .as_secs(),
        );
        assert!((0..600).contains(&(now - age.unwrap())), "{value}");
    }

    #[test]
    fn a_gauge_is_asked_when_it_is_scraped() {
        let metrics = Metrics::new().unwrap();
        let value = Arc::new(std::sync::atomic::AtomicUsize::new(3));
        let asked = value.clone();
        metrics
            .gauge("tintype_test", "For a test.", move || {
                asked.load(std::sync::atomic::Ordering::Relaxed)
            })
            .unwrap();
        assert!(metrics.text().unwrap().contains("tintype_test 3"));
        value.store(5, std::sync::atomic::Ordering::Relaxed);
        assert!(metrics.text().unwrap().contains("tintype_test 5"));
    }
}
