//! Says why a group snapshot does not go on, and what helps: one text per cause.
//!
//! As with single snapshots, the text in `status.error` is also how a later pass knows what was
//! said already. Whatever concerns claims names each of them.

use tintype_api::Reason;

use super::facts::{ClaimsFact, Picked, Sighting};
use super::member;
use super::render;
use crate::object::{Group, GroupSource, Key};

/// Something a person, or another controller, has to put right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Complaint {
    /// Neither or both sources, or an empty name.
    SourceUnclear,
    /// The selector cannot be read.
    SelectorUnclear,
    /// The class it names does not exist.
    ClassMissing,
    /// It names no class and its driver has no default.
    NoDefaultClass,
    /// It names no class and its driver has several defaults.
    SeveralDefaultClasses,
    /// Its class is for another driver than its volumes'.
    ClassOfOtherDriver,
    /// The class's secret templates cannot be resolved.
    SecretUnclear,
    /// The selector picks no claim.
    NoClaims,
    /// Some claims have no volume yet.
    ClaimsNotBound,
    /// Some claims are being deleted.
    ClaimsDeleting,
    /// Volumes of some claims do not exist.
    VolumesMissing,
    /// Volumes of some claims belong to other claims.
    VolumesOfAnother,
    /// Volumes of some claims are not CSI volumes.
    VolumesNotCsi,
    /// The volumes are of several drivers.
    SeveralDrivers,
    /// The claims are of several storage classes.
    SeveralClasses,
    /// There is no node from which all the volumes can be reached.
    NodeMissing,
    /// The API server refused the group content.
    CreationRefused,
    /// The group content it was bound to, or names, does not exist.
    ContentMissing,
    /// The group content belongs to another group snapshot.
    ContentOfAnother,
    /// The group content is of the other kind (dynamic or pre-provisioned).
    ContentMismatch,
    /// The driver's list of members is not one for each volume.
    MembersWrong,
    /// The name of a member is taken.
    MemberTaken,
    /// A claim is being filled from a member, so it cannot go yet.
    BeingRestored,
}

