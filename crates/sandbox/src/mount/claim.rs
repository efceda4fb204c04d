//! Finds the volume behind a claim, and what a node has to say to the driver about it.
//! Reads the Kubernetes API only; knows nothing of sockets and directories.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::{Api, Client};
use tintype_csi::v1::{
    VolumeCapability,
    volume_capability::{AccessMode, AccessType, BlockVolume, MountVolume, access_mode::Mode},
};

use crate::request_error::RequestError;

#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    #[error("claim {namespace}/{name} does not exist; `kubectl get pvc -A` lists those that do")]
    Absent { namespace: String, name: String },
    #[error(
        "claim {namespace}/{name} has no volume yet (phase {phase}); \
         `kubectl describe pvc -n {namespace} {name}` says what it waits for"
    )]
    Unbound {
        namespace: String,
        name: String,
        phase: String,
    },
    #[error("volume {volume} of claim {namespace}/{name} is gone; the claim has lost its data")]
    Lost {
        namespace: String,
        name: String,
        volume: String,
    },
    #[error(
        "volume {volume} is no CSI volume; only volumes of the sandbox's driver can be mounted"
    )]
    NotCsi { volume: String },
    #[error("cannot read {what}; is `tintype up` running, and is this its kubeconfig?")]
    Read { what: String, source: RequestError },
}

/// The volume of one claim.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    pub(crate) namespace: String,
    pub(crate) claim: String,
    pub(crate) volume: String,
    pub(crate) driver: String,
    pub(crate) handle: String,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) capability: VolumeCapability,
    pub(crate) read_only: bool,
}

impl Found {
    pub(crate) fn block(&self) -> bool {
        matches!(self.capability.access_type, Some(AccessType::Block(_)))
    }
}

/// Looks up a claim and its volume.
pub(crate) async fn find(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<Found, ClaimError> {
    let read = |what: String| {
        move |source: kube::Error| ClaimError::Read {
            what,
            source: RequestError::from(source),
        }
    };
    let named = || (namespace.to_owned(), name.to_owned());
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let Some(claim) = claims
        .get_opt(name)
        .await
        .map_err(read(format!("claim {namespace}/{name}")))?
    else {
        let (namespace, name) = named();
        return Err(ClaimError::Absent { namespace, name });
    };
    let phase = claim
        .status
        .and_then(|status| status.phase)
        .unwrap_or_else(|| "Pending".into());
    let volume = claim
        .spec
        .and_then(|spec| spec.volume_name)
        .filter(|_| phase == "Bound");
    let Some(volume) = volume else {
        let (namespace, name) = named();
        return Err(ClaimError::Unbound {
            namespace,
            name,
            phase,
        });
    };
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let found = volumes
        .get_opt(&volume)
        .await
        .map_err(read(format!("volume {volume}")))?;
    let Some(found) = found else {
        let (namespace, name) = named();
        return Err(ClaimError::Lost {
            namespace,
            name,
            volume,
        });
    };
    of_volume(namespace, name, volume, found)
}

fn of_volume(
    namespace: &str,
    claim: &str,
    volume: String,
    found: PersistentVolume,
) -> Result<Found, ClaimError> {
    let spec = found.spec.unwrap_or_default();
    let Some(csi) = spec.csi else {
        return Err(ClaimError::NotCsi { volume });
    };
    let access = if spec.volume_mode.as_deref() == Some("Block") {
        AccessType::Block(BlockVolume {})
    } else {
        AccessType::Mount(MountVolume {
            fs_type: csi.fs_type.unwrap_or_default(),
            mount_flags: spec.mount_options.unwrap_or_default(),
            ..MountVolume::default()
        })
    };
    let mode = AccessMode {
        mode: mode(&spec.access_modes.unwrap_or_default()).into(),
    };
    Ok(Found {
        namespace: namespace.to_owned(),
        claim: claim.to_owned(),
        volume,
        driver: csi.driver,
        handle: csi.volume_handle,
        attributes: csi.volume_attributes.unwrap_or_default(),
        capability: VolumeCapability {
            access_mode: Some(mode),
            access_type: Some(access),
        },
        read_only: csi.read_only.unwrap_or_default(),
    })
}

/// What a kubelet asks for: the widest of the volume's modes.
fn mode(modes: &[String]) -> Mode {
    let has = |mode: &str| modes.iter().any(|other| other == mode);
    if has("ReadWriteMany") {
        Mode::MultiNodeMultiWriter
    } else if has("ReadOnlyMany") && !has("ReadWriteOnce") && !has("ReadWriteOncePod") {
        Mode::MultiNodeReaderOnly
    } else {
        Mode::SingleNodeWriter
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn volume(spec: &serde_json::Value) -> Result<Found, ClaimError> {
        let volume = serde_json::from_value(json!({"metadata": {"name": "pv"}, "spec": spec}));
        of_volume("default", "data", "pv".into(), volume.unwrap())
    }

    #[test]
    fn a_file_system_volume_carries_its_options() {
        let found = volume(&json!({
            "accessModes": ["ReadWriteOnce"], "mountOptions": ["noatime"],
            "csi": {
                "driver": "d", "volumeHandle": "h", "fsType": "ext4",
                "volumeAttributes": {"a": "b"}
            }
        }))
        .unwrap();
        assert!(!found.block());
        assert_eq!((found.driver.as_str(), found.handle.as_str()), ("d", "h"));
        assert_eq!(found.attributes["a"], "b");
        let Some(AccessType::Mount(mount)) = found.capability.access_type else {
            panic!()
        };
        assert_eq!(
            (mount.fs_type.as_str(), mount.mount_flags.len()),
            ("ext4", 1)
        );
        assert_eq!(
            found.capability.access_mode.unwrap().mode(),
            Mode::SingleNodeWriter
        );
    }

    #[test]
    fn a_block_volume_is_asked_for_as_such() {
        let csi = json!({"driver": "d", "volumeHandle": "h"});
        let found =
            volume(&json!({"volumeMode": "Block", "accessModes": ["ReadWriteMany"], "csi": csi}));
        let found = found.unwrap();
        assert!(found.block());
        assert_eq!(
            found.capability.access_mode.unwrap().mode(),
            Mode::MultiNodeMultiWriter
        );
    }

    #[test]
    fn a_volume_of_another_kind_is_refused() {
        let error = volume(&json!({"hostPath": {"path": "/tmp"}})).unwrap_err();
        assert!(error.to_string().starts_with("volume pv is no CSI volume"));
    }
}
