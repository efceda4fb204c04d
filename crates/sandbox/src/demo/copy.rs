//! Copies a directory tree with everything that can be kept: holes, links, modes, owners, times.
//! Knows nothing of volumes; what our rights do not allow is counted, not failed.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File, Metadata, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, lchown},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, mknodat, utimensat},
    io::Errno,
};

use super::{
    holes,
    listing::{FileError, sorted_names},
    parallel::{self, Tally},
    xattr,
};

/// How much of a tree to take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cap {
    pub(crate) bytes: u64,
    pub(crate) entries: usize,
    /// Larger files are passed over, so that one of them does not fill the cap alone.
    pub(crate) file: u64,
}

/// What a copy will hold: found first, so that its size is known before the first byte moves.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    from: PathBuf,
    folders: Vec<(PathBuf, Metadata)>,
    files: Vec<(PathBuf, Metadata)>,
    /// Further names of a file that is already in `files`: (new name, first name).
    links: Vec<(PathBuf, PathBuf)>,
    pub(crate) bytes: u64,
    left_out: LeftOut,
}

/// What could not be kept, and how often.
pub(crate) type LeftOut = BTreeMap<&'static str, usize>;

/// The whole tree below `from`, on its file system, without the folder `except`.
pub(crate) fn plan(
    from: &Path,
    except: &Path,
    cap: Option<Cap>,
    tally: &Tally,
) -> Result<Plan, FileError> {
    let root = fs::metadata(from).map_err(FileError::at("read", from))?;
    let _ = sorted_names(from)?; // An unreadable root is an error; below it, something left out.
    let except = fs::metadata(except).map_err(FileError::at("read", except))?;
    let mut plan = Plan {
        from: from.to_owned(),
        ..Plan::default()
    };
    let mut first_names = HashMap::new();
    let mut waiting = vec![(PathBuf::new(), root.clone())];
    while let Some((path, metadata)) = waiting.pop() {
        tally.check().map_err(FileError::at("list", from))?;
        if metadata.dev() != root.dev() {
            plan.leave_out("on another file system");
        } else if !metadata.is_dir() {
            if plan.add_file(path, metadata, cap, &mut first_names) {
                break;
            }
        } else if (metadata.dev(), metadata.ino()) != (except.dev(), except.ino()) {
            plan.add_folder(path, metadata, &mut waiting)?;
        }
    }
    Ok(plan)
}

impl Plan {
    /// Names other than folders.
    pub(crate) fn files(&self) -> usize {
        self.files.len() + self.links.len()
    }

    pub(crate) fn entries(&self) -> u64 {
        (self.folders.len() + self.files()) as u64
    }

    fn leave_out(&mut self, why: &'static str) {
        *self.left_out.entry(why).or_default() += 1;
    }

    /// Takes a folder and puts what is in it on the pile, last name deepest.
    fn add_folder(
        &mut self,
        path: PathBuf,
        metadata: Metadata,
        waiting: &mut Vec<(PathBuf, Metadata)>,
    ) -> Result<(), FileError> {
        let names = match sorted_names(&self.from.join(&path)) {
            Err(error) if forbidden_or_gone(error.kind()) => {
                self.leave_out("not readable");
                return Ok(());
            }
            names => names?,
        };
        for name in names.into_iter().rev() {
            let below = path.join(name);
            let full = self.from.join(&below);
            match fs::symlink_metadata(&full) {
                Ok(metadata) => waiting.push((below, metadata)),
                Err(error) if forbidden_or_gone(error.kind()) => self.leave_out("not readable"),
                Err(error) => return Err(FileError::at("read", &full)(error)),
            }
        }
        self.folders.push((path, metadata));
        Ok(())
    }

    /// Takes one file; true when the cap is reached and nothing more is to be taken.
    fn add_file(
        &mut self,
        path: PathBuf,
        metadata: Metadata,
        cap: Option<Cap>,
        first_names: &mut HashMap<(u64, u64), PathBuf>,
    ) -> bool {
        let kind = metadata.file_type();
        if kind.is_socket() {
            self.leave_out("a socket");
            return false;
        }
        let size = if kind.is_file() { metadata.len() } else { 0 };
        if let Some(cap) = cap {
            if size > cap.file {
                return false;
            }
            let entries = self.files.len() + self.folders.len() + self.links.len();
            if self.bytes + size > cap.bytes || entries >= cap.entries {
                return true;
            }
        }
        if metadata.nlink() > 1 {
            let inode = (metadata.dev(), metadata.ino());
            if let Some(first) = first_names.get(&inode) {
                self.links.push((path, first.clone()));
                return false;
            }
            first_names.insert(inode, path.clone());
        }
        self.bytes += size;
        self.files.push((path, metadata));
        false
    }

