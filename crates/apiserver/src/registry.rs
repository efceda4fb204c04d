//! Knows which resources there are now: the built-in ones and those of CustomResourceDefinitions.
//!
//! A request takes one catalog and works with it to its end. Does not store objects.

mod builtin;
pub(crate) mod crd;
pub(crate) mod crd_check;
mod version;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::builtin::{Builtin, schema_of};
use crate::names::NameRule;
use crate::schema::Schema;
use crate::status::About;

pub(crate) use version::compare as compare_versions;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ScalePaths {
    pub spec_replicas: String,
    pub status_replicas: String,
    pub label_selector: String,
}

/// One served version of a resource.
#[derive(Debug)]
pub(crate) struct Version {
    pub name: String,
    pub served: bool,
    /// What to warn callers of, if the version is deprecated.
    pub deprecation: Option<String>,
    /// Absent if built in: those are compiled when first needed.
    pub schema: Option<Arc<Schema>>,
    /// `status`, `scale`, `finalize`, …
    pub subresources: Vec<String>,
    pub scale: Option<ScalePaths>,
    /// Field selectors beside name and namespace.
    pub fields: Vec<String>,
    /// `additionalPrinterColumns`.
    pub columns: Value,
}

#[derive(Debug)]
pub(crate) struct Resource {
    pub group: String,
    pub plural: String,
    pub singular: String,
    pub kind: String,
    pub list_kind: String,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub namespaced: bool,
    pub verbs: Vec<String>,
    pub versions: Vec<Arc<Version>>,
    pub storage: String,
    pub name_rule: NameRule,
    /// Absent for a custom resource.
    pub builtin: Option<&'static Builtin>,
    /// Objects written before this resourceVersion may not fit today's schema.
    pub fits_since: u64,
    /// Tells one shape of a custom resource from the next.
    pub identity: String,
    /// Where the store keeps its objects.
    pub bucket: Arc<str>,
    /// The definition is being deleted: nothing new may be created.
    pub terminating: AtomicBool,
    /// `spec.conversion.webhook` of the definition, if its versions convert by webhook.
    pub conversion: Option<Value>,
    /// Ends the watches when the resource goes or changes its shape.
    pub ended: CancellationToken,
}

impl Resource {
    pub(crate) fn group_version(&self, version: &str) -> String {
        if self.group.is_empty() {
            version.to_owned()
        } else {
            format!("{}/{version}", self.group)
        }
    }

    pub(crate) fn is_terminating(&self) -> bool {
        self.terminating.load(Ordering::Relaxed)
    }

    /// `widgets.example.com`, or `pods`.
    pub(crate) fn qualified(&self) -> String {
        bucket(&self.group, &self.plural)
    }
}

pub(crate) fn bucket(group: &str, plural: &str) -> String {
    if group.is_empty() {
        plural.to_owned()
    } else {
        format!("{plural}.{group}")
    }
}

/// A resource at the version a request asked for.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub resource: Arc<Resource>,
    pub version: Arc<Version>,
}

impl Target {
    pub(crate) fn api_version(&self) -> String {
        self.resource.group_version(&self.version.name)
    }

    pub(crate) fn storage_api_version(&self) -> String {
        self.resource.group_version(&self.resource.storage)
    }

    pub(crate) fn is(&self, group: &str, plural: &str) -> bool {
        self.resource.group == group && self.resource.plural == plural
    }

    pub(crate) fn custom(&self) -> bool {
        self.resource.builtin.is_none()
    }

    pub(crate) fn has(&self, subresource: &str) -> bool {
        self.version
            .subresources
            .iter()
            .any(|have| have == subresource)
    }

    /// For messages that name the plural.
    pub(crate) fn about(&self, name: &str) -> About {
        About {
            group: self.resource.group.clone(),
            kind: self.resource.plural.clone(),
            name: name.to_owned(),
        }
    }

    /// For messages that name the kind.
    pub(crate) fn about_kind(&self, name: &str) -> About {
        About {
            kind: self.resource.kind.clone(),
            ..self.about(name)
        }
    }

    pub(crate) fn schema(&self) -> Option<Arc<Schema>> {
        match self.resource.builtin {
            Some(builtin) => Some(schema_of(builtin)),
            None => self.version.schema.clone(),
        }
    }
}

/// All resources at one moment.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    resources: HashMap<(String, String), Arc<Resource>>,
    /// Served versions of each group, the preferred one first.
    groups: BTreeMap<String, Vec<String>>,
    /// Changes with every change of the catalog.
    pub revision: u64,
}

impl Catalog {
    fn new(resources: impl IntoIterator<Item = Arc<Resource>>, revision: u64) -> Self {
        let mut catalog = Self {
            revision,
            ..Self::default()
        };
        for resource in resources {
            let versions = catalog.groups.entry(resource.group.clone()).or_default();
            for version in resource.versions.iter().filter(|version| version.served) {
                if !versions.contains(&version.name) {
                    versions.push(version.name.clone());
                }
            }
            versions.sort_by(|a, b| compare_versions(a, b));
            catalog
                .resources
                .insert((resource.group.clone(), resource.plural.clone()), resource);
        }
        catalog.groups.retain(|_, versions| !versions.is_empty());
        catalog
    }

