//! Clones the images of volumes, all at one moment: freeze, clone, thaw.
//!
//! File systems are frozen. Devices cannot be: they are cloned, and it counts if none of them
//! answered a write between the first clone and the last. It does not know what the clones are for.

use std::fs::{self, File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::Image;
use super::format::MIB;
use super::freeze::{Freeze, Subject};
use super::loops::Device;
use crate::record::{Shape, Stamp, Volume};
use crate::refusal::Refusal;

/// For how long devices are watched for a quiet moment, while file systems are kept frozen.
const PATIENCE: Duration = Duration::from_secs(2);

/// Bytes that a freeze may write out while nobody else may write: tenths of a second on a slow disk.
const LITTLE: u64 = 32 * MIB;

/// One volume to be cloned.
struct Member<'a> {
    volume: &'a Volume,
    target: &'a Path,
    from: File,
    to: File,
    device: Option<Device>,
}

impl Image {
    /// Clones each volume's image to a new file, all of one moment, which is returned. The files
    /// are on disk by then. After an error the caller removes what is there.
    pub(super) fn clone_at_once(&self, pairs: &[(&Volume, &Path)]) -> Result<Stamp, Refusal> {
        let _held = self
            .busy
            .hold(pairs.iter().map(|(volume, _)| volume.id.as_str()));
        let mut members = Vec::with_capacity(pairs.len());
        for (volume, target) in pairs {
            members.push(self.member(volume, target)?);
        }
        let subjects = self.subjects(&members)?;
        for member in &members {
            if let (Some(device), Shape::Block) = (&member.device, &member.volume.shape) {
                device.sync()?;
            }
        }
        let freeze = Freeze::begin(&self.marks(), subjects)?;
        let cloned = clone_all(&members);
        // Thawed before anything else, also after a failure.
        let ended = freeze.end();
        let moment = cloned?;
        ended?;
        for member in &members {
            let synced = member.to.sync_all();
            synced.map_err(Refusal::io("sync", member.target))?;
        }
        Ok(moment)
    }

    fn member<'a>(&self, volume: &'a Volume, target: &'a Path) -> Result<Member<'a>, Refusal> {
        let device = self.adopt(volume)?;
        let image = self.image(&volume.id);
        let from = File::open(&image).map_err(Refusal::io("open", image))?;
        let to = new_file(target)?;
        Ok(Member {
            volume,
            target,
            from,
            to,
            device,
        })
    }

    /// What has to be frozen, with little left to write: nobody may write while it is written.
    fn subjects(&self, members: &[Member<'_>]) -> Result<Vec<Subject>, Refusal> {
        let mut subjects = Vec::new();
        for member in members {
            if member.device.is_none() || member.volume.shape == Shape::Block {
                continue;
            }
            let id = member.volume.id.clone();
            let place = self.place(&id);
            let folder = File::open(&place).map_err(Refusal::io("open", &place))?;
            if much_is_dirty() {
                rustix::fs::syncfs(&folder).map_err(Refusal::io("sync", &place))?;
            }
            let folder = OwnedFd::from(folder);
            subjects.push(Subject { id, place, folder });
        }
        Ok(subjects)
    }
}

/// Whether a freeze may have so much to write out that it is better done before, while others may
/// still write. Doing it twice takes longer.
fn much_is_dirty() -> bool {
    // No file system can have more than all of them.
    let Ok(text) = fs::read_to_string("/proc/meminfo") else {
        return true;
    };
    dirty(&text).is_none_or(|bytes| bytes > LITTLE)
}

/// Bytes that are in memory and not yet on any disk, from proc_meminfo(5).
fn dirty(text: &str) -> Option<u64> {
    let count = |name: &str| {
        let line = text.lines().find_map(|it| it.strip_prefix(name))?;
        let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        kibibytes.checked_mul(1024)
    };
    count("Dirty:")?.checked_add(count("Writeback:")?)
}

/// A new file that nobody else may read.
pub(super) fn new_file(path: &Path) -> Result<File, Refusal> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    options.open(path).map_err(Refusal::io("make", path))
}

/// Shares all blocks of one file with another, which is empty.
pub(super) fn share(from: &File, to: &File, path: &Path) -> Result<(), Refusal> {
    rustix::fs::ioctl_ficlone(to, from).map_err(Refusal::io("clone to", path))
}

/// Clones all; tries again as long as a device answers writes meanwhile.
fn clone_all(members: &[Member<'_>]) -> Result<Stamp, Refusal> {
    // One clone is of one moment by itself, also among frozen file systems.
    let devices: Vec<&Device> = members
        .iter()
        .filter(|member| member.volume.shape == Shape::Block)
        .filter_map(|member| member.device.as_ref())
        .collect();
    let devices = if devices.len() > 1 {
        devices
    } else {
        Vec::new()
    };
    let count = || {
        devices
            .iter()
            .map(|it| it.writes())
            .collect::<Result<Vec<_>, _>>()
    };
    let began = Instant::now();
    loop {
        let moment = Stamp::now();
        let before = count()?;
        for member in members {
            share(&member.from, &member.to, member.target)?;
        }
        if count()? == before {
            return Ok(moment);
        }
        if began.elapsed() > PATIENCE {
            let ids: Vec<_> = members.iter().map(|it| it.volume.id.as_str()).collect();
            return Err(Refusal::Again(format!(
                "block volumes of {ids:?} are written to without a pause, and devices cannot be \
                 held: stop the writers for a moment, or try again"
            )));
        }
        for member in members {
            let emptied = member.to.set_len(0);
            emptied.map_err(Refusal::io("empty", member.target))?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dirty_is_read_as_the_kernel_says_it() {
        let text = "MemFree:  7 kB\nDirty:               132 kB\nWriteback:             4 kB\n\
                    WritebackTmp:          9 kB\n";
        assert_eq!(dirty(text), Some(136 << 10));
        for odd in ["", "Dirty: 1 kB\n", "Dirty: x kB\nWriteback: 1 kB\n"] {
            assert_eq!(dirty(odd), None);
        }
        let here = fs::read_to_string("/proc/meminfo").unwrap();
        assert!(dirty(&here).is_some());
    }
}
