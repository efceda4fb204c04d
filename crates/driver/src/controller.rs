//! Answers the Controller service.
//!
//! It turns messages into calls and back; the rules are in `volumes` and `snapshots`.

use tintype_csi::v1::controller_server::Controller;
use tintype_csi::v1::controller_service_capability::{Rpc, Type, rpc};
use tintype_csi::v1::{self, ControllerServiceCapability};
use tonic::{Request, Response, Status};

use crate::backend::Growth;
use crate::catalog::Part;
use crate::check::{self, Range};
use crate::driver::{Driver, Inner};
use crate::locks::{Hold, Key};
use crate::record::{Recorded, Snapshot, Source, Stamp, Volume};
use crate::refusal::{Kind, Refusal};
use crate::snapshots::{self, Page};
use crate::volumes::{self, compatible};

type Reply<T> = Result<Response<T>, Status>;

const CAPABILITIES: [rpc::Type; 11] = [
    rpc::Type::CreateDeleteVolume,
    rpc::Type::ListVolumes,
    rpc::Type::GetCapacity,
    rpc::Type::CreateDeleteSnapshot,
    rpc::Type::ListSnapshots,
    rpc::Type::CloneVolume,
    rpc::Type::ExpandVolume,
    rpc::Type::VolumeCondition,
    rpc::Type::GetVolume,
    rpc::Type::SingleNodeMultiWriter,
    rpc::Type::GetSnapshot,
];

fn changing(kind: Kind, id: &str) -> [(Key, Hold); 1] {
    [(Key::Object(kind, id.to_owned()), Hold::Change)]
}

