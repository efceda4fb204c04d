//! Finds a place where images can be kept, alone in a mount namespace, or says why there is none.

use std::fs;
use std::path::Path;

use rustix::mount::MountPropagationFlags;
use tempfile::TempDir;
use tintype_csi::v1;
use tintype_csi::v1::volume_capability::{AccessType, MountVolume, access_mode::Mode};
use tintype_driver::{BackendChoice, Config, Driver};
use tintype_testing::{may_mount, not_run, without, without_loop_devices, without_mounts};

use crate::rig::*;

/// Memory as a file system: tests sync a lot.
const MEMORY: &str = "/dev/shm";

/// Room that a test may need at most.
const ROOM: u64 = 2 << 30;

/// The programs that the backend starts.
const TOOLS: [&str; 5] = [
    "mkfs.ext4",
    "debugfs",
    "resize2fs",
    "mkfs.xfs",
    "xfs_growfs",
];

/// Large enough for the largest volume of a test.
pub(crate) const POOL: u64 = 1 << 30;

/// A folder for one test; none, and said, where images cannot be attached and mounted.
///
/// To be called before anything else: threads that were started before see other mounts.
pub(crate) fn ground() -> Option<TempDir> {
    if let Some(why) = impossible() {
        not_run(&why);
        return None;
    }
    alone();
    Some(folder())
}

fn folder() -> TempDir {
    let prefix = format!("tintype-test-{}-", std::process::id());
    let memory = rustix::fs::statvfs(MEMORY).is_ok_and(|it| it.f_bavail * it.f_frsize > ROOM);
    let parent = if memory {
        Path::new(MEMORY).to_owned()
    } else {
        std::env::temp_dir()
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).tempdir_in(parent).unwrap()
}

/// Why there cannot be images here.
pub(crate) fn impossible() -> Option<String> {
    without_mounts()
        .or_else(|| without(&TOOLS))
        .or_else(without_loop_devices)
}

/// Nothing is left out unseen: where the driver would keep images, those tests run.
///
/// `.config/nextest.toml` shows what this one says, though it passes.
#[test]
fn images_are_tested_wherever_the_driver_would_keep_some() {
    let why = impossible();
    if let Some(why) = &why {
        println!("tests of images do not run here: {why}");
    }
    if may_mount() {
        alone();
    }
    let place = folder();
    let auto = Config {
        backend: BackendChoice::Auto,
        ..images(&place)
    };
    let driver = Driver::open(auto).unwrap();
    let expected = if why.is_none() { "image" } else { "directory" };
    assert_eq!(driver.backend().0, expected, "{:?}", driver.backend());
}

/// What this thread and those that it starts mount, nobody else sees; it goes when they do.
pub(crate) fn alone() {
    #[expect(
        deprecated,
        reason = "the safe form; only with shared file descriptors it would not be"
    )]
    rustix::thread::unshare(rustix::thread::UnshareFlags::NEWNS).unwrap();
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).unwrap();
}

/// A driver with images at this place.
pub(crate) fn images(place: &TempDir) -> Config {
    let config = config(&place.path().join("data"), BackendChoice::Image);
    Config {
        pool_size: Some(POOL),
        ..config
    }
}

/// Starts a driver with images, or says why not.
pub(crate) async fn image_rig() -> Option<Rig> {
    let place = ground()?;
    let config = images(&place);
    Some(Rig::of(place, config).await)
}

/// Access to files on a file system of this type.
pub(crate) fn files(fs_type: &str) -> v1::VolumeCapability {
    let mount = MountVolume {
        fs_type: fs_type.to_owned(),
        ..Default::default()
    };
    access(AccessType::Mount(mount), Mode::SingleNodeWriter)
}

/// A volume with that access, of this many mebibytes.
pub(crate) fn sized(
    name: &str,
    capability: v1::VolumeCapability,
    mebibytes: i64,
) -> v1::CreateVolumeRequest {
    v1::CreateVolumeRequest {
        capacity_range: range(mebibytes * MIB, 0),
        volume_capabilities: vec![capability],
        ..volume(name)
    }
}

/// Loop devices behind which there are files whose names have this in them.
pub(crate) fn devices(of: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/sys/block").unwrap() {
        let file = entry.unwrap().path().join("loop/backing_file");
        if let Ok(name) = fs::read_to_string(file)
            && name.contains(of.to_str().unwrap())
        {
            found.push(name.trim().to_owned());
        }
    }
    found.sort();
    found
}

/// What is mounted below a path, as this process sees it.
pub(crate) fn mounts(below: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let places = table.lines().filter_map(|line| line.split(' ').nth(4));
    let ours = places.filter(|place| Path::new(place).starts_with(below));
    ours.map(str::to_owned).collect()
}

/// The size of the file system at a path.
pub(crate) fn total(path: &Path) -> u64 {
    let found = rustix::fs::statvfs(path).unwrap();
    found.f_blocks * found.f_frsize
}

/// Bytes used of the file system at a path, as df(1) tells.
pub(crate) fn used(path: &Path) -> u64 {
    let found = rustix::fs::statvfs(path).unwrap();
    (found.f_blocks - found.f_bfree) * found.f_frsize
}
