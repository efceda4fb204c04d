//! Shows volumes at paths of this node and takes them away again.
//!
//! With the right to mount it is a bind mount, without it a symlink, which cannot be read-only.
//! What was at a path before is never covered nor deleted, unless it is an empty folder or file.
//! It does not know how bytes are kept.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, symlink};
use std::path::Path;

use rustix::fs::StatVfsMountFlags;
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::thread::CapabilitySet;

use crate::driver::Inner;
use crate::mounts::is_mount;
use crate::publications::{Publication, Way};
use crate::record::Volume;
use crate::refusal::Refusal;

/// A checked request to show a volume.
#[derive(Debug)]
pub(crate) struct Show {
    pub(crate) target: String,
    pub(crate) readonly: bool,
    pub(crate) flags: MountFlags,
}

/// Reads mount options that mean something for a bind mount.
pub(crate) fn mount_flags(options: &[String]) -> Result<(MountFlags, bool), Refusal> {
    let mut flags = MountFlags::empty();
    let mut readonly = false;
    for option in options.iter().flat_map(|options| options.split(',')) {
        flags |= match option {
            "ro" => {
                readonly = true;
                continue;
            }
            "" | "rw" | "defaults" | "bind" => continue,
            "nosuid" => MountFlags::NOSUID,
            "nodev" => MountFlags::NODEV,
            "noexec" => MountFlags::NOEXEC,
            "noatime" => MountFlags::NOATIME,
            "nodiratime" => MountFlags::NODIRATIME,
            "relatime" => MountFlags::RELATIME,
            _ => {
                // Without its value, which may be a password.
                let name = option.split('=').next().unwrap_or_default();
                return Err(Refusal::invalid(
                    "volume_capability.mount.mount_flags",
                    format!("{name:?} cannot be used on a bind mount; remove it from the class"),
                ));
            }
        };
    }
    Ok((flags, readonly))
}

/// Whether this process may mount.
pub(crate) fn may_mount() -> bool {
    rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

impl Inner {
    pub(crate) fn publish(&self, volume: &Volume, show: &Show) -> Result<(), Refusal> {
        self.backend.attach(volume)?;
        let source = self.backend.exposed(volume)?;
        let Show {
            target,
            readonly,
            flags,
        } = show;
        let place = Path::new(target);
        let earlier = self.publications.at(target);
        if let Some(earlier) = &earlier
            && is_live(earlier, &source)
        {
            return unchanged(earlier, volume, *readonly);
        }
        if let Some(earlier) = &earlier
            && earlier.volume_id != volume.id
            && let Ok(other) = self.existing_volume(&earlier.volume_id)
            && is_live(earlier, &self.backend.exposed(&other)?)
        {
            return unchanged(earlier, volume, *readonly);
        }
        let found = match look(place)? {
            None => false,
            Some(there) => {
                refuse_occupied(place, &there)?;
                // Made by an earlier try that did not get further.
                earlier.is_none_or(|earlier| earlier.found)
            }
        };
        let way = if may_mount() { Way::Bind } else { Way::Symlink };
        let publication = Publication {
            target: target.clone(),
            volume_id: volume.id.clone(),
            readonly: *readonly,
            way,
            found,
        };
        // Before the work, so that whatever comes of it can be undone after a crash.
        self.publications.put(publication)?;
        match way {
            Way::Bind => bind(&source, place, *readonly, *flags)?,
            Way::Symlink => link(&source, place, *readonly)?,
        }
        tracing::info!(id = volume.id, target, readonly, ?way, "published a volume");
        Ok(())
    }

    pub(crate) fn unpublish(&self, volume_id: &str, target: &str) -> Result<(), Refusal> {
        let Some(publication) = self.publications.at(target) else {
            return self.existing_volume(volume_id).map(drop);
        };
        if publication.volume_id != volume_id {
            let other = &publication.volume_id;
            let problem = format!("{target:?} shows volume {other:?}, not {volume_id:?}");
            return Err(Refusal::Precondition(problem));
        }
        let place = Path::new(target);
        match publication.way {
            Way::Bind => {
                let volume = self.catalog.volume(volume_id, self.backend.as_ref())?;
                let source = volume.and_then(|volume| self.backend.exposed(&volume).ok());
                unbind(place, source.as_deref())?;
            }
            Way::Symlink => unlink(place, self.root())?,
        }
        match look(place)? {
            Some(there) if !publication.found => {
                refuse_occupied(place, &there)?;
                remove_empty(place, &there)?;
            }
            None if publication.found && publication.way == Way::Symlink => {
                let made = DirBuilder::new().mode(0o755).create(place);
                made.map_err(Refusal::io("make the folder", place))?;
            }
            _ => {}
        }
        self.publications.remove(target)?;
        tracing::info!(id = volume_id, target, "unpublished a volume");
        Ok(())
    }

    /// Refuses if the volume is shown anywhere; forgets places where it no longer is.
    pub(crate) fn refuse_in_use(&self, volume: &Volume) -> Result<(), Refusal> {
        for publication in self.publications.of(&volume.id) {
            let source = self.backend.exposed(volume);
            if source.is_ok_and(|source| is_live(&publication, &source)) {
                let Publication {
                    volume_id, target, ..
                } = publication;
                return Err(Refusal::Precondition(format!(
                    "volume {volume_id:?} is published at {target:?}; unpublish it first"
                )));
            }
            self.publications.remove(&publication.target)?;
        }
        Ok(())
    }
}

fn unchanged(earlier: &Publication, volume: &Volume, readonly: bool) -> Result<(), Refusal> {
    if earlier.volume_id == volume.id && earlier.readonly == readonly {
        return Ok(());
    }
    let access = if earlier.readonly {
        "for reading only"
    } else {
        "for writing"
    };
    Err(Refusal::Occupied(format!(
        "{:?} shows volume {:?} {access} already; unpublish it first",
        earlier.target, earlier.volume_id
    )))
}

/// Whether a volume is shown where the record says.
pub(crate) fn is_live(publication: &Publication, source: &Path) -> bool {
    let target = Path::new(&publication.target);
    match publication.way {
        Way::Symlink => fs::read_link(target).is_ok_and(|to| to == source),
        Way::Bind => is_same(target, source),
    }
}

/// Whether two paths lead to one file; a bind mount does.
pub(crate) fn is_same(one: &Path, other: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => one.dev() == other.dev() && one.ino() == other.ino(),
        _ => false,
    }
}

