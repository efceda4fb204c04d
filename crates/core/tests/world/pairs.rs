//! Explores our halves beside upstream's, and upstream alone: one pair per test.

use tintype_core::DeletionPolicy;

use super::explore::{MOST, Visited, bound, explore, tell};
use super::model::{Harm, Setup, World};
use super::moves;
use super::tests::PLAIN;

/// Explores the setup under both policies, and again without each law that was found broken.
fn breaks(name: &str, setup: Setup, expected: &[&str]) {
    let most = bound();
    let mut broken: Vec<&'static str> = Vec::new();
    for policy in [DeletionPolicy::Delete, DeletionPolicy::Retain] {
        loop {
            let setup = Setup {
                policy,
                pardons: broken.clone().leak(),
                ..setup
            };
            match explore(World::new(setup), &moves::all(&setup), most.unwrap_or(MOST)) {
                Ok(Visited {
                    states,
                    took,
                    cut_short,
                    ..
                }) => {
                    println!("{name}, {policy:?}: {states} states, {took:.1?}");
                    assert!(
                        !cut_short || most.is_some(),
                        "{name}: more than {MOST} states"
                    );
                    break;
                }
                Err(found) => {
                    if !expected.contains(&found.law) {
                        tell(&found);
                    }
                    broken.push(found.law);
                }
            }
        }
    }
    broken.sort_unstable();
    if most.is_none() {
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(broken, expected, "{name}");
    }
}

/// Upstream's halves; what they break is known and listed.
const PAIRED: Setup = Setup {
    lies: 0,
    faults: 1,
    ..PLAIN
};

const LEAKED: &str = Harm::Leaked.law();
const LIE: &str = "lie: the snapshot says ready, the storage does not";
const SECOND_CONTENT: &str = Harm::SecondContent.law();
const SECOND_CUT: &str = Harm::SecondCut.law();
const UNMARKED: &str = Harm::CutUnmarked.law();
const LEFT_CLAIM: &str = "left over: the claim's finalizer, and no snapshot needs the claim";
const LEFT_CONTENT: &str = "left over: a content whose snapshot is gone";
const LEFT_UNTOLD: &str = "left over: a content that was not told that its snapshot is gone";
const STUCK: &str = "stuck: a snapshot cannot be deleted";
const TAKEN_BACK: &str = Harm::TakenBack.law();

#[test]
fn our_controller_with_their_sidecar() {
    breaks(
        "ours with theirs",
        Setup {
            theirs: [false, true],
            ..PAIRED
        },
        &[],
    );
}

/// Nothing that our controller writes is hidden from their sidecar by its event filter. A content
/// whose sidecar crashed between writing readiness and taking the mark off waits for upstream's
/// resync, when it was deleted meanwhile: taking the mark off wakes nobody.
#[test]
fn our_controller_with_their_sidecar_that_passes_over_updates() {
    let filtered = Setup {
        theirs: [false, true],
        filters: true,
        crashes: 0,
        ..PAIRED
    };
    breaks("ours with theirs, filtered", filtered, &[]);
    breaks(
        "ours with theirs, filtered, with a crash",
        Setup {
            faults: 0,
            crashes: 1,
            ..filtered
        },
        &[LEFT_CONTENT, STUCK],
    );
}

/// A request of theirs whose reply was lost is unknown to them: a snapshot that is deleted then goes
/// without its content being told, and its claim keeps the finalizer.
#[test]
fn their_controller_with_our_sidecar() {
    breaks(
        "theirs with ours",
        Setup {
            theirs: [true, false],
            ..PAIRED
        },
        &[LEFT_UNTOLD, LEFT_CONTENT, LEFT_CLAIM],
    );
}

#[test]
fn upstream_alone() {
    breaks(
        "theirs",
        Setup {
            theirs: [true, true],
            ..PAIRED
        },
        &[LEFT_UNTOLD, LEFT_CONTENT, LEFT_CLAIM],
    );
}

