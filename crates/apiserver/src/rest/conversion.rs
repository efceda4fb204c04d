//! Asks the webhook of a definition to convert objects between its versions.
//!
//! One review carries all objects of an answer. Does not know what the versions differ in.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::form::Converter;
use crate::registry::Resource;
use crate::status::Failure;
use crate::store::{Draft, Object, Store};
use crate::webhook;

/// What Kubernetes gives a conversion.
const PATIENCE: Duration = Duration::from_secs(30);
/// Objects of one review; a list may have any number.
const AT_ONCE: usize = 500;

impl Converter {
    /// Has the webhook convert those of the objects that need it, so that they can be shown.
    pub(crate) async fn prepare(
        &self,
        store: &Store,
        objects: impl IntoIterator<Item = &Arc<Object>>,
    ) -> Result<(), Failure> {
        let Some(hook) = &self.target.resource.conversion else {
            return Ok(());
        };
        let foreign: Vec<&Arc<Object>> = objects
            .into_iter()
            .filter(|object| self.is_foreign(object))
            .collect();
        let wanted = self.target.api_version();
        for objects in foreign.chunks(AT_ONCE) {
            let values = objects.iter().map(|object| object.value()).collect();
            let resource = &self.target.resource;
            let converted = convert(store, resource, hook, values, &wanted).await?;
            for (object, value) in objects.iter().zip(converted) {
                self.remember(object, value);
            }
        }
        Ok(())
    }

    /// Encodes an object of the asked version for the store.
    pub(crate) async fn draft(&self, store: &Store, value: &Value) -> Result<Draft, Failure> {
        let resource = &self.target.resource;
        let storage = self.target.storage_api_version();
        let Some(hook) = resource
            .conversion
            .as_ref()
            .filter(|_| value["apiVersion"] != *storage)
        else {
            return Ok(self.plain_draft(value));
        };
        let converted = convert(store, resource, hook, vec![value.clone()], &storage).await?;
        let mut stored = converted.into_iter().next().unwrap_or_default();
        let of_storage = resource
            .versions
            .iter()
            .find(|version| version.name == resource.storage);
        if let Some(schema) = of_storage.and_then(|version| version.schema.as_ref()) {
            schema.prune(&mut stored);
            schema.default(&mut stored);
        }
        Ok(Draft::encode(&stored))
    }
}

/// An object of any served version in another.
pub(super) async fn in_version(
    store: &Store,
    resource: &Resource,
    object: Value,
    version: &str,
) -> Result<Value, Failure> {
    let wanted = resource.group_version(version);
    let mut object = match &resource.conversion {
        Some(hook) => {
            let converted = convert(store, resource, hook, vec![object], &wanted).await?;
            converted.into_iter().next().unwrap_or_default()
        }
        None => object,
    };
    object["apiVersion"] = json!(wanted);
    let found = resource.versions.iter().find(|known| known.name == version);
    if let Some(schema) = found.and_then(|version| version.schema.as_ref()) {
        schema.prune(&mut object);
        schema.default(&mut object);
    }
    Ok(object)
}

async fn convert(
    store: &Store,
    resource: &Resource,
    hook: &Value,
    objects: Vec<Value>,
    wanted: &str,
) -> Result<Vec<Value>, Failure> {
    let from = objects
        .first()
        .and_then(|object| object["apiVersion"].as_str())
        .unwrap_or_default()
        .to_owned();
    let failed = |why: String| {
        Failure::internal_plain(format!(
            "conversion webhook for {from}, Kind={} failed: {why}",
            resource.kind
        ))
    };
    let uid = uuid::Uuid::new_v4().to_string();
    let review = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview",
        "request": {"uid": uid, "desiredAPIVersion": wanted, "objects": objects}});
    let answer = webhook::call(store, &hook["clientConfig"], &review, PATIENCE)
        .await
        .map_err(failed)?;
    let response = &answer["response"];
    if response["uid"] != *uid {
        let why = format!("expected response.uid={uid:?}, got {}", response["uid"]);
        return Err(failed(why));
    }
    let result = &response["result"];
    if result["status"] != "Success" {
        let why = result["message"].as_str().filter(|text| !text.is_empty());
        return Err(failed(
            why.unwrap_or("the webhook did not say why").to_owned(),
        ));
    }
    let converted = response["convertedObjects"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    if converted.len() != objects.len() {
        let why = format!(
            "webhook returned {} objects, expected {}",
            converted.len(),
            objects.len()
        );
        return Err(failed(why));
    }
    objects
        .iter()
        .zip(converted)
        .enumerate()
        .map(|(at, (before, after))| {
            checked(before, after, wanted)
                .map_err(|why| failed(format!("invalid converted object at index {at}: {why}")))
        })
        .collect()
}

/// Of its metadata a conversion may change labels and annotations only.
fn checked(before: &Value, after: &Value, wanted: &str) -> Result<Value, String> {
    if after["apiVersion"] != wanted {
        let got = &after["apiVersion"];
        return Err(format!("must have apiVersion {wanted:?}, it has {got}"));
    }
    if after["kind"] != before["kind"] {
        let (kind, got) = (&before["kind"], &after["kind"]);
        return Err(format!("must have kind {kind}, it has {got}"));
    }
    for field in ["name", "namespace", "uid"] {
        let (old, new) = (&before["metadata"][field], &after["metadata"][field]);
        if old != new {
            return Err(format!("must have the same {field}: {new} != {old}"));
        }
    }
    let mut converted = after.clone();
    let mut metadata = before["metadata"].clone();
    if let Some(fields) = metadata.as_object_mut() {
        for field in ["labels", "annotations"] {
            match after["metadata"]
                .get(field)
                .filter(|value| !value.is_null())
            {
                Some(value) => fields.insert(field.into(), value.clone()),
                None => fields.remove(field),
            };
        }
    }
    converted["metadata"] = metadata;
    Ok(converted)
}
