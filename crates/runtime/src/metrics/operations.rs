//! Times how long users wait for snapshots to be made and to go, as upstream's controller does.
//!
//! An operation starts when it is first noticed and ends when its outcome is; what was not started
//! is not recorded. Forgets an object once it is gone.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus::{HistogramOpts, HistogramVec, IntGauge, Opts, Registry};
use tintype_core::object::Uid;
use tokio::time::Instant;

use super::{MetricsError, registered};

const BUCKETS: [f64; 13] = [
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0,
];

/// A driver nobody could name.
const UNKNOWN: &str = "unknown";

/// What somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// The data is cut.
    CreateSnapshot,
    /// Volumes can be made from it.
    CreateSnapshotAndReady,
    /// The snapshot goes.
    DeleteSnapshot,
    /// The data of a group is cut.
    CreateGroupSnapshot,
    /// Its members are made and ready.
    CreateGroupSnapshotAndReady,
    /// The group snapshot goes.
    DeleteGroupSnapshot,
}

impl Operation {
    const ALL: [Self; 6] = [
        Self::CreateSnapshot,
        Self::CreateSnapshotAndReady,
        Self::DeleteSnapshot,
        Self::CreateGroupSnapshot,
        Self::CreateGroupSnapshotAndReady,
        Self::DeleteGroupSnapshot,
    ];

    /// What there is no use for any more once this has succeeded.
    const fn ends(self) -> &'static [Self] {
        match self {
            Self::DeleteSnapshot => &[Self::CreateSnapshot, Self::CreateSnapshotAndReady],
            Self::DeleteGroupSnapshot => {
                &[Self::CreateGroupSnapshot, Self::CreateGroupSnapshotAndReady]
            }
            Self::CreateSnapshot
            | Self::CreateSnapshotAndReady
            | Self::CreateGroupSnapshot
            | Self::CreateGroupSnapshotAndReady => &[],
        }
    }

    /// As upstream's label has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CreateSnapshot => "CreateSnapshot",
            Self::CreateSnapshotAndReady => "CreateSnapshotAndReady",
            Self::DeleteSnapshot => "DeleteSnapshot",
            Self::CreateGroupSnapshot => "CreateGroupSnapshot",
            Self::CreateGroupSnapshotAndReady => "CreateGroupSnapshotAndReady",
            Self::DeleteGroupSnapshot => "DeleteGroupSnapshot",
        }
    }
}

/// Where the data comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotType {
    /// Cut from a claim.
    Dynamic,
    /// Was there before.
    PreProvisioned,
}

impl SnapshotType {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Dynamic => "dynamic",
            Self::PreProvisioned => "pre-provisioned",
        }
    }
}

#[derive(Debug, Clone)]
struct Open {
    since: Instant,
    driver: Option<Box<str>>,
    kind: SnapshotType,
}

/// Operations under way, and the times of those that ended.
#[derive(Debug)]
pub struct Operations {
    open: Mutex<HashMap<(Operation, Uid), Open>>,
    seconds: HistogramVec,
    in_flight: IntGauge,
}

