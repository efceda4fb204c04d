//! Answers the Node service.
//!
//! It turns messages into calls and back; the work is in `publish` and in the backend.

use std::path::Path;

use tintype_csi::v1::node_server::Node;
use tintype_csi::v1::node_service_capability::{Rpc, Type, rpc};
use tintype_csi::v1::volume_capability::AccessType;
use tintype_csi::v1::{self, NodeServiceCapability};
use tonic::{Request, Response, Status};

use crate::backend::Usage;
use crate::check::{self, Range};
use crate::controller::on_wire;
use crate::driver::{Driver, Inner};
use crate::locks::{Hold, Key};
use crate::publish::{self, Show};
use crate::refusal::{Kind, Refusal};
use crate::volumes::compatible;

type Reply<T> = Result<Response<T>, Status>;

const CAPABILITIES: [rpc::Type; 5] = [
    rpc::Type::StageUnstageVolume,
    rpc::Type::GetVolumeStats,
    rpc::Type::ExpandVolume,
    rpc::Type::VolumeCondition,
    rpc::Type::SingleNodeMultiWriter,
];

/// A volume is read, the place where it is shown changes.
fn keys(volume_id: &str, path: &str) -> [(Key, Hold); 2] {
    [
        (Key::Object(Kind::Volume, volume_id.to_owned()), Hold::Read),
        (Key::Target(path.to_owned()), Hold::Change),
    ]
}

#[tonic::async_trait]
impl Node for Driver {
    async fn node_get_capabilities(
        &self,
        _request: Request<v1::NodeGetCapabilitiesRequest>,
    ) -> Reply<v1::NodeGetCapabilitiesResponse> {
        let capability = |kind: rpc::Type| NodeServiceCapability {
            r#type: Some(Type::Rpc(Rpc {
                r#type: kind.into(),
            })),
        };
        let capabilities = CAPABILITIES.map(capability).to_vec();
        Ok(Response::new(v1::NodeGetCapabilitiesResponse {
            capabilities,
        }))
    }

    async fn node_get_info(
        &self,
        _request: Request<v1::NodeGetInfoRequest>,
    ) -> Reply<v1::NodeGetInfoResponse> {
        Ok(Response::new(v1::NodeGetInfoResponse {
            node_id: self.inner.config.node_id.clone(),
            max_volumes_per_node: 0,
            accessible_topology: self.inner.topology(),
        }))
    }

    async fn node_stage_volume(
        &self,
        request: Request<v1::NodeStageVolumeRequest>,
    ) -> Reply<v1::NodeStageVolumeResponse> {
        let request = request.into_inner();
        let id = check::name("volume_id", request.volume_id)?;
        let path = check::path("staging_target_path", request.staging_target_path)?;
        let capability = request.volume_capability;
        let (shape, _) = check::capability("volume_capability", capability.as_ref())?;
        let work = {
            let id = id.clone();
            move |inner: &Inner| {
                let volume = inner.existing_volume(&id)?;
                compatible(&volume.shape, &shape)?;
                inner.backend.attach(&volume)
            }
        };
        self.perform(&keys(&id, &path), work).await?;
        Ok(Response::new(v1::NodeStageVolumeResponse {}))
    }

    async fn node_unstage_volume(
        &self,
        request: Request<v1::NodeUnstageVolumeRequest>,
    ) -> Reply<v1::NodeUnstageVolumeResponse> {
        let request = request.into_inner();
        let id = check::name("volume_id", request.volume_id)?;
        let path = check::path("staging_target_path", request.staging_target_path)?;
        let work = {
            let id = id.clone();
            move |inner: &Inner| {
                let volume = inner.existing_volume(&id)?;
                inner.refuse_in_use(&volume)?;
                inner.backend.detach(&volume)
            }
        };
        self.perform(&keys(&id, &path), work).await?;
        Ok(Response::new(v1::NodeUnstageVolumeResponse {}))
    }

    async fn node_publish_volume(
        &self,
        request: Request<v1::NodePublishVolumeRequest>,
    ) -> Reply<v1::NodePublishVolumeResponse> {
        let request = request.into_inner();
        let id = check::name("volume_id", request.volume_id)?;
        let target = check::path("target_path", request.target_path)?;
        let capability = request.volume_capability;
        let (shape, reader) = check::capability("volume_capability", capability.as_ref())?;
        // CSI, NodePublishVolume: a driver that stages needs to know where it did.
        if request.staging_target_path.is_empty() {
            let problem = "staging_target_path: is missing; stage the volume first".to_owned();
            return Err(Refusal::Precondition(problem).into());
        }
        check::path("staging_target_path", request.staging_target_path)?;
        let options = match capability.and_then(|capability| capability.access_type) {
            Some(AccessType::Mount(mount)) => mount.mount_flags,
            _ => Vec::new(),
        };
        let (flags, option) = publish::mount_flags(&options)?;
        let readonly = request.readonly || reader || option;
        let show = Show {
            target,
            readonly,
            flags,
        };
        let keys = keys(&id, &show.target);
        let work = move |inner: &Inner| {
            let volume = inner.existing_volume(&id)?;
            compatible(&volume.shape, &shape)?;
            inner.publish(&volume, &show)
        };
        self.perform(&keys, work).await?;
        Ok(Response::new(v1::NodePublishVolumeResponse {}))
    }

    async fn node_unpublish_volume(
        &self,
        request: Request<v1::NodeUnpublishVolumeRequest>,
    ) -> Reply<v1::NodeUnpublishVolumeResponse> {
        let request = request.into_inner();
        let id = check::name("volume_id", request.volume_id)?;
        let target = check::path("target_path", request.target_path)?;
        let keys = keys(&id, &target);
        self.perform(&keys, move |inner| inner.unpublish(&id, &target))
            .await?;
        Ok(Response::new(v1::NodeUnpublishVolumeResponse {}))
    }

    async fn node_get_volume_stats(
        &self,
        request: Request<v1::NodeGetVolumeStatsRequest>,
    ) -> Reply<v1::NodeGetVolumeStatsResponse> {
        let request = request.into_inner();
        let id = check::name("volume_id", request.volume_id)?;
        if request.volume_path.is_empty() {
            return Err(Refusal::invalid("volume_path", "is missing").into());
        }
        let path = request.volume_path;
        let work = move |inner: &Inner| stats(inner, &id, &path);
        self.perform(&[], work).await.map(Response::new)
    }

    async fn node_expand_volume(
        &self,
        request: Request<v1::NodeExpandVolumeRequest>,
    ) -> Reply<v1::NodeExpandVolumeResponse> {
        let request = request.into_inner();
        let id = check::name("volume_id", request.volume_id)?;
        if request.volume_path.is_empty() {
            return Err(Refusal::invalid("volume_path", "is missing").into());
        }
        let required = Range::read(request.capacity_range)?.required();
        let path = request.volume_path;
        let keys = [(Key::Object(Kind::Volume, id.clone()), Hold::Read)];
        let work = move |inner: &Inner| {
            let volume = inner.existing_volume(&id)?;
            refuse_elsewhere(inner, &id, &path)?;
            if required > volume.size_bytes {
                let now = volume.size_bytes;
                return Err(Refusal::OutOfRange(format!(
                    "capacity_range: volume {id:?} has {now} bytes; expand it at the controller \
                     first"
                )));
            }
            // Done by the controller if it was attached then; never too often.
            inner.backend.attach(&volume)?;
            Ok(v1::NodeExpandVolumeResponse {
                capacity_bytes: on_wire(volume.size_bytes),
            })
        };
        self.perform(&keys, work).await.map(Response::new)
    }
}

