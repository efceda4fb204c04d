//! Puts batches of changes on disk, each whole or not at all, and reads everything back at start.
//!
//! ```text
//! table "objects"  key    resource '/' key of the object
//!                  value  | crc32 of the rest: u32 | rv: u64 | place of rv in json: u32 | json |
//! table "meta"     "rv" → the highest resourceVersion ever given: u64
//! ```
//! Numbers are little endian. The format's version is in the file `FORMAT` beside the database.
//! Does not know what an object means nor who reads it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};

use super::durable::Durable;
use super::object::Object;
use super::overlay::Overlay;

const OBJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("objects");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const RV: &str = "rv";
/// Everything is read from memory, so the page cache only has to hold the tree's upper levels.
const CACHE_BYTES: usize = 8 << 20;
const HEADER: usize = 16;

#[derive(Debug, thiserror::Error)]
pub(crate) enum DiskError {
    #[error("the database refused: {0}")]
    Database(Box<redb::Error>),
    #[error("the file does not hold together: {0}")]
    Damaged(String),
    #[error("reading or writing the file failed")]
    Io(#[from] std::io::Error),
}

impl<E: Into<redb::Error>> From<E> for DiskErrorFrom {
    fn from(error: E) -> Self {
        Self(match error.into() {
            redb::Error::Io(error) => DiskError::Io(error),
            redb::Error::Corrupted(what) => DiskError::Damaged(what),
            other => DiskError::Database(Box::new(other)),
        })
    }
}

/// Lets `?` convert every error type of the database.
struct DiskErrorFrom(DiskError);

impl From<DiskErrorFrom> for DiskError {
    fn from(error: DiskErrorFrom) -> Self {
        error.0
    }
}

/// One change: the resource, the object's key, and the object unless it is deleted.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub resource: Arc<str>,
    pub key: Arc<str>,
    pub object: Option<Arc<Object>>,
}

/// What was on disk at start.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub rv: u64,
    pub objects: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Arc<Object>>>,
}

#[derive(Debug)]
pub(crate) struct Disk {
    backend: Arc<Durable>,
    /// Absent after a failed commit, until the file has been opened again.
    database: Option<Database>,
}

impl Disk {
    /// Opens and checks the file, and reads everything. A file that is not sound is not touched.
    /// `doubt` is where to leave word that the system may show bytes that never reached the disk.
    pub(crate) fn open(
        backend: Arc<dyn StorageBackend>,
        doubt: Option<PathBuf>,
    ) -> Result<(Self, Loaded), DiskError> {
        let backend = Arc::new(Durable::new(backend, doubt));
        calm(|| Self::open_sound(backend))
    }

    fn open_sound(backend: Arc<Durable>) -> Result<(Self, Loaded), DiskError> {
        let overlay = Overlay::hold(backend.clone())?;
        let fresh = backend.len()? == 0;
        let mut database = open_database(overlay.clone())?;
        if !fresh && !database.check_integrity().map_err(DiskErrorFrom::from)? {
            return Err(DiskError::Damaged(
                "its pages do not match their checksums".into(),
            ));
        }
        let loaded = if fresh {
            Loaded::default()
        } else {
            load(&database)?
        };
        overlay.accept()?;
        Ok((
            Self {
                backend,
                database: Some(database),
            },
            loaded,
        ))
    }

    /// Puts all of `changes` on disk and gives back when they would survive a power cut.
    pub(crate) fn commit(&mut self, rv: u64, changes: &[Change]) -> Result<(), DiskError> {
        let database = if let Some(database) = self.database.take() {
            database
        } else {
            self.backend.restore()?;
            let overlay = Overlay::hold(self.backend.clone())?;
            let database = calm(|| open_database(overlay.clone()))?;
            overlay.accept()?;
            database
        };
        write(&database, rv, changes)?;
        self.database = Some(database);
        Ok(())
    }
}

