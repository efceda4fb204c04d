//! Stages and publishes volumes over the driver's socket, as a kubelet would, and takes them back.
//! Knows the driver's socket and directories; knows nothing of claims but their names.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::Duration,
};

use tintype_csi::{
    Address, AddressError, CallError, Client, ConnectError,
    v1::{
        NodePublishVolumeRequest, NodeStageVolumeRequest, NodeUnpublishVolumeRequest,
        NodeUnstageVolumeRequest, node_service_capability::rpc::Type::StageUnstageVolume,
    },
};

use super::{
    claim::Found,
    record::{Mounted, RecordError, Records},
};
use crate::{data_dir::DataDir, words};

#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(
        "the driver does not answer at {}; start it with `tintype up`, \
         or say with --data-dir where it runs",
        words::path(socket)
    )]
    Away {
        socket: PathBuf,
        source: ConnectError,
    },
    #[error(
        "volume {volume} belongs to driver {driver}, and the driver at {} is {ours}; \
         mount it where its driver runs",
        words::path(socket)
    )]
    OtherDriver {
        volume: String,
        driver: String,
        ours: String,
        socket: PathBuf,
    },
    #[error("{} is not empty; give an empty directory or one that does not exist", words::path(.0))]
    NotEmpty(PathBuf),
    #[error("{} is not a directory; give an empty one or a name that is free", words::path(.0))]
    NotADirectory(PathBuf),
    #[error(
        "claim {claim} is mounted at {} already; unmount it first",
        words::path(target)
    )]
    Taken { target: PathBuf, claim: String },
    #[error("nothing is mounted at {}; {}", words::path(target), listed(mounted))]
    NotMounted {
        target: PathBuf,
        mounted: Vec<PathBuf>,
    },
    #[error("the driver refused volume {volume}")]
    Call { volume: String, source: CallError },
    #[error("cannot {action} {}", words::path(path))]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// The driver of one sandbox, and the records of what it has mounted.
#[derive(Debug)]
pub(crate) struct Node {
    data: DataDir,
    csi: Client,
}

impl Node {
    /// Connects at once or not at all: a sandbox that is up has its socket.
    pub(crate) async fn connect(data: &DataDir) -> Result<Self, NodeError> {
        let address = Address::at(data.socket())?;
        match Client::connect(&address, Duration::ZERO).await {
            Ok(csi) => Ok(Self {
                data: data.clone(),
                csi,
            }),
            Err(source) => Err(NodeError::Away {
                socket: data.socket(),
                source,
            }),
        }
    }

    pub(crate) fn csi(&self) -> &Client {
        &self.csi
    }

    /// Makes the volume appear at `target`.
    pub(crate) async fn mount(&self, found: &Found, target: &Path) -> Result<(), NodeError> {
        let call = |source| NodeError::Call {
            volume: found.volume.clone(),
            source,
        };
        let ours = self.csi.get_plugin_info().await.map_err(call)?.name;
        if ours != found.driver {
            let (volume, driver) = (found.volume.clone(), found.driver.clone());
            return Err(NodeError::OtherDriver {
                volume,
                driver,
                ours,
                socket: self.data.socket(),
            });
        }
        let stages = self
            .csi
            .node_get_capabilities()
            .await
            .map_err(call)?
            .has(StageUnstageVolume);
        let records = Records::hold(&self.data.mounts())?;
        let claim = format!("{}/{}", found.namespace, found.claim);
        if let Some(other) = records.get(target)?
            && (other.handle != found.handle || appears(target))
        {
            let claim = format!("{}/{}", other.namespace, other.claim);
            return Err(NodeError::Taken {
                target: other.target,
                claim,
            });
        }
        let stood = make_room(target)?;
        let staging = stages.then(|| {
            self.data
                .staging(&found.driver, &found.handle, &found.volume, found.block())
        });
        let mounted = Mounted {
            target: target.to_owned(),
            namespace: found.namespace.clone(),
            claim: found.claim.clone(),
            driver: found.driver.clone(),
            handle: found.handle.clone(),
            staging,
            stood,
        };
        tracing::debug!(%claim, target = %target.display(), "mounting");
        records.put(&mounted)?;
        let done = self.show(found, &mounted).await;
        // The driver's calls are idempotent, also for what was never staged.
        if done.is_err()
            && let Err(error) = self.hide(&records, &mounted).await
        {
            tracing::warn!(%claim, %error, "a failed mount could not be undone; unmount it later");
        }
        done
    }

    /// Takes away what was mounted at `target`.
    pub(crate) async fn unmount(&self, target: &Path) -> Result<(), NodeError> {
        let records = Records::hold(&self.data.mounts())?;
        if let Some(mounted) = records.get(target)? {
            return self.hide(&records, &mounted).await;
        }
        let mounted = records
            .all()?
            .into_iter()
            .map(|mounted| mounted.target)
            .collect();
        Err(NodeError::NotMounted {
            target: target.to_owned(),
            mounted,
        })
    }

    /// Takes away everything, for a sandbox whose folder is about to go.
    pub(crate) async fn unmount_all(&self) -> Result<(), NodeError> {
        let records = Records::hold(&self.data.mounts())?;
        for mounted in records.all()? {
            self.hide(&records, &mounted).await?;
        }
        Ok(())
    }

