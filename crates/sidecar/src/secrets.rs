//! Reads Secrets for calls to the driver. Their values go nowhere else.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use tintype_core::object::SecretRef;
use tintype_core::secret::Secret as Named;
use tintype_runtime::Chain;

/// Why there are no secrets to call with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    /// It does not exist.
    #[error(
        "Secret {0} does not exist; create it, or take the deletion-secret annotations off the content"
    )]
    Missing(String),
    /// One that a storage class names does not exist.
    #[error("Secret {0}, which the StorageClass names, does not exist; create it")]
    MissingOfClass(String),
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

/// What a Secret is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Making a snapshot, and asking until it is ready.
    Create,
    /// Following one that was there first.
    Follow,
    /// Deleting one.
    Delete,
}

/// The secrets of an operation that is under way.
#[derive(Clone, Default)]
pub(crate) struct Held(Option<Arc<Reading>>);

/// Secrets as they were read.
struct Reading {
    operation: Operation,
    from: SecretRef,
    values: BTreeMap<String, String>,
}

impl Held {
    pub(crate) fn new(
        operation: Operation,
        from: SecretRef,
        values: BTreeMap<String, String>,
    ) -> Self {
        Self(Some(Arc::new(Reading {
            operation,
            from,
            values,
        })))
    }

    /// Those of this operation, if they were read from this Secret.
    pub(crate) fn values(
        &self,
        operation: Operation,
        reference: &SecretRef,
    ) -> Option<BTreeMap<String, String>> {
        let held = self.0.as_ref()?;
        (held.operation == operation && held.from == *reference).then(|| held.values.clone())
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = self.0.as_ref().map(|it| (it.operation, &it.from));
        f.debug_tuple("Held").field(&from).finish()
    }
}

/// One GET.
pub(crate) async fn read(
    client: &Client,
    reference: &SecretRef,
) -> Result<BTreeMap<String, String>, SecretError> {
    let SecretRef { namespace, name } = reference;
    if namespace.is_empty() || name.is_empty() {
        return Err(SecretError::Unnamed);
    }
    match get(client, namespace, name).await? {
        Some(values) => Ok(values),
        None => Err(SecretError::Missing(format!("{namespace}/{name}"))),
    }
}

/// The same, of a Secret that the parameters of a storage class name.
pub(crate) async fn of_class(
    client: &Client,
    named: Option<&Named>,
) -> Result<BTreeMap<String, String>, SecretError> {
    let Some(Named { namespace, name }) = named else {
        return Ok(BTreeMap::new());
    };
    match get(client, namespace, name).await? {
        Some(values) => Ok(values),
        None => Err(SecretError::MissingOfClass(format!("{namespace}/{name}"))),
    }
}

async fn get(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<Option<BTreeMap<String, String>>, SecretError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secret = match api.get_opt(name).await {
        Ok(Some(secret)) => secret,
        Ok(None) => return Ok(None),
        Err(error) => {
            return Err(SecretError::Unreadable {
                name: format!("{namespace}/{name}"),
                why: Chain(&error).to_string(),
            });
        }
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Some(
        secret
            .data
            .unwrap_or_default()
            .into_iter()
            .map(|(key, value)| (key, text(&value.0)))
            .collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_secrets_serve_one_operation_and_are_never_printed() {
        let at = |name: &str| SecretRef {
            namespace: "vault".into(),
            name: name.into(),
        };
        let values = BTreeMap::from([("password".to_owned(), "hunter2".to_owned())]);
        let held = Held::new(Operation::Create, at("key"), values.clone());
        let of = |operation, name: &str| held.values(operation, &at(name));
        assert_eq!(of(Operation::Create, "key"), Some(values));
        assert_eq!(of(Operation::Delete, "key"), None);
        assert_eq!(of(Operation::Create, "other"), None);
        let printed = format!("{held:?}");
        assert!(
            printed.contains("vault") && !printed.contains("hunter2"),
            "{printed}"
        );
    }
}
