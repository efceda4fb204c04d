//! Holds what is known of a volume or a snapshot, and its form on disk.
//!
//! ```text
//! ┌──────────────────────────────────────────────────────────────┐
//! │ tintype-record 1 <BLAKE3 of all that follows, 64 hex digits>⏎ │
//! │ one JSON object                                              │
//! └──────────────────────────────────────────────────────────────┘
//! ```
//!
//! It does not know where the file lies.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::refusal::Kind;

/// How a volume is shown to a workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Shape {
    Block,
    /// With the type of file system that was asked for; empty: any.
    Folder {
        fs_type: String,
    },
}

/// What a volume was filled with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    Snapshot(String),
    Volume(String),
}

/// A moment, to the nanosecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Stamp {
    pub(crate) seconds: i64,
    pub(crate) nanos: i32,
}

impl Stamp {
    #[expect(
        clippy::disallowed_methods,
        reason = "the moment of the cut is what is asked for"
    )]
    pub(crate) fn now() -> Self {
        // A clock before 1970 is taken for 1970.
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Self {
            seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(since.subsec_nanos()).unwrap_or(0),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Volume {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) size_bytes: u64,
    pub(crate) shape: Shape,
    pub(crate) source: Option<Source>,
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) created: Stamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) source_volume_id: String,
    /// Of the source when it was cut: the least size of a volume made from this.
    pub(crate) size_bytes: u64,
    pub(crate) shape: Shape,
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) created: Stamp,
    /// Cut together with others, and deleted with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<String>,
}

/// Snapshots of one moment. Their records are written before this one and removed after it: members
/// without their group are leftovers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Ids of the snapshots.
    pub(crate) members: Vec<String>,
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) created: Stamp,
}

/// Something that has a record.
pub(crate) trait Recorded:
    Clone + Serialize + DeserializeOwned + Send + Sync + 'static
{
    const KIND: Kind;
    fn id(&self) -> &str;
}

impl Recorded for Volume {
    const KIND: Kind = Kind::Volume;
    fn id(&self) -> &str {
        &self.id
    }
}

impl Recorded for Snapshot {
    const KIND: Kind = Kind::Snapshot;
    fn id(&self) -> &str {
        &self.id
    }
}

impl Recorded for Group {
    const KIND: Kind = Kind::Group;
    fn id(&self) -> &str {
        &self.id
    }
}

/// A snapshot that gets its moment when it is cut.
pub(crate) trait Timed: Recorded {
    fn at(&self, moment: Stamp) -> Self;
}

impl Timed for Snapshot {
    fn at(&self, moment: Stamp) -> Self {
        Self {
            created: moment,
            ..self.clone()
        }
    }
}

const MAGIC: &str = "tintype-record";
const VERSION: &str = "1";

/// The bytes of a record.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut body = serde_json::to_vec_pretty(value)?;
    body.push(b'\n');
    let sum = blake3::hash(&body).to_hex();
    let mut bytes = format!("{MAGIC} {VERSION} {sum}\n").into_bytes();
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// Reads a record, or says what is wrong with it.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let end = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .ok_or("it has no first line")?;
    let (head, body) = (&bytes[..end], &bytes[end + 1..]);
    let head = str::from_utf8(head).map_err(|_| "its first line is not text")?;
    let mut words = head.split(' ');
    if words.next() != Some(MAGIC) {
        return Err(format!("it does not start with {MAGIC}"));
    }
    match words.next() {
        Some(VERSION) => {}
        version => {
            let version = version.unwrap_or("none");
            return Err(format!(
                "its version is {version}, this driver knows {VERSION}"
            ));
        }
    }
    if words.next() != Some(blake3::hash(body).to_hex().as_str()) {
        return Err("its checksum does not match".to_owned());
    }
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

/// The id of the object of this name: the same at every try.
///
/// The name itself where it can be a file name, so that people find things.
pub(crate) fn id_of(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let taken = name.starts_with('.') || name.starts_with(HASHED);
    if !taken && name.bytes().all(plain) {
        return name.to_owned();
    }
    let sum = blake3::hash(name.as_bytes()).to_hex();
    format!("{HASHED}{}", &sum[..32])
}

/// Begins ids that are made from a checksum; no plain name may look like one.
const HASHED: &str = "name-";

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Volume {
        Volume {
            id: "a".into(),
            name: "a".into(),
            size_bytes: 5,
            shape: Shape::Folder {
                fs_type: String::new(),
            },
            source: Some(Source::Snapshot("s".into())),
            parameters: BTreeMap::new(),
            created: Stamp {
                seconds: 1,
                nanos: 2,
            },
        }
    }

    #[test]
    fn a_record_comes_back_as_it_was() {
        let bytes = encode(&sample()).unwrap();
        assert_eq!(decode::<Volume>(&bytes), Ok(sample()));
    }

    #[test]
    fn every_damage_is_noticed() {
        let bytes = encode(&sample()).unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(decode::<Volume>(&damaged).is_err(), "byte {at}");
            assert!(decode::<Volume>(&bytes[..at]).is_err(), "cut at {at}");
        }
        let newer = String::from_utf8(bytes).unwrap().replacen(" 1 ", " 2 ", 1);
        let problem = decode::<Volume>(newer.as_bytes()).unwrap_err();
        assert!(problem.contains("version is 2"), "{problem}");
    }

    #[test]
    fn ids_are_file_names_and_never_collide() {
        assert_eq!(id_of("pvc-0b5c"), "pvc-0b5c");
        let odd = [
            "..",
            ".",
            "a/b",
            "a\0b",
            "ä",
            "../../etc",
            "name-x",
            ".hidden",
            "a b",
        ];
        let mut seen = std::collections::BTreeSet::new();
        for name in odd {
            let id = id_of(name);
            assert!(
                id.starts_with(HASHED) && !id.contains('/'),
                "{name:?} gives {id:?}"
            );
            assert!(seen.insert(id.clone()), "{name:?}");
            assert_ne!(
                id_of(&id),
                id,
                "a name that looks like an id is not that id"
            );
        }
    }
}
