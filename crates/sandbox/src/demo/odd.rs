//! Makes the files that copies get wrong: sparse, linked, set-uid, with attributes and odd names.
//! Knows nothing of volumes; every file here is there because some tool has lost one like it.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, Permissions},
    os::unix::{
        ffi::OsStringExt as _,
        fs::{FileExt as _, PermissionsExt as _, symlink},
    },
    path::Path,
};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::{copy::set_modified, listing::FileError, xattr};

/// Length of the sparse file, of which three blocks are stored.
const SPARSE: u64 = 16 << 20;

/// The longest name Linux allows, in bytes.
const LONGEST_NAME: usize = 255;

/// Makes the new folder `root` and fills it. False if the file system keeps no attributes.
pub(crate) fn fill(root: &Path) -> Result<bool, FileError> {
    fs::create_dir(root).map_err(FileError::at("create", root))?;
    sparse(&root.join("sparse"))?;
    links(root)?;
    special(root)?;
    names(root)?;
    times(root)?;
    attribute(&root.join("attribute"))
}

fn sparse(path: &Path) -> Result<(), FileError> {
    let write = || {
        let file = File::create_new(path)?;
        file.set_len(SPARSE)?;
        for at in [0, SPARSE / 2, SPARSE - 4] {
            file.write_all_at(b"data", at)?;
        }
        Ok(())
    };
    write().map_err(FileError::at("write", path))
}

fn links(root: &Path) -> Result<(), FileError> {
    write(&root.join("one file"), b"two names, one file")?;
    let other = root.join("the same file");
    fs::hard_link(root.join("one file"), &other).map_err(FileError::at("link", &other))?;
    for (name, target) in [("symlink", "one file"), ("dangling", "nowhere/at all")] {
        let path = root.join(name);
        symlink(target, &path).map_err(FileError::at("link", &path))?;
    }
    Ok(())
}

fn special(root: &Path) -> Result<(), FileError> {
    let modes = [
        ("set-uid", 0o4755),
        ("set-gid", 0o2755),
        ("read-only", 0o400),
    ];
    for (name, mode) in modes {
        write(&root.join(name), b"#!/bin/sh\nexit 0\n")?;
        set_mode(&root.join(name), mode)?;
    }
    for (name, mode) in [("sticky folder", 0o1777), ("empty folder", 0o750)] {
        let path = root.join(name);
        fs::create_dir(&path).map_err(FileError::at("create", &path))?;
        set_mode(&path, mode)?;
    }
    let fifo = root.join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
        .map_err(|error| FileError::at("create", &fifo)(error.into()))
}

fn names(root: &Path) -> Result<(), FileError> {
    let folder = root.join("names");
    fs::create_dir(&folder).map_err(FileError::at("create", &folder))?;
    for name in [
        "with  spaces ",
        "line\nbreak",
        "-rf",
        "*",
        "\\",
        "ünï",
        "tab\t",
    ] {
        write(&folder.join(name), name.as_bytes())?;
    }
    write(&folder.join("empty"), b"")?;
    write(&folder.join("n".repeat(LONGEST_NAME)), b"long")?;
    // A few file systems insist on UTF-8 and refuse this one; the rest of the story goes on.
    let bytes = OsString::from_vec(b"not \xff\xfe text".to_vec());
    match write(&folder.join(bytes), b"bytes") {
        Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => Ok(()),
        done => done,
    }
}

fn times(root: &Path) -> Result<(), FileError> {
    let times = [("old", -86_400, 1), ("new", 4_102_444_799, 999_999_999)];
    for (name, seconds, nanoseconds) in times {
        let path = root.join(name);
        write(&path, name.as_bytes())?;
        set_modified(&path, seconds, nanoseconds)
            .map_err(|error| FileError::at("set the time of", &path)(error.into()))?;
    }
    Ok(())
}

fn attribute(path: &Path) -> Result<bool, FileError> {
    write(path, b"see its attributes")?;
    xattr::set(path, OsStr::new("user.tintype.demo"), b"binary \0 \xff")
        .map_err(FileError::at("set an attribute of", path))
}

fn write(path: &Path, contents: &[u8]) -> Result<(), FileError> {
    fs::write(path, contents).map_err(FileError::at("write", path))
}

fn set_mode(path: &Path, mode: u32) -> Result<(), FileError> {
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(FileError::at("change the mode of", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::{
        manifest::{Kind, Manifest},
        parallel::Tally,
    };

    #[test]
    fn every_odd_file_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("odd");
        let attributes = fill(&root).unwrap();
        let manifest = Manifest::record(&root, &Tally::default()).unwrap();
        let at = |path: &str| &manifest.entries[Path::new(path)];

        let Kind::File { size, stored, .. } = at("sparse").kind else {
            panic!()
        };
        assert!(
            size == SPARSE && stored < 1 << 20,
            "{stored} of {size} stored"
        );
        assert_eq!(at("the same file").group, Some("one file".into()));
        assert_eq!(
            (at("set-uid").mode, at("sticky folder").mode),
            (0o4755, 0o1777)
        );
        assert_eq!(at("fifo").kind, Kind::Fifo);
        assert_eq!(at("new").modified, (4_102_444_799, 999_999_999));
        assert_eq!(at("attribute").xattrs.len(), usize::from(attributes));
        assert!(manifest.entries.keys().any(|path| path.to_str().is_none()));
        assert!(
            manifest
                .entries
                .contains_key(Path::new("names/line\nbreak"))
        );
    }
}
