//! Draws the line between the driver's rules and the ways of keeping bytes.
//!
//! A backend is called with valid values, from a blocking thread, and under the lock of every object
//! it is given: for change of what is made, grown or deleted, for reading of a source.
//! It does not know gRPC, and the rules beyond it do not know files.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use crate::record::{Group, Shape, Snapshot, Stamp, Volume};
use crate::refusal::Refusal;
use crate::shelf::Found;

/// What a new volume is filled from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin<'a> {
    Nothing,
    Snapshot(&'a Snapshot),
    Volume(&'a Volume),
}

/// One snapshot to be cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut<'a> {
    /// None: nobody knows it, and the backend said that this does not matter.
    pub(crate) source: Option<&'a Volume>,
    pub(crate) snapshot: &'a Snapshot,
}

/// Room in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) available: u64,
}

/// How full a volume is, in one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) available: u64,
    pub(crate) total: u64,
    pub(crate) used: u64,
}

/// How full a volume is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fill {
    pub(crate) bytes: Usage,
    pub(crate) inodes: Option<Usage>,
}

/// Whether the node has to finish an expansion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Growth {
    Done,
    OnNode,
}

/// A way of keeping volumes and snapshots.
///
/// After an error nothing half-made is left; after `Ok` the effect survives the process, and where
/// the backend says so the machine.
pub(crate) trait Backend: Debug + Send + Sync {
    /// As on the command line.
    fn name(&self) -> &'static str;

    /// Volumes that this driver did not make may be snapshotted, and unknown parameters are fine.
    fn is_lenient(&self) -> bool {
        false
    }

    fn load_volumes(&self) -> Result<Found<Volume>, Refusal>;
    fn load_snapshots(&self) -> Result<Found<Snapshot>, Refusal>;
    fn load_groups(&self) -> Result<Found<Group>, Refusal>;

    /// Where a record is, for messages.
    fn record_of(&self, kind: crate::refusal::Kind, id: &str) -> PathBuf;

    /// The shape of a new volume, from what is asked for and what it is filled from, if anything.
    fn settle(&self, wanted: Shape, _held: Option<&Shape>) -> Result<Shape, Refusal> {
        Ok(wanted)
    }

    /// The least size of a volume of this shape that holds this many bytes.
    fn round(&self, size: u64, _shape: &Shape) -> u64 {
        size
    }

    fn create_volume(
        &self,
        volume: &Volume,
        origin: Origin<'_>,
        stop: &AtomicBool,
    ) -> Result<(), Refusal>;

    /// Makes room for the size that `volume` now has, which is never less than before.
    fn grow(&self, volume: &Volume) -> Result<Growth, Refusal>;

    fn delete_volume(&self, id: &str) -> Result<(), Refusal>;

    /// Whether several snapshots are cut at one moment, and not one after the other.
    fn cuts_at_once(&self) -> bool;

    /// Cuts all of these or none; the moment goes into their records, and is returned.
    ///
    /// Died half-way, a part may be there: the caller writes down last what belongs together.
    fn cut(&self, cuts: &[Cut<'_>], stop: &AtomicBool) -> Result<Stamp, Refusal>;

    fn delete_snapshot(&self, id: &str) -> Result<(), Refusal>;

    /// Writes down which snapshots are a group.
    fn put_group(&self, group: &Group) -> Result<(), Refusal>;

    /// Forgets a group, not its members.
    fn delete_group(&self, id: &str) -> Result<(), Refusal>;

    fn room(&self) -> Result<Room, Refusal>;

    /// Prepares a volume for being shown on this node; done already is fine.
    fn attach(&self, volume: &Volume) -> Result<(), Refusal>;

    /// Undoes that; undone already is fine.
    fn detach(&self, volume: &Volume) -> Result<(), Refusal>;

    /// The folder or file that is shown when an attached volume is published.
    fn exposed(&self, volume: &Volume) -> Result<PathBuf, Refusal>;

    fn fill(&self, volume: &Volume) -> Result<Fill, Refusal>;

    /// What is wrong with a volume, in words.
    fn trouble(&self, volume: &Volume) -> Option<String>;

    /// Lets go, at the start, of what is attached for volumes that are not known any more.
    fn tidy(&self, _is_known: &dyn Fn(&str) -> bool) -> Result<(), Refusal> {
        Ok(())
    }

    /// Ids of volumes for which something is attached, as far as that can be told.
    fn attached(&self) -> BTreeSet<String> {
        BTreeSet::new()
    }

    /// Lets go of the store, at the end; refused as long as a volume is in use.
    fn close(&self) -> Result<(), Refusal> {
        Ok(())
    }
}
