//! Copies random trees and compares everything that can be seen of them.

use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use proptest::prelude::*;
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};
use tempfile::TempDir;

use super::*;

static GO_ON: AtomicBool = AtomicBool::new(false);

/// What is put at one name.
#[derive(Clone, Debug)]
enum Thing {
    Folder(Vec<(Vec<u8>, Thing)>),
    /// Stretches of data at multiples of 64 KiB, and the length after the last one.
    File(Vec<(u8, Vec<u8>)>, u16),
    Symlink(Vec<u8>),
    Fifo,
    Socket,
    /// Another name for the first file that was made.
    Link,
}

#[derive(Clone, Debug)]
struct Looks {
    mode: u32,
    seconds: i64,
    nanos: u32,
    owner: u32,
    xattr: Option<Vec<u8>>,
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let odd = prop::collection::vec(
        any::<u8>().prop_filter("not in names", |byte| *byte != 0 && *byte != b'/'),
        1..12,
    );
    prop_oneof![
        3 => "[a-z]{1,8}".prop_map(String::into_bytes),
        1 => odd,
        1 => Just(vec![b'n'; 255]),
        1 => Just(b" \n-\\'\"*".to_vec()),
    ]
    .prop_filter("not a name", |name| name != b"." && name != b"..")
}

fn thing() -> impl Strategy<Value = Thing> {
    let data = prop::collection::vec(any::<u8>(), 1..200);
    let file = (
        prop::collection::vec((any::<u8>(), data), 0..3),
        any::<u16>(),
    )
        .prop_map(|(stretches, tail)| Thing::File(stretches, tail));
    let leaf = prop_oneof![
        4 => file,
        1 => name().prop_map(Thing::Symlink),
        1 => Just(Thing::Fifo),
        1 => Just(Thing::Socket),
        2 => Just(Thing::Link),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop::collection::vec((name(), inner), 0..6).prop_map(Thing::Folder)
    })
}

fn looks() -> impl Strategy<Value = Looks> {
    let xattr = prop::option::of(prop::collection::vec(any::<u8>(), 0..300));
    (
        0..0o10000_u32,
        -1_000_000_i64..4_000_000_000,
        0..1_000_000_000_u32,
        0..3_u32,
        xattr,
    )
        .prop_map(|(mode, seconds, nanos, owner, xattr)| Looks {
            mode,
            seconds,
            nanos,
            owner,
            xattr,
        })
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

struct Maker<'a> {
    looks: std::iter::Cycle<std::slice::Iter<'a, Looks>>,
    first_file: Option<PathBuf>,
}

impl Maker<'_> {
    fn make(&mut self, path: &Path, thing: &Thing) {
        if fs::symlink_metadata(path).is_ok() {
            return; // The same name twice.
        }
        match thing {
            Thing::Folder(children) => {
                fs::create_dir(path).unwrap();
                for (name, child) in children {
                    self.make(&path.join(OsStr::from_bytes(name)), child);
                }
            }
            Thing::File(stretches, tail) => {
                let file = File::create_new(path).unwrap();
                for (at, bytes) in stretches {
                    file.write_all_at(bytes, u64::from(*at) << 16).unwrap();
                }
                let length = file.metadata().unwrap().len() + u64::from(*tail);
                file.set_len(length).unwrap();
                self.first_file.get_or_insert_with(|| path.to_owned());
            }
            Thing::Symlink(target) => symlink(OsStr::from_bytes(target), path).unwrap(),
            Thing::Fifo => special(path, FileType::Fifo),
            Thing::Socket => special(path, FileType::Socket),
            Thing::Link => match &self.first_file {
                Some(first) => return fs::hard_link(first, path).unwrap(),
                None => return,
            },
        }
        let looks = self.looks.next().unwrap().clone();
        dress(path, &looks);
    }
}

fn special(path: &Path, kind: FileType) {
    rustix::fs::mknodat(CWD, path, kind, Mode::RUSR, 0).unwrap();
}

