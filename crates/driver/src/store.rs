//! Claims a folder for one driver: its lock, its format, its kind.
//!
//! It does not know volumes or snapshots.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::image::PoolKind;
use crate::mounts::is_mount;
use crate::record;
use crate::refusal::Refusal;

/// Why a driver cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("another driver runs on {0:?}; stop it or choose another --data-dir")]
    InUse(PathBuf),
    #[error("{0:?} holds other files; choose an empty or missing folder for --data-dir")]
    Foreign(PathBuf),
    #[error(
        "{path:?} was made with --backend {found} and cannot be used with --backend {asked}; keep \
         the backend or choose another --data-dir"
    )]
    OtherBackend {
        path: PathBuf,
        found: String,
        asked: &'static str,
    },
    #[error("{path:?} cannot be used: {problem}; start the version that wrote it, or restore it")]
    Damaged { path: PathBuf, problem: String },
    #[error(
        "there is no store in {0:?}; say with --data-dir where the driver keeps it (with `tintype up`: \
         the folder `storage` in its data dir)"
    )]
    NoStore(PathBuf),
    #[error("--driver-name {0:?} is not a domain name of at most 63 letters, digits, '-' and '.'")]
    BadName(String),
    #[error("--node-id has to have 1 to 192 bytes and no control characters, not {0:?}")]
    BadNode(String),
    #[error(
        "{key} cannot be {value:?}: use 1 to 63 letters, digits, '-', '_' and '.', the first and \
         the last a letter or digit; choose another --node-id or --zone"
    )]
    BadPlace { key: String, value: String },
    #[error("cannot open the store: {0}")]
    Store(String),
}

impl From<Refusal> for OpenError {
    fn from(refusal: Refusal) -> Self {
        Self::Store(refusal.to_string())
    }
}

/// A claimed folder; free again when dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    #[expect(dead_code, reason = "held for its lock")]
    lock: File,
    pub(crate) root: PathBuf,
}

/// What a data dir was made with.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Label {
    pub(crate) backend: String,
    /// Where images are, if it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pool: Option<PoolKind>,
}

impl Label {
    /// Of a backend without a pool.
    pub(crate) fn of(backend: &str) -> Self {
        Self {
            backend: backend.to_owned(),
            pool: None,
        }
    }
}

pub(crate) const LABEL: &str = "store.json";
const LOCK: &str = "lock";

impl Claim {
    /// Takes the folder, making it with mode 0700 if it is missing.
    pub(crate) fn take(root: &Path) -> Result<Self, OpenError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(root);
        made.map_err(Refusal::io("make the folder", root))?;
        // One spelling: symlinks to volumes are compared with it.
        let root = root.canonicalize().map_err(Refusal::io("resolve", root))?;
        let path = root.join(LOCK);
        if !root.join(LABEL).exists() && has_other_files(&root)? {
            return Err(OpenError::Foreign(root));
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(&path).map_err(Refusal::io("open", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { lock, root }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse(root)),
            Err(TryLockError::Error(error)) => Err(Refusal::io("lock", &path)(error).into()),
        }
    }

    /// What the store was made with, if it was.
    pub(crate) fn label(&self) -> Result<Option<Label>, OpenError> {
        let path = self.root.join(LABEL);
        match fs::read(&path) {
            Ok(bytes) => match record::decode::<Label>(&bytes) {
                Ok(label) => Ok(Some(label)),
                Err(problem) => Err(OpenError::Damaged { path, problem }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Refusal::io("read", &path)(error).into()),
        }
    }

    /// Writes down what the store is made with.
    pub(crate) fn write(&self, label: &Label) -> Result<(), Refusal> {
        let path = self.root.join(LABEL);
        let draft = self.root.join("store.new");
        let write = || {
            let bytes = record::encode(label)?;
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            let mut file = options.open(&draft)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&draft, &path)?;
            File::open(&self.root)?.sync_all()
        };
        write().map_err(Refusal::io("write", &path))
    }
}

fn has_other_files(root: &Path) -> Result<bool, Refusal> {
    for entry in fs::read_dir(root).map_err(Refusal::io("list", root))? {
        let entry = entry.map_err(Refusal::io("list", root))?;
        let name = entry.file_name();
        // Of a start that did not get further; a pool that was not kept is mounted or empty.
        let ours = name == LOCK
            || name == "store.new"
            || name == "pool.new"
            || name == "pool" && (is_mount(&entry.path())? || is_empty(&entry.path())?);
        if !ours {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_empty(folder: &Path) -> Result<bool, Refusal> {
    let mut entries = fs::read_dir(folder).map_err(Refusal::io("list", folder))?;
    Ok(entries.next().is_none())
}
