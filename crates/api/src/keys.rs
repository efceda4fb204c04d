//! Names every reserved key: finalizers, annotations, labels and class parameters.
//!
//! They are the contract between programs, letter for letter. Does not know who sets them when.

// ---- Finalizers

/// On a content: its snapshot on storage has not been dealt with.
pub const FINALIZER_CONTENT: &str =
    "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection";
/// On a snapshot: a volume may be being made from it.
pub const FINALIZER_SNAPSHOT_AS_SOURCE: &str =
    "snapshot.storage.kubernetes.io/volumesnapshot-as-source-protection";
/// On a snapshot: its content is still there.
pub const FINALIZER_SNAPSHOT_BOUND: &str =
    "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection";
/// On a snapshot: it belongs to a group snapshot and goes with it.
pub const FINALIZER_SNAPSHOT_IN_GROUP: &str =
    "snapshot.storage.kubernetes.io/volumesnapshot-in-group-protection";
/// On a claim: a snapshot of it is being made.
pub const FINALIZER_CLAIM_AS_SOURCE: &str =
    "snapshot.storage.kubernetes.io/pvc-as-source-protection";
/// On a group content: its group snapshot on storage has not been dealt with.
pub const FINALIZER_GROUP_CONTENT: &str =
    "groupsnapshot.storage.kubernetes.io/volumegroupsnapshotcontent-bound-protection";
/// On a group snapshot: its content is still there.
pub const FINALIZER_GROUP_SNAPSHOT_BOUND: &str =
    "groupsnapshot.storage.kubernetes.io/volumegroupsnapshot-bound-protection";
/// On a snapshot: a provisioner is making a volume from it.
pub const FINALIZER_PROVISIONER: &str =
    "provisioner.storage.kubernetes.io/volumesnapshot-as-source-protection";

/// On a claim: a volume may be being copied from its volume.
pub const FINALIZER_CLONE: &str = "provisioner.storage.kubernetes.io/cloning-protection";
/// On a claim, followed by the driver's name: a volume for it may be on storage that no object tells
/// of. Ours: external-provisioner keeps this in memory only, so a crash loses it.
pub const FINALIZER_IN_FLIGHT_PREFIX: &str = "provisioner.tintype.dev/";

/// All finalizers above that are whole names.
pub const FINALIZERS: &[&str] = &[
    FINALIZER_CONTENT,
    FINALIZER_SNAPSHOT_AS_SOURCE,
    FINALIZER_SNAPSHOT_BOUND,
    FINALIZER_SNAPSHOT_IN_GROUP,
    FINALIZER_CLAIM_AS_SOURCE,
    FINALIZER_GROUP_CONTENT,
    FINALIZER_GROUP_SNAPSHOT_BOUND,
    FINALIZER_PROVISIONER,
    FINALIZER_CLONE,
];

// ---- Labels of CSIStorageCapacity objects

/// On a `CSIStorageCapacity`: the driver whose room it tells.
pub const LABEL_CAPACITY_DRIVER: &str = "csi.storage.k8s.io/drivername";
/// On a `CSIStorageCapacity`: the program that keeps it.
pub const LABEL_CAPACITY_MANAGER: &str = "csi.storage.k8s.io/managed-by";

// ---- Annotations of snapshots

/// On a `VolumeSnapshotClass`: the default of its driver, if exactly `true`.
pub const ANNOTATION_DEFAULT_CLASS: &str = "snapshot.storage.kubernetes.io/is-default-class";
/// On a content: a create call may have had an effect that nobody has written down.
pub const ANNOTATION_BEING_CREATED: &str =
    "snapshot.storage.kubernetes.io/volumesnapshot-being-created";
/// On a content: its snapshot was deleted, so the content is to go.
pub const ANNOTATION_BEING_DELETED: &str =
    "snapshot.storage.kubernetes.io/volumesnapshot-being-deleted";
/// On a content: the Secret for calls about it.
pub const ANNOTATION_DELETION_SECRET_NAME: &str =
    "snapshot.storage.kubernetes.io/deletion-secret-name";
/// On a content: the namespace of that Secret.
pub const ANNOTATION_DELETION_SECRET_NAMESPACE: &str =
    "snapshot.storage.kubernetes.io/deletion-secret-namespace";
