//! Kills `up` with signal 9 at random moments of its work, many times over in one folder.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use crate::{
    ledger::Ledger,
    machine::Machine,
    peace,
    workers::{self, Disk},
};

/// Set by `cargo xtask crash`.
const ROUNDS: &str = "TINTYPE_TEST_ROUNDS";
const SEED: &str = "TINTYPE_TEST_SEED";

/// Some moments are in the start's own work, some in the middle of much.
const LONGEST: Duration = Duration::from_millis(600);

fn number(name: &str, default: u64) -> u64 {
    let given = std::env::var_os(name);
    given.map_or(default, |given| given.to_str().unwrap().parse().unwrap())
}

#[test]
fn keeps_its_word_however_often_it_is_killed() {
    let (rounds, seed) = (number(ROUNDS, 20), number(SEED, 1));
    let folder = format!("tintype-test-{}-crash-", std::process::id());
    let folder = tempfile::Builder::new().prefix(&folder).tempdir().unwrap();
    let (data_dir, log) = (folder.path().join("data"), folder.path().join("log"));
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let began = Instant::now();
    for round in 0..rounds {
        let mut random = StdRng::seed_from_u64(seed.wrapping_mul(1_000_003) + round);
        let machine = Machine::start(&data_dir, &log);
        let wrong = runtime.block_on(async {
            let wrong = peace::check(&machine, &ledger).await;
            if wrong.is_empty() {
                let working = tokio::spawn(workers::work(
                    machine.client().await,
                    ledger.clone(),
                    random.random(),
                    Disk::Works,
                ));
                tokio::time::sleep(random.random_range(Duration::ZERO..LONGEST)).await;
                machine.kill();
                working.await.unwrap();
            }
            wrong
        });
        assert!(
            wrong.is_empty(),
            "seed {seed}, after {round} kills:\n{}\nsaid last:\n{}",
            wrong.join("\n"),
            tail(&std::fs::read_to_string(&log).unwrap())
        );
    }
    let machine = Machine::start(&data_dir, &log);
    let wrong = runtime.block_on(async { peace::check(&machine, &ledger).await });
    assert!(
        wrong.is_empty(),
        "seed {seed}, at the end:\n{}",
        wrong.join("\n")
    );
    let acknowledged = ledger.lock().unwrap().acknowledged;
    assert!(acknowledged > 0, "nothing was ever acknowledged");
    println!(
        "seed {seed}: killed {rounds} times, {acknowledged} acknowledged writes, {:.1} s",
        began.elapsed().as_secs_f64()
    );
}

pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().rev().take(20).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
