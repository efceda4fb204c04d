//! Lists everything that can happen next, and lets it happen.

use tintype_core::claim::{self, Failure, Outcome, Step, Turn};
use tintype_core::retry::Schedule;
use tintype_core::{Seen, Time, Verdict};

use super::{ANYWHERE, BLANK, Bound, Claim, Node, Phase, Places, Setup, Snap, World, seen};

/// One event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    UserCreates,
    UserDeletes,
    UserDeletesSnapshot,
    ClassVanishes,
    ClassComesBack,
    BoundElsewhere,
    /// The scheduler places a pod, or somebody thinks better of it.
    Selects(Node),
    Deselects,
    FirstNodeGoes,
    FirstNodeComesBack,
    /// The provisioner of the other node marks a claim, calls its driver, and crashes.
    OtherNodeBegins,
    /// It comes back, and finishes what it began.
    OtherNodeFinishes,
    /// The cluster binds the claim to its volume, or releases a volume whose claim went.
    Binder,
    /// The controller lets a deleted snapshot go, with what is behind it.
    Controller,
    Told(Cache),
    Crash,
    CallIsDue,
    LateEffect(usize),
    LateNothing(usize),
    Provisioner(How),
    Guard,
    VolumeMachine(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cache {
    Claims,
    Classes,
    Nodes,
    Snapshots,
    Volumes,
}

/// How a request or a call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Works,
    /// The provisioner crashes while it waits for the driver.
    Crashes,
    /// If the driver has made the volume, or is at it, that is a lie.
    Refused,
    /// No answer, and no effect, an effect, or one that comes later.
    LostBefore,
    LostAfter,
    LostLate,
}

pub(super) fn all(setup: Setup) -> Vec<Move> {
    let mut moves = vec![
        Move::UserCreates,
        Move::UserDeletes,
        Move::Binder,
        Move::Crash,
        Move::CallIsDue,
        Move::VolumeMachine(0),
        Move::VolumeMachine(1),
        Move::LateEffect(0),
        Move::LateEffect(1),
        Move::LateNothing(0),
        Move::LateNothing(1),
        Move::Told(Cache::Claims),
        Move::Told(Cache::Volumes),
    ];
    moves.extend(
        [
            How::Works,
            How::Crashes,
            How::Refused,
            How::LostBefore,
            How::LostAfter,
            How::LostLate,
        ]
        .map(Move::Provisioner),
    );
    if setup.restore {
        moves.extend([Move::Guard, Move::Controller, Move::Told(Cache::Snapshots)]);
    }
    if setup.snapshot_goes {
        moves.push(Move::UserDeletesSnapshot);
    }
    if setup.class_goes {
        moves.extend([
            Move::ClassVanishes,
            Move::ClassComesBack,
            Move::Told(Cache::Classes),
        ]);
    }
    match setup.places {
        Places::Everywhere => {}
        Places::NodeGoes => moves.extend([
            Move::Selects(1),
            Move::Selects(2),
            Move::FirstNodeGoes,
            Move::FirstNodeComesBack,
            Move::Told(Cache::Nodes),
        ]),
        Places::NodeChanges => {
            moves.extend([Move::Selects(1), Move::Selects(2), Move::Deselects]);
        }
        Places::EachNode => moves.extend([
            Move::Selects(2),
            Move::Deselects,
            Move::OtherNodeBegins,
            Move::OtherNodeFinishes,
        ]),
    }
    if setup.bound_elsewhere {
        moves.push(Move::BoundElsewhere);
    }
    moves
}

const fn selected(step: Move) -> Option<Node> {
    match step {
        Move::Selects(node) => Some(node),
        _ => None,
    }
}

