//! Rewrites flags as Go programs take them into the form that clap takes.
//! Pure: knows no flag by name but help.

use std::{ffi::OsString, os::unix::ffi::OsStrExt as _};

/// `-x` becomes `--x`, as upstream's roles accept both; values and all after `--` stay.
pub(crate) fn normalise(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut plain = false;
    arguments
        .into_iter()
        .map(|argument| {
            plain |= argument == "--";
            if plain || !is_single(argument.as_bytes()) {
                return argument;
            }
            if argument == "-h" {
                return "--help".into();
            }
            let mut doubled = OsString::from("-");
            doubled.push(argument);
            doubled
        })
        .collect()
}

/// One dash and a letter: `-5` and `-` are values.
fn is_single(argument: &[u8]) -> bool {
    matches!(argument, [b'-', first, ..] if first.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(given: &[&str], wanted: &[&str]) {
        let given = given.iter().map(OsString::from);
        assert_eq!(
            normalise(given),
            wanted.iter().map(OsString::from).collect::<Vec<_>>()
        );
    }

    #[test]
    fn one_dash_means_the_same_as_two() {
        check(
            &["-v=5", "--leader-election"],
            &["--v=5", "--leader-election"],
        );
        check(&["-csi-address", "/run/x"], &["--csi-address", "/run/x"]);
        check(&["-v", "5"], &["--v", "5"]);
    }

    #[test]
    fn values_are_left_alone() {
        check(
            &["--retry", "-5", "-", "x-y"],
            &["--retry", "-5", "-", "x-y"],
        );
        check(&["--", "-x"], &["--", "-x"]);
    }

    #[test]
    fn help_has_a_short_name() {
        check(&["-h"], &["--help"]);
        check(&["-help"], &["--help"]);
    }
}
