//! Finds the Secrets a storage class names for each kind of call.
//!
//! Does not read them: a resolved pair is a name, not a value.

use std::collections::BTreeMap;

use crate::secret::{Secret, Tokens, resolve};

/// The two parameters of one Secret, and what they were called before.
struct Keys {
    name: &'static str,
    namespace: &'static str,
    old: Option<(&'static str, &'static str)>,
}

macro_rules! keys {
    ($name:literal) => {
        keys!($name, None)
    };
    ($name:literal, $old:expr) => {
        Keys {
            name: concat!("csi.storage.k8s.io/", $name, "-name"),
            namespace: concat!("csi.storage.k8s.io/", $name, "-namespace"),
            old: $old,
        }
    };
}

const DEFAULT: Keys = keys!("secret");
const PROVISIONER: Keys = keys!(
    "provisioner-secret",
    Some(("csiProvisionerSecretName", "csiProvisionerSecretNamespace"))
);
const PUBLISH: Keys = keys!(
    "controller-publish-secret",
    Some((
        "csiControllerPublishSecretName",
        "csiControllerPublishSecretNamespace"
    ))
);
const NODE_STAGE: Keys = keys!(
    "node-stage-secret",
    Some(("csiNodeStageSecretName", "csiNodeStageSecretNamespace"))
);
const NODE_PUBLISH: Keys = keys!(
    "node-publish-secret",
    Some(("csiNodePublishSecretName", "csiNodePublishSecretNamespace"))
);
const EXPAND: Keys = keys!("controller-expand-secret");
const NODE_EXPAND: Keys = keys!("node-expand-secret");
const MODIFY: Keys = keys!("controller-modify-secret");

const ALL: [Keys; 8] = [
    DEFAULT,
    PROVISIONER,
    PUBLISH,
    NODE_STAGE,
    NODE_PUBLISH,
    EXPAND,
    NODE_EXPAND,
    MODIFY,
];

/// How a template begins that uses an annotation of the claim.
pub(super) const ANNOTATION_TOKEN: &str = "pvc.annotations['";

/// The Secrets of one volume, by the calls they are for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretRefs {
    /// `CreateVolume` and `DeleteVolume`.
    pub provisioner: Option<Secret>,
    /// `ControllerPublishVolume`.
    pub publish: Option<Secret>,
    /// `NodeStageVolume`.
    pub node_stage: Option<Secret>,
    /// `NodePublishVolume`.
    pub node_publish: Option<Secret>,
    /// `ControllerExpandVolume`.
    pub expand: Option<Secret>,
    /// `NodeExpandVolume`.
    pub node_expand: Option<Secret>,
    /// `ControllerModifyVolume`.
    pub modify: Option<Secret>,
}

/// Whose Secrets: what the templates' tokens stand for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner<'a> {
    pub(super) volume: &'a str,
    pub(super) namespace: &'a str,
    pub(super) claim: &'a str,
    pub(super) annotations: &'a BTreeMap<String, String>,
}

/// A reserved parameter that names a Secret.
pub(super) fn is_known(key: &str) -> bool {
    ALL.iter().any(|it| key == it.name || key == it.namespace)
}

/// All Secrets the parameters name; `Err` names the parameter, its value, the cure.
pub(super) fn of(
    parameters: &BTreeMap<String, String>,
    owner: &Owner<'_>,
) -> Result<SecretRefs, String> {
    let one = |keys| of_call(parameters, &keys, owner);
    Ok(SecretRefs {
        provisioner: one(PROVISIONER)?,
        publish: one(PUBLISH)?,
        node_stage: one(NODE_STAGE)?,
        node_publish: one(NODE_PUBLISH)?,
        expand: one(EXPAND)?,
        node_expand: one(NODE_EXPAND)?,
        modify: one(MODIFY)?,
    })
}

/// The Secret for deleting a volume whose annotations do not name it.
pub(crate) fn for_deletion(
    parameters: &BTreeMap<String, String>,
    volume: &str,
    namespace: &str,
    claim: &str,
) -> Result<Option<Secret>, String> {
    let owner = Owner {
        volume,
        namespace,
        claim,
        annotations: &BTreeMap::new(),
    };
    of_call(parameters, &PROVISIONER, &owner)
}

