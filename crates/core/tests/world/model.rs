//! Holds the state of the small world: objects on the server, storage, caches that lag, memories.
//!
//! Does not know what moves there are. Two names at most, two uids at most, one claim, one class,
//! one driver. A version is the whole object: a write is conditional on the object being what was
//! seen.

use std::hash::{Hash, Hasher};

use tintype_core::content::Outcome;
use tintype_core::doubt::Doubt;
use tintype_core::pair::Memory;
use tintype_core::snapshot::Complaint;
use tintype_core::{DeletionPolicy, Seen};

/// What one exploration is about; the same in all its states.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) policy: DeletionPolicy,
    /// An administrator made the content first.
    pub(crate) imported: bool,
    /// 1: the second snapshot has the name of the first; 2: both live at once.
    pub(crate) names: usize,
    /// How many snapshots are made.
    pub(crate) snapshots: usize,
    /// The claim has its volume from the start.
    pub(crate) bound: bool,
    /// The user may delete the claim.
    pub(crate) claim_goes: bool,
    /// Somebody else's finalizer is on the claim: a pod uses it.
    pub(crate) claim_used: bool,
    /// The class may vanish.
    pub(crate) class_goes: bool,
    /// Somebody deletes or destroys contents by hand.
    pub(crate) by_hand: bool,
    /// Somebody tears the finalizers off snapshots.
    pub(crate) forced: bool,
    /// The driver may say "not ready yet".
    pub(crate) slow: bool,
    /// Calls that fail, replies that get lost.
    pub(crate) faults: u8,
    /// Refusals by a driver that has the snapshot.
    pub(crate) lies: u8,
    /// Crashes of either process.
    pub(crate) crashes: u8,
    /// Lists from a replica that is behind.
    pub(crate) stale: bool,
    /// Each role has a second replica, and its lease may move to that one once.
    pub(crate) replicas: bool,
    /// The controller, the sidecar is upstream's.
    pub(crate) theirs: [bool; 2],
    /// Upstream's half may be replaced by ours, and ours by upstream's, once.
    pub(crate) swaps: bool,
    /// Upstream's patches of annotations replace all of them (D9).
    pub(crate) maps: bool,
    /// Upstream's sidecar passes over updates, as its event filter does, and nobody resyncs.
    pub(crate) filters: bool,
    /// Laws that are not looked at: upstream is known to break them.
    pub(crate) pardons: &'static [&'static str],
}

/// A setup is no part of what tells states apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fixed(pub(crate) Setup);

impl PartialEq for Fixed {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Fixed {}

impl Hash for Fixed {
    fn hash<H: Hasher>(&self, _state: &mut H) {}
}

/// `readyToUse`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Ready {
    #[default]
    Unset,
    No,
    Yes,
}

/// What a content's `status.error` says: one text each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Trouble {
    Class,
    Refused,
    Uncertain,
    NotCalled,
    DeleteFailed,
    /// In upstream's words.
    Theirs,
}

/// What a snapshot's `status.error` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Said {
    Complaint(Complaint),
    OfContent(Trouble),
    /// In the words of upstream's controller.
    Theirs,
}

/// A `VolumeSnapshot`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Snap {
    pub(crate) uid: usize,
    pub(crate) deleting: bool,
    pub(crate) source_finalizer: bool,
    pub(crate) bound_finalizer: bool,
    pub(crate) bound: bool,
    pub(crate) ready: Ready,
    /// `creationTime` is set.
    pub(crate) dated: bool,
    pub(crate) error: Option<Said>,
}

/// A `VolumeSnapshotContent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Content {
    /// Tells it from an earlier one of that name.
    pub(crate) number: u8,
    /// `volumeSnapshotRef.uid`.
    pub(crate) owner: Option<usize>,
    pub(crate) deleting: bool,
    pub(crate) protected: bool,
    pub(crate) being_created: bool,
    pub(crate) being_deleted: bool,
    /// Handle, creation time and size are in the status.
    pub(crate) recorded: bool,
    pub(crate) ready: Ready,
    pub(crate) error: Option<Trouble>,
    /// It names its class.
    pub(crate) classed: bool,
}

/// The claim all snapshots are cut from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Claim {
    pub(crate) deleting: bool,
    pub(crate) protected: bool,
    pub(crate) bound: bool,
}

