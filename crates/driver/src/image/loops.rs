//! Puts files behind loop devices, and finds those that are: no file is ever behind two, or two
//! file systems would write over each other.
//!
//! The kernel is asked every time, so that what an earlier process attached is found. It does not
//! know what is in a file.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::io::Errno;

use crate::ioctl;
use crate::refusal::Refusal;

/// The way to new devices.
pub(crate) const CONTROL: &str = "/dev/loop-control";

/// What every loop device has for its major number (linux/major.h).
const MAJOR: u32 = 7;

/// Somebody else may take a free device before us, but not for ever.
const TRIES: u32 = 64;

/// A loop device with a file behind it. As long as this lives, the device does not go by itself.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) number: u32,
    file: File,
}

impl Device {
    pub(crate) fn path(&self) -> PathBuf {
        node(self.number)
    }

    /// As `st_dev` of a file system on it has it.
    pub(crate) fn id(&self) -> u64 {
        makedev(MAJOR, self.number)
    }

    /// Makes it as large as its file, if the file is larger.
    pub(crate) fn fit(&self, length: u64) -> Result<(), Refusal> {
        let fit = || -> io::Result<()> {
            if (&self.file).seek(SeekFrom::End(0))? < length {
                ioctl::resize_loop(&self.file)?;
            }
            Ok(())
        };
        fit().map_err(Refusal::io("set the size of", self.path()))
    }

    /// Writes what is in memory to the file behind it.
    pub(crate) fn sync(&self) -> Result<(), Refusal> {
        let synced = self.file.sync_all();
        synced.map_err(Refusal::io("write out", self.path()))
    }

    /// Takes the file away from it, now or as soon as nobody uses it any more.
    pub(crate) fn clear(self) -> Result<(), Refusal> {
        match ioctl::clear_loop(&self.file) {
            Ok(()) | Err(Errno::NXIO) => Ok(()),
            Err(errno) => Err(Refusal::io("detach", self.path())(errno)),
        }
    }

    /// Whether it goes by itself when its last user does.
    pub(crate) fn is_lasting(&self) -> bool {
        ioctl::loop_info(&self.file).is_ok_and(|info| info.flags & ioctl::LO_FLAGS_AUTOCLEAR == 0)
    }

    /// How many writes it has answered since it was there.
    pub(crate) fn writes(&self) -> Result<u64, Refusal> {
        let path = sysfs(self.number).join("stat");
        let text = fs::read_to_string(&path).map_err(Refusal::io("read", &path))?;
        // Documentation/block/stat.rst: the fifth number is write I/Os.
        let count = text
            .split_whitespace()
            .nth(4)
            .and_then(|it| it.parse().ok());
        count.ok_or_else(|| {
            let problem = io::Error::new(io::ErrorKind::InvalidData, "no count of writes in it");
            Refusal::io("read", path)(problem)
        })
    }
}

/// One attached device, as sysfs shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attached {
    pub(crate) number: u32,
    /// As whoever attached it saw it; with " (deleted)" if the file has no name any more.
    pub(crate) file: PathBuf,
}

/// All devices with a file behind them.
pub(crate) fn attached() -> Result<Vec<Attached>, Refusal> {
    let folder = Path::new("/sys/block");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Refusal::io("list", folder))? {
        let name = entry.map_err(Refusal::io("list", folder))?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("loop"));
        let Some(number) = number.and_then(|number| number.parse().ok()) else {
            continue;
        };
        // Not there without a file, and gone with it at any moment.
        if let Ok(mut file) = fs::read(sysfs(number).join("loop/backing_file")) {
            if file.last() == Some(&b'\n') {
                file.pop();
            }
            let file = PathBuf::from(OsStr::from_bytes(&file));
            found.push(Attached { number, file });
        }
    }
    Ok(found)
}

/// The device that this file is behind, if it is behind one.
///
/// Names may differ between mount namespaces, but for their end; inodes do not.
pub(crate) fn find(path: &Path) -> Result<Option<Device>, Refusal> {
    let image = fs::metadata(path).map_err(Refusal::io("look at", path))?;
    for Attached { number, file } in attached()? {
        if !same_end(&file, path) {
            continue;
        }
        let Some(device) = open(number, false)? else {
            continue;
        };
        match ioctl::loop_info(&device) {
            Ok(info) if (info.device, info.inode) == (image.dev(), image.ino()) => {
                let file = device;
                return Ok(Some(Device { number, file }));
            }
            // Another file, or let go just now.
            Ok(_) | Err(Errno::NXIO) => {}
            Err(errno) => return Err(Refusal::io("ask", node(number))(errno)),
        }
    }
    Ok(None)
}

