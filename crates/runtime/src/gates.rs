//! Reads `--feature-gates` as upstream does: known gates, all of them; unknown ones refused.
//!
//! Does not know what a gate turns on.

use std::collections::BTreeMap;
use std::str::FromStr;

/// The gates of the snapshot roles.
pub const VOLUME_GROUP_SNAPSHOT: &str = "CSIVolumeGroupSnapshot";
/// Upstream gives the lease back on SIGTERM only with it; we always do.
pub const RELEASE_LEADER_ELECTION: &str = "ReleaseLeaderElectionOnExit";
/// Claims may name a source in another namespace.
pub const CROSS_NAMESPACE: &str = "CrossNamespaceVolumeDataSource";

/// How far a gate has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Alpha,
    Beta,
    Stable,
    /// It cannot be set to anything but its default.
    Locked,
    /// Its feature is always on, and upstream has forgotten its name.
    Retired,
}

/// One gate: name, stage, default.
type Gate = (&'static str, Stage, bool);

/// What upstream's own roles know.
const OURS: [Gate; 5] = [
    (VOLUME_GROUP_SNAPSHOT, Stage::Stable, true),
    (RELEASE_LEADER_ELECTION, Stage::Alpha, false),
    (CROSS_NAMESPACE, Stage::Alpha, false),
    ("Topology", Stage::Stable, true),
    ("VolumeAttributesClass", Stage::Stable, true),
];

/// Gates of features that are part of every cluster now.
const RETIRED: [Gate; 9] = [
    ("VolumeSnapshotDataSource", Stage::Retired, true),
    ("VolumePVCDataSource", Stage::Retired, true),
    ("AnyVolumeDataSource", Stage::Retired, true),
    ("HonorPVReclaimPolicy", Stage::Retired, true),
    ("CSINodeExpandSecret", Stage::Retired, true),
    ("StrictCostEnforcementForVAP", Stage::Retired, true),
    ("StrictCostEnforcementForWebhooks", Stage::Retired, true),
    ("StructuredAuthorizationConfiguration", Stage::Retired, true),
    (
        "WatchFromStorageWithoutResourceVersion",
        Stage::Retired,
        false,
    ),
];

/// Gates of the API server, version 1.36: upstream's flag takes them because its registry does.
/// They change nothing here.
const GENERIC: [Gate; 44] = [
    ("APIResponseCompression", Stage::Beta, true),
    ("APIServerIdentity", Stage::Beta, true),
    ("APIServerTracing", Stage::Locked, true),
    ("APIServingWithRoutine", Stage::Alpha, false),
    ("AggregatedDiscoveryRemoveBetaType", Stage::Locked, true),
    ("AllowParsingUserUIDFromCertAuth", Stage::Beta, true),
    ("AllowUnsafeMalformedObjectDeletion", Stage::Alpha, false),
    ("AnonymousAuthConfigurableEndpoints", Stage::Locked, true),
    ("AuthorizeWithSelectors", Stage::Locked, true),
    ("BtreeWatchCache", Stage::Locked, true),
    ("CBORServingAndStorage", Stage::Alpha, false),
    ("ComponentFlagz", Stage::Beta, true),
    ("ComponentStatusz", Stage::Beta, true),
    ("ConcurrentWatchObjectDecode", Stage::Beta, false),
    ("ConsistentListFromCache", Stage::Locked, true),
    ("ConstrainedImpersonation", Stage::Beta, true),
    ("CoordinatedLeaderElection", Stage::Beta, false),
    ("DeclarativeValidation", Stage::Locked, true),
    ("DeclarativeValidationBeta", Stage::Beta, true),
    ("DeclarativeValidationTakeover", Stage::Stable, false),
    ("DetectCacheInconsistency", Stage::Beta, true),
    ("KMSv1", Stage::Stable, false),
    ("ListFromCacheSnapshot", Stage::Beta, true),
    ("ManifestBasedAdmissionControlConfig", Stage::Alpha, false),
    ("MutatingAdmissionPolicy", Stage::Stable, true),
    ("OpenAPIEnums", Stage::Beta, true),
    ("RemoteRequestHeaderUID", Stage::Beta, true),
    ("ResilientWatchCacheInitialization", Stage::Locked, true),
    ("RetryGenerateName", Stage::Locked, true),
    ("SeparateCacheWatchRPC", Stage::Locked, false),
    ("ShardedListAndWatch", Stage::Alpha, false),
    ("SizeBasedListCostEstimate", Stage::Beta, true),
    ("StorageVersionAPI", Stage::Alpha, false),
    ("StorageVersionHash", Stage::Beta, true),
    ("StreamingCollectionEncodingToJSON", Stage::Locked, true),
    ("StreamingCollectionEncodingToProtobuf", Stage::Locked, true),
    ("StructuredAuthenticationConfiguration", Stage::Locked, true),
    (
        "StructuredAuthenticationConfigurationEgressSelector",
        Stage::Beta,
        true,
    ),
    (
        "StructuredAuthenticationConfigurationJWKSMetrics",
        Stage::Beta,
        true,
    ),
    ("TokenRequestServiceAccountUIDValidation", Stage::Beta, true),
    ("UnauthenticatedHTTP2DOSMitigation", Stage::Beta, true),
    ("UnknownVersionInteroperabilityProxy", Stage::Beta, true),
    ("WatchCacheInitializationPostStartHook", Stage::Beta, true),
    ("WatchList", Stage::Beta, true),
];

/// Sets every alpha gate that is not named, or every beta one.
const ALL: [(&str, Stage); 2] = [("AllAlpha", Stage::Alpha), ("AllBeta", Stage::Beta)];

/// Names closer than this are worth asking for.
const CLOSE: f64 = 0.6;

/// Why a value of `--feature-gates` is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// No equals sign.
    #[error("\"{0}\" has no value; write NAME=true or NAME=false")]
    NoValue(String),
    /// Not a boolean.
    #[error("\"{value}\" is no value for the feature gate {name}; write true or false")]
    BadValue {
        /// The gate.
        name: String,
        /// What was given.
        value: String,
    },
    /// Nobody knows it.
    #[error("there is no feature gate \"{name}\"{}", hint(.nearest.as_deref()))]
    Unknown {
        /// What was given.
        name: String,
        /// What may have been meant.
        nearest: Option<&'static str>,
    },
    /// It has its value for good.
    #[error("the feature gate {name} is locked to {locked}; take it out")]
    Locked {
        /// The gate.
        name: &'static str,
        /// The only value it has.
        locked: bool,
    },
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |it| format!("; did you mean {it}?"))
}