impl Complaint {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        [
            Self::SourceUnclear,
            Self::SelectorUnclear,
            Self::ClassMissing,
            Self::NoDefaultClass,
            Self::SeveralDefaultClasses,
            Self::ClassOfOtherDriver,
            Self::SecretUnclear,
            Self::NoClaims,
            Self::ClaimsNotBound,
            Self::ClaimsDeleting,
            Self::VolumesMissing,
            Self::VolumesOfAnother,
            Self::VolumesNotCsi,
            Self::SeveralDrivers,
            Self::SeveralClasses,
            Self::NodeMissing,
            Self::CreationRefused,
            Self::ContentMissing,
            Self::ContentOfAnother,
            Self::ContentMismatch,
            Self::MembersWrong,
            Self::MemberTaken,
            Self::BeingRestored,
        ]
        .into_iter()
    }

    /// The event's reason: upstream's word for the place where it stops.
    pub fn reason(self, seen: &Sighting) -> Reason {
        let class_named = seen.group.present().is_some_and(|it| it.class.is_some());
        match self {
            Self::SourceUnclear | Self::SelectorUnclear => Reason::GroupSnapshotValidationError,
            Self::ClassMissing => Reason::GetGroupSnapshotClassFailed,
            Self::NoDefaultClass | Self::SeveralDefaultClasses => {
                Reason::SetDefaultGroupSnapshotClassFailed
            }
            Self::NoClaims
            | Self::ClaimsNotBound
            | Self::VolumesMissing
            | Self::VolumesOfAnother
            | Self::VolumesNotCsi
            | Self::SeveralDrivers
            | Self::SeveralClasses
                if !class_named =>
            {
                Reason::SetDefaultGroupSnapshotClassFailed
            }
            Self::SecretUnclear
            | Self::NoClaims
            | Self::ClaimsNotBound
            | Self::ClaimsDeleting
            | Self::VolumesMissing
            | Self::VolumesOfAnother
            | Self::NodeMissing
            | Self::MemberTaken => Reason::GroupSnapshotContentCreationFailed,
            Self::ClassOfOtherDriver
            | Self::VolumesNotCsi
            | Self::SeveralDrivers
            | Self::SeveralClasses
            | Self::CreationRefused => Reason::CreateGroupSnapshotContentFailed,
            Self::ContentMissing => Reason::GroupSnapshotContentMissing,
            Self::ContentOfAnother => {
                if seen.group.present().is_some_and(|it| it.bound.is_some()) {
                    Reason::GroupSnapshotMisbound
                } else {
                    Reason::GroupSnapshotContentMisbound
                }
            }
            Self::ContentMismatch | Self::MembersWrong => Reason::GroupSnapshotContentMismatch,
            Self::BeingRestored => Reason::SnapshotDeletePending,
        }
    }

    /// What is missing may just not have come yet, as for a single snapshot: it is said only after a
    /// short grace.
    pub const fn may_pass(self) -> bool {
        match self {
            Self::ClassMissing
            | Self::NoDefaultClass
            | Self::NoClaims
            | Self::ClaimsNotBound
            | Self::VolumesMissing
            | Self::NodeMissing
            | Self::ContentMissing => true,
            Self::SourceUnclear
            | Self::SelectorUnclear
            | Self::SeveralDefaultClasses
            | Self::ClassOfOtherDriver
            | Self::SecretUnclear
            | Self::ClaimsDeleting
            | Self::VolumesOfAnother
            | Self::VolumesNotCsi
            | Self::SeveralDrivers
            | Self::SeveralClasses
            | Self::CreationRefused
            | Self::ContentOfAnother
            | Self::ContentMismatch
            | Self::MembersWrong
            | Self::MemberTaken
            | Self::BeingRestored => false,
        }
    }

    /// The group snapshot stops being ready with it.
    pub const fn unreadies(self) -> bool {
        match self {
            Self::SourceUnclear
            | Self::SelectorUnclear
            | Self::ClassOfOtherDriver
            | Self::SecretUnclear
            | Self::NoClaims
            | Self::ClaimsNotBound
            | Self::ClaimsDeleting
            | Self::VolumesMissing
            | Self::VolumesOfAnother
            | Self::VolumesNotCsi
            | Self::SeveralDrivers
            | Self::SeveralClasses
            | Self::NodeMissing
            | Self::CreationRefused
            | Self::ContentMissing
            | Self::ContentOfAnother
            | Self::ContentMismatch
            | Self::MembersWrong
            | Self::MemberTaken => true,
            Self::ClassMissing
            | Self::NoDefaultClass
            | Self::SeveralDefaultClasses
            | Self::BeingRestored => false,
        }
    }

    /// Cause and cure.
    pub fn text(self, seen: &Sighting) -> String {
        let group = seen.group.present().map(AsRef::as_ref);
        let class = group.and_then(|it| it.class.as_deref()).unwrap_or_default();
        let driver = seen.driver().unwrap_or_default();
        let content = group.and_then(Group::content_name).unwrap_or_default();
        match self {
            Self::SourceUnclear => source_text(group.map(|it| &it.source)),
            Self::SelectorUnclear => {
                let why = match group.map(|it| &it.source) {
                    Some(GroupSource::BadSelector(why)) => why.as_ref(),
                    Some(_) | None => "",
                };
                format!(
                    "spec.source.selector cannot be read: {why}; nothing is cut, create the group snapshot anew"
                )
            }
            Self::ClassMissing => format!(
                "VolumeGroupSnapshotClass \"{class}\" does not exist; create it, or name another in spec.volumeGroupSnapshotClassName"
            ),
            // The words before the first semicolon are what upstream's own tests look for.
            Self::NoDefaultClass => format!(
                "cannot find default group snapshot class: no class is named and driver {driver} has no default VolumeGroupSnapshotClass; name one in spec.volumeGroupSnapshotClassName, or annotate one with groupsnapshot.storage.kubernetes.io/is-default-class=true"
            ),
            Self::SeveralDefaultClasses => format!(
                "several default snapshot classes were found: no class is named and driver {driver} has more than one default VolumeGroupSnapshotClass; name one in spec.volumeGroupSnapshotClassName, or leave only one annotated as default"
            ),
            Self::ClassOfOtherDriver => format!(
                "VolumeGroupSnapshotClass \"{}\" is for driver {}, but the volumes of claims {} are of driver {driver}; name a class of that driver",
                seen.chosen_class().map_or(class, |it| &it.meta.key.name),
                seen.chosen_class().map_or("", |it| &it.driver),
                names(seen.picked().iter()),
            ),
            Self::SecretUnclear => {
                let why = seen
                    .chosen_class()
                    .zip(group)
                    .and_then(|(class, it)| render::deletion_secret(class, it).err());
                format!(
                    "the secret named by the parameters of VolumeGroupSnapshotClass \"{class}\" cannot be told: {}",
                    why.unwrap_or_default()
                )
            }
            Self::NoClaims => text_of_claims(ClaimsFact::None, seen),
            Self::ClaimsNotBound => text_of_claims(ClaimsFact::NotBound, seen),
            Self::ClaimsDeleting => text_of_claims(ClaimsFact::Deleting, seen),
            Self::VolumesMissing => text_of_claims(ClaimsFact::VolumeMissing, seen),
            Self::VolumesOfAnother => text_of_claims(ClaimsFact::VolumeOfAnother, seen),
            Self::VolumesNotCsi => text_of_claims(ClaimsFact::VolumeNotCsi, seen),
            Self::SeveralDrivers => text_of_claims(ClaimsFact::SeveralDrivers, seen),
            Self::SeveralClasses => text_of_claims(ClaimsFact::SeveralClasses, seen),
            Self::NodeMissing => format!(
                "no node satisfies spec.nodeAffinity of the PersistentVolumes of all claims {}; one group snapshot is cut on one node: narrow spec.source.selector, one group snapshot for each node",
                names(seen.picked().iter()),
            ),
            Self::CreationRefused => format!(
                "the API server refused VolumeGroupSnapshotContent \"{content}\"; it is tried again, and the controller's log has the answer"
            ),
            Self::ContentMissing if group.is_some_and(|it| it.bound.is_none()) => format!(
                "VolumeGroupSnapshotContent \"{content}\" does not exist; the group snapshot is bound to it as soon as it does"
            ),
            Self::ContentMissing => format!(
                "VolumeGroupSnapshotContent \"{content}\" does not exist; nothing is cut again under this name: delete this group snapshot and take a new one, or create the group content anew from its handles"
            ),
            Self::ContentOfAnother => format!(
                "VolumeGroupSnapshotContent \"{content}\" belongs to another group snapshot; see its spec.volumeGroupSnapshotRef"
            ),
            Self::ContentMismatch => format!(
                "VolumeGroupSnapshotContent \"{content}\" has the wrong kind of source: a group snapshot of claims needs spec.source.volumeHandles, one of an existing group content needs spec.source.groupSnapshotHandles"
            ),
            Self::MembersWrong => format!(
                "the list of snapshots in VolumeGroupSnapshotContent \"{content}\" does not fit its volumes: {}; no snapshot is made from it, see the driver's log",
                seen.disagreement().unwrap_or_default()
            ),
            Self::MemberTaken => format!(
                "{} belongs to somebody else and has the name of a member; delete it, so that the member can be made",
                taken(seen).unwrap_or_default()
            ),
            Self::BeingRestored => format!(
                "a PersistentVolumeClaim is being filled from snapshot {}; the group is deleted as soon as that claim is bound or deleted",
                seen.restored
                    .as_ref()
                    .map(Key::to_string)
                    .unwrap_or_default()
            ),
        }
    }
}