#[tonic::async_trait]
impl Controller for Driver {
    async fn controller_get_capabilities(
        &self,
        _request: Request<v1::ControllerGetCapabilitiesRequest>,
    ) -> Reply<v1::ControllerGetCapabilitiesResponse> {
        let capability = |kind: rpc::Type| ControllerServiceCapability {
            r#type: Some(Type::Rpc(Rpc {
                r#type: kind.into(),
            })),
        };
        let capabilities = CAPABILITIES.map(capability).to_vec();
        Ok(Response::new(v1::ControllerGetCapabilitiesResponse {
            capabilities,
        }))
    }

    async fn create_volume(
        &self,
        request: Request<v1::CreateVolumeRequest>,
    ) -> Reply<v1::CreateVolumeResponse> {
        let wanted = volumes::Wanted::read(request.into_inner(), &self.inner)?;
        let keys = wanted.keys();
        let made = self
            .perform(&keys, |inner| inner.create_volume(wanted))
            .await?;
        let volume = Some(self.inner.volume_on_wire(&made));
        Ok(Response::new(v1::CreateVolumeResponse { volume }))
    }

    async fn delete_volume(
        &self,
        request: Request<v1::DeleteVolumeRequest>,
    ) -> Reply<v1::DeleteVolumeResponse> {
        let id = check::name("volume_id", request.into_inner().volume_id)?;
        let keys = changing(Kind::Volume, &id);
        self.perform(&keys, move |inner| inner.delete_volume(&id))
            .await?;
        Ok(Response::new(v1::DeleteVolumeResponse {}))
    }

    async fn controller_expand_volume(
        &self,
        request: Request<v1::ControllerExpandVolumeRequest>,
    ) -> Reply<v1::ControllerExpandVolumeResponse> {
        let request = request.into_inner();
        let id = check::name("volume_id", request.volume_id)?;
        let range = Range::read(request.capacity_range)?;
        let shape = match request.volume_capability {
            None => None,
            some => Some(check::capability("volume_capability", some.as_ref())?.0),
        };
        let keys = changing(Kind::Volume, &id);
        let work = move |inner: &Inner| inner.expand_volume(&id, range, shape.as_ref());
        let (volume, growth) = self.perform(&keys, work).await?;
        Ok(Response::new(v1::ControllerExpandVolumeResponse {
            capacity_bytes: on_wire(volume.size_bytes),
            node_expansion_required: growth == Growth::OnNode,
        }))
    }

    async fn validate_volume_capabilities(
        &self,
        request: Request<v1::ValidateVolumeCapabilitiesRequest>,
    ) -> Reply<v1::ValidateVolumeCapabilitiesResponse> {
        let request = request.into_inner();
        let id = check::name("volume_id", request.volume_id)?;
        let shape = check::capabilities("volume_capabilities", &request.volume_capabilities)?;
        let volume = self.inner.existing_volume(&id)?;
        let problem = compatible(&volume.shape, &shape).err();
        let confirmed = v1::validate_volume_capabilities_response::Confirmed {
            volume_context: request.volume_context,
            volume_capabilities: request.volume_capabilities,
            parameters: request.parameters,
            mutable_parameters: request.mutable_parameters,
        };
        Ok(Response::new(v1::ValidateVolumeCapabilitiesResponse {
            confirmed: problem.is_none().then_some(confirmed),
            message: problem
                .map(|problem| problem.to_string())
                .unwrap_or_default(),
        }))
    }

    async fn list_volumes(
        &self,
        request: Request<v1::ListVolumesRequest>,
    ) -> Reply<v1::ListVolumesResponse> {
        let request = request.into_inner();
        let page = Page::read(request.max_entries, &request.starting_token)?;
        let work = move |inner: &Inner| {
            let part = inner.catalog.list_volumes(&page.after, page.limit);
            let next_token = next_token(&part);
            let entry = |volume: &_| v1::list_volumes_response::Entry {
                volume: Some(inner.volume_on_wire(volume)),
                status: Some(v1::list_volumes_response::VolumeStatus {
                    published_node_ids: Vec::new(),
                    volume_condition: Some(inner.condition(volume)),
                }),
            };
            let entries = part.entries.iter().map(|volume| entry(volume)).collect();
            Ok(v1::ListVolumesResponse {
                entries,
                next_token,
            })
        };
        // Looks at the disk for each.
        self.perform(&[], work).await.map(Response::new)
    }

    async fn controller_get_volume(
        &self,
        request: Request<v1::ControllerGetVolumeRequest>,
    ) -> Reply<v1::ControllerGetVolumeResponse> {
        let id = check::name("volume_id", request.into_inner().volume_id)?;
        let work = move |inner: &Inner| {
            let volume = inner.existing_volume(&id)?;
            let status = v1::controller_get_volume_response::VolumeStatus {
                published_node_ids: Vec::new(),
                volume_condition: Some(inner.condition(&volume)),
            };
            let volume = Some(inner.volume_on_wire(&volume));
            Ok(v1::ControllerGetVolumeResponse {
                volume,
                status: Some(status),
            })
        };
        self.perform(&[], work).await.map(Response::new)
    }

    async fn get_capacity(
        &self,
        request: Request<v1::GetCapacityRequest>,
    ) -> Reply<v1::GetCapacityResponse> {
        let request = request.into_inner();
        if !request.volume_capabilities.is_empty() {
            check::capabilities("volume_capabilities", &request.volume_capabilities)?;
        }
        let room = self.perform(&[], |inner| inner.backend.room()).await?;
        let elsewhere = self
            .inner
            .is_elsewhere(request.accessible_topology.as_ref());
        Ok(Response::new(v1::GetCapacityResponse {
            available_capacity: if elsewhere {
                0
            } else {
                on_wire(room.available)
            },
            maximum_volume_size: None,
            minimum_volume_size: None,
        }))
    }

    async fn create_snapshot(
        &self,
        request: Request<v1::CreateSnapshotRequest>,
    ) -> Reply<v1::CreateSnapshotResponse> {
        let wanted = snapshots::Wanted::read(request.into_inner(), &self.inner)?;
        let keys = wanted.keys();
        let cut = self
            .perform(&keys, |inner| inner.create_snapshot(wanted))
            .await?;
        Ok(Response::new(v1::CreateSnapshotResponse {
            snapshot: Some(snapshot_on_wire(&cut)),
        }))
    }

    async fn delete_snapshot(
        &self,
        request: Request<v1::DeleteSnapshotRequest>,
    ) -> Reply<v1::DeleteSnapshotResponse> {
        let id = check::name("snapshot_id", request.into_inner().snapshot_id)?;
        let keys = changing(Kind::Snapshot, &id);
        self.perform(&keys, move |inner| inner.delete_snapshot(&id))
            .await?;
        Ok(Response::new(v1::DeleteSnapshotResponse {}))
    }

    async fn list_snapshots(
        &self,
        request: Request<v1::ListSnapshotsRequest>,
    ) -> Reply<v1::ListSnapshotsResponse> {
        let request = request.into_inner();
        let Page { after, limit } = Page::read(request.max_entries, &request.starting_token)?;
        let (source, id) = (request.source_volume_id, request.snapshot_id);
        let catalog = &self.inner.catalog;
        let part = if !id.is_empty() {
            let found = catalog.snapshot(&id, self.inner.backend.as_ref())?;
            let matching = |it: &Snapshot| source.is_empty() || it.source_volume_id == source;
            let entries = found.into_iter().filter(|it| matching(it)).collect();
            Part {
                entries,
                more: false,
            }
        } else if source.is_empty() {
            catalog.list_snapshots(&after, limit)
        } else {
            catalog.list_snapshots_of(&source, &after, limit)
        };
        let next_token = next_token(&part);
        let entries = part
            .entries
            .iter()
            .map(|it| v1::list_snapshots_response::Entry {
                snapshot: Some(snapshot_on_wire(it)),
            });
        let entries = entries.collect();
        Ok(Response::new(v1::ListSnapshotsResponse {
            entries,
            next_token,
        }))
    }

    async fn get_snapshot(
        &self,
        request: Request<v1::GetSnapshotRequest>,
    ) -> Reply<v1::GetSnapshotResponse> {
        let id = check::name("snapshot_id", request.into_inner().snapshot_id)?;
        let found = self
            .inner
            .catalog
            .snapshot(&id, self.inner.backend.as_ref())?;
        let found = found.ok_or_else(|| Refusal::missing(Kind::Snapshot, &id))?;
        Ok(Response::new(v1::GetSnapshotResponse {
            snapshot: Some(snapshot_on_wire(&found)),
        }))
    }
}

