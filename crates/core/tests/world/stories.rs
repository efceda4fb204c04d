//! Tells what exploring found in the machines, as it happened then: each ends well now.
//!
//! Every story is played in lockstep with real documents.

use super::controller::Request::{Denied, ReplyLost, Works};
use super::driver::Driver::{self, Refuses, TimesOutBefore};
use super::lockstep::Lockstep;
use super::model::Setup;
use super::moves::{
    Cache,
    Move::{
        self, ClaimIsBound, ContentDeletedByHand, ContentDestroyed, Controller, CreationIsDue,
        GraceEnds, Guard, Sidecar, Told, UserCreates, UserDeletes,
    },
};
use super::tests::PLAIN;

/// The snapshot is made, and so is its content.
const MADE: [Move; 6] = [
    UserCreates(0),
    Told(Cache::Snapshots),
    Controller(0, Works),
    Controller(0, Works),
    Controller(0, Works),
    Told(Cache::SidecarContents),
];

fn ends_well(setup: Setup, moves: &[&[Move]]) {
    let mut both = Lockstep::new(setup);
    for &step in moves.iter().copied().flatten() {
        both.play(step);
    }
    assert_eq!(both.rest(), None);
}

const DRIVER_WORKS: Move = Sidecar(0, Driver::Works);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_followed_by_another_attempt_not_by_marking_and_clearing_for_ever() {
        let refused = [
            DRIVER_WORKS,
            Sidecar(0, Refuses),
            DRIVER_WORKS,
            DRIVER_WORKS,
        ];
        ends_well(PLAIN, &[&MADE, &refused]);
    }

    #[test]
    fn a_claim_bound_late_is_not_let_go_while_the_old_complaint_stands() {
        let setup = Setup {
            bound: false,
            ..PLAIN
        };
        let late = [
            UserCreates(0),
            Told(Cache::Snapshots),
            Controller(0, Works),
            Controller(0, Works),
            ClaimIsBound,
            Told(Cache::Claims),
            Controller(0, Works),
            Controller(0, Works),
            Guard(Works),
            Controller(0, ReplyLost),
            Guard(Works),
        ];
        ends_well(setup, &[&late]);
    }

    #[test]
    fn a_content_deleted_by_hand_before_it_is_cut_still_becomes_ready() {
        let setup = Setup {
            by_hand: true,
            ..PLAIN
        };
        ends_well(setup, &[&MADE, &[ContentDeletedByHand(0)]]);
    }

    #[test]
    fn what_the_driver_said_of_a_content_is_not_written_into_another_of_its_name() {
        let setup = Setup {
            by_hand: true,
            ..PLAIN
        };
        let destroyed = [
            DRIVER_WORKS,
            DRIVER_WORKS,
            ContentDestroyed(0),
            Told(Cache::Contents),
            Controller(0, Works),
            Controller(0, Works),
            Told(Cache::SidecarContents),
            DRIVER_WORKS,
        ];
        ends_well(setup, &[&MADE, &destroyed]);
    }

    #[test]
    fn a_failure_that_may_have_had_an_effect_does_not_let_the_claim_go() {
        let uncertain = [
            DRIVER_WORKS,
            Sidecar(0, TimesOutBefore),
            DRIVER_WORKS,
            Told(Cache::Contents),
            Controller(0, Works),
            Guard(Works),
        ];
        ends_well(PLAIN, &[&MADE, &uncertain]);
    }

    #[test]
    fn a_bound_snapshot_is_not_cut_anew_after_the_reply_to_binding_it_was_lost() {
        let setup = Setup {
            by_hand: true,
            ..PLAIN
        };
        let lost = [
            GraceEnds(0),
            Controller(0, ReplyLost),
            ContentDestroyed(0),
            Told(Cache::Contents),
            Controller(0, Works),
            Controller(0, Works),
        ];
        ends_well(setup, &[&MADE, &lost]);
    }

    #[test]
    fn an_answer_and_a_missing_class_are_not_written_over_each_other_for_ever() {
        let setup = Setup {
            slow: true,
            class_goes: true,
            ..PLAIN
        };
        let slow = [
            DRIVER_WORKS,
            Sidecar(0, Driver::NotYet),
            DRIVER_WORKS,
            Move::ClassVanishes,
            Told(Cache::SidecarClasses),
        ];
        ends_well(setup, &[&MADE, &slow]);
    }

    #[test]
    fn a_snapshot_is_not_let_go_for_want_of_a_content_whose_making_was_not_heard_of() {
        let unheard = [
            UserCreates(0),
            Told(Cache::Snapshots),
            Controller(0, Works),
            Controller(0, Works),
            Controller(0, Denied),
            Controller(0, Works),
            Controller(0, Works),
            CreationIsDue(0),
            Controller(0, Works),
            Controller(0, Works),
            UserDeletes(0),
            Controller(0, ReplyLost),
            Told(Cache::Snapshots),
            Controller(0, Works),
            Controller(0, Works),
        ];
        ends_well(PLAIN, &[&unheard]);
    }
}
