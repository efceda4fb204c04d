//! Tells the story: make a volume, fill it, snapshot it, damage it, restore it, compare.
//! Sees the cluster through its API, the volumes through the driver's socket; has no other way in.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tintype_csi::{
    CallError,
    v1::{ListSnapshotsRequest, ListVolumesRequest},
};
use tokio_util::task::TaskTracker;

use super::{
    compare::{Difference, differences},
    damage,
    listing::{FileError, sorted_names},
    manifest::Manifest,
    objects::{ObjectError, Objects},
    parallel::Tally,
    report::Report,
    tree::{FillError, Source},
};
use crate::{
    data_dir::DataDir,
    mount::{ClaimError, Node, NodeError, find},
    words,
};

const MIB: u64 = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub(crate) enum StoryError {
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error("cannot fill the volume")]
    Fill(#[source] FillError),
    #[error("cannot read the volume")]
    Read(#[source] FileError),
    #[error("cannot damage the volume")]
    Damage(#[source] FileError),
    #[error("the damage to the volume cannot be seen: whatever is compared, it is not that volume")]
    Unharmed,
    #[error("cannot ask the driver what is left")]
    Left(#[source] CallError),
    #[error("after everything was deleted, storage still holds {0}")]
    NotEmpty(String),
    #[error("a worker of the story ended early")]
    Worker(#[from] tokio::task::JoinError),
}

/// Whom the story is about.
pub(crate) struct Story {
    pub(crate) objects: Objects,
    pub(crate) node: Node,
    pub(crate) data: DataDir,
    /// An empty folder of our own; volumes are looked into below it.
    pub(crate) look: PathBuf,
    pub(crate) tally: Arc<Tally>,
    /// Workers in a volume, who must have left before it is unmounted.
    pub(crate) workers: TaskTracker,
}

/// How it ended.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// What the restored volume lacks, if anything.
    pub(crate) differences: Vec<Difference>,
    /// What of the source could not be taken along, in words.
    pub(crate) left_out: Option<String>,
    /// The volume is a device: its differences are of bytes, not of files.
    pub(crate) device: bool,
}

impl Story {
    /// From the first claim to the comparison.
    pub(crate) async fn tell(
        &mut self,
        source: Source,
        report: &mut Report,
    ) -> Result<Ending, StoryError> {
        // Filled, recorded, damage seen, restore compared: each file passes four times.
        report.expect(source.bytes() * 4);
        // A file system rounds files up to its blocks, and has an inode for every 16 KiB.
        let small = source.entries() * 20 / 1024;
        let mebibytes = (source.bytes() / MIB * 5 / 4).max(48) + small + 16;
        // A slow disk writes 20 MiB a second; nothing waits for less.
        self.objects.patience += Duration::from_secs(mebibytes / 20);

        report.begin("make a claim");
        let claim = self.objects.claim("data", mebibytes, None).await?;
        let volume = claim
            .spec
            .and_then(|spec| spec.volume_name)
            .unwrap_or_default();
        report.end("make a claim", format!("default/data is bound to {volume}"));

        let (manifest, root, left_out) = self.fill(source, report).await?;

        report.begin("snapshot it");
        let snapshot = self.objects.snapshot("before", "data").await?;
        let content = snapshot
            .status
            .and_then(|status| status.bound_volume_snapshot_content_name);
        let content = content.unwrap_or_default();
        report.end(
            "snapshot it",
            format!("default/before is ready, content {content}"),
        );

        self.damage(&manifest, &root, report).await?;

        report.begin("restore it");
        self.objects
            .claim("restored", mebibytes, Some("before"))
            .await?;
        let restored = self.mount("restored").await?;
        report.end(
            "restore it",
            "claim default/restored, from the snapshot".to_owned(),
        );

        report.begin("compare every file");
        let (manifest, found) = self.differences(manifest, &restored, report).await?;
        let outcome = match found.len() {
            0 => format!("{}: nothing differs", everything(&manifest)),
            many => words::count(many, "difference", "differences"),
        };
        report.end("compare every file", outcome);
        Ok(Ending {
            differences: found,
            left_out,
            device: false,
        })
    }

    /// Brings the workers home, however far they got.
    pub(crate) async fn leave(&self) -> Result<(), StoryError> {
        self.tally.stop();
        self.workers.close();
        self.workers.wait().await;
        Ok(self.node.unmount_all().await?)
    }

    /// Deletes everything and looks whether storage is empty.
    pub(crate) async fn clear(&mut self, report: &mut Report) -> Result<(), StoryError> {
        report.begin("delete everything");
        self.node.unmount_all().await?;
        Box::pin(self.objects.delete_all()).await?;
        let left = self.left().await?;
        if !left.is_empty() {
            return Err(StoryError::NotEmpty(left.join(", ")));
        }
        report.end(
            "delete everything",
            "no volume, no snapshot, no file is left".to_owned(),
        );
        Ok(())
    }

    async fn fill(
        &self,
        source: Source,
        report: &mut Report,
    ) -> Result<(Manifest, PathBuf, Option<String>), StoryError> {
        report.begin("fill it");
        let root = self.mount("data").await?;
        let from = words::path(&source.from);
        let (volume, tally) = (root.clone(), Arc::clone(&self.tally));
        let filling = self
            .workers
            .spawn_blocking(move || source.fill(&volume, &tally));
        let left_out = report.during(filling).await?.map_err(StoryError::Fill)?;
        report.end("fill it", format!("with {from} and a folder of odd files"));

        report.begin("record every file");
        let manifest = self.record(&root, report).await?;
        report.end("record every file", everything(&manifest));
        let left_out = (!left_out.is_empty()).then(|| {
            let parts = left_out
                .iter()
                .map(|(why, count)| format!("{count} × {why}"));
            parts.collect::<Vec<_>>().join(", ")
        });
        Ok((manifest, root, left_out))
    }

    async fn damage(
        &self,
        manifest: &Manifest,
        root: &Path,
        report: &mut Report,
    ) -> Result<(), StoryError> {
        report.begin("damage it");
        let done = damage::damage(root, manifest).map_err(StoryError::Damage)?;
        report.end("damage it", damage::summary(&done));

        report.begin("see the damage");
        let after = self.record(root, report).await?;
        let seen = differences(manifest, &after).len();
        if seen < done.len() {
            return Err(StoryError::Unharmed);
        }
        report.end(
            "see the damage",
            words::count(seen, "difference", "differences"),
        );
        Ok(())
    }

    pub(super) async fn mount(&self, claim: &str) -> Result<PathBuf, StoryError> {
        let found = find(self.objects.client(), "default", claim).await?;
        let target = self.look.join(claim);
        self.node.mount(&found, &target).await?;
        // Without rights to mount, the driver makes a link: what is meant is behind it.
        let behind = fs::canonicalize(&target).map_err(FileError::at("look into", &target));
        behind.map_err(StoryError::Read)
    }

    async fn record(&self, root: &Path, report: &Report) -> Result<Manifest, StoryError> {
        let (root, tally) = (root.to_owned(), Arc::clone(&self.tally));
        let recording = self
            .workers
            .spawn_blocking(move || Manifest::record(&root, &tally));
        report.during(recording).await?.map_err(StoryError::Read)
    }

    async fn differences(
        &self,
        manifest: Manifest,
        root: &Path,
        report: &Report,
    ) -> Result<(Manifest, Vec<Difference>), StoryError> {
        let restored = self.record(root, report).await?;
        let found = differences(&manifest, &restored);
        Ok((manifest, found))
    }

    /// What the driver and its folder still hold, in words.
    async fn left(&self) -> Result<Vec<String>, StoryError> {
        let csi = self.node.csi();
        let volumes = csi.list_volumes(ListVolumesRequest::default()).await;
        let snapshots = csi.list_snapshots(ListSnapshotsRequest::default()).await;
        let volumes = volumes.map_err(StoryError::Left)?.entries;
        let snapshots = snapshots.map_err(StoryError::Left)?.entries;
        let mut left: Vec<String> = volumes
            .into_iter()
            .map(|listed| format!("volume {}", listed.volume.id))
            .collect();
        left.extend(
            snapshots
                .into_iter()
                .map(|snapshot| format!("snapshot {}", snapshot.id)),
        );
        let storage = self.data.storage();
        // Where images are, all is in their pool; what is attached is mounted beside it.
        let (pool, mounts) = (storage.join("pool"), storage.join("mounts"));
        if mounts.is_dir() {
            let mounted = sorted_names(&mounts).map_err(StoryError::Read)?;
            left.extend(mounted.iter().map(|it| words::path(&mounts.join(it))));
        }
        let storage = if pool.is_dir() { pool } else { storage };
        let files = Manifest::record(&storage, &Tally::default()).map_err(StoryError::Read)?;
        let bytes = files.bytes();
        if left.is_empty() && bytes > BOOKKEEPING {
            left.push(format!(
                "{} in {}",
                words::size(bytes),
                words::path(&storage)
            ));
        }
        Ok(left)
    }
}

/// What a driver without volumes may keep for itself: a version, a lock.
const BOOKKEEPING: u64 = 4 << 10;

fn everything(manifest: &Manifest) -> String {
    let files = words::count(manifest.files(), "file", "files");
    let others = manifest.entries.len() - manifest.files();
    let others = words::count(others, "folder or link", "folders and links");
    format!("{files}, {others}, {}", words::size(manifest.bytes()))
}