/// Gates as given; what is not given has its default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gates(BTreeMap<&'static str, bool>);

impl FromStr for Gates {
    type Err = GateError;

    fn from_str(text: &str) -> Result<Self, GateError> {
        let mut gates = Self::default();
        for pair in text.split(',').filter(|it| !it.is_empty()) {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| GateError::NoValue(pair.to_owned()))?;
            let (name, value) = (name.trim(), value.trim());
            let on = crate::flags::go_bool(value).map_err(|_| GateError::BadValue {
                name: name.to_owned(),
                value: value.to_owned(),
            })?;
            gates.set(name, on)?;
        }
        Ok(gates)
    }
}

impl Gates {
    fn set(&mut self, name: &str, on: bool) -> Result<(), GateError> {
        if let Some((all, _)) = ALL.iter().find(|(all, _)| *all == name) {
            self.0.insert(all, on);
            return Ok(());
        }
        let Some((name, stage, default)) = gate(name) else {
            return Err(GateError::Unknown {
                name: name.to_owned(),
                nearest: nearest(name),
            });
        };
        if stage == Stage::Locked && on != default {
            return Err(GateError::Locked {
                name,
                locked: default,
            });
        }
        self.0.insert(name, on);
        Ok(())
    }

    /// All values of a flag that was given more than once: the last word counts.
    pub fn merged(all: Vec<Self>) -> Self {
        Self(all.into_iter().flat_map(|it| it.0).collect())
    }

    /// The gate is on.
    pub fn enabled(&self, name: &str) -> bool {
        if let Some(on) = self.0.get(name) {
            return *on;
        }
        let Some((_, stage, default)) = gate(name) else {
            return false;
        };
        let all = ALL.iter().find(|(_, of)| *of == stage);
        let all = all.and_then(|(all, _)| self.0.get(all));
        all.copied().unwrap_or(default)
    }

    /// Says in the log what a person should know about the gates they gave.
    pub fn tell(&self) {
        for note in self.notes() {
            tracing::info!("{note}");
        }
    }

