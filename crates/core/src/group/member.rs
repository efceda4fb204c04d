//! Decides what one member of a group snapshot still lacks: its snapshot, its content, and what
//! the driver said of it.
//!
//! Knows nothing of the other members and nothing of the group but that it stands. The snapshot is
//! made first, so that the content is bound from its first moment; upstream makes them the other
//! way round, and what it left half made is finished here.

use std::sync::Arc;

use tintype_api::names;

use crate::Seen;
use crate::object::{Content, Group, Key, MemberInfo, Snapshot, Volume};

/// Where a member's objects are: the same hash in both names (spec group 4.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// Its `VolumeSnapshot`.
    pub snapshot: Key,
    /// Its `VolumeSnapshotContent`.
    pub content: Key,
}

impl Keys {
    /// Of the member of `group` that is cut from the volume with this CSI id.
    pub fn of(group: &Group, volume_handle: &str) -> Self {
        let uid = group.meta.uid.to_string();
        let namespace = group.meta.key.namespace.clone();
        let snapshot = names::member_snapshot_name(&uid, volume_handle);
        Self {
            snapshot: Key::namespaced(namespace, snapshot),
            content: Key::cluster(names::member_content_name(&uid, volume_handle)),
        }
    }
}

/// What is known of one member.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// The CSI id of its volume.
    pub volume_handle: Box<str>,
    /// Where its objects are.
    pub keys: Keys,
    /// What the group content says of it.
    pub info: Option<MemberInfo>,
    /// The volume, if exactly one has this id.
    pub volume: Option<Arc<Volume>>,
    /// The snapshot of the member's name.
    pub snapshot: Seen<Arc<Snapshot>>,
    /// The content of the member's name.
    pub content: Seen<Arc<Content>>,
}

/// One write for a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Create its `VolumeSnapshot`.
    MakeSnapshot,
    /// Create its `VolumeSnapshotContent`, bound to the snapshot.
    MakeContent,
    /// Tell a content which snapshot it now belongs to.
    BindContent,
    /// Copy what the group content says of it into the content's status.
    Record,
}

/// How a snapshot of the member's name looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SnapshotSight {
    /// The group owns it.
    Ours,
    /// Somebody else made it.
    OfAnother,
}

/// How a content of the member's name looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentSight {
    /// It points at the member's snapshot.
    Ours,
    /// It points at the name, and at no snapshot or one that is gone.
    Unclaimed,
    /// It points at one that is gone, and is going too.
    Going,
    /// It points elsewhere.
    OfAnother,
}

/// Everything that matters of one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Facts {
    /// The group content says which snapshot on storage it is.
    pub told: bool,
    /// Its snapshot.
    pub snapshot: Seen<SnapshotSight>,
    /// Its content.
    pub content: Seen<ContentSight>,
    /// The content says which snapshot on storage it is.
    pub known: bool,
    /// The content says all that the group content says of it.
    pub recorded: bool,
}

/// Where a member stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stand {
    /// Nothing is owed.
    Settled,
    /// This is to be done.
    Owes(Step),
    /// A cache is not filled yet.
    ForCaches,
    /// The group content does not speak of it yet.
    ForDriver,
    /// A content that is going is in the way.
    ForRemoval,
    /// Its snapshot or its content is somebody else's.
    Taken,
}

/// Returns where the member stands. Upstream: createMembers.
pub fn stand(facts: &Facts) -> Stand {
    match (facts.snapshot, facts.content) {
        (Seen::Unknown, _) | (_, Seen::Unknown) => Stand::ForCaches,
        (Seen::Present(SnapshotSight::OfAnother), _)
        | (_, Seen::Present(ContentSight::OfAnother)) => Stand::Taken,
        (Seen::Present(SnapshotSight::Ours), Seen::Present(ContentSight::Ours)) => {
            match (facts.told, facts.recorded, facts.known) {
                (true, true, _) | (false, _, true) => Stand::Settled,
                (true, false, _) => Stand::Owes(Step::Record),
                (false, _, false) => Stand::ForDriver,
            }
        }
        (_, _) if !facts.told => Stand::ForDriver,
        (_, Seen::Present(ContentSight::Going)) => Stand::ForRemoval,
        (Seen::NotCached | Seen::Absent, _) => Stand::Owes(Step::MakeSnapshot),
        (Seen::Present(SnapshotSight::Ours), Seen::Present(ContentSight::Unclaimed)) => {
            Stand::Owes(Step::BindContent)
        }
        (Seen::Present(SnapshotSight::Ours), Seen::NotCached | Seen::Absent) => {
            Stand::Owes(Step::MakeContent)
        }
    }
}

