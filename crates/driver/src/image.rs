//! Keeps each volume as an image file, and each snapshot as a clone of it that shares its blocks.
//!
//! A snapshot of any size takes an instant and is of one moment, and so is one of several volumes.
//! Needs root, loop devices and the programs of the file systems.

mod attach;
mod busy;
mod cut;
mod format;
mod freeze;
mod journal;
mod left;
mod loops;
mod pool;
mod room;
#[cfg(test)]
mod testing;

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use rustix::fs::StatVfsMountFlags;
use rustix::thread::CapabilitySet;

use crate::backend::{Backend, Cut, Fill, Growth, Origin, Room, Usage};
use crate::fill::file_system;
use crate::mounts;
use crate::record::{Group, Shape, Snapshot, Stamp, Volume};
use crate::refusal::{Kind, Refusal};
use crate::shelf::{Found, Shelf};

use busy::Busy;
use cut::{new_file, share};
use format::{BLOCK, FileSystem};
pub(crate) use pool::{Kind as PoolKind, Pool};
use room::RESERVE;

#[derive(Debug)]
pub(crate) struct Image {
    root: PathBuf,
    pool: Pool,
    shelf: Arc<Shelf>,
    busy: Busy,
}

/// For how long the kernel may still hold a file of a device that is gone.
const LINGER: Duration = Duration::from_secs(1);

/// What a class without `fsType` gets.
const DEFAULT: FileSystem = FileSystem::Ext4;

/// Refuses where this backend cannot work, and says what is missing.
pub(crate) fn possible() -> Result<(), Refusal> {
    let may = rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN));
    if !may {
        let problem = "it needs the right to mount; run as root or with CAP_SYS_ADMIN".to_owned();
        return Err(Refusal::Precondition(problem));
    }
    for tool in [FileSystem::Ext4, FileSystem::Xfs]
        .into_iter()
        .flat_map(FileSystem::tools)
    {
        tool.require()?;
    }
    let control = OpenOptions::new()
        .read(true)
        .write(true)
        .open(loops::CONTROL);
    control
        .map(drop)
        .map_err(Refusal::io("open", loops::CONTROL))
}

impl Image {
    /// Opens what is in the pool, and thaws what an earlier process left frozen.
    pub(crate) fn open(root: &Path, pool: Pool) -> Result<Self, Refusal> {
        for name in ["mounts", "frozen"] {
            let path = root.join(name);
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
            made.map_err(Refusal::io("make the folder", &path))?;
        }
        let shelf = Arc::new(Shelf::open(&pool.folder())?);
        let image = Self {
            root: root.to_owned(),
            pool,
            shelf,
            busy: Busy::default(),
        };
        image.thaw_marked()?;
        Ok(image)
    }

    /// Opens what is in the pool to look at it: nothing is made, swept or thawed.
    pub(crate) fn look(root: &Path, pool: Pool) -> Result<Self, Refusal> {
        Ok(Self {
            root: root.to_owned(),
            shelf: Arc::new(Shelf::look(&pool.folder())?),
            pool,
            busy: Busy::default(),
        })
    }

    pub(crate) fn shelf(&self) -> Arc<Shelf> {
        Arc::clone(&self.shelf)
    }

    /// Where it is written down what is frozen.
    fn marks(&self) -> PathBuf {
        self.root.join("frozen")
    }

    fn make_empty(volume: &Volume, place: &Path) -> Result<(), Refusal> {
        let file = new_file(place)?;
        let sized = file.set_len(volume.size_bytes);
        sized.map_err(Refusal::io("set the size of", place))?;
        if let Shape::Folder { fs_type } = &volume.shape {
            FileSystem::named(fs_type).unwrap_or(DEFAULT).make(place)?;
        }
        file.sync_all().map_err(Refusal::io("sync", place))
    }

