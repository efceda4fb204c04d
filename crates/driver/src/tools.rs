//! Runs the programs that make and grow file systems, and says what to install if one is missing.
//!
//! It does not know what they are run for.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::refusal::Refusal;

/// A program, and the package of most distributions that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tool {
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
}

impl Tool {
    pub(crate) const fn new(program: &'static str, package: &'static str) -> Self {
        Self { program, package }
    }

    /// Where it is: on the path, or where system programs are.
    pub(crate) fn find(self) -> Option<PathBuf> {
        let path = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&path)
            .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
            .map(|folder| folder.join(self.program))
            .find(|program| program.is_file())
    }

    /// Refuses if it is missing, and says what to install.
    pub(crate) fn require(self) -> Result<PathBuf, Refusal> {
        let Self { program, package } = self;
        self.find().ok_or_else(|| {
            Refusal::Precondition(format!(
                "the program {program} is not on this machine; install the package {package}"
            ))
        })
    }

    /// Runs it to its end. `object` is what it works on, for messages.
    pub(crate) fn run<A: AsRef<OsStr>>(self, args: &[A], object: &Path) -> Result<String, Refusal> {
        self.run_to(0, args, object)
    }

    /// The same for a program that ends well with any code up to `worst`.
    pub(crate) fn run_to<A: AsRef<OsStr>>(
        self,
        worst: i32,
        args: &[A],
        object: &Path,
    ) -> Result<String, Refusal> {
        let mut command = Command::new(self.require()?);
        command.args(args).env("LC_ALL", "C").stdin(Stdio::null());
        let output = command
            .output()
            .map_err(Refusal::io("start a program for", object))?;
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if output.status.code().is_some_and(|code| code <= worst) {
            return Ok(said);
        }
        Err(Refusal::Tool {
            program: self.program,
            path: object.to_owned(),
            problem: format!("{} ({})", last_lines(&said), output.status),
        })
    }
}

/// The end of what a program said, in one line.
fn last_lines(said: &str) -> String {
    let lines: Vec<_> = said
        .lines()
        .map(str::trim)
        .filter(|it| !it.is_empty())
        .collect();
    match lines.len() {
        0 => "it said nothing".to_owned(),
        many => lines[many.saturating_sub(3)..].join(" / "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        let tool = Tool::new("mkfs.nothing", "nothing-progs");
        let problem = tool
            .run(&["x"], Path::new("/image"))
            .unwrap_err()
            .to_string();
        assert!(problem.contains("mkfs.nothing"), "{problem}");
        assert!(
            problem.contains("install the package nothing-progs"),
            "{problem}"
        );
    }

    #[test]
    fn what_a_failing_program_said_is_told() {
        let tool = Tool::new("sh", "dash");
        let script = ["-c", "echo one >&2; echo; echo two >&2; exit 3"];
        let problem = tool
            .run(&script, Path::new("/image"))
            .unwrap_err()
            .to_string();
        assert!(problem.contains("one / two"), "{problem}");
        assert!(
            problem.contains("exit status: 3") && problem.contains("/image"),
            "{problem}"
        );
    }
}
