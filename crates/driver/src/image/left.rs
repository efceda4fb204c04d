//! Finds what an earlier process left: volumes that it froze, mounted or attached.
//!
//! It does not know whether that process ended as it should or was killed.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;

use rustix::io::Errno;

use super::Image;
use super::loops;
use crate::refusal::Refusal;
use crate::{ioctl, mounts};

impl Image {
    /// Thaws what is marked as frozen; what cannot be thawed keeps its mark.
    pub(super) fn thaw_marked(&self) -> Result<(), Refusal> {
        let marks = self.marks();
        for entry in fs::read_dir(&marks).map_err(Refusal::io("list", &marks))? {
            let mark = entry.map_err(Refusal::io("list", &marks))?;
            let id = mark.file_name().to_string_lossy().into_owned();
            match self.thaw_left(&id) {
                Ok(()) => {
                    fs::remove_file(mark.path()).map_err(Refusal::io("remove", mark.path()))?;
                }
                // The other volumes are not to wait for this one.
                Err(refusal) => tracing::error!(id, %refusal, "a volume may still be frozen"),
            }
        }
        Ok(())
    }

    fn thaw_left(&self, id: &str) -> Result<(), Refusal> {
        let (image, place) = (self.image(id), self.place(id));
        if image.is_file()
            && let Some(device) = loops::find(&image)?
        {
            // It may be mounted where we do not see it.
            self.mount(id, &device)?;
        }
        if mounts::mounted(&place)?.is_none() {
            return Ok(());
        }
        let folder = File::open(&place).map_err(Refusal::io("open", &place))?;
        match ioctl::thaw(&folder) {
            Ok(()) => tracing::warn!(id, "thawed what an earlier process left frozen"),
            Err(Errno::INVAL) => {}
            Err(errno) => return Err(Refusal::io("thaw", place)(errno)),
        }
        Ok(())
    }

    /// Unmounts and detaches what is there for volumes that are not known.
    pub(super) fn let_go_of_unknown(&self, is_known: &dyn Fn(&str) -> bool) -> Result<(), Refusal> {
        let folder = self.root.join("mounts");
        for entry in fs::read_dir(&folder).map_err(Refusal::io("list", &folder))? {
            let path = entry.map_err(Refusal::io("list", &folder))?;
            if path.file_name().to_str().is_some_and(is_known) {
                continue;
            }
            if let Err(refusal) = mounts::clear(&path.path()) {
                tracing::warn!(%refusal, "left mounted: of a volume that is no more");
            }
        }
        for (id, loops::Attached { number, file }) in self.attached_files()? {
            let gone = file.to_string_lossy().ends_with(" (deleted)");
            if (gone || !is_known(&id))
                && let Some(device) = loops::take(number)?
                && device.is_lasting()
            {
                tracing::warn!(file = %file.display(), number, "detaching what is no more");
                device.clear()?;
            }
        }
        Ok(())
    }

    /// Ids of volumes for which something is mounted or attached, as far as that can be told.
    pub(super) fn attached_ids(&self) -> BTreeSet<String> {
        let mounts = fs::read_dir(self.root.join("mounts")).into_iter().flatten();
        let mounted = mounts.filter_map(|it| it.ok()?.file_name().into_string().ok());
        let devices = self.attached_files().unwrap_or_default();
        mounted
            .chain(devices.into_iter().map(|(id, _)| id))
            .collect()
    }

    /// Devices behind which there are images of volumes, with the ids.
    pub(super) fn attached_files(&self) -> Result<Vec<(String, loops::Attached)>, Refusal> {
        let volumes = self.pool.folder().join("volumes");
        let id_of = |file: &Path| {
            let below = file.strip_prefix(&volumes).ok()?;
            Some(below.iter().next()?.to_str()?.to_owned())
        };
        let attached = loops::attached()?.into_iter();
        Ok(attached
            .filter_map(|it| Some((id_of(&it.file)?, it)))
            .collect())
    }
}
