//! Checks each file by itself: size, header, blanks, forbidden words and paths.
//!
//! Knows nothing of other files.

use std::path::{Component, Path};

use super::{File, Finding};

/// Longer files hide more than they say.
const MOST_LINES: usize = 600;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &[
    "utils", "helpers", "common", "misc", "types", "manager", "handler",
];

/// Files that are no text.
const BINARY: &[&str] = &[
    "png", "ico", "gif", "jpg", "woff2", "gz", "zst", "tgz", "pb", "bin", "redb",
];

/// Output of programs and patches, kept letter for letter.
const VERBATIM: &[&str] = &["golden", "snap", "transcript", "out", "patch"];

/// Words that must not be in code, and why; written apart so that this file may hold them.
const BANNED: &[(&str, &str)] = &[
    (
        concat!("#[", "ignore"),
        "a test that is not run tests nothing; make it run or delete it",
    ),
    (
        concat!("todo", "!("),
        "unfinished code; finish it or leave it out",
    ),
    (
        concat!("unimplemented", "!("),
        "unfinished code; finish it or leave it out",
    ),
    (concat!("dbg", "!("), "left over from debugging"),
];

/// Everything wrong with one file.
pub(super) fn check(file: &File, foreign: &[String]) -> Vec<Finding> {
    if BINARY.contains(&file.extension()) {
        return Vec::new();
    }
    let Some(text) = &file.text else {
        return vec![Finding::of(&file.path, "not UTF-8")];
    };
    if file.generated() {
        return Vec::new();
    }
    let mut found = Vec::new();
    if file.extension() == "rs" {
        found.extend(source(file, text));
    }
    found.extend(paths(file, text, foreign));
    if !VERBATIM.contains(&file.extension()) {
        found.extend(blanks(file, text));
    }
    found
}

fn source(file: &File, text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let header = text.lines().next().unwrap_or_default();
    if header
        .strip_prefix("//!")
        .is_none_or(|it| it.trim().is_empty())
    {
        found.push(Finding::at(
            &file.path,
            1,
            "begins without `//!` and what the file does",
        ));
    }
    let lines = text.lines().count();
    if lines > MOST_LINES {
        found.push(Finding::of(
            &file.path,
            format!("{lines} lines; split it, {MOST_LINES} is the most"),
        ));
    }
    let stem = file.name().trim_end_matches(".rs");
    if EMPTY_NAMES.contains(&stem) {
        found.push(Finding::of(
            &file.path,
            "the name does not say what is inside",
        ));
    }
    for (at, line) in text.lines().enumerate() {
        let code = line.trim_start();
        for (word, why) in BANNED {
            if code.contains(word) && !code.starts_with("//") {
                found.push(Finding::at(&file.path, at + 1, format!("`{word}`: {why}")));
            }
        }
    }
    found
}

fn blanks(file: &File, text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for (at, line) in text.split('\n').enumerate() {
        if line.ends_with([' ', '\t', '\r']) {
            found.push(Finding::at(
                &file.path,
                at + 1,
                "blanks at the end of the line",
            ));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        found.push(Finding::of(&file.path, "does not end with a line feed"));
    }
    if text.ends_with("\n\n") {
        found.push(Finding::of(&file.path, "empty lines at the end"));
    }
    found
}

fn paths(file: &File, text: &str, foreign: &[String]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if let Some(path) = foreign.iter().find(|it| holds_path(line, it)) {
            let what = format!("`{path}` is a path of one machine");
            found.push(Finding::at(&file.path, at + 1, what));
        }
    }
    found
}

/// The path is in the line, and not as the end of a longer one or of an address.
fn holds_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|it| !it.is_alphanumeric() && !"._-/}".contains(it))
    })
}

