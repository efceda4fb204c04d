//! Records everything a directory tree holds: contents as checksums, links, modes, owners, times.
//! Knows nothing of volumes or snapshots, and changes nothing.
//!
//! Not recorded, because a copy cannot keep them: inode numbers, access and change times.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    fs::{self, File, Metadata},
    io::Read as _,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use super::{
    holes,
    listing::{FileError, sorted_names},
    parallel::{self, Tally},
    xattr,
};

/// What one tree holds, by path below its root; the root itself is the empty path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) entries: BTreeMap<PathBuf, Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    /// Permission bits with set-uid, set-gid and sticky.
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    /// Seconds and nanoseconds of the last modification.
    pub(crate) modified: (i64, i64),
    pub(crate) xattrs: BTreeMap<OsString, Vec<u8>>,
    /// First name of the hard-link group, if the file has more than one name in this tree.
    pub(crate) group: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    File {
        size: u64,
        stored: u64,
        hash: blake3::Hash,
    },
    Folder,
    Symlink {
        target: PathBuf,
    },
    Fifo,
    Socket,
    Device {
        block: bool,
        number: u64,
    },
}

impl Manifest {
    /// Walks `root` and reads every file once. `tally` counts bytes read.
    pub(crate) fn record(root: &Path, tally: &Tally) -> Result<Self, FileError> {
        let found = walk(root)?;
        let groups = hard_link_groups(&found);
        let entries = parallel::map(&found, |(path, metadata)| {
            let group = groups.get(&(metadata.dev(), metadata.ino()));
            // All names of a group share their contents: read them once, under the first name.
            let read = group.is_none_or(|first| first == path);
            entry(&root.join(path), metadata, read, tally).map(|mut entry| {
                entry.group = group.cloned();
                (path.clone(), entry)
            })
        })?;
        let mut manifest = Self {
            entries: entries.into_iter().collect(),
        };
        manifest.share_hashes();
        Ok(manifest)
    }

    /// Gives the further names of a group the checksum of the first.
    fn share_hashes(&mut self) {
        let first: HashMap<PathBuf, Kind> = self
            .entries
            .iter()
            .filter(|(path, entry)| entry.group.as_ref() == Some(path))
            .map(|(path, entry)| (path.clone(), entry.kind.clone()))
            .collect();
        for entry in self.entries.values_mut() {
            if let Some(kind) = entry.group.as_ref().and_then(|group| first.get(group)) {
                entry.kind = kind.clone();
            }
        }
    }

    /// Files, whatever else the tree holds.
    pub(crate) fn files(&self) -> usize {
        self.entries
            .values()
            .filter(|e| matches!(e.kind, Kind::File { .. }))
            .count()
    }

    /// Bytes that take room: holes are not counted, nor a file's further names.
    pub(crate) fn bytes(&self) -> u64 {
        self.entries
            .iter()
            .filter(|(path, entry)| entry.group.as_ref().is_none_or(|first| first == *path))
            .map(|(_, entry)| match entry.kind {
                Kind::File { stored, .. } => stored,
                _ => 0,
            })
            .sum()
    }
}

/// Every path below `root`, the root first, each folder before what is in it, in byte order.
fn walk(root: &Path) -> Result<Vec<(PathBuf, Metadata)>, FileError> {
    let metadata = fs::symlink_metadata(root).map_err(FileError::at("read", root))?;
    let mut found = vec![(PathBuf::new(), metadata)];
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for name in sorted_names(&root.join(&folder))? {
            let path = folder.join(name);
            let full = root.join(&path);
            let metadata = fs::symlink_metadata(&full).map_err(FileError::at("read", &full))?;
            if metadata.is_dir() {
                folders.push(path.clone());
            }
            found.push((path, metadata));
        }
    }
    Ok(found)
}

