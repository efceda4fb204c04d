//! Checks pages that are lists: the changelog has room for news, every difference names its test.
//!
//! Does not judge the words.

use super::{File, Finding};

const CHANGELOG: &str = "CHANGELOG.md";
const COMPATIBILITY: &str = "docs/compatibility.md";
const TESTS: &str = "docs/tests.md";

/// Everything wrong with the pages.
pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let mut found = Vec::new();
    let text = |path: &str| {
        files
            .iter()
            .find(|it| it.path == path)
            .and_then(|it| it.text.as_deref())
    };
    for page in [
        "README.md",
        "CONTRIBUTING.md",
        "LICENSE",
        CHANGELOG,
        COMPATIBILITY,
    ] {
        if text(page).is_none() {
            found.push(Finding::of(page, "is missing"));
        }
    }
    if text(CHANGELOG).is_some_and(|it| !it.lines().any(|line| line == "## [Unreleased]")) {
        found.push(Finding::of(CHANGELOG, "has no section `## [Unreleased]`"));
    }
    for page in [COMPATIBILITY, TESTS] {
        found.extend(
            text(page)
                .into_iter()
                .flat_map(|it| missing(files, page, it)),
        );
    }
    found
}

/// Rows of the page's tables that name no test, or one that is not there.
fn missing(files: &[File], page: &'static str, text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let cells: Vec<&str> = line
            .trim()
            .trim_matches('|')
            .split(" | ")
            .map(str::trim)
            .collect();
        // Head and ruler name no test.
        let heads = ["| in ", "| scenario ", "| what ", "| defect ", "|---"];
        let is_row = line.starts_with('|')
            && cells.len() >= 2
            && !heads.iter().any(|it| line.starts_with(it));
        let (true, Some(pins)) = (is_row, cells.last()) else {
            continue;
        };
        let named: Vec<&str> = pins.split('`').skip(1).step_by(2).collect();
        if named.is_empty() {
            found.push(Finding::at(page, at + 1, "names no test that pins it"));
        }
        for test in named.into_iter().filter(|test| !exists(files, test)) {
            let what = format!("there is no test or script `{test}`");
            found.push(Finding::at(page, at + 1, what));
        }
    }
    found
}

/// A function of this name in some source, or a file at this path.
fn exists(files: &[File], test: &str) -> bool {
    let function = format!("fn {test}(");
    files.iter().any(|file| {
        let source = file.extension() == "rs" && !file.generated();
        file.path == test
            || (source
                && file
                    .text
                    .as_deref()
                    .is_some_and(|text| text.contains(&function)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(changelog: &str, compatibility: &str) -> Vec<String> {
        let file = |path: &str, text: &str| File {
            path: path.to_owned(),
            text: Some(text.to_owned()),
        };
        let files = [
            file("README.md", ""),
            file("CONTRIBUTING.md", ""),
            file("LICENSE", ""),
            file(CHANGELOG, changelog),
            file(COMPATIBILITY, compatibility),
            file("crates/a/tests/a.rs", "    fn one_thing_holds() {}\n"),
            file("crates/a/tests/a.sh", ""),
        ];
        check(&files).iter().map(ToString::to_string).collect()
    }

    const HEAD: &str =
        "# Differences\n\n| in | upstream | Tintype | pinned by |\n|---|---|---|---|\n";

    #[test]
    fn differences_must_name_tests_that_exist() {
        let rows = "| a | b | c | `one_thing_holds`, `crates/a/tests/a.sh` |\n\
            | a | b | c | |\n| a | b | c | `gone_test` |\n";
        assert_eq!(
            found("## [Unreleased]\n", &[HEAD, rows].concat()),
            [
                "docs/compatibility.md:6: names no test that pins it",
                "docs/compatibility.md:7: there is no test or script `gone_test`",
            ]
        );
    }

    #[test]
    fn the_changelog_must_have_room_for_news() {
        assert_eq!(
            found("## [1.0.0]\n", HEAD),
            ["CHANGELOG.md: has no section `## [Unreleased]`"]
        );
    }

    #[test]
    fn pages_must_be_there() {
        assert_eq!(check(&[]).len(), 5);
    }
}
