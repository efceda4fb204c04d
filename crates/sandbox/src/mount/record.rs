//! Keeps one record per mounted directory, so that a later process can undo the mount.
//! Written before the driver is asked, removed after it has let go: a crash leaves too much, never
//! too little.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", crate::words::path(path))]
pub struct RecordError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl RecordError {
    fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

/// One mounted directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mounted {
    /// In hexadecimal: a path may hold any byte, JSON may not.
    #[serde(with = "hex")]
    pub(crate) target: PathBuf,
    pub(crate) namespace: String,
    pub(crate) claim: String,
    pub(crate) driver: String,
    pub(crate) handle: String,
    #[serde(with = "hex::optional", default)]
    pub(crate) staging: Option<PathBuf>,
    /// The user's empty directory stood there before; it comes back with the unmount.
    pub(crate) stood: bool,
}

/// All records, held by this process alone until dropped.
#[derive(Debug)]
pub(crate) struct Records {
    folder: PathBuf,
    _lock: File,
}

impl Records {
    /// Waits for whoever else is mounting or unmounting.
    pub(crate) fn hold(folder: &Path) -> Result<Self, RecordError> {
        fs::create_dir_all(folder).map_err(RecordError::at("create", folder))?;
        let path = folder.join(".lock");
        let lock = File::create(&path).map_err(RecordError::at("open", &path))?;
        flock(&lock, FlockOperation::LockExclusive)
            .map_err(|error| RecordError::at("lock", &path)(error.into()))?;
        Ok(Self {
            folder: folder.to_owned(),
            _lock: lock,
        })
    }

    pub(crate) fn get(&self, target: &Path) -> Result<Option<Mounted>, RecordError> {
        read(&self.file(target))
    }

    pub(crate) fn all(&self) -> Result<Vec<Mounted>, RecordError> {
        let list = || -> io::Result<Vec<PathBuf>> {
            fs::read_dir(&self.folder)?
                .map(|entry| Ok(entry?.path()))
                .collect()
        };
        let mut paths = list().map_err(RecordError::at("list", &self.folder))?;
        paths.retain(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        });
        paths.sort_unstable();
        paths
            .iter()
            .filter_map(|path| read(path).transpose())
            .collect()
    }

    pub(crate) fn put(&self, mounted: &Mounted) -> Result<(), RecordError> {
        let path = self.file(&mounted.target);
        let aside = path.with_extension("new");
        let write = || {
            let mut file = File::create(&aside)?;
            file.write_all(&serde_json::to_vec_pretty(mounted)?)?;
            file.sync_all()?;
            fs::rename(&aside, &path)
        };
        write().map_err(RecordError::at("write", &path))
    }

    pub(crate) fn remove(&self, target: &Path) -> Result<(), RecordError> {
        let path = self.file(target);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            done => done.map_err(RecordError::at("remove", &path)),
        }
    }

    fn file(&self, target: &Path) -> PathBuf {
        let name = blake3::hash(target.as_os_str().as_encoded_bytes()).to_hex();
        self.folder.join(format!("{name}.json"))
    }
}

fn read(path: &Path) -> Result<Option<Mounted>, RecordError> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.map_err(RecordError::at("read", path))?,
    };
    let mounted = serde_json::from_slice(&bytes);
    mounted
        .map(Some)
        .map_err(|error| RecordError::at("understand", path)(error.into()))
}

/// Paths as hexadecimal digits.
mod hex {
    use std::{
        ffi::OsString,
        os::unix::ffi::{OsStrExt as _, OsStringExt as _},
        path::{Path, PathBuf},
    };

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&crate::words::hex(path.as_os_str().as_bytes()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        let digits = String::deserialize(from)?;
        let bytes = digits.as_bytes().chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair).map_err(D::Error::custom)?;
            u8::from_str_radix(pair, 16).map_err(D::Error::custom)
        });
        Ok(PathBuf::from(OsString::from_vec(
            bytes.collect::<Result<_, _>>()?,
        )))
    }

    pub(super) mod optional {
        use std::path::PathBuf;

        use serde::{Deserialize, Deserializer, Serialize, Serializer};

        #[derive(Serialize, Deserialize)]
        struct Hex(#[serde(with = "super")] PathBuf);

        #[expect(clippy::ref_option, reason = "the signature serde calls")]
        pub(in super::super) fn serialize<S: Serializer>(
            path: &Option<PathBuf>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            path.clone().map(Hex).serialize(to)
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<PathBuf>, D::Error> {
            Ok(Option::<Hex>::deserialize(from)?.map(|Hex(path)| path))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

    use super::*;

    fn mounted(target: &Path) -> Mounted {
        Mounted {
            target: target.to_owned(),
            namespace: "default".into(),
            claim: "data".into(),
            driver: "d".into(),
            handle: "h".into(),
            staging: Some("/staging".into()),
            stood: true,
        }
    }

    #[test]
    fn a_record_is_found_again_whatever_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::hold(&dir.path().join("mounts")).unwrap();
        let target = Path::new(OsStr::from_bytes(b"/mnt/\xff odd\n"));
        records.put(&mounted(target)).unwrap();
        assert_eq!(records.get(target).unwrap(), Some(mounted(target)));
        assert_eq!(records.all().unwrap(), vec![mounted(target)]);
        records.remove(target).unwrap();
        records.remove(target).unwrap();
        assert_eq!(records.get(target).unwrap(), None);
    }

    #[test]
    fn a_damaged_record_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::hold(dir.path()).unwrap();
        records.put(&mounted(Path::new("/a"))).unwrap();
        let file = records.file(Path::new("/a"));
        fs::write(&file, "{\"target\": \"zz\"}").unwrap();
        let error = records.get(Path::new("/a")).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot understand {}", file.display())
        );
    }
}
