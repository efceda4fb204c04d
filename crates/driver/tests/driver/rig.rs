//! Starts drivers in temporary folders and shortens requests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tintype_csi::v1::volume_capability::{
    AccessMode, AccessType, BlockVolume, MountVolume, access_mode::Mode,
};
use tintype_csi::v1::volume_content_source::{SnapshotSource, Type, VolumeSource};
use tintype_csi::{Address, CallError, Client, Snapshot, Volume, v1};
use tintype_driver::{BackendChoice, Config, Driver, RunError};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Code;

/// Longer than anything takes on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
pub(crate) const MIB: i64 = 1 << 20;

/// A running driver and a client of it.
pub(crate) struct Rig {
    pub(crate) client: Client,
    pub(crate) place: TempDir,
    address: Address,
    config: Config,
    stop: CancellationToken,
    task: JoinHandle<Result<(), RunError>>,
}

pub(crate) fn config(data_dir: &Path, backend: BackendChoice) -> Config {
    Config {
        data_dir: data_dir.to_owned(),
        driver_name: "csi.example.org".to_owned(),
        backend,
        node_id: "here".to_owned(),
        topology: BTreeMap::new(),
        pool_size: None,
        allow_non_atomic_groups: false,
    }
}

impl Rig {
    pub(crate) async fn new() -> Self {
        Self::with(BackendChoice::Directory).await
    }

    pub(crate) async fn with(backend: BackendChoice) -> Self {
        Self::at(TempDir::new().unwrap(), backend).await
    }

    pub(crate) async fn at(place: TempDir, backend: BackendChoice) -> Self {
        let config = config(&place.path().join("data"), backend);
        Self::of(place, config).await
    }

    pub(crate) async fn of(place: TempDir, config: Config) -> Self {
        let driver = Driver::open(config.clone()).unwrap();
        let address = Address::at(place.path().join("csi.sock")).unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn({
            let (address, stop) = (address.clone(), stop.clone());
            async move { driver.serve(&address, stop).await }
        });
        let client = Client::connect(&address, PATIENCE)
            .await
            .unwrap()
            .with_deadline(PATIENCE);
        Self {
            client,
            place,
            address,
            config,
            stop,
            task,
        }
    }

    /// Ends the driver and hands its folder back.
    pub(crate) async fn end(self) -> TempDir {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
        assert!(!self.address.path().exists());
        self.place
    }

    /// Ends the driver and starts another one on the same folder.
    pub(crate) async fn again(self) -> Self {
        let config = self.config.clone();
        Self::of(self.end().await, config).await
    }

    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// A path in the store.
    pub(crate) fn store(&self, path: &str) -> PathBuf {
        self.place.path().join("data").join(path)
    }

    /// Where tests put the contents of a volume.
    pub(crate) fn data(&self, volume: &Volume) -> PathBuf {
        self.store("volumes").join(&volume.id).join("data")
    }

    /// Names in a folder of the store.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.store(folder)).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Stages a volume and shows it at a path of this name.
    pub(crate) async fn show_as(
        &self,
        id: &str,
        capability: v1::VolumeCapability,
        name: &str,
    ) -> Result<PathBuf, CallError> {
        let staging = self.place.path().join("staging").display().to_string();
        let stage = v1::NodeStageVolumeRequest {
            volume_id: id.to_owned(),
            staging_target_path: staging.clone(),
            volume_capability: Some(capability.clone()),
            ..Default::default()
        };
        self.client.node_stage_volume(stage).await?;
        let target = self.place.path().join(name);
        let publish = v1::NodePublishVolumeRequest {
            volume_id: id.to_owned(),
            staging_target_path: staging,
            target_path: target.to_str().unwrap().to_owned(),
            volume_capability: Some(capability),
            ..Default::default()
        };
        self.client.node_publish_volume(publish).await?;
        Ok(target)
    }

    /// What is wrong with a volume, as the driver tells.
    pub(crate) async fn trouble(&self, id: &str) -> Option<String> {
        let all = v1::ListVolumesRequest::default();
        let listed = self.client.list_volumes(all).await.unwrap().entries;
        let found = listed.into_iter().find(|it| it.volume.id == id);
        found.unwrap().trouble
    }

