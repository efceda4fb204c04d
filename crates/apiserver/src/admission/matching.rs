//! Decides whether a write concerns a webhook or a policy: rules, scope, selectors, other versions of the same resource.
//!
//! Does not know what follows from it.

use serde_json::{Map, Value};

use super::request::{Pair, Request};
use crate::selector::LabelSelector;

/// One entry of `rules` or of `resourceRules`. `*` stands for anything.
#[derive(Debug)]
struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    resources: Vec<String>,
    /// None at all means any.
    names: Vec<String>,
    scope: Scope,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Any,
    Cluster,
    Namespaced,
}

/// Which writes somebody wants to hear of.
#[derive(Debug)]
pub(crate) struct Matching {
    rules: Vec<Rule>,
    excluded: Vec<Rule>,
    /// Without rules everything matches, not nothing.
    open: bool,
    /// A rule for one version is meant for all versions of the resource.
    equivalent: bool,
    namespaces: LabelSelector,
    objects: LabelSelector,
}

impl Matching {
    /// Of an entry of `webhooks`.
    pub(crate) fn of_webhook(hook: &Value) -> Result<Self, String> {
        Self::read(hook, "rules", false)
    }

    /// Of a policy's `matchConstraints`.
    pub(crate) fn of_policy(constraints: &Value) -> Result<Self, String> {
        Self::read(constraints, "resourceRules", false)
    }

    /// Of a binding's `matchResources`, which narrows what the policy matches.
    pub(crate) fn of_binding(resources: &Value) -> Result<Self, String> {
        Self::read(resources, "resourceRules", true)
    }

    fn read(from: &Value, rules: &str, open: bool) -> Result<Self, String> {
        let rules_of = |field: &str| -> Vec<Rule> {
            let list = from[field].as_array().into_iter().flatten();
            list.map(Rule::read).collect()
        };
        Ok(Self {
            rules: rules_of(rules),
            excluded: rules_of("excludeResourceRules"),
            open,
            equivalent: from["matchPolicy"] != "Exact",
            namespaces: LabelSelector::from_object(&from["namespaceSelector"])?,
            objects: LabelSelector::from_object(&from["objectSelector"])?,
        })
    }

    /// The version in which the write is to be seen; none if it does not match. `namespace` holds the
    /// labels of the object's namespace.
    pub(crate) fn version<'r>(
        &self,
        request: &Request<'r>,
        pair: Pair<'_>,
        namespace: Option<&Map<String, Value>>,
    ) -> Option<&'r str> {
        let selected = self.selects_namespace(request, pair, namespace) && self.selects(pair);
        if !selected || self.find(&self.excluded, request).is_some() {
            return None;
        }
        if self.rules.is_empty() && self.open {
            return Some(request.version);
        }
        self.find(&self.rules, request)
    }

    /// The asked version if a rule has it, else the first other one that a rule has.
    fn find<'r>(&self, rules: &[Rule], request: &Request<'r>) -> Option<&'r str> {
        if rules
            .iter()
            .any(|rule| rule.matches(request, request.version))
        {
            return Some(request.version);
        }
        if !self.equivalent {
            return None;
        }
        let served = request.resource.versions.iter();
        let others: Vec<&str> = served
            .filter(|version| version.served && version.name != request.version)
            .map(|version| version.name.as_str())
            .collect();
        rules.iter().find_map(|rule| {
            let mut others = others.iter();
            others
                .find(|version| rule.matches(request, version))
                .copied()
        })
    }

    fn selects_namespace(
        &self,
        request: &Request<'_>,
        pair: Pair<'_>,
        namespace: Option<&Map<String, Value>>,
    ) -> bool {
        if self.namespaces.selects_all() {
            return true;
        }
        if request.is_namespace() {
            // One that is being made or changed counts as what it will be.
            let itself = pair.object.filter(|_| request.subresource.is_empty());
            return self.namespaces.matches(itself.map_or(namespace, labels));
        }
        request.namespace.is_empty() || self.namespaces.matches(namespace)
    }

    /// Either state of the object is enough, so that nobody gets out by taking a label off.
    fn selects(&self, pair: Pair<'_>) -> bool {
        self.objects.selects_all()
            || [pair.object, pair.old]
                .into_iter()
                .flatten()
                .any(|object| self.objects.matches(labels(object)))
    }
}

pub(crate) fn labels(object: &Value) -> Option<&Map<String, Value>> {
    object["metadata"]["labels"].as_object()
}

impl Rule {
    fn read(rule: &Value) -> Self {
        let texts = |field: &str| -> Vec<String> {
            let list = rule[field].as_array().into_iter().flatten();
            list.filter_map(|text| text.as_str().map(str::to_owned))
                .collect()
        };
        Self {
            operations: texts("operations"),
            groups: texts("apiGroups"),
            versions: texts("apiVersions"),
            resources: texts("resources"),
            names: texts("resourceNames"),
            scope: match rule["scope"].as_str() {
                Some("Cluster") => Scope::Cluster,
                Some("Namespaced") => Scope::Namespaced,
                _ => Scope::Any,
            },
        }
    }

    fn matches(&self, request: &Request<'_>, version: &str) -> bool {
        has(&self.operations, request.operation.as_str())
            && has(&self.groups, &request.resource.group)
            && has(&self.versions, version)
            && self.has_resource(&request.resource.plural, request.subresource)
            && (self.names.is_empty() || self.names.iter().any(|name| name == request.name))
            && self.has_scope(request)
    }

    fn has_resource(&self, plural: &str, subresource: &str) -> bool {
        self.resources.iter().any(|entry| {
            let (resource, sub) = entry.split_once('/').unwrap_or((entry, ""));
            (resource == "*" || resource == plural) && (sub == "*" || sub == subresource)
        })
    }

    /// A Namespace is an object of the cluster.
    fn has_scope(&self, request: &Request<'_>) -> bool {
        let of_cluster = request.is_namespace() || request.namespace.is_empty();
        match self.scope {
            Scope::Any => true,
            Scope::Cluster => of_cluster,
            Scope::Namespaced => !of_cluster,
        }
    }
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|entry| entry == "*" || entry == wanted)
}

#[cfg(test)]
mod tests;
