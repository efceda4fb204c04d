//! Works out what has to be created for a restore, or why it cannot be. Pure.

use kube::ResourceExt as _;
use kube::core::DynamicObject;
use serde_json::{Value, json};
use tintype_api::{VolumeSnapshot, VolumeSnapshotContent, quantity};
use tintype_core::object::StorageClass;

/// On what was imported: where from.
const IMPORTED_FROM: &str = "tintype.dev/imported-from";
/// Marks a class as the default one.
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// What is there to restore from.
#[derive(Debug, Clone)]
pub struct Source {
    /// The snapshot.
    pub snapshot: VolumeSnapshot,
    /// Its content, if there is one.
    pub content: Option<VolumeSnapshotContent>,
    /// Class, access modes and size of the claim it was cut from, if that is still there.
    pub claim: Option<SourceClaim>,
    /// All storage classes, and whether each is the default.
    pub classes: Vec<(StorageClass, bool)>,
}

/// What is known of the claim a snapshot was cut from.
#[derive(Debug, Clone, Default)]
pub struct SourceClaim {
    /// `spec.storageClassName`.
    pub class: Option<String>,
    /// `spec.accessModes`.
    pub access_modes: Vec<String>,
    /// `status.capacity.storage`.
    pub size: Option<String>,
}

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Target {
    /// Namespace of the claim.
    pub namespace: String,
    /// Name of the claim.
    pub claim: String,
    /// `--class`.
    pub class: Option<String>,
    /// `--size`.
    pub size: Option<String>,
}

/// What brings the snapshot's handle into another namespace.
#[derive(Debug, Clone)]
pub struct Import {
    /// A content with the handle, retained.
    pub content: DynamicObject,
    /// The snapshot that it is bound to.
    pub snapshot: DynamicObject,
}

/// What is created, in this order.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Namespace and name of the snapshot.
    pub source: String,
    /// Where to.
    pub target: Target,
    /// None within one namespace.
    pub import: Option<Import>,
    /// The claim.
    pub claim: DynamicObject,
    /// The class binds late.
    pub waits: bool,
}

/// Why it cannot be done, and what helps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The snapshot is not ready.
    #[error("snapshot {snapshot} is not ready to use: {why}")]
    NotReady {
        /// Namespace and name.
        snapshot: String,
        /// What is in the way.
        why: String,
    },
    /// Nothing says where the data is.
    #[error(
        "the content of snapshot {0} has no status.snapshotHandle: its data cannot be found; take the snapshot anew"
    )]
    NoHandle(String),
    /// `--class` names none.
    #[error("--class {0} does not exist; `kubectl get storageclass` lists those that do")]
    ClassMissing(String),
    /// `--class` is of another driver.
    #[error(
        "--class {class} is of driver {of}, and snapshot {snapshot} of driver {driver}; name a class of that driver"
    )]
    ClassOfOther {
        /// The class.
        class: String,
        /// Its driver.
        of: String,
        /// The snapshot.
        snapshot: String,
        /// The snapshot's driver.
        driver: String,
    },
    /// Nothing says which class to take.
    #[error("which storage class is meant? {0}; name one with --class")]
    ClassUnclear(String),
    /// `--size` is no size.
    #[error("--size {0} is no size; give one such as 10Gi")]
    SizeUnclear(String),
    /// `--size` is less than the snapshot needs.
    #[error("--size {size} is less than snapshot {snapshot} needs; give at least {needs}")]
    TooSmall {
        /// As given.
        size: String,
        /// The snapshot.
        snapshot: String,
        /// `status.restoreSize`.
        needs: String,
    },
    /// Nothing says how large it is.
    #[error(
        "snapshot {0} does not say how large it is, and its claim is gone; give --size, at least what the volume had"
    )]
    NoSize(String),
}

impl Plan {
    /// All documents, in the order in which they are created.
    pub fn documents(&self) -> Vec<&DynamicObject> {
        let import = self.import.iter();
        let import = import.flat_map(|it| [&it.content, &it.snapshot]);
        import.chain([&self.claim]).collect()
    }

