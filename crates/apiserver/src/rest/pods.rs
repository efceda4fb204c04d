//! Answers what only a pod's node could: its logs, and commands in its containers.
//!
//! Runs nothing and knows no node: it says so.

use http::StatusCode;

use super::{Call, Reply};
use crate::status::Failure;

impl Call<'_> {
    /// A pod that is nowhere has said nothing yet.
    pub(super) fn pod_log(&self) -> Result<Reply, Failure> {
        match self.node_of_pod()? {
            None => Ok(Reply::text(StatusCode::OK, "")),
            Some(node) => Err(self.out_of_reach(&node)),
        }
    }

    pub(super) fn pod_exec(&self) -> Result<Reply, Failure> {
        match self.node_of_pod()? {
            None => Err(Failure::bad_request(format!(
                "pod {} does not have a host assigned",
                self.info.name
            ))),
            Some(node) => Err(self.out_of_reach(&node)),
        }
    }

    fn node_of_pod(&self) -> Result<Option<String>, Failure> {
        let pod = self.stored(&self.key())?.value();
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        Ok((!node.is_empty()).then(|| node.to_owned()))
    }

    fn out_of_reach(&self, node: &str) -> Failure {
        let message = format!(
            "pod {} is on node {node}, and this server does not reach into nodes: ask there",
            self.info.name
        );
        Failure::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", message)
    }
}
