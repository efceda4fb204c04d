//! Reads from a cluster what there is of definitions, objects and webhooks. Judges nothing.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::Value;

use super::find::Seen;

/// Objects asked for at once.
const PAGE: u32 = 500;

pub(super) async fn see(client: &Client, definitions: &[Value]) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let all = api(
        client,
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        None,
    );
    for definition in definitions {
        let name = definition["metadata"]["name"].as_str().unwrap_or_default();
        let found = all.get_opt(name).await;
        let found = found.with_context(|| format!("cannot read the definition {name}"))?;
        let Some(found) = found.map(document) else {
            continue;
        };
        if let Some(version) = readable(&found, definition) {
            seen.objects
                .insert(name.to_owned(), objects(client, &found, &version).await);
        }
        seen.definitions.insert(name.to_owned(), found);
    }
    let configurations = api(
        client,
        "admissionregistration.k8s.io",
        "v1",
        "ValidatingWebhookConfiguration",
        None,
    );
    let configurations = configurations.list(&ListParams::default()).await;
    let configurations =
        configurations.context("cannot list the ValidatingWebhookConfigurations")?;
    seen.configurations = configurations.items.into_iter().map(document).collect();
    seen.services = services(client, &seen).await?;
    Ok(seen)
}

/// The version to read objects in: the best that is served and that we know.
fn readable(live: &Value, ours: &Value) -> Option<String> {
    let names = |it: &Value, served: bool| -> Vec<String> {
        let versions = it["spec"]["versions"].as_array().into_iter().flatten();
        let kept = versions.filter(|it| !served || it["served"] == true);
        kept.filter_map(|it| it["name"].as_str().map(str::to_owned))
            .collect()
    };
    let served = names(live, true);
    let known = names(ours, false);
    known
        .into_iter()
        .find(|it| served.contains(it))
        .or_else(|| served.into_iter().next())
}

async fn objects(client: &Client, definition: &Value, version: &str) -> Result<Vec<Value>, String> {
    let text = |pointer: &str| {
        definition
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let mut resource = ApiResource::from_gvk(&GroupVersionKind::gvk(
        text("/spec/group"),
        version,
        text("/spec/names/kind"),
    ));
    text("/spec/names/plural").clone_into(&mut resource.plural);
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let mut all = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&params).await.map_err(|error| error.to_string())?;
        all.extend(page.items.into_iter().map(document));
        match page.metadata.continue_.filter(|it| !it.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    for object in &mut all {
        // A list need not say so of each.
        object["apiVersion"] = resource.api_version.clone().into();
        object["kind"] = resource.kind.clone().into();
    }
    Ok(all)
}

/// Which of the Services that webhooks name there are.
async fn services(client: &Client, seen: &Seen) -> anyhow::Result<BTreeSet<(String, String)>> {
    let mut found = BTreeSet::new();
    for (namespace, name) in seen.named_services() {
        let api = api(client, "", "v1", "Service", Some(&namespace));
        let service = api.get_opt(&name).await;
        if service
            .with_context(|| format!("cannot read the Service {namespace}/{name}"))?
            .is_some()
        {
            found.insert((namespace, name));
        }
    }
    Ok(found)
}

fn api(
    client: &Client,
    group: &str,
    version: &str,
    kind: &str,
    namespace: Option<&str>,
) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// The object as JSON, with all its fields.
fn document(object: DynamicObject) -> Value {
    let mut document = object.data;
    let metadata = serde_json::to_value(object.metadata).unwrap_or_default();
    if let Some(fields) = document.as_object_mut() {
        fields.insert("metadata".to_owned(), metadata);
    }
    document
}

/// Objects by definition, or why they cannot be listed.
pub(super) type Objects = BTreeMap<String, Result<Vec<Value>, String>>;
