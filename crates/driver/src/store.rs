//! Claims a folder for one driver: its lock, its format, its kind.
//!
//! It does not know volumes or snapshots.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

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
    #[error("--backend image is not there yet; use --backend directory")]
    NoImages,
    #[error("--driver-name {0:?} is not a domain name of at most 63 letters, digits, '-' and '.'")]
    BadName(String),
    #[error("--node-id has to have 1 to 192 bytes and no control characters, not {0:?}")]
    BadNode(String),
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

#[derive(Debug, Serialize, Deserialize)]
struct Label {
    backend: String,
}

const LABEL: &str = "store.json";
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

    /// The backend that made the store, if one did.
    pub(crate) fn backend(&self) -> Result<Option<String>, OpenError> {
        let path = self.root.join(LABEL);
        match fs::read(&path) {
            Ok(bytes) => match record::decode::<Label>(&bytes) {
                Ok(label) => Ok(Some(label.backend)),
                Err(problem) => Err(OpenError::Damaged { path, problem }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Refusal::io("read", &path)(error).into()),
        }
    }

    /// Writes down which backend the store is for.
    pub(crate) fn label(&self, backend: &str) -> Result<(), OpenError> {
        let path = self.root.join(LABEL);
        let draft = self.root.join("store.new");
        let label = Label {
            backend: backend.to_owned(),
        };
        let write = || {
            let bytes = record::encode(&label)?;
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            let mut file = options.open(&draft)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&draft, &path)?;
            File::open(&self.root)?.sync_all()
        };
        write().map_err(Refusal::io("write", &path))?;
        Ok(())
    }
}

fn has_other_files(root: &Path) -> Result<bool, Refusal> {
    for entry in fs::read_dir(root).map_err(Refusal::io("list", root))? {
        let name = entry.map_err(Refusal::io("list", root))?.file_name();
        if name != LOCK && name != "store.new" {
            return Ok(true);
        }
    }
    Ok(false)
}
