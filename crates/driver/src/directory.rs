//! Keeps each volume as a folder, or as a sparse file for block access, and each snapshot as a copy
//! of it. Needs no rights.
//!
//! The copy is not atomic across files: a writer meanwhile may show in one file and not in another.
//! The size of a folder is a promise on paper, not a limit.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::backend::{Backend, Cut, Fill, Growth, Origin, Room, Usage};
use crate::copy::{self, Report};
use crate::fill::file_system;
use crate::record::{Group, Shape, Snapshot, Stamp, Timed as _, Volume};
use crate::refusal::{Kind, Refusal};
use crate::shelf::{Found, Shelf, sync_folder};

#[derive(Debug)]
pub(crate) struct Directory {
    shelf: Arc<Shelf>,
}

/// Anybody may write into a new volume, as workloads run as anybody; the folders around it are
/// private.
const VOLUME_MODE: u32 = 0o777;

impl Directory {
    pub(crate) fn new(shelf: Arc<Shelf>) -> Self {
        Self { shelf }
    }

    fn data(&self, volume: &Volume) -> PathBuf {
        self.shelf.data(Kind::Volume, &volume.id)
    }
}

impl Backend for Directory {
    fn name(&self) -> &'static str {
        "directory"
    }

    fn load_volumes(&self) -> Result<Found<Volume>, Refusal> {
        self.shelf.load()
    }

    fn load_snapshots(&self) -> Result<Found<Snapshot>, Refusal> {
        self.shelf.load()
    }

    fn load_groups(&self) -> Result<Found<Group>, Refusal> {
        self.shelf.load()
    }

    fn record_of(&self, kind: Kind, id: &str) -> PathBuf {
        self.shelf.record(kind, id)
    }

    fn create_volume(
        &self,
        volume: &Volume,
        origin: Origin<'_>,
        stop: &AtomicBool,
    ) -> Result<(), Refusal> {
        let source = match origin {
            Origin::Nothing => None,
            Origin::Snapshot(snapshot) => Some(self.shelf.data(Kind::Snapshot, &snapshot.id)),
            Origin::Volume(source) => Some(self.data(source)),
        };
        self.shelf.make(volume, |place| {
            match &source {
                None => make_empty(place, &volume.shape)?,
                Some(source) => duplicate(source, place, &volume.shape, &volume.id, stop)?,
            }
            if volume.shape == Shape::Block {
                stretch(place, volume.size_bytes)?;
            }
            Ok(())
        })
    }

    fn grow(&self, volume: &Volume) -> Result<Growth, Refusal> {
        if volume.shape == Shape::Block {
            // Before the record: a file that is too long is found again at the next try.
            stretch(&self.data(volume), volume.size_bytes)?;
        }
        self.shelf.update(volume)?;
        Ok(Growth::Done)
    }

    fn delete_volume(&self, id: &str) -> Result<(), Refusal> {
        self.shelf.remove(Kind::Volume, id)
    }

    fn cuts_at_once(&self) -> bool {
        false
    }

    fn cut(&self, cuts: &[Cut<'_>], stop: &AtomicBool) -> Result<Stamp, Refusal> {
        let moment = Stamp::now();
        for (done, cut) in cuts.iter().enumerate() {
            let outcome = match cut.source {
                None => Err(Refusal::missing(
                    Kind::Volume,
                    &cut.snapshot.source_volume_id,
                )),
                Some(source) => self.shelf.make(&cut.snapshot.at(moment), |place| {
                    let data = self.data(source);
                    duplicate(&data, place, &source.shape, &cut.snapshot.id, stop)
                }),
            };
            if let Err(refusal) = outcome {
                for cut in &cuts[..done] {
                    self.shelf.remove(Kind::Snapshot, &cut.snapshot.id)?;
                }
                return Err(refusal);
            }
        }
        Ok(moment)
    }

    fn delete_snapshot(&self, id: &str) -> Result<(), Refusal> {
        self.shelf.remove(Kind::Snapshot, id)
    }

    fn put_group(&self, group: &Group) -> Result<(), Refusal> {
        self.shelf.make(group, |_| Ok(()))
    }

    fn delete_group(&self, id: &str) -> Result<(), Refusal> {
        self.shelf.remove(Kind::Group, id)
    }

    fn room(&self) -> Result<Room, Refusal> {
        Ok(Room {
            available: file_system(self.shelf.root())?.bytes.available,
        })
    }

    fn attach(&self, volume: &Volume) -> Result<(), Refusal> {
        self.exposed(volume).map(drop)
    }

    fn detach(&self, _volume: &Volume) -> Result<(), Refusal> {
        Ok(())
    }

    fn exposed(&self, volume: &Volume) -> Result<PathBuf, Refusal> {
        let data = self.data(volume);
        match self.trouble(volume) {
            None => Ok(data),
            Some(trouble) => Err(Refusal::Precondition(trouble)),
        }
    }

    fn fill(&self, volume: &Volume) -> Result<Fill, Refusal> {
        let data = self.data(volume);
        if volume.shape != Shape::Block {
            return file_system(&data);
        }
        let found = fs::metadata(&data).map_err(Refusal::io("look at", &data))?;
        let used = (found.blocks() * 512).min(found.len());
        let available = found.len() - used;
        Ok(Fill {
            bytes: Usage {
                available,
                total: found.len(),
                used,
            },
            inodes: None,
        })
    }

    fn trouble(&self, volume: &Volume) -> Option<String> {
        let data = self.data(volume);
        match fs::symlink_metadata(&data) {
            Err(error) => Some(format!(
                "the data of the volume at {} is lost: {error}",
                data.display()
            )),
            Ok(found) if found.is_dir() == (volume.shape != Shape::Block) => None,
            Ok(_) => Some(format!(
                "{} is not of the kind that its record says",
                data.display()
            )),
        }
    }
}