fn dress(path: &Path, looks: &Looks) {
    let kind = fs::symlink_metadata(path).unwrap().file_type();
    if is_root() {
        std::os::unix::fs::lchown(path, Some(looks.owner), Some(looks.owner + 7)).unwrap();
    }
    if let Some(value) = &looks.xattr {
        // User attributes are for files and folders only, trusted ones for root only.
        let name = if kind.is_file() || kind.is_dir() {
            Some(c"user.tintype")
        } else {
            is_root().then_some(c"trusted.tintype")
        };
        if let Some(name) = name {
            rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
        }
    }
    if !kind.is_symlink() {
        // An ordinary user needs to read what is copied.
        let readable = if is_root() { 0 } else { 0o700 };
        fs::set_permissions(path, Permissions::from_mode(looks.mode | readable)).unwrap();
    }
    let time = Timespec {
        tv_sec: looks.seconds,
        tv_nsec: looks.nanos.into(),
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// All that can be seen of one name.
#[derive(Debug, PartialEq, Eq)]
struct Sight {
    mode: u32,
    owner: (u32, u32),
    modified: (i64, i64),
    device: u64,
    content: Vec<u8>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first path with the same inode.
    same_as: Option<PathBuf>,
}

fn sights(root: &Path) -> BTreeMap<PathBuf, Sight> {
    let mut found = BTreeMap::new();
    let mut first = BTreeMap::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(relative) = pending.pop() {
        let path = root.join(&relative);
        let stat = fs::symlink_metadata(&path).unwrap();
        let mut content = Vec::new();
        if stat.is_dir() {
            let mut names: Vec<OsString> = fs::read_dir(&path)
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect();
            names.sort();
            pending.extend(names.iter().map(|name| relative.join(name)));
        } else if stat.is_file() {
            content = fs::read(&path).unwrap();
        } else if stat.is_symlink() {
            content = fs::read_link(&path).unwrap().into_os_string().into_vec();
        }
        let linked = !stat.is_dir() && stat.nlink() > 1;
        let same_as = linked.then(|| {
            let first = first.entry(stat.ino()).or_insert_with(|| relative.clone());
            first.clone()
        });
        let sight = Sight {
            mode: stat.mode(),
            owner: (stat.uid(), stat.gid()),
            modified: (stat.mtime(), stat.mtime_nsec()),
            device: stat.rdev(),
            content,
            xattrs: xattrs(&path),
            same_as,
        };
        found.insert(relative, sight);
    }
    found
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut list = vec![0; 65536];
    let length = rustix::fs::llistxattr(path, list.as_mut_slice()).unwrap();
    let names = list[..length].split_inclusive(|byte| *byte == 0);
    names
        .map(|name| {
            let mut value = vec![0; 65536];
            let key = CStr::from_bytes_with_nul(name).unwrap();
            let length = rustix::fs::lgetxattr(path, key, value.as_mut_slice()).unwrap();
            (name.to_vec(), value[..length].to_vec())
        })
        .collect()
}

fn copied(from: &Path) -> (TempDir, Report) {
    let to = TempDir::new().unwrap();
    let report = tree(from, to.path(), &GO_ON).unwrap();
    (to, report)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_copy_looks_like_the_original(
        things in prop::collection::vec((name(), thing()), 0..8),
        looks in prop::collection::vec(looks(), 1..12),
    ) {
        let from = TempDir::new().unwrap();
        let mut maker = Maker { looks: looks.iter().cycle(), first_file: None };
        for (name, thing) in &things {
            maker.make(&from.path().join(OsStr::from_bytes(name)), thing);
        }
        dress(from.path(), &looks[0]);
        let before = sights(from.path());
        let (to, report) = copied(from.path());
        prop_assert_eq!(report.lost, 0);
        prop_assert_eq!(&before, &sights(to.path()));
        prop_assert_eq!(before.len() as u64, report.folders + report.files);
    }
}

#[test]
fn holes_stay_holes() {
    let from = TempDir::new().unwrap();
    let file = File::create_new(from.path().join("sparse")).unwrap();
    file.write_all_at(b"start", 0).unwrap();
    file.write_all_at(b"middle", 512 << 20).unwrap();
    file.set_len(1 << 30).unwrap();
    let (to, report) = copied(from.path());
    let copy = fs::metadata(to.path().join("sparse")).unwrap();
    assert_eq!((copy.len(), report.bytes), (1 << 30, 1 << 30));
    assert!(copy.blocks() * 512 < 1 << 20, "{} blocks", copy.blocks());
    let file = File::open(to.path().join("sparse")).unwrap();
    let mut read = [0; 6];
    file.read_exact_at(&mut read, 512 << 20).unwrap();
    assert_eq!(&read, b"middle");
}

#[test]
fn a_file_ends_where_it_ended() {
    for length in [
        0,
        1,
        4095,
        4096,
        4097,
        BUFFER_SIZED - 1,
        BUFFER_SIZED,
        3 * BUFFER_SIZED + 1,
    ] {
        let from = TempDir::new().unwrap();
        let bytes: Vec<u8> = (0..=250).cycle().take(length).collect();
        fs::write(from.path().join("file"), &bytes).unwrap();
        let method = Method::reading_and_writing();
        let source = File::open(from.path().join("file")).unwrap();
        let target = File::create_new(from.path().join("copy")).unwrap();
        content::copy(source.as_fd(), target.as_fd(), &method, &GO_ON).unwrap();
        assert!(
            fs::read(from.path().join("copy")).unwrap() == bytes,
            "read and write {length}"
        );
        let (to, _) = copied(from.path());
        assert!(
            fs::read(to.path().join("file")).unwrap() == bytes,
            "in the kernel {length}"
        );
    }
}

const BUFFER_SIZED: usize = 256 << 10;

#[test]
fn depth_is_no_obstacle() {
    let from = TempDir::new().unwrap();
    let mut at = open_root(from.path()).unwrap();
    let name = [b'd'; 200];
    for _ in 0..300 {
        rustix::fs::mkdirat(&at, name.as_slice(), Mode::RWXU).unwrap();
        at = open_below(at.as_fd(), &name).unwrap();
    }
    rustix::fs::mkdirat(&at, "bottom", Mode::RWXU).unwrap();
    let to = TempDir::new().unwrap();
    let report = tree(from.path(), to.path(), &GO_ON).unwrap();
    assert_eq!(report.folders, 302);
    let path = vec![name.as_slice(); 300].join(&b'/');
    let path = [path.as_slice(), b"bottom"].join(&b'/');
    open_below(open_root(to.path()).unwrap().as_fd(), &path).unwrap();
    for place in [from, to] {
        let bin = crate::remove::Bin::new(place.path().to_owned());
        bin.empty().unwrap();
    }
}

#[test]
fn many_files_in_one_folder_are_all_copied() {
    let from = TempDir::new().unwrap();
    for number in 0..1000 {
        fs::write(from.path().join(number.to_string()), number.to_string()).unwrap();
        if number % 10 == 0 {
            let path = from.path().join(number.to_string());
            fs::hard_link(path, from.path().join(format!("link-{number}"))).unwrap();
        }
    }
    let (to, report) = copied(from.path());
    assert_eq!((report.files, report.links), (1100, 100));
    assert_eq!(sights(from.path()), sights(to.path()));
}

#[test]
fn a_link_is_not_followed_on_either_side() {
    let from = TempDir::new().unwrap();
    symlink("/etc", from.path().join("etc")).unwrap();
    fs::create_dir_all(from.path().join("inside/deep")).unwrap();
    symlink("inside", from.path().join("way")).unwrap();
    let source = open_root(from.path()).unwrap();
    let through = open_below(source.as_fd(), b"etc").unwrap_err();
    assert!(vanished(through), "{through:?}");
    let between = open_below(source.as_fd(), b"way/deep").unwrap_err();
    assert!(vanished(between), "{between:?}");
    open_below(source.as_fd(), b"inside/deep").unwrap();
    let (to, _) = copied(from.path());
    assert_eq!(
        fs::read_link(to.path().join("etc")).unwrap(),
        Path::new("/etc")
    );
}

#[test]
fn writers_meanwhile_do_not_make_it_fail() {
    let from = TempDir::new().unwrap();
    for number in 0..200 {
        fs::create_dir(from.path().join(format!("d{number}"))).unwrap();
        fs::write(from.path().join(format!("d{number}/f")), vec![7; 9000]).unwrap();
    }
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut round = 0_u32;
            while !ended.load(Ordering::Relaxed) {
                round += 1;
                let place = from.path().join(format!("d{}", round % 200));
                // Any of these may find the name in another state: that is the point.
                let _ = fs::remove_file(place.join("f"));
                let _ = fs::remove_dir(&place);
                let _ = match round % 3 {
                    0 => fs::write(&place, "a file now"),
                    1 => symlink("/etc", &place),
                    _ => fs::create_dir(&place),
                };
                let _ = fs::write(place.join("f"), vec![8; (round % 20_000) as usize]);
                let _ = fs::remove_file(&place);
            }
        });
        for _ in 0..20 {
            let (to, _) = copied(from.path());
            // Nothing of what a symlink pointed to.
            assert!(
                !sights(to.path())
                    .keys()
                    .any(|path| path.ends_with("passwd"))
            );
        }
        ended.store(true, Ordering::Relaxed);
    });
}