/// Whether two paths end with the same folder and name.
fn same_end(one: &Path, other: &Path) -> bool {
    let end = |path: &Path| {
        let mut names = path.iter().rev().map(OsStr::to_owned);
        (names.next(), names.next())
    };
    end(one) == end(other)
}

/// How a file is to be behind a device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// Bytes: 512, or as much as all that is in the file is aligned to.
    pub(crate) block_size: u32,
    /// Stays until it is detached, also without users.
    pub(crate) lasting: bool,
    /// What the kernel writes to the device reaches the file.
    pub(crate) writable: bool,
}

/// Puts a file behind a free device. It must be behind none, see [`find`].
pub(crate) fn attach(path: &Path, way: Way) -> Result<Device, Refusal> {
    // loop(4): a file that is open for reading only makes a device that is.
    let image = OpenOptions::new().read(true).write(way.writable).open(path);
    let image = image.map_err(Refusal::io("open", path))?;
    let control = OpenOptions::new().read(true).write(true).open(CONTROL);
    let control = control.map_err(Refusal::io("open", CONTROL))?;
    let mut flags = ioctl::LO_FLAGS_DIRECT_IO;
    if !way.lasting {
        flags |= ioctl::LO_FLAGS_AUTOCLEAR;
    }
    let name = path.as_os_str().as_bytes();
    for _ in 0..TRIES {
        let number = ioctl::free_loop(&control).map_err(Refusal::io("ask", CONTROL))?;
        let Some(device) = open(number, true)? else {
            continue;
        };
        match ioctl::configure_loop(&device, image.as_fd(), way.block_size, flags, name) {
            Ok(()) => {
                // Kept open for reading only: some kernels mount nothing that is open for writing.
                let file = File::open(node(number)).map_err(Refusal::io("open", node(number)))?;
                return Ok(Device { number, file });
            }
            Err(Errno::BUSY) => {}
            Err(errno) => return Err(Refusal::io("attach to a loop device", path)(errno)),
        }
    }
    Err(Refusal::Again(format!(
        "every free loop device was taken by somebody else before {} could be attached; try again",
        path.display()
    )))
}

/// The device of this number; none if nothing is behind it any more.
pub(crate) fn take(number: u32) -> Result<Option<Device>, Refusal> {
    let device = open(number, false)?.map(|file| Device { number, file });
    Ok(device.filter(|device| ioctl::loop_info(&device.file).is_ok()))
}

/// Opens a device; none if it went away meanwhile.
fn open(number: u32, write: bool) -> Result<Option<File>, Refusal> {
    let path = node(number);
    let open = || OpenOptions::new().read(true).write(write).open(&path);
    let opened = match open() {
        // Nobody makes nodes here, as in a container with a /dev of its own.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_node(number).and_then(|()| open())
        }
        opened => opened,
    };
    match opened {
        Ok(device) => Ok(Some(device)),
        Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => Ok(None),
        Err(error) => Err(Refusal::io("open", path)(error)),
    }
}

fn make_node(number: u32) -> io::Result<()> {
    let (mode, device) = (Mode::RUSR | Mode::WUSR, makedev(MAJOR, number));
    match mknodat(CWD, node(number), FileType::BlockDevice, mode, device) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn node(number: u32) -> PathBuf {
    PathBuf::from(format!("/dev/loop{number}"))
}

fn sysfs(number: u32) -> PathBuf {
    PathBuf::from(format!("/sys/block/loop{number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_a_name_counts() {
        let same = |one: &str, other: &str| same_end(Path::new(one), Path::new(other));
        assert!(same("/a/volumes/v/data", "/elsewhere/v/data"));
        assert!(!same("/a/volumes/w/data", "/a/volumes/v/data"));
        assert!(!same("/a/v/data (deleted)", "/a/v/data"));
    }
}
