//! Holds what the machines need of each object: small values, never decoded documents.
//!
//! One row is kept per cached object, so its size is the program's memory (budget: 700 bytes per
//! snapshot or content, key and indexes included). Does not know where rows come from.

mod affinity;
mod claim;
mod class;
mod content;
mod group;
mod group_content;
mod selector;
mod snapshot;
mod volume;

use std::borrow::Cow;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::sync::Arc;

pub use affinity::{Affinity, Node};
pub use claim::{Claim, ClaimPhase, DataSource, DataSourceKind};
pub use class::{AttributesClass, Class, GroupClass, StorageClass};
pub use content::{Content, ContentError, ContentSource, ContentStatus, SecretRef, SnapshotRef};
pub use group::{Group, GroupSource, Owner};
pub use group_content::{GroupContent, GroupContentSource, GroupContentStatus, MemberInfo};
pub(crate) use group_content::{agrees, disagreement};
pub use selector::{Labels, Selector};
pub use snapshot::{Membership, Snapshot, SnapshotSource};
pub use volume::{ClaimRef, CsiVolume, Volume, VolumeMode, VolumePhase};

/// Where an object is: namespace (empty for cluster-wide kinds) and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// `metadata.namespace`, or empty.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
}

impl Key {
    /// A key of a namespaced kind.
    pub fn namespaced(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// A key of a cluster-wide kind.
    pub fn cluster(name: impl Into<Arc<str>>) -> Self {
        Self::namespaced("", name)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// `metadata.uid`: 16 bytes where it has the usual form.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Uid {
    /// No uid is set.
    #[default]
    Empty,
    /// A uid in canonical UUID form.
    Uuid(u128),
    /// Anything else.
    Other(Box<str>),
}

impl Uid {
    /// Reads a uid as written.
    pub fn parse(text: &str) -> Self {
        if text.is_empty() {
            return Self::Empty;
        }
        let canonical = text.len() == 36
            && text.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
            });
        let digits = canonical
            .then(|| u128::from_str_radix(&text.replace('-', ""), 16).ok())
            .flatten();
        digits.map_or_else(|| Self::Other(text.into()), Self::Uuid)
    }

    /// No uid is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::Empty
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => Ok(()),
            Self::Uuid(bits) => {
                let hex = format!("{bits:032x}");
                write!(
                    f,
                    "{}-{}-{}-{}-{}",
                    &hex[..8],
                    &hex[8..12],
                    &hex[12..16],
                    &hex[16..20],
                    &hex[20..]
                )
            }
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// `metadata.resourceVersion`: opaque, but ordered where the server counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Version {
    /// A decimal number, as every known server writes.
    Number(u64),
    /// Anything else; never older than another.
    Opaque(Box<str>),
}

impl Version {
    /// Reads a version as written.
    pub fn parse(text: &str) -> Self {
        match text.parse::<u64>() {
            Ok(number) if number.to_string() == text => Self::Number(number),
            Ok(_) | Err(_) => Self::Opaque(text.into()),
        }
    }

    /// This version is surely older than `other`.
    pub fn older_than(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(this), Self::Number(that)) => this < that,
            (Self::Opaque(_), _) | (_, Self::Opaque(_)) => false,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Opaque(text) => f.write_str(text),
        }
    }
}

/// The part of `metadata` every machine reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Namespace and name.
    pub key: Key,
    /// Tells an object from an earlier one of the same name.
    pub uid: Uid,
    /// What every write is conditional on.
    pub version: Version,
    /// `deletionTimestamp` is set.
    pub deleting: bool,
    /// All finalizers, in order: a merge patch must send the whole list.
    pub finalizers: Vec<Cow<'static, str>>,
}

impl Meta {
    /// Reads object metadata; what is missing is empty.
    pub fn of(meta: &ObjectMeta) -> Self {
        let text = |it: &Option<String>| it.as_deref().unwrap_or_default().to_owned();
        let mut finalizers: Vec<_> = meta
            .finalizers
            .iter()
            .flatten()
            .map(|text| known_finalizer(text))
            .collect();
        finalizers.shrink_to_fit();
        Self {
            key: Key::namespaced(text(&meta.namespace), text(&meta.name)),
            uid: Uid::parse(meta.uid.as_deref().unwrap_or_default()),
            version: Version::parse(meta.resource_version.as_deref().unwrap_or_default()),
            deleting: meta.deletion_timestamp.is_some(),
            finalizers,
        }
    }

    /// The finalizer is on the object.
    pub fn has_finalizer(&self, finalizer: &str) -> bool {
        self.finalizers.iter().any(|it| it == finalizer)
    }

    /// All finalizers, and this one if it is not among them.
    pub(crate) fn with_finalizer(&self, finalizer: &'static str) -> Vec<Cow<'static, str>> {
        let mut all = self.finalizers.clone();
        if !self.has_finalizer(finalizer) {
            all.push(finalizer.into());
        }
        all
    }

    /// All finalizers but these.
    pub(crate) fn without_finalizers(&self, ours: &[&str]) -> Vec<Cow<'static, str>> {
        let others = self.finalizers.iter();
        others
            .filter(|it| !ours.contains(&it.as_ref()))
            .cloned()
            .collect()
    }
}

/// Well-known finalizers cost no heap.
fn known_finalizer(text: &str) -> Cow<'static, str> {
    tintype_api::keys::FINALIZERS
        .iter()
        .find(|known| **known == text)
        .map_or_else(
            || Cow::Owned(text.to_owned()),
            |known| Cow::Borrowed(*known),
        )
}

/// An annotation or label value.
fn entry<'a>(
    map: Option<&'a std::collections::BTreeMap<String, String>>,
    key: &str,
) -> Option<&'a str> {
    map.and_then(|map| map.get(key)).map(String::as_str)
}

/// A text that says something.
fn filled(text: Option<&str>) -> Option<Box<str>> {
    text.filter(|it| !it.is_empty()).map(Box::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_print_as_they_were_read() {
        for text in [
            "",
            "0b6fd1ab-5a5c-4d4e-9d41-000000000001",
            "0B6FD1AB-5A5C-4D4E-9D41-000000000001",
            "00000000-0000-0000-0000-000000000000",
            "snap-uid-7",
            "0b6fd1ab-5a5c-4d4e-9d41-00000000000é",
        ] {
            assert_eq!(Uid::parse(text).to_string(), text);
        }
    }

    #[test]
    fn versions_order_only_where_both_count() {
        let (old, new, odd) = (
            Version::parse("9"),
            Version::parse("10"),
            Version::parse("0010"),
        );
        assert!(old.older_than(&new));
        assert!(!new.older_than(&old));
        assert!(!old.older_than(&odd));
        assert!(!odd.older_than(&new));
        assert_eq!(odd.to_string(), "0010");
    }
}
