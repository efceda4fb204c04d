//! Makes, grows and deletes volumes by the rules of CSI.
//!
//! Everything here runs under the locks of what it touches. It does not know gRPC's transport or
//! how bytes are kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use tintype_csi::v1;

use crate::backend::{Growth, Origin};
use crate::check::{self, Range};
use crate::driver::Inner;
use crate::locks::{Hold, Key};
use crate::record::{Shape, Source, Stamp, Volume, id_of};
use crate::refusal::{Kind, Refusal};

/// A checked request for a volume.
#[derive(Debug)]
pub(crate) struct Wanted {
    id: String,
    name: String,
    range: Range,
    shape: Shape,
    source: Option<Source>,
    parameters: BTreeMap<String, String>,
}

impl Wanted {
    pub(crate) fn read(request: v1::CreateVolumeRequest, inner: &Inner) -> Result<Self, Refusal> {
        let v1::CreateVolumeRequest {
            name,
            capacity_range,
            volume_capabilities,
            parameters,
            secrets: _,
            volume_content_source,
            accessibility_requirements,
            mutable_parameters,
        } = request;
        let name = check::name("name", name)?;
        let range = Range::read(capacity_range)?;
        let shape = check::capabilities("volume_capabilities", &volume_capabilities)?;
        let source = volume_content_source.map(read_source).transpose()?;
        let lenient = inner.backend.is_lenient();
        let parameters = check::parameters(parameters, lenient)?;
        if !mutable_parameters.is_empty() && !lenient {
            let problem = "are not supported by this driver";
            return Err(Refusal::invalid("mutable_parameters", problem));
        }
        inner.check_place(accessibility_requirements.as_ref())?;
        Ok(Self {
            id: id_of(&name),
            name,
            range,
            shape,
            source,
            parameters,
        })
    }

    pub(crate) fn keys(&self) -> Vec<(Key, Hold)> {
        let source = self.source.as_ref().map(|source| match source {
            Source::Snapshot(id) => (Kind::Snapshot, id.clone()),
            Source::Volume(id) => (Kind::Volume, id.clone()),
        });
        let mut keys = vec![(Key::Object(Kind::Volume, self.id.clone()), Hold::Change)];
        keys.extend(source.map(|(kind, id)| (Key::Object(kind, id), Hold::Read)));
        keys
    }
}

fn read_source(source: v1::VolumeContentSource) -> Result<Source, Refusal> {
    use v1::volume_content_source::Type;
    match source.r#type {
        Some(Type::Snapshot(snapshot)) => {
            let field = "volume_content_source.snapshot.snapshot_id";
            check::name(field, snapshot.snapshot_id).map(Source::Snapshot)
        }
        Some(Type::Volume(volume)) => {
            let field = "volume_content_source.volume.volume_id";
            check::name(field, volume.volume_id).map(Source::Volume)
        }
        None => Err(Refusal::invalid("volume_content_source", "names no source")),
    }
}

impl Inner {
    pub(crate) fn create_volume(&self, wanted: Wanted) -> Result<Arc<Volume>, Refusal> {
        let backend = self.backend.as_ref();
        if let Some(existing) = self.catalog.volume(&wanted.id, backend)? {
            return same(existing, &wanted);
        }
        let Wanted {
            id,
            name,
            range,
            shape,
            source,
            parameters,
        } = wanted;
        // Kept alive here for the borrows in `origin`.
        let (mut snapshot, mut volume) = (None, None);
        let (origin, least, held) = match &source {
            None => (Origin::Nothing, 0, None),
            Some(Source::Snapshot(id)) => {
                let found = self.catalog.snapshot(id, backend)?;
                let found = found.ok_or_else(|| Refusal::missing(Kind::Snapshot, id))?;
                let found = &*snapshot.insert(found);
                (
                    Origin::Snapshot(found),
                    found.size_bytes,
                    Some(&found.shape),
                )
            }
            Some(Source::Volume(id)) => {
                let found = &*volume.insert(self.existing_volume(id)?);
                (Origin::Volume(found), found.size_bytes, Some(&found.shape))
            }
        };
        if let Some(held) = held {
            compatible(held, &shape)?;
        }
        let shape = backend.settle(shape, held)?;
        let size_bytes = range.choose(least, |size| backend.round(size, &shape))?;
        let created = Stamp::now();
        let made = Volume {
            id,
            name,
            size_bytes,
            shape,
            source: source.clone(),
            parameters,
            created,
        };
        backend.create_volume(&made, origin, &self.stop)?;
        tracing::info!(id = made.id, size_bytes, source = ?made.source, "made a volume");
        Ok(self.catalog.put_volume(made))
    }

