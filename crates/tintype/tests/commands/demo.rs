//! `tintype demo`, as root and as anybody.

use std::{fs, os::unix::process::CommandExt as _, path::Path};

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
            .arg("demo")
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
        .arg("demo")
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
            .args(["demo", "--keep", "--from"])
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