impl World {
    pub(super) fn happens(mut self, step: Move) -> Option<Self> {
        match step {
            Move::UserCreates if self.claim.is_none() && self.born < self.setup.0.claims => {
                self.claim = Some(Claim {
                    uid: self.born,
                    deleting: false,
                    marked: false,
                    marked_by_other: false,
                    bound: Bound::No,
                    selected: None,
                });
                self.born += 1;
            }
            Move::UserDeletes => self.claim.as_mut()?.deleting = true,
            Move::UserDeletesSnapshot => self.snapshot.as_mut()?.deleting = true,
            Move::ClassVanishes => self.class = false,
            Move::ClassComesBack => self.class = true,
            Move::BoundElsewhere => {
                let claim = self.claim.as_mut()?;
                let pending = claim.bound == Bound::No && !claim.deleting;
                if !pending || self.volumes[usize::from(claim.uid)].is_some() {
                    return None;
                }
                claim.bound = Bound::Elsewhere;
            }
            Move::Selects(_)
            | Move::Deselects
            | Move::FirstNodeGoes
            | Move::FirstNodeComesBack
            | Move::OtherNodeBegins
            | Move::OtherNodeFinishes => self.places(step)?,
            Move::Binder => self.bind()?,
            Move::Controller => {
                let waits = self.claim.is_some_and(|it| it.bound == Bound::No);
                if waits || !self.snapshot?.deleting {
                    return None;
                }
                self.content = false;
                if !self.snapshot?.protected {
                    self.snapshot = None;
                }
            }
            Move::Told(cache) => self.told(cache),
            Move::Crash => {
                self.left.crashes = self.left.crashes.checked_sub(1)?;
                self.crash();
            }
            Move::CallIsDue if !self.it.memory.due => self.it.memory.due = true,
            Move::LateEffect(at) if self.late[at] => {
                self.late[at] = false;
                self.storage[at] = true;
            }
            Move::LateNothing(at) if self.late[at] => self.late[at] = false,
            Move::Provisioner(how) => return self.provisioner(how),
            Move::Guard => self.guard()?,
            Move::VolumeMachine(at) => self.volume_machine(at)?,
            Move::UserCreates | Move::CallIsDue | Move::LateEffect(_) | Move::LateNothing(_) => {
                return None;
            }
        }
        self.reap();
        Some(self)
    }

    fn crash(&mut self) {
        // The caches stay as they were: a list from a replica that is behind.
        self.it.memory = BLANK;
        self.it.content = Seen::NotCached;
    }

    /// What happens to nodes, and on the other one.
    fn places(&mut self, step: Move) -> Option<()> {
        let pending = self.claim.as_mut().filter(|it| it.bound == Bound::No);
        match step {
            Move::Selects(1) if !self.first_node => return None,
            Move::Selects(_) if self.setup.0.places == Places::NodeGoes => {
                // As the scheduler does: only where none is.
                pending.filter(|it| it.selected.is_none())?.selected = selected(step);
            }
            Move::Selects(_) => pending?.selected = selected(step),
            Move::Deselects => pending?.selected = None,
            Move::FirstNodeGoes => self.first_node = false,
            Move::FirstNodeComesBack => self.first_node = true,
            _ => self.other_node(step)?,
        }
        Some(())
    }

