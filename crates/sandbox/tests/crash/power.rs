//! Shuts the file system below a working `up` down hard, so that what was not on disk is lost, and
//! starts `up` again on what is left.
//!
//! Needs root, loop devices and the tools of xfs and ext4. Runs in a mount namespace of its own, so
//! that nothing stays mounted whatever happens. Says so when it cannot run.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tintype_testing::{not_run, without, without_mounts};

use crate::{
    killed::tail,
    ledger::{Ledger, Wish},
    letter,
    machine::Machine,
    peace,
    workers::{self, Disk},
};

/// The smallest size that mkfs.xfs takes is 300 MiB.
const IMAGE_BYTES: u64 = 512 << 20;
const FILE_SYSTEMS: [&str; 2] = ["xfs", "ext4"];
const ROUNDS: u64 = 4;
const LONGEST: Duration = Duration::from_millis(800);

/// Names the folder to the process in the mount namespace.
const FOLDER: &str = "TINTYPE_TEST_POWER";
const ENTRY: &str = "power::is_played_in_a_namespace_of_its_own";

const TOOLS: [&str; 7] = [
    "mkfs.xfs",
    "mkfs.ext4",
    "xfs_io",
    "mount",
    "umount",
    "unshare",
    "losetup",
];

#[test]
fn keeps_its_word_when_the_file_system_is_shut_down() {
    if let Some(why) = impossible() {
        not_run(&why);
        return;
    }
    let folder = format!("tintype-test-{}-power-", std::process::id());
    let folder = tempfile::Builder::new().prefix(&folder).tempdir().unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private"]);
    command
        .arg(std::env::current_exe().unwrap())
        .args([ENTRY, "--exact", "--nocapture"]);
    let output = command.env(FOLDER, folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success());
    assert_eq!(said.matches("shut down").count(), FILE_SYSTEMS.len());
}

/// Why this machine cannot run the test.
fn impossible() -> Option<String> {
    let missing = without_mounts().or_else(|| without(&TOOLS));
    if missing.is_some() {
        return missing;
    }
    let alone = Command::new("unshare")
        .args(["--mount", "losetup", "--find"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&alone.stderr);
    (!alone.status.success()).then(|| format!("it needs loop devices ({})", said.trim()))
}

/// Not a test unless the process was started in a namespace.
#[test]
fn is_played_in_a_namespace_of_its_own() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    for file_system in FILE_SYSTEMS {
        let began = Instant::now();
        let place = folder.join(file_system);
        let acknowledged = play(&place, file_system);
        println!(
            "{file_system}: shut down {ROUNDS} times, {acknowledged} acknowledged writes, {:.1} s",
            began.elapsed().as_secs_f64()
        );
    }
}

fn play(place: &Path, file_system: &str) -> usize {
    let (disk, look) = (place.join("disk"), place.join("look"));
    fs::create_dir_all(&disk).unwrap();
    let image = place.join("image");
    File::create(&image).unwrap().set_len(IMAGE_BYTES).unwrap();
    run(&format!("mkfs.{file_system}"), &[Path::new("-q"), &image]);
    let (data_dir, log) = (disk.join("data"), place.join("log"));
    // A new file each time: ext4 writes one that is cut and written again on its own account.
    let unsynced = |round: u64| disk.join(format!("unsynced-{round}"));
    let mut lost = 0;
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for round in 0..=ROUNDS {
        run(
            "mount",
            &[Path::new("-o"), Path::new("loop"), &image, &disk],
        );
        if round > 0 {
            let left = fs::read(unsynced(round - 1)).unwrap_or_default();
            lost += u64::from(left != letter::text(round - 1));
        }
        let machine = Machine::start(&data_dir, &log);
        let mut random = StdRng::seed_from_u64(round);
        let wrong = runtime.block_on(async {
            let wrong = keeps(&machine, &ledger, &look, round).await;
            let mut working = None;
            if wrong.is_empty() && round < ROUNDS {
                let client = machine.client().await;
                let work = workers::work(client, ledger.clone(), round, Disk::MayBreak);
                working = Some(tokio::spawn(work));
                tokio::time::sleep(random.random_range(Duration::ZERO..LONGEST)).await;
                fs::write(unsynced(round), letter::text(round)).unwrap();
                let disk = disk.to_str().unwrap();
                run("xfs_io", &["-x", "-c", "shutdown", disk].map(Path::new));
            }
            machine.kill();
            if let Some(working) = working {
                working.await.unwrap();
            }
            wrong
        });
        assert!(
            wrong.is_empty(),
            "{file_system}, after {round} shutdowns:\n{}\nsaid last:\n{}",
            wrong.join("\n"),
            tail(&fs::read_to_string(&log).unwrap())
        );
        run("umount", &[&disk]);
    }
    assert!(
        lost > 0,
        "{file_system}: the shutdowns took nothing away, and prove nothing"
    );
    println!("{file_system}: a file without a sync was lost {lost} times of {ROUNDS}");
    let ledger = ledger.lock().unwrap();
    ledger.acknowledged
}

/// What was promised is there, and the snapshot of the last round holds what was written then.
async fn keeps(machine: &Machine, ledger: &Mutex<Ledger>, look: &Path, round: u64) -> Vec<String> {
    let mut wrong = peace::check(machine, ledger).await;
    if !wrong.is_empty() {
        return wrong;
    }
    let client = machine.client().await;
    let origin = "origin".to_owned();
    if round == 0 {
        workers::order(
            &client,
            ledger,
            Wish::Claim {
                name: origin.clone(),
            },
        )
        .await;
    } else {
        let (name, from) = (format!("copy-{round}"), format!("kept-{}", round - 1));
        workers::order(&client, ledger, Wish::Restore { name, from }).await;
    }
    wrong.extend(peace::check(machine, ledger).await);
    if round > 0
        && letter::read(machine, &format!("copy-{round}"), look).await != letter::text(round - 1)
    {
        wrong.push(format!(
            "the snapshot of round {} holds something else",
            round - 1
        ));
    }
    letter::write(machine, &origin, look, &letter::text(round)).await;
    let name = format!("kept-{round}");
    workers::order(&client, ledger, Wish::Snapshot { name, of: origin }).await;
    // Ready is what the shutdown that follows must not take back.
    wrong.extend(peace::check(machine, ledger).await);
    wrong
}

fn run(program: &str, arguments: &[&Path]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
}