    async fn show(&self, found: &Found, mounted: &Mounted) -> Result<(), NodeError> {
        let call = |source| NodeError::Call {
            volume: found.volume.clone(),
            source,
        };
        let staging_target_path = mounted.staging.as_deref().map(text).transpose()?;
        if let (Some(path), Some(text)) = (&mounted.staging, &staging_target_path) {
            create_folders(path)?; // CSI: the orchestrator makes the staging directory.
            let request = NodeStageVolumeRequest {
                volume_id: found.handle.clone(),
                staging_target_path: text.clone(),
                volume_capability: Some(found.capability.clone()),
                volume_context: found.attributes.clone(),
                ..NodeStageVolumeRequest::default()
            };
            self.csi.node_stage_volume(request).await.map_err(call)?;
        }
        let request = NodePublishVolumeRequest {
            volume_id: found.handle.clone(),
            staging_target_path: staging_target_path.unwrap_or_default(),
            target_path: text(&mounted.target)?,
            volume_capability: Some(found.capability.clone()),
            readonly: found.read_only,
            volume_context: found.attributes.clone(),
            ..NodePublishVolumeRequest::default()
        };
        self.csi.node_publish_volume(request).await.map_err(call)
    }

    async fn hide(&self, records: &Records, mounted: &Mounted) -> Result<(), NodeError> {
        let call = |source| NodeError::Call {
            volume: mounted.handle.clone(),
            source,
        };
        let request = NodeUnpublishVolumeRequest {
            volume_id: mounted.handle.clone(),
            target_path: text(&mounted.target)?,
        };
        self.csi
            .node_unpublish_volume(request)
            .await
            .map_err(call)?;
        let shared = records
            .all()?
            .iter()
            .any(|other| other.target != mounted.target && other.staging == mounted.staging);
        if let Some(staging) = mounted.staging.as_ref().filter(|_| !shared) {
            let request = NodeUnstageVolumeRequest {
                volume_id: mounted.handle.clone(),
                staging_target_path: text(staging)?,
            };
            self.csi.node_unstage_volume(request).await.map_err(call)?;
            remove_folder(staging)?;
        }
        if mounted.stood {
            create_folders(&mounted.target)?;
        }
        Ok(records.remove(&mounted.target)?)
    }
}

/// `DIR` as a driver in another working directory understands it.
pub(crate) fn absolute(target: &Path) -> Result<PathBuf, NodeError> {
    let error = |source| NodeError::Io {
        action: "find",
        path: target.to_owned(),
        source,
    };
    let path = std::path::absolute(target).map_err(error)?;
    // The directory itself may become a link; the way to it must not depend on any.
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok(parent.canonicalize().map_err(error)?.join(name)),
        _ => Ok(path),
    }
}

/// Clears the way for the driver, which makes the target itself; true if a directory stood there.
fn make_room(target: &Path) -> Result<bool, NodeError> {
    match fs::symlink_metadata(target) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(source) => Err(NodeError::Io {
            action: "look at",
            path: target.to_owned(),
            source,
        }),
        Ok(found) if !found.is_dir() => Err(NodeError::NotADirectory(target.to_owned())),
        Ok(_) => match fs::remove_dir(target) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
                Err(NodeError::NotEmpty(target.to_owned()))
            }
            Err(source) => Err(NodeError::Io {
                action: "make room at",
                path: target.to_owned(),
                source,
            }),
        },
    }
}

/// Whether anything is there: after a crash between record and call, nothing is.
fn appears(target: &Path) -> bool {
    fs::symlink_metadata(target).is_ok()
}

fn create_folders(path: &Path) -> Result<(), NodeError> {
    let error = |source| NodeError::Io {
        action: "create",
        path: path.to_owned(),
        source,
    };
    fs::create_dir_all(path).map_err(error)
}

/// Drivers may or may not have removed it; the folder of the volume around it is ours.
fn remove_folder(staging: &Path) -> Result<(), NodeError> {
    for path in [Some(staging), staging.parent()].into_iter().flatten() {
        match fs::remove_dir(path) {
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty
                ) => {}
            Err(source) => {
                return Err(NodeError::Io {
                    action: "remove",
                    path: path.to_owned(),
                    source,
                });
            }
            Ok(()) => {}
        }
    }
    Ok(())
}

/// CSI carries paths as text.
fn text(path: &Path) -> Result<String, NodeError> {
    path.to_str()
        .map(ToOwned::to_owned)
        .ok_or_else(|| NodeError::Io {
            action: "tell the driver of",
            path: path.to_owned(),
            source: io::Error::new(ErrorKind::InvalidInput, "the path is not UTF-8"),
        })
}

fn listed(mounted: &[PathBuf]) -> String {
    if mounted.is_empty() {
        return "nothing is mounted anywhere".to_owned();
    }
    let paths: Vec<_> = mounted.iter().map(|path| words::path(path)).collect();
    format!("volumes are mounted at {}", paths.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_made_only_where_nothing_is() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        assert!(!make_room(&at("free")).unwrap());
        fs::create_dir(at("empty")).unwrap();
        assert!(make_room(&at("empty")).unwrap());
        assert!(!at("empty").exists());
        fs::create_dir_all(at("full/x")).unwrap();
        assert!(matches!(
            make_room(&at("full")),
            Err(NodeError::NotEmpty(_))
        ));
        fs::write(at("file"), "").unwrap();
        assert!(matches!(
            make_room(&at("file")),
            Err(NodeError::NotADirectory(_))
        ));
    }

    #[test]
    fn a_target_is_absolute_without_following_its_last_part() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        std::os::unix::fs::symlink("/elsewhere", real.join("link")).unwrap();
        assert_eq!(absolute(&real.join("link")).unwrap(), real.join("link"));
        assert!(absolute(Path::new("/no/such/parent/x")).is_err());
    }

    #[tokio::test]
    async fn a_driver_that_is_not_there_is_named_with_a_cure() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::choose(Some(dir.path())).unwrap();
        let error = Node::connect(&data).await.unwrap_err().to_string();
        assert!(
            error.contains("csi.sock; start it with `tintype up`"),
            "{error}"
        );
    }
}
