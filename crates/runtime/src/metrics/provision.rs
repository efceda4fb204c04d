//! Counts volumes made and deleted, under the names external-provisioner's library gives them.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

use super::{MetricsError, registered};

/// client_golang's default buckets.
const BUCKETS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// `controller_persistentvolume…`. Clones share them.
#[derive(Debug, Clone)]
pub struct ProvisionMetrics {
    made: IntCounterVec,
    failed: IntCounterVec,
    seconds: HistogramVec,
    deleted: IntCounterVec,
    not_deleted: IntCounterVec,
    deletion_seconds: HistogramVec,
}

impl ProvisionMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let options = Opts::new(name, help).subsystem("controller");
            registered(registry, IntCounterVec::new(options, labels))
        };
        let histogram = |name: &str, help: &str, labels: &[&str]| {
            let options = HistogramOpts::new(name, help)
                .subsystem("controller")
                .buckets(BUCKETS.to_vec());
            registered(registry, HistogramVec::new(options, labels))
        };
        // The misspelling is upstream's.
        Ok(Self {
            made: counter(
                "persistentvolumeclaim_provision_total",
                "Total number of persistent volumes provisioned succesfully. Broken down by storage class name and source of the claim.",
                &["class", "source"],
            )?,
            failed: counter(
                "persistentvolumeclaim_provision_failed_total",
                "Total number of persistent volume provision failed attempts. Broken down by storage class name and source of the claim.",
                &["class", "source"],
            )?,
            seconds: histogram(
                "persistentvolumeclaim_provision_duration_seconds",
                "Latency in seconds to provision persistent volumes. Failed provisioning attempts are ignored. Broken down by storage class name and source of the claim.",
                &["class", "source"],
            )?,
            deleted: counter(
                "persistentvolume_delete_total",
                "Total number of persistent volumes deleted succesfully. Broken down by storage class name.",
                &["class"],
            )?,
            not_deleted: counter(
                "persistentvolume_delete_failed_total",
                "Total number of persistent volume delete failed attempts. Broken down by storage class name.",
                &["class"],
            )?,
            deletion_seconds: histogram(
                "persistentvolume_delete_duration_seconds",
                "Latency in seconds to delete persistent volumes. Failed deletion attempts are ignored. Broken down by storage class name.",
                &["class"],
            )?,
        })
    }

    /// A volume of this class was made; `source` is the kind it was filled from, or empty.
    pub fn made(&self, class: &str, source: &str, took: Duration) {
        self.made.with_label_values(&[class, source]).inc();
        let seconds = self.seconds.with_label_values(&[class, source]);
        seconds.observe(took.as_secs_f64());
    }

    /// An attempt failed.
    pub fn failed(&self, class: &str, source: &str) {
        self.failed.with_label_values(&[class, source]).inc();
    }

    /// A volume of this class was deleted.
    pub fn deleted(&self, class: &str, took: Duration) {
        self.deleted.with_label_values(&[class]).inc();
        let seconds = self.deletion_seconds.with_label_values(&[class]);
        seconds.observe(took.as_secs_f64());
    }

    /// An attempt to delete one failed.
    pub fn not_deleted(&self, class: &str) {
        self.not_deleted.with_label_values(&[class]).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metrics;

    #[test]
    fn volumes_are_counted_as_upstream_counts_them() {
        let metrics = Metrics::new().unwrap();
        let volumes = metrics.volumes().unwrap();
        volumes.made("fast", "VolumeSnapshot", Duration::from_millis(20));
        volumes.failed("fast", "");
        volumes.deleted("fast", Duration::from_secs(3));
        volumes.not_deleted("slow");
        let text = metrics.text().unwrap();
        for line in [
            "controller_persistentvolumeclaim_provision_total{class=\"fast\",source=\"VolumeSnapshot\"} 1",
            "controller_persistentvolumeclaim_provision_failed_total{class=\"fast\",source=\"\"} 1",
            "controller_persistentvolumeclaim_provision_duration_seconds_bucket{class=\"fast\",source=\"VolumeSnapshot\",le=\"0.025\"} 1",
            "controller_persistentvolume_delete_total{class=\"fast\"} 1",
            "controller_persistentvolume_delete_failed_total{class=\"slow\"} 1",
            "controller_persistentvolume_delete_duration_seconds_sum{class=\"fast\"} 3",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
