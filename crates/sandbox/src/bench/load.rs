//! Makes and deletes the snapshots, and reads the clock and the counters around it.
//! Knows nothing of who works on them; what the readings mean is in `figures`.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::{Method, Request, StatusCode, header::CONTENT_TYPE};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::{Api, Client, Resource, api::DynamicObject, core::ApiResource};
use tintype_api::VolumeSnapshot;
use tokio::time::{sleep, timeout};

use super::{
    Args,
    figures::{Figures, Measured, Stage},
    objects::{CSI_DRIVERS, Create, NAMESPACES, Objects, VOLUMES, classes},
    processes::{Process, Usage},
    requests::Requests,
    seconds,
    sighting::{Aim, Sightings},
};
use crate::request_error::RequestError;

/// Counters are still when two readings so far apart are the same.
const STILL: Duration = Duration::from_secs(2);
/// Then they are taken as they are: somebody else is at work in the cluster.
const MAX_READINGS: usize = 60;

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot {method} {path}")]
    Request {
        method: Method,
        path: String,
        source: RequestError,
    },
    #[error("cannot make the request {method} {path}")]
    Malformed {
        method: Method,
        path: String,
        source: http::Error,
    },
    #[error(
        "only {bound} of {all} claims were bound within {} s; volumes and claims name each other, \
         so the cluster's volume controller does not run or does not keep up",
        patience.as_secs()
    )]
    Unbound {
        bound: usize,
        all: u32,
        patience: Duration,
    },
    #[error(
        "{left} {what} were not gone within {} s; they bear the label {label}",
        patience.as_secs()
    )]
    Left {
        what: &'static str,
        left: usize,
        patience: Duration,
        label: String,
    },
}

/// One measurement on one cluster.
pub(super) struct Load {
    client: Client,
    objects: Objects,
    concurrency: usize,
    patience: Duration,
    delete: bool,
    processes: Vec<Process>,
}

/// The clock and all counters at the beginning of a stage.
struct Start {
    clock: Instant,
    requests: Option<Requests>,
    usage: Vec<Option<Usage>>,
}

impl Load {
    pub(super) fn new(client: Client, objects: Objects, args: &Args) -> Self {
        Self {
            client,
            objects,
            concurrency: usize::try_from(args.concurrency).unwrap_or(usize::MAX),
            patience: seconds(args.timeout),
            delete: args.delete,
            processes: args.pids.clone(),
        }
    }

    /// All stages.
    pub(super) async fn measure(&self) -> Result<Vec<Figures>, LoadError> {
        self.set_up().await?;
        let start = self.start().await;
        let sightings = self.watch::<VolumeSnapshot>(Some(&self.objects.namespace), is_ready);
        sightings.until(|counts| counts.listed).await;
        let mut all = vec![self.create(&start, &sightings).await?];
        if self.delete && all[0].complete {
            let start = self.start().await;
            all.push(self.remove(&start, &sightings).await?);
        }
        Ok(all)
    }

    /// Takes away whatever is there of this measurement.
    pub(super) async fn clean_up(&self) -> Result<(), LoadError> {
        let namespace = Some(self.objects.namespace.as_str());
        let gone = "snapshots";
        self.sweep::<VolumeSnapshot>(gone, namespace, &self.objects.snapshots())
            .await?;
        let gone = "claims";
        self.sweep::<PersistentVolumeClaim>(gone, namespace, &self.objects.claims())
            .await?;
        self.sweep::<PersistentVolume>("volumes", None, VOLUMES)
            .await?;
        self.delete(&format!("{}/{}", classes(), self.objects.class_name()))
            .await?;
        if self.made_the_driver().await? {
            self.delete(&format!("{CSI_DRIVERS}/{}", self.objects.driver))
                .await?;
        }
        if self.objects.own_namespace {
            self.delete(&format!("{NAMESPACES}/{}", self.objects.namespace))
                .await?;
        }
        Ok(())
    }