    /// Carries the plan out below the new folder `to`. `tally` counts bytes as they are written.
    pub(crate) fn carry_out(self, to: &Path, tally: &Tally) -> Result<LeftOut, FileError> {
        let Self {
            from,
            folders,
            files,
            links,
            left_out,
            ..
        } = self;
        let left_out = Mutex::new(left_out);
        let leave_out = |why| {
            *left_out
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(why)
                .or_default() += 1;
        };
        for (path, _) in &folders {
            let path = to.join(path);
            fs::create_dir(&path).map_err(FileError::at("create", &path))?;
        }
        parallel::map(&files, |(path, metadata)| {
            let (source, target) = (from.join(path), to.join(path));
            match create(&source, &target, metadata, tally) {
                Ok(()) => keep(&source, &target, metadata, &leave_out),
                Err(error) if forbidden_or_gone(error.kind()) => {
                    leave_out(if metadata.is_file() {
                        "not readable"
                    } else {
                        "not allowed"
                    });
                    Ok(())
                }
                Err(error) => Err(error),
            }
        })?;
        for (path, first) in &links {
            let (first, path) = (to.join(first), to.join(path));
            match fs::hard_link(&first, &path) {
                Err(error) if forbidden_or_gone(error.kind()) => leave_out("not readable"),
                done => done.map_err(FileError::at("link", &path))?,
            }
        }
        // Last, deepest first: writing into a folder changes its time, and may need its rights.
        for (path, metadata) in folders.iter().rev() {
            keep(&from.join(path), &to.join(path), metadata, &leave_out)?;
        }
        Ok(left_out
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner))
    }
}

fn forbidden_or_gone(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound
    )
}

/// Makes `target` what `source` is, without its mode, owner and times.
fn create(
    source: &Path,
    target: &Path,
    metadata: &Metadata,
    tally: &Tally,
) -> Result<(), FileError> {
    let kind = metadata.file_type();
    if kind.is_file() {
        return copy_file(source, target, tally).map_err(FileError::at("copy", source));
    }
    if kind.is_symlink() {
        let to = fs::read_link(source).map_err(FileError::at("read the link", source))?;
        return std::os::unix::fs::symlink(to, target).map_err(FileError::at("link", target));
    }
    let kind = if kind.is_fifo() {
        FileType::Fifo
    } else if kind.is_block_device() {
        FileType::BlockDevice
    } else {
        FileType::CharacterDevice
    };
    mknodat(CWD, target, kind, Mode::RUSR | Mode::WUSR, metadata.rdev())
        .map_err(|error| FileError::at("create", target)(error.into()))
}

fn copy_file(source: &Path, target: &Path, tally: &Tally) -> io::Result<()> {
    // The path may have become a fifo since it was listed: never wait for a writer.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let from = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(source)?;
    let to = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(target)?;
    for part in holes::stored(&from)? {
        copy_part(&from, &to, part.start, part.end, tally)?;
    }
    to.set_len(from.metadata()?.len())
}

fn copy_part(from: &File, to: &File, start: u64, end: u64, tally: &Tally) -> io::Result<()> {
    let mut buffer = vec![0; (128 << 10).min(usize::try_from(end - start).unwrap_or(usize::MAX))];
    let mut at = start;
    while at < end {
        let want = buffer
            .len()
            .min(usize::try_from(end - at).unwrap_or(usize::MAX));
        tally.check()?;
        let read = from.read_at(&mut buffer[..want], at)?;
        if read == 0 {
            break; // Cut short by somebody else meanwhile.
        }
        to.write_all_at(&buffer[..read], at)?;
        at += read as u64;
        tally.add(read as u64);
    }
    Ok(())
}

