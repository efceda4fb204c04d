//! Visits every state that moves can reach, shortest ways first, and asks each of them whether all
//! laws hold.
//!
//! Does not know what a state is. Visited states are kept as 64-bit fingerprints: with 5 million of
//! them the chance that two share one, and one is skipped, is below one in a million.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt::Debug;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::thread;
use std::time::{Duration, Instant};

/// A state, the moves that lead out of it, and the laws.
pub(crate) trait World: Copy + Hash + Debug {
    type Move: Copy + Debug;

    /// The state after the move; none if the move is not possible or changes nothing.
    fn play(self, step: Self::Move) -> Option<Self>;

    /// The law that is broken here, whatever happens next.
    fn broken(&self) -> Option<&'static str>;

    /// The next move while no user and no fault interferes; none at rest.
    fn alone(self) -> Option<(Self::Move, Self)>;

    /// What is wrong with resting here.
    fn wrong_at_rest(&self) -> Option<&'static str>;
}

/// Everything was visited and no law is broken.
#[derive(Debug)]
pub(crate) struct Visited {
    pub(crate) states: usize,
    pub(crate) depth: usize,
    pub(crate) took: Duration,
    /// The bound on states was reached first.
    pub(crate) cut_short: bool,
}

/// A broken law and the shortest way to it.
#[derive(Debug)]
pub(crate) struct Finding<M> {
    pub(crate) law: &'static str,
    pub(crate) moves: Vec<M>,
    /// What happened then, left alone.
    pub(crate) alone: Vec<M>,
    pub(crate) state: String,
}

/// More states than any of these worlds has.
pub(crate) const MOST: usize = 5_000_000;

/// States per world, if less than all are to be visited: how mutants are tried quickly.
#[expect(
    clippy::disallowed_methods,
    reason = "cargo xtask mutants says it to a test program, which has no arguments of its own"
)]
pub(crate) fn bound() -> Option<usize> {
    let text = std::env::var("TINTYPE_WORLD_STATES").ok()?;
    Some(text.parse().expect("TINTYPE_WORLD_STATES is a number"))
}

/// Explores a world, prints what was found, and fails if that is a broken law.
pub(crate) fn holds<W: World>(name: &str, start: W, moves: &[W::Move]) {
    let most = bound();
    match explore(start, moves, most.unwrap_or(MOST)) {
        Ok(Visited {
            states,
            depth,
            took,
            cut_short,
        }) => {
            println!("{name}: {states} states, {depth} moves deep, {took:.1?}");
            assert!(
                !cut_short || most.is_some(),
                "{name}: more than {MOST} states"
            );
        }
        Err(found) => {
            tell(&found);
            panic!("{name}: {}", found.law);
        }
    }
}

/// The one line from which `cargo xtask mutants` learns who saw what, and the way there.
pub(crate) fn finding<M: Debug>(law: &str, moves: &[M]) {
    let test = thread::current();
    let test = test.name().unwrap_or("?");
    let way: Vec<_> = moves.iter().map(|it| format!("{it:?}")).collect();
    println!(
        "finding: {test} · {law} · {} · {}",
        way.len(),
        way.join("; ")
    );
}

/// The law and the way there.
pub(crate) fn tell<M: Debug>(found: &Finding<M>) {
    finding(found.law, &found.moves);
    for step in &found.alone {
        println!("  (left alone) {step:?}");
    }
    println!("{}", found.state);
}