    fn make_from(&self, snapshot: &Snapshot, size: u64, place: &Path) -> Result<(), Refusal> {
        let path = self.shelf.data(Kind::Snapshot, &snapshot.id);
        let from = File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Refusal::Lost(format!(
                "the image {} of snapshot {:?} is missing; put it back from a backup, or delete \
                 the snapshot",
                path.display(),
                snapshot.id
            )),
            _ => Refusal::io("open", &path)(error),
        })?;
        let to = new_file(place)?;
        share(&from, &to, place)?;
        stretch(&to, size, place)
    }
}

impl Backend for Image {
    fn name(&self) -> &'static str {
        "image"
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

    fn settle(&self, wanted: Shape, held: Option<&Shape>) -> Result<Shape, Refusal> {
        let Shape::Folder { fs_type } = wanted else {
            return Ok(wanted);
        };
        let held = match held {
            Some(Shape::Folder { fs_type }) => Some(fs_type),
            _ => None,
        };
        let field = "volume_capabilities.mount.fs_type";
        let chosen = match (FileSystem::named(&fs_type), held) {
            (None, _) if !fs_type.is_empty() => {
                let problem = format!("{fs_type:?} cannot be made here; use ext4 or xfs");
                return Err(Refusal::invalid(field, problem));
            }
            (Some(wanted), Some(held)) if wanted.name() != held => {
                let problem = format!("is {fs_type:?}, but the contents are {held:?}");
                return Err(Refusal::invalid(field, problem));
            }
            (None, Some(held)) => held.clone(),
            (wanted, _) => wanted.unwrap_or(DEFAULT).name().to_owned(),
        };
        Ok(Shape::Folder { fs_type: chosen })
    }

    fn round(&self, size: u64, shape: &Shape) -> u64 {
        let least = match shape {
            Shape::Block => 0,
            Shape::Folder { fs_type } => FileSystem::named(fs_type).unwrap_or(DEFAULT).least(),
        };
        size.max(least)
            .checked_next_multiple_of(BLOCK.into())
            .unwrap_or(size)
    }

    fn create_volume(
        &self,
        volume: &Volume,
        origin: Origin<'_>,
        _stop: &AtomicBool,
    ) -> Result<(), Refusal> {
        self.require_room()?;
        self.require_size(volume.size_bytes)?;
        self.shelf.make(volume, |place| match origin {
            Origin::Nothing => Self::make_empty(volume, place),
            Origin::Snapshot(snapshot) => self.make_from(snapshot, volume.size_bytes, place),
            Origin::Volume(source) => {
                self.clone_at_once(&[(source, place)])?;
                let made = OpenOptions::new().write(true).open(place);
                let made = made.map_err(Refusal::io("open", place))?;
                stretch(&made, volume.size_bytes, place)
            }
        })
    }

    fn grow(&self, volume: &Volume) -> Result<Growth, Refusal> {
        self.require_size(volume.size_bytes)?;
        let _held = self.busy.hold([volume.id.as_str()]);
        let path = self.image(&volume.id);
        let image = OpenOptions::new().write(true).open(&path);
        let image = image.map_err(Refusal::io("open", &path))?;
        // Before the record: a file that is too long is found again at the next try.
        stretch(&image, volume.size_bytes, &path)?;
        let device = self.adopt(volume)?;
        let growth = match &device {
            // It grows when it is attached.
            None => Growth::Done,
            Some(device) if self.grows_attached(volume)? => {
                self.fit(volume, device, volume.size_bytes)?;
                Growth::Done
            }
            Some(device) => {
                device.fit(volume.size_bytes)?;
                Growth::OnNode
            }
        };
        self.shelf.update(volume)?;
        Ok(growth)
    }

    fn delete_volume(&self, id: &str) -> Result<(), Refusal> {
        let _held = self.busy.hold([id]);
        self.detach_held(id)?;
        self.refuse_attached(id)?;
        self.shelf.remove(Kind::Volume, id)
    }

    fn cuts_at_once(&self) -> bool {
        true
    }

