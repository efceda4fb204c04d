//! Judges what was seen of a cluster against the definitions that are to be applied. Pure.

mod keeper;
#[cfg(test)]
mod tests;
mod versions;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tintype_api::{GROUP, GROUP_OF_GROUPS, conversion, keys};
use tintype_core::validation::{Kind, default_of, invalid};

use super::fits::misfits;
use super::see::Objects;
use keeper::keeper;
use versions::versions;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// It is broken, or would be.
    Breaks,
    /// It works, and somebody should know.
    Note,
}

impl Weight {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Breaks => "breaks",
            Self::Note => "note",
        }
    }
}

/// One thing to tell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    pub(super) weight: Weight,
    pub(super) what: String,
    pub(super) why: String,
    pub(super) cure: String,
}

/// What there is in a cluster.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// By name.
    pub(super) definitions: BTreeMap<String, Value>,
    /// Of each definition, in some version that is served.
    pub(super) objects: Objects,
    /// `ValidatingWebhookConfiguration`s.
    pub(super) configurations: Vec<Value>,
    /// Those that webhooks name, by namespace and name.
    pub(super) services: BTreeSet<(String, String)>,
}

impl Seen {
    /// Every Service that a webhook of our kinds names.
    pub(super) fn named_services(&self) -> BTreeSet<(String, String)> {
        let of_definitions = self
            .definitions
            .values()
            .map(|it| &it["spec"]["conversion"]["webhook"]["clientConfig"]);
        let of_webhooks = self.webhooks().map(|(_, it)| &it["clientConfig"]);
        of_definitions
            .chain(of_webhooks)
            .filter_map(service)
            .collect()
    }

    /// Validating webhooks that are asked about our kinds, each with its configuration's name.
    fn webhooks(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.configurations.iter().flat_map(|configuration| {
            let name = configuration["metadata"]["name"]
                .as_str()
                .unwrap_or_default();
            let webhooks = configuration["webhooks"].as_array().into_iter().flatten();
            webhooks
                .filter(|it| is_about_us(it))
                .map(move |it| (name, it))
        })
    }
}

fn is_about_us(webhook: &Value) -> bool {
    let rules = webhook["rules"].as_array().into_iter().flatten();
    let groups = rules.flat_map(|it| it["apiGroups"].as_array().into_iter().flatten());
    groups
        .filter_map(Value::as_str)
        .any(|it| it == GROUP || it == GROUP_OF_GROUPS)
}

fn service(client: &Value) -> Option<(String, String)> {
    let service = &client["service"];
    Some((
        service["namespace"].as_str()?.to_owned(),
        service["name"].as_str()?.to_owned(),
    ))
}

/// Everything to tell, what breaks first.
pub(super) fn find(seen: &Seen, definitions: &[Value]) -> Vec<Finding> {
    let mut found = Vec::new();
    for ours in definitions {
        let name = ours["metadata"]["name"].as_str().unwrap_or_default();
        if let Some(live) = seen.definitions.get(name) {
            versions(name, seen, live, ours, &mut found);
            conversions(name, seen, live, ours, &mut found);
            found.extend(keeper(live).map(|keeper| Finding {
                weight: Weight::Note,
                what: name.to_owned(),
                why: format!("it is kept by {keeper}, which may put back what it knows"),
                cure: format!("apply through {keeper}, or have it leave the definition alone"),
            }));
        }
        match seen.objects.get(name) {
            Some(Ok(objects)) => judge(objects, ours, &mut found),
            Some(Err(error)) => found.push(Finding {
                weight: Weight::Breaks,
                what: name.to_owned(),
                why: format!("its objects cannot be listed: {error}"),
                cure: "cure that first; without it nobody can tell what is stored".to_owned(),
            }),
            None => {}
        }
    }
    webhooks(seen, &mut found);
    found.sort();
    found
}

fn conversions(name: &str, seen: &Seen, live: &Value, ours: &Value, found: &mut Vec<Finding>) {
    let (now, then) = (&live["spec"]["conversion"], &ours["spec"]["conversion"]);
    let mut tell = |weight, why: String, cure: &str| {
        found.push(Finding {
            weight,
            what: name.to_owned(),
            why,
            cure: cure.to_owned(),
        });
    };
    if now["strategy"] == "Webhook" {
        let client = &now["webhook"]["clientConfig"];
        let gone = service(client).filter(|it| !seen.services.contains(it));
        let named = service(client).map_or_else(
            || client["url"].as_str().unwrap_or_default().to_owned(),
            |(namespace, name)| format!("{namespace}/{name}"),
        );
        if gone.is_some() {
            tell(
                Weight::Breaks,
                format!(
                    "it is converted by a webhook whose Service {named} is not there: reads of other versions than the stored one fail now"
                ),
                "apply deploy/webhook/, or these definitions without --conversion webhook",
            );
        } else if client["caBundle"].as_str().is_none_or(str::is_empty) {
            tell(
                Weight::Breaks,
                format!(
                    "nobody vouches for the webhook {named} that converts it: caBundle is empty"
                ),
                "start the webhook with --self-signed, or give --ca-bundle",
            );
        } else if then.is_null() {
            tell(
                Weight::Note,
                format!("the webhook {named} converts it now and would not be asked any more"),
                "keep it with --conversion webhook as long as clients use v1beta1",
            );
        }
    }
    let wanted = service(&then["webhook"]["clientConfig"]);
    if now["strategy"] != "Webhook"
        && let Some((namespace, service)) = wanted.filter(|it| !seen.services.contains(it))
    {
        tell(
            Weight::Note,
            format!("it would be converted by the webhook {namespace}/{service}"),
            "see that its Service is there: without it other versions than the stored one cannot be read",
        );
    }
}

