//! Makes file systems in image files, tells which one is in a file and how large it is, and makes
//! it larger.
//!
//! It does not know which volume a file is of.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::thread::CapabilitySet;

use super::journal;
use crate::refusal::Refusal;
use crate::tools::Tool;

pub(crate) const MIB: u64 = 1 << 20;

/// From this size on, mke2fs would make the journal of an ext4 larger than [`JOURNAL`] says.
const LARGE: u64 = 1024 * MIB;

/// For mke2fs, in mebibytes: each snapshot has its own copy of what was written to the journal, and
/// a volume that is cut often pays for as much of it as there is.
const JOURNAL: &str = "size=16";

/// Blocks and sectors of every file system here, so that device and file agree on alignment.
pub(crate) const BLOCK: u32 = 4096;

pub(crate) const MKFS_XFS: Tool = Tool::new("mkfs.xfs", "xfsprogs");
const GROW_XFS: Tool = Tool::new("xfs_growfs", "xfsprogs");
const MKFS_EXT4: Tool = Tool::new("mkfs.ext4", "e2fsprogs");
const DEBUG_EXT4: Tool = Tool::new("debugfs", "e2fsprogs");
const CHECK_EXT4: Tool = Tool::new("e2fsck", "e2fsprogs");
const GROW_EXT4: Tool = Tool::new("resize2fs", "e2fsprogs");

/// What may be in an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileSystem {
    Ext4,
    Xfs,
}

impl FileSystem {
    /// As mount(8) and classes call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Ext4, Self::Xfs]
            .into_iter()
            .find(|it| it.name() == name)
    }

    /// What it needs on this machine.
    pub(crate) fn tools(self) -> &'static [Tool] {
        match self {
            Self::Ext4 => &[MKFS_EXT4, DEBUG_EXT4, CHECK_EXT4, GROW_EXT4],
            Self::Xfs => &[MKFS_XFS, GROW_XFS],
        }
    }

    /// Bytes below which it has no room for its journal.
    pub(crate) fn least(self) -> u64 {
        match self {
            Self::Ext4 => 16 * MIB,
            // xfsprogs 5.19 and later refuse less.
            Self::Xfs => 300 * MIB,
        }
    }

    /// Options for mount(2).
    pub(crate) fn options(self) -> &'static std::ffi::CStr {
        match self {
            // A new image is all zeros: nothing has to be zeroed in the background.
            Self::Ext4 => c"discard,noinit_itable,errors=remount-ro",
            // A clone has the UUID of its original.
            Self::Xfs => c"discard,nouuid",
        }
    }

    /// What to do about a damaged one.
    pub(crate) fn cure(self) -> &'static str {
        match self {
            Self::Ext4 => "e2fsck -f",
            Self::Xfs => "xfs_repair",
        }
    }

    /// Makes one in a file of the right length; anybody may write to its root folder, as workloads
    /// run as anybody.
    pub(crate) fn make(self, image: &Path) -> Result<(), Refusal> {
        match self {
            Self::Ext4 => make_ext4(image),
            Self::Xfs => make_xfs(image),
        }?;
        journal::write_out(image).map_err(Refusal::io("write the journal of", image))
    }

    /// Whether this process may make one larger while it is mounted.
    pub(crate) fn grows_mounted(self) -> bool {
        match self {
            // EXT4_IOC_RESIZE_FS asks for this right, as nothing else here does.
            Self::Ext4 => rustix::thread::capabilities(None)
                .is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_RESOURCE)),
            Self::Xfs => true,
        }
    }

    /// Makes a mounted one as large as its device.
    pub(crate) fn grow(self, device: &Path, folder: &Path) -> Result<(), Refusal> {
        match self {
            Self::Ext4 => GROW_EXT4.run(&[device], device),
            Self::Xfs => GROW_XFS.run(&[folder], folder),
        }
        .map(drop)
    }

    /// Makes one as large as its device that is mounted nowhere.
    pub(crate) fn grow_unmounted(self, device: &Path) -> Result<(), Refusal> {
        if self == Self::Ext4 {
            // resize2fs(8) insists on a check just before.
            CHECK_EXT4.run_to(
                1,
                &["-f".as_ref(), "-p".as_ref(), device.as_os_str()],
                device,
            )?;
            GROW_EXT4.run(&[device], device)?;
        }
        Ok(())
    }
}

