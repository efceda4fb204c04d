//! Compares two recorded trees and says in words what differs.
//! Pure: knows nothing of files, only of what was recorded of them.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

use super::manifest::{Entry, Kind, Manifest};
use crate::words;

/// File systems store in pieces of up to this much; a hole smaller than that may go lost.
const PIECE: u64 = 64 << 10;

/// One path that is not what it was, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) path: PathBuf,
    pub(crate) how: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            &self.path
        };
        write!(f, "{}: {}", words::path(path), self.how)
    }
}

/// Everything that differs, in the order of the paths; a path may differ in several ways.
pub(crate) fn differences(was: &Manifest, is: &Manifest) -> Vec<Difference> {
    let mut found = Vec::new();
    for (path, before) in &was.entries {
        let how = match is.entries.get(path) {
            None => vec![format!("is missing; was {}", kind(&before.kind))],
            Some(after) => entry(before, after),
        };
        found.extend(how.into_iter().map(|how| Difference {
            path: path.clone(),
            how,
        }));
    }
    for (path, after) in is
        .entries
        .iter()
        .filter(|(path, _)| !was.entries.contains_key(*path))
    {
        let how = format!("was not there before; is {}", kind(&after.kind));
        found.push(Difference {
            path: path.clone(),
            how,
        });
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn entry(was: &Entry, is: &Entry) -> Vec<String> {
    let mut how = Vec::new();
    match (&was.kind, &is.kind) {
        (
            Kind::File { size, stored, hash },
            Kind::File {
                size: size_is,
                stored: stored_is,
                hash: hash_is,
            },
        ) => {
            if size != size_is {
                how.push(format!("was {size} bytes, is {size_is} bytes"));
            } else if hash != hash_is {
                how.push(format!("has other contents ({})", words::size(*size)));
            } else if lost_holes(*size, *stored, *stored_is) {
                let (was, is) = (words::size(*stored), words::size(*stored_is));
                how.push(format!("lost its holes: {was} stored became {is}"));
            }
        }
        (Kind::Symlink { target: was }, Kind::Symlink { target: is }) if was != is => {
            how.push(format!(
                "pointed to {}, points to {}",
                words::path(was),
                words::path(is)
            ));
        }
        (was, is) if was != is => how.push(format!("was {}, is {}", kind(was), kind(is))),
        _ => {}
    }
    if was.mode != is.mode {
        how.push(format!("mode was {:04o}, is {:04o}", was.mode, is.mode));
    }
    if was.owner != is.owner {
        let (was, is) = (was.owner, is.owner);
        how.push(format!(
            "owner was {}:{}, is {}:{}",
            was.0, was.1, is.0, is.1
        ));
    }
    if was.modified != is.modified {
        how.push(format!(
            "time was {}, is {}",
            time(was.modified),
            time(is.modified)
        ));
    }
    if was.group != is.group {
        how.push(format!("was {}, is {}", group(was), group(is)));
    }
    how.extend(xattrs(&was.xattrs, &is.xattrs));
    how
}

/// A copy may store a little more than the original, but not what was mostly hole as data.
fn lost_holes(size: u64, was: u64, is: u64) -> bool {
    was + PIECE < size && is > was.saturating_mul(2) + PIECE
}

fn xattrs(was: &BTreeMap<OsString, Vec<u8>>, is: &BTreeMap<OsString, Vec<u8>>) -> Vec<String> {
    let lost = was.iter().filter_map(|(name, value)| match is.get(name) {
        None => Some(format!(
            "lost its attribute {}",
            words::path(Path::new(name))
        )),
        Some(now) if now != value => Some(format!(
            "attribute {} has another value",
            words::path(Path::new(name))
        )),
        Some(_) => None,
    });
    let new = is
        .keys()
        .filter(|name| !was.contains_key(*name))
        .map(|name| format!("has a new attribute {}", words::path(Path::new(name))));
    lost.chain(new).collect()
}

fn group(entry: &Entry) -> String {
    match &entry.group {
        None => "a file of its own".to_owned(),
        Some(first) => format!("one file with {}", words::path(first)),
    }
}

fn time((seconds, nanoseconds): (i64, i64)) -> String {
    match i32::try_from(nanoseconds)
        .ok()
        .and_then(|nanoseconds| jiff::Timestamp::new(seconds, nanoseconds).ok())
    {
        Some(time) => time.to_string(),
        None => format!("{seconds}.{nanoseconds:09} s after 1970"),
    }
}

fn kind(kind: &Kind) -> String {
    match kind {
        Kind::File { size, .. } => format!("a file of {}", words::size(*size)),
        Kind::Folder => "a folder".to_owned(),
        Kind::Symlink { target } => format!("a link to {}", words::path(target)),
        Kind::Fifo => "a fifo".to_owned(),
        Kind::Socket => "a socket".to_owned(),
        Kind::Device { block: true, .. } => "a block device".to_owned(),
        Kind::Device { block: false, .. } => "a character device".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(contents: &[u8]) -> Entry {
        let size = contents.len() as u64;
        Entry {
            kind: Kind::File {
                size,
                stored: size,
                hash: blake3::hash(contents),
            },
            mode: 0o644,
            owner: (0, 0),
            modified: (1_700_000_000, 5),
            xattrs: BTreeMap::new(),
            group: None,
        }
    }

    fn found(was: &[(&str, Entry)], is: &[(&str, Entry)]) -> Vec<String> {
        let tree = |all: &[(&str, Entry)]| Manifest {
            entries: all
                .iter()
                .map(|(path, entry)| (path.into(), entry.clone()))
                .collect(),
        };
        differences(&tree(was), &tree(is))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn every_kind_of_difference_is_named() {
        let was = file(b"abc");
        let changed = |change: fn(&mut Entry)| {
            let mut is = file(b"abc");
            change(&mut is);
            found(&[("f", was.clone())], &[("f", is)])
        };
        assert_eq!(changed(|_| {}), Vec::<String>::new());
        assert_eq!(
            changed(|e| *e = file(b"abd")),
            ["f: has other contents (3 B)"]
        );
        assert_eq!(
            changed(|e| *e = file(b"ab")),
            ["f: was 3 bytes, is 2 bytes"]
        );
        assert_eq!(
            changed(|e| e.kind = Kind::Fifo),
            ["f: was a file of 3 B, is a fifo"]
        );
        assert_eq!(changed(|e| e.mode = 0o4600), ["f: mode was 0644, is 4600"]);
        assert_eq!(changed(|e| e.owner = (1, 2)), ["f: owner was 0:0, is 1:2"]);
        assert_eq!(
            changed(|e| e.modified.1 = 6),
            ["f: time was 2023-11-14T22:13:20.000000005Z, is 2023-11-14T22:13:20.000000006Z"]
        );
        assert_eq!(
            changed(|e| e.group = Some("a".into())),
            ["f: was a file of its own, is one file with a"]
        );
        assert_eq!(
            changed(|e| drop(e.xattrs.insert("user.x".into(), vec![1]))),
            ["f: has a new attribute user.x"]
        );
    }

    #[test]
    fn missing_and_new_paths_are_named_in_order() {
        let all = found(
            &[("a", file(b"")), ("c", file(b"1"))],
            &[("b\n", file(b"12")), ("c", file(b"1"))],
        );
        let new = "\"b\\n\": was not there before; is a file of 2 B";
        assert_eq!(all, ["a: is missing; was a file of 0 B", new]);
    }

    #[test]
    fn a_sparse_file_has_to_stay_sparse() {
        let sparse = |stored| Entry {
            kind: Kind::File {
                size: 16 << 20,
                stored,
                hash: blake3::hash(b""),
            },
            ..file(b"")
        };
        let was = [("s", sparse(12 << 10))];
        assert_eq!(
            found(&was, &[("s", sparse(32 << 10))]),
            Vec::<String>::new()
        );
        assert_eq!(
            found(&was, &[("s", sparse(16 << 20))]),
            ["s: lost its holes: 12 KiB stored became 16 MiB"]
        );
    }

    #[test]
    fn links_and_attributes_are_compared() {
        let link = |to: &str| Entry {
            kind: Kind::Symlink { target: to.into() },
            ..file(b"")
        };
        assert_eq!(
            found(&[("l", link("a"))], &[("l", link("b"))]),
            ["l: pointed to a, points to b"]
        );
        let with = |value: u8| Entry {
            xattrs: BTreeMap::from([("user.x".into(), vec![value])]),
            ..file(b"")
        };
        assert_eq!(
            found(&[("f", with(1))], &[("f", with(2))]),
            ["f: attribute user.x has another value"]
        );
        assert_eq!(
            found(&[("f", with(1))], &[("f", file(b""))]),
            ["f: lost its attribute user.x"]
        );
    }
}
