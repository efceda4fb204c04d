//! Damages a tree in every way a person, a program or a disk might, and says what it did.
//! Which files are hit depends on their order alone: two runs over one tree do the same harm.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{FileExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use super::{
    copy::set_modified,
    listing::FileError,
    manifest::{Entry, Kind, Manifest},
};
use crate::words;

/// One file in so many is hit.
const EVERY: usize = 10;

/// One thing done to one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Damage {
    Deleted,
    Truncated,
    /// One byte changed, size and time kept: only reading finds it.
    Flipped,
    Overwritten,
    Appended,
    Moded,
    Renamed,
    Redirected,
    Separated,
    Added,
}

impl Damage {
    const OF_FILES: [Self; 7] = [
        Self::Deleted,
        Self::Truncated,
        Self::Flipped,
        Self::Overwritten,
        Self::Appended,
        Self::Moded,
        Self::Renamed,
    ];

    /// `12 deleted`, as part of a list.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Truncated => "truncated",
            Self::Flipped => "silently changed",
            Self::Overwritten => "overwritten",
            Self::Appended => "appended to",
            Self::Moded => "given another mode",
            Self::Renamed => "renamed",
            Self::Redirected => "redirected",
            Self::Separated => "torn from its other name",
            Self::Added => "added",
        }
    }
}

/// Damages the tree at `root`, which holds what `manifest` says. What was done, to which path.
pub(crate) fn damage(
    root: &Path,
    manifest: &Manifest,
) -> Result<Vec<(Damage, PathBuf)>, FileError> {
    let mut done = Vec::new();
    let mut kinds = Damage::OF_FILES.iter().copied().cycle();
    let mut passed = 0;
    for (path, entry) in &manifest.entries {
        let how = match &entry.kind {
            Kind::Symlink { .. } if odd(path) => Damage::Redirected,
            Kind::File { .. } if odd(path) && entry.group.as_ref() == Some(path) => {
                Damage::Separated
            }
            Kind::File { size, .. } if *size > 0 && entry.group.is_none() => {
                passed += 1;
                if passed % EVERY != 0 && !odd(path) {
                    continue;
                }
                kinds.next().unwrap_or(Damage::Deleted)
            }
            Kind::Fifo => Damage::Deleted,
            _ => continue,
        };
        match harm(&root.join(path), how, entry) {
            // A folder that even its owner may not write to keeps what is in it.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            result => {
                result.map_err(FileError::at("damage", &root.join(path)))?;
                done.push((how, path.clone()));
            }
        }
    }
    let added = root.join("ransom note");
    fs::write(&added, "your files are gone").map_err(FileError::at("write", &added))?;
    done.push((Damage::Added, "ransom note".into()));
    Ok(done)
}

/// `31 deleted, 30 truncated, …`
pub(crate) fn summary(done: &[(Damage, PathBuf)]) -> String {
    let mut counts = std::collections::BTreeMap::<Damage, usize>::new();
    for (how, _) in done {
        *counts.entry(*how).or_default() += 1;
    }
    let parts = counts
        .iter()
        .map(|(how, count)| words::count(*count, how.as_str(), how.as_str()));
    parts.collect::<Vec<_>>().join(", ")
}

/// The few odd files are all hit, whatever their place in the order.
fn odd(path: &Path) -> bool {
    path.starts_with("odd")
}

fn harm(path: &Path, how: Damage, entry: &Entry) -> io::Result<()> {
    match how {
        Damage::Deleted => fs::remove_file(path),
        Damage::Truncated => {
            let file = writable(path, entry)?;
            file.set_len(file.metadata()?.len() / 2)
        }
        Damage::Flipped => {
            let file = writable(path, entry)?;
            let mut byte = [0];
            file.read_exact_at(&mut byte, 0)?;
            file.write_all_at(&[!byte[0]], 0)?;
            fs::set_permissions(path, Permissions::from_mode(entry.mode))?;
            Ok(set_modified(path, entry.modified.0, entry.modified.1)?)
        }
        Damage::Overwritten => writable(path, entry)?.write_all_at(b"overwritten", 0),
        Damage::Appended => {
            let mut file = writable(path, entry)?;
            io::Seek::seek(&mut file, io::SeekFrom::End(0))?;
            file.write_all(b"appended")
        }
        Damage::Moded => fs::set_permissions(path, Permissions::from_mode(entry.mode ^ 0o111)),
        Damage::Renamed => {
            let mut name = b"renamed ".to_vec();
            name.extend(
                blake3::hash(path.as_os_str().as_encoded_bytes())
                    .to_hex()
                    .bytes(),
            );
            let name = String::from_utf8_lossy(&name).into_owned();
            fs::rename(path, path.with_file_name(name))
        }
        Damage::Redirected => {
            fs::remove_file(path)?;
            symlink("/elsewhere", path)
        }
        Damage::Separated => {
            fs::remove_file(path)?;
            fs::write(path, "two names, two files")
        }
        Damage::Added => fs::write(path, ""),
    }
}

/// Opens a file that its mode may forbid its owner to write.
fn writable(path: &Path, entry: &Entry) -> io::Result<File> {
    let open = || OpenOptions::new().read(true).write(true).open(path);
    match open() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            fs::set_permissions(path, Permissions::from_mode(entry.mode | 0o600))?;
            open()
        }
        opened => opened,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::demo::{compare::differences, odd, parallel::Tally};

    fn tree() -> (tempfile::TempDir, Manifest) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("tree")).unwrap();
        for at in 0..200 {
            let path = dir.path().join(format!("tree/{at:03}"));
            fs::write(&path, format!("contents of {at}")).unwrap();
            if at % 3 == 0 {
                fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
            }
        }
        odd::fill(&dir.path().join("odd")).unwrap();
        let manifest = Manifest::record(dir.path(), &Tally::default()).unwrap();
        (dir, manifest)
    }

    #[test]
    fn everything_done_is_found_by_the_comparison() {
        let (dir, before) = tree();
        let done = damage(dir.path(), &before).unwrap();
        let after = Manifest::record(dir.path(), &Tally::default()).unwrap();
        let found: BTreeSet<_> = differences(&before, &after)
            .into_iter()
            .map(|found| found.path)
            .collect();
        for (how, path) in &done {
            assert!(found.contains(path), "{how:?} of {path:?} went unseen");
        }
        let kinds: BTreeSet<_> = done.iter().map(|(how, _)| *how).collect();
        assert_eq!(kinds.len(), 10, "{kinds:?}");
    }

    #[test]
    fn the_same_tree_is_damaged_in_the_same_way() {
        let (one, manifest) = tree();
        let first = damage(one.path(), &manifest).unwrap();
        let (two, manifest) = tree();
        assert_eq!(first, damage(two.path(), &manifest).unwrap());
    }

    #[test]
    fn a_summary_counts_each_kind() {
        let done = [Damage::Added, Damage::Deleted, Damage::Deleted].map(|how| (how, "x".into()));
        assert_eq!(summary(&done), "2 deleted, 1 added");
    }
}
