//! Tells API servers whom to trust: writes `caBundle` wherever our Service is named, and nowhere else.
//!
//! Does not know what a bundle holds. A configuration that names another Service is somebody else's.

use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::Names;

/// Upstream's names of the two configurations.
const CONFIGURATIONS: [&str; 2] = [
    "validation-webhook.snapshot.storage.k8s.io",
    "validation-webhook.groupsnapshot.storage.k8s.io",
];
const DEFINITION: &str = "volumegroupsnapshotcontents.groupsnapshot.storage.k8s.io";

#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {what}")]
pub(crate) struct PublishError {
    verb: &'static str,
    what: String,
    source: Box<kube::Error>,
}

/// The objects that name a webhook.
pub(crate) struct Targets {
    definitions: Api<DynamicObject>,
    configurations: Api<DynamicObject>,
    namespace: String,
    service: String,
}

impl Targets {
    pub(super) fn new(client: &Client, names: &Names) -> Self {
        let of = |group: &str, kind: &str| {
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
            Api::all_with(client.clone(), &resource)
        };
        Self {
            definitions: of("apiextensions.k8s.io", "CustomResourceDefinition"),
            configurations: of(
                "admissionregistration.k8s.io",
                "ValidatingWebhookConfiguration",
            ),
            namespace: names.namespace.clone(),
            service: names.service.clone(),
        }
    }

    /// Writes the bundle (PEM in base64) where it is not yet. How many objects that took; one that cannot be written
    /// keeps nothing from the others.
    pub(super) async fn publish(&self, bundle: &str) -> Result<usize, PublishError> {
        let definition = |it: &Value| self.of_definition(it, bundle);
        let mut outcomes = vec![write(&self.definitions, DEFINITION, definition).await];
        for name in CONFIGURATIONS {
            let configuration = |it: &Value| self.of_configuration(it, bundle);
            outcomes.push(write(&self.configurations, name, configuration).await);
        }
        let written: Vec<bool> = outcomes.into_iter().collect::<Result<_, _>>()?;
        Ok(written.into_iter().filter(|it| *it).count())
    }

    fn is_ours(&self, client_config: &Value) -> bool {
        let service = &client_config["service"];
        service["name"] == *self.service && service["namespace"] == *self.namespace
    }

    fn of_definition(&self, definition: &Value, bundle: &str) -> Option<Value> {
        let client = &definition["spec"]["conversion"]["webhook"]["clientConfig"];
        let stale = self.is_ours(client) && client["caBundle"] != *bundle;
        stale.then(
            || json!({"spec": {"conversion": {"webhook": {"clientConfig": {"caBundle": bundle}}}}}),
        )
    }

    /// A list is patched as a whole, as it was read.
    fn of_configuration(&self, configuration: &Value, bundle: &str) -> Option<Value> {
        let mut webhooks = configuration["webhooks"].clone();
        let mut stale = false;
        for webhook in webhooks.as_array_mut()? {
            let client = &mut webhook["clientConfig"];
            if self.is_ours(client) && client["caBundle"] != *bundle {
                client["caBundle"] = bundle.into();
                stale = true;
            }
        }
        stale.then(|| json!({ "webhooks": webhooks }))
    }
}

/// Writes what `patch` says; one that is not there, or that changed meanwhile, has another turn.
async fn write(
    api: &Api<DynamicObject>,
    name: &str,
    patch: impl Fn(&Value) -> Option<Value>,
) -> Result<bool, PublishError> {
    let failed = |verb| {
        move |source| PublishError {
            verb,
            what: name.to_owned(),
            source: Box::new(source),
        }
    };
    let Some(object) = api.get_opt(name).await.map_err(failed("read"))? else {
        return Ok(false);
    };
    let Some(mut patch) = patch(&object.data) else {
        return Ok(false);
    };
    patch["metadata"] = json!({"resourceVersion": object.metadata.resource_version});
    match api
        .patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
    {
        Ok(_) => Ok(true),
        // Somebody else wrote it, perhaps the same: it is looked at again at the next pass, and told of until then.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(true),
        Err(error) => Err(failed("write to")(error)),
    }
}