    /// Groups and their served versions, the preferred one first; the core group is "".
    pub(crate) fn groups(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.groups
            .iter()
            .map(|(group, versions)| (group.as_str(), versions.as_slice()))
    }

    pub(crate) fn versions(&self, group: &str) -> Option<&[String]> {
        self.groups.get(group).map(Vec::as_slice)
    }

    /// Resources served at a group and version, in the order of their plurals.
    pub(crate) fn at(&self, group: &str, version: &str) -> Vec<Target> {
        let mut found: Vec<Target> = self
            .resources
            .values()
            .filter(|resource| resource.group == group)
            .filter_map(|resource| served(resource, version))
            .collect();
        found.sort_by(|a, b| a.resource.plural.cmp(&b.resource.plural));
        found
    }

    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<Target> {
        served(self.resource(group, plural)?, version)
    }

    pub(crate) fn resource(&self, group: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.resources.get(&(group.to_owned(), plural.to_owned()))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.values()
    }

    /// A custom resource of this kind, for conflicts of names.
    pub(crate) fn custom(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.all().filter(|resource| resource.builtin.is_none())
    }
}

fn served(resource: &Arc<Resource>, version: &str) -> Option<Target> {
    let found = resource
        .versions
        .iter()
        .find(|have| have.served && have.name == version)?;
    Some(Target {
        resource: resource.clone(),
        version: found.clone(),
    })
}

/// The catalog of now, and how it changes.
#[derive(Debug)]
pub(crate) struct Registry {
    builtin: Vec<Arc<Resource>>,
    current: ArcSwap<Catalog>,
}

impl Registry {
    pub(crate) fn new() -> Self {
        let builtin: Vec<Arc<Resource>> = builtin::resources().into_iter().map(Arc::new).collect();
        let current = ArcSwap::from_pointee(Catalog::new(builtin.iter().cloned(), 0));
        Self { builtin, current }
    }

    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.current.load_full()
    }

    /// Takes over the custom resources as these CRD objects, read at `revision`, define them.
    /// Resources whose definition did not change stay as they are, with their watches.
    fn replace_custom(&self, definitions: &[Value], revision: u64) {
        self.current.rcu(|before| {
            if before.revision > revision {
                return before.clone();
            }
            let custom = definitions.iter().filter_map(|definition| {
                let new = crd::resource(definition)?;
                match before.resource(&new.group, &new.plural) {
                    Some(old) if old.identity == new.identity => {
                        old.terminating
                            .store(new.is_terminating(), Ordering::Relaxed);
                        Some(old.clone())
                    }
                    _ => Some(Arc::new(new)),
                }
            });
            Arc::new(Catalog::new(
                self.builtin.iter().cloned().chain(custom),
                revision,
            ))
        });
    }

    /// Replaces the custom resources and ends the watches of those that are no more.
    pub(crate) fn refresh(&self, definitions: &[Value], revision: u64) {
        let before = self.catalog();
        self.replace_custom(definitions, revision);
        let after = self.catalog();
        for old in before.custom() {
            let same = after
                .resource(&old.group, &old.plural)
                .is_some_and(|new| Arc::ptr_eq(new, old));
            if !same {
                old.ended.cancel();
            }
        }
    }
}

/// The `APIResource` entries of a resource and its subresources, as discovery lists them.
pub(crate) fn api_resources(target: &Target) -> Vec<Value> {
    let resource = &target.resource;
    let mut entry = json!({
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": resource.verbs,
        "storageVersionHash": storage_hash(resource),
    });
    if !resource.short_names.is_empty() {
        entry["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        entry["categories"] = json!(resource.categories);
    }
    let mut entries = vec![entry];
    for subresource in &target.version.subresources {
        let (kind, group, version, verbs) = subresource_shape(resource, subresource);
        let mut entry = json!({
            "name": format!("{}/{subresource}", resource.plural),
            "singularName": "",
            "namespaced": resource.namespaced,
            "kind": kind,
            "verbs": verbs,
        });
        if !version.is_empty() {
            entry["group"] = json!(group);
            entry["version"] = json!(version);
        }
        entries.push(entry);
    }
    entries
}

/// Kind, group and version (if other than the resource's) and verbs of a subresource.
pub(crate) fn subresource_shape<'a>(
    resource: &'a Resource,
    subresource: &str,
) -> (&'a str, &'a str, &'a str, &'static [&'static str]) {
    if let Some(builtin) = resource.builtin {
        let (group, version, kind, verbs) = builtin.subresource(subresource);
        let own = group == builtin.group && version == builtin.version;
        return if own {
            (kind, "", "", verbs)
        } else {
            (kind, group, version, verbs)
        };
    }
    let verbs = &["get", "patch", "update"];
    match subresource {
        "scale" => ("Scale", "autoscaling", "v1", verbs),
        _ => (&resource.kind, "", "", verbs),
    }
}

fn storage_hash(resource: &Resource) -> String {
    use base64::Engine;
    use sha2::{Digest, Sha256};
    let text = format!("{}/{}/{}", resource.group, resource.storage, resource.kind);
    base64::engine::general_purpose::STANDARD.encode(&Sha256::digest(text)[..8])
}