impl Inner {
    fn volume_on_wire(&self, volume: &Volume) -> v1::Volume {
        use v1::volume_content_source::{self as source, Type};
        let content = volume.source.as_ref().map(|it| match it {
            Source::Snapshot(id) => Type::Snapshot(source::SnapshotSource {
                snapshot_id: id.clone(),
            }),
            Source::Volume(id) => Type::Volume(source::VolumeSource {
                volume_id: id.clone(),
            }),
        });
        v1::Volume {
            capacity_bytes: on_wire(volume.size_bytes),
            volume_id: volume.id.clone(),
            volume_context: std::collections::BTreeMap::new(),
            content_source: content.map(|content| v1::VolumeContentSource {
                r#type: Some(content),
            }),
            accessible_topology: self.topology().into_iter().collect(),
        }
    }

    /// Where this node is, if that matters.
    pub(crate) fn topology(&self) -> Option<v1::Topology> {
        let segments = self.config.topology.clone();
        (!segments.is_empty()).then_some(v1::Topology { segments })
    }

    fn is_elsewhere(&self, place: Option<&v1::Topology>) -> bool {
        let here = &self.config.topology;
        let segments = place.map(|place| &place.segments);
        !here.is_empty()
            && segments.is_some_and(|it| it.iter().any(|(key, value)| here.get(key) != Some(value)))
    }

    pub(crate) fn condition(&self, volume: &Volume) -> v1::VolumeCondition {
        let trouble = self.backend.trouble(volume);
        v1::VolumeCondition {
            abnormal: trouble.is_some(),
            message: trouble.unwrap_or_else(|| "the volume is there".to_owned()),
        }
    }
}

pub(crate) fn snapshot_on_wire(snapshot: &Snapshot) -> v1::Snapshot {
    v1::Snapshot {
        size_bytes: on_wire(snapshot.size_bytes),
        snapshot_id: snapshot.id.clone(),
        source_volume_id: snapshot.source_volume_id.clone(),
        creation_time: Some(time_on_wire(snapshot.created)),
        ready_to_use: true,
        group_snapshot_id: snapshot.group.clone().unwrap_or_default(),
    }
}

pub(crate) fn time_on_wire(stamp: Stamp) -> prost_types::Timestamp {
    let Stamp { seconds, nanos } = stamp;
    prost_types::Timestamp { seconds, nanos }
}

fn next_token<T: Recorded>(part: &Part<T>) -> String {
    match part.entries.last() {
        Some(last) if part.more => Page::token(last.id()),
        _ => String::new(),
    }
}

/// The wire has signed sizes; ours came from there or from a file system.
pub(crate) fn on_wire(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
