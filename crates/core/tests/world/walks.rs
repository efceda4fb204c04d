//! Walks at random where not every state can be visited, in lockstep with real documents.

use std::fmt::Write as _;
use std::path::Path;

use tintype_core::DeletionPolicy;

use super::controller::Request;
use super::dice::Dice;
use super::driver::Driver;
use super::lockstep::Lockstep;
use super::model::Setup;
use super::moves::{self, Move};
use super::tests::PLAIN;

const WALKS: u64 = 400;
const STEPS: usize = 3_000;

/// Everything that may go wrong, and two snapshots.
const WILD: Setup = Setup {
    names: 2,
    snapshots: 2,
    bound: false,
    claim_goes: true,
    claim_used: true,
    class_goes: true,
    by_hand: true,
    slow: true,
    faults: 8,
    lies: 1,
    crashes: 3,
    ..PLAIN
};

/// The order of what users and fate do is at random; machines and caches get most of the moves.
fn choose(dice: &mut Dice, moves: &[Move]) -> usize {
    loop {
        let at = dice.below(moves.len());
        let odds = match moves[at] {
            Move::Told(_)
            | Move::Controller(_, Request::Works)
            | Move::Guard(Request::Works)
            | Move::Sidecar(_, Driver::Works) => 1,
            // What ends a story comes late in it.
            Move::UserDeletes(_)
            | Move::UserDeletesClaim
            | Move::ClassVanishes
            | Move::ContentDeletedByHand(_)
            | Move::ContentDestroyed(_) => 200,
            _ => 10,
        };
        if dice.below(odds) == 0 {
            return at;
        }
    }
}

fn walk(name: &str, setup: Setup) {
    for policy in [DeletionPolicy::Delete, DeletionPolicy::Retain] {
        let setup = Setup { policy, ..setup };
        let moves = moves::all(&setup);
        let mut played = 0;
        for seed in 1..=WALKS {
            let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let mut diary = Diary::new(name, setup, seed);
            let mut both = Lockstep::new(setup);
            for _ in 0..STEPS {
                let at = choose(&mut dice, &moves);
                diary.note(at, moves[at]);
                if both.play(moves[at]) {
                    played += 1;
                } else {
                    diary.forget();
                }
            }
            assert_eq!(both.rest(), None);
            diary.done = true;
        }
        println!("{name}, {policy:?}: {WALKS} walks, {played} moves in lockstep");
    }
}

/// The moves of a walk; left in a file should the walk end early.
struct Diary {
    name: String,
    seed: u64,
    lines: Vec<String>,
    done: bool,
}

impl Diary {
    fn new(name: &str, setup: Setup, seed: u64) -> Self {
        Self {
            name: format!("{name} {:?}", setup.policy).replace(' ', "-"),
            seed,
            lines: Vec::new(),
            done: false,
        }
    }

    fn note(&mut self, at: usize, step: Move) {
        self.lines.push(format!("{at} {step:?}"));
    }

    fn forget(&mut self) {
        self.lines.pop();
    }
}

impl Drop for Diary {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut text = String::new();
        for line in &self.lines {
            let _ = writeln!(text, "{line}");
        }
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.moves", self.name));
        let kept = std::fs::write(&file, text);
        println!(
            "finding: rows and facts part · {}\nseed {}, moves in {} ({kept:?})",
            self.lines.len(),
            self.seed,
            file.display()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_renders_do_what_the_small_world_takes_for_granted() {
        walk("rows", WILD);
    }

    #[test]
    fn rows_of_an_imported_snapshot() {
        let setup = Setup {
            imported: true,
            names: 1,
            ..WILD
        };
        walk("imported rows", setup);
    }

    /// Plays the file named by `TINTYPE_MOVES`, whose name says which walk it is of.
    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "a test program has no arguments of its own"
    )]
    fn moves_from_a_file() {
        let Ok(path) = std::env::var("TINTYPE_MOVES") else {
            return;
        };
        let text = std::fs::read_to_string(&path).expect("the file can be read");
        let policy = if path.contains("Delete") {
            DeletionPolicy::Delete
        } else {
            DeletionPolicy::Retain
        };
        let imported = path.contains("imported");
        let setup = Setup {
            policy,
            imported,
            names: if imported { 1 } else { 2 },
            ..WILD
        };
        let moves = moves::all(&setup);
        let mut both = Lockstep::new(setup);
        for line in text.lines() {
            let at: usize = line.split(' ').next().unwrap().parse().unwrap();
            println!("{:?}: {}", moves[at], both.play(moves[at]));
        }
    }
}
