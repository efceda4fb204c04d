//! Answers the Identity service.
//!
//! It does not know what the other services do.

use std::collections::BTreeMap;

use tintype_csi::v1;
use tintype_csi::v1::identity_server::Identity;
use tintype_csi::v1::plugin_capability::{
    Service, Type, VolumeExpansion, service, volume_expansion,
};
use tonic::{Request, Response, Status};

use crate::driver::Driver;

#[tonic::async_trait]
impl Identity for Driver {
    async fn get_plugin_info(
        &self,
        _request: Request<v1::GetPluginInfoRequest>,
    ) -> Result<Response<v1::GetPluginInfoResponse>, Status> {
        let backend = self.inner.backend.name().to_owned();
        Ok(Response::new(v1::GetPluginInfoResponse {
            name: self.inner.config.driver_name.clone(),
            vendor_version: env!("CARGO_PKG_VERSION").to_owned(),
            manifest: BTreeMap::from([("backend".to_owned(), backend)]),
        }))
    }

    async fn get_plugin_capabilities(
        &self,
        _request: Request<v1::GetPluginCapabilitiesRequest>,
    ) -> Result<Response<v1::GetPluginCapabilitiesResponse>, Status> {
        let service = |kind: service::Type| {
            Type::Service(Service {
                r#type: kind.into(),
            })
        };
        let online = VolumeExpansion {
            r#type: volume_expansion::Type::Online.into(),
        };
        let mut kinds = vec![
            service(service::Type::ControllerService),
            service(service::Type::GroupControllerService),
            Type::VolumeExpansion(online),
        ];
        if self.inner.topology().is_some() {
            kinds.push(service(service::Type::VolumeAccessibilityConstraints));
        }
        let capability = |kind| v1::PluginCapability { r#type: Some(kind) };
        let capabilities = kinds.into_iter().map(capability).collect();
        Ok(Response::new(v1::GetPluginCapabilitiesResponse {
            capabilities,
        }))
    }

    async fn probe(
        &self,
        _request: Request<v1::ProbeRequest>,
    ) -> Result<Response<v1::ProbeResponse>, Status> {
        // CSI, Probe: an unhealthy plugin answers FailedPrecondition.
        match self.perform(&[], |inner| inner.backend.room()).await {
            Ok(_) => Ok(Response::new(v1::ProbeResponse { ready: Some(true) })),
            Err(status) => Err(Status::failed_precondition(status.message())),
        }
    }
}
