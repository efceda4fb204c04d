//! Types what a user types, with the real `kubectl`, and compares every line of what they see.
//!
//! Most scripts speak the language of [`LANGUAGE`]; `any-kubectl` is played with every `kubectl` there is on `PATH` and in
//! the folders that `TINTYPE_KUBECTLS` names, with colons between.
//!
//! A script in `tests/scripts` holds commands after `$ ` and what each must print. With `TINTYPE_BLESS` set, the scripts
//! are rewritten with what was printed.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::world::World;

/// The minor version of `kubectl` that has what the scripts ask of it: `wait --for=jsonpath` came with 23,
/// `patch --subresource` with 24.
const LANGUAGE: u32 = 24;

#[tokio::test]
async fn every_kubectl_since_1_20_works() {
    let folders = kubectls();
    assert!(!folders.is_empty(), "no kubectl on PATH");
    for folder in folders {
        println!("played with kubectl 1.{}", minor_version(&folder));
        play_with("any-kubectl", World::start().await, &folder).await;
    }
}

#[tokio::test]
async fn a_volume_is_made_snapshotted_and_restored() {
    play("restore").await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_in_words() {
    play("refusals").await;
}

#[tokio::test]
async fn old_manifests_are_taken_or_answered() {
    play("old-manifests").await;
}

#[tokio::test]
async fn d3_a_group_is_seen_in_every_version() {
    play_in("versions", World::start_with(|it| it.webhook = true).await).await;
}

#[tokio::test]
async fn the_webhooks_manifests_are_taken_and_stand_in_nobodys_way() {
    play("webhook").await;
}

#[tokio::test]
async fn each_driver_has_one_default_class() {
    play("policy").await;
}

/// Manifests people copy from the pages they read first: see `tests/data/pages`.
#[tokio::test]
async fn the_pages_manifests_for_testdriver_work_or_say_what_is_wrong() {
    play_for("pages-testdriver", "testdriver.csi.k8s.io").await;
}

#[tokio::test]
async fn the_pages_manifests_for_hostpath_work_or_say_what_is_wrong() {
    play_for("pages-hostpath", "hostpath.csi.k8s.io").await;
}

#[tokio::test]
async fn the_pages_manifest_of_an_import_works_or_says_what_is_wrong() {
    play_for("pages-import", "ebs.csi.aws.com").await;
}

#[tokio::test]
async fn the_pages_manifests_of_groups_work_or_say_what_is_wrong() {
    play_for("pages-groups-hostpath", "hostpath.csi.k8s.io").await;
}

#[tokio::test]
async fn the_posts_manifests_of_groups_work_or_say_what_is_wrong() {
    play_for("pages-groups-blog", "example.csi.k8s.io").await;
}

/// In a cluster with a driver of this name and no classes.
async fn play_for(name: &str, driver: &str) {
    let world = World::start_with(|options| {
        options.driver_name = driver.to_owned();
        options.default_classes = false;
        options.allow_non_atomic_groups = true;
    });
    play_in(name, world.await).await;
}

async fn play(name: &str) {
    play_in(name, World::start().await).await;
}

/// Plays with the `kubectl` a user would get.
async fn play_in(name: &str, world: World) {
    let folders = kubectls();
    let folder = folders.first().expect("a kubectl on PATH");
    let minor = minor_version(folder);
    if minor < LANGUAGE {
        world.stop().await;
        println!(
            "not run: the script {name} needs kubectl 1.{LANGUAGE}, and 1.{minor} is on PATH (1 test)"
        );
        return;
    }
    play_with(name, world, folder).await;
}

/// The folders that hold a `kubectl`, each program once, in the order in which a shell looks.
fn kubectls() -> Vec<PathBuf> {
    let named = ["PATH", "TINTYPE_KUBECTLS"].map(|name| env::var_os(name).unwrap_or_default());
    let mut programs = Vec::new();
    let mut folders = Vec::new();
    for folder in named.iter().flat_map(env::split_paths) {
        let Ok(program) = folder.join("kubectl").canonicalize() else {
            continue;
        };
        if program.is_file() && !programs.contains(&program) {
            programs.push(program);
            folders.push(folder);
        }
    }
    folders
}

/// 32 for v1.32.4.
fn minor_version(folder: &Path) -> u32 {
    let mut kubectl = Command::new(folder.join("kubectl"));
    let output = kubectl.args(["version", "--client", "-o", "json"]).output();
    let told: Value =
        serde_json::from_slice(&output.expect("kubectl starts").stdout).expect("JSON");
    let version = told["clientVersion"]["gitVersion"]
        .as_str()
        .expect("a version");
    let minor = version.split('.').nth(1).expect("v1.minor.patch");
    minor.parse().expect("a number")
}

/// Plays with the `kubectl` of a folder.
async fn play_with(name: &str, world: World, kubectl: &Path) {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = crate_folder.join(format!("tests/scripts/{name}.txt"));
    let text = fs::read_to_string(&script).unwrap();
    let kubeconfig = world.cluster.options().kubeconfig();
    let repository = crate_folder.join("../..");
    let mut printed = String::new();
    for line in text
        .lines()
        .filter(|line| line.starts_with("$ ") || line.starts_with('#'))
    {
        printed.push_str(line);
        printed.push('\n');
        if let Some(command) = line.strip_prefix("$ ") {
            let mut command = shell(command, &kubeconfig, &repository, kubectl);
            let output = tokio::task::spawn_blocking(move || command.output())
                .await
                .unwrap();
            let output = output.unwrap();
            printed.push_str(&redact(&String::from_utf8(output.stdout).unwrap()));
            printed.push_str(&redact(&String::from_utf8(output.stderr).unwrap()));
        }
    }
    world.stop().await;
    if env::var_os("TINTYPE_BLESS").is_some() {
        fs::write(&script, &printed).unwrap();
    }
    let different = text
        .lines()
        .zip(printed.lines())
        .find(|(wanted, got)| wanted != got);
    assert!(
        text == printed,
        "first difference {different:?}; the whole:\n{printed}"
    );
}

fn shell(command: &str, kubeconfig: &Path, folder: &Path, kubectl: &Path) -> Command {
    let path = env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(kubectl.to_owned()).chain(env::split_paths(&path));
    let path = env::join_paths(path).expect("no folder of PATH has a colon");
    // What is waited for in vain shows as the first difference.
    let mut shell = Command::new("timeout");
    shell
        .args(["100", "sh", "-c"])
        .arg(command)
        .current_dir(folder)
        .env("PATH", path)
        .env("KUBECONFIG", kubeconfig)
        .env("PAGES", "crates/sandbox/tests/data/pages");
    // kubectl keeps what it discovered; each test has a cluster of its own.
    shell.env("KUBECACHEDIR", kubeconfig.with_file_name("kubectl-cache"));
    shell
}

/// Uids, ages and the hashes of members differ each time; everything else must not.
fn redact(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let mut out = String::new();
        for word in line.split_inclusive(' ') {
            let (bare, space) = word
                .strip_suffix(' ')
                .map_or((word, ""), |bare| (bare, " "));
            out.push_str(&if is_age(bare) {
                "<age>".to_owned()
            } else {
                without_hash(&without_uid(bare))
            });
            out.push_str(space);
        }
        out.trim_end().to_owned() + "\n"
    });
    lines.collect()
}

