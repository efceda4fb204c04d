//! Says which nodes a volume can be reached from: `spec.nodeAffinity.required` of a volume, and the
//! labels it is held against.
//!
//! Knows nothing of scheduling.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Node as NodeObject, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PersistentVolume,
};

use super::Meta;

/// A `Node`, as far as the machines read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Identity.
    pub meta: Meta,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
}

impl Node {
    /// Reads the object.
    pub fn of(object: &NodeObject) -> Self {
        Self {
            meta: Meta::of(&object.metadata),
            labels: object.metadata.labels.clone().unwrap_or_default(),
        }
    }
}

/// Terms of which one has to hold, each made of requirements that all have to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Affinity(Vec<Vec<Requirement>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    /// A label, or the node's name.
    key: Option<Box<str>>,
    operator: Operator,
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    Gt,
    Lt,
    /// Not one the API knows: it never holds.
    Other,
}

impl Affinity {
    /// Reads `spec.nodeAffinity.required`; none if the volume can be reached from anywhere.
    pub fn of(volume: &PersistentVolume) -> Option<Self> {
        let affinity = volume.spec.as_ref()?.node_affinity.as_ref()?;
        let NodeSelector {
            node_selector_terms,
        } = affinity.required.as_ref()?;
        Some(Self(node_selector_terms.iter().map(term).collect()))
    }

    /// The node is among those. An empty term holds for none (Kubernetes, `NodeSelectorTerm`).
    pub fn admits(&self, node: &Node) -> bool {
        self.0
            .iter()
            .any(|term| !term.is_empty() && term.iter().all(|it| it.holds(node)))
    }
}

fn term(term: &NodeSelectorTerm) -> Vec<Requirement> {
    let labels = term.match_expressions.iter().flatten();
    let fields = term.match_fields.iter().flatten();
    labels
        .map(|it| Requirement::of(it, Some(it.key.as_str())))
        .chain(fields.map(|it| {
            let mut field = Requirement::of(it, None);
            if it.key != "metadata.name" {
                field.operator = Operator::Other;
            }
            field
        }))
        .collect()
}

impl Requirement {
    fn of(object: &NodeSelectorRequirement, key: Option<&str>) -> Self {
        Self {
            key: key.map(Box::from),
            operator: match object.operator.as_str() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                "Gt" => Operator::Gt,
                "Lt" => Operator::Lt,
                _ => Operator::Other,
            },
            values: object.values.clone().unwrap_or_default(),
        }
    }

    fn holds(&self, node: &Node) -> bool {
        let value = match &self.key {
            None => Some(&*node.meta.key.name),
            Some(key) => node.labels.get(&**key).map(String::as_str),
        };
        let listed = value.is_some_and(|value| self.values.iter().any(|it| it == value));
        let number = |text: Option<&str>| text.and_then(|it| it.parse::<i64>().ok());
        let limit = number(self.values.first().map(String::as_str));
        match self.operator {
            Operator::In => listed,
            Operator::NotIn => !listed,
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Gt => number(value).zip(limit).is_some_and(|(it, than)| it > than),
            Operator::Lt => number(value).zip(limit).is_some_and(|(it, than)| it < than),
            Operator::Other => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn admits(terms: &Value) -> Vec<&'static str> {
        let volume = json!({"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}}});
        let affinity = Affinity::of(&serde_json::from_value(volume).unwrap()).unwrap();
        let node = |name: &str, zone: &str, slots: &str| {
            let object =
                json!({"metadata": {"name": name, "labels": {"zone": zone, "slots": slots}}});
            Node::of(&serde_json::from_value(object).unwrap())
        };
        ["one", "two", "three"]
            .into_iter()
            .zip([("a", "4"), ("b", "8"), ("b", "many")])
            .filter(|(name, (zone, slots))| affinity.admits(&node(name, zone, slots)))
            .map(|(name, _)| name)
            .collect()
    }

    #[test]
    fn nodes_are_held_against_the_terms_of_a_volume_as_the_scheduler_does() {
        let label = |operator: &str, key: &str, values: Value| json!([{"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]);
        for (terms, nodes) in [
            (
                label("In", "zone", json!(["b", "c"])),
                &["two", "three"][..],
            ),
            (label("NotIn", "zone", json!(["b"])), &["one"]),
            (
                label("NotIn", "rack", json!(["b"])),
                &["one", "two", "three"],
            ),
            (label("Exists", "rack", json!(null)), &[]),
            (
                label("DoesNotExist", "rack", json!(null)),
                &["one", "two", "three"],
            ),
            (label("Gt", "slots", json!(["4"])), &["two"]),
            (label("Lt", "slots", json!(["8"])), &["one"]),
            (label("Near", "zone", json!(["b"])), &[]),
            (json!([]), &[]),
            (json!([{}]), &[]),
            (
                json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["one"]}]},
                    {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["b"]},
                        {"key": "slots", "operator": "In", "values": ["8"]}]}]),
                &["one", "two"],
            ),
            (
                json!([{"matchFields": [{"key": "metadata.uid", "operator": "Exists"}]}]),
                &[],
            ),
        ] {
            assert_eq!(admits(&terms), nodes, "{terms}");
        }
    }

    #[test]
    fn a_volume_without_affinity_can_be_reached_from_anywhere() {
        for volume in [
            json!({}),
            json!({"spec": {}}),
            json!({"spec": {"nodeAffinity": {}}}),
        ] {
            assert_eq!(Affinity::of(&serde_json::from_value(volume).unwrap()), None);
        }
    }
}
