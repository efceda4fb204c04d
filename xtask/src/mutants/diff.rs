//! Reads unified diffs of one file and applies them by their lines, wherever these are now.
//!
//! Line numbers are ignored, so that unrelated changes above a hunk do not spoil it; its lines must
//! be found exactly once.

use anyhow::{Context as _, ensure};

/// One fault.
#[derive(Debug)]
pub(super) struct Patch {
    /// What is wrong with it, from the first line.
    pub(super) name: String,
    /// The test that is known to see it, and is asked first: the line "# seen by: TEST".
    pub(super) seen_by: Option<String>,
    /// The file it changes, from the crate's root.
    pub(super) file: String,
    hunks: Vec<Hunk>,
}

#[derive(Debug, Default)]
struct Hunk {
    before: Vec<String>,
    after: Vec<String>,
}

/// What the line begins with that says which test sees the fault.
const SEEN_BY: &str = "# seen by: ";

impl Patch {
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let name = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("# "))
            .context("the first line must be \"# \" and the fault's name")?;
        let seen_by = text
            .lines()
            .find_map(|line| line.strip_prefix(SEEN_BY))
            .map(|test| test.trim().to_owned());
        let file = text
            .lines()
            .find_map(|line| line.strip_prefix("+++ b/"))
            .context("no line \"+++ b/FILE\"")?;
        let mut hunks: Vec<Hunk> = Vec::new();
        for line in text.lines().skip_while(|line| !line.starts_with("@@")) {
            if line.starts_with("@@") {
                hunks.push(Hunk::default());
                continue;
            }
            let hunk = hunks.last_mut().context("a line before the first hunk")?;
            let (kind, rest) = line.split_at_checked(1).unwrap_or((" ", ""));
            match kind {
                " " => {
                    hunk.before.push(rest.to_owned());
                    hunk.after.push(rest.to_owned());
                }
                "-" => hunk.before.push(rest.to_owned()),
                "+" => hunk.after.push(rest.to_owned()),
                _ => anyhow::bail!("a line that is neither kept, added nor removed: {line:?}"),
            }
        }
        ensure!(!hunks.is_empty(), "no hunk");
        Ok(Self {
            name: name.trim().to_owned(),
            seen_by,
            file: file.trim().to_owned(),
            hunks,
        })
    }

    /// The patch's text with a line that says which test sees the fault, in place of one there was.
    pub(super) fn noted(text: &str, test: &str) -> String {
        let mut lines: Vec<_> = text
            .lines()
            .filter(|line| !line.starts_with(SEEN_BY))
            .collect();
        let note = format!("{SEEN_BY}{test}");
        lines.insert(lines.len().min(1), &note);
        lines.join("\n") + "\n"
    }

    /// The text with all hunks applied.
    pub(super) fn apply(&self, text: &str) -> anyhow::Result<String> {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for hunk in &self.hunks {
            let size = hunk.before.len();
            ensure!(size > 0, "a hunk with no line to find it by");
            let places: Vec<_> = lines
                .windows(size)
                .enumerate()
                .filter(|(_, window)| *window == hunk.before)
                .map(|(at, _)| at)
                .collect();
            ensure!(
                places.len() == 1,
                "the lines of a hunk are found {} times in {}:\n{}",
                places.len(),
                self.file,
                hunk.before.join("\n")
            );
            lines.splice(places[0]..places[0] + size, hunk.after.iter().cloned());
        }
        Ok(lines.join("\n") + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = "# says yes\n--- a/src/x.rs\n+++ b/src/x.rs\n@@ -7 +7 @@\n fn f() {\n-    no\n+    yes\n }\n";

    #[test]
    fn finds_its_lines_wherever_they_are() {
        let patch = Patch::parse(PATCH).unwrap();
        assert_eq!(
            (patch.name.as_str(), patch.file.as_str()),
            ("says yes", "src/x.rs")
        );
        assert_eq!(
            patch.apply("//\nfn f() {\n    no\n}\n").unwrap(),
            "//\nfn f() {\n    yes\n}\n"
        );
    }

    #[test]
    fn refuses_lines_that_are_gone_or_found_twice() {
        let patch = Patch::parse(PATCH).unwrap();
        assert!(patch.apply("fn g() {}\n").is_err());
        let twice = "fn f() {\n    no\n}\n".repeat(2);
        assert!(patch.apply(&twice).is_err());
    }

    #[test]
    fn says_who_sees_it() {
        assert_eq!(Patch::parse(PATCH).unwrap().seen_by, None);
        let noted = Patch::noted(&Patch::noted(PATCH, "tests::old"), "tests::a_fault");
        assert_eq!(noted.matches("seen by").count(), 1);
        let patch = Patch::parse(&noted).unwrap();
        assert_eq!(patch.seen_by.as_deref(), Some("tests::a_fault"));
        assert_eq!(patch.name, "says yes");
        assert!(patch.apply("//\nfn f() {\n    no\n}\n").is_ok());
    }

    #[test]
    fn a_patch_without_a_name_is_no_mutant() {
        assert!(Patch::parse(&PATCH.replace("# says yes\n", "")).is_err());
    }
}
