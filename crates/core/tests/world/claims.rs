//! A small world of one claim name, its class, a snapshot, two nodes, and a provisioner that crashes:
//! visits every state and asks whether a volume was ever left on storage, or destroyed unasked.
//!
//! A version is the whole object: a write is conditional on the object being what was seen. The
//! facts and the memory are the machine's own.

mod laws;
mod moves;
mod sight;

use std::hash::{Hash, Hasher};

use tintype_core::Seen;
use tintype_core::claim::{Complaint, Outcome, Turn};
use tintype_core::doubt::Doubt;

use super::explore;

/// What one exploration is about; the same in all its states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setup {
    /// The claim is filled from the snapshot.
    restore: bool,
    /// `reclaimPolicy` is `Retain`.
    retain: bool,
    /// The class may vanish, and come back.
    class_goes: bool,
    /// The snapshot may be deleted.
    snapshot_goes: bool,
    /// An administrator may bind the claim to another volume.
    bound_elsewhere: bool,
    /// How many claims of the name are made, one after the other.
    claims: u8,
    /// Whether it matters on which node a volume is.
    places: Places,
    /// Calls that fail, replies that get lost.
    faults: u8,
    /// Of these, refusals by a driver that made the volume, or is still at it.
    lies: u8,
    /// Crashes of the provisioner.
    crashes: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Places {
    /// Volumes can be reached from everywhere.
    Everywhere,
    /// Late binding: a node is selected first, and the first may go and come back.
    NodeGoes,
    /// Late binding: somebody selects another node, or none.
    NodeChanges,
    /// There is a provisioner on each node; this is the first's.
    EachNode,
}

impl Places {
    const fn late(self) -> bool {
        matches!(self, Self::NodeGoes | Self::NodeChanges)
    }
}

/// A node, by number from 1.
type Node = u8;
/// Where a driver puts a volume if it is not told where.
const ANYWHERE: Node = 0;

/// A setup is no part of what tells states apart.
#[derive(Debug, Clone, Copy)]
struct Fixed(Setup);

impl PartialEq for Fixed {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Fixed {}

impl Hash for Fixed {
    fn hash<H: Hasher>(&self, _state: &mut H) {}
}

/// Which volume the claim has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Bound {
    No,
    Here,
    Elsewhere,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Claim {
    uid: u8,
    deleting: bool,
    marked: bool,
    /// By the provisioner of the other node.
    marked_by_other: bool,
    bound: Bound,
    selected: Option<Node>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Snap {
    deleting: bool,
    /// The provisioner's finalizer.
    protected: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Phase {
    Available,
    Bound,
    Released,
}

/// What the provisioner remembers, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Memory {
    of: Option<u8>,
    outcome: Outcome,
    confirmed: bool,
    doubt: Doubt,
    /// A request is remembered: for which node, or for anywhere.
    asked: Option<Node>,
    stray: bool,
    exhausted: bool,
    turn: Turn,
    failing: bool,
    said: bool,
    complaint: Option<Complaint>,
    due: bool,
}

const BLANK: Memory = Memory {
    of: None,
    outcome: Outcome::None,
    confirmed: false,
    doubt: Doubt {
        open: false,
        refusals: 0,
    },
    asked: None,
    stray: false,
    exhausted: false,
    turn: Turn::None,
    failing: false,
    said: false,
    complaint: None,
    due: true,
};

/// The provisioner: what it sees, what it remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Provisioner {
    claim: Seen<Claim>,
    class: Seen<()>,
    /// The first node is there; the second always is.
    first_node: bool,
    snapshot: Seen<Snap>,
    /// By uid of the claim.
    volumes: [Seen<Phase>; 2],
    /// The content as looked up in the pass that is under way.
    content: Seen<()>,
    memory: Memory,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Left {
    faults: u8,
    lies: u8,
    crashes: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct World {
    setup: Fixed,
    claim: Option<Claim>,
    class: bool,
    first_node: bool,
    snapshot: Option<Snap>,
    /// The content, and the snapshot on storage with it.
    content: bool,
    /// Objects, by uid of the claim.
    volumes: [Option<Phase>; 2],
    /// On storage, by uid of the claim.
    storage: [bool; 2],
    /// A call that was given up may still take effect.
    late: [bool; 2],
    /// Where either is, by uid of the claim.
    place: [Node; 2],
    /// With a provisioner on each node: the other node has a volume for the first claim, too.
    other_has: bool,
    /// How many claims of the name were made.
    born: u8,
    it: Provisioner,
    left: Left,
    harm: Option<&'static str>,
}

impl World {
    fn new(setup: Setup) -> Self {
        let snapshot = setup.restore.then_some(Snap {
            deleting: false,
            protected: false,
        });
        Self {
            setup: Fixed(setup),
            claim: None,
            class: true,
            first_node: true,
            snapshot,
            content: setup.restore,
            volumes: [None; 2],
            storage: [false; 2],
            late: [false; 2],
            place: [ANYWHERE; 2],
            other_has: false,
            born: 0,
            it: Provisioner {
                claim: Seen::NotCached,
                class: Seen::Present(()),
                first_node: true,
                snapshot: seen(snapshot),
                volumes: [Seen::NotCached; 2],
                content: Seen::NotCached,
                memory: BLANK,
            },
            left: Left {
                faults: setup.faults,
                lies: setup.lies,
                crashes: setup.crashes,
            },
            harm: None,
        }
    }
}

/// As a watch tells it.
fn seen<T>(object: Option<T>) -> Seen<T> {
    object.map_or(Seen::NotCached, Seen::Present)
}

const PLAIN: Setup = Setup {
    restore: false,
    retain: false,
    class_goes: false,
    snapshot_goes: false,
    bound_elsewhere: false,
    claims: 2,
    places: Places::Everywhere,
    faults: 2,
    lies: 1,
    crashes: 1,
};

fn holds(name: &str, setup: Setup) {
    explore::holds(name, World::new(setup), &moves::all(setup));
}

#[test]
fn a_claim_is_made_and_deleted_at_any_moment() {
    holds("a claim", PLAIN);
    holds(
        "a claim to retain",
        Setup {
            retain: true,
            faults: 1,
            ..PLAIN
        },
    );
}

#[test]
fn a_class_goes_while_a_claim_is_in_flight() {
    let setup = Setup {
        class_goes: true,
        faults: 1,
        ..PLAIN
    };
    holds("a class that goes", setup);
}

#[test]
fn a_claim_is_bound_elsewhere_while_it_is_in_flight() {
    let setup = Setup {
        bound_elsewhere: true,
        faults: 1,
        ..PLAIN
    };
    holds("a claim bound elsewhere", setup);
}

#[test]
fn a_selected_node_goes_while_a_claim_is_in_flight() {
    let setup = Setup {
        claims: 1,
        places: Places::NodeGoes,
        faults: 1,
        ..PLAIN
    };
    holds("a node that goes", setup);
}

#[test]
fn another_node_is_selected_while_a_claim_is_in_flight() {
    let setup = Setup {
        claims: 1,
        places: Places::NodeChanges,
        faults: 1,
        ..PLAIN
    };
    holds("a node that changes", setup);
}

#[test]
fn a_node_takes_a_claim_that_another_may_have_worked_on() {
    let setup = Setup {
        claims: 1,
        places: Places::EachNode,
        faults: 1,
        ..PLAIN
    };
    holds("a provisioner on each node", setup);
}

#[test]
fn a_snapshot_is_deleted_while_it_is_restored() {
    let setup = Setup {
        restore: true,
        snapshot_goes: true,
        faults: 1,
        ..PLAIN
    };
    holds("a restore", setup);
}
