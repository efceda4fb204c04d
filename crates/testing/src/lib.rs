//! Says which tests cannot run on this machine, and why, where somebody counts them.
//!
//! Runners hide what passing tests print, and a test that did not run passes. So each adds a line to
//! a list, if there is one. For tests alone; it knows none of them.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::thread;

/// The environment variable that names the list; `cargo xtask ci` sets it, and prints what is in it.
pub const LIST: &str = "TINTYPE_TEST_NOT_RUN";

/// What every line begins with.
pub const MARK: &str = "not run: ";

/// Where programs of the system are, which are not on every user's path.
const SYSTEM: [&str; 2] = ["/usr/sbin", "/sbin"];

/// The right to mount, by its number in `linux/capability.h`.
const SYS_ADMIN: u32 = 21;

/// Says that the test that calls this did not run, or a part of it, as `not run: TEST: WHY`.
///
/// To be called on the test's own thread, from which it has its name.
///
/// # Panics
///
/// If the list cannot be written: a test that vanished unseen is what it is there against.
#[track_caller]
#[expect(clippy::panic, reason = "that is how a test fails")]
pub fn not_run(why: &str) {
    let thread = thread::current();
    let line = format!("{MARK}{}: {why}\n", thread.name().unwrap_or("a test"));
    // Past what `cargo test` captures; nextest hides this, too.
    let said = io::stderr().write_all(line.as_bytes());
    let listed = match env::var_os(LIST) {
        Some(list) => add(Path::new(&list), &line),
        None => Ok(()),
    };
    if let Err(error) = said.and(listed) {
        panic!("cannot say `{}`: {error}", line.trim_end());
    }
}

/// One write, so that the lines of tests that end at once do not mix.
fn add(list: &Path, line: &str) -> io::Result<()> {
    let mut list = OpenOptions::new().append(true).create(true).open(list)?;
    list.write_all(line.as_bytes())
}

/// Why nothing can be mounted, if it cannot.
pub fn without_mounts() -> Option<String> {
    if may_mount() {
        return None;
    }
    Some("it needs the right to mount (root, CAP_SYS_ADMIN)".to_owned())
}

/// Whether this process has the right to mount.
pub fn may_mount() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|it| u64::from_str_radix(it.trim(), 16).ok())
        .is_some_and(|held| held >> SYS_ADMIN & 1 == 1)
}

/// Which of these programs is not there, if one is not.
pub fn without(programs: &[&str]) -> Option<String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = env::split_paths(&path)
        .chain(SYSTEM.map(PathBuf::from))
        .collect();
    let found = |program: &str| folders.iter().any(|it| it.join(program).is_file());
    let missing = programs.iter().find(|it| !found(it))?;
    Some(format!("it needs the program {missing}"))
}

/// Why files cannot be put behind loop devices, if they cannot.
pub fn without_loop_devices() -> Option<String> {
    let control = "/dev/loop-control";
    let opened = File::options().read(true).write(true).open(control);
    let error = opened.err()?;
    Some(format!("it needs loop devices ({control}: {error})"))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// Makes the part that is played by another process say something.
    const PART: &str = "TINTYPE_TEST_TESTING_PART";

    #[test]
    fn says_what_a_child_is_told_to() {
        if env::var_os(PART).is_some() {
            not_run("it needs the moon");
            not_run("on Mars: it needs both moons");
        }
    }

    #[test]
    fn every_test_that_did_not_run_is_on_the_list_with_its_name_and_reason() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("list");
        let children = [(); 8].map(|()| {
            let mut child = Command::new(env::current_exe().unwrap());
            child.args(["--exact", "tests::says_what_a_child_is_told_to"]);
            child.args(["--test-threads", "2"]);
            child.env(PART, "1").env(LIST, &list);
            child.stdout(Stdio::piped());
            child.stderr(Stdio::piped());
            child.spawn().unwrap()
        });
        let moon = "not run: tests::says_what_a_child_is_told_to: it needs the moon";
        let mars = "not run: tests::says_what_a_child_is_told_to: on Mars: it needs both moons";
        for child in children {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success());
            // Seen although the test passed and its output was captured.
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(said.lines().collect::<Vec<_>>(), [moon, mars]);
        }
        let listed = fs::read_to_string(&list).unwrap();
        let mut lines: Vec<&str> = listed.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, [[moon; 8], [mars; 8]].concat());
    }

    #[test]
    fn a_list_that_cannot_be_written_fails_the_test() {
        let mut child = Command::new(env::current_exe().unwrap());
        child.args(["--exact", "tests::says_what_a_child_is_told_to"]);
        child.env(PART, "1").env(LIST, "/no/such/folder/list");
        let output = child.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success());
        assert!(said.contains("cannot say `not run: "), "{said}");
    }

    #[test]
    fn what_is_there_is_not_missed() {
        assert_eq!(without(&["sh"]), None);
        assert_eq!(
            without(&["sh", "no-such-program", "neither"]).unwrap(),
            "it needs the program no-such-program"
        );
        assert_eq!(without_mounts().is_none(), may_mount());
    }
}
