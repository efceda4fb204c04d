//! Makes, awaits and deletes the objects of the story, as `kubectl` would.
//! Waits by watching; when a wait is in vain, says what the cluster said about it.

use std::{fmt::Debug, time::Duration};

use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{Event, PersistentVolume, PersistentVolumeClaim},
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, DynamicObject, ListParams, PostParams},
    core::ApiResource,
    runtime::{
        conditions::is_deleted,
        wait::{self, Condition, await_condition},
    },
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tintype_api::{VolumeSnapshot, VolumeSnapshotContent};

use crate::request_error::RequestError;

const NAMESPACE: &str = "default";

#[derive(Debug, thiserror::Error)]
pub(crate) enum ObjectError {
    #[error("cannot {verb} {what}")]
    Request {
        verb: &'static str,
        what: String,
        source: RequestError,
    },
    #[error("cannot watch {what}")]
    Watch {
        what: String,
        source: Box<wait::Error>,
    },
    #[error("{what} was not {wanted} within {} s: {why}", patience.as_secs())]
    Late {
        what: String,
        wanted: &'static str,
        patience: Duration,
        why: String,
    },
}

/// The objects of one story.
#[derive(Clone)]
pub(crate) struct Objects {
    client: Client,
    /// How long any one wait may last.
    pub(crate) patience: Duration,
    /// Claims are for devices, not for files.
    pub(crate) block: bool,
}

