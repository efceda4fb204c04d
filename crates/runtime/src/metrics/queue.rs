//! Tells how queues stand: ours for every queue, client-go's where upstream serves them.

use std::sync::{Arc, Weak};
use std::time::Duration;

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntGauge, IntGaugeVec, Opts, Registry,
    exponential_buckets,
};

use super::{MetricsError, Refresh, registered};
use crate::Queue;

/// `tintype_queue_*`.
pub(super) struct QueueVecs {
    depth: IntGaugeVec,
    age: GaugeVec,
}

impl QueueVecs {
    pub(super) fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let depth = Opts::new("tintype_queue_depth", "Keys that wait for a worker.");
        let age = Opts::new(
            "tintype_queue_age_seconds",
            "How long the first of the keys that wait for a worker has waited.",
        );
        Ok(Self {
            depth: registered(registry, IntGaugeVec::new(depth, &["machine"]))?,
            age: registered(registry, GaugeVec::new(age, &["machine"]))?,
        })
    }

    pub(super) fn refresh(&self, machine: &str, queue: &Arc<Queue>) -> Refresh {
        let depth = self.depth.with_label_values(&[machine]);
        let age = self.age.with_label_values(&[machine]);
        let queue = Arc::downgrade(queue);
        Box::new(move || {
            let standing = standing(&queue);
            depth.set(standing.depth);
            age.set(standing.oldest.as_secs_f64());
        })
    }
}

/// How a queue stands now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Standing {
    /// Keys that wait for a worker.
    pub(crate) depth: i64,
    /// How long the first of them has waited.
    pub(crate) oldest: Duration,
    /// How long workers have had the keys they have, together.
    pub(crate) unfinished: Duration,
    /// How long the slowest has had its key.
    pub(crate) longest: Duration,
}

/// A queue that is gone stands empty.
fn standing(queue: &Weak<Queue>) -> Standing {
    queue
        .upgrade()
        .map_or_else(Standing::default, |it| it.standing())
}

/// What a queue itself counts for client-go's metrics.
#[derive(Debug)]
pub(crate) struct QueueMetrics {
    adds: IntCounter,
    retries: IntCounter,
    waited: Histogram,
    worked: Histogram,
}

impl QueueMetrics {
    pub(crate) fn added(&self) {
        self.adds.inc();
    }

    pub(crate) fn put_off(&self) {
        self.retries.inc();
    }

    pub(crate) fn handed_out(&self, waited: Duration) {
        self.waited.observe(waited.as_secs_f64());
    }

    pub(crate) fn done(&self, worked: Duration) {
        self.worked.observe(worked.as_secs_f64());
    }
}

/// Has the queue counted under client-go's names.
pub(super) fn work_queue(
    registry: &Registry,
    name: &str,
    queue: &Arc<Queue>,
) -> Result<Refresh, MetricsError> {
    // A constant label, so that each of several queues of a role registers its own.
    let of = |suffix: &str, help: &str| options(suffix, help).const_label("name", name);
    let counter = |suffix: &str, help: &str| -> Result<IntCounter, MetricsError> {
        registered(registry, IntCounter::with_opts(of(suffix, help)))
    };
    let histogram = |suffix: &str, help: &str| -> Result<Histogram, MetricsError> {
        let options = HistogramOpts::from(of(suffix, help));
        let options = options.buckets(exponential_buckets(10e-9, 10.0, 10)?);
        registered(registry, Histogram::with_opts(options))
    };
    let gauge = |suffix: &str, help: &str| -> Result<Gauge, MetricsError> {
        registered(registry, Gauge::with_opts(of(suffix, help)))
    };
    queue.count(QueueMetrics {
        adds: counter("adds_total", "Total number of adds handled by workqueue")?,
        retries: counter(
            "retries_total",
            "Total number of retries handled by workqueue",
        )?,
        waited: histogram(
            "queue_duration_seconds",
            "How long in seconds an item stays in workqueue before being requested.",
        )?,
        worked: histogram(
            "work_duration_seconds",
            "How long in seconds processing an item from workqueue takes.",
        )?,
    });
    let depth = of("depth", "Current depth of workqueue");
    let depth = registered(registry, IntGauge::with_opts(depth))?;
    let unfinished = gauge(
        "unfinished_work_seconds",
        "How many seconds of work has done that is in progress and hasn't been observed by work_duration. Large values indicate stuck threads. One can deduce the number of stuck threads by observing the rate at which this increases.",
    )?;
    let longest = gauge(
        "longest_running_processor_seconds",
        "How many seconds has the longest running processor for workqueue been running.",
    )?;
    let queue = Arc::downgrade(queue);
    Ok(Box::new(move || {
        let standing = standing(&queue);
        depth.set(standing.depth);
        unfinished.set(standing.unfinished.as_secs_f64());
        longest.set(standing.longest.as_secs_f64());
    }))
}

fn options(suffix: &str, help: &str) -> Opts {
    Opts::new(format!("workqueue_{suffix}"), format!("[BETA] {help}"))
}

#[cfg(test)]
mod tests {
    use tintype_core::object::Key;

    use super::*;
    use crate::Metrics;

    #[tokio::test(start_paused = true)]
    async fn a_queue_is_counted_as_client_go_counts_it() {
        let metrics = Metrics::new().unwrap();
        let queue = Arc::new(Queue::default());
        metrics
            .work_queue("csi-snapshotter-content", &queue)
            .unwrap();
        let another = Arc::new(Queue::default());
        metrics.work_queue("claims", &another).unwrap();
        let _machine = metrics.machine("content", &queue);
        for name in ["a", "a", "b"] {
            queue.add(Key::cluster(name));
        }
        tokio::time::advance(Duration::from_secs(3)).await;
        let running = queue.next().await;
        tokio::time::advance(Duration::from_secs(2)).await;
        let text = metrics.text().unwrap();
        for line in [
            "# HELP workqueue_depth [BETA] Current depth of workqueue",
            "workqueue_adds_total{name=\"csi-snapshotter-content\"} 2",
            "workqueue_depth{name=\"csi-snapshotter-content\"} 1",
            "workqueue_queue_duration_seconds_sum{name=\"csi-snapshotter-content\"} 3",
            "workqueue_unfinished_work_seconds{name=\"csi-snapshotter-content\"} 2",
            "workqueue_longest_running_processor_seconds{name=\"csi-snapshotter-content\"} 2",
            "workqueue_work_duration_seconds_count{name=\"csi-snapshotter-content\"} 0",
            "tintype_queue_depth{machine=\"content\"} 1",
            "tintype_queue_age_seconds{machine=\"content\"} 5",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        }
        queue.add_after(running.clone(), Duration::from_secs(9));
        queue.done(&running);
        let text = metrics.text().unwrap();
        for line in [
            "workqueue_work_duration_seconds_sum{name=\"csi-snapshotter-content\"} 2",
            "workqueue_unfinished_work_seconds{name=\"csi-snapshotter-content\"} 0",
            "workqueue_retries_total{name=\"csi-snapshotter-content\"} 1",
            "workqueue_adds_total{name=\"csi-snapshotter-content\"} 2",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        }
    }
}
