//! Reads what only the provisioner watches: nodes, attachments and grants.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::storage::v1::{CSINode, VolumeAttachment};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use tintype_core::claim::Grant;
use tintype_core::object::{Key, Meta};
use tintype_runtime::Row;

/// A `Node`: its labels.
#[derive(Debug)]
pub(super) struct NodeRow {
    pub(super) meta: Meta,
    pub(super) labels: BTreeMap<String, String>,
}

impl Row for NodeRow {
    type Object = Node;

    fn kind() {}

    fn read(object: Node) -> Result<Self, serde_json::Error> {
        Ok(Self {
            meta: Meta::of(&object.metadata),
            labels: object.metadata.labels.unwrap_or_default(),
        })
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }
}

/// A `CSINode`: the topology keys of each driver there.
#[derive(Debug)]
pub(super) struct CsiNodeRow {
    pub(super) meta: Meta,
    pub(super) drivers: BTreeMap<String, Vec<String>>,
}

impl Row for CsiNodeRow {
    type Object = CSINode;

    fn kind() {}

    fn read(object: CSINode) -> Result<Self, serde_json::Error> {
        let drivers = object.spec.drivers.into_iter();
        Ok(Self {
            meta: Meta::of(&object.metadata),
            drivers: drivers
                .map(|it| (it.name, it.topology_keys.unwrap_or_default()))
                .collect(),
        })
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }
}

/// A `VolumeAttachment`: which volume, to which node.
#[derive(Debug)]
pub(super) struct AttachmentRow {
    pub(super) meta: Meta,
    pub(super) volume: Option<Key>,
    pub(super) node: Arc<str>,
}

impl Row for AttachmentRow {
    type Object = VolumeAttachment;

    fn kind() {}

    fn read(object: VolumeAttachment) -> Result<Self, serde_json::Error> {
        let volume = object.spec.source.persistent_volume_name;
        Ok(Self {
            meta: Meta::of(&object.metadata),
            volume: volume.map(Key::cluster),
            node: object.spec.node_name.into(),
        })
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }
}

/// A `ReferenceGrant` of the gateway API.
#[derive(Debug)]
pub(super) struct GrantRow {
    meta: Meta,
    pub(super) grant: Arc<Grant>,
}

impl Row for GrantRow {
    type Object = DynamicObject;

    fn kind() -> ApiResource {
        ApiResource::from_gvk(&GroupVersionKind::gvk(
            "gateway.networking.k8s.io",
            "v1beta1",
            "ReferenceGrant",
        ))
    }

    fn read(object: DynamicObject) -> Result<Self, serde_json::Error> {
        let meta = Meta::of(&object.metadata);
        let grant = Grant::of(meta.key.clone(), &object.data["spec"]);
        Ok(Self {
            meta,
            grant: grant.into(),
        })
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_grant_is_read_from_its_document() {
        let row = GrantRow::read_reply(json!({
            "apiVersion": "gateway.networking.k8s.io/v1beta1",
            "kind": "ReferenceGrant",
            "metadata": {"namespace": "prod", "name": "to-dev"},
            "spec": {
                "from": [{"group": "", "kind": "PersistentVolumeClaim", "namespace": "dev"}],
                "to": [{"group": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot"}],
            },
        }))
        .unwrap();
        assert_eq!(*row.grant.from[0].namespace, *"dev");
        assert_eq!(row.grant.to[0].name, None);
        assert_eq!(row.meta().key, Key::namespaced("prod", "to-dev"));
    }
}
