//! Remembers where volumes are shown on this node, across restarts.
//!
//! It does not mount. Whoever changes an entry holds the lock of its path.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::record;
use crate::refusal::Refusal;
use crate::shelf::{Shelf, sync_folder};

/// One place where a volume is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Publication {
    pub(crate) target: String,
    pub(crate) volume_id: String,
    pub(crate) readonly: bool,
    pub(crate) way: Way,
    /// The target was there before, an empty folder or file, and stays.
    pub(crate) found: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Way {
    Bind,
    Symlink,
}

#[derive(Debug)]
pub(crate) struct Publications {
    shelf: Arc<Shelf>,
    entries: Mutex<BTreeMap<String, Publication>>,
}

impl Publications {
    pub(crate) fn load(shelf: Arc<Shelf>) -> Result<Self, Refusal> {
        let folder = shelf.published();
        let mut entries = BTreeMap::new();
        for entry in fs::read_dir(&folder).map_err(Refusal::io("list", &folder))? {
            let path = entry.map_err(Refusal::io("list", &folder))?.path();
            let bytes = fs::read(&path).map_err(Refusal::io("read", &path))?;
            match record::decode::<Publication>(&bytes) {
                Ok(publication) => drop(entries.insert(publication.target.clone(), publication)),
                Err(problem) => {
                    tracing::error!(path = %path.display(), problem, "a damaged record");
                }
            }
        }
        Ok(Self {
            shelf,
            entries: Mutex::new(entries),
        })
    }

    pub(crate) fn at(&self, target: &str) -> Option<Publication> {
        self.entries().get(target).cloned()
    }

    pub(crate) fn of(&self, volume_id: &str) -> Vec<Publication> {
        self.entries()
            .values()
            .filter(|it| it.volume_id == volume_id)
            .cloned()
            .collect()
    }

    pub(crate) fn all(&self) -> Vec<Publication> {
        self.entries().values().cloned().collect()
    }

    pub(crate) fn put(&self, publication: Publication) -> Result<(), Refusal> {
        self.shelf
            .replace(&self.path(&publication.target), &publication)?;
        self.entries()
            .insert(publication.target.clone(), publication);
        Ok(())
    }

    pub(crate) fn remove(&self, target: &str) -> Result<(), Refusal> {
        let path = self.path(target);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Refusal::io("remove", &path)(error));
            }
            _ => {}
        }
        self.entries().remove(target);
        sync_folder(&self.shelf.published())
    }

    fn path(&self, target: &str) -> PathBuf {
        let sum = blake3::hash(target.as_bytes()).to_hex();
        self.shelf.published().join(format!("{}.json", &sum[..32]))
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Publication>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
