//! Says for each kind how a watched object becomes the row that is kept.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::{Node as NodeObject, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass as StorageClassObject;
use kube::Resource;
use kube::core::DynamicObject;
use kube::discovery::ApiResource;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tintype_api::{
    VolumeGroupSnapshot, VolumeGroupSnapshotClass, VolumeGroupSnapshotContent, VolumeSnapshot,
    VolumeSnapshotClass, VolumeSnapshotContent,
};
use tintype_core::object::{
    Claim, Class, Content, Group, GroupClass, GroupContent, Meta, Node, Snapshot, StorageClass,
    Volume,
};

/// What a cache keeps of one kind.
pub trait Row: Send + Sync + Sized + 'static {
    /// The object as watched; dropped once it is read.
    type Object: Resource<DynamicType: Clone + Send + Sync>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Send
        + 'static;

    /// The kind, for the watch.
    fn kind() -> <Self::Object as Resource>::DynamicType;

    /// Reads an object; `Err` if it is not of the kind's shape.
    fn read(object: Self::Object) -> Result<Self, serde_json::Error>;

    /// Identity and version.
    fn meta(&self) -> &Meta;

    /// Reads a reply of the API server.
    fn read_reply(reply: Value) -> Result<Self, serde_json::Error> {
        Self::read(serde_json::from_value(reply)?)
    }
}

/// Texts that many rows have in common: namespaces, drivers, classes.
static SHARED: Mutex<BTreeSet<Arc<str>>> = Mutex::new(BTreeSet::new());
/// Beyond this, texts that no row has any more are let go first.
const MANY: usize = 1024;

/// Makes equal texts of many rows one allocation.
fn share(text: &mut Arc<str>) {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = shared.get(text) {
        *text = known.clone();
        return;
    }
    if shared.len() >= MANY {
        shared.retain(|it| Arc::strong_count(it) > 1);
    }
    // With that many in use, each is shared by few rows, and looking through them costs more.
    if shared.len() < MANY {
        shared.insert(text.clone());
    }
}

macro_rules! row {
    ($row:ty, $object:ty) => {
        row!($row, $object, |_row| {});
    };
    ($row:ty, $object:ty, |$it:ident| $share:block) => {
        impl Row for $row {
            type Object = $object;

            fn kind() -> <Self::Object as Resource>::DynamicType {}

            fn read(object: Self::Object) -> Result<Self, serde_json::Error> {
                let mut row = Self::of(&object);
                let $it = &mut row;
                $share;
                Ok(row)
            }

            fn meta(&self) -> &Meta {
                &self.meta
            }
        }
    };
}

row!(Snapshot, VolumeSnapshot, |row| {
    share(&mut row.meta.key.namespace);
});
row!(Content, VolumeSnapshotContent, |row| {
    share(&mut row.meta.key.namespace);
    share(&mut row.snapshot.key.namespace);
    share(&mut row.driver);
    if let Some(class) = &mut row.class {
        share(class);
    }
});
row!(Class, VolumeSnapshotClass);
row!(Group, VolumeGroupSnapshot, |row| {
    share(&mut row.meta.key.namespace);
});
row!(GroupContent, VolumeGroupSnapshotContent, |row| {
    share(&mut row.group.key.namespace);
    share(&mut row.driver);
    if let Some(class) = &mut row.class {
        share(class);
    }
});
row!(Volume, PersistentVolume);
row!(Node, NodeObject);
row!(StorageClass, StorageClassObject);

impl Row for GroupClass {
    type Object = VolumeGroupSnapshotClass;

    fn kind() -> <Self::Object as Resource>::DynamicType {}

    fn read(object: Self::Object) -> Result<Self, serde_json::Error> {
        Ok(Self::of(&object))
    }

    fn meta(&self) -> &Meta {
        &self.0.meta
    }
}

/// A claim, and its document less `managedFields`: upstream's rights leave only PUT on claims, and
/// a PUT must carry every field, known to us or not.
#[derive(Debug, Clone)]
pub struct ClaimRow {
    /// What the machines read.
    pub claim: Arc<Claim>,
    /// The document as JSON text.
    pub document: Box<str>,
}

impl Row for ClaimRow {
    type Object = DynamicObject;

    fn kind() -> ApiResource {
        ApiResource::erase::<PersistentVolumeClaim>(&())
    }

    fn read(mut object: DynamicObject) -> Result<Self, serde_json::Error> {
        object.metadata.managed_fields = None;
        let document = serde_json::to_value(&object)?;
        let text = document.to_string().into_boxed_str();
        let claim: PersistentVolumeClaim = serde_json::from_value(document)?;
        Ok(Self {
            claim: Claim::of(&claim).into(),
            document: text,
        })
    }

    fn meta(&self) -> &Meta {
        &self.claim.meta
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn contents_of_one_driver_share_what_they_have_in_common() {
        let content = |name: &str| {
            Content::read_reply(json!({
                "metadata": {"name": name, "finalizers": ["a"]},
                "spec": {"driver": "csi.shared", "volumeSnapshotClassName": "shared-class",
                    "volumeSnapshotRef": {"namespace": "shared-namespace", "name": name}},
            }))
            .unwrap()
        };
        let (one, two) = (content("one"), content("two"));
        assert!(Arc::ptr_eq(&one.driver, &two.driver));
        assert!(Arc::ptr_eq(
            &one.snapshot.key.namespace,
            &two.snapshot.key.namespace
        ));
        assert!(Arc::ptr_eq(
            one.class.as_ref().unwrap(),
            two.class.as_ref().unwrap()
        ));
        assert_eq!(one.meta.finalizers.capacity(), 1);
    }
}
