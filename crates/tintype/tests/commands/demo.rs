//! `tintype demo`, as root and as anybody.

use std::{fs, os::unix::process::CommandExt as _, path::Path};

use tintype_testing::{not_run, without, without_loop_devices, without_mounts};

use crate::process::{succeed, text, tintype};

/// Enough for the story, little enough for a test.
fn tree(folder: &Path) -> std::path::PathBuf {
    let from = folder.join("from");
    fs::create_dir_all(from.join("deep/er")).unwrap();
    for at in 0..60 {
        fs::write(
            from.join(format!("deep/file-{at}")),
            format!("file {at}\n").repeat(at),
        )
        .unwrap();
    }
    from
}

#[test]
fn every_file_comes_back_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let from = tree(folder.path());
    let temporary = folder.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let output = succeed(
        tintype()
            .args(["demo", "--driver-backend", "directory"])
            .arg("--from")
            .arg(from)
            .env("TMPDIR", &temporary),
    );
    let table = text(&output.stdout);
    assert!(
        table.ends_with("every file came back as it was\n"),
        "{table}"
    );
    assert!(table.contains("nothing differs"), "{table}");
    assert_eq!(text(&output.stderr), "");
    assert_eq!(fs::read_dir(temporary).unwrap().count(), 0);
}

#[test]
fn an_ordinary_user_can_run_it() {
    const NOBODY: u32 = 65_534;
    let folder = tempfile::tempdir().unwrap();
    let from = tree(folder.path());
    let mut command = tintype();
    command
        .args(["demo", "--driver-backend", "directory"])
        .arg("--from")
        .arg(from)
        .env("TMPDIR", folder.path());
    // Only root can become another user; whoever else runs this is an ordinary user already.
    if fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0) {
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(folder.path(), open).unwrap();
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = succeed(&mut command);
    assert!(
        text(&output.stdout).contains("every file came back"),
        "{output:?}"
    );
}

#[test]
fn a_kept_sandbox_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let from = tree(folder.path());
    let output = succeed(
        tintype()
            .args(["demo", "--keep", "--driver-backend", "directory", "--from"])
            .arg(from)
            .env("TMPDIR", folder.path()),
    );
    let printed = text(&output.stdout);
    let line = printed
        .lines()
        .find_map(|line| line.strip_prefix("kept: tintype up --data-dir "));
    let data = Path::new(line.unwrap_or_else(|| panic!("{printed}")));
    assert!(data.join("kubeconfig").exists());
}

#[test]
fn a_source_that_is_not_there_is_named() {
    let output = tintype()
        .args(["demo", "--from", "/no/such/folder"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr).lines().next(),
        Some("tintype: cannot read /no/such/folder: No such file or directory (os error 2)")
    );
}

/// The demo on images, in a mount namespace of its own; none, and said, where that cannot be.
fn demo_on_images(folder: &Path, args: &[&str]) -> Option<String> {
    let tools = [
        "unshare",
        "mkfs.xfs",
        "xfs_growfs",
        "mkfs.ext4",
        "debugfs",
        "e2fsck",
        "resize2fs",
    ];
    let missing = without_mounts()
        .or_else(|| without(&tools))
        .or_else(without_loop_devices);
    if let Some(why) = missing {
        not_run(&why);
        return None;
    }
    let mut command = std::process::Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private"])
        .arg(env!("CARGO_BIN_EXE_tintype"))
        .args(["demo", "--driver-backend", "image"])
        .args(args)
        .env_remove("KUBECONFIG")
        .env("TMPDIR", folder);
    let output = succeed(&mut command);
    assert_eq!(text(&output.stderr), "");
    Some(text(&output.stdout))
}

fn labelled() -> tempfile::TempDir {
    let prefix = format!("tintype-test-{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir().unwrap()
}

#[test]
fn every_file_comes_back_from_an_image_and_nothing_is_left() {
    let folder = labelled();
    let from = tree(folder.path());
    let temporary = folder.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let args = ["--from", from.to_str().unwrap()];
    let Some(table) = demo_on_images(&temporary, &args) else {
        return;
    };
    assert!(
        table.ends_with("every file came back as it was\n"),
        "{table}"
    );
    assert_eq!(fs::read_dir(temporary).unwrap().count(), 0);
}

#[test]
fn every_byte_of_a_device_comes_back_and_nothing_is_left() {
    let folder = labelled();
    let args = ["--volume-mode", "Block"];
    let Some(table) = demo_on_images(folder.path(), &args) else {
        return;
    };
    assert!(
        table.ends_with("every byte came back as it was\n"),
        "{table}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn every_byte_of_a_raw_file_comes_back_without_rights() {
    let folder = tempfile::tempdir().unwrap();
    let output = succeed(
        tintype()
            .args([
                "demo",
                "--volume-mode",
                "Block",
                "--driver-backend",
                "directory",
            ])
            .env("TMPDIR", folder.path()),
    );
    let table = text(&output.stdout);
    assert!(
        table.ends_with("every byte came back as it was\n"),
        "{table}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
