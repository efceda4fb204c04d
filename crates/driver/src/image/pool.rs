//! Keeps the folder in which files can share blocks: one that can already, or an XFS of our own in
//! a sparse file.
//!
//! ```text
//! DATA_DIR/pool       the folder
//! DATA_DIR/pool.img   the XFS that is mounted there, if the data dir cannot share blocks itself
//! DATA_DIR/pool.new   one that is being made
//! ```
//!
//! It does not know what is in the folder.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::MountFlags;
use serde::{Deserialize, Serialize};

use super::format::{FileSystem, MIB, MKFS_XFS};
use super::loops::{self, Device, Way};
use crate::fill::file_system;
use crate::ioctl;
use crate::mounts::{self, Mount};
use crate::refusal::Refusal;
use crate::shelf::sync_folder;

/// Where files can share blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// In the data dir itself.
    Folder,
    /// In a file system in a file.
    File,
}

#[derive(Debug)]
pub(crate) struct Pool {
    root: PathBuf,
    kind: Kind,
    /// It was mounted before somebody came to look, and is not theirs to unmount.
    stays: bool,
}

/// Room in the pool, in bytes, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Space {
    pub(super) available: u64,
    pub(super) total: u64,
}

/// The smallest pool: what mkfs.xfs takes, and a little to put into it.
const LEAST: u64 = 320 * MIB;

/// From this size on, the journal is kept from growing with the file system.
const LARGE: u64 = 1024 * MIB;

/// How a pool is mounted.
const MOUNTED: MountFlags = MountFlags::NOATIME
    .union(MountFlags::NODEV)
    .union(MountFlags::NOSUID);

impl Pool {
    /// Makes a pool in a data dir that has none. It counts only after [`Pool::keep`].
    pub(crate) fn make(root: &Path, size: Option<u64>) -> Result<Self, Refusal> {
        Self::forget(root)?;
        let kind = if shares_blocks(root)? {
            Kind::Folder
        } else {
            Kind::File
        };
        let pool = Self::of(root, kind);
        match kind {
            Kind::Folder => pool.make_folder()?,
            Kind::File => {
                let draft = root.join("pool.new");
                format(&draft, size_of_new(root, size)?)?;
                // Also a trial: not every kernel has XFS.
                pool.mount(&draft)?;
            }
        }
        Ok(pool)
    }

