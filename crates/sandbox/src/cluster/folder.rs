//! Takes the sandbox's folder for one process, and refuses what it must not touch.
//! Knows nothing of what the API server and the driver keep in it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Read as _, Seek as _, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use serde::{Deserialize, Serialize};

use crate::{data_dir::DataDir, words};

/// Raised when a folder of the last version can no longer be used as it is.
const LAYOUT: u32 = 1;

#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error(
        "a sandbox is running in {} (process {process}); use it, stop it, \
         or choose another folder with --data-dir",
        words::path(dir)
    )]
    Running { dir: PathBuf, process: String },
    #[error(
        "{} was made by a newer tintype (layout {layout}, this one knows {LAYOUT}); \
         use that version, or choose another folder with --data-dir",
        words::path(dir)
    )]
    Newer { dir: PathBuf, layout: u32 },
    #[error(
        "{} is neither empty nor a sandbox's folder; choose another with --data-dir",
        words::path(.0)
    )]
    Foreign(PathBuf),
    #[error(
        "the volumes in {} belong to driver {was}; use --driver-name {was}, \
         or choose another folder with --data-dir",
        words::path(dir)
    )]
    OtherDriver { dir: PathBuf, was: String },
    #[error(
        "{} is damaged; put back a copy of the folder, or choose another with --data-dir",
        words::path(path)
    )]
    Damaged {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("cannot {action} {}", words::path(path))]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

impl FolderError {
    fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

/// What the folder was made with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct About {
    layout: u32,
    driver: String,
}

/// A folder that may be used: either one of ours, locked, or one that is still to be made.
#[derive(Debug)]
pub(crate) struct Folder {
    dir: DataDir,
    driver: String,
    lock: Option<File>,
}

impl Folder {
    /// Looks without changing anything. A folder in use, too new or not ours is refused.
    pub(crate) fn look(dir: &DataDir, driver: &str) -> Result<Self, FolderError> {
        let about = about(dir)?;
        let lock = match &about {
            None => None,
            Some(_) => Some(lock(dir)?),
        };
        match about {
            Some(about) if about.layout > LAYOUT => Err(FolderError::Newer {
                dir: dir.path().to_owned(),
                layout: about.layout,
            }),
            Some(about) if about.driver != driver => Err(FolderError::OtherDriver {
                dir: dir.path().to_owned(),
                was: about.driver,
            }),
            _ => Ok(Self {
                dir: dir.clone(),
                driver: driver.to_owned(),
                lock,
            }),
        }
    }

    /// Makes the folder if it is not there yet. It is ours until what is returned is dropped.
    pub(crate) fn take(self) -> Result<File, FolderError> {
        if let Some(lock) = self.lock {
            return Ok(lock);
        }
        let path = self.dir.path();
        let mut builder = DirBuilder::new();
        // Certificates and other people's files are in there.
        builder.recursive(true).mode(0o700);
        builder
            .create(path)
            .map_err(FolderError::at("create", path))?;
        let lock = lock(&self.dir)?;
        let path = self.dir.about();
        let about = About {
            layout: LAYOUT,
            driver: self.driver,
        };
        write_aside(
            &path,
            &serde_json::to_vec_pretty(&about).unwrap_or_default(),
            0o600,
        )
        .map_err(FolderError::at("write", &path))?;
        Ok(lock)
    }
}

/// Writes a file that is there as a whole or not at all, with `mode` from its first byte on.
pub(crate) fn write_aside(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{}", std::process::id()));
    let aside = PathBuf::from(aside);
    let write = || {
        match fs::remove_file(&aside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&aside)?;
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&aside, path)
    };
    let written = write();
    if written.is_err() {
        let _ = fs::remove_file(&aside); // The write's own error says more.
    }
    written
}

/// What the folder says of itself; none if it is empty or missing.
fn about(dir: &DataDir) -> Result<Option<About>, FolderError> {
    let path = dir.about();
    match fs::read(&path) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(about) => Ok(Some(about)),
            Err(source) => Err(FolderError::Damaged { path, source }),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => empty(dir.path()).map(|()| None),
        Err(error) => Err(FolderError::at("read", &path)(error)),
    }
}

