//! Reads from a cluster what there is of definitions, objects and webhooks. Judges nothing.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use kube::{Api, Client};
use serde_json::Value;

use super::find::Seen;
use crate::read;

pub(super) async fn see(client: &Client, definitions: &[Value]) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let all = read::definitions(client);
    for definition in definitions {
        let name = definition["metadata"]["name"].as_str().unwrap_or_default();
        let found = all.get_opt(name).await;
        let found = found.with_context(|| format!("cannot read the definition {name}"))?;
        let Some(found) = found.map(read::document) else {
            continue;
        };
        if let Some(version) = readable(&found, definition) {
            seen.objects
                .insert(name.to_owned(), objects(client, &found, &version).await);
        }
        seen.definitions.insert(name.to_owned(), found);
    }
    let group = ("admissionregistration.k8s.io", "v1");
    let configurations = read::api(client, group, "ValidatingWebhookConfiguration", None);
    seen.configurations = read::all(&configurations)
        .await
        .context("cannot list the ValidatingWebhookConfigurations")?;
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
    let resource = read::defined(definition, version);
    let all = read::all(&Api::all_with(client.clone(), &resource)).await;
    let mut all = all.map_err(|error| error.to_string())?;
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
        let api = read::api(client, ("", "v1"), "Service", Some(&namespace));
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

/// Objects by definition, or why they cannot be listed.
pub(super) type Objects = BTreeMap<String, Result<Vec<Value>, String>>;
