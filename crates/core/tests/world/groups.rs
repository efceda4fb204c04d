//! Walks at random through the life of a group snapshot of two volumes, all machines and real
//! documents together, and holds each state to the laws.
//!
//! Walks are the same everywhere; one that breaks a law prints its seed and its moves, and
//! `TINTYPE_SEED` walks it again, move by move. What the driver's side decides of one content is
//! visited state by state in the worlds of single snapshots: it is the same function.

mod cluster;
mod sidecar;
mod storage;

use tintype_core::DeletionPolicy;
use tintype_core::object::GroupContent;
use tintype_core::write::Kind;

use super::dice::Dice;
use super::explore::finding;
use cluster::{Cluster, Move, Request, protected};
use storage::How;

const WALKS: u64 = 120;
const STEPS: usize = 300;

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

/// The law that is broken here, whatever happens next.
fn broken(cluster: &Cluster, before: Before, now: Before) -> Option<&'static str> {
    if let Some(harm) = cluster.storage.harm {
        return Some(harm);
    }
    if cluster.storage.made > 1 {
        return Some("a group is cut twice, newer data under an old date");
    }
    let content = cluster.group_content();
    let volumes = content.as_ref().map_or(0, |it| it.volumes().len());
    if now.content && !before.content {
        let held = [0, 1].map(|at| cluster.claim(at).is_some_and(|it| protected(&it.meta)));
        if held.iter().filter(|held| **held).count() < volumes {
            return Some("a group content is made before its claims are protected");
        }
    }
    if now.content_ready && !before.content_ready {
        let fits = content
            .as_ref()
            .is_some_and(GroupContent::lists_its_volumes);
        if !fits {
            return Some("lie: a group content is ready with a list that does not fit");
        }
    }
    if now.ready && !before.ready && members_made(cluster) < volumes {
        return Some("lie: a group is ready before its members are made");
    }
    let group = cluster.group();
    let stands = group.as_ref().is_some_and(|it| !it.meta.deleting);
    if stands && (0..2).any(|at| before.members[at] && !now.members[at]) {
        return Some("a member goes before its group");
    }
    if group.is_none() && (0..2).any(|at| cluster.snapshot(at).is_some_and(|it| !it.meta.deleting))
    {
        return Some("leak: a group goes and does not delete its members");
    }
    let owed = content.is_some_and(|it| it.policy == DeletionPolicy::Delete);
    if group.is_none() && owed {
        return Some("leak: a group goes before its content");
    }
    None
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
fn wrong_at_rest(cluster: &Cluster, class: bool, by_hand: bool) -> Option<&'static str> {
    let whole = (0..2).all(|at| cluster.claim(at).is_some_and(|it| !it.meta.deleting));
    if let Some(group) = cluster.group() {
        if group.meta.deleting {
            return Some("stuck: a group that is deleted never goes");
        }
        let ready = group.ready == Some(true);
        if ready && group.error.is_some() {
            return Some("lie: a ready group says that something is wrong");
        }
        if !ready && group.error.is_none() {
            return Some("silence: a group is not ready and does not say why");
        }
        if ready && (0..2).any(|at| cluster.claim(at).is_some_and(|it| protected(&it.meta))) {
            return Some("a claim is never let go");
        }
        let cut = cluster
            .group_content()
            .is_some_and(|it| it.handle().is_some());
        if !ready && (cut || (class && whole)) {
            return Some("stuck: a group has all it needs and is not ready");
        }
        return None;
    }
    if (0..2).any(|at| cluster.snapshot(at).is_some()) {
        return Some("leak: a member is left without its group");
    }
    if (0..2).any(|at| cluster.claim(at).is_some_and(|it| protected(&it.meta))) {
        return Some("a claim is never let go");
    }
    let content = cluster.group_content();
    if let Some(cut) = cluster.storage.cuts.values().next() {
        let known = content.as_ref().and_then(|it| it.handle()) == Some(cut.handle.as_str());
        // Who deletes a content that is to leave its data alone takes the data over.
        let taken_over = by_hand && cluster.policy == DeletionPolicy::Retain;
        if !known && !taken_over {
            return Some("leak: storage has a group nobody knows of");
        }
    }
    let owed = cluster.policy == DeletionPolicy::Delete;
    if owed && (0..2).any(|at| cluster.content(at).is_some()) {
        return Some("leak: the content of a member is left");
    }
    None
}

/// A walk, and what happened on it.
struct Walk {
    cluster: Cluster,
    seed: u64,
    class: bool,
    by_hand: bool,
    moves: Vec<Move>,
    told: bool,
}

impl Walk {
    fn play(&mut self, step: Move) -> bool {
        let before = Before::of(&self.cluster);
        if !self.cluster.play(step) {
            return false;
        }
        self.class = match step {
            Move::ClassVanishes => false,
            Move::ClassReturns => true,
            _ => self.class,
        };
        self.by_hand |= step == Move::ContentDeletedByHand;
        self.moves.push(step);
        if self.told {
            println!("{step:?}");
        }
        let now = Before::of(&self.cluster);
        self.hold(broken(&self.cluster, before, now));
        true
    }

    fn hold(&self, law: Option<&str>) {
        let Some(law) = law else { return };
        finding(law, &self.moves);
        panic!("{law}: seed {}, moves {:?}", self.seed, self.moves);
    }

    /// Nobody interferes any more: everything works until nothing is left to do.
    fn rest(&mut self) {
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
                news |= self.play(step);
            }
            if !news && waited {
                return self.hold(wrong_at_rest(&self.cluster, self.class, self.by_hand));
            }
            waited = !news && self.cluster.play(Move::TimePasses);
        }
        self.hold(Some("livelock: left alone, it never comes to rest"));
    }
}

fn walk(policy: DeletionPolicy, seed: u64, told: bool) -> usize {
    let moves = cluster::moves();
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut walk = Walk {
        cluster: Cluster::new(policy),
        seed,
        class: true,
        by_hand: false,
        moves: Vec::new(),
        told,
    };
    for _ in 0..STEPS {
        let step = choose(&mut dice, &moves);
        let content = walk.cluster.group_content().is_some();
        walk.play(step);
        // Seldom by chance, and what caches are not to be believed for.
        let unheard = !content && walk.cluster.group_content().is_some();
        if unheard && step == Move::Group(Request::ReplyLost) && dice.below(2) == 0 {
            walk.play(Move::UserDeletes);
            walk.play(Move::Told(Kind::Group));
        }
    }
    walk.rest();
    walk.play(Move::UserDeletes);
    walk.rest();
    walk.moves.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walks(policy: DeletionPolicy) {
        let played: usize = (1..=WALKS).map(|seed| walk(policy, seed, false)).sum();
        println!("groups, {policy:?}: {WALKS} walks, {played} moves");
    }

    #[test]
    fn a_group_that_is_deleted_with_its_data() {
        walks(DeletionPolicy::Delete);
    }

    #[test]
    fn a_group_whose_data_stays() {
        walks(DeletionPolicy::Retain);
    }

    /// Walks the seed in `TINTYPE_SEED` again, under both policies.
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
        for policy in [DeletionPolicy::Delete, DeletionPolicy::Retain] {
            println!("{policy:?}: {} moves", walk(policy, seed, true));
        }
    }
}