fn make_ext4(image: &Path) -> Result<(), Refusal> {
    let block = BLOCK.to_string();
    let mut args: Vec<&std::ffi::OsStr> = ["-q", "-F", "-b", &block, "-m", "0", "-E"]
        .map(std::ffi::OsStr::new)
        .to_vec();
    args.push("lazy_itable_init=1,lazy_journal_init=1,nodiscard".as_ref());
    let length = fs::metadata(image).map_err(Refusal::io("look at", image))?;
    if length.len() >= LARGE {
        args.extend(["-J", JOURNAL].map(std::ffi::OsStr::new));
    }
    args.push(image.as_ref());
    MKFS_EXT4.run(&args, image)?;
    // Without mounting it, so that nothing is left attached if we die.
    // A program that looks for an empty folder finds one; e2fsck makes lost+found when it needs it.
    for request in ["set_inode_field <2> mode 040777", "rmdir lost+found"] {
        let args = ["-w", "-R", request].map(std::ffi::OsStr::new);
        let said = DEBUG_EXT4.run(&[&args[..], &[image.as_ref()]].concat(), image)?;
        // It ends well whatever happened, and says its version first.
        if let Some(problem) = said.lines().nth(1) {
            return Err(Refusal::Tool {
                program: DEBUG_EXT4.program,
                path: image.to_owned(),
                problem: problem.to_owned(),
            });
        }
    }
    Ok(())
}

/// mkfs.xfs(8): no boot file, no sizes, and a root folder of mode 0777.
const PROTOTYPE: &str = "/\n0 0\nd--777 0 0\n$\n";

fn make_xfs(image: &Path) -> Result<(), Refusal> {
    let prototype = image.with_file_name("prototype");
    fs::write(&prototype, PROTOTYPE).map_err(Refusal::io("write", &prototype))?;
    let sector = format!("size={BLOCK}");
    let args = ["-q", "-f", "-K", "-s", &sector, "-p"].map(std::ffi::OsStr::new);
    let made = MKFS_XFS.run(
        &[&args[..], &[prototype.as_ref(), image.as_ref()]].concat(),
        image,
    );
    fs::remove_file(&prototype).map_err(Refusal::io("remove", &prototype))?;
    made.map(drop)
}

/// What a file system says of itself in its first block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub(crate) kind: FileSystem,
    pub(crate) bytes: u64,
}

/// Reads which file system is in a file; none: no one that we know.
pub(crate) fn look(image: &File) -> io::Result<Option<Superblock>> {
    let mut head = [0; 4096];
    match image.read_exact_at(&mut head, 0) {
        Ok(()) => Ok(xfs(&head).or_else(|| ext4(&head))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// `struct xfs_dsb`: magic, block size, data blocks; big-endian.
fn xfs(head: &[u8; 4096]) -> Option<Superblock> {
    let size = u32::from_be_bytes(head[4..8].try_into().ok()?);
    let blocks = u64::from_be_bytes(head[8..16].try_into().ok()?);
    let bytes = blocks.checked_mul(size.into())?;
    (head[..4] == *b"XFSB").then_some(Superblock {
        kind: FileSystem::Xfs,
        bytes,
    })
}

/// `struct ext4_super_block`, 1024 bytes in; little-endian.
fn ext4(head: &[u8; 4096]) -> Option<Superblock> {
    const WIDE: u32 = 0x80; // EXT4_FEATURE_INCOMPAT_64BIT
    let word = |at: usize| {
        let bytes = head.get(1024 + at..1024 + at + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    if word(0x38)? & 0xffff != 0xef53 {
        return None;
    }
    let mut blocks = u64::from(word(4)?);
    if word(0x60)? & WIDE != 0 {
        blocks |= u64::from(word(0x150)?) << 32;
    }
    let size = 1024_u64.checked_shl(word(0x18)?)?;
    Some(Superblock {
        kind: FileSystem::Ext4,
        bytes: blocks.checked_mul(size)?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::makes;
    use super::*;

    #[test]
    fn every_file_system_is_made_and_told_apart() {
        let place = tempfile::tempdir().unwrap();
        for kind in [FileSystem::Ext4, FileSystem::Xfs] {
            if !makes(kind) {
                continue;
            }
            let image = place.path().join(kind.name());
            let file = File::create_new(&image).unwrap();
            file.set_len(kind.least()).unwrap();
            kind.make(&image).unwrap();
            let file = File::open(&image).unwrap();
            let bytes = kind.least();
            assert_eq!(look(&file).unwrap(), Some(Superblock { kind, bytes }));
            assert_eq!(file.metadata().unwrap().len(), bytes);
        }
        let entries = fs::read_dir(place.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert!(names.into_iter().all(|it| FileSystem::named(&it).is_some()));
    }

    #[test]
    fn what_is_no_file_system_is_none() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("image");
        for bytes in [&b""[..], &[0; 100], &[0; 8192], &[0xff; 8192]] {
            fs::write(&path, bytes).unwrap();
            assert_eq!(look(&File::open(&path).unwrap()).unwrap(), None);
        }
    }

    #[test]
    fn names_come_back() {
        for kind in [FileSystem::Ext4, FileSystem::Xfs] {
            assert_eq!(FileSystem::named(kind.name()), Some(kind));
        }
        assert_eq!(FileSystem::named("btrfs"), None);
    }
}