impl Operations {
    pub(super) fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let seconds = HistogramOpts::new(
            "snapshot_controller_operation_total_seconds",
            "[ALPHA] Total number of seconds spent by the controller on an operation",
        )
        .buckets(BUCKETS.to_vec());
        let labels = [
            "driver_name",
            "operation_name",
            "snapshot_type",
            "operation_status",
        ];
        let in_flight = Opts::new(
            "snapshot_controller_operations_in_flight",
            "[ALPHA] Total number of operations in flight",
        );
        Ok(Self {
            open: Mutex::default(),
            seconds: registered(registry, HistogramVec::new(seconds, &labels))?,
            in_flight: registered(registry, IntGauge::with_opts(in_flight))?,
        })
    }

    /// The operation is under way; nothing new if that was known.
    pub fn start(&self, operation: Operation, uid: &Uid, kind: SnapshotType, driver: Option<&str>) {
        let mut open = self.open();
        open.entry((operation, uid.clone()))
            .or_insert_with(|| Open {
                since: Instant::now(),
                driver: driver.map(Box::from),
                kind,
            });
        self.count(&open);
    }

    /// The operation has succeeded. A deletion that has ends what was still to be made.
    pub fn succeeded(&self, operation: Operation, uid: &Uid, driver: Option<&str>) {
        let mut open = self.open();
        let Some(ended) = open.remove(&(operation, uid.clone())) else {
            return;
        };
        self.record(operation, &ended, driver, "success");
        for creating in operation.ends() {
            if let Some(ended) = open.remove(&(*creating, uid.clone())) {
                self.record(*creating, &ended, None, "cancel");
            }
        }
        self.count(&open);
    }

    /// The object is gone, and with it whatever was under way.
    pub fn forget(&self, uid: &Uid) {
        let mut open = self.open();
        for operation in Operation::ALL {
            open.remove(&(operation, uid.clone()));
        }
        self.count(&open);
    }

    fn record(&self, operation: Operation, ended: &Open, driver: Option<&str>, status: &str) {
        let driver = driver.or(ended.driver.as_deref()).unwrap_or(UNKNOWN);
        self.seconds
            .with_label_values(&[driver, operation.as_str(), ended.kind.as_str(), status])
            .observe(ended.since.elapsed().as_secs_f64());
    }

    fn count(&self, open: &HashMap<(Operation, Uid), Open>) {
        self.in_flight
            .set(i64::try_from(open.len()).unwrap_or(i64::MAX));
    }

    fn open(&self) -> MutexGuard<'_, HashMap<(Operation, Uid), Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Metrics;

    fn line(operation: &str, driver: &str, kind: &str, status: &str, seconds: &str) -> String {
        format!(
            "snapshot_controller_operation_total_seconds_sum{{driver_name=\"{driver}\",operation_name=\"{operation}\",operation_status=\"{status}\",snapshot_type=\"{kind}\"}} {seconds}"
        )
    }

    #[track_caller]
    fn has(metrics: &Metrics, line: &str) {
        let text = metrics.text().unwrap();
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn operations_are_timed_as_upstream_times_them() {
        let metrics = Metrics::new().unwrap();
        let operations = metrics.operations().unwrap();
        let uid = Uid::parse("u1");
        let dynamic = SnapshotType::Dynamic;
        operations.start(Operation::CreateSnapshot, &uid, dynamic, Some("class.csi"));
        tokio::time::advance(Duration::from_secs(2)).await;
        // A second start changes nothing.
        operations.start(Operation::CreateSnapshot, &uid, dynamic, None);
        operations.start(Operation::CreateSnapshotAndReady, &uid, dynamic, None);
        has(&metrics, "snapshot_controller_operations_in_flight 2");
        tokio::time::advance(Duration::from_secs(1)).await;
        operations.succeeded(Operation::CreateSnapshot, &uid, Some("content.csi"));
        operations.succeeded(Operation::CreateSnapshot, &uid, Some("content.csi"));
        operations.succeeded(Operation::CreateSnapshotAndReady, &uid, None);
        has(&metrics, "snapshot_controller_operations_in_flight 0");
        has(
            &metrics,
            &line("CreateSnapshot", "content.csi", "dynamic", "success", "3"),
        );
        has(
            &metrics,
            &line(
                "CreateSnapshotAndReady",
                "unknown",
                "dynamic",
                "success",
                "1",
            ),
        );
        has(
            &metrics,
            "# HELP snapshot_controller_operation_total_seconds [ALPHA] Total number of seconds spent by the controller on an operation",
        );
        has(
            &metrics,
            "# HELP snapshot_controller_operations_in_flight [ALPHA] Total number of operations in flight",
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_deletion_cancels_what_was_still_to_be_made() {
        let metrics = Metrics::new().unwrap();
        let operations = metrics.operations().unwrap();
        let uid = Uid::parse("u1");
        let kind = SnapshotType::PreProvisioned;
        let driver = Some("a.csi");
        operations.start(Operation::CreateSnapshotAndReady, &uid, kind, driver);
        tokio::time::advance(Duration::from_secs(7)).await;
        operations.start(Operation::DeleteSnapshot, &uid, kind, driver);
        tokio::time::advance(Duration::from_secs(1)).await;
        operations.succeeded(Operation::DeleteSnapshot, &uid, None);
        has(
            &metrics,
            &line("DeleteSnapshot", "a.csi", "pre-provisioned", "success", "1"),
        );
        // Its own time, not that of the deletion.
        has(
            &metrics,
            &line(
                "CreateSnapshotAndReady",
                "a.csi",
                "pre-provisioned",
                "cancel",
                "8",
            ),
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_gone_takes_no_memory() {
        let metrics = Metrics::new().unwrap();
        let operations = metrics.operations().unwrap();
        for number in 0..1000 {
            let uid = Uid::parse(&format!("u{number}"));
            for operation in Operation::ALL {
                operations.start(operation, &uid, SnapshotType::Dynamic, None);
            }
            operations.forget(&uid);
        }
        assert!(operations.open().is_empty());
        has(&metrics, "snapshot_controller_operations_in_flight 0");
    }
}
