//! Reads objects of any kind as the documents that a server has. Judges nothing.

use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::Value;

/// Objects asked for at once.
pub(crate) const PAGE: u32 = 500;

/// The objects of a kind, in all namespaces if none is named.
pub(crate) fn api(
    client: &Client,
    (group, version): (&str, &str),
    kind: &str,
    namespace: Option<&str>,
) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// The definitions of a cluster.
pub(crate) fn definitions(client: &Client) -> Api<DynamicObject> {
    let group = ("apiextensions.k8s.io", "v1");
    api(client, group, "CustomResourceDefinition", None)
}

/// The kind that a definition defines, in one of its versions.
pub(crate) fn defined(definition: &Value, version: &str) -> ApiResource {
    let text = |pointer: &str| {
        let found = definition.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_default()
    };
    let kind = GroupVersionKind::gvk(text("/spec/group"), version, text("/spec/names/kind"));
    ApiResource::from_gvk_with_plural(&kind, text("/spec/names/plural"))
}

/// All there are, page by page.
pub(crate) async fn all(api: &Api<DynamicObject>) -> Result<Vec<Value>, kube::Error> {
    let mut all = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&params).await?;
        all.extend(page.items.into_iter().map(document));
        match page.metadata.continue_.filter(|it| !it.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(all),
        }
    }
}

/// The object with all its fields; of a list, without version and kind.
pub(crate) fn document(object: DynamicObject) -> Value {
    let mut document = object.data;
    let metadata = serde_json::to_value(object.metadata).unwrap_or_default();
    if let Some(fields) = document.as_object_mut() {
        fields.insert("metadata".to_owned(), metadata);
        if let Some(types) = object.types {
            fields.insert("apiVersion".to_owned(), types.api_version.into());
            fields.insert("kind".to_owned(), types.kind.into());
        }
    }
    document
}