/// On a content of a dynamic group member: the CSI id of the group. The odd spelling is the contract.
pub const ANNOTATION_GROUP_HANDLE: &str = "groupsnapshot.storage.k8s.io/volumeGroupSnapshotHandle";
/// On a content: a restore may use another volume mode than the source had (a Go boolean).
pub const ANNOTATION_ALLOW_MODE_CHANGE: &str =
    "snapshot.storage.kubernetes.io/allow-volume-mode-change";

// ---- Annotations of group snapshots

/// On a `VolumeGroupSnapshotClass`: the default of its driver, if exactly `true`.
pub const ANNOTATION_DEFAULT_GROUP_CLASS: &str =
    "groupsnapshot.storage.kubernetes.io/is-default-class";
/// On a group content: a create call may have had an effect that nobody has written down.
pub const ANNOTATION_GROUP_BEING_CREATED: &str =
    "groupsnapshot.storage.kubernetes.io/volumegroupsnapshot-being-created";
/// On a group content: its group snapshot was deleted, so the content is to go.
pub const ANNOTATION_GROUP_BEING_DELETED: &str =
    "groupsnapshot.storage.kubernetes.io/volumegroupsnapshot-being-deleted";
/// On a group content: the Secret for calls about it.
pub const ANNOTATION_GROUP_DELETION_SECRET_NAME: &str =
    "groupsnapshot.storage.kubernetes.io/deletion-secret-name";
/// On a group content: the namespace of that Secret.
pub const ANNOTATION_GROUP_DELETION_SECRET_NAMESPACE: &str =
    "groupsnapshot.storage.kubernetes.io/deletion-secret-namespace";
/// On a group content read as v1beta1: what that version has no field for, as JSON.
pub const ANNOTATION_GROUP_INFO_LIST: &str =
    "groupsnapshot.storage.kubernetes.io/volume-snapshot-info-list";
/// On a group content read as v1beta1: what stood under [`ANNOTATION_GROUP_INFO_LIST`] in the version it is kept in.
/// Ours: upstream's webhook overwrites it.
pub const ANNOTATION_GROUP_DISPLACED: &str =
    "conversion.tintype.dev/displaced-volume-snapshot-info-list";

// ---- Annotations of claims and volumes

/// On a claim: the provisioner that is to make its volume.
pub const ANNOTATION_STORAGE_PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
/// The older spelling of [`ANNOTATION_STORAGE_PROVISIONER`].
pub const ANNOTATION_BETA_STORAGE_PROVISIONER: &str =
    "volume.beta.kubernetes.io/storage-provisioner";
/// On a claim: the node its first consumer was placed on.
pub const ANNOTATION_SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// On a claim: it is bound to a volume (`yes`).
pub const ANNOTATION_BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// On a claim or volume: the binder chose the pair, not a user (`yes`).
pub const ANNOTATION_BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// On a volume: the provisioner that made it.
pub const ANNOTATION_PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// On a volume: the Secret for deleting it, empty if none.
pub const ANNOTATION_VOLUME_DELETION_SECRET_NAME: &str =
    "volume.kubernetes.io/provisioner-deletion-secret-name";
/// On a volume: the namespace of that Secret, empty if none.
pub const ANNOTATION_VOLUME_DELETION_SECRET_NAMESPACE: &str =
    "volume.kubernetes.io/provisioner-deletion-secret-namespace";
/// On a volume: the Secret for modifying it.
pub const ANNOTATION_MODIFY_SECRET_NAME: &str =
    "volume.kubernetes.io/controller-modify-secret-name";
/// On a volume: the namespace of that Secret.
pub const ANNOTATION_MODIFY_SECRET_NAMESPACE: &str =
    "volume.kubernetes.io/controller-modify-secret-namespace";
/// On a `StorageClass`: the default, if exactly `true`.
pub const ANNOTATION_DEFAULT_STORAGE_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
/// Finalizer on a volume: it has not been deleted from storage.
pub const FINALIZER_VOLUME: &str = "external-provisioner.volume.kubernetes.io/finalizer";
/// Attribute of a volume: which provisioner process made it.
pub const ATTRIBUTE_PROVISIONER_IDENTITY: &str = "storage.kubernetes.io/csiProvisionerIdentity";

// ---- Labels