impl Objects {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            patience: Duration::from_secs(60),
            block: false,
        }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Makes a claim, from a snapshot if one is named, and waits until it is bound.
    pub(crate) async fn claim(
        &self,
        name: &str,
        mebibytes: u64,
        snapshot: Option<&str>,
    ) -> Result<PersistentVolumeClaim, ObjectError> {
        let mut claim = json!({
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": format!("{mebibytes}Mi")}}
            }
        });
        if self.block {
            claim["spec"]["volumeMode"] = json!("Block");
        }
        if let Some(snapshot) = snapshot {
            claim["spec"]["dataSource"] =
                json!({"apiGroup": tintype_api::GROUP, "kind": "VolumeSnapshot", "name": snapshot});
        }
        self.create::<PersistentVolumeClaim>(name, claim).await?;
        let bound = |claim: Option<&PersistentVolumeClaim>| {
            let status = claim.and_then(|claim| claim.status.as_ref());
            status.and_then(|status| status.phase.as_deref()) == Some("Bound")
        };
        self.wait(name, "bound", bound).await
    }

    /// Makes a snapshot of a claim and waits until it is ready.
    pub(crate) async fn snapshot(
        &self,
        name: &str,
        claim: &str,
    ) -> Result<VolumeSnapshot, ObjectError> {
        let snapshot = json!({
            "spec": {"source": {"persistentVolumeClaimName": claim}}
        });
        self.create::<VolumeSnapshot>(name, snapshot).await?;
        let ready = |snapshot: Option<&VolumeSnapshot>| snapshot.is_some_and(VolumeSnapshot::ready);
        self.wait(name, "ready", ready).await
    }

    /// Deletes claims and snapshots, and waits until they and what stood behind them have gone.
    pub(crate) async fn delete_all(&self) -> Result<(), ObjectError> {
        self.delete::<VolumeSnapshot>().await?;
        self.delete::<PersistentVolumeClaim>().await?;
        tokio::try_join!(
            self.gone(Api::<VolumeSnapshot>::namespaced(
                self.client.clone(),
                NAMESPACE
            )),
            self.gone(Api::<PersistentVolumeClaim>::namespaced(
                self.client.clone(),
                NAMESPACE
            )),
            self.gone(Api::<VolumeSnapshotContent>::all(self.client.clone())),
            self.gone(Api::<PersistentVolume>::all(self.client.clone())),
        )
        .map(drop)
    }

    async fn create<K>(&self, name: &str, object: Value) -> Result<(), ObjectError>
    where
        K: Kind<Scope = NamespaceResourceScope>,
    {
        let kind = ApiResource::erase::<K>(&());
        let api = Api::namespaced_with(self.client.clone(), NAMESPACE, &kind);
        let object = DynamicObject::new(name, &kind).data(object);
        let request = api.create(&PostParams::default(), &object).await;
        request
            .map(drop)
            .map_err(refused("create", &what::<K>(name)))
    }

    async fn wait<K>(
        &self,
        name: &str,
        wanted: &'static str,
        condition: impl Condition<K>,
    ) -> Result<K, ObjectError>
    where
        K: Kind<Scope = NamespaceResourceScope>,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), NAMESPACE);
        let waiting = await_condition(api, name, condition);
        let what = what::<K>(name);
        match tokio::time::timeout(self.patience, waiting).await {
            Ok(Ok(Some(object))) => Ok(object),
            Ok(Err(source)) => Err(ObjectError::Watch {
                what,
                source: Box::new(source),
            }),
            Ok(Ok(None)) | Err(_) => {
                let why = self.last_event(name).await;
                Err(ObjectError::Late {
                    what,
                    wanted,
                    patience: self.patience,
                    why,
                })
            }
        }
    }

    async fn delete<K>(&self) -> Result<(), ObjectError>
    where
        K: Kind<Scope = NamespaceResourceScope>,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), NAMESPACE);
        let list = api.list(&ListParams::default()).await;
        for object in list.map_err(refused("list", &what::<K>("all")))? {
            let name = object.meta().name.clone().unwrap_or_default();
            let request = api.delete(&name, &DeleteParams::default()).await;
            request
                .map(drop)
                .map_err(refused("delete", &what::<K>(&name)))?;
        }
        Ok(())
    }

    /// Waits until no object is left of those that are there now.
    async fn gone<K: Kind>(&self, api: Api<K>) -> Result<(), ObjectError> {
        let list = api.list(&ListParams::default()).await;
        for object in list.map_err(refused("list", &what::<K>("all")))? {
            let name = object.meta().name.clone().unwrap_or_default();
            let uid = object.meta().uid.clone().unwrap_or_default();
            let waiting = await_condition(api.clone(), &name, is_deleted(&uid));
            let what = what::<K>(&name);
            match tokio::time::timeout(self.patience, waiting).await {
                Ok(Ok(_)) => {}
                Ok(Err(source)) => {
                    return Err(ObjectError::Watch {
                        what,
                        source: Box::new(source),
                    });
                }
                Err(_) => {
                    let (wanted, patience) = ("gone", self.patience);
                    let why = self.last_event(&name).await;
                    return Err(ObjectError::Late {
                        what,
                        wanted,
                        patience,
                        why,
                    });
                }
            }
        }
        Ok(())
    }

    /// The newest warning about an object of that name, whatever its kind.
    async fn last_event(&self, name: &str) -> String {
        let api: Api<Event> = Api::all(self.client.clone());
        let events = match api.list(&ListParams::default()).await {
            Ok(events) => events,
            Err(error) => return format!("its events cannot be read: {error}"),
        };
        let about = |event: &&Event| event.involved_object.name.as_deref() == Some(name);
        let latest = events.iter().filter(about).max_by_key(|event| {
            let version = event
                .metadata
                .resource_version
                .as_deref()
                .unwrap_or_default();
            version.parse::<u64>().unwrap_or_default()
        });
        let message = latest.and_then(|event| event.message.clone());
        message.unwrap_or_else(|| "nothing was said about it".to_owned())
    }
}

/// What the functions above need of a kind.
pub(crate) trait Kind:
    Resource<DynamicType = ()> + Clone + Debug + Send + DeserializeOwned + Serialize + 'static
{
}

impl<K> Kind for K where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + DeserializeOwned + Serialize + 'static
{
}

fn what<K: Kind>(name: &str) -> String {
    format!("{} {name}", K::kind(&()))
}

fn refused(verb: &'static str, what: &str) -> impl FnOnce(kube::Error) -> ObjectError {
    let what = what.to_owned();
    move |source| ObjectError::Request {
        verb,
        what,
        source: source.into(),
    }
}