fn of_call(
    parameters: &BTreeMap<String, String>,
    keys: &Keys,
    owner: &Owner<'_>,
) -> Result<Option<Secret>, String> {
    let (mut name, mut namespace) = (keys.name, keys.namespace);
    if let Some(old) = keys.old {
        for (old, new) in [(old.0, keys.name), (old.1, keys.namespace)] {
            if parameters.contains_key(old) && parameters.contains_key(new) {
                return Err(format!(
                    "parameters {old} and {new} are both set; take out the first, which is the older name"
                ));
            }
        }
        if parameters.contains_key(old.0) || parameters.contains_key(old.1) {
            (name, namespace) = old;
        }
    }
    if !parameters.contains_key(name) && !parameters.contains_key(namespace) {
        (name, namespace) = (DEFAULT.name, DEFAULT.namespace);
    }
    let in_namespace = [
        ("pv.name", owner.volume),
        ("pvc.namespace", owner.namespace),
    ];
    let annotations: Vec<(String, &str)> = owner
        .annotations
        .iter()
        .map(|(key, value)| (format!("{ANNOTATION_TOKEN}{key}']"), value.as_str()))
        .collect();
    let mut in_name = in_namespace.to_vec();
    in_name.push(("pvc.name", owner.claim));
    in_name.extend(
        annotations
            .iter()
            .map(|(key, value)| (key.as_str(), *value)),
    );
    let tokens = Tokens {
        in_namespace: &in_namespace,
        in_name: &in_name,
    };
    resolve(parameters, name, namespace, &tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pairs: &[(&str, &str)]) -> Result<SecretRefs, String> {
        let annotations = BTreeMap::from([("team/secret".to_owned(), "red".to_owned())]);
        let parameters = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let owner = Owner {
            volume: "pvc-1",
            namespace: "db",
            claim: "data",
            annotations: &annotations,
        };
        of(&parameters, &owner)
    }

    fn named(secret: Option<&Secret>) -> String {
        secret.map_or_else(String::new, |it| format!("{}/{}", it.namespace, it.name))
    }

    #[test]
    fn each_call_has_its_own_secret_or_the_default() {
        let refs = found(&[
            ("csi.storage.k8s.io/secret-name", "all"),
            ("csi.storage.k8s.io/secret-namespace", "kube-system"),
            (
                "csi.storage.k8s.io/node-stage-secret-name",
                "${pvc.annotations['team/secret']}-${pvc.name}",
            ),
            (
                "csi.storage.k8s.io/node-stage-secret-namespace",
                "${pvc.namespace}",
            ),
            ("csiProvisionerSecretName", "${pv.name}"),
            ("csiProvisionerSecretNamespace", "store"),
        ])
        .unwrap();
        assert_eq!(named(refs.provisioner.as_ref()), "store/pvc-1");
        assert_eq!(named(refs.node_stage.as_ref()), "db/red-data");
        for secret in [
            &refs.publish,
            &refs.node_publish,
            &refs.expand,
            &refs.node_expand,
            &refs.modify,
        ] {
            assert_eq!(named(secret.as_ref()), "kube-system/all");
        }
        assert_eq!(found(&[]).unwrap(), SecretRefs::default());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let both = found(&[
            ("csiProvisionerSecretName", "a"),
            ("csi.storage.k8s.io/provisioner-secret-name", "a"),
        ]);
        assert!(both.unwrap_err().contains("are both set"));
        let half = found(&[("csi.storage.k8s.io/provisioner-secret-name", "a")]);
        assert!(half.unwrap_err().contains("set both or neither"));
        let token = found(&[
            ("csi.storage.k8s.io/secret-name", "a"),
            ("csi.storage.k8s.io/secret-namespace", "${pvc.name}"),
        ]);
        assert!(token.unwrap_err().contains("uses \"pvc.name\""));
    }
}