/// On a content: the node whose sidecar looks after it.
pub const LABEL_MANAGED_BY: &str = "snapshot.storage.kubernetes.io/managed-by";
/// On a snapshot: found invalid by the validation of releases 3 to 8.1.
pub const LABEL_INVALID_SNAPSHOT: &str = "snapshot.storage.kubernetes.io/invalid-snapshot-resource";
/// On a content: found invalid by the validation of releases 3 to 8.1.
pub const LABEL_INVALID_CONTENT: &str =
    "snapshot.storage.kubernetes.io/invalid-snapshot-content-resource";

// ---- Class parameters

/// Class parameters that begin so are for the caller of the driver, never for the driver.
pub const PARAMETER_PREFIX: &str = "csi.storage.k8s.io/";
/// Name (template) of the Secret for creating and deleting snapshots.
pub const PARAMETER_SECRET_NAME: &str = "csi.storage.k8s.io/snapshotter-secret-name";
/// Namespace (template) of that Secret.
pub const PARAMETER_SECRET_NAMESPACE: &str = "csi.storage.k8s.io/snapshotter-secret-namespace";
/// Name (template) of the Secret for listing snapshots.
pub const PARAMETER_LIST_SECRET_NAME: &str = "csi.storage.k8s.io/snapshotter-list-secret-name";
/// Namespace (template) of that Secret.
pub const PARAMETER_LIST_SECRET_NAMESPACE: &str =
    "csi.storage.k8s.io/snapshotter-list-secret-namespace";
/// Name (template) of the Secret for creating and deleting group snapshots.
pub const PARAMETER_GROUP_SECRET_NAME: &str = "csi.storage.k8s.io/group-snapshotter-secret-name";
/// Namespace (template) of that Secret.
pub const PARAMETER_GROUP_SECRET_NAMESPACE: &str =
    "csi.storage.k8s.io/group-snapshotter-secret-namespace";
/// Name (template) of the Secret for reading group snapshots.
pub const PARAMETER_GROUP_GET_SECRET_NAME: &str =
    "csi.storage.k8s.io/group-snapshotter-get-secret-name";
/// Namespace (template) of that Secret.
pub const PARAMETER_GROUP_GET_SECRET_NAMESPACE: &str =
    "csi.storage.k8s.io/group-snapshotter-get-secret-namespace";

/// The only parameters with [`PARAMETER_PREFIX`] a snapshot class may hold.
pub const PARAMETERS: &[&str] = &[
    PARAMETER_SECRET_NAME,
    PARAMETER_SECRET_NAMESPACE,
    PARAMETER_LIST_SECRET_NAME,
    PARAMETER_LIST_SECRET_NAMESPACE,
    PARAMETER_GROUP_SECRET_NAME,
    PARAMETER_GROUP_SECRET_NAMESPACE,
    PARAMETER_GROUP_GET_SECRET_NAME,
    PARAMETER_GROUP_GET_SECRET_NAMESPACE,
];

// ---- Parameters added for the driver with `--extra-create-metadata`

/// Name of the snapshot.
pub const METADATA_SNAPSHOT_NAME: &str = "csi.storage.k8s.io/volumesnapshot/name";
/// Namespace of the snapshot.
pub const METADATA_SNAPSHOT_NAMESPACE: &str = "csi.storage.k8s.io/volumesnapshot/namespace";
/// Name of the content.
pub const METADATA_CONTENT_NAME: &str = "csi.storage.k8s.io/volumesnapshotcontent/name";
/// Name of the group snapshot.
pub const METADATA_GROUP_SNAPSHOT_NAME: &str = "csi.storage.k8s.io/volumegroupsnapshot/name";
/// Namespace of the group snapshot.
pub const METADATA_GROUP_SNAPSHOT_NAMESPACE: &str =
    "csi.storage.k8s.io/volumegroupsnapshot/namespace";
/// Name of the group content.
pub const METADATA_GROUP_CONTENT_NAME: &str = "csi.storage.k8s.io/volumegroupsnapshotcontent/name";
/// Name of the claim a volume is made for.
pub const METADATA_CLAIM_NAME: &str = "csi.storage.k8s.io/pvc/name";
/// Namespace of that claim.
pub const METADATA_CLAIM_NAMESPACE: &str = "csi.storage.k8s.io/pvc/namespace";
/// Name of the volume.
pub const METADATA_VOLUME_NAME: &str = "csi.storage.k8s.io/pv/name";

// ---- Storage class parameters

/// File system of new volumes.
pub const PARAMETER_FS_TYPE: &str = "csi.storage.k8s.io/fstype";
