//! Walks at random through the life of a group snapshot of two volumes, all machines and real
//! documents together, and holds each state to the laws.
//!
//! Walks are the same everywhere; one that breaks a law prints its seed and its moves, and
//! `TINTYPE_SEED` walks it again, move by move. An imported group is there before it is asked for.
//! Upstream's halves take the place of ours in `pairs`. What the driver's side decides of one content is
//! visited state by state in the worlds of single snapshots: it is the same function.

mod cluster;
mod controller;
mod pairs;
mod rows;
mod sidecar;
mod storage;
mod their_members;
mod their_sidecar;
mod theirs;

use tintype_core::DeletionPolicy;
use tintype_core::object::{Group, GroupContent};
use tintype_core::write::Kind;

use super::dice::Dice;
use super::explore::finding;
use cluster::{Cluster, Move, Request, Setup, protected};
use storage::How;

const WALKS: u64 = 120;
const STEPS: usize = 300;

// The laws. What storage sees broken it says itself.
const CUT_TWICE: &str = "a group is cut twice, newer data under an old date";
const UNPROTECTED: &str = "a group content is made before its claims are protected";
const WRONG_LIST: &str = "lie: a group content is ready with a list that does not fit";
const READY_EARLY: &str = "lie: a group is ready before its members are made";
const MEMBER_ALONE: &str = "a member goes before its group";
const MEMBERS_LEFT: &str = "leak: a group goes and does not delete its members";
const CONTENT_LEFT: &str = "leak: a group goes before its content";
const NEVER_GOES: &str = "stuck: a group that is deleted never goes";
const SILENCE: &str = "silence: a group is not ready and does not say why";
const CLAIM_HELD: &str = "a claim is never let go";
const STUCK: &str = "stuck: a group has all it needs and is not ready";
const MEMBER_LEFT: &str = "leak: a member is left without its group";
const STORAGE_LEFT: &str = "leak: storage has a group nobody knows of";
const MEMBER_CONTENT_LEFT: &str = "leak: the content of a member is left";
const READY_AND_WRONG: &str = "lie: a ready group says that something is wrong";
const LIVELOCK: &str = "livelock: left alone, it never comes to rest";
const NEVER_JOINS: &str = "a member of an imported group never says so";

/// Machines and caches get most of the moves; what ends a story comes late in it.
const fn odds(step: Move) -> usize {
    match step {
        Move::Told(_)
        | Move::SidecarTold(_)
        | Move::Group(Request::Works)
        | Move::Member(_, Request::Works)
        | Move::Guard(_)
        | Move::Sidecar(How::Works)
        | Move::SidecarMember(_) => 1,
        Move::UserDeletes
        | Move::UserDeletesMember(_)
        | Move::UserDeletesClaim(_)
        | Move::ContentDeletedByHand
        | Move::ClassVanishes => 100,
        Move::UserCreates
        | Move::ListIsLost
        | Move::ClassReturns
        | Move::Collector
        | Move::ControllerCrashes
        | Move::SidecarCrashes
        | Move::TimePasses
        | Move::Group(Request::ReplyLost)
        | Move::Member(_, Request::ReplyLost)
        | Move::Sidecar(
            How::NotYet
            | How::Refuses
            | How::TimesOutBefore
            | How::TimesOutAfter
            | How::WrongList
            | How::NoSecret,
        ) => 10,
    }
}

fn choose(dice: &mut Dice, moves: &[Move]) -> Move {
    loop {
        let step = moves[dice.below(moves.len())];
        if dice.below(odds(step)) == 0 {
            return step;
        }
    }
}

/// What was true a move ago.
#[derive(Debug, Clone, Copy, Default)]
struct Before {
    content: bool,
    content_ready: bool,
    ready: bool,
    members: [bool; 2],
}

impl Before {
    fn of(cluster: &Cluster) -> Self {
        Self {
            content: cluster.group_content().is_some(),
            content_ready: cluster.group_content().is_some_and(|it| it.ready()),
            ready: cluster.group().is_some_and(|it| it.ready == Some(true)),
            members: [0, 1].map(|at| cluster.snapshot(at).is_some()),
        }
    }
}

