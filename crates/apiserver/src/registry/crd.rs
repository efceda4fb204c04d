//! Turns a CustomResourceDefinition into the resource it defines, and keeps its status.
//!
//! Does not check a definition (`crd_check` does) and does not store it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::{Catalog, Resource, ScalePaths, Version, bucket, compare_versions};
use crate::names::NameRule;
use crate::schema::Schema;

pub(crate) const GROUP: &str = "apiextensions.k8s.io";
pub(crate) const PLURAL: &str = "customresourcedefinitions";
/// Holds a definition until its objects are gone.
pub(crate) const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";
const VERBS: [&str; 8] = [
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "create",
    "update",
    "watch",
];

/// The resource of an accepted definition; none if its names were not accepted.
pub(crate) fn resource(definition: &Value) -> Option<Resource> {
    if condition(definition, "Established") != Some("True") {
        return None;
    }
    let spec = &definition["spec"];
    let names = &definition["status"]["acceptedNames"];
    let (group, plural) = (text(spec, "group"), text(names, "plural"));
    let revision = definition
        .pointer("/metadata/resourceVersion")
        .and_then(Value::as_str);
    let fits_since = revision
        .and_then(|revision| revision.parse().ok())
        .unwrap_or_default();
    let mut versions: Vec<Arc<Version>> = list(spec, "versions")
        .iter()
        .map(|version| Arc::new(parse_version(group, text(names, "kind"), version)))
        .collect();
    versions.sort_by(|a, b| compare_versions(&a.name, &b.name));
    Some(Resource {
        group: group.to_owned(),
        plural: plural.to_owned(),
        singular: text(names, "singular").to_owned(),
        kind: text(names, "kind").to_owned(),
        list_kind: text(names, "listKind").to_owned(),
        short_names: texts(names, "shortNames"),
        categories: texts(names, "categories"),
        namespaced: text(spec, "scope") == "Namespaced",
        verbs: VERBS.map(str::to_owned).to_vec(),
        versions,
        storage: storage_version(spec).to_owned(),
        name_rule: NameRule::Subdomain,
        builtin: None,
        fits_since,
        identity: identity(definition),
        bucket: bucket(group, plural).into(),
        terminating: AtomicBool::new(condition(definition, "Terminating") == Some("True")),
        conversion: (spec["conversion"]["strategy"] == json!("Webhook"))
            .then(|| spec["conversion"]["webhook"].clone()),
        ended: CancellationToken::new(),
    })
}

fn parse_version(group: &str, kind: &str, version: &Value) -> Version {
    let name = text(version, "name");
    let schema = version
        .pointer("/schema/openAPIV3Schema")
        .and_then(|source| {
            Schema::compile(source)
                .inspect_err(|errors| {
                    tracing::error!(
                        group,
                        kind,
                        name,
                        ?errors,
                        "a stored schema does not compile"
                    );
                })
                .ok()
        });
    let subresources = &version["subresources"];
    let scale = subresources.get("scale").map(|scale| ScalePaths {
        spec_replicas: text(scale, "specReplicasPath").to_owned(),
        status_replicas: text(scale, "statusReplicasPath").to_owned(),
        label_selector: text(scale, "labelSelectorPath").to_owned(),
    });
    let offered = ["scale", "status"].into_iter();
    let deprecated = version["deprecated"] == json!(true);
    Version {
        name: name.to_owned(),
        served: version["served"] == json!(true),
        deprecation: deprecated.then(|| match version["deprecationWarning"].as_str() {
            Some(warning) => warning.to_owned(),
            None => format!("{group}/{name} {kind} is deprecated"),
        }),
        schema: schema.map(Arc::new),
        subresources: offered
            .filter(|name| subresources.get(name).is_some())
            .map(str::to_owned)
            .collect(),
        scale,
        fields: list(version, "selectableFields")
            .iter()
            .map(|field| text(field, "jsonPath").trim_start_matches('.').to_owned())
            .collect(),
        columns: version
            .get("additionalPrinterColumns")
            .cloned()
            .unwrap_or_default(),
    }
}

pub(crate) fn storage_version(spec: &Value) -> &str {
    list(spec, "versions")
        .iter()
        .find(|version| version["storage"] == json!(true))
        .map_or("", |version| text(version, "name"))
}

pub(crate) fn condition<'a>(definition: &'a Value, kind: &str) -> Option<&'a str> {
    list(&definition["status"], "conditions")
        .iter()
        .find(|condition| condition["type"] == json!(kind))
        .and_then(|condition| condition["status"].as_str())
}

/// Changes whenever the definition itself does, not with its conditions.
fn identity(definition: &Value) -> String {
    let metadata = &definition["metadata"];
    let names = &definition["status"]["acceptedNames"];
    format!(
        "{}/{}/{names}",
        text(metadata, "uid"),
        metadata["generation"]
    )
}

/// Fills what a definition may leave out.
pub(crate) fn default(definition: &mut Value) {
    let Some(spec) = definition.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    let conversion = spec.entry("conversion").or_insert_with(|| json!({}));
    if let Some(conversion) = conversion.as_object_mut() {
        conversion
            .entry("strategy")
            .or_insert_with(|| json!("None"));
    }
    if let Some(names) = spec.get_mut("names").and_then(Value::as_object_mut) {
        default_names(names);
    }
}