/// Names every claim that is in the way.
fn text_of_claims(fact: ClaimsFact, seen: &Sighting) -> String {
    let claims = names(seen.picked().iter().filter(|it| it.fact() == fact));
    match fact {
        ClaimsFact::NotBound => format!(
            "PersistentVolumeClaims {claims} have no volume yet; the group snapshot is taken as soon as all its claims are bound"
        ),
        ClaimsFact::Deleting => format!(
            "PersistentVolumeClaims {claims} are being deleted; take the group snapshot before deleting its claims, or narrow the selector"
        ),
        ClaimsFact::VolumeMissing => format!(
            "the PersistentVolumes of claims {claims} do not exist; nothing is left to take a snapshot of"
        ),
        ClaimsFact::VolumeOfAnother => format!(
            "the PersistentVolumes named by claims {claims} belong to other claims; see their spec.claimRef"
        ),
        ClaimsFact::VolumeNotCsi => format!(
            "the PersistentVolumes of claims {claims} are not CSI volumes; only volumes of CSI drivers can be snapshotted"
        ),
        ClaimsFact::SeveralDrivers => format!(
            "one group snapshot is cut by one driver, but the selector picks claims of several: {}; narrow spec.source.selector, one group snapshot for each driver",
            listed(seen.picked().iter().map(|it| {
                let driver = it.driver().unwrap_or("no CSI driver");
                format!("{} ({driver})", it.claim.meta.key.name)
            }))
        ),
        ClaimsFact::SeveralClasses => format!(
            "one group snapshot is cut from volumes of one StorageClass, but the selector picks claims of several: {}; narrow spec.source.selector, one group snapshot for each class",
            listed(seen.picked().iter().map(|it| {
                let class = match it.class() {
                    "" => "no class",
                    class => class,
                };
                format!("{} ({class})", it.claim.meta.key.name)
            }))
        ),
        ClaimsFact::None | ClaimsFact::Unknown | ClaimsFact::Bound => {
            let selector = match seen.group.present().map(|it| &it.source) {
                Some(GroupSource::Selector(selector)) => selector.to_string(),
                Some(_) | None => String::new(),
            };
            format!(
                "no PersistentVolumeClaim in this namespace fits selector \"{selector}\"; label the claims, and the group snapshot is taken"
            )
        }
    }
}

