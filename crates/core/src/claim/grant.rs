//! Says whether a namespace lets claims of another be filled from what is in it.

use serde_json::Value;

use crate::object::{DataSource, Key};

/// One `ReferenceGrant` of `gateway.networking.k8s.io`; it speaks for its own namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Namespace and name.
    pub key: Key,
    /// Who may refer.
    pub from: Vec<GrantFrom>,
    /// To what.
    pub to: Vec<GrantTo>,
}

/// An entry of `spec.from`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantFrom {
    /// API group; empty for claims.
    pub group: Box<str>,
    /// Kind.
    pub kind: Box<str>,
    /// Namespace of who refers.
    pub namespace: Box<str>,
}

/// An entry of `spec.to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantTo {
    /// API group.
    pub group: Box<str>,
    /// Kind.
    pub kind: Box<str>,
    /// Name; none means all.
    pub name: Option<Box<str>>,
}

impl Grant {
    /// Reads `spec`; what is missing is empty.
    pub fn of(key: Key, spec: &Value) -> Self {
        let text = |it: &Value, field| Box::from(it[field].as_str().unwrap_or_default());
        let list = |field: &str| spec[field].as_array().into_iter().flatten();
        Self {
            key,
            from: list("from")
                .map(|it| GrantFrom {
                    group: text(it, "group"),
                    kind: text(it, "kind"),
                    namespace: text(it, "namespace"),
                })
                .collect(),
            to: list("to")
                .map(|it| GrantTo {
                    group: text(it, "group"),
                    kind: text(it, "kind"),
                    name: it["name"].as_str().map(Box::from),
                })
                .collect(),
        }
    }

    /// A claim in `namespace` may be filled from `source` (KEP-3294).
    pub fn allows(&self, namespace: &str, source: &DataSource) -> bool {
        let from = self.from.iter().any(|it| {
            it.group.is_empty()
                && &*it.kind == "PersistentVolumeClaim"
                && *it.namespace == *namespace
        });
        let to = self.to.iter().any(|it| {
            it.group == source.group
                && it.kind == source.kind_text
                && it
                    .name
                    .as_deref()
                    .is_none_or(|it| it.is_empty() || *it == *source.key.name)
        });
        self.key.namespace == source.key.namespace && from && to
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::DataSourceKind;

    fn grant() -> Grant {
        Grant {
            key: Key::namespaced("prod", "to-dev"),
            from: vec![GrantFrom {
                group: "".into(),
                kind: "PersistentVolumeClaim".into(),
                namespace: "dev".into(),
            }],
            to: vec![GrantTo {
                group: tintype_api::GROUP.into(),
                kind: "VolumeSnapshot".into(),
                name: Some("nightly".into()),
            }],
        }
    }

    fn source(namespace: &str, name: &str) -> DataSource {
        DataSource {
            kind: DataSourceKind::Snapshot,
            kind_text: "VolumeSnapshot".into(),
            group: tintype_api::GROUP.into(),
            key: Key::namespaced(namespace, name),
        }
    }

    #[test]
    fn a_grant_allows_what_it_names_and_nothing_else() {
        assert!(grant().allows("dev", &source("prod", "nightly")));
        assert!(!grant().allows("test", &source("prod", "nightly")));
        assert!(!grant().allows("dev", &source("prod", "weekly")));
        assert!(!grant().allows("dev", &source("stage", "nightly")));
        let mut all = grant();
        all.to[0].name = None;
        assert!(all.allows("dev", &source("prod", "weekly")));
        all.to[0].group = "".into();
        assert!(!all.allows("dev", &source("prod", "weekly")));
        let mut pods = grant();
        pods.from[0].kind = "Pod".into();
        assert!(!pods.allows("dev", &source("prod", "nightly")));
    }
}
