//! Installs what a sandbox comes with: definitions, rights, the driver's object, default classes.
//! What the roles cannot do without is put back at each start; the rest is made once, and a user's
//! change or deletion of it stays.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use k8s_openapi::{
    api::core::v1::ConfigMap,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Resource as _,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind, TypeMeta},
    runtime::{
        conditions,
        wait::{self, await_condition},
    },
};
use serde::Deserialize as _;
use serde_json::{Value, json};
use tintype_api::{ConversionWebhook, CrdOptions};

use crate::request_error::RequestError;

const RBAC: &str = include_str!("rbac.yaml");
/// What a cluster applies to run the webhook.
const WEBHOOK: [&str; 2] = [
    include_str!("../../../../deploy/webhook/webhook.yaml"),
    include_str!("../../../../deploy/webhook/validation.yaml"),
];

/// Remembers what was installed, and in which form.
const MARKER: &str = "tintype-installed";
const NAMESPACE: &str = "kube-system";

/// A definition is served within milliseconds; this long means that it never will be.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error(transparent)]
    Crds(#[from] tintype_api::CrdError),
    #[error("the rights in this build are not valid YAML")]
    Rbac(#[from] serde_yaml_ng::Error),
    #[error("the built-in object {what} has no {missing}")]
    Shape { what: String, missing: &'static str },
    #[error("cannot install {what}")]
    Write { what: String, source: RequestError },
    #[error("the definition {name} was not accepted")]
    NotEstablished {
        name: String,
        source: Box<wait::Error>,
    },
    #[error("the definition {name} was not accepted within {PATIENCE:?}")]
    Late { name: String },
}

/// One object to install.
#[derive(Debug, Clone)]
struct Item {
    object: Value,
    /// The roles cannot work without it.
    needed: bool,
}

/// Brings everything in. Returns when the API server serves the installed kinds.
pub(crate) async fn install(
    client: &Client,
    driver: &str,
    default_classes: bool,
    webhook: bool,
) -> Result<(), InstallError> {
    let before = read_marker(client).await?;
    let mut after = before.clone();
    // Whoever tries what an old page prints is answered with what to change.
    let options = CrdOptions {
        serve_legacy: true,
        conversion: webhook.then(ConversionWebhook::default),
    };
    let mut definitions = tintype_api::crds_with(&options)?;
    for definition in &mut definitions {
        if definition["spec"]["conversion"].is_null() {
            // It may have been converted by a webhook at the last start.
            definition["spec"]["conversion"] = json!({"strategy": "None", "webhook": null});
        }
    }
    for object in &definitions {
        bring_in(
            client,
            &Item {
                object: object.clone(),
                needed: true,
            },
            &mut after,
        )
        .await?;
    }
    for object in &definitions {
        established(
            client,
            object["metadata"]["name"].as_str().unwrap_or_default(),
        )
        .await?;
    }
    let mut items = rest(driver, default_classes)?;
    if webhook {
        items.extend(of_webhook()?);
    }
    for item in items {
        bring_in(client, &item, &mut after).await?;
    }
    if after != before {
        write_marker(client, &after, before.is_empty()).await?;
    }
    Ok(())
}

/// Everything but the definitions.
fn rest(driver: &str, default_classes: bool) -> Result<Vec<Item>, InstallError> {
    let mut items = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(RBAC) {
        items.push(Item {
            object: Value::deserialize(document)?,
            needed: true,
        });
    }
    let mut once = vec![csi_driver(driver)];
    if default_classes {
        once.extend([storage_class(driver), snapshot_class(driver)]);
    }
    items.extend(once.into_iter().map(|object| Item {
        object,
        needed: false,
    }));
    Ok(items)
}

/// All of the webhook's manifests but what would run it.
fn of_webhook() -> Result<Vec<Item>, InstallError> {
    let mut items = Vec::new();
    for document in WEBHOOK
        .iter()
        .flat_map(|it| serde_yaml_ng::Deserializer::from_str(it))
    {
        let object = Value::deserialize(document)?;
        if object["kind"] != "Deployment" {
            items.push(Item {
                object,
                needed: true,
            });
        }
    }
    Ok(items)
}

/// Says where the webhook's Service is served; there is no kubelet to find out.
pub(super) async fn webhook_is_at(
    client: &Client,
    address: SocketAddr,
) -> Result<(), InstallError> {
    let ConversionWebhook {
        namespace, service, ..
    } = ConversionWebhook::default();
    let subsets = json!([{"addresses": [{"ip": address.ip().to_string()}],
        "ports": [{"name": "webhook", "port": address.port()}]}]);
    let endpoints = json!({"apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"name": service, "namespace": namespace}, "subsets": subsets});
    let object = decode(&endpoints)?;
    let (api, what) = api_of(client, &object)?;
    let written = match api.create(&PostParams::default(), &object).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            let patch = Patch::Merge(json!({ "subsets": subsets }));
            api.patch(&service, &PatchParams::default(), &patch).await
        }
        created => created,
    };
    written.map(drop).map_err(|source| InstallError::Write {
        what,
        source: source.into(),
    })
}

fn csi_driver(driver: &str) -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSIDriver",
        "metadata": {"name": driver},
        "spec": {
            "attachRequired": false,
            "podInfoOnMount": false,
            "fsGroupPolicy": "File",
            "volumeLifecycleModes": ["Persistent"]
        }
    })
}