    /// Takes away what [`Pool::make`] made, or what is left of that. Nothing that was kept.
    pub(crate) fn forget(root: &Path) -> Result<(), Refusal> {
        let draft = root.join("pool.new");
        mounts::clear(&root.join("pool"))?;
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Refusal::io("remove", draft)(error))
            }
            _ => Ok(()),
        }
    }

    /// Gives a new pool its name. The data dir must say by now that it has one.
    pub(crate) fn keep(&self) -> Result<(), Refusal> {
        if self.kind == Kind::File {
            let (draft, file) = (self.root.join("pool.new"), self.file());
            fs::rename(&draft, &file).map_err(Refusal::io("put in place", &file))?;
        }
        sync_folder(&self.root)
    }

    /// Opens the pool of a data dir: mounts it, or adopts it if an earlier process did; and makes
    /// it as large as `size` if it is smaller.
    pub(crate) fn open(root: &Path, kind: Kind, size: Option<u64>) -> Result<Self, Refusal> {
        let pool = Self::of(root, kind);
        if kind == Kind::Folder {
            pool.make_folder()?;
            return Ok(pool);
        }
        let file = pool.file();
        if !exists(&file)? {
            if !exists(&root.join("pool.new"))? {
                return Err(Refusal::Lost(format!(
                    "{} is missing, and with it all volumes; put it back, or choose another \
                     --data-dir",
                    file.display()
                )));
            }
            pool.keep()?;
        }
        let device = pool.mount(&file)?;
        if let Some(size) = size {
            pool.grow(&device, size)?;
        }
        Ok(pool)
    }

    /// Opens the pool of a data dir so that nothing in it changes, not even by a journal that is
    /// replayed. One that is mounted stays mounted.
    pub(crate) fn look(root: &Path, kind: Kind) -> Result<Self, Refusal> {
        let mut pool = Self::of(root, kind);
        let (file, folder) = (pool.file(), pool.folder());
        if kind == Kind::Folder {
            return Ok(pool);
        }
        if !exists(&file)? {
            return Err(Refusal::Lost(format!(
                "{} is missing, and with it all volumes; put it back",
                file.display()
            )));
        }
        let device = loops::find(&file)?;
        match (mounts::mounted(&folder)?, device) {
            (Some(id), Some(device)) if id == device.id() => pool.stays = true,
            (Some(_), _) => return Err(pool.elsewhere()),
            // Unmounted a moment ago, or mounted where it is not seen.
            (None, Some(device)) => pool.mount_to_look(&device)?,
            (None, None) => {
                let way = Way {
                    block_size: 512,
                    lasting: false,
                    writable: false,
                };
                pool.mount_to_look(&loops::attach(&file, way)?)?;
            }
        }
        Ok(pool)
    }

    fn mount_to_look(&self, device: &Device) -> Result<(), Refusal> {
        let file = self.file();
        let mount = Mount {
            device: &device.path(),
            file_system: FileSystem::Xfs.name(),
            flags: MOUNTED | MountFlags::RDONLY,
            options: FileSystem::Xfs.options(),
            image: &file,
            cure: FileSystem::Xfs.cure(),
        };
        let Err(refusal) = mount.at(&self.folder()) else {
            return Ok(());
        };
        mounts::clear(&self.folder())?;
        let errno = match &refusal {
            Refusal::Io { source, .. } => source.raw_os_error().map(Errno::from_raw_os_error),
            _ => None,
        };
        Err(match errno {
            Some(Errno::BUSY) => self.elsewhere(),
            Some(Errno::ROFS) => Refusal::Precondition(format!(
                "{} was not unmounted, as after a power cut, and its journal has to be replayed \
                 before anything can be read; start the driver, or use --repair",
                file.display()
            )),
            _ => refusal,
        })
    }

    /// Of a process that was killed, say, where its mounts are not seen.
    fn elsewhere(&self) -> Refusal {
        Refusal::Precondition(format!(
            "{} is in use where that cannot be seen; start the driver, which adopts it, or use \
             --repair",
            self.file().display()
        ))
    }

    fn of(root: &Path, kind: Kind) -> Self {
        Self {
            root: root.to_owned(),
            kind,
            stays: false,
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.root.join("pool")
    }

    /// Unmounts it; refused while anything in it is in use.
    pub(super) fn close(&self) -> Result<(), Refusal> {
        match self.kind {
            Kind::File if !self.stays => mounts::clear(&self.folder()),
            Kind::File | Kind::Folder => Ok(()),
        }
    }

    /// Room for more: never more than what is below the pool has.
    pub(super) fn space(&self) -> Result<Space, Refusal> {
        let mut space = space_at(&self.folder())?;
        if self.kind == Kind::File {
            space.available = space.available.min(space_at(&self.root)?.available);
        }
        Ok(space)
    }

    /// Gives back room that was taken in advance, see [`super::attach`].
    pub(super) fn reclaim(&self) -> Result<(), Refusal> {
        let folder = self.folder();
        let opened = File::open(&folder).map_err(Refusal::io("open", &folder))?;
        // XFS takes nothing from a file that it counts among those still to be written.
        rustix::fs::syncfs(&opened).map_err(Refusal::io("sync", &folder))?;
        match ioctl::reclaim(opened) {
            // One that takes none in advance.
            Ok(()) | Err(Errno::NOTTY | Errno::OPNOTSUPP) => Ok(()),
            Err(errno) => Err(Refusal::io("reclaim room in", folder)(errno)),
        }
    }

    fn file(&self) -> PathBuf {
        self.root.join("pool.img")
    }

    fn make_folder(&self) -> Result<(), Refusal> {
        let folder = self.folder();
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder);
        made.map_err(Refusal::io("make the folder", folder))
    }

    fn mount(&self, file: &Path) -> Result<Device, Refusal> {
        let folder = self.folder();
        let device = match loops::find(file)? {
            Some(device) => device,
            None => loops::attach(
                file,
                Way {
                    block_size: 512,
                    lasting: false,
                    writable: true,
                },
            )?,
        };
        match mounts::mounted(&folder)? {
            Some(id) if id == device.id() && is_well(&folder) => return Ok(device),
            // Something else, or one that the kernel has shut down.
            Some(_) => mounts::clear(&folder)?,
            None => {}
        }
        let mount = Mount {
            device: &device.path(),
            file_system: FileSystem::Xfs.name(),
            flags: MOUNTED,
            options: FileSystem::Xfs.options(),
            image: file,
            cure: FileSystem::Xfs.cure(),
        };
        mount.at(&folder)?;
        Ok(device)
    }

    fn grow(&self, device: &Device, size: u64) -> Result<(), Refusal> {
        let path = self.file();
        let file = OpenOptions::new().write(true).open(&path);
        let file = file.map_err(Refusal::io("open", &path))?;
        let length = file
            .metadata()
            .map_err(Refusal::io("look at", &path))?
            .len();
        let size = whole(size);
        if size < length {
            tracing::warn!(
                length,
                size,
                "a pool does not shrink: --pool-size is less than it has"
            );
            return Ok(());
        }
        file.set_len(size)
            .map_err(Refusal::io("set the size of", &path))?;
        file.sync_all().map_err(Refusal::io("sync", &path))?;
        device.fit(size)?;
        FileSystem::Xfs.grow(&device.path(), &self.folder())
    }
}