/// Reads a file that may hold anything. The database panics at some pages that no run of its own
/// would have written, before it has looked at their checksums; to a reader that is damage like any
/// other. Nothing is left half done: until the file is found sound, all writes go to the overlay.
fn calm<T>(read: impl FnOnce() -> Result<T, DiskError>) -> Result<T, DiskError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let said = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        Err(DiskError::Damaged(format!(
            "the database cannot make sense of its pages ({})",
            said.unwrap_or("it did not say why")
        )))
    })
}

fn open_database(overlay: Overlay) -> Result<Database, DiskError> {
    let opened = Database::builder()
        .set_cache_size(CACHE_BYTES)
        .create_with_backend(overlay);
    Ok(opened.map_err(DiskErrorFrom::from)?)
}

fn write(database: &Database, rv: u64, changes: &[Change]) -> Result<(), DiskErrorFrom> {
    let transaction = database.begin_write()?;
    {
        let mut objects = transaction.open_table(OBJECTS)?;
        let mut row = Vec::new();
        for change in changes {
            let key = format!("{}/{}", change.resource, change.key);
            match &change.object {
                Some(object) => {
                    encode(object, &mut row);
                    objects.insert(key.as_str(), row.as_slice())?;
                }
                None => {
                    objects.remove(key.as_str())?;
                }
            }
        }
        transaction.open_table(META)?.insert(RV, rv)?;
    }
    transaction.commit()?;
    Ok(())
}