fn stats(inner: &Inner, id: &str, path: &str) -> Result<v1::NodeGetVolumeStatsResponse, Refusal> {
    use v1::volume_usage::Unit;
    let volume = inner.existing_volume(id)?;
    let condition = inner.condition(&volume);
    if condition.abnormal {
        let volume_condition = Some(condition);
        return Ok(v1::NodeGetVolumeStatsResponse {
            usage: Vec::new(),
            volume_condition,
        });
    }
    refuse_elsewhere(inner, id, path)?;
    let entry = |usage: Usage, unit: Unit| v1::VolumeUsage {
        available: on_wire(usage.available),
        total: on_wire(usage.total),
        used: on_wire(usage.used),
        unit: unit.into(),
    };
    let fill = inner.backend.fill(&volume)?;
    let mut usage = vec![entry(fill.bytes, Unit::Bytes)];
    usage.extend(fill.inodes.map(|inodes| entry(inodes, Unit::Inodes)));
    Ok(v1::NodeGetVolumeStatsResponse {
        usage,
        volume_condition: Some(condition),
    })
}

/// Refuses a path that does not show this volume.
fn refuse_elsewhere(inner: &Inner, id: &str, path: &str) -> Result<(), Refusal> {
    let volume = inner.existing_volume(id)?;
    if publish::is_same(Path::new(path), &inner.backend.exposed(&volume)?) {
        return Ok(());
    }
    Err(Refusal::NotThere(format!(
        "volume {id:?} is not published at {path:?}"
    )))
}
