//! Lays over a definition what some clusters want and upstream's definitions do not have: versions that old manifests
//! are written in, and the webhook that converts.
//!
//! Does not know where the definitions come from.

use serde_json::{Value, json};

use crate::{GROUP, GROUP_OF_GROUPS};

/// What to lay over the definitions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CrdOptions {
    /// Serve `snapshot.storage.k8s.io/v1beta1` too, and answer `v1alpha1` of the group kinds with what to change.
    pub serve_legacy: bool,
    /// Have `VolumeGroupSnapshotContent`, whose versions differ in shape, converted by a webhook.
    pub conversion: Option<ConversionWebhook>,
}

/// Where the webhook that converts is, as `clientConfig` of a definition says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversionWebhook {
    /// Namespace of the Service.
    pub namespace: String,
    /// Name of the Service.
    pub service: String,
    /// Port of the Service.
    pub port: u16,
    /// The authorities (PEM, base64) that vouch for it; none if the webhook itself writes them there.
    pub ca_bundle: Option<String>,
}

impl Default for ConversionWebhook {
    /// The Service of `deploy/webhook/`, with upstream's name.
    fn default() -> Self {
        Self {
            namespace: "kube-system".into(),
            service: "snapshot-conversion-webhook-service".into(),
            port: 443,
            ca_bundle: None,
        }
    }
}

/// Only this kind's versions differ in more than the rules that hold.
const CONVERTED: &str = "VolumeGroupSnapshotContent";

pub(super) fn lay(definition: &mut Value, options: &CrdOptions) {
    if options.serve_legacy {
        match definition["spec"]["group"].as_str() {
            Some(GROUP) => serve_v1beta1(definition),
            Some(GROUP_OF_GROUPS) => answer_v1alpha1(definition),
            _ => {}
        }
    }
    if let Some(webhook) = &options.conversion
        && definition["spec"]["names"]["kind"] == CONVERTED
    {
        definition["spec"]["conversion"] = conversion(webhook);
    }
}

fn conversion(webhook: &ConversionWebhook) -> Value {
    let mut client = json!({"service": {
        "namespace": webhook.namespace,
        "name": webhook.service,
        "port": webhook.port,
        "path": "/convert",
    }});
    if let Some(bundle) = &webhook.ca_bundle {
        client["caBundle"] = bundle.as_str().into();
    }
    json!({"strategy": "Webhook",
        "webhook": {"clientConfig": client, "conversionReviewVersions": ["v1"]}})
}

/// Serves the old version with the schema of `v1`. Its own knows neither `sourceVolumeMode` nor the fields of groups,
/// and has no rules: each write through it would drop the former and pass by the latter.
fn serve_v1beta1(definition: &mut Value) {
    let Some(versions) = definition["spec"]["versions"].as_array_mut() else {
        return;
    };
    let stored = versions.iter().find(|it| it["storage"] == true);
    let Some(schema) = stored.map(|it| it["schema"].clone()) else {
        return;
    };
    for version in versions.iter_mut().filter(|it| it["name"] == "v1beta1") {
        version["served"] = true.into();
        version["schema"] = schema.clone();
    }
}

/// Serves a version in which nothing can be written, so that who tries is told what to change instead of "no matches
/// for kind".
fn answer_v1alpha1(definition: &mut Value) {
    let kind = definition["spec"]["names"]["kind"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let Some(versions) = definition["spec"]["versions"].as_array_mut() else {
        return;
    };
    let columns = versions
        .first()
        .map(|it| it["additionalPrinterColumns"].clone());
    let warning = format!(
        "{GROUP_OF_GROUPS}/v1alpha1 {kind} is no longer written; use {GROUP_OF_GROUPS}/v1 {kind}"
    );
    let mut version = json!({
        "name": "v1alpha1",
        "served": true,
        "storage": false,
        "deprecated": true,
        "deprecationWarning": warning,
        "schema": {"openAPIV3Schema": refusal(&kind)},
    });
    if let Some(columns) = columns {
        version["additionalPrinterColumns"] = columns;
    }
    if kind != "VolumeGroupSnapshotClass" {
        version["subresources"] = json!({"status": {}});
    }
    versions.push(version);
}

/// A schema that lets nothing in: each field that is called otherwise now says how, and the whole says how to go on.
fn refusal(kind: &str) -> Value {
    let mut schema = json!({
        "type": "object",
        "description": "Kept to tell what to change; nothing can be written in this version.",
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "apiVersion": {"type": "string", "description": "Group and version of this document."},
            "kind": {"type": "string", "description": "Kind of this document."},
            "metadata": {"type": "object", "description": "Standard object metadata."},
        },
        "x-kubernetes-validations": [{"rule": "false", "message": format!(
            "apiVersion must be {GROUP_OF_GROUPS}/v1: v1alpha1 is no longer written; \
             `tintype convert -f FILE` prints the manifest as v1, and what is still needed"
        )}],
    });
    match kind {
        "VolumeGroupSnapshot" => schema["properties"]["spec"] = group_spec(),
        CONVERTED => schema["properties"]["spec"] = content_spec(),
        _ => {}
    }
    schema
}

fn open(properties: &Value) -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": properties,
        "description": "As the old version had it."})
}

/// A field whose presence is refused with `message`.
fn refused(mut schema: Value, message: &str) -> Value {
    schema["description"] = message.into();
    schema["x-kubernetes-validations"] = json!([{"rule": "false", "message": message}]);
    schema
}

fn group_spec() -> Value {
    let mut selector = open(&json!({
        "matchLabels": {"type": "object", "additionalProperties": {"type": "string"},
            "description": "Labels a claim must have."},
        "matchExpressions": {"type": "array", "description": "Conditions on a claim's labels.",
            "items": open(&json!({}))},
    }));
    selector["x-kubernetes-validations"] = json!([{
        "rule": "has(self.matchLabels) || has(self.matchExpressions)",
        "message": "labels of spec.source.selector go under matchLabels, \
            as in selector: {matchLabels: {group: myGroup}}",
    }]);
    open(&json!({
        "snapshotContentName": refused(json!({"type": "string"}),
            "spec.snapshotContentName is now spec.source.volumeGroupSnapshotContentName"),
        "source": open(&json!({"selector": selector})),
    }))
}

fn content_spec() -> Value {
    let mut spec = open(&json!({
        "source": open(&json!({
            "volumeGroupSnapshotHandle": refused(json!({"type": "string"}),
                "spec.source.volumeGroupSnapshotHandle is now \
                 spec.source.groupSnapshotHandles.volumeGroupSnapshotHandle, beside \
                 volumeSnapshotHandles, the CSI ids of its snapshots"),
            "persistentVolumeNames": refused(
                json!({"type": "array", "items": {"type": "string", "description": "A volume."}}),
                "spec.source.persistentVolumeNames is now spec.source.volumeHandles, \
                 with the CSI ids of the volumes"),
        })),
        "deletionPolicy": {"type": "string", "description": "Delete or Retain."},
    }));
    spec["x-kubernetes-validations"] = json!([{
        "rule": "has(self.deletionPolicy)",
        "message": "spec.deletionPolicy must be Delete or Retain: it says whether the group snapshot \
            on storage goes with this object",
    }]);
    spec
}
