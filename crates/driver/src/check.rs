//! Checks what callers send before anything is done with it.
//!
//! It does not know what exists.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use tintype_csi::v1;
use tintype_csi::v1::volume_capability::{AccessType, access_mode::Mode};

use crate::record::Shape;
use crate::refusal::Refusal;

/// CSI, Size Limits: strings have at most this many bytes unless said otherwise.
const LONGEST: usize = 128;

/// What a volume gets if nobody says a size.
const DEFAULT_SIZE: u64 = 1 << 30;

/// A name or an id.
pub(crate) fn name(field: &'static str, text: String) -> Result<String, Refusal> {
    if text.is_empty() {
        return Err(Refusal::invalid(field, "is missing"));
    }
    if text.len() > LONGEST {
        let problem = format!("has {} bytes; CSI allows {LONGEST}", text.len());
        return Err(Refusal::invalid(field, problem));
    }
    if text.chars().any(char::is_control) {
        return Err(Refusal::invalid(
            field,
            format!("{text:?} has control characters"),
        ));
    }
    Ok(text)
}

/// Names or ids, at least one, and none twice.
pub(crate) fn names(field: &'static str, texts: Vec<String>) -> Result<BTreeSet<String>, Refusal> {
    if texts.is_empty() {
        return Err(Refusal::invalid(field, "is missing"));
    }
    let mut seen = BTreeSet::new();
    for text in texts {
        let text = name(field, text)?;
        if seen.contains(&text) {
            return Err(Refusal::invalid(field, format!("names {text:?} twice")));
        }
        seen.insert(text);
    }
    Ok(seen)
}

/// A path where something is to be shown.
pub(crate) fn path(field: &'static str, text: String) -> Result<String, Refusal> {
    let problem = if text.is_empty() {
        "is missing".to_owned()
    } else if text.contains('\0') {
        format!("{text:?} has a NUL")
    } else if !Path::new(&text).is_absolute() {
        format!("{text:?} is not an absolute path")
    } else if Path::new(&text)
        .components()
        .any(|part| part == Component::ParentDir)
    {
        format!("{text:?} has a `..` in it")
    } else if Path::new(&text).file_name().is_none() {
        format!("{text:?} is the root folder")
    } else {
        // One spelling per place: it is the key of the lock and of the record.
        let parts: std::path::PathBuf = Path::new(&text).components().collect();
        return Ok(parts.into_os_string().into_string().unwrap_or(text));
    };
    Err(Refusal::invalid(field, problem))
}

/// How a volume is to be shown, and whether for reading only.
pub(crate) fn capability(
    field: &'static str,
    capability: Option<&v1::VolumeCapability>,
) -> Result<(Shape, bool), Refusal> {
    let capability = capability.ok_or_else(|| Refusal::invalid(field, "is missing"))?;
    let shape = match &capability.access_type {
        None => return Err(Refusal::invalid(field, "has neither `block` nor `mount`")),
        Some(AccessType::Block(_)) => Shape::Block,
        Some(AccessType::Mount(mount)) => Shape::Folder {
            fs_type: mount.fs_type.clone(),
        },
    };
    let mode = capability
        .access_mode
        .as_ref()
        .map_or(0, |access| access.mode);
    let readonly = match Mode::try_from(mode) {
        Ok(Mode::Unknown) => return Err(Refusal::invalid(field, "has no `access_mode`")),
        Err(_) => {
            return Err(Refusal::invalid(
                field,
                format!("has an unknown `access_mode`: {mode}"),
            ));
        }
        Ok(Mode::SingleNodeReaderOnly | Mode::MultiNodeReaderOnly) => true,
        // All nodes that reach the volume are this one.
        Ok(
            Mode::SingleNodeWriter
            | Mode::SingleNodeSingleWriter
            | Mode::SingleNodeMultiWriter
            | Mode::MultiNodeSingleWriter
            | Mode::MultiNodeMultiWriter,
        ) => false,
    };
    Ok((shape, readonly))
}

/// The one shape that all capabilities agree on.
pub(crate) fn capabilities(
    field: &'static str,
    capabilities: &[v1::VolumeCapability],
) -> Result<Shape, Refusal> {
    let (first, _) = capability(field, capabilities.first())?;
    for other in &capabilities[1..] {
        let (shape, _) = capability(field, Some(other))?;
        if shape != first {
            let problem = "ask for different access types or file systems of one volume";
            return Err(Refusal::invalid(field, problem));
        }
    }
    Ok(first)
}

/// A range of sizes; zero is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Range {
    required: u64,
    limit: u64,
}

impl Range {
    pub(crate) fn read(range: Option<v1::CapacityRange>) -> Result<Self, Refusal> {
        let range = range.unwrap_or_default();
        let bytes = |field, value: i64| {
            u64::try_from(value)
                .map_err(|_| Refusal::invalid(field, format!("is negative: {value}")))
        };
        let required = bytes("capacity_range.required_bytes", range.required_bytes)?;
        let limit = bytes("capacity_range.limit_bytes", range.limit_bytes)?;
        if limit > 0 && required > limit {
            let problem = format!("required_bytes {required} is more than limit_bytes {limit}");
            return Err(Refusal::invalid("capacity_range", problem));
        }
        Ok(Self { required, limit })
    }

