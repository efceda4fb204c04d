//! Tells whether this process leads, as client-go does.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::{MetricsError, registered};

/// `leader_election_*` of one lease.
#[derive(Debug, Clone)]
pub struct LeaderMetrics {
    status: IntGauge,
    slow: IntCounter,
}

impl LeaderMetrics {
    pub(super) fn new(registry: &Registry, lease: &str) -> Result<Self, MetricsError> {
        let status = Opts::new(
            "leader_election_master_status",
            "[ALPHA] Gauge of if the reporting system is master of the relevant lease, 0 indicates backup, 1 indicates master. 'name' is the string used to identify the lease. Please make sure to group by name.",
        );
        let slow = Opts::new(
            "leader_election_slowpath_total",
            "[ALPHA] Total number of slow path exercised in renewing leader leases. 'name' is the string used to identify the lease. Please make sure to group by name.",
        );
        let status = registered(registry, IntGaugeVec::new(status, &["name"]))?;
        let slow = registered(registry, IntCounterVec::new(slow, &["name"]))?;
        Ok(Self {
            status: status.with_label_values(&[lease]),
            slow: slow.with_label_values(&[lease]),
        })
    }

    /// This process leads, or does not.
    pub(crate) fn leads(&self, leads: bool) {
        self.status.set(leads.into());
    }

    /// The lease had to be read before it could be renewed.
    pub(crate) fn slow(&self) {
        self.slow.inc();
    }
}

#[cfg(test)]
mod tests {
    use crate::Metrics;

    #[test]
    fn leading_is_told_as_client_go_tells_it() {
        let metrics = Metrics::new().unwrap();
        let leader = metrics.leader("snapshot-controller-leader").unwrap();
        let line = "leader_election_master_status{name=\"snapshot-controller-leader\"}";
        assert!(metrics.text().unwrap().contains(&format!("{line} 0")));
        leader.leads(true);
        leader.slow();
        let text = metrics.text().unwrap();
        assert!(text.contains(&format!("{line} 1")), "{text}");
        assert!(
            text.contains("leader_election_slowpath_total{name=\"snapshot-controller-leader\"} 1"),
            "{text}"
        );
    }
}
