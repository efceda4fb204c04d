//! Opens the store's folder: one process at a time, a known format, a sound file.
//!
//! Does not know what is stored.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::StorageBackend;
use redb::backends::FileBackend;

use super::disk::{Disk, DiskError, Loaded};

/// The format that this program writes.
const VERSION: u32 = 1;
const FORMAT: &str = "FORMAT";
const DATABASE: &str = "store.redb";
/// A database on the way; one found at start is what a start that was cut off left.
const DATABASE_ASIDE: &str = "store.redb.new";
/// Says that the system may show pages of the database that never reached the disk.
const DOUBT: &str = "DOUBT";
const LOCK: &str = "LOCK";
const MAGIC: &str = "tintype-store";

/// Why the store in a folder cannot be used. Nothing in the folder was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the data folder {} is in use by another process; stop that one, or choose another folder",
        dir.display()
    )]
    Locked { dir: PathBuf },
    #[error(
        "the data folder {} has format {found}, this program knows up to {known}; use a newer \
         program, or choose another folder",
        dir.display()
    )]
    NewerVersion {
        dir: PathBuf,
        found: u32,
        known: u32,
    },
    #[error(
        "the store {} is damaged: {what}; put a copy back, or move the folder away to start empty",
        file.display()
    )]
    Damaged { file: PathBuf, what: String },
    #[error("cannot {action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

/// Held as long as the store is open; the system lets go of it even after a crash.
#[derive(Debug)]
pub(crate) struct DirLock(#[expect(dead_code, reason = "held for its lock")] File);

pub(crate) fn open_dir(dir: &Path) -> Result<(DirLock, Disk, Loaded), OpenError> {
    fs::create_dir_all(dir).map_err(io_error("create", dir))?;
    let lock = lock(dir)?;
    let database = dir.join(DATABASE);
    check_format(dir, &database)?;
    let doubt = dir.join(DOUBT);
    if doubt.exists() {
        write_anew(dir, &database)?;
        fs::remove_file(&doubt).map_err(io_error("remove", &doubt))?;
    }
    let (disk, loaded) = match fs::metadata(&database) {
        Ok(found) if found.len() > 0 => open_database(&database, &doubt, OpenOptions::new())?,
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(io_error("look at", &database)(source));
        }
        // A half-made database cannot be told from a damaged one: it gets its name when it is whole.
        _ => {
            let aside = dir.join(DATABASE_ASIDE);
            let made = open_database(
                &aside,
                &doubt,
                OpenOptions::new().create(true).truncate(true).clone(),
            )?;
            fs::rename(&aside, &database).map_err(io_error("create", &database))?;
            sync_dir(dir)?;
            made
        }
    };
    Ok((lock, disk, loaded))
}

/// Puts the database, as the system shows it, into a file whose every byte is written now. An
/// earlier process ended after a sync failed, so that pages which seem clean may not be on disk.
fn write_anew(dir: &Path, database: &Path) -> Result<(), OpenError> {
    tracing::warn!(path = %database.display(), "the disk failed to take writes; writing all of them again");
    let aside = dir.join(DATABASE_ASIDE);
    let mut bytes = Vec::new();
    // Not `fs::copy`: that may share the very blocks that are in doubt.
    File::open(database)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(io_error("read", database))?;
    let mut file = File::create(&aside).map_err(io_error("create", &aside))?;
    let written = file.write_all(&bytes).and_then(|()| file.sync_all());
    written.map_err(io_error("write", &aside))?;
    fs::rename(&aside, database).map_err(io_error("replace", database))?;
    sync_dir(dir)
}

fn open_database(
    path: &Path,
    doubt: &Path,
    mut options: OpenOptions,
) -> Result<(Disk, Loaded), OpenError> {
    let file = options
        .read(true)
        .write(true)
        .open(path)
        .map_err(io_error("open", path))?;
    let backend: Arc<dyn StorageBackend> =
        Arc::new(FileBackend::new(file).map_err(|error| OpenError::Io {
            action: "open",
            path: path.to_owned(),
            source: io::Error::other(error),
        })?);
    Disk::open(backend, Some(doubt.to_owned())).map_err(|error| match error {
        DiskError::Io(source) if source.kind() != io::ErrorKind::InvalidData => OpenError::Io {
            action: "read",
            path: path.to_owned(),
            source,
        },
        other => OpenError::Damaged {
            file: path.to_owned(),
            what: other.to_string(),
        },
    })
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io {
        action,
        path,
        source,
    }
}

fn lock(dir: &Path) -> Result<DirLock, OpenError> {
    let path = dir.join(LOCK);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(io_error("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(DirLock(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked {
            dir: dir.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(io_error("lock", &path)(source)),
    }
}

/// Checks the format's version, or writes it into a new folder.
fn check_format(dir: &Path, database: &Path) -> Result<(), OpenError> {
    let path = dir.join(FORMAT);
    let damaged = |what: String| OpenError::Damaged {
        file: path.clone(),
        what,
    };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match fs::metadata(database) {
                Ok(found) if found.len() > 0 => {
                    Err(damaged("the file is missing beside a database".into()))
                }
                _ => write_format(dir, &path),
            };
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(damaged("it is not text".into()));
        }
        Err(source) => return Err(io_error("read", &path)(source)),
    };
    let version = text
        .trim_end()
        .strip_prefix(MAGIC)
        .and_then(|rest| rest.trim().parse().ok());
    match version {
        Some(VERSION) => Ok(()),
        Some(found) if found > VERSION => Err(OpenError::NewerVersion {
            dir: dir.to_owned(),
            found,
            known: VERSION,
        }),
        _ => Err(damaged(format!("it should read \"{MAGIC} {VERSION}\""))),
    }
}

fn write_format(dir: &Path, path: &Path) -> Result<(), OpenError> {
    let aside = dir.join("FORMAT.new");
    let mut file = File::create(&aside).map_err(io_error("create", &aside))?;
    let written = writeln!(file, "{MAGIC} {VERSION}").and_then(|()| file.sync_all());
    written.map_err(io_error("write", &aside))?;
    fs::rename(&aside, path).map_err(io_error("create", path))?;
    sync_dir(dir)
}

fn sync_dir(dir: &Path) -> Result<(), OpenError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(io_error("sync", dir))
}
