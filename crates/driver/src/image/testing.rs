//! Gives tests a small mounted file system in a mount namespace of their own, or says why not.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::mount::{MountFlags, MountPropagationFlags};
use tempfile::TempDir;
use tintype_testing::{not_run, without, without_loop_devices, without_mounts};

use super::format::FileSystem;
use super::loops::{self, Way};
use crate::mounts::Mount;

/// A mounted ext4; gone with the test, however that ends.
pub(super) struct Small {
    pub(super) place: PathBuf,
    folder: TempDir,
}

impl Small {
    pub(super) fn open(&self) -> OwnedFd {
        OwnedFd::from(File::open(&self.place).unwrap())
    }

    pub(super) fn marks(&self) -> PathBuf {
        self.folder.path().join("marks")
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // As the folder goes; without this the namespace would take it away.
        crate::mounts::clear(&self.place).unwrap();
    }
}

/// None, and said, where nothing can be mounted.
pub(super) fn small() -> Option<Small> {
    let missing = without_mounts()
        .or_else(|| lacking(FileSystem::Ext4))
        .or_else(without_loop_devices);
    if let Some(why) = missing {
        not_run(&why);
        return None;
    }
    alone();
    let prefix = format!("tintype-test-{}-", std::process::id());
    let folder = tempfile::Builder::new().prefix(&prefix).tempdir().unwrap();
    let image = folder.path().join("image");
    let file = File::create_new(&image).unwrap();
    file.set_len(FileSystem::Ext4.least()).unwrap();
    FileSystem::Ext4.make(&image).unwrap();
    let way = Way {
        block_size: 512,
        lasting: false,
        writable: true,
    };
    let device = loops::attach(&image, way).unwrap();
    let place = folder.path().join("mounted");
    let mount = Mount {
        device: &device.path(),
        file_system: "ext4",
        flags: MountFlags::empty(),
        options: c"",
        image: &image,
        cure: "",
    };
    mount.at(&place).unwrap();
    fs::create_dir(folder.path().join("marks")).unwrap();
    Some(Small { place, folder })
}

/// What this thread mounts from now on, nobody else sees, and it goes when the test does.
fn alone() {
    #[expect(
        deprecated,
        reason = "the safe form; only with shared file descriptors it would not be"
    )]
    rustix::thread::unshare(rustix::thread::UnshareFlags::NEWNS).unwrap();
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).unwrap();
}

/// Why this file system cannot be made here.
fn lacking(kind: FileSystem) -> Option<String> {
    let programs: Vec<&str> = kind.tools().iter().map(|it| it.program).collect();
    without(&programs)
}

/// Whether this file system can be made here; said if not.
pub(super) fn makes(kind: FileSystem) -> bool {
    let missing = lacking(kind);
    if let Some(why) = &missing {
        not_run(&format!("{}: {why}", kind.name()));
    }
    missing.is_none()
}