fn judge(objects: &[Value], ours: &Value, found: &mut Vec<Finding>) {
    let kind_name = ours["spec"]["names"]["kind"].as_str().unwrap_or_default();
    let Some(kind) = kind_of(kind_name) else {
        return;
    };
    let stored = ours["spec"]["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|it| it["storage"] == true);
    let Some(stored) = stored else {
        return;
    };
    let group = ours["spec"]["group"].as_str().unwrap_or_default();
    let api_version = format!("{group}/{}", stored["name"].as_str().unwrap_or_default());
    let mut defaults: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for object in objects {
        let mut tell = |weight, why: String, cure: &str| {
            found.push(Finding {
                weight,
                what: title(kind_name, object),
                why,
                cure: cure.to_owned(),
            });
        };
        let mut then = object.clone();
        if group == GROUP_OF_GROUPS {
            // Of a version that cannot be converted, the form of the stored one is what it has to fit.
            let _ = conversion::convert(&mut then, &api_version);
        }
        let mut wrong = misfits(&then, &stored["schema"]["openAPIV3Schema"]);
        wrong.extend(invalid(kind, &then).iter().map(ToString::to_string));
        if !wrong.is_empty() {
            tell(
                Weight::Breaks,
                wrong.join("; "),
                "repair it before applying; after that it may not be possible to change it",
            );
        }
        if kind == Kind::GroupContent && lost_members(&then) {
            tell(
                Weight::Note,
                "its list of members was lost, as a write in v1beta1 without a webhook does"
                    .to_owned(),
                "run tintype's controller: it has the list back from the members' contents",
            );
        }
        for label in [keys::LABEL_INVALID_SNAPSHOT, keys::LABEL_INVALID_CONTENT] {
            if object["metadata"]["labels"].get(label).is_some() {
                tell(
                    Weight::Note,
                    format!("carries the label {label} of releases 3 to 7"),
                    "once it is valid take the label off, or let the controller do so with --label-invalid-objects",
                );
            }
        }
        if let Some(driver) = default_of(kind, object) {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            defaults.entry(driver).or_default().push(name);
        }
    }
    for (driver, classes) in defaults
        .into_iter()
        .filter(|(_, classes)| classes.len() > 1)
    {
        found.push(Finding {
            weight: Weight::Breaks,
            what: format!("{kind_name} {}", classes.join(", ")),
            why: format!("each is the default of driver {driver}: who names no class gets none"),
            cure: "take the annotation is-default-class off all but one".to_owned(),
        });
    }
}

fn kind_of(name: &str) -> Option<Kind> {
    match name {
        "VolumeSnapshot" => Some(Kind::Snapshot),
        "VolumeSnapshotContent" => Some(Kind::Content),
        "VolumeSnapshotClass" => Some(Kind::Class),
        "VolumeGroupSnapshot" => Some(Kind::Group),
        "VolumeGroupSnapshotContent" => Some(Kind::GroupContent),
        "VolumeGroupSnapshotClass" => Some(Kind::GroupClass),
        _ => None,
    }
}

/// Cut by us, known to the storage, and nobody knows of what.
fn lost_members(content: &Value) -> bool {
    let members = content["status"]["volumeSnapshotInfoList"].as_array();
    content["spec"]["source"]["volumeHandles"].is_array()
        && content["status"]["volumeGroupSnapshotHandle"].is_string()
        && members.is_none_or(Vec::is_empty)
}

fn title(kind: &str, object: &Value) -> String {
    let meta = &object["metadata"];
    let name = meta["name"].as_str().unwrap_or_default();
    match meta["namespace"].as_str() {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}

fn webhooks(seen: &Seen, found: &mut Vec<Finding>) {
    for (configuration, webhook) in seen.webhooks() {
        let missing = service(&webhook["clientConfig"]).filter(|it| !seen.services.contains(it));
        let Some((namespace, name)) = missing else {
            continue;
        };
        let (weight, then) = if webhook["failurePolicy"] == "Ignore" {
            (Weight::Note, "each write waits for it in vain")
        } else {
            (Weight::Breaks, "each write is refused")
        };
        found.push(Finding {
            weight,
            what: format!("ValidatingWebhookConfiguration {configuration}"),
            why: format!("is left from an older release: its Service {namespace}/{name} is not there, so {then}"),
            cure: format!("kubectl delete validatingwebhookconfiguration {configuration}; the definitions have its rules, and deploy/webhook/ has its successor"),
        });
    }
}
