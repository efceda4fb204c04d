//! Makes the clusters that the tests look over.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::cluster::{Cluster, Kept, Listed};

pub(super) fn read<T: serde::de::DeserializeOwned>(document: Value) -> T {
    serde_json::from_value(document).unwrap()
}

/// A cluster with one driver, its classes, and nothing else.
pub(super) fn cluster() -> Cluster {
    Cluster {
        missing_kinds: Vec::new(),
        versions: vec!["v1".to_owned()],
        snapshots: Listed::whole(Vec::new()),
        contents: Listed::whole(Vec::new()),
        classes: Listed::whole(vec![read(
            json!({"metadata": {"name": "one", "annotations":
            {"snapshot.storage.kubernetes.io/is-default-class": "true"}},
            "driver": "d", "deletionPolicy": "Delete"}),
        )]),
        groups: Listed::whole(Vec::new()),
        group_contents: Listed::whole(Vec::new()),
        group_classes: Listed::whole(Vec::new()),
        claims: Listed::whole(Vec::new()),
        volumes: Listed::whole(Vec::new()),
        storage_classes: Listed::whole(vec![read(
            json!({"metadata": {"name": "fast"}, "provisioner": "d"}),
        )]),
        leases: Listed::whole(Vec::new()),
        grants: Listed::whole(Vec::new()),
        warnings: BTreeMap::new(),
        lacking: Vec::new(),
        kept: Kept::Yes,
        now: 1_000,
        namespace: None,
    }
}