    async fn set_up(&self) -> Result<(), LoadError> {
        // All but the class may be there already and are then as good.
        for create in [
            self.objects.namespace(),
            self.objects.csi_driver(),
            self.objects.class(),
        ] {
            self.post(create).await?;
        }
        let namespace = Some(self.objects.namespace.as_str());
        let claims = self.watch::<PersistentVolumeClaim>(namespace, is_bound);
        self.post_all(|number| self.objects.volume(number), self.objects.pvcs)
            .await?;
        self.post_all(|number| self.objects.claim(number), self.objects.pvcs)
            .await?;
        let all = self.objects.pvcs;
        let bound = claims.until(|counts| u32::try_from(counts.reached) == Ok(all));
        timeout(self.patience, bound)
            .await
            .map_err(|_| LoadError::Unbound {
                bound: claims.counts().reached,
                all,
                patience: self.patience,
            })
    }

    async fn create(&self, start: &Start, seen: &Sightings) -> Result<Figures, LoadError> {
        let all = self.objects.snapshots;
        let sent = self
            .post_all(|number| self.objects.snapshot(number), all)
            .await?;
        let answered = start.clock.elapsed();
        let ready = seen.until(|counts| u32::try_from(counts.reached) == Ok(all));
        // Too late is a figure, too.
        let _ = timeout(self.patience, ready).await;
        let latencies = seen.reached().into_iter().filter_map(|(name, at)| {
            sent.get(&name)
                .map(|sent| at.saturating_duration_since(*sent))
        });
        Ok(self
            .end(Stage::Create, start, answered, latencies.collect())
            .await)
    }

    async fn remove(&self, start: &Start, seen: &Sightings) -> Result<Figures, LoadError> {
        let all = self.objects.snapshots;
        let paths = (0..all).map(|number| {
            format!(
                "{}/{}",
                self.objects.snapshots(),
                self.objects.snapshot_name(number)
            )
        });
        self.delete_all(paths).await?;
        let answered = start.clock.elapsed();
        let gone = seen.until(|counts| u32::try_from(counts.gone) == Ok(all));
        let _ = timeout(self.patience, gone).await;
        let since = |at: Instant| at.saturating_duration_since(start.clock);
        let latencies = seen.gone().into_values().map(since).collect();
        Ok(self.end(Stage::Delete, start, answered, latencies).await)
    }

    async fn start(&self) -> Start {
        let requests = self.still().await;
        let usage = self.processes.iter().map(Process::usage).collect();
        Start {
            clock: Instant::now(),
            requests,
            usage,
        }
    }

    async fn end(
        &self,
        mode: Stage,
        start: &Start,
        sent: Duration,
        latencies: Vec<Duration>,
    ) -> Figures {
        let whole = start.clock.elapsed();
        let after = self.still().await;
        let requests = start
            .requests
            .as_ref()
            .zip(after)
            .map(|(from, to)| to.since(from));
        let processes = self.processes.iter().zip(&start.usage);
        let processes =
            processes.map(|(process, before)| (process.name.clone(), *before, process.usage()));
        Measured {
            mode,
            driver: self.objects.driver.clone(),
            n: self.objects.snapshots,
            pvcs: self.objects.pvcs,
            sent,
            whole,
            latencies,
            requests,
            processes: processes.collect(),
        }
        .figures()
    }

    /// The server's counters, once nobody works any more.
    async fn still(&self) -> Option<Requests> {
        let mut last = None;
        for _ in 0..MAX_READINGS {
            let now = self.requests().await?;
            if last
                .as_ref()
                .is_some_and(|last: &Requests| last.total() == now.total())
            {
                return Some(now);
            }
            last = Some(now);
            sleep(STILL).await;
        }
        tracing::warn!("requests did not come to rest; others are counted, too");
        last
    }

    async fn requests(&self) -> Option<Requests> {
        match self.send(Method::GET, "/metrics", Vec::new(), None).await {
            Ok(text) => Some(Requests::parse(&text)),
            Err(error) => {
                let error = tintype_runtime::Chain(&error).to_string();
                tracing::warn!(error, "requests are not counted");
                None
            }
        }
    }