/// Only a free name or an empty directory becomes a sandbox's folder.
fn empty(dir: &Path) -> Result<(), FolderError> {
    let names = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            return Err(FolderError::Foreign(dir.to_owned()));
        }
        names => names.map_err(FolderError::at("list", dir))?,
    };
    for name in names {
        let name = name.map_err(FolderError::at("list", dir))?.file_name();
        // The lock of a start that got no further, and what an empty file system has.
        if name != "lock" && name != "lost+found" {
            return Err(FolderError::Foreign(dir.to_owned()));
        }
    }
    Ok(())
}

fn lock(dir: &DataDir) -> Result<File, FolderError> {
    let path = dir.lock();
    let at = |action| FolderError::at(action, &path);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(at("open"))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut process = String::new();
            file.read_to_string(&mut process).map_err(at("read"))?;
            let process = process.trim().to_owned();
            return Err(FolderError::Running {
                dir: dir.path().to_owned(),
                process,
            });
        }
        Err(error) => return Err(at("lock")(error.into())),
    }
    let mut sign = || {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    sign().map_err(at("write"))?;
    Ok(file)
}

/// Removes a tree of which some folders may be closed even to their owner.
pub(crate) fn remove_tree(root: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fn open_up(folder: &Path) -> io::Result<()> {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open_up(&entry.path())?;
            }
        }
        Ok(())
    }
    match fs::remove_dir_all(root) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            open_up(root)?;
            fs::remove_dir_all(root)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn dir() -> (tempfile::TempDir, DataDir) {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::choose(Some(&dir.path().join("data"))).unwrap();
        (dir, data)
    }

    fn refused(data: &DataDir, driver: &str) -> String {
        Folder::look(data, driver).unwrap_err().to_string()
    }

    #[test]
    fn a_folder_is_made_once_and_taken_again() {
        let (_dir, data) = dir();
        drop(Folder::look(&data, "d").unwrap().take().unwrap());
        assert_eq!(
            fs::metadata(data.path()).unwrap().permissions().mode() & 0o777,
            0o700
        );
        drop(Folder::look(&data, "d").unwrap().take().unwrap());
        assert!(refused(&data, "e").contains("belong to driver d; use --driver-name d"));
    }

    #[test]
    fn looking_changes_nothing() {
        let (_dir, data) = dir();
        Folder::look(&data, "d").unwrap();
        assert!(!data.path().exists());
    }

    #[test]
    fn a_second_process_is_refused_and_told_who_has_it() {
        let (_dir, data) = dir();
        let held = Folder::look(&data, "d").unwrap().take().unwrap();
        let wanted = format!(
            "is running in {} (process {})",
            data.path().display(),
            std::process::id()
        );
        assert!(refused(&data, "d").contains(&wanted));
        drop(held);
        Folder::look(&data, "d").unwrap();
    }

    #[test]
    fn what_is_newer_damaged_or_somebody_elses_is_left_alone() {
        let (_dir, data) = dir();
        fs::create_dir(data.path()).unwrap();
        fs::write(data.about(), r#"{"layout": 9, "driver": "d"}"#).unwrap();
        assert!(refused(&data, "d").contains("newer tintype (layout 9"));
        fs::write(data.about(), "").unwrap();
        assert!(refused(&data, "d").contains("tintype.json is damaged; put back a copy"));
        fs::remove_file(data.about()).unwrap();
        fs::write(data.path().join("thesis.txt"), "").unwrap();
        assert!(refused(&data, "d").contains("neither empty nor a sandbox's folder"));
        assert!(data.path().join("thesis.txt").exists());
    }

    #[test]
    fn a_closed_tree_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o500)).unwrap();
        remove_tree(&root).unwrap();
        remove_tree(&root).unwrap();
        assert!(!root.exists());
    }

    #[test]
    fn a_file_written_aside_has_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kubeconfig");
        fs::write(&path, "old").unwrap();
        write_aside(&path, b"new", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