/// A snapshot on storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Storage {
    #[default]
    None,
    Cut,
    Ready,
}

/// The controller: what it sees of each kind, what it remembers of each name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Controller {
    pub(crate) theirs: bool,
    pub(crate) snaps: [Seen<Snap>; 2],
    pub(crate) contents: [Seen<Content>; 2],
    pub(crate) claim: Seen<Claim>,
    pub(crate) class: Seen<()>,
    /// Everything was read past the watch since it leads: it works only then.
    pub(crate) caught_up: bool,
    /// The snapshot was written or looked up in the pass that is under way.
    pub(crate) fresh: [bool; 2],
    /// The content was.
    pub(crate) looked_up: [bool; 2],
    /// By content: its snapshot was, for the orphan machine.
    pub(crate) owner_looked_up: [bool; 2],
    pub(crate) memory: [Memory; 2],
}

/// What the sidecar remembers of one content: the parts of `content::Memory` that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Recalled {
    /// Number of the content all this is about.
    pub(crate) of: Option<u8>,
    pub(crate) outcome: Outcome,
    pub(crate) marked: bool,
    pub(crate) doubt: Doubt,
    /// The driver's last answer: ready or not.
    pub(crate) reply: Option<bool>,
    pub(crate) failure: Option<Trouble>,
    pub(crate) failing: bool,
    pub(crate) due: bool,
}

impl Default for Recalled {
    fn default() -> Self {
        Self {
            of: None,
            outcome: Outcome::None,
            marked: false,
            doubt: Doubt::default(),
            reply: None,
            failure: None,
            failing: false,
            due: true,
        }
    }
}

/// Where a key of upstream's sidecar is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Queued {
    No,
    /// Or it waits for its back-off.
    Yes,
    /// A worker has it; news that came meanwhile queues it again.
    Running {
        again: bool,
    },
}

/// The sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Sidecar {
    pub(crate) theirs: bool,
    pub(crate) contents: [Seen<Content>; 2],
    pub(crate) class: Seen<()>,
    /// Every content was read past the watch since it leads: it works only then.
    pub(crate) caught_up: bool,
    pub(crate) memory: [Recalled; 2],
    /// Theirs: where the content is in its queue.
    pub(crate) queued: [Queued; 2],
    /// Theirs: the content as its watch last told it, without own writes.
    pub(crate) informed: [Option<Content>; 2],
}

/// What users and fate may still do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Left {
    pub(crate) faults: u8,
    pub(crate) lies: u8,
    pub(crate) crashes: u8,
    pub(crate) swaps: [bool; 2],
    /// Of the controller, of the sidecar.
    pub(crate) leases: [bool; 2],
}

/// A law that was broken in a move, not in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Harm {
    DestroyedUnasked,
    Leaked,
    SecondCut,
    SecondContent,
    ClaimWent,
    ClaimLetGo,
    TakenBack,
    CutUnmarked,
    Hammered,
    LetGoEarly,
    Discarded,
}

impl Harm {
    pub(crate) const fn law(self) -> &'static str {
        match self {
            Self::DestroyedUnasked => "destroyed: a storage snapshot nobody asked to delete",
            Self::Leaked => "leaked: a storage snapshot no content knows of",
            Self::SecondCut => "second cut: a snapshot that was ready is cut anew (D5)",
            Self::SecondContent => "second content: a snapshot that was bound gets another (D5)",
            Self::ClaimWent => "the claim went while its snapshot was being cut",
            Self::ClaimLetGo => "the claim was let go while a cut from it may be under way",
            Self::TakenBack => "taken back: a deletion was undone",
            Self::Hammered => "hammered: what failed is tried again at once",
            Self::LetGoEarly => "let go: a snapshot went before its content that is to be deleted",
            Self::Discarded => "discarded: a content that is to be retained is deleted",
            Self::CutUnmarked => "unmarked: a first cut is asked for with no being-created mark",
        }
    }
}

/// The replicas that wait for their lease: their caches are filled, and lag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standby {
    /// There are such replicas.
    pub(crate) waits: bool,
    pub(crate) controller: Controller,
    pub(crate) sidecar: Sidecar,
}

impl Hash for Standby {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Without replicas it is the same in all states, and hashing is half of the work.
        if self.waits {
            (self.controller, self.sidecar).hash(state);
        }
    }
}

