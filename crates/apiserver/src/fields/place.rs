//! Says of one place in an object what its schema says about ownership.
//!
//! Where there is no schema, objects are owned field by field and lists as a whole.

use serde_json::{Map, Value, json};

use crate::builtin;
use crate::registry::Target;
use crate::schema::{ListType, Node, Schema};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    described: Option<(&'a Schema, &'a Node)>,
    /// The metadata of a custom resource is described elsewhere.
    root: bool,
}

/// How the items of a list are owned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Items {
    /// All together.
    Atomic,
    /// Each value by itself.
    Set,
    /// Each item by its keys.
    Map,
}

impl<'a> Place<'a> {
    /// The whole object of a target. `schema` is the target's.
    pub(crate) fn root(target: &Target, schema: Option<&'a Schema>) -> Self {
        Self {
            described: schema.map(|schema| (schema, schema.root())),
            root: target.custom(),
        }
    }

    /// An object without a schema.
    #[cfg(test)]
    pub(super) fn free() -> Self {
        Self {
            described: None,
            root: false,
        }
    }

    /// A field, or the value of a key.
    pub(super) fn field(self, name: &str) -> Self {
        if self.root && name == "metadata" {
            let meta = builtin::meta_schema();
            return Self {
                described: meta
                    .root()
                    .member(name)
                    .map(|node| (meta, meta.resolve(node))),
                root: false,
            };
        }
        let described = self.described.and_then(|(schema, node)| {
            let member = node.member(name)?;
            Some((schema, schema.resolve(member)))
        });
        Self {
            described,
            root: false,
        }
    }

    /// Whether the schema has this field by name.
    pub(super) fn declares(self, name: &str) -> bool {
        self.root && matches!(name, "metadata" | "apiVersion" | "kind")
            || self
                .described
                .is_some_and(|(_, node)| node.properties.contains_key(name))
    }

    /// Whether an object may have this field at all.
    pub(super) fn knows(self, name: &str) -> bool {
        let open = |node: &Node| {
            node.preserve_unknown
                || node.member(name).is_some()
                || matches!(node.additional, crate::schema::Additional::Any)
                || node.kind.is_none()
        };
        self.declares(name) || self.described.is_none_or(|(_, node)| open(node))
    }

    pub(super) fn item(self) -> Self {
        let described = self.described.and_then(|(schema, node)| {
            let item = node.items.as_deref()?;
            Some((schema, schema.resolve(item)))
        });
        Self {
            described,
            root: false,
        }
    }

    pub(super) fn items(self) -> Items {
        match self.described.map(|(_, node)| node.list_type) {
            Some(ListType::Set) => Items::Set,
            Some(ListType::Map) => Items::Map,
            Some(ListType::Atomic) | None => Items::Atomic,
        }
    }

    /// Whether an object here is owned as a whole.
    pub(super) fn atomic(self) -> bool {
        self.described.is_some_and(|(_, node)| node.atomic)
    }

    /// The step to an item of a set or of a list by keys; none if a key is missing.
    pub(super) fn step(self, item: &Value) -> Option<String> {
        match self.items() {
            Items::Atomic => None,
            Items::Set => Some(format!("v:{item}")),
            Items::Map => {
                let (_, node) = self.described?;
                let mut keys = Map::new();
                for key in &node.list_keys {
                    let value = item
                        .get(&**key)
                        .cloned()
                        .or_else(|| self.default_key(key))?;
                    keys.insert(key.to_string(), value);
                }
                Some(format!("k:{}", Value::Object(keys)))
            }
        }
    }

    fn default_key(self, key: &str) -> Option<Value> {
        let declared = self.item().described.and_then(|(_, node)| {
            let property = node.properties.get(key)?;
            property.default.clone()
        });
        // The one default of a key that built-in kinds have.
        declared.or_else(|| (key == "protocol").then(|| json!("TCP")))
    }
}
