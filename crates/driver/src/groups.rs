//! Cuts, deletes and describes groups of snapshots by the rules of CSI.
//!
//! A group is there when its record is, which is written after its members and removed before them.
//! Everything that changes something runs under the locks of what it touches. It does not know how
//! snapshots of one moment are made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tintype_csi::v1;

use crate::backend::Cut;
use crate::check;
use crate::driver::Inner;
use crate::locks::{Hold, Key};
use crate::record::{Group, Shape, Snapshot, Stamp, Timed as _, Volume, id_of};
use crate::refusal::{Kind, Refusal};

/// A checked request for a group.
#[derive(Debug)]
pub(crate) struct Wanted {
    id: String,
    name: String,
    /// Each once.
    sources: BTreeSet<String>,
    parameters: BTreeMap<String, String>,
}

/// A group with its members.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) group: Arc<Group>,
    pub(crate) members: Vec<Arc<Snapshot>>,
}

impl Wanted {
    pub(crate) fn read(
        request: v1::CreateVolumeGroupSnapshotRequest,
        inner: &Inner,
    ) -> Result<Self, Refusal> {
        let v1::CreateVolumeGroupSnapshotRequest {
            name,
            source_volume_ids,
            secrets: _,
            parameters,
        } = request;
        let name = check::name("name", name)?;
        let sources = check::names("source_volume_ids", source_volume_ids)?;
        let parameters = check::parameters(parameters, inner.backend.is_lenient())?;
        Ok(Self {
            id: id_of(&name),
            name,
            sources,
            parameters,
        })
    }

    pub(crate) fn keys(&self) -> Vec<(Key, Hold)> {
        let mut keys = vec![(Key::Object(Kind::Group, self.id.clone()), Hold::Change)];
        for source in &self.sources {
            keys.push((Key::Object(Kind::Volume, source.clone()), Hold::Read));
            let member = member_id(&self.name, source);
            keys.push((Key::Object(Kind::Snapshot, member), Hold::Change));
        }
        keys
    }
}

/// The id of a member: the same at every try, and that of no snapshot cut alone, unless somebody
/// gave it this very name.
fn member_id(group: &str, source: &str) -> String {
    id_of(&format!("{group}/{source}"))
}

impl Inner {
    pub(crate) fn create_group(&self, wanted: &Wanted) -> Result<Whole, Refusal> {
        let backend = self.backend.as_ref();
        if let Some(existing) = self.catalog.group(&wanted.id, backend)? {
            return same(self.whole(existing)?, wanted);
        }
        if !backend.cuts_at_once() && !self.config.allow_non_atomic_groups {
            return Err(Refusal::Precondition(format!(
                "--backend {} copies one volume after the other, so the snapshots of a group would \
                 not be of one moment; use --backend image, or accept that with \
                 --allow-non-atomic-groups",
                backend.name()
            )));
        }
        let cut = self.cut_members(wanted)?;
        let group = Group {
            id: wanted.id.clone(),
            name: wanted.name.clone(),
            members: cut.iter().map(|it| it.id.clone()).collect(),
            parameters: wanted.parameters.clone(),
            created: cut.first().map_or_else(Stamp::now, |it| it.created),
        };
        if let Err(refusal) = backend.put_group(&group) {
            for member in &group.members {
                backend.delete_snapshot(member)?;
            }
            return Err(refusal);
        }
        let members = cut.into_iter().map(|it| self.catalog.put_snapshot(it));
        let members: Vec<_> = members.collect();
        tracing::info!(id = group.id, members = members.len(), "cut a group");
        let group = self.catalog.put_group(group);
        Ok(Whole { group, members })
    }

