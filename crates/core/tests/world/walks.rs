//! Walks at random where not every state can be visited, in lockstep with real documents.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use tintype_core::DeletionPolicy;

use super::controller::Request;
use super::dice::Dice;
use super::driver::Driver;
use super::explore::finding;
use super::lockstep::Lockstep;
use super::model::Setup;
use super::moves::{self, Move};
use super::shrink::shortest;
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
            let mut way = Vec::new();
            let ended = ends(|| wander(setup, &moves, seed, &mut way));
            played += way.len();
            if let Some(law) = ended {
                fails(name, setup, seed, law, way);
            }
        }
        println!("{name}, {policy:?}: {WALKS} walks, {played} moves in lockstep");
    }
}

/// Walks at random and notes the way; says which law was broken on it, or at its end.
fn wander(setup: Setup, moves: &[Move], seed: u64, way: &mut Vec<Move>) -> Option<&'static str> {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut both = Lockstep::new(setup);
    for _ in 0..STEPS {
        let step = moves[choose(&mut dice, moves)];
        // Noted before: it may end in a panic.
        way.push(step);
        if !both.play(step) {
            way.pop();
        }
        if let Some(law) = both.broken() {
            return Some(law);
        }
    }
    both.rest()
}

/// Walks this way again.
fn follow(setup: Setup, way: &[Move]) -> Option<&'static str> {
    let mut both = Lockstep::new(setup);
    for &step in way {
        both.play(step);
        if let Some(law) = both.broken() {
            return Some(law);
        }
    }
    both.rest()
}

/// The law that is broken; where documents and the small world part, that is what fails.
fn ends(walk: impl FnOnce() -> Option<&'static str>) -> Option<&'static str> {
    catch_unwind(AssertUnwindSafe(walk)).unwrap_or(Some("rows and facts part"))
}

/// Leaves the shortest way to the failure in a file and fails on it.
fn fails(name: &str, setup: Setup, seed: u64, law: &'static str, way: Vec<Move>) -> ! {
    let fewest = shortest(way, |way| ends(|| follow(setup, way)) == Some(law));
    finding(law, &fewest);
    let mut text = String::new();
    for step in &fewest {
        let _ = writeln!(text, "{step:?}");
    }
    let file = format!("{name} {:?} {seed}.moves", setup.policy).replace(' ', "-");
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
    let kept = std::fs::write(&file, text);
    println!("seed {seed}, moves in {} ({kept:?})", file.display());
    let ended = follow(setup, &fewest);
    panic!("{name}: {law}: {ended:?}");
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
        let named = |line: &str| moves.iter().find(|it| format!("{it:?}") == line);
        let mut both = Lockstep::new(setup);
        for line in text.lines() {
            let step = *named(line).expect("every line is a move of this walk");
            println!("{step:?}: {}", both.play(step));
            assert_eq!(both.broken(), None);
        }
        assert_eq!(both.rest(), None);
    }
}
