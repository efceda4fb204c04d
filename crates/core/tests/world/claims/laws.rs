//! States the laws: what must hold in every state, and what must hold at rest.

use tintype_core::Verdict;
use tintype_core::claim::{self, Complaint, Waiting};

use super::moves::{Cache, How, Move};
use super::{Bound, Claim, Places, World};
use crate::explore;

/// What happens, in this order of precedence, while nobody interferes.
const ALONE: [Move; 17] = [
    Move::Told(Cache::Claims),
    Move::Told(Cache::Classes),
    Move::Told(Cache::Nodes),
    Move::Told(Cache::Snapshots),
    Move::Told(Cache::Volumes),
    Move::LateEffect(0),
    Move::LateEffect(1),
    Move::Binder,
    Move::Provisioner(How::Works),
    Move::Guard,
    Move::Controller,
    Move::VolumeMachine(0),
    Move::VolumeMachine(1),
    Move::CallIsDue,
    Move::OtherNodeFinishes,
    Move::Selects(1),
    Move::Selects(2),
];

impl explore::World for World {
    type Move = Move;

    fn play(self, step: Move) -> Option<Self> {
        self.happens(step).filter(|next| *next != self)
    }

    fn broken(&self) -> Option<&'static str> {
        let bare = (0..2).any(|at| self.volumes[at].is_some() && !self.storage[at]);
        self.harm
            .or_else(|| bare.then_some("bare: a volume object with nothing on storage"))
    }

    fn alone(self) -> Option<(Move, Self)> {
        let placed = self.claim.is_some_and(|it| it.selected.is_some());
        let late = self.setup.0.places.late() && !placed;
        let each = self.setup.0.places == Places::EachNode;
        let happens = |it: &&Move| match it {
            Move::Selects(_) => late,
            Move::OtherNodeFinishes => each,
            _ => true,
        };
        let mut moves = ALONE.iter().filter(happens);
        moves.find_map(|&step| Some((step, self.play(step)?)))
    }

    fn wrong_at_rest(&self) -> Option<&'static str> {
        let mut world = *self;
        let verdict = claim::decide(&world.facts());
        let doubt = verdict == Verdict::Rest(Waiting::ForCure(Complaint::InDoubt));
        let cured = matches!(verdict, Verdict::Rest(Waiting::ForCure(_)));
        let left = (0..2).any(|at| self.storage[at] && self.volumes[at].is_none());
        let held = self.snapshot.is_some_and(|it| it.protected);
        let marked = self.claim.is_some_and(|it| it.marked || it.marked_by_other);
        if left && !marked {
            return Some("left over: a volume on storage that nothing tells of");
        }
        // The other node's provisioner has it.
        let ours = |it: &Claim| self.setup.0.places != Places::EachNode || it.selected != Some(2);
        let waits = self.claim.filter(|it| it.bound == Bound::No && ours(it));
        if self.claim.is_some_and(|it| it.deleting) && !(doubt && marked) {
            return Some("stuck: a claim cannot be deleted");
        }
        if waits.is_some() && !cured {
            return Some("stuck: nothing is in the way, and it has no volume");
        }
        if waits.is_some() && self.class && (!self.setup.0.restore || self.content) && !doubt {
            let deleting = self.snapshot.is_some_and(|it| it.deleting);
            if !deleting {
                return Some("stuck: everything is there, and it has no volume");
            }
        }
        (held && !marked).then_some("left over: the snapshot's finalizer, and nobody restores")
    }
}
