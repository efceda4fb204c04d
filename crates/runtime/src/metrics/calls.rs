//! Times the calls to a CSI driver, as every sidecar of upstream does.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, Registry};

use super::{MetricsError, registered};

const BUCKETS: [f64; 13] = [
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 25.0, 50.0, 120.0, 300.0, 600.0,
];

/// What a driver is called before it has said its name.
const UNKNOWN: &str = "unknown-driver";

/// `csi_sidecar_operations_seconds`. Clones share it.
#[derive(Debug, Clone)]
pub struct CallMetrics {
    seconds: HistogramVec,
    driver: Arc<RwLock<Arc<str>>>,
}

impl CallMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let options = HistogramOpts::new(
            "csi_sidecar_operations_seconds",
            "[ALPHA] Container Storage Interface operation duration with gRPC error code status total",
        )
        .buckets(BUCKETS.to_vec());
        let labels = ["driver_name", "method_name", "grpc_status_code"];
        Ok(Self {
            seconds: registered(registry, HistogramVec::new(options, &labels))?,
            driver: Arc::new(RwLock::new(UNKNOWN.into())),
        })
    }

    /// The driver has said its name.
    pub fn name_driver(&self, name: &str) {
        *self.driver.write().unwrap_or_else(PoisonError::into_inner) = name.into();
    }

    /// A call has ended; `method` is the full path, `code` as Go's gRPC prints it.
    pub fn called(&self, method: &str, code: &str, took: Duration) {
        let driver = self.driver.read();
        let driver = driver.unwrap_or_else(PoisonError::into_inner).clone();
        self.seconds
            .with_label_values(&[&*driver, method, code])
            .observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metrics;

    #[test]
    fn calls_are_timed_as_upstream_times_them() {
        let metrics = Metrics::new().unwrap();
        let calls = metrics.calls().unwrap();
        calls.called("/csi.v1.Identity/GetPluginInfo", "OK", Duration::ZERO);
        calls.name_driver("fast.csi");
        calls.called(
            "/csi.v1.Controller/CreateSnapshot",
            "DeadlineExceeded",
            Duration::from_secs(60),
        );
        let text = metrics.text().unwrap();
        for line in [
            "# HELP csi_sidecar_operations_seconds [ALPHA] Container Storage Interface operation duration with gRPC error code status total",
            "# TYPE csi_sidecar_operations_seconds histogram",
            "csi_sidecar_operations_seconds_bucket{driver_name=\"unknown-driver\",grpc_status_code=\"OK\",method_name=\"/csi.v1.Identity/GetPluginInfo\",le=\"0.1\"} 1",
            "csi_sidecar_operations_seconds_bucket{driver_name=\"fast.csi\",grpc_status_code=\"DeadlineExceeded\",method_name=\"/csi.v1.Controller/CreateSnapshot\",le=\"50\"} 0",
            "csi_sidecar_operations_seconds_bucket{driver_name=\"fast.csi\",grpc_status_code=\"DeadlineExceeded\",method_name=\"/csi.v1.Controller/CreateSnapshot\",le=\"120\"} 1",
            "csi_sidecar_operations_seconds_sum{driver_name=\"fast.csi\",grpc_status_code=\"DeadlineExceeded\",method_name=\"/csi.v1.Controller/CreateSnapshot\"} 60",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        }
        let buckets = |it: &&str| it.contains("fast.csi") && it.contains("_bucket");
        assert_eq!(text.lines().filter(buckets).count(), BUCKETS.len() + 1);
    }
}
