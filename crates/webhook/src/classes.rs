//! Asks the API server which classes there are.
//!
//! Past any cache: a class becomes the default once in a while, and must be judged by what is there now (upstream's
//! watch may be behind). Does not know why it is asked.

use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use tintype_api::{GROUP_API_VERSION, VolumeGroupSnapshotClass, VolumeSnapshotClass};
use tintype_core::validation::Kind;

/// Objects asked for at once.
const PAGE: u32 = 500;

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
        let api: Api<DynamicObject> = Api::all_with(self.0.clone(), &resource);
        let mut all = Vec::new();
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let page = api.list(&params).await?;
            all.extend(page.items.iter().map(document));
            match page.metadata.continue_.filter(|it| !it.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(all),
            }
        }
    }
}

/// What is judged of a class.
fn document(class: &DynamicObject) -> Value {
    let mut document = class.data.clone();
    document["metadata"] = json!({"name": class.name_any(), "annotations": class.annotations()});
    document
}
