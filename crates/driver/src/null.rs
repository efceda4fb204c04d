//! Keeps names and sizes, and no bytes at all: for measuring what stands in front of a driver.
//!
//! A journal of one JSON line per change survives the process, not the machine: nothing is synced.
//! It accepts any source volume and any parameter. Nothing can be published.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::backend::{Backend, Cut, Fill, Growth, Origin, Room, Usage};
use crate::record::{Group, Snapshot, Stamp, Timed as _, Volume};
use crate::refusal::{Kind, Refusal};
use crate::shelf::Found;

#[derive(Debug)]
pub(crate) struct Null {
    path: PathBuf,
    /// Opened for appending: one write per line needs no lock.
    journal: File,
    /// What the journal held, until it is asked for.
    loaded: Mutex<Objects>,
}

#[derive(Debug, Default)]
struct Objects {
    volumes: BTreeMap<String, Volume>,
    snapshots: BTreeMap<String, Snapshot>,
    groups: BTreeMap<String, Group>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Volume(Volume),
    VolumeGone(String),
    Snapshot(Snapshot),
    SnapshotGone(String),
    Group(Group),
    GroupGone(String),
}

/// Room that never ends: 1 PiB.
const ROOM: u64 = 1 << 50;

impl Null {
    pub(crate) fn open(root: &Path) -> Result<Self, Refusal> {
        let path = root.join("journal");
        let objects = replay(&path)?;
        rewrite(&path, &objects)?;
        Self::of(path, objects)
    }

    /// Opens the journal as it is.
    pub(crate) fn look(root: &Path) -> Result<Self, Refusal> {
        let path = root.join("journal");
        let objects = replay(&path)?;
        Self::of(path, objects)
    }

    fn of(path: PathBuf, objects: Objects) -> Result<Self, Refusal> {
        let journal = OpenOptions::new().append(true).open(&path);
        let journal = journal.map_err(Refusal::io("open", &path))?;
        Ok(Self {
            path,
            journal,
            loaded: Mutex::new(objects),
        })
    }

    fn append(&self, line: &Line) -> Result<(), Refusal> {
        let mut bytes = serde_json::to_vec(line).map_err(Refusal::io("encode", &self.path))?;
        bytes.push(b'\n');
        (&self.journal)
            .write_all(&bytes)
            .map_err(Refusal::io("write", &self.path))
    }

    fn take<T>(&self, pick: impl FnOnce(&mut Objects) -> &mut BTreeMap<String, T>) -> Found<T> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = std::mem::take(pick(&mut loaded)).into_values().collect();
        Found {
            whole,
            damaged: Vec::new(),
        }
    }
}

fn replay(path: &Path) -> Result<Objects, Refusal> {
    let mut objects = Objects::default();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(objects),
        Err(error) => return Err(Refusal::io("open", path)(error)),
    };
    for line in BufReader::new(file).lines() {
        let line = line.map_err(Refusal::io("read", path))?;
        match serde_json::from_str(&line) {
            Ok(Line::Volume(volume)) => drop(objects.volumes.insert(volume.id.clone(), volume)),
            Ok(Line::VolumeGone(id)) => drop(objects.volumes.remove(&id)),
            Ok(Line::Snapshot(it)) => drop(objects.snapshots.insert(it.id.clone(), it)),
            Ok(Line::SnapshotGone(id)) => drop(objects.snapshots.remove(&id)),
            Ok(Line::Group(it)) => drop(objects.groups.insert(it.id.clone(), it)),
            Ok(Line::GroupGone(id)) => drop(objects.groups.remove(&id)),
            // The machine went down in the middle of a line: that change was not acknowledged.
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "skipped a line of the journal");
            }
        }
    }
    Ok(objects)
}

/// Writes only what is left.
fn rewrite(path: &Path, objects: &Objects) -> Result<(), Refusal> {
    let draft = path.with_extension("new");
    let write = || {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut out = BufWriter::new(options.open(&draft)?);
        for volume in objects.volumes.values() {
            serde_json::to_writer(&mut out, &Line::Volume(volume.clone()))?;
            out.write_all(b"\n")?;
        }
        for snapshot in objects.snapshots.values() {
            serde_json::to_writer(&mut out, &Line::Snapshot(snapshot.clone()))?;
            out.write_all(b"\n")?;
        }
        for group in objects.groups.values() {
            serde_json::to_writer(&mut out, &Line::Group(group.clone()))?;
            out.write_all(b"\n")?;
        }
        out.into_inner()?.sync_all()?;
        std::fs::rename(&draft, path)
    };
    write().map_err(Refusal::io("rewrite", path))
}

impl Backend for Null {
    fn name(&self) -> &'static str {
        "null"
    }

    fn is_lenient(&self) -> bool {
        true
    }

    fn load_volumes(&self) -> Result<Found<Volume>, Refusal> {
        Ok(self.take(|objects| &mut objects.volumes))
    }

    fn load_snapshots(&self) -> Result<Found<Snapshot>, Refusal> {
        Ok(self.take(|objects| &mut objects.snapshots))
    }

    fn load_groups(&self) -> Result<Found<Group>, Refusal> {
        Ok(self.take(|objects| &mut objects.groups))
    }

    fn record_of(&self, _kind: Kind, _id: &str) -> PathBuf {
        self.path.clone()
    }

    fn create_volume(
        &self,
        volume: &Volume,
        _origin: Origin<'_>,
        _stop: &AtomicBool,
    ) -> Result<(), Refusal> {
        self.append(&Line::Volume(volume.clone()))
    }

    fn grow(&self, volume: &Volume) -> Result<Growth, Refusal> {
        self.append(&Line::Volume(volume.clone()))?;
        Ok(Growth::Done)
    }

    fn delete_volume(&self, id: &str) -> Result<(), Refusal> {
        self.append(&Line::VolumeGone(id.to_owned()))
    }

    fn cuts_at_once(&self) -> bool {
        true
    }

    fn cut(&self, cuts: &[Cut<'_>], _stop: &AtomicBool) -> Result<Stamp, Refusal> {
        let moment = Stamp::now();
        for cut in cuts {
            self.append(&Line::Snapshot(cut.snapshot.at(moment)))?;
        }
        Ok(moment)
    }

    fn delete_snapshot(&self, id: &str) -> Result<(), Refusal> {
        self.append(&Line::SnapshotGone(id.to_owned()))
    }

    fn put_group(&self, group: &Group) -> Result<(), Refusal> {
        self.append(&Line::Group(group.clone()))
    }

    fn delete_group(&self, id: &str) -> Result<(), Refusal> {
        self.append(&Line::GroupGone(id.to_owned()))
    }

    fn room(&self) -> Result<Room, Refusal> {
        Ok(Room { available: ROOM })
    }

    fn attach(&self, volume: &Volume) -> Result<(), Refusal> {
        self.exposed(volume).map(drop)
    }

    fn detach(&self, _volume: &Volume) -> Result<(), Refusal> {
        Ok(())
    }

    fn exposed(&self, volume: &Volume) -> Result<PathBuf, Refusal> {
        Err(Refusal::Precondition(format!(
            "volume {:?} has no contents to show: the driver runs with --backend null",
            volume.id
        )))
    }

    fn fill(&self, volume: &Volume) -> Result<Fill, Refusal> {
        let total = volume.size_bytes;
        Ok(Fill {
            bytes: Usage {
                available: total,
                total,
                used: 0,
            },
            inodes: None,
        })
    }

    fn trouble(&self, _volume: &Volume) -> Option<String> {
        None
    }
}
