//! Reads and writes all extended attributes of one path, links not followed.
//! A file system that has none is the same as a path without any.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::OsStrExt as _,
    path::Path,
};

use rustix::{
    fs::{XattrFlags, lgetxattr, llistxattr, llistxattr_query, lsetxattr},
    io::Errno,
};

/// All attributes this process may see.
pub(crate) fn all(path: &Path) -> io::Result<BTreeMap<OsString, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for name in names(path)? {
        match value(path, &name) {
            Ok(value) => drop(found.insert(name, value)),
            // Gone since it was listed, or listed to everybody but readable to few (`trusted.*`).
            Err(Errno::NODATA | Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

/// Sets one attribute; `false` if the file system or our rights do not allow it.
pub(crate) fn set(path: &Path, name: &OsStr, value: &[u8]) -> io::Result<bool> {
    match lsetxattr(path, name, value, XattrFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn names(path: &Path) -> Result<Vec<OsString>, Errno> {
    let mut list = vec![0; 256];
    loop {
        match llistxattr(path, list.as_mut_slice()) {
            Ok(length) => {
                let names = list[..length]
                    .split(|byte| *byte == 0)
                    .filter(|name| !name.is_empty());
                return Ok(names
                    .map(|name| OsStr::from_bytes(name).to_owned())
                    .collect());
            }
            Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
            Err(Errno::RANGE) => list.resize(llistxattr_query(path)? + 256, 0),
            Err(error) => return Err(error),
        }
    }
}

fn value(path: &Path, name: &OsStr) -> Result<Vec<u8>, Errno> {
    let mut value = vec![0; 256];
    loop {
        match lgetxattr(path, name, value.as_mut_slice()) {
            Ok(length) => {
                value.truncate(length);
                return Ok(value);
            }
            // The largest value Linux allows: 64 KiB.
            Err(Errno::RANGE) if value.len() <= 1 << 16 => value.resize((1 << 16) + 1, 0),
            Err(error) => return Err(error),
        }
    }
}

/// Whether `path`'s file system keeps attributes of users.
#[cfg(test)]
pub(crate) fn kept_at(path: &Path) -> bool {
    set(path, OsStr::new("user.tintype.probe"), b"1").unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_was_set() {
        let file = tempfile::NamedTempFile::new().unwrap();
        if !kept_at(file.path()) {
            return; // This machine's temporary folder keeps no attributes: nothing to read back.
        }
        let long = vec![b'x'; 3000];
        assert!(set(file.path(), OsStr::new("user.binary"), b"a\0b").unwrap());
        assert!(set(file.path(), OsStr::new("user.long"), &long).unwrap());
        let found = all(file.path()).unwrap();
        assert_eq!(found[OsStr::new("user.binary")], b"a\0b");
        assert_eq!(found[OsStr::new("user.long")], long);
    }
}