/// The first name of every file that has several names in this tree.
fn hard_link_groups(found: &[(PathBuf, Metadata)]) -> HashMap<(u64, u64), PathBuf> {
    let mut names: HashMap<(u64, u64), (PathBuf, usize)> = HashMap::new();
    for (path, metadata) in found.iter().filter(|(_, m)| !m.is_dir() && m.nlink() > 1) {
        let group = names
            .entry((metadata.dev(), metadata.ino()))
            .or_insert_with(|| (path.clone(), 0));
        group.1 += 1;
        if *path < group.0 {
            group.0.clone_from(path);
        }
    }
    names
        .into_iter()
        .filter(|(_, (_, count))| *count > 1)
        .map(|(inode, (first, _))| (inode, first))
        .collect()
}

fn entry(path: &Path, metadata: &Metadata, read: bool, tally: &Tally) -> Result<Entry, FileError> {
    let kind = metadata.file_type();
    let kind = if kind.is_file() {
        if read {
            contents(path, tally)?
        } else {
            nothing(metadata.len())
        }
    } else if kind.is_dir() {
        Kind::Folder
    } else if kind.is_symlink() {
        let target = fs::read_link(path).map_err(FileError::at("read the link", path))?;
        Kind::Symlink { target }
    } else if kind.is_fifo() {
        Kind::Fifo
    } else if kind.is_socket() {
        Kind::Socket
    } else {
        Kind::Device {
            block: kind.is_block_device(),
            number: metadata.rdev(),
        }
    };
    Ok(Entry {
        kind,
        mode: metadata.mode() & 0o7777,
        owner: (metadata.uid(), metadata.gid()),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        xattrs: xattr::all(path).map_err(FileError::at("read the extended attributes of", path))?,
        group: None,
    })
}

fn nothing(size: u64) -> Kind {
    Kind::File {
        size,
        stored: 0,
        hash: blake3::hash(&[]),
    }
}

fn contents(path: &Path, tally: &Tally) -> Result<Kind, FileError> {
    let at = FileError::at("read", path);
    let read = || -> std::io::Result<Kind> {
        // The path may have become a fifo since it was listed: never wait for a writer.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut file: File = fs::OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(path)?;
        let stored = holes::stored(&file)?
            .iter()
            .map(|part| part.end - part.start)
            .sum();
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; 128 << 10];
        let mut size = 0;
        loop {
            tally.check()?;
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
            size += read as u64;
            tally.add(read as u64);
        }
        Ok(Kind::File {
            size,
            stored,
            hash: hasher.finalize(),
        })
    };
    read().map_err(at)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn records_contents_links_and_groups() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir(root.join("b")).unwrap();
        fs::write(root.join("b/file"), "hello").unwrap();
        fs::hard_link(root.join("b/file"), root.join("a")).unwrap();
        symlink("nowhere", root.join("link")).unwrap();
        let manifest = Manifest::record(root, &Tally::default()).unwrap();

        let names: Vec<_> = manifest
            .entries
            .keys()
            .map(|p| p.to_str().unwrap())
            .collect();
        assert_eq!(names, ["", "a", "b", "b/file", "link"]);
        let file = &manifest.entries[Path::new("b/file")];
        assert_eq!(file.group.as_deref(), Some(Path::new("a")));
        assert_eq!(file.kind, manifest.entries[Path::new("a")].kind);
        let Kind::File { size, hash, .. } = file.kind else {
            panic!("{file:?}")
        };
        assert_eq!((size, hash), (5, blake3::hash(b"hello")));
        let link = &manifest.entries[Path::new("link")].kind;
        assert_eq!(
            *link,
            Kind::Symlink {
                target: "nowhere".into()
            }
        );
        assert_eq!((manifest.files(), manifest.bytes()), (2, 5));
    }

    #[test]
    fn the_same_tree_gives_the_same_manifest() {
        let dir = tempfile::tempdir().unwrap();
        for at in 0..50 {
            fs::write(dir.path().join(format!("file-{at}")), vec![at; 1000]).unwrap();
        }
        let tally = Tally::default();
        let first = Manifest::record(dir.path(), &tally).unwrap();
        assert_eq!(first, Manifest::record(dir.path(), &tally).unwrap());
        assert_eq!(tally.get(), 100_000);
    }

    #[test]
    fn a_missing_root_is_named() {
        let error = Manifest::record(Path::new("/no/such/tree"), &Tally::default()).unwrap_err();
        assert_eq!(error.to_string(), "cannot read /no/such/tree");
    }
}