/// `7s`, `2m5s`, `3h`.
fn is_age(word: &str) -> bool {
    let unit = |c: char| matches!(c, 's' | 'm' | 'h' | 'd');
    word.starts_with(|c: char| c.is_ascii_digit())
        && word.ends_with(unit)
        && word.chars().all(|c| c.is_ascii_digit() || unit(c))
}

/// `snapshot-4dc1…` of a member becomes `snapshot-<hash>`.
fn without_hash(word: &str) -> String {
    const SHORTEST: usize = 32;
    let mut out = String::new();
    let mut rest = word;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
        let length = digits.max(rest.chars().next().map_or(0, char::len_utf8));
        out.push_str(if digits < SHORTEST {
            &rest[..length]
        } else {
            "<hash>"
        });
        rest = &rest[length..];
    }
    out
}

/// `pvc-3f2a…` becomes `pvc-<uid>`.
fn without_uid(word: &str) -> String {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    const LENGTH: usize = 36;
    let is_uid = |text: &str| {
        text.split('-').map(str::len).eq(GROUPS)
            && text
                .bytes()
                .all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
    };
    let start = (0..word.len()).find(|at| word.get(*at..at + LENGTH).is_some_and(is_uid));
    match start {
        Some(start) => {
            format!(
                "{}<uid>{}",
                &word[..start],
                without_uid(&word[start + LENGTH..])
            )
        }
        None => word.to_owned(),
    }
}