fn encode(object: &Object, row: &mut Vec<u8>) {
    row.clear();
    row.extend_from_slice(&[0; 4]);
    row.extend_from_slice(&object.rv.to_le_bytes());
    row.extend_from_slice(&object.rv_at().to_le_bytes());
    row.extend_from_slice(object.json());
    let sum = checksum(&row[4..]);
    row[..4].copy_from_slice(&sum.to_le_bytes());
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn load(database: &Database) -> Result<Loaded, DiskError> {
    let transaction = database.begin_read().map_err(DiskErrorFrom::from)?;
    let mut loaded = Loaded::default();
    let meta = match transaction.open_table(META) {
        Ok(meta) => meta,
        // Made, but ended before the first commit.
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(loaded),
        Err(error) => return Err(DiskErrorFrom::from(error).into()),
    };
    let rv = meta.get(RV).map_err(DiskErrorFrom::from)?;
    loaded.rv = rv
        .map(|rv| rv.value())
        .ok_or_else(|| damaged("the resourceVersion"))?;
    let table = transaction
        .open_table(OBJECTS)
        .map_err(DiskErrorFrom::from)?;
    for entry in table.iter().map_err(DiskErrorFrom::from)? {
        let (key, row) = entry.map_err(DiskErrorFrom::from)?;
        let (resource, object) = decode(key.value(), row.value())?;
        loaded.rv = loaded.rv.max(object.rv);
        let objects = loaded.objects.entry(resource.into()).or_default();
        objects.insert(object.key.clone(), Arc::new(object));
    }
    Ok(loaded)
}

fn damaged(what: &str) -> DiskError {
    DiskError::Damaged(format!("{what} is missing or does not match its checksum"))
}

fn decode<'k>(key: &'k str, row: &[u8]) -> Result<(&'k str, Object), DiskError> {
    let whole = || -> Option<(&'k str, Object)> {
        let (resource, key) = key.split_once('/')?;
        let (sum, rest) = row.split_first_chunk::<4>()?;
        let (rv, rest_of_rv) = rest.split_first_chunk::<8>()?;
        let (rv_at, json) = rest_of_rv.split_first_chunk::<4>()?;
        let (rv, rv_at) = (u64::from_le_bytes(*rv), u32::from_le_bytes(*rv_at));
        let sound = row.len() > HEADER && u32::from_le_bytes(*sum) == checksum(rest);
        let json = Bytes::copy_from_slice(json);
        sound.then(|| (resource, Object::from_stored(key.into(), rv, rv_at, json)))
    };
    whole().ok_or_else(|| damaged(key))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicBool, Ordering};

    use redb::backends::InMemoryBackend;
    use serde_json::json;

    use super::super::object::Draft;
    use super::*;

    fn change(name: &str, rv: u64) -> Change {
        let draft = Draft::encode(&json!({"metadata": {"name": name}}));
        let object = Arc::new(draft.finish(name.into(), rv));
        Change {
            resource: "things".into(),
            key: name.into(),
            object: Some(object),
        }
    }

    fn names(loaded: &Loaded) -> Vec<String> {
        loaded
            .objects
            .values()
            .flat_map(|of| of.keys())
            .map(ToString::to_string)
            .collect()
    }

    /// A file in memory whose writes can be made to fail.
    #[derive(Debug, Default)]
    struct Full(InMemoryBackend, AtomicBool);

    impl StorageBackend for Full {
        fn len(&self) -> io::Result<u64> {
            self.0.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.0.read(offset, out)
        }
        fn set_len(&self, len: u64) -> io::Result<()> {
            self.0.set_len(len)
        }
        fn sync_data(&self) -> io::Result<()> {
            self.0.sync_data()
        }
        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            if self.1.load(Ordering::SeqCst) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.0.write(offset, data)
        }
    }

    #[test]
    fn reads_back_what_was_committed() {
        let file = Arc::new(InMemoryBackend::new());
        let (mut disk, loaded) = Disk::open(file.clone(), None).unwrap();
        assert_eq!((loaded.rv, loaded.objects.len()), (0, 0));
        disk.commit(2, &[change("a", 1), change("b", 2)]).unwrap();
        disk.commit(
            3,
            &[Change {
                object: None,
                ..change("a", 1)
            }],
        )
        .unwrap();
        drop(disk);
        let (_, loaded) = Disk::open(file, None).unwrap();
        assert_eq!((loaded.rv, names(&loaded)), (3, vec!["b".to_owned()]));
        assert_eq!(
            loaded.objects["things"]["b"].value()["metadata"]["resourceVersion"],
            "2"
        );
    }

    #[test]
    fn writes_again_once_a_full_disk_has_room() {
        let file = Arc::new(Full::default());
        let (mut disk, _) = Disk::open(file.clone(), None).unwrap();
        disk.commit(1, &[change("a", 1)]).unwrap();
        file.1.store(true, Ordering::SeqCst);
        assert!(matches!(
            disk.commit(2, &[change("b", 2)]),
            Err(DiskError::Io(_))
        ));
        assert!(disk.commit(2, &[change("b", 2)]).is_err());
        file.1.store(false, Ordering::SeqCst);
        disk.commit(3, &[change("c", 3)]).unwrap();
        drop(disk);
        let (_, loaded) = Disk::open(file, None).unwrap();
        assert_eq!(
            (loaded.rv, names(&loaded)),
            (3, vec!["a".to_owned(), "c".to_owned()])
        );
    }

    #[test]
    fn refuses_a_damaged_file_without_touching_it() {
        let file = Arc::new(InMemoryBackend::new());
        let (mut disk, _) = Disk::open(file.clone(), None).unwrap();
        let changes: Vec<Change> = (0..200)
            .map(|n| change(&format!("name-{n:03}"), n + 1))
            .collect();
        disk.commit(200, &changes).unwrap();
        drop(disk);
        let len = usize::try_from(file.len().unwrap()).unwrap();
        let mut bytes = vec![0; len];
        file.read(0, &mut bytes).unwrap();
        let at = bytes
            .windows(8)
            .position(|part| part == b"name-100")
            .unwrap();
        bytes[at] ^= 1;
        let damaged = Arc::new(InMemoryBackend::new());
        damaged.set_len(len as u64).unwrap();
        damaged.write(0, &bytes).unwrap();
        assert!(Disk::open(damaged.clone(), None).is_err());
        let mut after = vec![0; len];
        damaged.read(0, &mut after).unwrap();
        assert_eq!(after, bytes);
    }

    #[test]
    fn refuses_a_file_of_something_else() {
        let file = Arc::new(InMemoryBackend::new());
        file.set_len(8192).unwrap();
        file.write(0, &[0xAB; 8192]).unwrap();
        assert!(Disk::open(file, None).is_err());
    }
}