#[test]
fn it_stops_when_told() {
    let from = TempDir::new().unwrap();
    fs::write(from.path().join("file"), "x").unwrap();
    let to = TempDir::new().unwrap();
    let outcome = tree(from.path(), to.path(), &AtomicBool::new(true));
    assert!(matches!(outcome, Err(CopyError::Stopped)), "{outcome:?}");
}

#[test]
fn one_file_is_copied_with_its_attributes() {
    let place = TempDir::new().unwrap();
    let (from, to) = (place.path().join("from"), place.path().join("to"));
    let disk = File::create_new(&from).unwrap();
    disk.set_len(64 << 20).unwrap();
    disk.write_all_at(b"boot", 1 << 20).unwrap();
    let report = file(&from, &to, &GO_ON).unwrap();
    assert_eq!((report.files, report.bytes), (1, 64 << 20));
    assert_eq!(fs::read(&from).unwrap(), fs::read(&to).unwrap());
    assert!(fs::metadata(&to).unwrap().blocks() * 512 < 1 << 20);
}

#[test]
fn blocks_are_shared_where_they_can_be() {
    let from = TempDir::new().unwrap();
    let size = 32 << 20;
    fs::write(from.path().join("file"), vec![7; size]).unwrap();
    let (to, report) = copied(from.path());
    let there = fs::metadata(to.path().join("file")).unwrap();
    assert_eq!(there.len(), size as u64);
    let probe = File::create_new(from.path().join("probe")).unwrap();
    let original = File::open(from.path().join("file")).unwrap();
    if let Err(errno) = rustix::fs::ioctl_ficlone(&probe, &original) {
        tintype_testing::not_run(&format!(
            "it needs a file system that shares blocks for temporary files: {errno}"
        ));
        assert_eq!(report.cloned, 0);
        return;
    }
    assert_eq!(report.cloned, 1);
}
