//! Tells which lists of built-in kinds a strategic merge patch merges, and by what.
//!
//! Does not patch. The schemas of the kinds do not carry this, so it is a table here.

use serde_json::Value;

use crate::schema::{ListType, Merge, Node};

/// Part, list, merge key; the empty part stands for every part without a row of its own.
const KEYS: [(&str, &str, &str); 27] = [
    ("ObjectMeta", "finalizers", ""),
    ("ObjectMeta", "ownerReferences", "uid"),
    ("PodSpec", "containers", "name"),
    ("PodSpec", "initContainers", "name"),
    ("PodSpec", "ephemeralContainers", "name"),
    ("PodSpec", "volumes", "name"),
    ("PodSpec", "hostAliases", "ip"),
    ("PodSpec", "imagePullSecrets", "name"),
    ("PodSpec", "topologySpreadConstraints", "topologyKey"),
    ("PodSpec", "resourceClaims", "name"),
    ("PodSpec", "schedulingGates", "name"),
    ("PodStatus", "podIPs", "ip"),
    ("PodStatus", "hostIPs", "ip"),
    ("PodStatus", "resourceClaimStatuses", "name"),
    ("ServiceSpec", "ports", "port"),
    ("ServiceAccount", "secrets", "name"),
    ("NodeStatus", "addresses", "type"),
    ("CSINodeSpec", "drivers", "name"),
    ("Container", "ports", "containerPort"),
    ("EphemeralContainer", "ports", "containerPort"),
    ("", "env", "name"),
    ("", "volumeMounts", "mountPath"),
    ("", "volumeDevices", "devicePath"),
    ("", "conditions", "type"),
    ("", "webhooks", "name"),
    ("", "matchConditions", "name"),
    ("", "variables", "name"),
];

/// Lists whose items are owned one by one by other keys than a strategic merge patch merges them by.
const OWNED: [(&str, &str, &[&str]); 8] = [
    ("Container", "ports", &["containerPort", "protocol"]),
    (
        "EphemeralContainer",
        "ports",
        &["containerPort", "protocol"],
    ),
    ("ServiceSpec", "ports", &["port", "protocol"]),
    (
        "PodSpec",
        "topologySpreadConstraints",
        &["topologyKey", "whenUnsatisfiable"],
    ),
    ("ResourceRequirements", "claims", &["name"]),
    ("ContainerStatus", "volumeMounts", &["mountPath"]),
    ("CSIDriverSpec", "volumeLifecycleModes", &[""]),
    ("NodeSpec", "podCIDRs", &[""]),
];

/// Objects that one manager owns as a whole.
const OWNED_WHOLE: [&str; 18] = [
    "ConfigMapKeySelector",
    "EndpointAddress",
    "EndpointPort",
    "LabelSelector",
    "LocalObjectReference",
    "NodeSelector",
    "NodeSelectorTerm",
    "ObjectFieldSelector",
    "ObjectReference",
    "OwnerReference",
    "ResourceFieldSelector",
    "RoleRef",
    "ScopeSelector",
    "SecretKeySelector",
    "SecretReference",
    "Subject",
    "TopologySelectorTerm",
    "TypedLocalObjectReference",
];

/// Parts whose lists have a key's name but are replaced as a whole.
const ATOMIC: [(&str, &str); 2] = [
    ("CustomResourceDefinitionStatus", "conditions"),
    ("ContainerStatus", "volumeMounts"),
];

/// Objects that `$retainKeys` trims.
const RETAIN: [(&str, &str); 2] = [("PodSpec", "volumes"), ("DeploymentSpec", "strategy")];

const SCHEMA: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

/// Compiles the part of a built-in kind called `name`, merge keys included.
pub(super) fn definition(name: &str, source: &Value) -> Node {
    let short = name.rsplit('.').next().unwrap_or(name);
    let mut node = crate::schema::definition(source);
    match short {
        // Any JSON at all.
        "JSON" => {
            return Node {
                preserve_unknown: true,
                ..Node::default()
            };
        }
        "RawExtension" | "FieldsV1" => node.preserve_unknown = true,
        // A schema, or something simpler that needs no look inside.
        "JSONSchemaPropsOrArray" | "JSONSchemaPropsOrBool" | "JSONSchemaPropsOrStringArray" => {
            return Node {
                reference: Some(SCHEMA.into()),
                ..Node::default()
            };
        }
        _ => {}
    }
    node.atomic = OWNED_WHOLE.contains(&short);
    for (list, property) in &mut node.properties {
        property.merge = merge_of(short, list);
        let keys = owned_by(short, list, property.merge);
        match keys {
            Some([""]) => property.list_type = ListType::Set,
            Some(keys) => {
                property.list_type = ListType::Map;
                property.list_keys = keys.iter().map(|key| Box::from(*key)).collect();
            }
            None => {}
        }
    }
    node
}

/// How the items of a list are owned one by one: by these keys, or by value for the empty key.
fn owned_by<'a>(part: &str, list: &str, merge: Merge) -> Option<&'a [&'static str]>
where
    'static: 'a,
{
    let other = OWNED
        .iter()
        .find(|(known, field, _)| *known == part && *field == list);
    if let Some((.., keys)) = other {
        return Some(keys);
    }
    let key = merge.key?;
    KEYS.iter()
        .position(|(.., known)| *known == key)
        .map(|at| std::slice::from_ref(&KEYS[at].2))
}

fn merge_of(part: &str, list: &str) -> Merge {
    let own = KEYS
        .iter()
        .find(|(known, field, _)| *known == part && *field == list);
    let any = KEYS
        .iter()
        .find(|(known, field, _)| known.is_empty() && *field == list);
    let atomic = ATOMIC.contains(&(part, list));
    Merge {
        key: own.or(any).filter(|_| !atomic).map(|(.., key)| *key),
        retain_keys: RETAIN.contains(&(part, list)),
    }
}

/// Tells clients the merge keys of a part, in its OpenAPI schema.
pub(crate) fn note_merge_keys(name: &str, part: &mut Value) {
    let short = name.rsplit('.').next().unwrap_or(name);
    let properties = part.get_mut("properties").and_then(Value::as_object_mut);
    for (list, property) in properties.into_iter().flatten() {
        let merge = merge_of(short, list);
        let (Some(members), true) = (property.as_object_mut(), merge != Merge::default()) else {
            continue;
        };
        let strategy = match (merge.key, merge.retain_keys) {
            (Some(_), true) => "merge,retainKeys",
            (Some(_), false) => "merge",
            (None, _) => "retainKeys",
        };
        members.insert("x-kubernetes-patch-strategy".into(), strategy.into());
        if let Some(key) = merge.key.filter(|key| !key.is_empty()) {
            members.insert("x-kubernetes-patch-merge-key".into(), key.into());
        }
    }
}
