//! Kills `up` many times, in series that can be repeated and gone on with by their seeds.
//!
//! Does not know what is checked: the test `killed` of the sandbox does that. A series begins in an
//! empty folder, so that a seed tells all there is to know about it.

use anyhow::bail;

use crate::play::play;

/// So many kills in one folder.
const SERIES: u32 = 20;

/// Kills `rounds` times; the first series has this seed, each other the next one.
pub(crate) fn run(rounds: u32, seed: u64) -> anyhow::Result<()> {
    let mut left = rounds;
    for seed in seed.. {
        if left == 0 {
            break;
        }
        let now = left.min(SERIES);
        println!(
            "{} of {rounds} kills done; to go on from here: {}",
            rounds - left,
            again(left, seed)
        );
        let settings = [
            ("TINTYPE_TEST_ROUNDS", now.to_string()),
            ("TINTYPE_TEST_SEED", seed.to_string()),
        ];
        if !play("crash", "killed::", settings)? {
            bail!("seed {seed} failed; to repeat it: {}", again(now, seed));
        }
        left -= now;
    }
    println!("{rounds} kills, nothing lost");
    Ok(())
}

fn again(rounds: u32, seed: u64) -> String {
    format!("cargo xtask crash --rounds {rounds} --seed {seed}")
}