impl Sighting {
    /// The facts of what was seen.
    pub fn facts(&self, group: &Group) -> Facts {
        let content = self.content.present();
        let info = self.info.as_ref().filter(|it| !it.handle.is_empty());
        Facts {
            told: info.is_some(),
            snapshot: self.snapshot.as_ref().map(|it| snapshot_sight(it, group)),
            content: self.content.as_ref().map(|it| self.content_sight(it)),
            known: content.is_some_and(|it| it.handle().is_some()),
            recorded: content
                .zip(info)
                .is_some_and(|(content, info)| says(content, info)),
        }
    }

    fn content_sight(&self, content: &Content) -> ContentSight {
        let uid = self.snapshot.present().map(|it| &it.meta.uid);
        if content.snapshot.key != self.keys.snapshot {
            ContentSight::OfAnother
        } else if uid.is_some_and(|uid| content.snapshot.uid == *uid) {
            ContentSight::Ours
        } else if content.meta.deleting {
            ContentSight::Going
        } else {
            ContentSight::Unclaimed
        }
    }
}

fn snapshot_sight(snapshot: &Snapshot, group: &Group) -> SnapshotSight {
    match snapshot.owner() {
        Some(owner) if owner.uid == group.meta.uid => SnapshotSight::Ours,
        Some(_) | None => SnapshotSight::OfAnother,
    }
}

/// The content's status says all that the group content does. Readiness is never taken back (D23),
/// and the sidecar may know of it first.
fn says(content: &Content, info: &MemberInfo) -> bool {
    let Some(status) = &content.status else {
        return false;
    };
    status.handle.is_some()
        && status.group_handle.is_some()
        && (status.creation_time.is_some() || info.creation_time.is_none())
        && (status.restore_size.is_some() || info.restore_size.is_none())
        && (status.ready == Some(true)
            || status.ready == info.ready
            || (info.ready.is_none() && status.ready.is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Facts = Facts {
        told: true,
        snapshot: Seen::NotCached,
        content: Seen::NotCached,
        known: false,
        recorded: false,
    };
    const MADE: Facts = Facts {
        snapshot: Seen::Present(SnapshotSight::Ours),
        ..NONE
    };
    const BOUND: Facts = Facts {
        content: Seen::Present(ContentSight::Ours),
        ..MADE
    };

    const fn with(content: ContentSight, facts: Facts) -> Facts {
        Facts {
            content: Seen::Present(content),
            ..facts
        }
    }

    const fn untold(facts: Facts) -> Facts {
        Facts {
            told: false,
            ..facts
        }
    }

    #[test]
    fn a_member_is_made_snapshot_first_and_then_recorded() {
        for (facts, expected) in [
            (NONE, Step::MakeSnapshot),
            (MADE, Step::MakeContent),
            (BOUND, Step::Record),
            // Upstream makes the content first, and may have stopped there.
            (with(ContentSight::Unclaimed, NONE), Step::MakeSnapshot),
            (with(ContentSight::Unclaimed, MADE), Step::BindContent),
        ] {
            assert_eq!(stand(&facts), Stand::Owes(expected), "{facts:?}");
        }
        let recorded = Facts {
            recorded: true,
            known: true,
            ..BOUND
        };
        assert_eq!(stand(&recorded), Stand::Settled);
    }

    #[test]
    fn a_member_that_cannot_be_made_says_why() {
        let foreign = Facts {
            snapshot: Seen::Present(SnapshotSight::OfAnother),
            ..NONE
        };
        let uncached = Facts {
            snapshot: Seen::Unknown,
            ..NONE
        };
        for (facts, expected) in [
            (with(ContentSight::Going, MADE), Stand::ForRemoval),
            (foreign, Stand::Taken),
            (with(ContentSight::OfAnother, MADE), Stand::Taken),
            (uncached, Stand::ForCaches),
            (untold(NONE), Stand::ForDriver),
            (untold(MADE), Stand::ForDriver),
            (untold(BOUND), Stand::ForDriver),
        ] {
            assert_eq!(stand(&facts), expected, "{facts:?}");
        }
    }

    #[test]
    fn d3_a_list_that_was_lost_does_not_unmake_what_was_made_from_it() {
        let known = Facts {
            known: true,
            ..untold(BOUND)
        };
        assert_eq!(stand(&known), Stand::Settled);
    }
}
