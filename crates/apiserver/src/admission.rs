//! Changes and refuses writes by what else there is: namespaces, default classes, webhooks of administrators.
//!
//! First a chain of steps of our own, each of which may change the object or refuse the write; then, in files of their
//! own, those who only refuse. Does not look at an object by itself: validation does.

mod authorizer;
mod conditions;
mod configured;
mod hooks;
mod matching;
mod policy;
mod request;
mod review;

use serde_json::{Value, json};

pub(crate) use self::authorizer::values as authorizer_values;
pub(crate) use self::conditions::{Scope, Verdict, names as condition_names};
pub(crate) use self::configured::{Configured, GROUP, PLURALS};
pub(crate) use self::hooks::Hook;
pub(crate) use self::matching::{Matching, labels};
pub(crate) use self::policy::{Action, Binding, Complaint, Known, ParamRef, Policy};
pub(crate) use self::request::{Operation, Pair, Request, user_info};
pub(crate) use self::review::VERSIONS as REVIEW_VERSIONS;
use crate::rest::Call;
use crate::status::Failure;

type Step = fn(&Call<'_>, &mut Value, Option<&Value>) -> Result<(), Failure>;

const CHAIN: [Step; 3] = [namespace_lifecycle, default_storage_class, data_source];

const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// Passes a write through the chain; `old` is absent for a creation.
pub(crate) fn admit(call: &Call<'_>, new: &mut Value, old: Option<&Value>) -> Result<(), Failure> {
    CHAIN.iter().try_for_each(|step| step(call, new, old))
}

/// Nothing is created in a namespace that is not there or that goes.
fn namespace_lifecycle(
    call: &Call<'_>,
    new: &mut Value,
    old: Option<&Value>,
) -> Result<(), Failure> {
    if old.is_some() || !call.target.resource.namespaced {
        return Ok(());
    }
    let name = call.info.namespace.as_str();
    let catalog = call.catalog;
    let Some(namespaces) = catalog.find("", "v1", "namespaces") else {
        return Ok(());
    };
    let Some(found) = call.api.store.get("namespaces", name) else {
        return Err(Failure::not_found(&namespaces.about(name)));
    };
    if found.value()["status"]["phase"] != json!("Terminating") {
        return Ok(());
    }
    let object = new["metadata"]["name"].as_str().unwrap_or_default();
    let about = call.target.about(object);
    let message = format!(
        "{} {object:?} is forbidden: unable to create new content in namespace {name} because it \
         is being terminated",
        call.target.resource.qualified()
    );
    let cause = json!({"reason": "NamespaceTerminating",
        "message": format!("namespace {name} is being terminated"), "field": "metadata.namespace"});
    Err(Failure::forbidden(&about, message).with_causes(&json!([cause])))
}

/// A claim that names no class gets the default one.
#[expect(clippy::unnecessary_wraps, reason = "a step of the chain")]
fn default_storage_class(
    call: &Call<'_>,
    new: &mut Value,
    old: Option<&Value>,
) -> Result<(), Failure> {
    if old.is_some() || !call.target.is("", "persistentvolumeclaims") {
        return Ok(());
    }
    let named = !new["spec"]["storageClassName"].is_null()
        || new["metadata"]["annotations"]
            .get("volume.beta.kubernetes.io/storage-class")
            .is_some();
    if named || !new["spec"].is_object() {
        return Ok(());
    }
    let classes = call
        .api
        .store
        .list("storageclasses.storage.k8s.io", "")
        .objects;
    let mut defaults: Vec<(String, String)> = classes
        .iter()
        .map(|class| class.value())
        .filter(|class| class["metadata"]["annotations"][DEFAULT_CLASS] == json!("true"))
        .map(|class| {
            let text = |field: &str| {
                class["metadata"][field]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            };
            (text("creationTimestamp"), text("name"))
        })
        .collect();
    // The newest one; of equals, the first by name.
    defaults.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    if let Some((_, name)) = defaults.first() {
        new["spec"]["storageClassName"] = json!(name);
    }
    Ok(())
}

/// `dataSource` and `dataSourceRef` of a claim say the same.
#[expect(clippy::unnecessary_wraps, reason = "a step of the chain")]
fn data_source(call: &Call<'_>, new: &mut Value, old: Option<&Value>) -> Result<(), Failure> {
    if old.is_some() || !call.target.is("", "persistentvolumeclaims") {
        return Ok(());
    }
    let spec = &mut new["spec"];
    let (old_style, new_style) = (spec["dataSource"].clone(), spec["dataSourceRef"].clone());
    if old_style.is_object() && new_style.is_null() {
        spec["dataSourceRef"] = old_style;
    } else if new_style.is_object() && old_style.is_null() {
        let foreign = new_style
            .get("namespace")
            .is_some_and(|namespace| namespace != "");
        if !foreign && legacy_source(&new_style) {
            spec["dataSource"] = new_style;
        }
    }
    Ok(())
}

/// What `dataSource` may name: a claim, or a snapshot.
fn legacy_source(source: &Value) -> bool {
    let text = |field: &str| source[field].as_str().unwrap_or_default();
    matches!(
        (text("apiGroup"), text("kind")),
        ("", "PersistentVolumeClaim") | ("snapshot.storage.k8s.io", "VolumeSnapshot")
    )
}