/// Whether two files of a folder can share blocks: tried.
fn shares_blocks(root: &Path) -> Result<bool, Refusal> {
    let path = root.join("pool.new");
    let attempt = || {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        let from = options.mode(0o600).open(&path)?;
        // Its name is needed for the second only.
        fs::remove_file(&path)?;
        let to = options.open(&path)?;
        fs::remove_file(&path)?;
        rustix::fs::ftruncate(&from, 1 << 16)?;
        rustix::io::pwrite(&from, &[1; 4096], 0)?;
        match rustix::fs::ioctl_ficlone(&to, &from) {
            Ok(()) => Ok(true),
            Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::INVAL | Errno::NOSYS | Errno::XDEV) => {
                Ok(false)
            }
            Err(errno) => Err(io::Error::from(errno)),
        }
    };
    attempt().map_err(Refusal::io("try what can be done in", root))
}

/// The size of a new pool.
fn size_of_new(root: &Path, wanted: Option<u64>) -> Result<u64, Refusal> {
    let room = space_at(root)?.available;
    if room < LEAST {
        return Err(Refusal::NoRoom(format!(
            "{} has {} MiB of room, and a pool needs {}; choose another --data-dir",
            root.display(),
            room / MIB,
            LEAST / MIB
        )));
    }
    match wanted {
        // Some is left for whoever else lives there.
        None => Ok(whole((room / 10 * 9).max(LEAST))),
        Some(size) if size < LEAST => Err(Refusal::invalid(
            "--pool-size",
            format!("is {size} bytes; a pool has at least {} MiB", LEAST / MIB),
        )),
        Some(size) => Ok(whole(size)),
    }
}

/// Without a part of a mebibyte.
fn whole(size: u64) -> u64 {
    size / MIB * MIB
}

fn format(draft: &Path, size: u64) -> Result<(), Refusal> {
    let make = || -> io::Result<File> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(draft)?;
        file.set_len(size)?;
        Ok(file)
    };
    let file = make().map_err(Refusal::io("make", draft))?;
    let mut args = vec!["-q", "-f", "-K", "-m", "reflink=1"];
    if size >= LARGE {
        args.extend(["-l", "size=64m"]);
    }
    let draft_argument = draft.as_os_str();
    let mut all: Vec<&std::ffi::OsStr> = args.into_iter().map(std::ffi::OsStr::new).collect();
    all.push(draft_argument);
    MKFS_XFS.run(&all, draft)?;
    file.sync_all().map_err(Refusal::io("sync", draft))
}

fn exists(path: &Path) -> Result<bool, Refusal> {
    path.try_exists().map_err(Refusal::io("look at", path))
}

/// Whether a mounted file system still answers.
fn is_well(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok() && rustix::fs::statvfs(folder).is_ok()
}

fn space_at(path: &Path) -> Result<Space, Refusal> {
    let bytes = file_system(path)?.bytes;
    Ok(Space {
        available: bytes.available,
        total: bytes.total,
    })
}
