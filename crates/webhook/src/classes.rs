//! Asks the API server which classes there are.
//!
//! Past any cache: a class becomes the default once in a while, and must be judged by what is there now (upstream's
//! watch may be behind). Does not know why it is asked.

use kube::api::ApiResource;
use kube::{Api, Client};
use serde_json::Value;
use tintype_api::{GROUP_API_VERSION, VolumeGroupSnapshotClass, VolumeSnapshotClass};
use tintype_core::validation::Kind;

use crate::read;

/// The classes of a cluster.
#[derive(Clone)]
pub(crate) struct Classes(Client);

impl std::fmt::Debug for Classes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Classes").finish_non_exhaustive()
    }
}

impl Classes {
    pub(crate) const fn new(client: Client) -> Self {
        Self(client)
    }

    /// All of this kind; of a kind that is no class, none.
    pub(crate) async fn all(&self, kind: Kind) -> Result<Vec<Value>, kube::Error> {
        let resource = match kind {
            Kind::Class => ApiResource::erase::<VolumeSnapshotClass>(&()),
            Kind::GroupClass => ApiResource {
                api_version: GROUP_API_VERSION.to_owned(),
                ..ApiResource::erase::<VolumeGroupSnapshotClass>(&())
            },
            Kind::Snapshot | Kind::Content | Kind::Group | Kind::GroupContent => {
                return Ok(Vec::new());
            }
        };
        read::all(&Api::all_with(self.0.clone(), &resource)).await
    }
}