/// D5: what a destroyed content stood for is cut anew under its old date.
#[test]
fn upstream_alone_by_hand() {
    breaks(
        "theirs by hand",
        Setup {
            theirs: [true, true],
            faults: 0,
            crashes: 0,
            by_hand: true,
            ..PAIRED
        },
        &[LEAKED, LIE, SECOND_CONTENT, SECOND_CUT, UNMARKED],
    );
}

/// D9: a patch of one annotation brings back, or takes off, another.
#[test]
fn upstream_alone_replacing_annotations() {
    breaks(
        "theirs with maps",
        Setup {
            theirs: [true, true],
            faults: 0,
            maps: true,
            ..PAIRED
        },
        &[LEAKED, LEFT_UNTOLD, LEFT_CONTENT, TAKEN_BACK, UNMARKED],
    );
}

#[test]
fn their_sidecar_replacing_annotations() {
    breaks(
        "ours with theirs, maps",
        Setup {
            theirs: [false, true],
            maps: true,
            ..PAIRED
        },
        &[LEFT_UNTOLD, TAKEN_BACK],
    );
}

#[test]
fn swapped_to_ours() {
    breaks(
        "swapped to ours",
        Setup {
            theirs: [true, true],
            faults: 0,
            crashes: 0,
            swaps: true,
            ..PAIRED
        },
        &[],
    );
}

/// Theirs lets go of a claim only in the sync of a snapshot of it.
#[test]
fn swapped_to_theirs() {
    breaks(
        "swapped to theirs",
        Setup {
            faults: 0,
            crashes: 0,
            swaps: true,
            ..PAIRED
        },
        &[LEFT_CLAIM],
    );
}

/// Another snapshot than the plain one, and what upstream's half of each mixed pair breaks with it.
struct Otherwise {
    name: &'static str,
    setup: Setup,
    their_sidecar: &'static [&'static str],
    their_controller: &'static [&'static str],
}

const OTHERWISE: [Otherwise; 5] = [
    // Their sidecar calls the driver only for a handle in the status, which is not there yet.
    Otherwise {
        name: "imported",
        setup: Setup {
            imported: true,
            ..PAIRED
        },
        their_sidecar: &[LEAKED],
        their_controller: &[LEFT_UNTOLD, LEFT_CONTENT],
    },
    Otherwise {
        name: "slow",
        setup: Setup {
            slow: true,
            ..PAIRED
        },
        their_sidecar: &[],
        their_controller: &[LEFT_UNTOLD, LEFT_CONTENT, LEFT_CLAIM],
    },
    Otherwise {
        name: "a claim that goes",
        setup: Setup {
            claim_goes: true,
            ..PAIRED
        },
        their_sidecar: &[],
        their_controller: &[LEFT_UNTOLD, LEFT_CONTENT, LEFT_CLAIM],
    },
    Otherwise {
        name: "bound late",
        setup: Setup {
            bound: false,
            ..PAIRED
        },
        their_sidecar: &[],
        their_controller: &[LEFT_UNTOLD, LEFT_CONTENT, LEFT_CLAIM],
    },
    Otherwise {
        name: "two of one claim",
        setup: Setup {
            names: 2,
            snapshots: 2,
            faults: 0,
            crashes: 0,
            ..PAIRED
        },
        their_sidecar: &[],
        their_controller: &[LEFT_CLAIM],
    },
];

#[test]
fn our_controller_with_their_sidecar_otherwise() {
    for it in OTHERWISE {
        let setup = Setup {
            theirs: [false, true],
            ..it.setup
        };
        breaks(
            &format!("ours with theirs, {}", it.name),
            setup,
            it.their_sidecar,
        );
    }
}

#[test]
fn their_controller_with_our_sidecar_otherwise() {
    for it in OTHERWISE {
        let setup = Setup {
            theirs: [true, false],
            ..it.setup
        };
        breaks(
            &format!("theirs with ours, {}", it.name),
            setup,
            it.their_controller,
        );
    }
}
