//! Keeps objects in folders so that each is there whole or not at all, whenever the process dies.
//!
//! ```text
//! volumes/ID/record.json    what is known of it
//! volumes/ID/data           its contents: a folder or a file
//! snapshots/ID/…            the same
//! groups/ID/record.json     which snapshots are of one moment
//! published/SUM.json        where volumes are shown
//! aside/N                   being made or being removed; swept at the start
//! ```
//!
//! It does not know what the contents are.

use std::ffi::CString;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::XattrFlags;
use serde::Serialize;

use crate::record::{self, Recorded, Stamp, Timed};
use crate::refusal::{Kind, Refusal};
use crate::remove::Bin;

#[derive(Debug)]
pub(crate) struct Shelf {
    root: PathBuf,
    aside: PathBuf,
    bin: Bin,
    /// What was in it at the start.
    leftovers: u64,
}

/// What was found of one kind.
#[derive(Debug)]
pub(crate) struct Found<T> {
    pub(crate) whole: Vec<T>,
    /// Ids whose record cannot be read, and why.
    pub(crate) damaged: Vec<(String, String)>,
}

/// What a store is made of.
const FOLDERS: [&str; 5] = ["volumes", "snapshots", "groups", "published", "aside"];

const RECORD: &str = "record.json";
const DATA: &str = "data";

/// The attribute of an object's folder that has a second copy of its record.
const COPY: &str = "user.tintype.record";

/// What an attribute can hold at most (xattr(7)).
const LONGEST_COPY: usize = 64 << 10;

impl Shelf {
    /// Opens the folders below `root`, making those that are missing, and sweeps leftovers.
    pub(crate) fn open(root: &Path) -> Result<Self, Refusal> {
        for name in FOLDERS {
            let path = root.join(name);
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
            made.map_err(Refusal::io("make the folder", &path))?;
        }
        let aside = root.join("aside");
        let bin = Bin::new(aside.clone());
        let swept = bin.empty().map_err(Refusal::io("sweep", &aside))?;
        if swept > 0 {
            tracing::info!(swept, "removed what an earlier run left half done");
        }
        Ok(Self {
            root: root.to_owned(),
            aside,
            bin,
            leftovers: swept,
        })
    }

    /// Takes the folders below `root` as they are: nothing is made or swept.
    pub(crate) fn look(root: &Path) -> Result<Self, Refusal> {
        let aside = root.join("aside");
        let listed = fs::read_dir(&aside).map_err(Refusal::io("list", &aside))?;
        Ok(Self {
            root: root.to_owned(),
            bin: Bin::new(aside.clone()),
            aside,
            leftovers: listed.count() as u64,
        })
    }

    /// How much an earlier run left half done; where that is, or was.
    pub(crate) fn leftovers(&self) -> (u64, &Path) {
        (self.leftovers, &self.aside)
    }

    /// Reads all records of one kind.
    pub(crate) fn load<T: Recorded>(&self) -> Result<Found<T>, Refusal> {
        let folder = self.folder(T::KIND);
        let mut found = Found {
            whole: Vec::new(),
            damaged: Vec::new(),
        };
        for entry in fs::read_dir(&folder).map_err(Refusal::io("list", &folder))? {
            let entry = entry.map_err(Refusal::io("list", &folder))?;
            let folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let Some(id) = entry.file_name().into_string().ok().filter(|_| folder) else {
                tracing::warn!(path = %entry.path().display(), "not a {}: left alone", T::KIND);
                continue;
            };
            let path = entry.path().join(RECORD);
            let value = fs::read(&path)
                .map_err(|error| error.to_string())
                .and_then(|bytes| record::decode::<T>(&bytes))
                .and_then(|value| {
                    if value.id() == id {
                        Ok(value)
                    } else {
                        Err(format!("it is of {:?}", value.id()))
                    }
                });
            match value {
                Ok(value) => found.whole.push(value),
                Err(problem) => {
                    tracing::error!(path = %path.display(), problem, "a damaged record");
                    found.damaged.push((id, problem));
                }
            }
        }
        Ok(found)
    }

    /// Makes an object: `fill` makes its contents at the path it is given.
    ///
    /// `fill` has to have synced them. Whatever fails, nothing is left.
    pub(crate) fn make<T: Recorded>(
        &self,
        value: &T,
        fill: impl FnOnce(&Path) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        self.make_drafts(1, |places| {
            places.first().map_or(Ok(()), |place| fill(place))?;
            Ok(vec![value.clone()])
        })
    }

    /// Makes several objects, all or none of them; `fill` says of which moment they are.
    pub(crate) fn make_all<T: Timed>(
        &self,
        values: &[&T],
        fill: impl FnOnce(&[PathBuf]) -> Result<Stamp, Refusal>,
    ) -> Result<Stamp, Refusal> {
        let mut moment = Stamp::default();
        self.make_drafts(values.len(), |places| {
            moment = fill(places)?;
            Ok(values.iter().map(|value| value.at(moment)).collect())
        })?;
        Ok(moment)
    }

    fn make_drafts<T: Recorded>(
        &self,
        count: usize,
        fill: impl FnOnce(&[PathBuf]) -> Result<Vec<T>, Refusal>,
    ) -> Result<(), Refusal> {
        let names: Vec<String> = (0..count).map(|_| self.bin.fresh()).collect();
        let mut placed = Vec::new();
        let outcome = self.put_drafts(&names, fill, &mut placed);
        if outcome.is_err() {
            // Not acknowledged, so not to be found by the next try either.
            for id in &placed {
                self.remove(T::KIND, id)?;
            }
            for name in &names {
                self.throw_away(name);
            }
        }
        outcome
    }