    /// What is going to be done with each of them, by the verbs of roles: all is asked for first, so
    /// that nothing is left half done for want of a right.
    pub(super) fn deeds(&self, clean_up: bool) -> Vec<(&'static str, &DynamicObject)> {
        let mut deeds: Vec<_> = self
            .documents()
            .into_iter()
            .map(|it| ("create", it))
            .collect();
        let watched = |it| [("list", it), ("watch", it)];
        if let Some(import) = &self.import {
            deeds.extend(watched(&import.snapshot));
            if clean_up && !self.waits {
                deeds.extend(watched(&import.content));
                for removed in [&import.content, &import.snapshot] {
                    deeds.extend([("get", removed), ("delete", removed)]);
                }
            }
        }
        if !self.waits {
            deeds.extend(watched(&self.claim));
        }
        deeds
    }

    /// What removes the import by hand.
    pub(super) fn removal(&self) -> Option<String> {
        let import = self.import.as_ref()?;
        Some(format!(
            "kubectl delete -n {} volumesnapshot/{} volumesnapshotcontent/{}",
            self.target.namespace,
            import.snapshot.name_any(),
            import.content.name_any()
        ))
    }
}

/// What has to be created.
pub fn plan(source: &Source, target: &Target) -> Result<Plan, Refusal> {
    let snapshot = &source.snapshot;
    let namespace = snapshot.namespace().unwrap_or_default();
    let name = format!("{namespace}/{}", snapshot.name_any());
    let content = ready(source, &name)?;
    let handle = content
        .status
        .as_ref()
        .and_then(|it| it.snapshot_handle.as_deref());
    let handle = handle.filter(|it| !it.is_empty());
    let handle = handle.ok_or_else(|| Refusal::NoHandle(name.clone()))?;
    let class = class(source, target, &name, &content.spec.driver)?;
    let size = size(source, target, &name)?;
    let import = (namespace != target.namespace).then(|| import(&name, content, handle, target));
    let from = match &import {
        Some(import) => import.snapshot.name_any(),
        None => snapshot.name_any(),
    };
    let modes = source.claim.as_ref().map(|it| it.access_modes.clone());
    let modes = modes.filter(|it| !it.is_empty());
    let mut spec = json!({
        "storageClassName": class.meta.key.name,
        "accessModes": modes.unwrap_or_else(|| vec!["ReadWriteOnce".to_owned()]),
        "resources": {"requests": {"storage": size}},
        "dataSource": {
            "apiGroup": "snapshot.storage.k8s.io",
            "kind": "VolumeSnapshot",
            "name": from,
        },
    });
    if let Some(mode) = &content.spec.source_volume_mode {
        spec["volumeMode"] = mode.as_str().into();
    }
    Ok(Plan {
        source: name,
        target: target.clone(),
        import,
        claim: object(
            "v1",
            "PersistentVolumeClaim",
            &target.claim,
            Some(target),
            &spec,
        ),
        waits: class.waits,
    })
}

fn ready<'a>(source: &'a Source, name: &str) -> Result<&'a VolumeSnapshotContent, Refusal> {
    let refuse = |why: String| Refusal::NotReady {
        snapshot: name.to_owned(),
        why,
    };
    let status = source.snapshot.status.as_ref();
    if source.snapshot.metadata.deletion_timestamp.is_some() {
        return Err(refuse(
            "it is being deleted; restore from another".to_owned(),
        ));
    }
    if !source.snapshot.ready() {
        let error = status.and_then(|it| it.error.as_ref()?.message.clone());
        return Err(refuse(error.unwrap_or_else(|| {
            "nothing says why; `tintype doctor` looks for the reason".to_owned()
        })));
    }
    let missing = || refuse("its content does not exist; its data cannot be found".to_owned());
    source.content.as_ref().ok_or_else(missing)
}

fn class<'a>(
    source: &'a Source,
    target: &Target,
    snapshot: &str,
    driver: &str,
) -> Result<&'a StorageClass, Refusal> {
    let named = |name: &str| {
        let mut classes = source.classes.iter().map(|it| &it.0);
        classes.find(|it| *it.meta.key.name == *name)
    };
    if let Some(name) = &target.class {
        let class = named(name).ok_or_else(|| Refusal::ClassMissing(name.clone()))?;
        if *class.provisioner != *driver {
            return Err(Refusal::ClassOfOther {
                class: name.clone(),
                of: class.provisioner.to_string(),
                snapshot: snapshot.to_owned(),
                driver: driver.to_owned(),
            });
        }
        return Ok(class);
    }
    let before = source.claim.as_ref().and_then(|it| it.class.as_deref());
    let before = before.and_then(named);
    if let Some(class) = before.filter(|it| *it.provisioner == *driver) {
        return Ok(class);
    }
    let of_driver = || {
        source
            .classes
            .iter()
            .filter(|it| *it.0.provisioner == *driver)
    };
    let mut found: Vec<_> = of_driver().filter(|it| it.1).collect();
    if found.is_empty() {
        found = of_driver().collect();
    }
    match &*found {
        [one] => Ok(&one.0),
        [] => Err(Refusal::ClassUnclear(format!("driver {driver} has none"))),
        several => {
            let names: Vec<&str> = several.iter().map(|it| &*it.0.meta.key.name).collect();
            let names = names.join(", ");
            Err(Refusal::ClassUnclear(format!(
                "driver {driver} has {names}"
            )))
        }
    }
}