    /// Takes it away again.
    pub(crate) async fn hide_from(&self, id: &str, target: &Path) -> Result<(), CallError> {
        let unpublish = v1::NodeUnpublishVolumeRequest {
            volume_id: id.to_owned(),
            target_path: target.to_str().unwrap().to_owned(),
        };
        self.client.node_unpublish_volume(unpublish).await?;
        let staging = self.place.path().join("staging").display().to_string();
        let unstage = v1::NodeUnstageVolumeRequest {
            volume_id: id.to_owned(),
            staging_target_path: staging,
        };
        self.client.node_unstage_volume(unstage).await
    }

    pub(crate) async fn volume(&self, name: &str) -> Volume {
        self.client.create_volume(volume(name)).await.unwrap()
    }

    pub(crate) async fn snapshot(&self, name: &str, source: &Volume) -> Snapshot {
        self.client
            .create_snapshot(snapshot(name, &source.id))
            .await
            .unwrap()
    }

    pub(crate) async fn restore(&self, name: &str, from: &Snapshot) -> Volume {
        self.client
            .create_volume(from_snapshot(volume(name), &from.id))
            .await
            .unwrap()
    }
}

pub(crate) fn mount() -> v1::VolumeCapability {
    access(
        AccessType::Mount(MountVolume::default()),
        Mode::SingleNodeWriter,
    )
}

pub(crate) fn block() -> v1::VolumeCapability {
    access(AccessType::Block(BlockVolume {}), Mode::SingleNodeWriter)
}

pub(crate) fn access(kind: AccessType, mode: Mode) -> v1::VolumeCapability {
    v1::VolumeCapability {
        access_type: Some(kind),
        access_mode: Some(AccessMode { mode: mode.into() }),
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "what the field of a request takes"
)]
pub(crate) fn range(required_bytes: i64, limit_bytes: i64) -> Option<v1::CapacityRange> {
    Some(v1::CapacityRange {
        required_bytes,
        limit_bytes,
    })
}

pub(crate) fn volume(name: &str) -> v1::CreateVolumeRequest {
    v1::CreateVolumeRequest {
        name: name.to_owned(),
        capacity_range: range(MIB, 0),
        volume_capabilities: vec![mount()],
        ..Default::default()
    }
}

pub(crate) fn from_snapshot(
    request: v1::CreateVolumeRequest,
    snapshot_id: &str,
) -> v1::CreateVolumeRequest {
    let source = Type::Snapshot(SnapshotSource {
        snapshot_id: snapshot_id.to_owned(),
    });
    let volume_content_source = Some(v1::VolumeContentSource {
        r#type: Some(source),
    });
    v1::CreateVolumeRequest {
        volume_content_source,
        ..request
    }
}

pub(crate) fn from_volume(
    request: v1::CreateVolumeRequest,
    volume_id: &str,
) -> v1::CreateVolumeRequest {
    let source = Type::Volume(VolumeSource {
        volume_id: volume_id.to_owned(),
    });
    let volume_content_source = Some(v1::VolumeContentSource {
        r#type: Some(source),
    });
    v1::CreateVolumeRequest {
        volume_content_source,
        ..request
    }
}

pub(crate) fn snapshot(name: &str, source: &str) -> v1::CreateSnapshotRequest {
    v1::CreateSnapshotRequest {
        name: name.to_owned(),
        source_volume_id: source.to_owned(),
        ..Default::default()
    }
}

pub(crate) fn delete_volume(id: &str) -> v1::DeleteVolumeRequest {
    v1::DeleteVolumeRequest {
        volume_id: id.to_owned(),
        ..Default::default()
    }
}

pub(crate) fn delete_snapshot(id: &str) -> v1::DeleteSnapshotRequest {
    v1::DeleteSnapshotRequest {
        snapshot_id: id.to_owned(),
        ..Default::default()
    }
}

/// Checks a failure's code and that its message has these words.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(outcome: Result<T, CallError>, code: Code, words: &str) {
    let error = outcome.expect_err("it should have been refused");
    assert_eq!(error.code, code, "{error}");
    assert!(
        error.message.contains(words),
        "{words:?} is not in: {error}"
    );
}