    fn put_drafts<T: Recorded>(
        &self,
        names: &[String],
        fill: impl FnOnce(&[PathBuf]) -> Result<Vec<T>, Refusal>,
        placed: &mut Vec<String>,
    ) -> Result<(), Refusal> {
        let drafts: Vec<PathBuf> = names.iter().map(|name| self.aside.join(name)).collect();
        for draft in &drafts {
            let made = DirBuilder::new().mode(0o700).create(draft);
            made.map_err(Refusal::io("make the folder", draft))?;
        }
        let places: Vec<PathBuf> = drafts.iter().map(|draft| draft.join(DATA)).collect();
        let values = fill(&places)?;
        for (draft, value) in drafts.iter().zip(&values) {
            write_record(draft, &draft.join(RECORD), value)?;
            sync_folder(draft)?;
        }
        for (draft, value) in drafts.iter().zip(&values) {
            let place = self.place(T::KIND, value.id());
            fs::rename(draft, &place).map_err(Refusal::io("put in place", place))?;
            placed.push(value.id().to_owned());
        }
        sync_folder(&self.folder(T::KIND))
    }

    /// Replaces what is known of an object.
    pub(crate) fn update<T: Recorded>(&self, value: &T) -> Result<(), Refusal> {
        let place = self.place(T::KIND, value.id());
        self.replace_with(&place.join(RECORD), |draft| {
            write_record(&place, draft, value)
        })
    }

    /// Writes a file whole or not at all.
    pub(crate) fn replace<T: Serialize>(&self, path: &Path, value: &T) -> Result<(), Refusal> {
        self.replace_with(path, |draft| write_synced(draft, &encode(draft, value)?))
    }

    fn replace_with(
        &self,
        path: &Path,
        write: impl FnOnce(&Path) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let name = self.bin.fresh();
        let draft = self.aside.join(&name);
        let outcome = write(&draft)
            .and_then(|()| fs::rename(&draft, path).map_err(Refusal::io("put in place", path)));
        if let Err(refusal) = outcome {
            self.throw_away(&name);
            return Err(refusal);
        }
        path.parent().map_or(Ok(()), sync_folder)
    }

    /// The second copy of a record, which its folder carries where the file system allows that.
    pub(crate) fn copy<T: Recorded>(&self, id: &str) -> Option<T> {
        let mut bytes = Vec::with_capacity(LONGEST_COPY);
        let place = self.place(T::KIND, id);
        rustix::fs::getxattr(&place, COPY, rustix::buffer::spare_capacity(&mut bytes)).ok()?;
        let value = record::decode::<T>(&bytes).ok()?;
        (value.id() == id).then_some(value)
    }

    /// Removes an object; one that is not there is removed already.
    ///
    /// It is gone as soon as it is renamed. What cannot be removed then is swept at the next start.
    pub(crate) fn remove(&self, kind: Kind, id: &str) -> Result<(), Refusal> {
        let place = self.place(kind, id);
        let name = self.bin.fresh();
        match fs::rename(&place, self.aside.join(&name)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Refusal::io("take away", &place)(error)),
        }
        sync_folder(&self.folder(kind))?;
        self.throw_away(&name);
        Ok(())
    }

    fn throw_away(&self, name: &str) {
        let Ok(name) = CString::new(name) else { return };
        if let Err(error) = self.bin.remove(&name) {
            let path = self.aside.display();
            tracing::warn!(%path, ?name, %error, "left for the next start to remove");
        }
    }

    /// Where an object's contents are.
    pub(crate) fn data(&self, kind: Kind, id: &str) -> PathBuf {
        self.place(kind, id).join(DATA)
    }

    /// Where an object's record is.
    pub(crate) fn record(&self, kind: Kind, id: &str) -> PathBuf {
        self.place(kind, id).join(RECORD)
    }

    pub(crate) fn published(&self) -> PathBuf {
        self.root.join("published")
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    fn place(&self, kind: Kind, id: &str) -> PathBuf {
        self.folder(kind).join(id)
    }

    fn folder(&self, kind: Kind) -> PathBuf {
        self.root.join(match kind {
            Kind::Volume => "volumes",
            Kind::Snapshot => "snapshots",
            Kind::Group => "groups",
        })
    }
}

/// Writes a record to a new file, and a second copy of it to the folder of its object.
fn write_record<T: Recorded>(folder: &Path, path: &Path, value: &T) -> Result<(), Refusal> {
    let bytes = encode(path, value)?;
    if let Err(error) = rustix::fs::setxattr(folder, COPY, &bytes, XattrFlags::empty()) {
        // Too long for this file system, or it has no attributes: then there is one copy.
        tracing::debug!(folder = %folder.display(), %error, "no second copy of the record");
    }
    write_synced(path, &bytes)
}

fn encode<T: Serialize>(path: &Path, value: &T) -> Result<Vec<u8>, Refusal> {
    record::encode(value).map_err(Refusal::io("encode", path))
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), Refusal> {
    let write = || {
        let mut file = File::create_new(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(Refusal::io("write", path))
}

pub(crate) fn sync_folder(path: &Path) -> Result<(), Refusal> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(Refusal::io("sync", path))
}
