//! Carries the definitions (CRDs) to install in a cluster, as the files in `deploy/crds/` have them, and what may be
//! laid over them.
//!
//! Does not know how they are installed. Tests hold files and types together.

mod overlay;

use serde_json::Value;

pub use overlay::{ConversionWebhook, CrdOptions};

/// File name and text of each definition.
pub const CRDS: &[(&str, &str)] = &[
    (
        "groupsnapshot.storage.k8s.io_volumegroupsnapshotclasses.yaml",
        include_str!(
            "../../../deploy/crds/groupsnapshot.storage.k8s.io_volumegroupsnapshotclasses.yaml"
        ),
    ),
    (
        "groupsnapshot.storage.k8s.io_volumegroupsnapshotcontents.yaml",
        include_str!(
            "../../../deploy/crds/groupsnapshot.storage.k8s.io_volumegroupsnapshotcontents.yaml"
        ),
    ),
    (
        "groupsnapshot.storage.k8s.io_volumegroupsnapshots.yaml",
        include_str!("../../../deploy/crds/groupsnapshot.storage.k8s.io_volumegroupsnapshots.yaml"),
    ),
    (
        "snapshot.storage.k8s.io_volumesnapshotclasses.yaml",
        include_str!("../../../deploy/crds/snapshot.storage.k8s.io_volumesnapshotclasses.yaml"),
    ),
    (
        "snapshot.storage.k8s.io_volumesnapshotcontents.yaml",
        include_str!("../../../deploy/crds/snapshot.storage.k8s.io_volumesnapshotcontents.yaml"),
    ),
    (
        "snapshot.storage.k8s.io_volumesnapshots.yaml",
        include_str!("../../../deploy/crds/snapshot.storage.k8s.io_volumesnapshots.yaml"),
    ),
];

/// A definition in this build is not YAML.
#[derive(Debug, thiserror::Error)]
#[error("the definition {file} is not valid YAML")]
pub struct CrdError {
    /// Which file.
    pub file: &'static str,
    /// Where and why.
    #[source]
    source: serde_yaml_ng::Error,
}

/// All definitions, as objects to send to a server.
///
/// They are plain JSON, not typed, so that no field is lost on the way.
pub fn crds() -> Result<Vec<Value>, CrdError> {
    CRDS.iter()
        .map(|&(file, text)| {
            serde_yaml_ng::from_str(text).map_err(|source| CrdError { file, source })
        })
        .collect()
}

/// All definitions, with what is asked for laid over them.
pub fn crds_with(options: &CrdOptions) -> Result<Vec<Value>, CrdError> {
    let mut definitions = crds()?;
    for definition in &mut definitions {
        overlay::lay(definition, options);
    }
    Ok(definitions)
}
