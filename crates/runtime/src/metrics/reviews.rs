//! Counts what a webhook was asked and what it answered, and how its certificate stands.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};

use super::{MetricsError, registered};

/// A review takes well under a millisecond; whoever asks waits for two seconds, or for thirty.
const BUCKETS: [f64; 10] = [
    0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0, 30.0,
];

/// `tintype_webhook_…`. Clones share them.
#[derive(Debug, Clone)]
pub struct ReviewMetrics {
    answered: IntCounterVec,
    seconds: HistogramVec,
    loads: IntCounterVec,
    expiry: IntGauge,
}

impl ReviewMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let options = Opts::new(name, help);
            registered(registry, IntCounterVec::new(options, labels))
        };
        let seconds = HistogramOpts::new(
            "tintype_webhook_seconds",
            "How long a request took to answer.",
        )
        .buckets(BUCKETS.to_vec());
        Ok(Self {
            answered: counter(
                "tintype_webhook_requests_total",
                "Requests by path and what became of them: allowed, denied, converted, or the HTTP status of one that was refused.",
                &["path", "outcome"],
            )?,
            seconds: registered(registry, HistogramVec::new(seconds, &["path"]))?,
            loads: counter(
                "tintype_webhook_certificate_loads_total",
                "Certificates put to use, and those that could not be.",
                &["outcome"],
            )?,
            expiry: registered(
                registry,
                IntGauge::new(
                    "tintype_webhook_certificate_expiry_seconds",
                    "When the certificate in use ends, in seconds since the Unix epoch.",
                ),
            )?,
        })
    }

    /// A request was answered.
    pub fn answered(&self, path: &'static str, outcome: &str, took: Duration) {
        self.answered.with_label_values(&[path, outcome]).inc();
        let seconds = self.seconds.with_label_values(&[path]);
        seconds.observe(took.as_secs_f64());
    }

    /// A certificate that ends then (Unix seconds) is in use from now on.
    pub fn loaded(&self, expiry: i64) {
        self.loads.with_label_values(&["used"]).inc();
        self.expiry.set(expiry);
    }

    /// A certificate could not be used; the one before stays.
    pub fn not_loaded(&self) {
        self.loads.with_label_values(&["failed"]).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metrics;

    #[test]
    fn reviews_and_certificates_are_counted() {
        let metrics = Metrics::new().unwrap();
        let reviews = metrics.reviews().unwrap();
        reviews.answered("/convert", "converted", Duration::from_micros(300));
        reviews.loaded(1_900_000_000);
        reviews.not_loaded();
        let text = metrics.text().unwrap();
        for line in [
            "tintype_webhook_requests_total{outcome=\"converted\",path=\"/convert\"} 1",
            "tintype_webhook_seconds_bucket{path=\"/convert\",le=\"0.0005\"} 1",
            "tintype_webhook_certificate_loads_total{outcome=\"used\"} 1",
            "tintype_webhook_certificate_loads_total{outcome=\"failed\"} 1",
            "tintype_webhook_certificate_expiry_seconds 1900000000",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
