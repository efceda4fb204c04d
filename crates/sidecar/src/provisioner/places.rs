//! Keeps the list of nodes the driver is on, made anew only after nodes have changed.

use std::sync::{Arc, Mutex, PoisonError};

use tintype_core::object::Key;
use tintype_core::topology::Node;
use tintype_runtime::Cache;

use super::rows::{CsiNodeRow, NodeRow};

/// Where the driver is.
#[derive(Debug)]
pub(super) enum Places {
    /// The driver has no topology.
    Anywhere,
    /// There is one provisioner on each node: this one, as the driver says.
    Here(Arc<[Node]>),
    /// As the nodes' objects say.
    Watched(Watched),
}

/// What is known of the nodes.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) nodes: Arc<Cache<NodeRow>>,
    pub(super) csi_nodes: Arc<Cache<CsiNodeRow>>,
    driver: Arc<str>,
    known: Mutex<Option<Arc<[Node]>>>,
}

impl Watched {
    pub(super) fn new(driver: Arc<str>) -> Self {
        Self {
            nodes: Cache::new(vec![]),
            csi_nodes: Cache::new(vec![]),
            driver,
            known: Mutex::default(),
        }
    }

    /// Something about nodes has changed.
    pub(super) fn changed(&self) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn list(&self) -> Arc<[Node]> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get_or_insert_with(|| {
                let mut rows = self.csi_nodes.rows();
                rows.sort_by(|one, two| one.meta.key.cmp(&two.meta.key));
                rows.iter().map(|it| self.node(it)).collect()
            })
            .clone()
    }

    fn node(&self, row: &CsiNodeRow) -> Node {
        let name = &row.meta.key.name;
        let node = self.nodes.get(&Key::cluster(name.clone()));
        Node {
            name: name.to_string(),
            keys: row.drivers.get(&*self.driver).cloned().unwrap_or_default(),
            labels: node.present().map(|it| it.labels.clone()),
        }
    }
}

impl Places {
    /// All nodes, by name.
    pub(super) fn list(&self) -> Arc<[Node]> {
        match self {
            Self::Anywhere => Arc::new([]),
            Self::Here(nodes) => nodes.clone(),
            Self::Watched(watched) => watched.list(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::json;
    use tintype_runtime::Row as _;

    use super::*;

    #[test]
    fn nodes_are_read_again_after_a_change() {
        let watched = Watched::new("csi.example".into());
        let csi_node = json!({"metadata": {"name": "n1", "uid": "u", "resourceVersion": "1"},
            "spec": {"drivers": [
                {"name": "csi.other", "nodeID": "n1", "topologyKeys": ["rack"]},
                {"name": "csi.example", "nodeID": "n1", "topologyKeys": ["zone"]}]}});
        watched
            .csi_nodes
            .offer(CsiNodeRow::read_reply(csi_node).unwrap());
        watched.nodes.sweep(&HashSet::new());
        let before = watched.list();
        assert_eq!(before[0].keys, ["zone"]);
        assert_eq!(before[0].labels, None);
        let node = json!({"metadata": {"name": "n1", "uid": "v", "resourceVersion": "2",
            "labels": {"zone": "a"}}});
        watched.nodes.offer(NodeRow::read_reply(node).unwrap());
        assert_eq!(watched.list()[0].labels, None);
        watched.changed();
        let labels = watched.list()[0].labels.clone().unwrap();
        assert_eq!(labels["zone"], "a");
    }
}