fn size(source: &Source, target: &Target, snapshot: &str) -> Result<String, Refusal> {
    let status = source.snapshot.status.as_ref();
    let needs = status.and_then(|it| it.restore_size.as_ref());
    let needs = needs.map(|it| it.0.clone());
    let bytes = |text: &String| quantity::parse_bytes(text).filter(|it| *it > 0);
    let needed = needs.as_ref().and_then(bytes);
    if let Some(size) = &target.size {
        let wanted = bytes(size).ok_or_else(|| Refusal::SizeUnclear(size.clone()))?;
        return match needs.zip(needed) {
            Some((needs, bytes)) if wanted < bytes => Err(Refusal::TooSmall {
                size: size.clone(),
                snapshot: snapshot.to_owned(),
                needs,
            }),
            Some(_) | None => Ok(size.clone()),
        };
    }
    let of_claim = || source.claim.as_ref()?.size.clone();
    needs
        .filter(|_| needed.is_some())
        .or_else(of_claim)
        .ok_or_else(|| Refusal::NoSize(snapshot.to_owned()))
}

fn import(name: &str, content: &VolumeSnapshotContent, handle: &str, target: &Target) -> Import {
    let snapshot_name = format!("import-{}", target.claim);
    let content_name = format!("import-{}-{}", target.namespace, target.claim);
    let class = &content.spec.volume_snapshot_class_name;
    let mut spec = json!({
        "driver": content.spec.driver,
        "deletionPolicy": "Retain",
        "source": {"snapshotHandle": handle},
        "volumeSnapshotRef": {
            "apiVersion": "snapshot.storage.k8s.io/v1",
            "kind": "VolumeSnapshot",
            "namespace": target.namespace,
            "name": snapshot_name,
        },
    });
    if let Some(mode) = &content.spec.source_volume_mode {
        spec["sourceVolumeMode"] = mode.as_str().into();
    }
    let mut of_snapshot = json!({"source": {"volumeSnapshotContentName": content_name}});
    if let Some(class) = class {
        spec["volumeSnapshotClassName"] = class.as_str().into();
        of_snapshot["volumeSnapshotClassName"] = class.as_str().into();
    }
    let api = "snapshot.storage.k8s.io/v1";
    let mut import = Import {
        content: object(api, "VolumeSnapshotContent", &content_name, None, &spec),
        snapshot: object(
            api,
            "VolumeSnapshot",
            &snapshot_name,
            Some(target),
            &of_snapshot,
        ),
    };
    for object in [&mut import.content, &mut import.snapshot] {
        let annotations = object.annotations_mut();
        annotations.insert(IMPORTED_FROM.to_owned(), name.to_owned());
    }
    import
}

fn object(api: &str, kind: &str, name: &str, into: Option<&Target>, spec: &Value) -> DynamicObject {
    let mut object = DynamicObject {
        types: Some(kube::core::TypeMeta {
            api_version: api.to_owned(),
            kind: kind.to_owned(),
        }),
        metadata: kube::core::ObjectMeta::default(),
        data: json!({ "spec": spec }),
    };
    object.metadata.name = Some(name.to_owned());
    object.metadata.namespace = into.map(|it| it.namespace.clone());
    object
}

/// Whether a storage class is the default.
pub(super) fn is_default(class: &k8s_openapi::api::storage::v1::StorageClass) -> bool {
    let annotations = class.metadata.annotations.as_ref();
    annotations
        .and_then(|it| it.get(DEFAULT_CLASS))
        .map(String::as_str)
        == Some("true")
}

#[cfg(test)]
mod tests;
