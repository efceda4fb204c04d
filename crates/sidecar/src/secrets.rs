//! Reads Secrets for calls to the driver. Their values go nowhere else.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use tintype_core::object::SecretRef;
use tintype_runtime::Chain;

/// Why there are no secrets to call with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    /// It does not exist.
    #[error(
        "Secret {0} does not exist; create it, or take the deletion-secret annotations off the content"
    )]
    Missing(String),
    /// The reference is incomplete.
    #[error("the deletion-secret annotations name no Secret: name or namespace is empty")]
    Unnamed,
    /// It cannot be read.
    #[error("Secret {name} cannot be read: {why}")]
    Unreadable {
        /// Namespace and name.
        name: String,
        /// What the API server said.
        why: String,
    },
}

/// One GET; no reference means no secrets.
pub(crate) async fn read(
    client: &Client,
    reference: Option<&SecretRef>,
) -> Result<BTreeMap<String, String>, SecretError> {
    let Some(SecretRef { namespace, name }) = reference else {
        return Ok(BTreeMap::new());
    };
    if namespace.is_empty() || name.is_empty() {
        return Err(SecretError::Unnamed);
    }
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secret = match api.get_opt(name).await {
        Ok(Some(secret)) => secret,
        Ok(None) => return Err(SecretError::Missing(format!("{namespace}/{name}"))),
        Err(error) => {
            return Err(SecretError::Unreadable {
                name: format!("{namespace}/{name}"),
                why: Chain(&error).to_string(),
            });
        }
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(secret
        .data
        .unwrap_or_default()
        .into_iter()
        .map(|(key, value)| (key, text(&value.0)))
        .collect())
}