/// Gives `target` the owner, mode, attributes and times of `source`, as far as rights go.
fn keep(
    source: &Path,
    target: &Path,
    metadata: &Metadata,
    leave_out: &impl Fn(&'static str),
) -> Result<(), FileError> {
    // Owner first: changing it clears set-uid bits and capabilities.
    match lchown(target, Some(metadata.uid()), Some(metadata.gid())) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        done => done.map_err(FileError::at("change the owner of", target))?,
    }
    let xattrs = xattr::all(source).map_err(FileError::at("read the attributes of", source))?;
    for (name, value) in xattrs {
        let set = xattr::set(target, &name, &value);
        if !set.map_err(FileError::at("set an attribute of", target))? {
            leave_out("an extended attribute");
        }
    }
    if !metadata.is_symlink() {
        fs::set_permissions(target, metadata.permissions())
            .map_err(FileError::at("change the mode of", target))?;
    }
    set_modified(target, metadata.mtime(), metadata.mtime_nsec())
        .map_err(|error| FileError::at("set the time of", target)(error.into()))
}

/// Sets the modification time of `path` itself, to the nanosecond.
pub(crate) fn set_modified(path: &Path, seconds: i64, nanoseconds: i64) -> Result<(), Errno> {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use crate::demo::{compare::differences, manifest::Manifest};

    fn copied(from: &Path, cap: Option<Cap>) -> (tempfile::TempDir, Manifest) {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("copy");
        let tally = Tally::default();
        plan(from, dir.path(), cap, &tally)
            .unwrap()
            .carry_out(&to, &tally)
            .unwrap();
        let manifest = Manifest::record(&to, &tally).unwrap();
        (dir, manifest)
    }

    #[test]
    fn a_copy_holds_what_the_original_holds() {
        let from = tempfile::tempdir().unwrap();
        let root = from.path();
        fs::create_dir_all(root.join("deep/er")).unwrap();
        fs::write(root.join("deep/file"), "text").unwrap();
        fs::hard_link(root.join("deep/file"), root.join("deep/er/again")).unwrap();
        symlink("/nowhere", root.join("link")).unwrap();
        let sparse = File::create(root.join("sparse")).unwrap();
        sparse.set_len(4 << 20).unwrap();
        sparse.write_all_at(b"x", 2 << 20).unwrap();
        fs::set_permissions(root.join("deep/file"), fs::Permissions::from_mode(0o4751)).unwrap();
        fs::set_permissions(root.join("deep/er"), fs::Permissions::from_mode(0o1555)).unwrap();
        set_modified(&root.join("deep/er"), -5, 123_456_789).unwrap();
        mknodat(CWD, root.join("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let original = Manifest::record(root, &Tally::default()).unwrap();
        let (dir, copy) = copied(root, None);
        assert_eq!(differences(&original, &copy), vec![]);
        // An ordinary user cannot remove the temporary folder otherwise.
        fs::set_permissions(root.join("deep/er"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(
            dir.path().join("copy/deep/er"),
            fs::Permissions::from_mode(0o755),
        )
        .unwrap();
    }

    #[test]
    fn a_cap_stops_at_the_same_file_each_time() {
        let from = tempfile::tempdir().unwrap();
        for at in 0..20 {
            fs::write(from.path().join(format!("{at:02}")), vec![0; 1000]).unwrap();
        }
        fs::write(from.path().join("05-large"), vec![0; 5000]).unwrap();
        let cap = Cap {
            bytes: 8_000,
            entries: 100,
            file: 4_000,
        };
        let (_dir, copy) = copied(from.path(), Some(cap));
        assert_eq!(copy.files(), 8);
        assert!(!copy.entries.contains_key(Path::new("05-large")));
        let cap = Cap { entries: 4, ..cap };
        assert_eq!(copied(from.path(), Some(cap)).1.files(), 3);
    }

    #[test]
    fn the_place_that_is_written_to_is_not_copied_into_itself() {
        let from = tempfile::tempdir().unwrap();
        fs::write(from.path().join("file"), "text").unwrap();
        let to = from.path().join("to");
        fs::create_dir(&to).unwrap();
        let plan = plan(from.path(), &to, None, &Tally::default()).unwrap();
        plan.carry_out(&to.join("copy"), &Tally::default()).unwrap();
        assert!(to.join("copy/file").exists());
        assert!(!to.join("copy/to").exists());
    }

    #[test]
    fn a_missing_source_is_named() {
        let error = plan(
            Path::new("/no/such"),
            Path::new("/"),
            None,
            &Tally::default(),
        )
        .unwrap_err();
        assert_eq!(error.to_string(), "cannot read /no/such");
    }
}
