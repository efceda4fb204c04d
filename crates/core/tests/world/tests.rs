//! Explores one world per test.

use tintype_core::DeletionPolicy;

use super::explore;
use super::model::{Setup, World};
use super::moves;

/// One snapshot of a bound claim, nothing in the way.
pub(crate) const PLAIN: Setup = Setup {
    policy: DeletionPolicy::Delete,
    imported: false,
    names: 1,
    snapshots: 1,
    bound: true,
    claim_goes: false,
    claim_used: false,
    class_goes: false,
    by_hand: false,
    forced: false,
    slow: false,
    faults: 2,
    lies: 1,
    crashes: 1,
    stale: false,
    replicas: false,
    theirs: [false; 2],
    swaps: false,
    maps: false,
    filters: false,
    pardons: &[],
};

/// Explores the setup under both policies.
fn holds(name: &str, setup: Setup) {
    for policy in [DeletionPolicy::Delete, DeletionPolicy::Retain] {
        let setup = Setup { policy, ..setup };
        let name = format!("{name}, {policy:?}");
        explore::holds(&name, World::new(setup), &moves::all(&setup));
    }
}

/// Few faults: deep ends of the world, soon reached.
const LEAN: Setup = Setup {
    faults: 1,
    lies: 0,
    crashes: 0,
    ..PLAIN
};

const NO_FAULT: Setup = Setup { faults: 0, ..LEAN };

#[test]
fn a_fault() {
    holds("a fault", LEAN);
}

#[test]
fn a_lie() {
    holds(
        "a lie",
        Setup {
            faults: 2,
            lies: 1,
            ..LEAN
        },
    );
}

#[test]
fn a_crash() {
    holds(
        "a crash",
        Setup {
            crashes: 1,
            ..NO_FAULT
        },
    );
}

#[test]
fn a_claim_that_goes() {
    holds(
        "a claim that goes",
        Setup {
            claim_goes: true,
            ..NO_FAULT
        },
    );
}

#[test]
fn a_claim_in_use_that_goes() {
    holds(
        "a used claim",
        Setup {
            claim_goes: true,
            claim_used: true,
            ..NO_FAULT
        },
    );
}

#[test]
fn a_class_that_vanishes_when_it_is_needed_again() {
    holds(
        "slow and classless",
        Setup {
            class_goes: true,
            slow: true,
            ..LEAN
        },
    );
    holds(
        "by hand and classless",
        Setup {
            class_goes: true,
            by_hand: true,
            ..LEAN
        },
    );
}

#[test]
fn a_hand_on_the_contents() {
    holds(
        "a hand",
        Setup {
            by_hand: true,
            ..NO_FAULT
        },
    );
}

#[test]
fn an_imported_content_used_twice() {
    holds(
        "imported again",
        Setup {
            imported: true,
            snapshots: 2,
            ..NO_FAULT
        },
    );
}

#[test]
fn an_imported_content_named_by_two() {
    holds(
        "imported by two",
        Setup {
            imported: true,
            snapshots: 2,
            names: 2,
            ..NO_FAULT
        },
    );
}

#[test]
fn one_snapshot_with_every_fault() {
    holds("plain", PLAIN);
}

#[test]
fn one_snapshot_of_a_slow_driver() {
    holds(
        "slow",
        Setup {
            slow: true,
            faults: 1,
            ..PLAIN
        },
    );
}

#[test]
fn lists_from_a_replica_that_is_behind() {
    holds(
        "stale",
        Setup {
            stale: true,
            faults: 0,
            lies: 0,
            ..PLAIN
        },
    );
}

#[test]
fn a_claim_that_goes_or_is_bound_late() {
    holds(
        "claim",
        Setup {
            claim_goes: true,
            bound: false,
            faults: 1,
            ..PLAIN
        },
    );
}

#[test]
fn a_class_that_vanishes() {
    holds(
        "class",
        Setup {
            class_goes: true,
            faults: 1,
            ..PLAIN
        },
    );
}

#[test]
fn contents_deleted_and_destroyed_by_hand() {
    holds(
        "by hand",
        Setup {
            by_hand: true,
            faults: 1,
            lies: 0,
            ..PLAIN
        },
    );
}

#[test]
fn by_hand_and_stale() {
    holds(
        "by hand, stale",
        Setup {
            by_hand: true,
            stale: true,
            faults: 0,
            lies: 0,
            ..PLAIN
        },
    );
}

/// D24: what points at a snapshot that is not there can be deleted all the same.
#[test]
fn a_snapshot_whose_finalizers_are_torn_off() {
    holds(
        "forced",
        Setup {
            by_hand: true,
            forced: true,
            faults: 1,
            lies: 0,
            ..PLAIN
        },
    );
    holds(
        "forced, imported",
        Setup {
            imported: true,
            by_hand: true,
            forced: true,
            faults: 1,
            lies: 0,
            ..PLAIN
        },
    );
}

/// The replica that follows knows what its own watches have told it, and nothing that was in the
/// mind of the one that led.
#[test]
fn a_lease_that_moves_between_two_replicas() {
    let moving = Setup {
        replicas: true,
        ..NO_FAULT
    };
    holds("a moving lease", moving);
    holds(
        "a moving lease, imported",
        Setup {
            imported: true,
            ..moving
        },
    );
    holds(
        "a moving lease and a claim that goes",
        Setup {
            claim_goes: true,
            bound: false,
            ..moving
        },
    );
}

#[test]
fn a_lease_that_moves_while_a_call_may_have_an_effect() {
    holds(
        "a moving lease and a fault",
        Setup {
            replicas: true,
            ..LEAN
        },
    );
}

#[test]
fn a_name_used_twice() {
    holds(
        "again",
        Setup {
            snapshots: 2,
            faults: 1,
            lies: 0,
            ..PLAIN
        },
    );
}

#[test]
fn two_snapshots_of_one_claim() {
    holds(
        "two",
        Setup {
            names: 2,
            snapshots: 2,
            claim_goes: true,
            faults: 0,
            lies: 0,
            crashes: 0,
            ..PLAIN
        },
    );
}

/// Two snapshots of one claim that stays.
const TWO: Setup = Setup {
    names: 2,
    snapshots: 2,
    ..NO_FAULT
};

#[test]
fn two_snapshots_and_a_fault() {
    holds("two and a fault", Setup { faults: 1, ..TWO });
}

#[test]
fn two_snapshots_and_a_crash() {
    holds("two and a crash", Setup { crashes: 1, ..TWO });
}

#[test]
fn an_imported_snapshot() {
    holds(
        "imported",
        Setup {
            imported: true,
            snapshots: 2,
            faults: 1,
            lies: 0,
            by_hand: true,
            ..PLAIN
        },
    );
    holds(
        "imported, slow",
        Setup {
            imported: true,
            slow: true,
            faults: 2,
            ..LEAN
        },
    );
}
