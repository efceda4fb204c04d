//! Walks through the life of a group with one of our halves beside one of upstream's, and with
//! upstream alone.
//!
//! What theirs breaks is known and listed; a law that was found broken is pardoned from then on.
//! Walks change with the machines, so beside ours not all that is listed need be found.

use std::collections::BTreeSet;

use tintype_core::DeletionPolicy;

use super::super::explore::finding;
use super::cluster::Setup;
use super::walk;

const WALKS: u64 = 60;

/// The laws that walks under both policies break; none but the known ones.
fn broken(setup: Setup, known: &[&str]) -> BTreeSet<&'static str> {
    let mut found: BTreeSet<&'static str> = BTreeSet::new();
    for policy in [DeletionPolicy::Delete, DeletionPolicy::Retain] {
        for seed in 1..=WALKS {
            loop {
                let pardons: Vec<_> = found.iter().copied().collect();
                let setup = Setup {
                    policy,
                    pardons: pardons.leak(),
                    ..setup
                };
                let Err(it) = walk(setup, seed, false) else {
                    break;
                };
                if !known.contains(&it.law) {
                    finding(it.law, &it.moves);
                    panic!("{}: seed {seed}, {setup:?}, moves {:?}", it.law, it.moves);
                }
                found.insert(it.law);
            }
        }
    }
    println!("{setup:?}: {found:#?}");
    found
}

#[cfg(test)]
mod tests {
    use super::super::storage::CLAIM_GONE;
    use super::super::{
        CONTENT_LEFT, MEMBER_CONTENT_LEFT, MEMBER_LEFT, MEMBERS_LEFT, NEVER_GOES, OURS,
        READY_AND_WRONG, READY_EARLY, SILENCE, STUCK, UNPROTECTED, WRONG_LIST,
    };
    use super::*;

    const PAIRED: Setup = Setup {
        old_clients: false,
        ..OURS
    };
    const BESIDE_THEIR_SIDECAR: Setup = Setup {
        theirs: [false, true],
        ..PAIRED
    };
    const BESIDE_THEIR_CONTROLLER: Setup = Setup {
        theirs: [true, false],
        ..PAIRED
    };

    /// It does not compare a list with the volumes, which our controller says on the group, and
    /// never ends with one in doubt whose class is gone (D32).
    #[test]
    fn our_controller_of_groups_with_their_sidecar() {
        broken(BESIDE_THEIR_SIDECAR, &[NEVER_GOES, STUCK, WRONG_LIST]);
    }

    /// D3: a list that was lost is lost for it.
    #[test]
    fn our_controller_of_groups_with_their_sidecar_and_old_clients() {
        let setup = Setup {
            old_clients: true,
            ..BESIDE_THEIR_SIDECAR
        };
        broken(setup, &[NEVER_GOES, SILENCE, STUCK, WRONG_LIST]);
    }

    /// What it breaks, it breaks alone too.
    #[test]
    fn their_controller_of_groups_with_our_sidecar() {
        broken(BESIDE_THEIR_CONTROLLER, &THEIRS);
    }

    /// Claims that are not protected, groups that go before they are bound (D12), members made
    /// beside readiness (D23), or deleted before they know their group (D14).
    const THEIRS: [&str; 9] = [
        CLAIM_GONE,
        CONTENT_LEFT,
        MEMBERS_LEFT,
        MEMBER_CONTENT_LEFT,
        MEMBER_LEFT,
        READY_AND_WRONG,
        READY_EARLY,
        STUCK,
        UNPROTECTED,
    ];

    #[test]
    fn upstream_alone_with_groups() {
        let setup = Setup {
            theirs: [true, true],
            ..PAIRED
        };
        let mut known = THEIRS.to_vec();
        known.push(WRONG_LIST);
        let known_set: BTreeSet<_> = known.iter().copied().collect();
        assert_eq!(broken(setup, &known), known_set);
    }

    #[test]
    fn imported_groups_beside_their_halves() {
        let imported = true;
        let setup = Setup {
            imported,
            ..BESIDE_THEIR_SIDECAR
        };
        broken(setup, &[]);
        let setup = Setup {
            imported,
            ..BESIDE_THEIR_CONTROLLER
        };
        broken(setup, &[CONTENT_LEFT, MEMBERS_LEFT]);
    }
}
