//! Orders version names as Kubernetes prefers them: v2, v1, v1beta2, v1alpha1, then the rest.
//!
//! Does not know which versions exist.

use std::cmp::{Ordering, Reverse};

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Rank<'a> {
    /// Stability (stable first), then numbers, higher first.
    Known(u8, Reverse<u64>, Reverse<u64>),
    Other(&'a str),
}

/// The preferred version is less.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    rank(a).cmp(&rank(b))
}

fn rank(name: &str) -> Rank<'_> {
    parse(name).unwrap_or(Rank::Other(name))
}

fn parse(name: &str) -> Option<Rank<'_>> {
    let rest = name.strip_prefix('v')?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let major = rest[..end].parse().ok()?;
    let (stability, minor) = match &rest[end..] {
        "" => (0, 0),
        tail => match (tail.strip_prefix("beta"), tail.strip_prefix("alpha")) {
            (Some(minor), _) => (1, minor.parse().ok()?),
            (_, Some(minor)) => (2, minor.parse().ok()?),
            _ => return None,
        },
    };
    Some(Rank::Known(stability, Reverse(major), Reverse(minor)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefers_stable_then_newer_versions() {
        let mut versions = [
            "foo1",
            "v1alpha1",
            "v10",
            "v1",
            "v3beta1",
            "v12alpha1",
            "v2",
            "v11beta2",
            "v10beta3",
        ];
        versions.sort_by(|a, b| compare(a, b));
        assert_eq!(
            versions,
            [
                "v10",
                "v2",
                "v1",
                "v11beta2",
                "v10beta3",
                "v3beta1",
                "v12alpha1",
                "v1alpha1",
                "foo1"
            ]
        );
    }
}