    fn cut_members(&self, wanted: &Wanted) -> Result<Vec<Snapshot>, Refusal> {
        let backend = self.backend.as_ref();
        let mut planned: Vec<(Option<Arc<Volume>>, Snapshot)> = Vec::new();
        for source in &wanted.sources {
            let volume = match self.catalog.volume(source, backend)? {
                None if !backend.is_lenient() => {
                    return Err(Refusal::missing(Kind::Volume, source));
                }
                volume => volume,
            };
            let id = member_id(&wanted.name, source);
            if self.catalog.has_snapshot(&id) {
                return Err(Refusal::Taken {
                    kind: Kind::Snapshot,
                    name: id,
                    difference: format!("group {:?} would have a member of this id", wanted.name),
                });
            }
            let folder = Shape::Folder {
                fs_type: String::new(),
            };
            let snapshot = Snapshot {
                id,
                name: format!("{}/{source}", wanted.name),
                source_volume_id: source.clone(),
                size_bytes: volume.as_ref().map_or(0, |volume| volume.size_bytes),
                shape: volume
                    .as_ref()
                    .map_or(folder, |volume| volume.shape.clone()),
                parameters: wanted.parameters.clone(),
                created: Stamp::default(),
                group: Some(wanted.id.clone()),
            };
            planned.push((volume, snapshot));
        }
        let cuts: Vec<Cut<'_>> = planned
            .iter()
            .map(|(volume, snapshot)| Cut {
                source: volume.as_deref(),
                snapshot,
            })
            .collect();
        let moment = backend.cut(&cuts, &self.stop)?;
        Ok(planned.iter().map(|(_, it)| it.at(moment)).collect())
    }

    /// Deletes a group and its members; `named` are those that the caller knows.
    pub(crate) fn delete_group(&self, id: &str, named: &BTreeSet<String>) -> Result<(), Refusal> {
        let backend = self.backend.as_ref();
        if let Ok(Some(group)) = self.catalog.group(id, backend) {
            refuse_others(&group, named)?;
        }
        if self.catalog.has_group(id) {
            backend.delete_group(id)?;
            self.catalog.drop_group(id);
            tracing::info!(id, "deleted a group");
        }
        // Also what an earlier try left.
        for member in named {
            let found = self.catalog.snapshot(member, backend);
            if found.is_ok_and(|it| it.is_some_and(|it| it.group.as_deref() == Some(id))) {
                self.remove_snapshot(member)?;
            }
        }
        Ok(())
    }

    pub(crate) fn describe_group(
        &self,
        id: &str,
        named: &BTreeSet<String>,
    ) -> Result<Whole, Refusal> {
        let found = self.catalog.group(id, self.backend.as_ref())?;
        let group = found.ok_or_else(|| Refusal::missing(Kind::Group, id))?;
        refuse_others(&group, named)?;
        self.whole(group)
    }

    fn whole(&self, group: Arc<Group>) -> Result<Whole, Refusal> {
        let mut members = Vec::with_capacity(group.members.len());
        for id in &group.members {
            let found = self.catalog.snapshot(id, self.backend.as_ref())?;
            members.push(found.ok_or_else(|| {
                Refusal::Lost(format!(
                    "snapshot {id:?} of group {:?} is missing; put its folder back from a backup, \
                     or delete the group",
                    group.id
                ))
            })?);
        }
        Ok(Whole { group, members })
    }
}

/// A group of this name exists: is it the one that is asked for?
fn same(existing: Whole, wanted: &Wanted) -> Result<Whole, Refusal> {
    let sources: BTreeSet<&str> = existing
        .members
        .iter()
        .map(|member| member.source_volume_id.as_str())
        .collect();
    let difference = if !wanted
        .sources
        .iter()
        .map(String::as_str)
        .eq(sources.iter().copied())
    {
        format!("it was cut from {sources:?}, not {:?}", wanted.sources)
    } else if existing.group.parameters != wanted.parameters {
        "its parameters are others".to_owned()
    } else {
        return Ok(existing);
    };
    Err(Refusal::Taken {
        kind: Kind::Group,
        name: wanted.name.clone(),
        difference,
    })
}

/// CSI: a mismatch of `snapshot_ids` is an error where it can be detected.
fn refuse_others(group: &Group, named: &BTreeSet<String>) -> Result<(), Refusal> {
    let members: BTreeSet<&str> = group.members.iter().map(String::as_str).collect();
    if named.iter().map(String::as_str).eq(members.iter().copied()) {
        return Ok(());
    }
    let problem = format!("are {named:?}, but group {:?} has {members:?}", group.id);
    Err(Refusal::invalid("snapshot_ids", problem))
}