    pub(crate) fn delete_volume(&self, id: &str) -> Result<(), Refusal> {
        if !self.catalog.has_volume(id) {
            return Ok(());
        }
        if let Ok(Some(volume)) = self.catalog.volume(id, self.backend.as_ref()) {
            self.refuse_in_use(&volume)?;
            self.backend.detach(&volume)?;
        }
        self.backend.delete_volume(id)?;
        self.catalog.drop_volume(id);
        tracing::info!(id, "deleted a volume");
        Ok(())
    }

    pub(crate) fn expand_volume(
        &self,
        id: &str,
        range: Range,
        shape: Option<&Shape>,
    ) -> Result<(Arc<Volume>, Growth), Refusal> {
        let volume = self.existing_volume(id)?;
        if let Some(shape) = shape {
            compatible(&volume.shape, shape)?;
        }
        let round = |size| self.backend.round(size, &volume.shape);
        let size_bytes = range.expand(volume.size_bytes, round)?;
        if size_bytes == volume.size_bytes {
            return Ok((volume, Growth::Done));
        }
        let grown = Volume {
            size_bytes,
            ..Volume::clone(&volume)
        };
        let growth = self.backend.grow(&grown)?;
        tracing::info!(id, size_bytes, "made a volume larger");
        Ok((self.catalog.put_volume(grown), growth))
    }

    pub(crate) fn existing_volume(&self, id: &str) -> Result<Arc<Volume>, Refusal> {
        let found = self.catalog.volume(id, self.backend.as_ref())?;
        found.ok_or_else(|| Refusal::missing(Kind::Volume, id))
    }

    /// Whether a volume on this node can be reached from where it is wanted.
    fn check_place(&self, wanted: Option<&v1::TopologyRequirement>) -> Result<(), Refusal> {
        let here = &self.config.topology;
        let requisite = wanted.map_or(&[][..], |wanted| &wanted.requisite);
        let reaches = |place: &v1::Topology| {
            place
                .segments
                .iter()
                .all(|(key, value)| here.get(key) == Some(value))
        };
        if here.is_empty() || requisite.is_empty() || requisite.iter().any(reaches) {
            return Ok(());
        }
        Err(Refusal::Elsewhere(format!("{here:?}")))
    }
}

/// A volume of this name exists: is it the one that is asked for?
fn same(existing: Arc<Volume>, wanted: &Wanted) -> Result<Arc<Volume>, Refusal> {
    let difference = if existing.source != wanted.source {
        format!(
            "it was filled from {:?}, not {:?}",
            existing.source, wanted.source
        )
    } else if !is_asked_for(&existing.shape, &wanted.shape) {
        format!("it is a {:?}, not a {:?}", existing.shape, wanted.shape)
    } else if !wanted.range.contains(existing.size_bytes) {
        format!(
            "its size is {} bytes, outside capacity_range",
            existing.size_bytes
        )
    } else if existing.parameters != wanted.parameters {
        "its parameters are others".to_owned()
    } else {
        return Ok(existing);
    };
    Err(Refusal::Taken {
        kind: Kind::Volume,
        name: wanted.name.clone(),
        difference,
    })
}

/// No type of file system stands for whichever was chosen.
fn is_asked_for(existing: &Shape, wanted: &Shape) -> bool {
    match (existing, wanted) {
        (Shape::Folder { .. }, Shape::Folder { fs_type }) if fs_type.is_empty() => true,
        _ => existing == wanted,
    }
}

/// Bytes of a device are no files, and files are no device.
pub(crate) fn compatible(held: &Shape, wanted: &Shape) -> Result<(), Refusal> {
    let (held, wanted) = match (held, wanted) {
        (Shape::Block, Shape::Folder { .. }) => ("block", "mount"),
        (Shape::Folder { .. }, Shape::Block) => ("mount", "block"),
        (Shape::Block, Shape::Block) | (Shape::Folder { .. }, Shape::Folder { .. }) => {
            return Ok(());
        }
    };
    let problem = format!("`{wanted}` access is asked for, but the contents are for `{held}`");
    Err(Refusal::invalid("volume_capability", problem))
}