/// Visits everything, up to `most` states.
pub(crate) fn explore<W: World>(
    start: W,
    moves: &[W::Move],
    most: usize,
) -> Result<Visited, Box<Finding<W::Move>>> {
    let began = Instant::now();
    let mut all = All::<W> {
        nodes: vec![(0, None, 0)],
        seen: HashMap::from_iter([(fingerprint(&start), 0)]),
        good: HashSet::default(),
    };
    let mut queue = VecDeque::from([(start, 0_usize)]);
    let mut depth = 0;
    while let Some((state, at)) = queue.pop_front() {
        depth = all.nodes[at].2;
        all.judge(state, at)?;
        for &step in moves {
            let Some(next) = state.play(step) else {
                continue;
            };
            if all.nodes.len() >= most {
                return Ok(all.report(began, depth, true));
            }
            let number = all.nodes.len();
            let found = all.seen.entry(fingerprint(&next)).or_insert(number);
            if *found == number {
                all.nodes.push((at, Some(step), depth + 1));
                queue.push_back((next, number));
            }
        }
    }
    Ok(all.report(began, depth, false))
}

struct All<W: World> {
    /// Where from, by which move, how far from the start.
    nodes: Vec<(usize, Option<W::Move>, usize)>,
    seen: HashMap<u64, usize, Plain>,
    /// States that are known to come to a right rest when left alone.
    good: HashSet<u64, Plain>,
}

/// More steps than any world needs to come to rest.
const PATIENCE: usize = 500;

impl<W: World> All<W> {
    /// The laws here, and on the whole way to rest.
    fn judge(&mut self, state: W, at: usize) -> Result<(), Box<Finding<W::Move>>> {
        let mut chain = Vec::new();
        let mut alone = Vec::new();
        let mut now = state;
        loop {
            let print = fingerprint(&now);
            if self.good.contains(&print) {
                break;
            }
            let broken = now.broken().or_else(|| {
                (chain.len() > PATIENCE || chain.contains(&print))
                    .then_some("livelock: left alone, it never comes to rest")
            });
            chain.push(print);
            let next = if broken.is_none() { now.alone() } else { None };
            let law = match (broken, &next) {
                (Some(law), _) => Some(law),
                (None, None) => now.wrong_at_rest(),
                (None, Some(_)) => None,
            };
            if let Some(law) = law {
                return Err(Box::new(Finding {
                    law,
                    moves: self.way(at),
                    alone,
                    state: format!("{now:?}"),
                }));
            }
            let Some((step, then)) = next else { break };
            alone.push(step);
            now = then;
        }
        self.good.extend(chain);
        Ok(())
    }

    fn way(&self, mut at: usize) -> Vec<W::Move> {
        let mut moves = Vec::new();
        while let (from, Some(step), _) = self.nodes[at] {
            moves.push(step);
            at = from;
        }
        moves.reverse();
        moves
    }

    fn report(&self, began: Instant, depth: usize, cut_short: bool) -> Visited {
        Visited {
            states: self.nodes.len(),
            depth,
            took: began.elapsed(),
            cut_short,
        }
    }
}

fn fingerprint(state: &impl Hash) -> u64 {
    let mut print = Print(0x243f_6a88_85a3_08d3);
    state.hash(&mut print);
    print.finish()
}

/// Folds 128-bit products, word by word.
struct Print(u64);

impl Print {
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * 0x9e37_79b9_7f4a_7c15_u128;
        self.0 = fold(product).wrapping_add(word.rotate_left(29));
    }
}

#[expect(clippy::cast_possible_truncation, reason = "both halves are wanted")]
const fn fold(product: u128) -> u64 {
    (product >> 64) as u64 ^ product as u64
}

impl Hasher for Print {
    fn finish(&self) -> u64 {
        fold(u128::from(self.0 ^ 0xa076_1d64_78bd_642f) * 0xe703_7ed1_a0b4_28db_u128)
    }

    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.mix(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, it: u8) {
        self.mix(u64::from(it));
    }

    fn write_isize(&mut self, it: isize) {
        self.mix(it.cast_unsigned() as u64);
    }

    fn write_usize(&mut self, it: usize) {
        self.mix(it as u64);
    }
}

/// Fingerprints are hashes already.
#[derive(Default)]
pub(crate) struct Same(u64);

type Plain = BuildHasherDefault<Same>;

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {}

    fn write_u64(&mut self, it: u64) {
        self.0 = it;
    }
}