    fn cut(&self, cuts: &[Cut<'_>], _stop: &AtomicBool) -> Result<Stamp, Refusal> {
        self.require_room()?;
        let snapshots: Vec<&Snapshot> = cuts.iter().map(|cut| cut.snapshot).collect();
        self.shelf.make_all(&snapshots, |places| {
            let mut pairs = Vec::with_capacity(cuts.len());
            for (cut, place) in cuts.iter().zip(places) {
                let id = &cut.snapshot.source_volume_id;
                let source = cut
                    .source
                    .ok_or_else(|| Refusal::missing(Kind::Volume, id))?;
                pairs.push((source, place.as_path()));
            }
            self.clone_at_once(&pairs)
        })
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
        let available = self.pool.space()?.available.saturating_sub(RESERVE);
        Ok(Room { available })
    }

    fn attach(&self, volume: &Volume) -> Result<(), Refusal> {
        let _held = self.busy.hold([volume.id.as_str()]);
        self.attach_held(volume).map(drop)
    }

    fn detach(&self, volume: &Volume) -> Result<(), Refusal> {
        let _held = self.busy.hold([volume.id.as_str()]);
        self.detach_held(&volume.id)
    }

    fn exposed(&self, volume: &Volume) -> Result<PathBuf, Refusal> {
        let _held = self.busy.hold([volume.id.as_str()]);
        let device = self.adopt(volume)?;
        match (&volume.shape, device) {
            (Shape::Folder { .. }, _) => Ok(self.place(&volume.id)),
            (Shape::Block, Some(device)) => Ok(device.path()),
            (Shape::Block, None) => Err(Refusal::Precondition(format!(
                "volume {:?} is not attached; stage it first",
                volume.id
            ))),
        }
    }

    fn fill(&self, volume: &Volume) -> Result<Fill, Refusal> {
        let place = self.place(&volume.id);
        if volume.shape != Shape::Block && mounts::mounted(&place)?.is_some() {
            return file_system(&place);
        }
        let path = self.image(&volume.id);
        let found = fs::metadata(&path).map_err(Refusal::io("look at", path))?;
        let used = (found.blocks() * 512).min(found.len());
        Ok(Fill {
            bytes: Usage {
                available: found.len() - used,
                total: found.len(),
                used,
            },
            inodes: None,
        })
    }

    fn trouble(&self, volume: &Volume) -> Option<String> {
        if let Err(refusal) = self.length(volume).and_then(|_| self.room_left()) {
            return Some(refusal.to_string());
        }
        let place = self.place(&volume.id);
        match mounts::mounted(&place) {
            Ok(None) => None,
            Err(refusal) => Some(refusal.to_string()),
            Ok(Some(_)) => match rustix::fs::statvfs(&place) {
                Ok(found) if found.f_flag.contains(StatVfsMountFlags::RDONLY) => Some(format!(
                    "the kernel made {} read-only after an error; unpublish and unstage the \
                     volume, and check {} with `e2fsck -f`",
                    place.display(),
                    self.image(&volume.id).display()
                )),
                Ok(_) => None,
                Err(errno) => Some(Refusal::io("look at", place)(errno).to_string()),
            },
        }
    }

    fn tidy(&self, is_known: &dyn Fn(&str) -> bool) -> Result<(), Refusal> {
        self.let_go_of_unknown(is_known)
    }

    fn attached(&self) -> BTreeSet<String> {
        self.attached_ids()
    }

    fn close(&self) -> Result<(), Refusal> {
        let began = Instant::now();
        loop {
            match self.pool.close() {
                // A device that has gone lets its file go a little later.
                Err(Refusal::Precondition(_))
                    if began.elapsed() < LINGER && self.attached_files()?.is_empty() =>
                {
                    std::thread::sleep(Duration::from_millis(5));
                }
                outcome => return outcome,
            }
        }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // Whatever is in use stays, for the next start to adopt.
        if let Err(refusal) = self.close() {
            tracing::debug!(%refusal, "the pool stays mounted");
        }
    }
}

/// Makes a file at least this long and puts it on disk; the new part is a hole.
fn stretch(file: &File, size: u64, path: &Path) -> Result<(), Refusal> {
    let grow = || {
        if file.metadata()?.len() < size {
            file.set_len(size)?;
        }
        file.sync_all()
    };
    grow().map_err(Refusal::io("set the size of", path))
}