/// The laws that are broken here, whatever happens next.
fn broken(cluster: &Cluster, before: Before, now: Before) -> Vec<&'static str> {
    let content = cluster.group_content();
    let volumes = content.as_ref().map_or(0, |it| it.volumes().len());
    let held = [0, 1].map(|at| cluster.claim(at).is_some_and(|it| protected(&it.meta)));
    let held = held.iter().filter(|held| **held).count();
    let fits = content.as_ref().is_none_or(GroupContent::lists_its_volumes);
    // One that nobody was ever bound to is its administrator's.
    let owed =
        content.is_some_and(|it| it.policy == DeletionPolicy::Delete && !it.group.uid.is_empty());
    let group = cluster.group();
    let stands = group.as_ref().is_some_and(|it| !it.meta.deleting);
    let left = |at| {
        let member = cluster.snapshot(at);
        cluster.joined(at) && member.is_some_and(|it| !it.meta.deleting)
    };
    let laws = [
        (
            cluster.storage.made > u32::from(!cluster.setup.imported),
            CUT_TWICE,
        ),
        (
            now.content && !before.content && held < volumes,
            UNPROTECTED,
        ),
        (
            now.content_ready && !before.content_ready && !fits,
            WRONG_LIST,
        ),
        (
            now.ready && !before.ready && members_made(cluster) < volumes,
            READY_EARLY,
        ),
        (
            stands && (0..2).any(|at| before.members[at] && !now.members[at]),
            MEMBER_ALONE,
        ),
        (group.is_none() && (0..2).any(left), MEMBERS_LEFT),
        (group.is_none() && owed, CONTENT_LEFT),
    ];
    let laws = laws
        .into_iter()
        .filter_map(|(broken, law)| broken.then_some(law));
    cluster.storage.harm.into_iter().chain(laws).collect()
}

/// Members whose content says which snapshot on storage they are.
fn members_made(cluster: &Cluster) -> usize {
    let cut = cluster.storage.cuts.values().next();
    let ids = cut.map_or(&[][..], |it| it.members.as_slice());
    let made = |at: &usize| {
        let content = cluster.content(*at);
        let handle = content.as_ref().and_then(|it| it.handle());
        let known = handle.is_some_and(|handle| ids.iter().any(|(_, id)| id == handle));
        known && cluster.snapshot(*at).is_some()
    };
    (0..2).filter(made).count()
}

/// What is wrong with resting here.
fn wrong_at_rest(cluster: &Cluster, class: bool, taken_over: bool) -> Vec<&'static str> {
    let laws = match cluster.group() {
        Some(group) => wrong_with(cluster, &group, class),
        None => wrong_without(cluster, taken_over),
    };
    let laws = laws.into_iter();
    laws.filter_map(|(broken, law)| broken.then_some(law))
        .collect()
}

/// The group is still there.
fn wrong_with(cluster: &Cluster, group: &Group, class: bool) -> Vec<(bool, &'static str)> {
    if group.meta.deleting {
        return vec![(true, NEVER_GOES)];
    }
    let imported = cluster.setup.imported;
    let whole = (0..2).all(|at| cluster.claim(at).is_some_and(|it| !it.meta.deleting));
    let held = (0..2).any(|at| cluster.claim(at).is_some_and(|it| protected(&it.meta)));
    let ready = group.ready == Some(true);
    let stored = !cluster.storage.cuts.is_empty();
    let cut = cluster
        .group_content()
        .is_some_and(|it| it.handle().is_some() && (stored || !imported));
    let alone = |at| cluster.snapshot(at).is_some() && !cluster.joined(at);
    vec![
        (ready && group.error.is_some(), READY_AND_WRONG),
        (!ready && group.error.is_none(), SILENCE),
        (ready && held, CLAIM_HELD),
        (!ready && (cut || (class && whole && !imported)), STUCK),
        (ready && cut && (0..2).any(alone), NEVER_JOINS),
    ]
}

/// The group is gone.
fn wrong_without(cluster: &Cluster, taken_over: bool) -> Vec<(bool, &'static str)> {
    let held = (0..2).any(|at| cluster.claim(at).is_some_and(|it| protected(&it.meta)));
    let content = cluster.group_content();
    let handle = content.as_ref().and_then(|it| it.handle());
    let cuts = &cluster.storage.cuts;
    let unknown = cuts.values().any(|it| handle != Some(it.handle.as_str()));
    let owed = cluster.setup.policy == DeletionPolicy::Delete;
    // An imported snapshot that never heard of its group goes when its user wants it to.
    let left = |at| cluster.content(at).is_some() && cluster.snapshot(at).is_none();
    vec![
        ((0..2).any(|at| cluster.joined(at)), MEMBER_LEFT),
        (held, CLAIM_HELD),
        (unknown && !taken_over, STORAGE_LEFT),
        (owed && (0..2).any(left), MEMBER_CONTENT_LEFT),
    ]
}

/// A walk, and what happened on it.
struct Walk {
    cluster: Cluster,
    class: bool,
    /// Who deletes a content that is to leave its data alone, or is bound to nobody, takes the data
    /// over.
    taken_over: bool,
    moves: Vec<Move>,
    told: bool,
}

/// The law that was broken, and how.
#[derive(Debug)]
struct Broken {
    law: &'static str,
    seed: u64,
    moves: Vec<Move>,
}