fn make_empty(place: &Path, shape: &Shape) -> Result<(), Refusal> {
    match shape {
        Shape::Block => {
            let file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(place);
            file.map(drop).map_err(Refusal::io("make the file", place))
        }
        Shape::Folder { .. } => {
            let made = DirBuilder::new().mode(0o700).create(place);
            made.map_err(Refusal::io("make the folder", place))?;
            // Not in one step: the process's mask would take bits away.
            fs::set_permissions(place, Permissions::from_mode(VOLUME_MODE))
                .map_err(Refusal::io("set the mode of", place))?;
            sync_folder(place)
        }
    }
}

fn duplicate(
    from: &Path,
    to: &Path,
    shape: &Shape,
    id: &str,
    stop: &AtomicBool,
) -> Result<(), Refusal> {
    let report = match shape {
        Shape::Block => copy::file(from, to, stop)?,
        Shape::Folder { .. } => {
            let made = DirBuilder::new().mode(0o700).create(to);
            made.map_err(Refusal::io("make the folder", to))?;
            copy::tree(from, to, stop)?
        }
    };
    let Report {
        folders,
        files,
        links,
        bytes,
        cloned,
        vanished,
        mounts,
        lost,
    } = report;
    tracing::debug!(id, folders, files, links, bytes, cloned, vanished, "copied");
    if lost > 0 || mounts > 0 {
        tracing::warn!(
            id,
            lost,
            mounts,
            "owners, attributes or devices that this process may not set, or mount points, were \
             left out of a copy"
        );
    }
    Ok(())
}

/// Makes a file at least this long; the new part is a hole.
fn stretch(path: &Path, size: u64) -> Result<(), Refusal> {
    let grow = || {
        let file = OpenOptions::new().write(true).open(path)?;
        if file.metadata()?.len() < size {
            file.set_len(size)?;
        }
        File::sync_all(&file)
    };
    grow().map_err(Refusal::io("set the size of", path))
}