fn look(place: &Path) -> Result<Option<Metadata>, Refusal> {
    match fs::symlink_metadata(place) {
        Ok(there) => Ok(Some(there)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = place.parent().unwrap_or(place);
            if parent.is_dir() {
                return Ok(None);
            }
            let problem = format!(
                "target_path: its folder {} does not exist; make it",
                parent.display()
            );
            Err(Refusal::Precondition(problem))
        }
        Err(error) => Err(Refusal::io("look at", place)(error)),
    }
}

fn refuse_occupied(place: &Path, there: &Metadata) -> Result<(), Refusal> {
    let empty = if there.is_dir() {
        let mut entries = fs::read_dir(place).map_err(Refusal::io("list", place))?;
        entries.next().is_none() && !is_mount(place)?
    } else {
        there.is_file() && there.len() == 0 && !is_mount(place)?
    };
    if empty {
        return Ok(());
    }
    Err(Refusal::Precondition(format!(
        "{} holds something of somebody else; choose an empty or missing path",
        place.display()
    )))
}

fn remove_empty(place: &Path, there: &Metadata) -> Result<(), Refusal> {
    let removed = if there.is_dir() {
        fs::remove_dir(place)
    } else {
        fs::remove_file(place)
    };
    removed.map_err(Refusal::io("remove", place))
}

fn bind(source: &Path, place: &Path, readonly: bool, flags: MountFlags) -> Result<(), Refusal> {
    if look(place)?.is_none() {
        let made = if source.is_dir() {
            DirBuilder::new().mode(0o750).create(place)
        } else {
            File::create_new(place).map(drop)
        };
        made.map_err(Refusal::io("make", place))?;
    }
    rustix::mount::mount_bind(source, place).map_err(Refusal::io("bind the volume to", place))?;
    if !readonly && flags.is_empty() {
        return Ok(());
    }
    // A remount sets all flags: those that the store's own mount has must stay.
    let mut all = flags | MountFlags::BIND | inherited(place)?;
    if readonly {
        all |= MountFlags::RDONLY;
    }
    if let Err(errno) = rustix::mount::mount_remount(place, all, c"") {
        rustix::mount::unmount(place, UnmountFlags::NOFOLLOW)
            .map_err(Refusal::io("unmount", place))?;
        return Err(Refusal::io("set the mount options of", place)(errno));
    }
    Ok(())
}

fn inherited(place: &Path) -> Result<MountFlags, Refusal> {
    let found = rustix::fs::statvfs(place)
        .map_err(Refusal::io("look at", place))?
        .f_flag;
    let table = [
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ];
    let kept = table.into_iter().filter(|(has, _)| found.contains(*has));
    Ok(kept.fold(MountFlags::empty(), |all, (_, flag)| all | flag))
}

fn link(source: &Path, place: &Path, readonly: bool) -> Result<(), Refusal> {
    if readonly {
        tracing::warn!(
            target_path = %place.display(),
            "without CAP_SYS_ADMIN a volume is shown through a symlink, which cannot be read-only"
        );
    }
    if let Some(there) = look(place)? {
        remove_empty(place, &there)?;
    }
    symlink(source, place).map_err(Refusal::io("make the symlink", place))
}

/// Takes away what we mounted, as often as it was mounted, and nothing else.
fn unbind(place: &Path, source: Option<&Path>) -> Result<(), Refusal> {
    while let Some(there) = look(place)? {
        if !is_mount(place)? {
            break;
        }
        // Without links: a volume whose data was removed under the mount.
        let ours = there.nlink() == 0 || source.is_some_and(|source| is_same(place, source));
        if !ours {
            return Err(Refusal::Precondition(format!(
                "{} shows something else than the volume; unmount that first",
                place.display()
            )));
        }
        rustix::mount::unmount(place, UnmountFlags::NOFOLLOW)
            .map_err(Refusal::io("unmount", place))?;
    }
    Ok(())
}

/// Takes away a symlink into our store, and nothing else.
fn unlink(place: &Path, root: &Path) -> Result<(), Refusal> {
    if fs::read_link(place).is_ok_and(|to| to.starts_with(root)) {
        fs::remove_file(place).map_err(Refusal::io("remove", place))?;
    }
    Ok(())
}
