//! Says what a pod knows of itself, and finds out who is behind it.

use anyhow::{Context as _, bail};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::DynamicObject;
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt as _, discovery};

/// What a pod says of itself. Upstream's manifests say it in environment variables, and there is no
/// flag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pod {
    /// `NODE_NAME`: `spec.nodeName`.
    pub node: Option<String>,
    /// `POD_NAME`: `metadata.name`.
    pub name: Option<String>,
    /// `NAMESPACE`: `metadata.namespace`.
    pub namespace: Option<String>,
}

impl Pod {
    /// As the environment says.
    #[expect(
        clippy::disallowed_methods,
        reason = "upstream's manifests say it this way, and there is no flag"
    )]
    pub fn of_environment() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|it| !it.is_empty());
        Self {
            node: variable("NODE_NAME"),
            name: variable("POD_NAME"),
            namespace: variable("NAMESPACE"),
        }
    }

    pub(super) fn node(&self) -> anyhow::Result<String> {
        required(
            self.node.as_ref(),
            "NODE_NAME",
            "--node-deployment",
            "spec.nodeName",
        )
    }

    pub(super) fn namespace(&self) -> anyhow::Result<String> {
        let namespace = self.namespace.as_ref();
        required(
            namespace,
            "NAMESPACE",
            "--enable-capacity",
            "metadata.namespace",
        )
    }

    /// The owner of what this pod makes: `level` 0 is the pod, 1 who controls it, and so on.
    pub(super) async fn owner(
        &self,
        client: &Client,
        level: i8,
    ) -> anyhow::Result<Option<OwnerReference>> {
        if level < 0 {
            return Ok(None);
        }
        let flag = format!("--capacity-ownerref-level={level}");
        let name = required(self.name.as_ref(), "POD_NAME", &flag, "metadata.name")?;
        let namespace = self.namespace()?;
        let mut owner = OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            name,
            ..OwnerReference::default()
        };
        let mut found = read(client, &namespace, &owner).await?;
        owner.uid = found.uid().unwrap_or_default();
        for below in 0..level {
            if below > 0 {
                found = read(client, &namespace, &owner).await?;
            }
            let mut owners = found.owner_references().iter();
            let Some(next) = owners.find(|it| it.controller == Some(true)) else {
                bail!(
                    "{flag} needs somebody who controls {} {namespace}/{}, and there is nobody; give the flag {below}",
                    owner.kind,
                    owner.name
                );
            };
            owner = next.clone();
        }
        owner.controller = Some(true);
        owner.block_owner_deletion = None;
        Ok(Some(owner))
    }
}

async fn read(
    client: &Client,
    namespace: &str,
    of: &OwnerReference,
) -> anyhow::Result<DynamicObject> {
    let what = || {
        format!(
            "cannot read {} {namespace}/{}, whose the capacity objects are to be",
            of.kind, of.name
        )
    };
    let (group, version) = match of.api_version.split_once('/') {
        Some((group, version)) => (group, version),
        None => ("", &*of.api_version),
    };
    let kind = GroupVersionKind::gvk(group, version, &of.kind);
    let (resource, _) = discovery::pinned_kind(client, &kind)
        .await
        .with_context(what)?;
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    api.get(&of.name).await.with_context(what)
}

fn required(
    value: Option<&String>,
    variable: &str,
    flag: &str,
    field: &str,
) -> anyhow::Result<String> {
    match value {
        Some(value) => Ok(value.clone()),
        None => bail!("{flag} needs the environment variable {variable}; set it from {field}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_pod_does_not_say_is_asked_for() {
        let error = Pod::default().node().unwrap_err().to_string();
        assert_eq!(
            error,
            "--node-deployment needs the environment variable NODE_NAME; set it from spec.nodeName"
        );
    }
}
