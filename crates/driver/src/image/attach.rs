//! Attaches the images of volumes, mounts what is in them, and undoes both.
//!
//! What is attached or mounted is never remembered: the kernel knows, also what an earlier process
//! did. Everything here runs under the volume's hold in `busy`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::mount::MountFlags;

use super::format::{self, BLOCK, Superblock};
use super::loops::{self, Device, Way};
use super::{Image, LINGER};
use crate::ioctl;
use crate::mounts::{self, Mount};
use crate::record::{Shape, Volume};
use crate::refusal::{Kind, Refusal};

/// A file system that is smaller than its device by less than this is as large as it gets.
const SLACK: u64 = 64 << 10;

/// Room that is taken at once where blocks are written that snapshots share. A clone takes time for
/// every stretch of its file that lies by itself: what is written between two snapshots is to lie
/// beside what was written before, and not in a stretch of its own.
const COW_UNIT: u32 = 1 << 20;

impl Image {
    /// Where the image of a volume is.
    pub(super) fn image(&self, id: &str) -> PathBuf {
        self.shelf.data(Kind::Volume, id)
    }

    /// Where the file system of a volume is mounted.
    pub(super) fn place(&self, id: &str) -> PathBuf {
        self.root.join("mounts").join(id)
    }

    /// The length of a volume's image; refused if it is not all there.
    pub(super) fn length(&self, volume: &Volume) -> Result<u64, Refusal> {
        let (id, path) = (&volume.id, self.image(&volume.id));
        match fs::metadata(&path) {
            Ok(found) if !found.is_file() => Err(Refusal::Lost(format!(
                "{} of volume {id:?} is no image file; put back the file, or delete the volume",
                path.display()
            ))),
            Ok(found) if found.len() < volume.size_bytes => Err(Refusal::Lost(format!(
                "the image {} of volume {id:?} has {} bytes of {}; put it back from a backup, or \
                 delete the volume",
                path.display(),
                found.len(),
                volume.size_bytes
            ))),
            Ok(found) => Ok(found.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Refusal::Lost(format!(
                "the image {} of volume {id:?} is missing; put it back from a backup, or delete \
                 the volume",
                path.display()
            ))),
            Err(error) => Err(Refusal::io("look at", path)(error)),
        }
    }

    /// The device that a volume's image is behind, if any. A file system on it is mounted at its
    /// place from then on: somebody else may have it mounted where we do not see it.
    pub(super) fn adopt(&self, volume: &Volume) -> Result<Option<Device>, Refusal> {
        self.length(volume)?;
        let device = loops::find(&self.image(&volume.id))?;
        if let (Some(device), Shape::Folder { .. }) = (&device, &volume.shape) {
            self.mount(&volume.id, device)?;
        }
        Ok(device)
    }

    /// Attaches and mounts; done already is fine.
    pub(super) fn attach_held(&self, volume: &Volume) -> Result<Device, Refusal> {
        let length = self.length(volume)?;
        let image = self.image(&volume.id);
        keep_together(&image)?;
        let device = match loops::find(&image)? {
            Some(device) => device,
            None => loops::attach(&image, way(&volume.shape))?,
        };
        device.fit(length)?;
        if volume.shape != Shape::Block && mounts::mounted(&self.place(&volume.id))?.is_none() {
            grow_unmounted(&image, &device, length)?;
        }
        self.fit(volume, &device, length)?;
        Ok(device)
    }

    /// Whether a volume can be made larger while it is attached.
    pub(super) fn grows_attached(&self, volume: &Volume) -> Result<bool, Refusal> {
        let found = small(&self.image(&volume.id), u64::MAX)?;
        Ok(volume.shape == Shape::Block || found.is_none_or(|it| it.kind.grows_mounted()))
    }

    /// Makes an attached volume as large as its image.
    pub(super) fn fit(&self, volume: &Volume, device: &Device, length: u64) -> Result<(), Refusal> {
        device.fit(length)?;
        if volume.shape == Shape::Block {
            return Ok(());
        }
        self.mount(&volume.id, device)?;
        let image = self.image(&volume.id);
        let Some(found) = small(&image, length)? else {
            return Ok(());
        };
        if !found.kind.grows_mounted() {
            return Err(Refusal::Precondition(format!(
                "the {} of volume {:?} can be made larger while it is mounted only with \
                 CAP_SYS_RESOURCE; give the driver that right, or unpublish and unstage the \
                 volume: it grows when it is staged again",
                found.kind.name(),
                volume.id
            )));
        }
        tracing::info!(id = volume.id, from = found.bytes, to = length, "growing");
        found.kind.grow(&device.path(), &self.place(&volume.id))
    }

