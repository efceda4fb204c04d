//! Compares the access modes and volume modes of claims and volumes.
//!
//! Knows nothing of the objects they come from.

use serde_json::Value;

/// A set of access modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AccessModes(u8);

const MODES: [&str; 4] = [
    "ReadWriteOnce",
    "ReadOnlyMany",
    "ReadWriteMany",
    "ReadWriteOncePod",
];
/// Stands for any mode that is not in the list.
const OTHER: u8 = 1 << 7;

impl AccessModes {
    pub(super) fn of(list: &Value) -> Self {
        let list = list.as_array().into_iter().flatten();
        let bits = list.filter_map(Value::as_str).map(|mode| {
            let known = MODES.iter().position(|known| *known == mode);
            known.map_or(OTHER, |place| 1 << place)
        });
        Self(bits.fold(0, |all, bit| all | bit))
    }

    /// Whether all that is wanted is offered.
    pub(super) fn offer(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }
}

/// What a volume is inside a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum VolumeMode {
    Filesystem,
    Block,
}

impl VolumeMode {
    pub(super) fn of(mode: &Value) -> Self {
        match mode.as_str() {
            Some("Block") => Self::Block,
            _ => Self::Filesystem,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_volume_offers_what_it_lists_and_nothing_else() {
        let volume = AccessModes::of(&json!(["ReadWriteOnce", "ReadOnlyMany"]));
        for (wanted, offered) in [
            (json!(["ReadWriteOnce"]), true),
            (json!(["ReadOnlyMany", "ReadWriteOnce"]), true),
            (json!(["ReadWriteMany"]), false),
            (json!(["ReadWriteOncePod"]), false),
            (json!(["Unheard"]), false),
        ] {
            assert_eq!(volume.offer(AccessModes::of(&wanted)), offered, "{wanted}");
        }
    }
}