fn default_names(names: &mut Map<String, Value>) {
    if let Some(kind) = names.get("kind").and_then(Value::as_str).map(str::to_owned) {
        names
            .entry("singular")
            .or_insert_with(|| json!(kind.to_lowercase()));
        names
            .entry("listKind")
            .or_insert_with(|| json!(format!("{kind}List")));
    }
}

/// What a new definition's status begins with.
pub(crate) fn initial_status(definition: &Value) -> Value {
    json!({
        "conditions": null,
        "acceptedNames": {"plural": "", "kind": ""},
        "storedVersions": [storage_version(&definition["spec"])],
    })
}

/// Notes that objects may be stored in the storage version from now on.
pub(crate) fn note_storage(definition: &mut Value) {
    let storage = storage_version(&definition["spec"]).to_owned();
    if let Some(stored) = definition["status"]["storedVersions"].as_array_mut()
        && !stored.contains(&json!(storage))
    {
        stored.push(json!(storage));
    }
}

/// Brings the status of a definition up to date; `catalog` knows the names others hold.
pub(crate) fn update_status(definition: &mut Value, catalog: &Catalog, now: &str) {
    let accepted = definition["status"]["acceptedNames"].clone();
    let wanted = definition["spec"]["names"].clone();
    let group = text(&definition["spec"], "group").to_owned();
    let taken = taken_names(&group, text(&wanted, "plural"), catalog);
    let (names, problem) = accept_names(&wanted, &accepted, &taken);
    definition["status"]["acceptedNames"] = names;
    note_storage(definition);
    let established = condition(definition, "Established") == Some("True");
    match &problem {
        None => {
            set_condition(
                definition,
                now,
                ["NamesAccepted", "True", "NoConflicts", "no conflicts found"],
            );
            let message = "the initial names have been accepted";
            set_condition(
                definition,
                now,
                ["Established", "True", "InitialNamesAccepted", message],
            );
        }
        Some((reason, message)) => {
            set_condition(definition, now, ["NamesAccepted", "False", reason, message]);
            if !established {
                let message = "not all names are accepted";
                set_condition(
                    definition,
                    now,
                    ["Established", "False", "NotAccepted", message],
                );
            }
        }
    }
}

/// Says that the definition goes, with its objects.
pub(crate) fn set_terminating(definition: &mut Value, now: &str) {
    let message = "CustomResource deletion is in progress";
    set_condition(
        definition,
        now,
        ["Terminating", "True", "InstanceDeletionInProgress", message],
    );
}

struct Taken {
    resources: Vec<String>,
    kinds: Vec<String>,
}

fn taken_names(group: &str, plural: &str, catalog: &Catalog) -> Taken {
    let mut taken = Taken {
        resources: Vec::new(),
        kinds: Vec::new(),
    };
    for other in catalog
        .custom()
        .filter(|other| other.group == group && other.plural != plural)
    {
        taken.resources.push(other.plural.clone());
        taken.resources.push(other.singular.clone());
        taken.resources.extend(other.short_names.iter().cloned());
        taken.kinds.push(other.kind.clone());
        taken.kinds.push(other.list_kind.clone());
    }
    taken
}

type Problem = (&'static str, String);

/// Takes every wanted name that is free; for the others what was accepted before stays.
fn accept_names(wanted: &Value, before: &Value, taken: &Taken) -> (Value, Option<Problem>) {
    let mut names = before.as_object().cloned().unwrap_or_default();
    let mut problem: Option<Problem> = None;
    let fields = [
        ("plural", "PluralConflict", &taken.resources),
        ("singular", "SingularConflict", &taken.resources),
        ("kind", "KindConflict", &taken.kinds),
        ("listKind", "ListKindConflict", &taken.kinds),
    ];
    for (field, reason, taken) in fields {
        let name = text(wanted, field);
        if taken.iter().any(|other| other == name) {
            problem.get_or_insert((reason, format!("{name:?} is already in use")));
        } else {
            names.insert(field.into(), json!(name));
        }
    }
    let short = texts(wanted, "shortNames");
    if let Some(name) = short.iter().find(|name| taken.resources.contains(name)) {
        problem.get_or_insert(("ShortNamesConflict", format!("{name:?} is already in use")));
    } else if short.is_empty() {
        names.remove("shortNames");
    } else {
        names.insert("shortNames".into(), json!(short));
    }
    match wanted.get("categories") {
        Some(categories) => names.insert("categories".into(), categories.clone()),
        None => names.remove("categories"),
    };
    (Value::Object(names), problem)
}

fn set_condition(definition: &mut Value, now: &str, [kind, status, reason, message]: [&str; 4]) {
    let conditions = &mut definition["status"]["conditions"];
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    let Some(conditions) = conditions.as_array_mut() else {
        return;
    };
    let mut new = json!({"type": kind, "status": status, "lastTransitionTime": now,
        "reason": reason, "message": message});
    match conditions
        .iter_mut()
        .find(|condition| condition["type"] == json!(kind))
    {
        Some(old) => {
            if old["status"] == json!(status) {
                new["lastTransitionTime"] = old["lastTransitionTime"].clone();
            }
            *old = new;
        }
        None => conditions.push(new),
    }
}

pub(super) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value
        .get(field)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

pub(super) fn texts(value: &Value, field: &str) -> Vec<String> {
    list(value, field)
        .iter()
        .filter_map(|text| text.as_str().map(str::to_owned))
        .collect()
}
