//! Writes a file into a claim's volume, and reads it, as a person does with `tintype mount`.
//! Knows nothing of snapshots.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
};

use clap::Parser;
use rand::{RngCore as _, SeedableRng as _, rngs::StdRng};
use tintype_sandbox::mount::{self, MountArgs, UnmountArgs};

use crate::machine::Machine;

const NAME: &str = "letter";
const BYTES: usize = 1 << 20;

#[derive(Debug, Parser)]
struct Mount {
    #[command(flatten)]
    args: MountArgs,
}

#[derive(Debug, Parser)]
struct Unmount {
    #[command(flatten)]
    args: UnmountArgs,
}

/// What is written in a round.
pub(crate) fn text(seed: u64) -> Vec<u8> {
    let mut text = vec![0; BYTES];
    StdRng::seed_from_u64(seed).fill_bytes(&mut text);
    text
}

/// Writes it, on disk when this returns.
pub(crate) async fn write(machine: &Machine, claim: &str, look: &Path, text: &[u8]) {
    open(machine, claim, look).await;
    let mut file = File::create(look.join(NAME)).unwrap();
    file.write_all(text).unwrap();
    file.sync_all().unwrap();
    // What is open cannot be unmounted.
    drop(file);
    File::open(look).unwrap().sync_all().unwrap();
    close(machine, look).await;
}

pub(crate) async fn read(machine: &Machine, claim: &str, look: &Path) -> Vec<u8> {
    open(machine, claim, look).await;
    let text = fs::read(look.join(NAME)).unwrap();
    close(machine, look).await;
    text
}

async fn open(machine: &Machine, claim: &str, look: &Path) {
    let data_dir = machine.data_dir().to_str().unwrap();
    let line = [
        "mount",
        "--data-dir",
        data_dir,
        claim,
        look.to_str().unwrap(),
    ];
    mount::mount(Mount::parse_from(line).args).await.unwrap();
}

async fn close(machine: &Machine, look: &Path) {
    let data_dir = machine.data_dir().to_str().unwrap();
    let line = ["unmount", "--data-dir", data_dir, look.to_str().unwrap()];
    mount::unmount(Unmount::parse_from(line).args)
        .await
        .unwrap();
}
