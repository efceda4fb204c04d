//! A small world of one claim name, its class, a snapshot, and a provisioner that crashes: visits
//! every state and asks whether a volume was ever left on storage, or destroyed unasked.
//!
//! A version is the whole object: a write is conditional on the object being what was seen. The
//! facts and the memory are the machine's own.

mod laws;
mod moves;
mod sight;

use std::hash::{Hash, Hasher};

use tintype_core::Seen;
use tintype_core::claim::{Complaint, Outcome};

use super::explore::{Visited, explore};

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
    /// Calls that fail, replies that get lost.
    faults: u8,
    /// Crashes of the provisioner.
    crashes: u8,
}

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
    bound: Bound,
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
    /// A request is remembered.
    asked: bool,
    failing: bool,
    said: bool,
    complaint: Option<Complaint>,
    due: bool,
}

const BLANK: Memory = Memory {
    of: None,
    outcome: Outcome::None,
    confirmed: false,
    asked: false,
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
    crashes: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct World {
    setup: Fixed,
    claim: Option<Claim>,
    class: bool,
    snapshot: Option<Snap>,
    /// The content, and the snapshot on storage with it.
    content: bool,
    /// Objects, by uid of the claim.
    volumes: [Option<Phase>; 2],
    /// On storage, by uid of the claim.
    storage: [bool; 2],
    /// A call that was given up may still take effect.
    late: [bool; 2],
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
            snapshot,
            content: setup.restore,
            volumes: [None; 2],
            storage: [false; 2],
            late: [false; 2],
            born: 0,
            it: Provisioner {
                claim: Seen::NotCached,
                class: Seen::Present(()),
                snapshot: seen(snapshot),
                volumes: [Seen::NotCached; 2],
                content: Seen::NotCached,
                memory: BLANK,
            },
            left: Left {
                faults: setup.faults,
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
    faults: 2,
    crashes: 1,
};

/// More states than any of these worlds has.
const MOST: usize = 5_000_000;

fn holds(name: &str, setup: Setup) {
    let most = super::tests::bound();
    match explore(World::new(setup), &moves::all(setup), most.unwrap_or(MOST)) {
        Ok(Visited {
            states,
            depth,
            took,
            cut_short,
        }) => {
            println!("{name}: {states} states, {depth} moves deep, {took:.1?}");
            assert!(!cut_short || most.is_some(), "{name}: more than {MOST}");
        }
        Err(found) => {
            println!("finding: {} · {}", found.law, found.moves.len());
            for step in found.moves.iter().chain(&found.alone) {
                println!("  {step:?}");
            }
            println!("{}", found.state);
            panic!("{name}: {}", found.law);
        }
    }
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
fn a_snapshot_is_deleted_while_it_is_restored() {
    let setup = Setup {
        restore: true,
        snapshot_goes: true,
        faults: 1,
        ..PLAIN
    };
    holds("a restore", setup);
}