    fn notes(&self) -> Vec<String> {
        let note = |(name, on): (&&str, &bool)| match gate(name) {
            Some((name, Stage::Retired, true)) => Some(if *on {
                format!("the feature gate {name} is no more: its feature is always on; take it out")
            } else {
                format!(
                    "the feature gate {name} is no more and cannot be turned off: its feature is always on; take it out"
                )
            }),
            Some((RELEASE_LEADER_ELECTION, ..)) if !on => Some(format!(
                "{RELEASE_LEADER_ELECTION}=false has no effect: the lease is always given back on exit"
            )),
            Some((name, ..)) if !OURS.iter().any(|(ours, ..)| *ours == name) => {
                Some(format!("the feature gate {name} has no effect here"))
            }
            Some(_) | None => None,
        };
        self.0.iter().filter_map(note).collect()
    }
}

fn known() -> impl Iterator<Item = &'static Gate> {
    OURS.iter().chain(&GENERIC).chain(&RETIRED)
}

fn gate(name: &str) -> Option<Gate> {
    known().find(|(it, ..)| *it == name).copied()
}

fn nearest(name: &str) -> Option<&'static str> {
    let near = |it: &'static str| (strsim::normalized_damerau_levenshtein(name, it), it);
    let all = OURS.iter().chain(&GENERIC).map(|(it, ..)| near(it));
    let best = all.max_by(|one, two| one.0.total_cmp(&two.0))?;
    (best.0 > CLOSE).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gates(text: &str) -> Gates {
        text.parse().unwrap()
    }

    #[track_caller]
    fn refused(text: &str, expect: &str) {
        let error = text.parse::<Gates>().unwrap_err().to_string();
        assert_eq!(error, expect);
    }

    #[test]
    fn gates_have_upstreams_defaults() {
        let none = gates("");
        assert!(none.enabled(VOLUME_GROUP_SNAPSHOT));
        assert!(!none.enabled(RELEASE_LEADER_ELECTION));
        assert!(!none.enabled(CROSS_NAMESPACE));
        assert!(none.notes().is_empty());
    }

    #[test]
    fn gates_are_read_as_go_reads_them() {
        let given = gates(" CSIVolumeGroupSnapshot = F ,,ReleaseLeaderElectionOnExit=1,");
        assert!(!given.enabled(VOLUME_GROUP_SNAPSHOT));
        assert!(given.enabled(RELEASE_LEADER_ELECTION));
        let twice = Gates::merged(vec![
            gates("CSIVolumeGroupSnapshot=false,Topology=false"),
            gates("CSIVolumeGroupSnapshot=true"),
        ]);
        assert!(twice.enabled(VOLUME_GROUP_SNAPSHOT));
        assert!(!twice.enabled("Topology"));
    }

    #[test]
    fn all_alpha_gates_yield_to_those_that_are_named() {
        assert!(gates("AllAlpha=true").enabled(RELEASE_LEADER_ELECTION));
        assert!(!gates("AllBeta=true").enabled(RELEASE_LEADER_ELECTION));
        assert!(gates("AllAlpha=false").enabled(VOLUME_GROUP_SNAPSHOT));
        let named = gates("ReleaseLeaderElectionOnExit=false,AllAlpha=true");
        assert!(!named.enabled(RELEASE_LEADER_ELECTION));
    }

    #[test]
    fn unknown_gates_are_refused_with_the_nearest_name() {
        refused(
            "VolumeGroupSnapshot=true",
            "there is no feature gate \"VolumeGroupSnapshot\"; did you mean CSIVolumeGroupSnapshot?",
        );
        refused("Xyz=true", "there is no feature gate \"Xyz\"");
        refused("=true", "there is no feature gate \"\"");
        refused(
            "CSIVolumeGroupSnapshot",
            "\"CSIVolumeGroupSnapshot\" has no value; write NAME=true or NAME=false",
        );
        refused(
            "CSIVolumeGroupSnapshot=yes",
            "\"yes\" is no value for the feature gate CSIVolumeGroupSnapshot; write true or false",
        );
        refused(
            "BtreeWatchCache=false",
            "the feature gate BtreeWatchCache is locked to true; take it out",
        );
    }

    #[test]
    fn retired_gates_are_taken_with_a_word() {
        let given = gates("VolumeSnapshotDataSource=true,WatchList=true,BtreeWatchCache=true");
        assert_eq!(
            given.notes(),
            [
                "the feature gate BtreeWatchCache has no effect here",
                "the feature gate VolumeSnapshotDataSource is no more: its feature is always on; take it out",
                "the feature gate WatchList has no effect here",
            ]
        );
        let off = gates("VolumeSnapshotDataSource=false").notes();
        assert!(off[0].contains("cannot be turned off"), "{off:?}");
    }

    #[test]
    fn every_gate_is_listed_once() {
        let mut names: Vec<_> = known().map(|(name, ..)| name).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
