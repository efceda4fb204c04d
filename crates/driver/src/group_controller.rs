//! Answers the GroupController service.
//!
//! It turns messages into calls and back; the rules are in `groups`.

use std::collections::BTreeSet;

use tintype_csi::v1;
use tintype_csi::v1::group_controller_server::GroupController;
use tintype_csi::v1::group_controller_service_capability::{Rpc, Type, rpc};
use tonic::{Request, Response, Status};

use crate::check;
use crate::controller::{snapshot_on_wire, time_on_wire};
use crate::driver::Driver;
use crate::groups::{Wanted, Whole};
use crate::locks::{Hold, Key};
use crate::refusal::{Kind, Refusal};

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl GroupController for Driver {
    async fn group_controller_get_capabilities(
        &self,
        _request: Request<v1::GroupControllerGetCapabilitiesRequest>,
    ) -> Reply<v1::GroupControllerGetCapabilitiesResponse> {
        let capability = v1::GroupControllerServiceCapability {
            r#type: Some(Type::Rpc(Rpc {
                r#type: rpc::Type::CreateDeleteGetVolumeGroupSnapshot.into(),
            })),
        };
        Ok(Response::new(v1::GroupControllerGetCapabilitiesResponse {
            capabilities: vec![capability],
        }))
    }

    async fn create_volume_group_snapshot(
        &self,
        request: Request<v1::CreateVolumeGroupSnapshotRequest>,
    ) -> Reply<v1::CreateVolumeGroupSnapshotResponse> {
        let wanted = Wanted::read(request.into_inner(), &self.inner)?;
        let keys = wanted.keys();
        let cut = self
            .perform(&keys, move |inner| inner.create_group(&wanted))
            .await?;
        Ok(Response::new(v1::CreateVolumeGroupSnapshotResponse {
            group_snapshot: Some(on_wire(&cut)),
        }))
    }

    async fn delete_volume_group_snapshot(
        &self,
        request: Request<v1::DeleteVolumeGroupSnapshotRequest>,
    ) -> Reply<v1::DeleteVolumeGroupSnapshotResponse> {
        let request = request.into_inner();
        let (id, named) = read(request.group_snapshot_id, request.snapshot_ids)?;
        let mut keys = vec![(Key::Object(Kind::Group, id.clone()), Hold::Change)];
        let members = named.iter().cloned();
        keys.extend(members.map(|id| (Key::Object(Kind::Snapshot, id), Hold::Change)));
        self.perform(&keys, move |inner| inner.delete_group(&id, &named))
            .await?;
        Ok(Response::new(v1::DeleteVolumeGroupSnapshotResponse {}))
    }

    async fn get_volume_group_snapshot(
        &self,
        request: Request<v1::GetVolumeGroupSnapshotRequest>,
    ) -> Reply<v1::GetVolumeGroupSnapshotResponse> {
        let request = request.into_inner();
        let (id, named) = read(request.group_snapshot_id, request.snapshot_ids)?;
        let found = self.inner.describe_group(&id, &named)?;
        Ok(Response::new(v1::GetVolumeGroupSnapshotResponse {
            group_snapshot: Some(on_wire(&found)),
        }))
    }
}

fn read(id: String, members: Vec<String>) -> Result<(String, BTreeSet<String>), Refusal> {
    Ok((
        check::name("group_snapshot_id", id)?,
        check::names("snapshot_ids", members)?,
    ))
}

fn on_wire(whole: &Whole) -> v1::VolumeGroupSnapshot {
    let members = whole.members.iter();
    v1::VolumeGroupSnapshot {
        group_snapshot_id: whole.group.id.clone(),
        snapshots: members.map(|member| snapshot_on_wire(member)).collect(),
        creation_time: Some(time_on_wire(whole.group.created)),
        ready_to_use: true,
    }
}
