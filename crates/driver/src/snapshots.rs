//! Cuts, deletes and lists snapshots by the rules of CSI.
//!
//! Everything that changes something runs under the locks of what it touches. It does not know how
//! bytes are kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use tintype_csi::v1;

use crate::backend::Cut;
use crate::check;
use crate::driver::Inner;
use crate::locks::{Hold, Key};
use crate::record::{Shape, Snapshot, Stamp, Timed as _, id_of};
use crate::refusal::{Kind, Refusal};

/// A checked request for a snapshot.
#[derive(Debug)]
pub(crate) struct Wanted {
    id: String,
    name: String,
    source: String,
    parameters: BTreeMap<String, String>,
}

impl Wanted {
    pub(crate) fn read(request: v1::CreateSnapshotRequest, inner: &Inner) -> Result<Self, Refusal> {
        let v1::CreateSnapshotRequest {
            source_volume_id,
            name,
            secrets: _,
            parameters,
        } = request;
        let name = check::name("name", name)?;
        let source = check::name("source_volume_id", source_volume_id)?;
        let parameters = check::parameters(parameters, inner.backend.is_lenient())?;
        Ok(Self {
            id: id_of(&name),
            name,
            source,
            parameters,
        })
    }

    pub(crate) fn keys(&self) -> [(Key, Hold); 2] {
        [
            (Key::Object(Kind::Snapshot, self.id.clone()), Hold::Change),
            (Key::Object(Kind::Volume, self.source.clone()), Hold::Read),
        ]
    }
}

impl Inner {
    pub(crate) fn create_snapshot(&self, wanted: Wanted) -> Result<Arc<Snapshot>, Refusal> {
        let Wanted {
            id,
            name,
            source: source_volume_id,
            parameters,
        } = wanted;
        let backend = self.backend.as_ref();
        if let Some(existing) = self.catalog.snapshot(&id, backend)? {
            let cut_from = &existing.source_volume_id;
            let difference = if let Some(group) = &existing.group {
                format!("it is a member of group {group:?}")
            } else if *cut_from != source_volume_id {
                format!("it was cut from {cut_from:?}, not {source_volume_id:?}")
            } else {
                return Ok(existing);
            };
            return Err(Refusal::Taken {
                kind: Kind::Snapshot,
                name,
                difference,
            });
        }
        let source = match self.catalog.volume(&source_volume_id, backend)? {
            Some(volume) => Some(volume),
            None if backend.is_lenient() => None,
            None => return Err(Refusal::missing(Kind::Volume, &source_volume_id)),
        };
        let snapshot = Snapshot {
            id,
            name,
            source_volume_id,
            size_bytes: source.as_ref().map_or(0, |volume| volume.size_bytes),
            shape: source.as_ref().map_or(
                Shape::Folder {
                    fs_type: String::new(),
                },
                |volume| volume.shape.clone(),
            ),
            parameters,
            created: Stamp::default(),
            group: None,
        };
        let moment = backend.cut(
            &[Cut {
                source: source.as_deref(),
                snapshot: &snapshot,
            }],
            &self.stop,
        )?;
        let Snapshot {
            id,
            source_volume_id,
            ..
        } = &snapshot;
        tracing::info!(id, source_volume_id, "cut a snapshot");
        Ok(self.catalog.put_snapshot(snapshot.at(moment)))
    }

    pub(crate) fn delete_snapshot(&self, id: &str) -> Result<(), Refusal> {
        if !self.catalog.has_snapshot(id) {
            return Ok(());
        }
        if let Ok(Some(snapshot)) = self.catalog.snapshot(id, self.backend.as_ref())
            && let Some(group) = &snapshot.group
        {
            // CSI, DeleteSnapshot: a member cannot be deleted stand alone.
            let problem = format!("{id:?} is part of group {group:?}; delete the group");
            return Err(Refusal::invalid("snapshot_id", problem));
        }
        self.remove_snapshot(id)
    }

    /// Deletes a snapshot whoever it belongs to.
    pub(crate) fn remove_snapshot(&self, id: &str) -> Result<(), Refusal> {
        self.backend.delete_snapshot(id)?;
        self.catalog.drop_snapshot(id);
        tracing::info!(id, "deleted a snapshot");
        Ok(())
    }
}

/// Where a page starts and how long it may be.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) after: String,
    pub(crate) limit: usize,
}

/// Begins every token that this driver gives out.
const TOKEN: &str = "after:";

/// The longest page; the reply stays below gRPC's limit of 4 MiB.
const LONGEST_PAGE: usize = 5000;

impl Page {
    pub(crate) fn read(max_entries: i32, token: &str) -> Result<Self, Refusal> {
        let limit = match usize::try_from(max_entries) {
            Ok(0) => LONGEST_PAGE,
            Ok(limit) => limit.min(LONGEST_PAGE),
            Err(_) => {
                let problem = format!("is negative: {max_entries}");
                return Err(Refusal::invalid("max_entries", problem));
            }
        };
        let after = match token.strip_prefix(TOKEN) {
            Some(after) if !after.is_empty() => after.to_owned(),
            _ if token.is_empty() => String::new(),
            _ => return Err(Refusal::Token(token.to_owned())),
        };
        Ok(Self { after, limit })
    }

    /// The token of the page after one that ends with this id.
    pub(crate) fn token(last: &str) -> String {
        format!("{TOKEN}{last}")
    }
}