fn storage_class(driver: &str) -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": "tintype",
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}
        },
        "provisioner": driver,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate",
        "allowVolumeExpansion": true
    })
}

fn snapshot_class(driver: &str) -> Value {
    json!({
        "apiVersion": tintype_api::API_VERSION,
        "kind": "VolumeSnapshotClass",
        "metadata": {
            "name": "tintype",
            "annotations": {tintype_api::keys::ANNOTATION_DEFAULT_CLASS: "true"}
        },
        "driver": driver,
        "deletionPolicy": "Delete"
    })
}

async fn bring_in(
    client: &Client,
    item: &Item,
    installed: &mut BTreeMap<String, String>,
) -> Result<(), InstallError> {
    let object: DynamicObject = decode(&item.object)?;
    let (api, what) = api_of(client, &object)?;
    let key = what.replace(['/', ':'], "_");
    let form = blake3::hash(item.object.to_string().as_bytes()).to_hex()[..16].to_owned();
    let write = |source| InstallError::Write {
        what: what.clone(),
        source: RequestError::from(source),
    };
    let name = object.metadata.name.clone().unwrap_or_default();
    if !item.needed && installed.contains_key(&key) {
        return Ok(());
    }
    let there = api.get_opt(&name).await.map_err(write)?.is_some();
    if !there {
        match api.create(&PostParams::default(), &object).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            created => drop(created.map_err(write)?),
        }
    } else if item.needed && installed.get(&key) != Some(&form) {
        // Another version of ours was here: bring the object to this version's form.
        let patch = Patch::Merge(&item.object);
        api.patch(&name, &PatchParams::default(), &patch)
            .await
            .map_err(write)?;
    }
    installed.insert(key, form);
    Ok(())
}

fn decode(object: &Value) -> Result<DynamicObject, InstallError> {
    serde_json::from_value(object.clone()).map_err(|_| InstallError::Shape {
        what: object["metadata"]["name"].to_string(),
        missing: "metadata that Kubernetes would take",
    })
}

/// The place of an object in the API, and its name for messages: `StorageClass/tintype`.
fn api_of(
    client: &Client,
    object: &DynamicObject,
) -> Result<(Api<DynamicObject>, String), InstallError> {
    let name = object.metadata.name.clone().unwrap_or_default();
    let TypeMeta { api_version, kind } = object.types.clone().ok_or(InstallError::Shape {
        what: name.clone(),
        missing: "kind",
    })?;
    let what = format!("{kind}/{name}");
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &kind));
    let api = match object.meta().namespace.as_deref() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    Ok((api, what))
}

async fn established(client: &Client, name: &str) -> Result<(), InstallError> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let waiting = await_condition(api, name, conditions::is_crd_established());
    match tokio::time::timeout(PATIENCE, waiting).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(source)) => Err(InstallError::NotEstablished {
            name: name.to_owned(),
            source: Box::new(source),
        }),
        Err(_) => Err(InstallError::Late {
            name: name.to_owned(),
        }),
    }
}

async fn read_marker(client: &Client) -> Result<BTreeMap<String, String>, InstallError> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let marker = api.get_opt(MARKER).await.map_err(marker_error)?;
    Ok(marker.and_then(|marker| marker.data).unwrap_or_default())
}

async fn write_marker(
    client: &Client,
    installed: &BTreeMap<String, String>,
    new: bool,
) -> Result<(), InstallError> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    if new {
        let mut marker = ConfigMap {
            data: Some(installed.clone()),
            ..ConfigMap::default()
        };
        marker.metadata.name = Some(MARKER.to_owned());
        match api.create(&PostParams::default(), &marker).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            created => return created.map(drop).map_err(marker_error),
        }
    }
    let patch = Patch::Merge(json!({"data": installed}));
    api.patch(MARKER, &PatchParams::default(), &patch)
        .await
        .map(drop)
        .map_err(marker_error)
}

fn marker_error(source: kube::Error) -> InstallError {
    InstallError::Write {
        what: format!("ConfigMap/{MARKER}"),
        source: source.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_installed_object_has_a_kind_and_a_name() {
        let items = rest("csi.tintype.dev", true).unwrap();
        let names: Vec<_> = items
            .iter()
            .map(|item| {
                let object = decode(&item.object).unwrap();
                format!(
                    "{}/{}",
                    object.types.unwrap().kind,
                    object.metadata.name.unwrap()
                )
            })
            .collect();
        assert_eq!(names.len(), 18, "{names:?}");
        for wanted in [
            "ClusterRole/snapshot-controller-runner",
            "ClusterRole/external-snapshotter-runner",
            "ClusterRole/external-provisioner-runner",
            "CSIDriver/csi.tintype.dev",
            "StorageClass/tintype",
            "VolumeSnapshotClass/tintype",
        ] {
            assert!(
                names.iter().any(|name| name == wanted),
                "{wanted} in {names:?}"
            );
        }
    }

    #[test]
    fn classes_are_left_out_on_request() {
        let items = rest("d.example", false).unwrap();
        assert!(
            !items
                .iter()
                .any(|item| item.object["kind"] == "StorageClass")
        );
        assert!(items.iter().any(|item| item.object["kind"] == "CSIDriver"));
    }
}
