//! Spells requests as CSI does, and says what an answer lacks.

use std::collections::BTreeMap;

use tintype_core::claim::{AccessMode as Access, Request, RequestSource};
use tintype_core::object::VolumeMode;
use tintype_core::topology::{Requirement, Segments};
use tintype_csi::v1;
use tintype_csi::v1::volume_capability::access_mode::Mode;
use tintype_csi::v1::volume_capability::{AccessMode, AccessType, BlockVolume, MountVolume};
use tintype_csi::v1::volume_content_source::{SnapshotSource, Type as SourceType, VolumeSource};

/// What an answer lacks of what was asked for; none if nothing.
pub(super) fn lacking(request: &Request, made: &tintype_csi::Volume) -> Option<String> {
    if made.capacity_bytes != 0 && made.capacity_bytes < request.bytes {
        return Some(format!(
            "the driver made a volume of {} bytes where {} were asked for",
            made.capacity_bytes, request.bytes
        ));
    }
    let wanted = content_source(&request.source);
    let right = match (&wanted, &made.content_source) {
        (None, _) => true,
        (Some(wanted), Some(made)) => wanted == made,
        (Some(_), None) => false,
    };
    (!right).then(|| {
        "the driver does not say that it filled the volume from what was asked for".to_owned()
    })
}

fn content_source(source: &RequestSource) -> Option<v1::VolumeContentSource> {
    let kind = match source {
        RequestSource::None => return None,
        RequestSource::Snapshot(handle) => SourceType::Snapshot(SnapshotSource {
            snapshot_id: handle.clone(),
        }),
        RequestSource::Volume(handle) => SourceType::Volume(VolumeSource {
            volume_id: handle.clone(),
        }),
    };
    Some(v1::VolumeContentSource { r#type: Some(kind) })
}

/// `CreateVolume`.
pub(super) fn create(
    request: &Request,
    secrets: BTreeMap<String, String>,
) -> v1::CreateVolumeRequest {
    v1::CreateVolumeRequest {
        name: request.name.clone(),
        capacity_range: Some(v1::CapacityRange {
            required_bytes: i64::try_from(request.bytes).unwrap_or(i64::MAX),
            limit_bytes: 0,
        }),
        volume_capabilities: capabilities(request),
        parameters: request.parameters.clone(),
        mutable_parameters: request.mutable_parameters.clone(),
        volume_content_source: content_source(&request.source),
        accessibility_requirements: request.topology.as_ref().map(requirement),
        secrets,
    }
}

/// `GetCapacity` for this volume: one request for each place it may be made in.
pub(super) fn capacity(request: &Request) -> Vec<v1::GetCapacityRequest> {
    let places = request.topology.iter().flat_map(|it| &it.requisite);
    let mut places: Vec<_> = places.map(|it| Some(topology(it))).collect();
    if places.is_empty() {
        places.push(None);
    }
    let ask = |place| v1::GetCapacityRequest {
        volume_capabilities: capabilities(request),
        parameters: request.parameters.clone(),
        accessible_topology: place,
    };
    places.into_iter().map(ask).collect()
}

/// What most volumes are used as: a file system on one node.
pub(super) fn any_capability() -> v1::VolumeCapability {
    v1::VolumeCapability {
        access_mode: Some(AccessMode {
            mode: Mode::SingleNodeWriter.into(),
        }),
        access_type: Some(AccessType::Mount(MountVolume::default())),
    }
}

/// Segments as CSI has them.
pub(super) fn topology(segments: &Segments) -> v1::Topology {
    v1::Topology {
        segments: segments.clone(),
    }
}

fn requirement(it: &Requirement) -> v1::TopologyRequirement {
    v1::TopologyRequirement {
        requisite: it.requisite.iter().map(topology).collect(),
        preferred: it.preferred.iter().map(topology).collect(),
    }
}

fn capabilities(request: &Request) -> Vec<v1::VolumeCapability> {
    let access_type = match request.mode {
        VolumeMode::Block => AccessType::Block(BlockVolume {}),
        VolumeMode::Filesystem => AccessType::Mount(MountVolume {
            fs_type: request.fs_type.clone().unwrap_or_default(),
            mount_flags: request.mount_options.clone(),
            ..Default::default()
        }),
    };
    let one = |mode: &Access| {
        let mode = match mode {
            Access::SingleNodeWriter => Mode::SingleNodeWriter,
            Access::SingleNodeSingleWriter => Mode::SingleNodeSingleWriter,
            Access::SingleNodeMultiWriter => Mode::SingleNodeMultiWriter,
            Access::MultiNodeReader => Mode::MultiNodeReaderOnly,
            Access::MultiNodeWriter => Mode::MultiNodeMultiWriter,
        };
        v1::VolumeCapability {
            access_mode: Some(AccessMode { mode: mode.into() }),
            access_type: Some(access_type.clone()),
        }
    };
    request.access_modes.iter().map(one).collect()
}