    /// Mounts what is on a device at the place of its volume; done already is fine.
    pub(super) fn mount(&self, id: &str, device: &Device) -> Result<(), Refusal> {
        let (image, place) = (self.image(id), self.place(id));
        match mounts::mounted(&place)? {
            Some(there) if there == device.id() => return Ok(()),
            // Of a device that is not this one any more.
            Some(_) => mounts::clear(&place)?,
            None => {}
        }
        let found = File::open(&image).and_then(|file| format::look(&file));
        let Some(found) = found.map_err(Refusal::io("read", &image))? else {
            return Err(Refusal::Lost(format!(
                "there is no file system in {} of volume {id:?}; restore the volume from a snapshot \
                 or a backup, or delete it",
                image.display()
            )));
        };
        let mount = Mount {
            device: &device.path(),
            file_system: found.kind.name(),
            flags: MountFlags::empty(),
            options: found.kind.options(),
            image: &image,
            cure: found.kind.cure(),
        };
        mount.at(&place)
    }

    /// Unmounts and detaches; undone already is fine.
    pub(super) fn detach_held(&self, id: &str) -> Result<(), Refusal> {
        mounts::clear(&self.place(id))?;
        let image = self.image(id);
        if !image.is_file() {
            return Ok(());
        }
        let began = Instant::now();
        while let Some(device) = loops::find(&image)? {
            // One that does not go by itself: of a block volume, or made by hand.
            if device.is_lasting() {
                device.sync()?;
                device.clear()?;
            }
            // Its users are gone, or somebody else has it mounted.
            if began.elapsed() > LINGER {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Refuses if anybody still uses a volume that was detached.
    pub(super) fn refuse_attached(&self, id: &str) -> Result<(), Refusal> {
        let image = self.image(id);
        if !image.is_file() {
            return Ok(());
        }
        match loops::find(&image)? {
            None => Ok(()),
            Some(device) => Err(Refusal::Precondition(format!(
                "volume {id:?} is still in use on {device}; `lsblk {device}` and `fuser -v \
                 {device}` tell where",
                device = device.path().display()
            ))),
        }
    }
}

/// Lets the blocks of an image stay in few stretches, however often it is cut.
fn keep_together(image: &Path) -> Result<(), Refusal> {
    let file = File::open(image).map_err(Refusal::io("open", image))?;
    match ioctl::set_cow_unit(file, COW_UNIT) {
        // A pool on another file system than XFS.
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::INVAL) => Ok(()),
        Err(errno) => Err(Refusal::io("set the attributes of", image)(errno)),
    }
}

/// Makes a file system larger before it is mounted, if that cannot be done afterwards.
fn grow_unmounted(image: &Path, device: &Device, length: u64) -> Result<(), Refusal> {
    match small(image, length)? {
        Some(found) if !found.kind.grows_mounted() => {
            tracing::info!(image = %image.display(), from = found.bytes, to = length, "growing");
            found.kind.grow_unmounted(&device.path())
        }
        _ => Ok(()),
    }
}

/// The file system in an image, if it leaves a part of it unused.
fn small(image: &Path, length: u64) -> Result<Option<Superblock>, Refusal> {
    let found = File::open(image).and_then(|file| format::look(&file));
    let found = found.map_err(Refusal::io("read", image))?;
    Ok(found.filter(|found| found.bytes.saturating_add(SLACK) <= length))
}

/// File systems have blocks of one size, of our choice; what is in a block volume may want the
/// smallest there is.
fn way(shape: &Shape) -> Way {
    match shape {
        Shape::Block => Way {
            block_size: 512,
            lasting: true,
            writable: true,
        },
        Shape::Folder { .. } => Way {
            block_size: BLOCK,
            lasting: false,
            writable: true,
        },
    }
}