/// Objects as they were one version ago: what a replica that is behind lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Before {
    pub(crate) contents: [Option<Content>; 2],
}

/// The state of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) setup: Fixed,
    /// By name.
    pub(crate) snaps: [Option<Snap>; 2],
    /// By the uid of the snapshot they are made for; an imported one is the first.
    pub(crate) contents: [Option<Content>; 2],
    pub(crate) storage: [Storage; 2],
    /// A call that timed out may still take effect.
    pub(crate) late: [bool; 2],
    pub(crate) claim: Option<Claim>,
    pub(crate) class: bool,
    pub(crate) before: Before,
    pub(crate) controller: Controller,
    pub(crate) sidecar: Sidecar,
    pub(crate) standby: Standby,
    /// The snapshot of this uid was made.
    pub(crate) born: [bool; 2],
    /// It was ready once.
    pub(crate) promised: [bool; 2],
    /// Somebody destroyed its content and what is behind it.
    pub(crate) destroyed: [bool; 2],
    /// Somebody made the snapshot of this uid vanish; whether its deletion was asked for before.
    pub(crate) forced: [Option<bool>; 2],
    pub(crate) left: Left,
    pub(crate) harm: Option<Harm>,
}

impl World {
    /// Before anything happened; caches are filled.
    pub(crate) fn new(setup: Setup) -> Self {
        let imported = setup.imported.then_some(Content {
            number: 0,
            owner: None,
            deleting: false,
            protected: false,
            being_created: false,
            being_deleted: false,
            recorded: false,
            ready: Ready::Unset,
            error: None,
            classed: false,
        });
        let claim = Claim {
            deleting: false,
            protected: false,
            bound: setup.bound,
        };
        let contents = [seen(imported), Seen::NotCached];
        let controller = Controller {
            theirs: setup.theirs[0],
            snaps: [Seen::NotCached; 2],
            contents,
            claim: Seen::Present(claim),
            class: Seen::Present(()),
            caught_up: true,
            fresh: [false; 2],
            looked_up: [false; 2],
            owner_looked_up: [false; 2],
            memory: [Memory::default(); 2],
        };
        let sidecar = Sidecar {
            theirs: setup.theirs[1],
            contents,
            class: Seen::Present(()),
            caught_up: true,
            memory: [Recalled::default(); 2],
            queued: [Queued::Yes; 2],
            informed: [None; 2],
        };
        Self {
            setup: Fixed(setup),
            snaps: [None; 2],
            contents: [imported, None],
            storage: [
                if setup.imported {
                    Storage::Ready
                } else {
                    Storage::None
                },
                Storage::None,
            ],
            late: [false; 2],
            claim: Some(claim),
            class: true,
            before: Before::default(),
            controller,
            sidecar,
            standby: Standby {
                waits: setup.replicas,
                controller,
                sidecar,
            },
            born: [false; 2],
            promised: [false; 2],
            destroyed: [false; 2],
            forced: [None; 2],
            left: Left {
                faults: setup.faults,
                lies: setup.lies,
                crashes: setup.crashes,
                swaps: [setup.swaps; 2],
                leases: [setup.replicas; 2],
            },
            harm: None,
        }
    }

    /// Which content belongs to the snapshot of this uid.
    pub(crate) const fn content_of(&self, uid: usize) -> usize {
        if self.setup.0.imported { 0 } else { uid }
    }

    /// The snapshot of this uid, if it is there.
    pub(crate) fn snapshot(&self, uid: usize) -> Option<&Snap> {
        self.snaps.iter().flatten().find(|it| it.uid == uid)
    }

    /// The user deleted the snapshot of this uid.
    pub(crate) fn asked(&self, uid: usize) -> bool {
        self.born[uid] && self.snapshot(uid).is_none_or(|it| it.deleting)
    }

    pub(crate) const fn fault(&mut self) -> bool {
        if self.left.faults == 0 {
            return false;
        }
        self.left.faults -= 1;
        true
    }

    /// The law broken first stays.
    pub(crate) fn does_harm(&mut self, harm: Harm) {
        if !self.setup.0.pardons.contains(&harm.law()) {
            self.harm = self.harm.or(Some(harm));
        }
    }
}

/// As a watch tells it.
pub(crate) fn seen<T>(object: Option<T>) -> Seen<T> {
    object.map_or(Seen::NotCached, Seen::Present)
}
