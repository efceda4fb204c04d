//! Puts pods on nodes, evicts them, and answers what only their node could: logs, and commands in containers.
//!
//! Runs nothing and knows no node: it says so. Does not look at disruption budgets.

use http::StatusCode;
use serde_json::{Value, json};

use super::query::WriteOptions;
use super::{Call, Inside, Reply, body, now};
use crate::schema::error::FieldError;
use crate::status::{self, About, Failure};
use crate::store::WriteError;

/// A pod that others keep writing is given up in the end.
const TRIES: usize = 100;

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

    /// Puts a pod on a node, which a scheduler asks with a `Binding`.
    pub(super) async fn bind_pod(&self, bytes: &[u8]) -> Result<Reply, Failure> {
        let options = WriteOptions::parse(self.query, "CreateOptions")?;
        let binding = self.about_pod("Binding", bytes)?;
        let node = binding["target"]["name"].as_str().unwrap_or_default();
        let mut errors = Vec::new();
        let kind = &binding["target"]["kind"];
        if !matches!(kind.as_str(), None | Some("" | "Node")) {
            let known = ["Node", "<empty>"].map(str::to_owned);
            errors.push(FieldError::not_supported("target.kind", kind, &known));
        }
        if node.is_empty() {
            errors.push(FieldError::required("target.name", ""));
        }
        if !errors.is_empty() {
            return Err(Failure::invalid(&self.as_what("Binding"), &errors));
        }
        Box::pin(self.admit_creation(&binding, options.dry_run)).await?;
        for _ in 0..TRIES {
            let stored = self.stored(&self.key())?;
            let mut pod = stored.value();
            self.check_free(&pod)?;
            if options.dry_run {
                return Ok(success());
            }
            place(&mut pod, node, &binding["metadata"]["annotations"]);
            match self.store_changed(&stored, &pod).await {
                Ok(Ok(_)) => return Ok(success()),
                Ok(Err(failure)) => return Err(failure),
                Err(WriteError::Changed | WriteError::Missing | WriteError::Exists) => {}
                Err(error @ WriteError::Disk(_)) => return Err(Failure::internal(error)),
            }
        }
        Err(Failure::modified(&self.target.about(&self.info.name)))
    }

    /// A pod is put on a node once, and not while it goes.
    fn check_free(&self, pod: &Value) -> Result<(), Failure> {
        let name = &self.info.name;
        let conflict = |why: String| Err(Failure::conflict(&self.as_what("pods/binding"), &why));
        if pod["metadata"].get("deletionTimestamp").is_some() {
            return conflict(format!(
                "pod {name} is being deleted, cannot be assigned to a host"
            ));
        }
        match pod["spec"]["nodeName"].as_str().unwrap_or_default() {
            "" => Ok(()),
            node => conflict(format!("pod {name} is already assigned to node {node:?}")),
        }
    }

    /// Deletes a pod as the `deleteOptions` of an `Eviction` say.
    pub(super) async fn evict_pod(&self, bytes: &[u8]) -> Result<Reply, Failure> {
        let eviction = self.about_pod("Eviction", bytes)?;
        let options = self.delete_options_of(&eviction["deleteOptions"])?;
        self.stored(&self.key())?;
        Box::pin(self.admit_creation(&eviction, options.is_dry_run())).await?;
        // Whoever judges deletions is asked about the eviction only, as in Kubernetes.
        let inside = Inside::new(self.api, "delete", "", "v1", "pods")?;
        let deleting = inside.call(self.api);
        deleting.delete_quietly(&self.key(), &options).await?;
        Ok(success())
    }

    /// Reads what was sent to a subresource of the pod; it must be of the kind, and name no other pod.
    fn about_pod(&self, kind: &str, bytes: &[u8]) -> Result<Value, Failure> {
        let sent = body::decode(self.headers, bytes, kind)?.value;
        let found = sent["kind"].as_str().unwrap_or(kind);
        if found != kind {
            return Err(Failure::bad_request(format!(
                "{found} in the body, but {} takes a {kind}",
                self.info.path
            )));
        }
        let name = sent["metadata"]["name"].as_str().unwrap_or_default();
        if !name.is_empty() && name != self.info.name {
            return Err(Failure::bad_request(format!(
                "name in URL does not match name in {kind} object: {:?} and {name:?}",
                self.info.name
            )));
        }
        Ok(sent)
    }

    fn as_what(&self, kind: &str) -> About {
        About {
            group: String::new(),
            kind: kind.to_owned(),
            name: self.info.name.clone(),
        }
    }
}

/// The pod is on the node from now on, which its condition tells too.
fn place(pod: &mut Value, node: &str, annotations: &Value) {
    pod["spec"]["nodeName"] = json!(node);
    for (name, value) in annotations.as_object().into_iter().flatten() {
        pod["metadata"]["annotations"][name] = value.clone();
    }
    let scheduled = json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null,
        "lastTransitionTime": now()});
    match pod["status"]["conditions"].as_array_mut() {
        Some(conditions) => {
            conditions.retain(|condition| condition["type"] != "PodScheduled");
            conditions.push(scheduled);
        }
        None => pod["status"]["conditions"] = json!([scheduled]),
    }
}

fn success() -> Reply {
    Reply::json(StatusCode::CREATED, &status::success(StatusCode::CREATED))
}