    fn watch<K: Resource<DynamicType = ()>>(&self, namespace: Option<&str>, aim: Aim) -> Sightings {
        let kind = ApiResource::erase::<K>(&());
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &kind),
            None => Api::all_with(self.client.clone(), &kind),
        };
        Sightings::begin(api, &self.objects.selector(), aim)
    }

    /// Deletes all objects of a kind that this measurement made, and waits until they have gone.
    async fn sweep<K: Resource<DynamicType = ()>>(
        &self,
        what: &'static str,
        namespace: Option<&str>,
        path: &str,
    ) -> Result<(), LoadError> {
        let seen = self.watch::<K>(namespace, |_| false);
        let swept = async {
            seen.until(|counts| counts.listed).await;
            let names = seen.there();
            self.delete_all(names.iter().map(|name| format!("{path}/{name}")))
                .await?;
            seen.until(|counts| counts.there == 0).await;
            Ok(())
        };
        timeout(self.patience, swept).await.unwrap_or_else(|_| {
            Err(LoadError::Left {
                what,
                left: seen.counts().there,
                patience: self.patience,
                label: self.objects.selector(),
            })
        })
    }

    async fn made_the_driver(&self) -> Result<bool, LoadError> {
        let path = format!("{CSI_DRIVERS}?labelSelector={}", self.objects.selector());
        let found = self.send(Method::GET, &path, Vec::new(), None).await?;
        Ok(
            serde_json::from_str(&found).is_ok_and(|list: serde_json::Value| {
                list["items"]
                    .as_array()
                    .is_some_and(|items| !items.is_empty())
            }),
        )
    }

    /// Makes objects of these numbers; gives back when each was asked for.
    async fn post_all(
        &self,
        object: impl Fn(u32) -> Create,
        count: u32,
    ) -> Result<HashMap<String, Instant>, LoadError> {
        let posts = (0..count).map(|number| {
            let create = object(number);
            async move {
                let name = create.1["metadata"]["name"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                let asked = Instant::now();
                self.post(create).await?;
                Ok((name, asked))
            }
        });
        stream::iter(posts)
            .buffer_unordered(self.concurrency)
            .try_collect()
            .await
    }

    async fn post(&self, (path, object): Create) -> Result<(), LoadError> {
        let body = object.to_string().into_bytes();
        self.send(Method::POST, &path, body, Some(StatusCode::CONFLICT))
            .await
            .map(drop)
    }

    async fn delete_all(&self, paths: impl Iterator<Item = String>) -> Result<(), LoadError> {
        let deletes = paths.map(|path| async move { self.delete(&path).await });
        stream::iter(deletes)
            .buffer_unordered(self.concurrency)
            .try_collect()
            .await
    }

    async fn delete(&self, path: &str) -> Result<(), LoadError> {
        let gone = Some(StatusCode::NOT_FOUND);
        self.send(Method::DELETE, path, Vec::new(), gone)
            .await
            .map(drop)
    }

    /// Gives back the answer's body; nothing if the answer is the one that is as good.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        as_good: Option<StatusCode>,
    ) -> Result<String, LoadError> {
        let request = Request::builder().method(method.clone()).uri(path);
        let request = request.header(CONTENT_TYPE, "application/json").body(body);
        let path = || path.split('?').next().unwrap_or_default().to_owned();
        let request = request.map_err(|source| LoadError::Malformed {
            method: method.clone(),
            path: path(),
            source,
        })?;
        match self.client.request_text(request).await {
            Err(kube::Error::Api(status)) if as_good.is_some_and(|it| it == status.code) => {
                Ok(String::new())
            }
            sent => sent.map_err(|error| LoadError::Request {
                method,
                path: path(),
                source: error.into(),
            }),
        }
    }
}

fn is_ready(snapshot: &DynamicObject) -> bool {
    snapshot.data["status"]["readyToUse"] == true
}

fn is_bound(claim: &DynamicObject) -> bool {
    claim.data["status"]["phase"] == "Bound"
}