/// Beginnings of paths that only exist on somebody's machine, this one's checkout among them.
pub(super) fn foreign_paths(root: &Path) -> Vec<String> {
    let mut found: Vec<String> = ["home", "Users"].map(|it| format!("/{it}/")).into();
    let shared = [
        "tmp", "root", "home", "usr", "opt", "var", "srv", "mnt", "media", "run", "build",
    ];
    let top = root.components().nth(1);
    if let Some(Component::Normal(top)) = top
        && !shared.iter().any(|it| top == *it)
    {
        found.push(format!("/{}/", top.to_string_lossy()));
    }
    if root.components().count() > 2 {
        found.push(root.to_string_lossy().into_owned());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let file = File {
            path: path.to_owned(),
            text: Some(text.to_owned()),
        };
        let foreign = foreign_paths(Path::new("/somewhere/clone"));
        check(&file, &foreign)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_good_file_is_passed() {
        assert_eq!(found("a.rs", "//! Does a thing.\n\nfn a() {}\n"), [""; 0]);
    }

    #[test]
    fn sources_begin_with_what_they_do() {
        let expected = ["a.rs:1: begins without `//!` and what the file does"];
        assert_eq!(found("a.rs", "fn a() {}\n"), expected);
        assert_eq!(found("a.rs", "//!\nfn a() {}\n"), expected);
        assert_eq!(
            found("a.rs", "#!/usr/bin/env run\n//! A script.\n"),
            expected
        );
        assert_eq!(found("a.py", "pass\n"), [""; 0]);
    }

    #[test]
    fn long_files_are_found_unless_generated() {
        let long = |head: &str| format!("{head}\n{}", "// x\n".repeat(600));
        assert_eq!(
            found("a.rs", &long("//! Long.")),
            ["a.rs: 601 lines; split it, 600 is the most"]
        );
        assert_eq!(
            found("a.rs", &long("// Generated from proto/ by x")),
            [""; 0]
        );
    }

    #[test]
    fn names_must_say_something() {
        assert_eq!(
            found("x/utils.rs", "//! A.\n"),
            ["x/utils.rs: the name does not say what is inside"]
        );
    }

    #[test]
    fn banned_words_are_found_in_code_but_not_in_comments() {
        for (word, why) in BANNED {
            assert_eq!(
                found("a.rs", &format!("//! A.\n// {word}\n    {word}")),
                [
                    "a.rs: does not end with a line feed".to_owned(),
                    format!("a.rs:3: `{word}`: {why}"),
                ]
                .into_iter()
                .rev()
                .collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn blanks_are_found_except_in_verbatim_output() {
        assert_eq!(found("a.md", "a \nb\t\nc\r\n").len(), 3);
        assert_eq!(found("a.md", "a\n\n"), ["a.md: empty lines at the end"]);
        assert_eq!(found("a.golden", "NAME   AGE   \n\n"), [""; 0]);
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        let what = |path: &str| format!("a.md:1: `{path}` is a path of one machine");
        let (home, users) = (["/home", "/"].concat(), ["/Users", "/"].concat());
        assert_eq!(found("a.md", &format!("see {home}me/x\n")), [what(&home)]);
        assert_eq!(found("a.md", &format!("\"{users}me\"\n")), [what(&users)]);
        assert_eq!(
            found("a.md", "see /somewhere/clone/x\n"),
            [what("/somewhere/")]
        );
        assert_eq!(
            found(
                "a.md",
                "see /mnt/elsewhere/somewhere/x ${DIR}/somewhere/y\n"
            ),
            [""; 0]
        );
    }

    #[test]
    fn a_checkout_in_a_common_place_is_named_in_full() {
        let foreign = foreign_paths(Path::new("/tmp/clone"));
        assert!(foreign.contains(&"/tmp/clone".to_owned()));
        assert!(!foreign.contains(&"/tmp/".to_owned()));
    }

    #[test]
    fn what_is_not_text_is_found_unless_it_may_be() {
        let file = |path: &str| File {
            path: path.to_owned(),
            text: None,
        };
        assert_eq!(
            check(&file("a.md"), &[]),
            [Finding::of("a.md", "not UTF-8")]
        );
        assert_eq!(check(&file("a.png"), &[]), []);
    }
}
