//! Reads and writes the `Lease` object as raw JSON, so fields nobody here knows stay as they are.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

/// A lease as the server holds it.
#[derive(Debug, Clone)]
pub(super) struct Document(pub(super) Value);

/// Who writes, and what with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writer<'a> {
    pub(super) identity: &'a str,
    pub(super) labels: &'a BTreeMap<String, String>,
    pub(super) duration: Duration,
    /// Wall-clock time with microseconds.
    pub(super) now: &'a str,
}

impl Document {
    /// The first lease of this name.
    pub(super) fn first(namespace: &str, name: &str, writer: Writer<'_>) -> Self {
        let mut document = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"namespace": namespace, "name": name},
            "spec": {
                "holderIdentity": writer.identity,
                "acquireTime": writer.now,
                "leaseTransitions": 0,
            },
        });
        stamp(&mut document, writer);
        Self(document)
    }

    /// The same lease, held by the writer from now on, or still.
    pub(super) fn held(&self, writer: Writer<'_>) -> Self {
        let mut document = self.0.clone();
        if self.holder() != writer.identity {
            let transitions = document["spec"]["leaseTransitions"].as_i64().unwrap_or(0);
            let spec = spec(&mut document);
            spec["leaseTransitions"] = transitions.saturating_add(1).into();
            spec["acquireTime"] = writer.now.into();
            spec["holderIdentity"] = writer.identity.into();
        }
        stamp(&mut document, writer);
        Self(document)
    }

    /// The same lease, held by nobody; upstream leaves one second on it.
    pub(super) fn released(&self, now: &str) -> Self {
        let mut document = self.0.clone();
        let spec = spec(&mut document);
        spec["holderIdentity"] = "".into();
        spec["leaseDurationSeconds"] = 1.into();
        spec["acquireTime"] = now.into();
        spec["renewTime"] = now.into();
        Self(document)
    }

    /// Who holds it; empty if nobody does.
    pub(super) fn holder(&self) -> &str {
        self.0["spec"]["holderIdentity"]
            .as_str()
            .unwrap_or_default()
    }

    /// How long the holder asked others to wait.
    pub(super) fn duration(&self) -> Option<Duration> {
        let seconds = self.0["spec"]["leaseDurationSeconds"].as_u64()?;
        Some(Duration::from_secs(seconds))
    }

    /// Everything a sign of life changes.
    pub(super) fn spec(&self) -> &Value {
        &self.0["spec"]
    }
}

fn stamp(document: &mut Value, writer: Writer<'_>) {
    let fields = spec(document);
    // Rounded up: others must not take over while we still count on it.
    let whole = writer.duration.as_secs() + u64::from(writer.duration.subsec_nanos() > 0);
    fields["leaseDurationSeconds"] = whole.into();
    fields["renewTime"] = writer.now.into();
    if !writer.labels.is_empty() {
        let labels = object(&mut object(document)["metadata"]);
        let labels = object(&mut labels["labels"]);
        for (key, value) in writer.labels {
            labels[key.as_str()] = value.as_str().into();
        }
    }
}

fn spec(document: &mut Value) -> &mut Value {
    object(&mut object(document)["spec"])
}

/// Anything but an object becomes an empty one: a server never sends such a lease.
fn object(value: &mut Value) -> &mut Value {
    if !value.is_object() {
        *value = json!({});
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-02T03:04:05.000006Z";

    fn writer<'a>(identity: &'a str, labels: &'a BTreeMap<String, String>) -> Writer<'a> {
        Writer {
            identity,
            labels,
            duration: Duration::from_millis(14_500),
            now: NOW,
        }
    }

    #[test]
    fn a_new_holder_counts_as_a_transition_and_an_old_one_does_not() {
        let none = BTreeMap::new();
        let first = Document::first("ns", "lease", writer("a", &none));
        assert_eq!(first.0["spec"]["leaseTransitions"], 0);
        assert_eq!(first.duration(), Some(Duration::from_secs(15)));
        let renewed = first.held(Writer {
            now: "later",
            ..writer("a", &none)
        });
        assert_eq!(renewed.0["spec"]["acquireTime"], NOW);
        assert_eq!(renewed.0["spec"]["renewTime"], "later");
        let taken = renewed.held(Writer {
            now: "later still",
            ..writer("b", &none)
        });
        assert_eq!(taken.holder(), "b");
        assert_eq!(taken.0["spec"]["leaseTransitions"], 1);
        assert_eq!(taken.0["spec"]["acquireTime"], "later still");
        let released = taken.released(NOW);
        assert_eq!(released.holder(), "");
        assert_eq!(released.0["spec"]["leaseTransitions"], 1);
        assert_eq!(released.duration(), Some(Duration::from_secs(1)));
    }

    #[test]
    fn what_nobody_here_knows_stays() {
        let labels = BTreeMap::from([("team".to_owned(), "storage".to_owned())]);
        let theirs = Document(json!({
            "metadata": {"name": "lease", "resourceVersion": "7", "labels": {"kept": "yes"}},
            "spec": {"holderIdentity": "b", "strategy": "OldestEmulationVersion"},
        }));
        let ours = theirs.held(writer("a", &labels)).0;
        assert_eq!(ours["metadata"]["resourceVersion"], "7");
        assert_eq!(
            ours["metadata"]["labels"],
            json!({"kept": "yes", "team": "storage"})
        );
        assert_eq!(ours["spec"]["strategy"], "OldestEmulationVersion");
    }

    #[test]
    fn a_lease_of_any_shape_can_be_taken() {
        let none = BTreeMap::new();
        for odd in [
            json!(null),
            json!([]),
            json!({"spec": 3}),
            json!({"spec": {}}),
        ] {
            let taken = Document(odd).held(writer("a", &none));
            assert_eq!(taken.holder(), "a");
        }
    }
}