    /// The size of a new volume; `least` is the size of what it is filled from, `round` makes of a
    /// size one that can be.
    pub(crate) fn choose(self, least: u64, round: impl Fn(u64) -> u64) -> Result<u64, Refusal> {
        if self.required > 0 && self.required < least {
            return Err(Refusal::OutOfRange(format!(
                "capacity_range: {} bytes cannot hold the source, which needs {least}",
                self.required
            )));
        }
        let open = if least > 0 { least } else { DEFAULT_SIZE };
        let size = match (self.required, self.limit) {
            (0, 0) => open,
            (0, limit) if least == 0 => open.min(limit),
            (0, _) => least,
            (required, _) => required,
        };
        if self.limit > 0 && size > self.limit {
            return Err(Refusal::OutOfRange(format!(
                "capacity_range: the limit of {} bytes cannot hold the source, which needs {least}",
                self.limit
            )));
        }
        self.within(round(size))
    }

    /// The size after an expansion from `now`: never less, never over the limit.
    pub(crate) fn expand(self, now: u64, round: impl Fn(u64) -> u64) -> Result<u64, Refusal> {
        if self == Self::default() {
            return Err(Refusal::invalid("capacity_range", "says no size"));
        }
        let size = self.required.max(now);
        if self.limit > 0 && size > self.limit {
            return Err(Refusal::OutOfRange(format!(
                "capacity_range: the volume has {now} bytes, more than the limit of {}, and \
                 volumes do not shrink",
                self.limit
            )));
        }
        self.within(round(size))
    }

    fn within(self, size: u64) -> Result<u64, Refusal> {
        if self.limit == 0 || size <= self.limit {
            return Ok(size);
        }
        Err(Refusal::OutOfRange(format!(
            "capacity_range: such a volume needs {size} bytes, more than the limit of {}",
            self.limit
        )))
    }

    pub(crate) fn contains(self, size: u64) -> bool {
        size >= self.required && (self.limit == 0 || size <= self.limit)
    }

    pub(crate) fn required(self) -> u64 {
        self.required
    }
}

/// Parameters of a class. This driver has none of its own; keys with a domain belong to others.
pub(crate) fn parameters(
    parameters: BTreeMap<String, String>,
    lenient: bool,
) -> Result<BTreeMap<String, String>, Refusal> {
    match parameters.keys().find(|key| !key.contains('/')) {
        Some(key) if !lenient => Err(Refusal::invalid(
            "parameters",
            format!("{key:?} is unknown to this driver; remove it from the class"),
        )),
        _ => Ok(parameters),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(required: i64, limit: i64) -> Result<Range, Refusal> {
        let range = v1::CapacityRange {
            required_bytes: required,
            limit_bytes: limit,
        };
        Range::read(Some(range))
    }

    #[test]
    fn sizes_are_chosen_within_the_range_and_never_below_the_source() {
        let table = [
            // required, limit, source, chosen
            (0, 0, 0, Some(DEFAULT_SIZE)),
            (0, 5, 0, Some(5)),
            (7, 0, 0, Some(7)),
            (7, 9, 0, Some(7)),
            (0, 0, 8, Some(8)),
            (0, 9, 8, Some(8)),
            (0, 7, 8, None),
            (7, 0, 8, None),
            (9, 9, 8, Some(9)),
        ];
        for (required, limit, source, chosen) in table {
            let size = range(required, limit).unwrap().choose(source, |it| it).ok();
            assert_eq!(
                size, chosen,
                "required {required} limit {limit} source {source}"
            );
        }
        for (required, limit) in [(-1, 0), (0, -1), (9, 8)] {
            assert!(matches!(
                range(required, limit),
                Err(Refusal::Invalid { .. })
            ));
        }
    }

    #[test]
    fn expansions_never_shrink() {
        let same = |size| size;
        assert_eq!(range(10, 0).unwrap().expand(5, same).ok(), Some(10));
        assert_eq!(range(3, 0).unwrap().expand(5, same).ok(), Some(5));
        assert!(range(3, 4).unwrap().expand(5, same).is_err());
        assert!(range(0, 0).unwrap().expand(5, same).is_err());
    }

    #[test]
    fn sizes_are_rounded_up_but_not_over_the_limit() {
        let whole = |size: u64| size.next_multiple_of(4);
        assert_eq!(range(5, 0).unwrap().choose(0, whole).ok(), Some(8));
        assert_eq!(range(5, 8).unwrap().expand(4, whole).ok(), Some(8));
        for outcome in [
            range(5, 7).unwrap().choose(0, whole),
            range(5, 7).unwrap().expand(4, whole),
        ] {
            let problem = outcome.unwrap_err().to_string();
            assert!(problem.contains("needs 8 bytes"), "{problem}");
        }
    }

    #[test]
    fn bad_names_and_paths_are_named() {
        for text in ["", "a\nb", "a\0b", &"x".repeat(129)] {
            let problem = name("volume_id", text.to_owned()).unwrap_err().to_string();
            assert!(problem.starts_with("volume_id: "), "{problem}");
        }
        for text in ["", "relative", "/a/../b", "/", "/a\0b"] {
            let problem = path("target_path", text.to_owned())
                .unwrap_err()
                .to_string();
            assert!(problem.starts_with("target_path: "), "{problem}");
        }
        assert_eq!(
            path("target_path", "/a//b/./c/".to_owned()).unwrap(),
            "/a/b/c"
        );
    }

    #[test]
    fn unknown_parameters_are_refused_unless_they_are_somebody_elses() {
        let one = |key: &str| BTreeMap::from([(key.to_owned(), "v".to_owned())]);
        assert!(parameters(one("tpye"), false).is_err());
        assert!(parameters(one("tpye"), true).is_ok());
        assert!(parameters(one("csi.storage.k8s.io/pvc/name"), false).is_ok());
    }
}
