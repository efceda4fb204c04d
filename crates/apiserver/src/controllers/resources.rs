//! Finds out which resources the server has, and how their paths are built.
//!
//! Knows nothing of what is done with them.

use serde_json::Value;

use super::fields::text;
use crate::local::{Call, CallError, LocalClient, Shape};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resource {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) plural: String,
    pub(super) kind: String,
    pub(super) namespaced: bool,
    verbs: Vec<String>,
}

impl Resource {
    /// Of the first version that the definition serves.
    pub(super) fn of_definition(definition: &Value) -> Option<Self> {
        let spec = &definition["spec"];
        let versions = spec["versions"].as_array()?;
        let served = versions.iter().find(|version| version["served"] == true)?;
        Some(Self {
            group: text(&spec["group"]).to_owned(),
            version: text(&served["name"]).to_owned(),
            plural: text(&spec["names"]["plural"]).to_owned(),
            kind: text(&spec["names"]["kind"]).to_owned(),
            namespaced: spec["scope"] == "Namespaced",
            verbs: ["list", "watch", "delete", "deletecollection"]
                .map(str::to_owned)
                .into(),
        })
    }

    pub(super) fn can(&self, verbs: &[&str]) -> bool {
        verbs
            .iter()
            .all(|verb| self.verbs.iter().any(|can| can == verb))
    }

    /// All objects of the resource.
    pub(super) fn path(&self) -> String {
        let Self {
            group,
            version,
            plural,
            ..
        } = self;
        if group.is_empty() {
            format!("/api/{version}/{plural}")
        } else {
            format!("/apis/{group}/{version}/{plural}")
        }
    }

    /// The objects in one namespace; all if the resource has none.
    pub(super) fn path_in(&self, namespace: &str) -> String {
        let Self {
            group,
            version,
            plural,
            ..
        } = self;
        if namespace.is_empty() || !self.namespaced {
            self.path()
        } else if group.is_empty() {
            format!("/api/{version}/namespaces/{namespace}/{plural}")
        } else {
            format!("/apis/{group}/{version}/namespaces/{namespace}/{plural}")
        }
    }

    /// `pods`, `deployments.apps`.
    pub(super) fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }
}

/// All resources, each in the version its group prefers.
pub(super) async fn discover(client: &LocalClient) -> Result<Vec<Resource>, CallError> {
    let mut found = Vec::new();
    for path in ["/api", "/apis"] {
        let call = Call::get(path).shaped(Shape::Discovery, false);
        let groups = client.call(call).await?;
        for group in groups["items"].as_array().into_iter().flatten() {
            read_group(group, &mut found);
        }
    }
    Ok(found)
}

/// The versions of a group stand in the order of preference.
fn read_group(group: &Value, found: &mut Vec<Resource>) {
    let name = text(&group["metadata"]["name"]);
    for version in group["versions"].as_array().into_iter().flatten() {
        for resource in version["resources"].as_array().into_iter().flatten() {
            let plural = text(&resource["resource"]);
            let known = |known: &Resource| known.group == name && known.plural == plural;
            if found.iter().any(known) {
                continue;
            }
            let verbs = resource["verbs"].as_array().into_iter().flatten();
            found.push(Resource {
                group: name.to_owned(),
                version: text(&version["version"]).to_owned(),
                plural: plural.to_owned(),
                kind: text(&resource["responseKind"]["kind"]).to_owned(),
                namespaced: resource["scope"] == "Namespaced",
                verbs: verbs.map(|verb| text(verb).to_owned()).collect(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_preferred_version_of_each_resource_is_taken() {
        let resource = |plural: &str| {
            json!({
                "resource": plural, "scope": "Namespaced", "verbs": ["list", "watch"],
                "responseKind": { "kind": "Any" },
            })
        };
        let group = json!({
            "metadata": { "name": "x.org" },
            "versions": [
                { "version": "v2", "resources": [resource("as")] },
                { "version": "v1", "resources": [resource("as"), resource("bs")] },
            ],
        });
        let mut found = Vec::new();
        read_group(&group, &mut found);
        let paths: Vec<_> = found.iter().map(|r| r.path_in("n")).collect();
        assert_eq!(
            paths,
            [
                "/apis/x.org/v2/namespaces/n/as",
                "/apis/x.org/v1/namespaces/n/bs"
            ]
        );
        assert!(found[0].can(&["list"]) && !found[0].can(&["list", "delete"]));
    }
}