impl Walk {
    fn play(&mut self, step: Move) -> Result<bool, &'static str> {
        let before = Before::of(&self.cluster);
        let content = self.cluster.group_content();
        if !self.cluster.play(step) {
            return Ok(false);
        }
        self.class = match step {
            Move::ClassVanishes => false,
            Move::ClassReturns => true,
            _ => self.class,
        };
        if step == Move::ContentDeletedByHand {
            let retained = self.cluster.setup.policy == DeletionPolicy::Retain;
            self.taken_over |= retained || content.is_some_and(|it| it.group.uid.is_empty());
        }
        self.moves.push(step);
        if self.told {
            println!("{step:?}");
        }
        let now = Before::of(&self.cluster);
        self.hold(broken(&self.cluster, before, now))?;
        Ok(true)
    }

    /// Known faults of upstream's are passed over.
    fn hold(&self, laws: Vec<&'static str>) -> Result<(), &'static str> {
        let pardons = self.cluster.setup.pardons;
        let found = laws.into_iter().find(|it| !pardons.contains(it));
        found.map_or(Ok(()), Err)
    }

    /// Nobody interferes any more: everything works until nothing is left to do.
    fn rest(&mut self) -> Result<(), &'static str> {
        const ALONE: [Move; 9] = [
            Move::Group(Request::Works),
            Move::Member(0, Request::Works),
            Move::Member(1, Request::Works),
            Move::Guard(0),
            Move::Guard(1),
            Move::Sidecar(How::Works),
            Move::SidecarMember(0),
            Move::SidecarMember(1),
            Move::Collector,
        ];
        let mut waited = false;
        for _ in 0..600 {
            let mut news = self.cluster.tell_all();
            for step in ALONE {
                news |= self.play(step)?;
            }
            if !news && waited {
                return self.hold(wrong_at_rest(&self.cluster, self.class, self.taken_over));
            }
            waited = !news && self.cluster.play(Move::TimePasses);
        }
        self.hold(vec![LIVELOCK])
    }

    fn whole(&mut self, dice: &mut Dice) -> Result<(), &'static str> {
        let moves = cluster::moves();
        for _ in 0..STEPS {
            let step = choose(dice, &moves);
            let content = self.cluster.group_content().is_some();
            self.play(step)?;
            // Seldom by chance, and what caches are not to be believed for.
            let unheard = !content && self.cluster.group_content().is_some();
            if unheard && step == Move::Group(Request::ReplyLost) && dice.below(2) == 0 {
                self.play(Move::UserDeletes)?;
                self.play(Move::Told(Kind::Group))?;
            }
        }
        self.rest()?;
        self.play(Move::UserDeletes)?;
        self.rest()
    }
}

/// Walks one seed; how many moves that took.
fn walk(setup: Setup, seed: u64, told: bool) -> Result<usize, Broken> {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut walk = Walk {
        cluster: Cluster::new(setup),
        class: true,
        taken_over: false,
        moves: Vec::new(),
        told,
    };
    match walk.whole(&mut dice) {
        Ok(()) => Ok(walk.moves.len()),
        Err(law) => Err(Broken {
            law,
            seed,
            moves: walk.moves,
        }),
    }
}

/// Ours on both sides, and a group that is asked for.
const OURS: Setup = Setup {
    policy: DeletionPolicy::Delete,
    theirs: [false; 2],
    imported: false,
    old_clients: true,
    pardons: &[],
};

#[cfg(test)]
mod tests {
    use super::*;

    fn walks(setup: Setup) {
        let mut played = 0;
        for seed in 1..=WALKS {
            match walk(setup, seed, false) {
                Ok(moves) => played += moves,
                Err(it) => {
                    finding(it.law, &it.moves);
                    panic!(
                        "{}: seed {}, {setup:?}, moves {:?}",
                        it.law, it.seed, it.moves
                    );
                }
            }
        }
        println!("groups, {setup:?}: {WALKS} walks, {played} moves");
    }

    #[test]
    fn a_group_that_is_deleted_with_its_data() {
        walks(OURS);
    }

    #[test]
    fn a_group_whose_data_stays() {
        let policy = DeletionPolicy::Retain;
        walks(Setup { policy, ..OURS });
    }

    #[test]
    fn a_group_that_is_imported() {
        for policy in [DeletionPolicy::Delete, DeletionPolicy::Retain] {
            walks(Setup {
                policy,
                imported: true,
                ..OURS
            });
        }
    }

    /// Walks the seed in `TINTYPE_SEED` again, in every setup.
    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "a test program has no arguments of its own"
    )]
    fn a_walk_again() {
        let Ok(seed) = std::env::var("TINTYPE_SEED") else {
            return;
        };
        let seed = seed.parse().expect("TINTYPE_SEED is a number");
        for imported in [false, true] {
            for theirs in [[false, false], [false, true], [true, false], [true, true]] {
                for policy in [DeletionPolicy::Delete, DeletionPolicy::Retain] {
                    let setup = Setup {
                        policy,
                        theirs,
                        imported,
                        ..OURS
                    };
                    println!("{setup:?}");
                    println!("{:?}", walk(setup, seed, true));
                }
            }
        }
    }
}
