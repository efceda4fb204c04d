//! Gives tests a small mounted file system in a mount namespace of their own, or says why not.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::mount::{MountFlags, MountPropagationFlags};
use tempfile::TempDir;

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
pub(super) fn small(test: &str) -> Option<Small> {
    let missing = FileSystem::Ext4
        .tools()
        .iter()
        .find(|it| it.find().is_none());
    let why = if !rustix::process::geteuid().is_root() {
        Some("not root".to_owned())
    } else if let Some(tool) = missing {
        Some(format!("{} is missing", tool.program))
    } else {
        File::open(loops::CONTROL)
            .err()
            .map(|error| error.to_string())
    };
    if let Some(why) = why {
        println!("not run: {test} needs loop devices and the right to mount: {why} (1 test)");
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