    fn other_node(&mut self, step: Move) -> Option<()> {
        let claim = self.claim.as_mut()?;
        let its = claim.selected == Some(2) && !claim.deleting && claim.bound == Bound::No;
        match step {
            Move::OtherNodeBegins if its && !claim.marked && !claim.marked_by_other => {
                self.left.crashes = self.left.crashes.checked_sub(1)?;
                claim.marked_by_other = true;
                self.other_has = true;
            }
            Move::OtherNodeFinishes if claim.marked_by_other => {
                claim.marked_by_other = false;
                self.other_has = false;
                if its {
                    let at = usize::from(claim.uid);
                    self.storage[at] = true;
                    self.place[at] = 2;
                    self.volumes[at] = Some(Phase::Available);
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// The server lets a claim go that nothing holds.
    fn reap(&mut self) {
        let free = |it: &Claim| it.deleting && !it.marked && !it.marked_by_other;
        let Some(claim) = self.claim.filter(free) else {
            return;
        };
        let at = usize::from(claim.uid);
        if (self.storage[at] || self.late[at]) && self.volumes[at].is_none() {
            self.harm = Some("leaked: the claim went, and nothing tells of its volume on storage");
        }
        self.claim = None;
    }

    fn bind(&mut self) -> Option<()> {
        for at in 0..2 {
            let owner = self.claim.filter(|it| usize::from(it.uid) == at);
            match (self.volumes[at], owner) {
                (Some(Phase::Available), Some(it)) if it.bound == Bound::No => {
                    self.volumes[at] = Some(Phase::Bound);
                    self.claim.as_mut()?.bound = Bound::Here;
                    return Some(());
                }
                (Some(Phase::Available | Phase::Bound), None) => {
                    self.volumes[at] = Some(Phase::Released);
                    return Some(());
                }
                _ => {}
            }
        }
        None
    }

    fn told(&mut self, cache: Cache) {
        match cache {
            Cache::Claims => self.it.claim = seen(self.claim),
            Cache::Classes => self.it.class = seen(self.class.then_some(())),
            Cache::Nodes => self.it.first_node = self.first_node,
            Cache::Snapshots => self.it.snapshot = seen(self.snapshot),
            Cache::Volumes => {
                for (cached, object) in self.it.volumes.iter_mut().zip(self.volumes) {
                    // What a read past the cache did not find is remembered.
                    if object.is_some() || *cached != Seen::Absent {
                        *cached = seen(object);
                    }
                }
            }
        }
    }

    fn guard(&mut self) -> Option<()> {
        let held = self
            .it
            .claim
            .present()
            .is_some_and(|it| it.bound == Bound::No && it.marked);
        let cached = *self.it.snapshot.present()?;
        if held || !cached.protected || self.snapshot != Some(cached) {
            return None;
        }
        let next = Snap {
            protected: false,
            ..cached
        };
        self.snapshot = (!next.deleting || self.content).then_some(next);
        self.it.snapshot = seen(self.snapshot);
        Some(())
    }

    /// Of the volume machine only its end: what is released goes, storage first.
    fn volume_machine(&mut self, at: usize) -> Option<()> {
        let released = self.volumes[at] == Some(Phase::Released);
        if !released || self.setup.0.retain {
            return None;
        }
        self.storage[at] = false;
        self.volumes[at] = None;
        Some(())
    }

    fn provisioner(mut self, how: How) -> Option<Self> {
        let facts = self.facts();
        let Verdict::Do(step) = claim::decide(&facts) else {
            self.it.content = Seen::NotCached;
            return None;
        };
        match how {
            How::Works => {}
            How::Crashes => self.left.crashes = self.left.crashes.checked_sub(1)?,
            How::Refused | How::LostBefore | How::LostAfter | How::LostLate => {
                self.left.faults = self.left.faults.checked_sub(1)?;
            }
        }
        match step {
            Step::Complain(complaint) => {
                (how == How::Works).then_some(())?;
                self.remember(|it| it.folded_complaint(complaint));
            }
            Step::CreateOnStorage => self.call(how)?,
            Step::DeleteOrphan => self.delete(how)?,
            Step::LookUpContent => {
                (how == How::Works).then_some(())?;
                self.it.content = if self.content {
                    Seen::Present(())
                } else {
                    Seen::Absent
                };
            }
            Step::LookUpVolume => {
                (how == How::Works).then_some(())?;
                let at = usize::from(self.about()?);
                self.it.volumes[at] = self.volumes[at].map_or(Seen::Absent, Seen::Present);
            }
            Step::Mark
            | Step::Unmark
            | Step::Reschedule
            | Step::TakeOver
            | Step::ProtectSource
            | Step::CreateVolume => self.write(step, how)?,
            Step::DrawLot => {
                let schedule = Schedule { start: 9, max: 9 };
                (how == How::Works).then_some(())?;
                self.remember(|it| it.folded_lot(Time(0), schedule, 0));
            }
            Step::AskCapacity => {
                (how == How::Works).then_some(())?;
                self.it.memory.turn = Turn::HasRoom;
            }
            Step::LookUpAttributes | Step::TellPopulator => panic!("not of this world: {step:?}"),
        }
        self.reap();
        Some(self)
    }

    fn write(&mut self, step: Step, how: How) -> Option<()> {
        let lost = match how {
            How::Works => false,
            How::LostAfter => true,
            How::Crashes | How::Refused | How::LostBefore | How::LostLate => return None,
        };
        let cached = *self.it.claim.present()?;
        match step {
            Step::Mark | Step::Unmark | Step::Reschedule | Step::TakeOver => {
                let refused = step == Step::Mark && cached.deleting && !cached.marked;
                if self.claim != Some(cached) || refused {
                    return None; // A conflict; news is on its way.
                }
                if step.unmarks() {
                    self.remember(claim::Memory::folded_unmarking);
                    // Whoever has the claim next may make it: what was read counts no more.
                    let at = usize::from(cached.uid);
                    if self.it.volumes[at] == Seen::Absent {
                        self.it.volumes[at] = Seen::NotCached;
                    }
                }
                let marked = step == Step::Mark;
                let selected = match step {
                    Step::Reschedule => None,
                    Step::TakeOver => Some(1),
                    _ => cached.selected,
                };
                let next = Claim {
                    marked,
                    selected,
                    ..cached
                };
                self.claim = Some(next);
                self.reap();
                if !lost {
                    self.it.claim = self.claim.map_or(Seen::Absent, Seen::Present);
                    match step {
                        Step::Mark => self.remember(|it| it.folded_mark(cached.marked)),
                        Step::Reschedule => self.remember(claim::Memory::folded_rescheduled),
                        Step::TakeOver => self.it.memory.turn = Turn::None,
                        _ => {}
                    }
                }
            }
            Step::ProtectSource => {
                let snap = *self.it.snapshot.present()?;
                if self.snapshot != Some(snap) || snap.deleting {
                    return None;
                }
                self.snapshot.as_mut()?.protected = true;
                if !lost {
                    self.it.snapshot = seen(self.snapshot);
                }
            }
            _ => {
                let at = usize::from(cached.uid);
                if self.volumes[at].is_some() {
                    return None;
                }
                if self.it.memory.of != Some(cached.uid) || !self.storage[at] {
                    self.harm = Some("a volume object for what is not on storage");
                }
                if self.setup.0.places != Places::Everywhere && self.place[at] == ANYWHERE {
                    self.harm = Some("misplaced: a volume for a pod, and nobody chose its place");
                }
                self.volumes[at] = Some(Phase::Available);
                self.it.volumes[at] = if lost {
                    // The pass ends, and what it read is forgotten.
                    Seen::NotCached
                } else {
                    Seen::Present(Phase::Available)
                };
            }
        }
        Some(())
    }

    fn call(&mut self, how: How) -> Option<()> {
        let of = self.about()?;
        let at = usize::from(of);
        if !self.it.memory.due {
            self.harm = Some("hammered: what failed is tried again at once");
        }
        let claim = self.claim.filter(|it| it.uid == of);
        if claim.is_some_and(|it| !it.marked) {
            self.harm = Some("unmarked: the driver is called for a claim without the mark");
        }
        let waits = |it: &Claim| it.uid == of && !it.deleting && it.bound == Bound::No;
        let wanted = self.it.claim.present().is_some_and(waits);
        let bare = |it: &Snap| !it.deleting && !it.protected;
        let bare = self.content && self.it.snapshot.present().is_some_and(bare);
        if self.it.memory.outcome == Outcome::Uncertain && wanted && bare {
            self.harm =
                Some("exposed: a call in doubt is repeated, and its source has no finalizer");
        }
        self.ask(of)?;
        // A driver works on one call for a name at a time.
        if self.late[at] && !matches!(how, How::Crashes | How::Refused | How::LostBefore) {
            return None;
        }
        let there = self.storage[at];
        let place = self.it.memory.asked?;
        if self.other_has && !self.it.memory.stray {
            self.harm = Some("twice: another node has a volume for it");
        }
        if there && place != ANYWHERE && place != self.place[at] {
            (how == How::Works).then_some(())?;
            self.fails(Failure::Uncertain);
            self.remember(claim::Memory::folded_name_taken);
            return Some(());
        }
        if !there && !self.late[at] {
            self.place[at] = place;
        }
        let makes = there || !self.setup.0.restore || self.content;
        match how {
            How::Crashes => {
                self.late[at] |= makes && !there;
                self.crash();
            }
            How::Works if makes => {
                self.storage[at] = true;
                self.remember(|it| it.folded_created(Self::made()));
            }
            How::Works | How::Refused => {
                if there || self.late[at] {
                    self.left.lies = self.left.lies.checked_sub(1)?;
                }
                self.fails(Failure::Refused);
                let believed = self.it.memory.outcome == Outcome::Nothing;
                if how == How::Refused && believed && self.setup.0.places.late() {
                    self.remember(|it| it.folded_exhausted(false));
                }
            }
            How::LostBefore => self.fails(Failure::Uncertain),
            How::LostAfter | How::LostLate if !makes => return None,
            How::LostAfter => {
                self.fails(Failure::Uncertain);
                self.storage[at] = true;
            }
            How::LostLate => {
                self.fails(Failure::Uncertain);
                self.late[at] = !there;
            }
        }
        Some(())
    }

    fn fails(&mut self, failure: Failure) {
        let schedule = Schedule { start: 9, max: 9 };
        self.remember(|it| it.folded_failure(failure, "it failed", Time(0), schedule, 0));
    }

    fn delete(&mut self, how: How) -> Option<()> {
        let at = usize::from(self.it.memory.of?);
        if matches!(how, How::Crashes | How::LostLate | How::Refused) {
            return None;
        }
        if self.volumes[at].is_some() {
            self.harm = Some("destroyed: a volume that has an object");
        }
        if how != How::LostBefore {
            self.storage[at] = false;
        }
        if how == How::Works {
            self.remember(claim::Memory::folded_removed);
        } else {
            let schedule = Schedule { start: 9, max: 9 };
            self.remember(|it| it.folded_orphan_kept(Time(0), schedule, 0));
        }
        Some(())
    }
}