/// More names than a person reads.
const MANY: usize = 10;

fn names<'a>(picked: impl Iterator<Item = &'a Picked>) -> String {
    listed(picked.map(|it| it.claim.meta.key.name.to_string()))
}

fn listed(all: impl Iterator<Item = String>) -> String {
    let all: Vec<_> = all.collect();
    if all.len() <= MANY {
        return all.join(", ");
    }
    format!("{} and {} more", all[..MANY].join(", "), all.len() - MANY)
}

/// The object that has the name of a member and is not it.
fn taken(seen: &Sighting) -> Option<String> {
    let (member, facts) = seen.open_member()?;
    if member::stand(&facts) != member::Stand::Taken {
        return None;
    }
    let snapshot = facts.snapshot.present() == Some(&member::SnapshotSight::OfAnother);
    Some(if snapshot {
        format!("VolumeSnapshot {}", member.keys.snapshot)
    } else {
        format!("VolumeSnapshotContent {}", member.keys.content)
    })
}

fn source_text(source: Option<&GroupSource>) -> String {
    let found = match source {
        Some(GroupSource::Both) => "both are set",
        Some(GroupSource::Content(_)) => "volumeGroupSnapshotContentName is empty",
        Some(GroupSource::Neither | GroupSource::Selector(_) | GroupSource::BadSelector(_))
        | None => "neither is set",
    };
    format!(
        "spec.source must name exactly one of selector and volumeGroupSnapshotContentName: {found}; create the group snapshot anew"
    )
}
