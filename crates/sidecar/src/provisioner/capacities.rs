//! Keeps the objects that say how much room the driver has where: joins `core::capacity` to caches,
//! driver and API server.
//!
//! One loop does it all, so nothing it holds is shared: news of objects, own writes and the driver's
//! answers are folded in one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use k8s_openapi::api::storage::v1::CSIStorageCapacity;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as start_watcher};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use tintype_api::{keys, names};
use tintype_core::capacity::{self, Place, Published, Room, Sighting, Step};
use tintype_core::object::Key;
use tintype_core::topology::Segments;
use tintype_csi::v1;
use tintype_runtime::Chain;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::caches::BY_DRIVER;
use super::{Args, Base, Beside, wire};

/// Who wants to be heard: something changed that may ask for another object, or for a look.
#[derive(Debug, Default)]
pub(super) struct Stir {
    classes: Mutex<BTreeSet<String>>,
    news: Notify,
}

impl Stir {
    /// A volume of this class was made or removed.
    fn class(&self, class: &str) {
        self.classes().insert(class.to_owned());
        self.news.notify_one();
    }

    /// Classes or nodes changed.
    pub(super) fn places(&self) {
        self.news.notify_one();
    }

    /// Who is told that a volume was made or removed.
    pub(super) fn told(self: Arc<Self>) -> Arc<dyn Fn(&str) + Send + Sync> {
        Arc::new(move |class| self.class(class))
    }

    fn classes(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.classes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything the objects depend on.
pub(super) struct Capacities {
    base: Base,
    api: Api<CSIStorageCapacity>,
    stir: Arc<Stir>,
    manager: String,
    owners: Value,
    /// The driver has topology: it is asked for each.
    topology: bool,
    immediate: bool,
    poll: u64,
    threads: usize,
    objects: BTreeMap<String, Published>,
    /// Objects of a list that is not complete yet.
    listed: BTreeMap<String, Published>,
    memory: capacity::Memory,
}

impl Capacities {
    /// Finds out whose the objects are to be.
    pub(super) async fn open(
        base: &Base,
        beside: &Beside,
        args: &Args,
        client: Client,
        stir: Arc<Stir>,
        topology: bool,
    ) -> anyhow::Result<Self> {
        let pod = &beside.pod;
        let flags = &args.capacity;
        let namespace = pod.namespace()?;
        let owner = pod
            .owner(&base.client, flags.capacity_ownerref_level)
            .await?;
        Ok(Self {
            base: base.clone(),
            api: Api::namespaced(client, &namespace),
            stir,
            manager: names::capacity_manager(beside.node.as_ref().map(|it| &*it.name)),
            owners: owner.map_or_else(|| json!([]), |it| json!([it])),
            topology,
            immediate: flags.capacity_for_immediate_binding,
            poll: u64::try_from(flags.capacity_poll_interval.0.as_millis()).unwrap_or(u64::MAX),
            threads: flags.capacity_threads.max(1),
            objects: BTreeMap::new(),
            listed: BTreeMap::new(),
            memory: capacity::Memory::default(),
        })
    }

    /// Keeps the objects until `end`.
    pub(super) async fn run(mut self, end: CancellationToken) {
        let labels = format!(
            "{}={},{}={}",
            keys::LABEL_CAPACITY_DRIVER,
            self.base.driver.name,
            keys::LABEL_CAPACITY_MANAGER,
            self.manager
        );
        let config = watcher::Config::default().labels(&labels);
        let mut events = start_watcher(self.api.clone(), config)
            .default_backoff()
            .boxed();
        let mut filled = false;
        loop {
            let work = async {
                if filled {
                    self.work().await;
                }
                self.wait(filled, &mut events).await
            };
            tokio::select! {
                () = end.cancelled() => return,
                synced = work => filled |= synced,
            }
        }
    }

    /// Waits for news, or until something is due; true once a list is complete.
    async fn wait(
        &mut self,
        filled: bool,
        events: &mut (impl Stream<Item = watcher::Result<Event<CSIStorageCapacity>>> + Unpin),
    ) -> bool {
        /// Longest sleep: it is looked again then.
        const LONG: u64 = 3_600_000;
        let next = capacity::next(&self.observe()).filter(|_| filled);
        let stir = self.stir.clone();
        tokio::select! {
            event = events.next() => return event.is_some_and(|it| self.heard(it)),
            () = stir.news.notified() => {
                for class in std::mem::take(&mut *stir.classes()) {
                    self.memory.stirred(&class);
                }
            }
            () = tokio::time::sleep(Duration::from_millis(next.unwrap_or(LONG).max(1))) => {}
        }
        false
    }

    fn heard(&mut self, event: watcher::Result<Event<CSIStorageCapacity>>) -> bool {
        match event {
            Err(error) => {
                warn!(error = %Chain(&error), "watch of CSIStorageCapacity interrupted");
            }
            Ok(Event::Init) => self.listed.clear(),
            Ok(Event::InitApply(object)) => {
                if let Some((name, object)) = published(&object) {
                    self.listed.insert(name, object);
                }
            }
            Ok(Event::InitDone) => {
                self.objects = std::mem::take(&mut self.listed);
                return true;
            }
            Ok(Event::Apply(object)) => self.fold(&object),
            Ok(Event::Delete(object)) => {
                self.objects.remove(&object.name_any());
            }
        }
        false
    }

    fn fold(&mut self, object: &CSIStorageCapacity) {
        if let Some((name, object)) = published(object) {
            self.objects.insert(name, object);
        }
    }

    fn observe(&self) -> Sighting {
        let caches = &self.base.caches;
        let driver = &self.base.driver.name;
        let classes = caches
            .classes
            .group(BY_DRIVER, &Key::cluster(driver.clone()));
        let topologies = if self.topology {
            capacity::topologies(&caches.places.list())
        } else {
            BTreeSet::from([Segments::new()])
        };
        let classes = classes.iter().map(|it| &**it);
        Sighting {
            places: capacity::places(classes, &topologies, driver, self.immediate),
            objects: self.objects.clone(),
            owners: self.owners.clone(),
            memory: self.memory.clone(),
            now: self.base.clock.now(),
        }
    }

    /// Does all that can be done now.
    async fn work(&mut self) {
        loop {
            let seen = self.observe();
            self.memory.forget_all_but(&seen.places);
            let steps = capacity::decide(&seen);
            if steps.is_empty() {
                return;
            }
            let asked = steps.iter().filter_map(|it| match it {
                Step::Ask(place) => Some(place.clone()),
                Step::Create(..) | Step::Update(..) | Step::Delete(_) => None,
            });
            let asked: Vec<Place> = asked.collect();
            self.ask(asked).await;
            for step in steps {
                if let Err(error) = self.write(&seen, step).await {
                    self.not_written(&error);
                    break;
                }
            }
        }
    }

    async fn ask(&mut self, places: Vec<Place>) {
        let base = &self.base;
        let calls = places.into_iter().map(|place| async move {
            let answer = room(base, &place).await;
            (place, answer)
        });
        let mut answers = stream::iter(calls).buffer_unordered(self.threads);
        while let Some((place, answer)) = answers.next().await {
            let now = base.clock.now();
            match answer {
                Ok(room) => self.memory.folded_answer(&place, room, now, self.poll),
                Err(error) => {
                    warn!(class = %place.class, segments = ?place.segments, error, "the driver does not say how much room there is");
                    let dice = rand::random();
                    self.memory.folded_silence(&place, now, base.schedule, dice);
                }
            }
        }
    }

    async fn write(&mut self, seen: &Sighting, step: Step) -> kube::Result<()> {
        match step {
            Step::Ask(_) => {}
            Step::Create(place, room) => {
                let driver = &self.base.driver.name;
                let document =
                    capacity::document(&place, room, driver, &self.manager, &self.owners);
                let object = serde_json::from_value(document).map_err(kube::Error::SerdeError)?;
                let made = self.api.create(&PostParams::default(), &object).await?;
                info!(class = %place.class, segments = ?place.segments, room.available, "room told");
                self.fold(&made);
            }
            Step::Update(name, room) => {
                let Some(object) = seen.objects.get(&name) else {
                    return Ok(());
                };
                let patch = capacity::patch(object, room, &self.owners);
                let patch = Patch::Merge(patch);
                let made = self
                    .api
                    .patch(&name, &PatchParams::default(), &patch)
                    .await?;
                self.fold(&made);
            }
            Step::Delete(name) => {
                let Some(object) = seen.objects.get(&name) else {
                    return Ok(());
                };
                let params = DeleteParams {
                    preconditions: Some(Preconditions {
                        uid: Some(object.uid.to_string()),
                        resource_version: None,
                    }),
                    ..DeleteParams::default()
                };
                let deleted = self.api.delete(&name, &params).await;
                match deleted {
                    Err(kube::Error::Api(status)) if status.is_not_found() => {}
                    other => drop(other?),
                }
                self.objects.remove(&name);
            }
        }
        self.memory.writes.succeeded();
        Ok(())
    }

    /// Somebody else was faster, or it is not allowed: it is tried again after a while, or on news.
    fn not_written(&mut self, error: &kube::Error) {
        let moved_on = matches!(error, kube::Error::Api(status) if status.is_conflict() || status.is_not_found());
        if !moved_on {
            warn!(error = %Chain(error), "a CSIStorageCapacity object could not be written");
        }
        let now = self.base.clock.now();
        let dice = rand::random();
        self.memory.writes.failed(now, self.base.schedule, dice);
    }
}

fn published(object: &CSIStorageCapacity) -> Option<(String, Published)> {
    match serde_json::to_value(object) {
        Ok(document) => Some((object.name_any(), Published::of(&document))),
        Err(error) => {
            warn!(%error, "a CSIStorageCapacity of unexpected shape is left alone");
            None
        }
    }
}

/// What the driver says of a place.
async fn room(base: &Base, place: &Place) -> Result<Room, String> {
    let class = base.caches.classes.get(&Key::cluster(&*place.class));
    let class = class.present().ok_or("its class is gone")?;
    let parameters = capacity::parameters(class)?;
    let ask = v1::GetCapacityRequest {
        // Room is the same for all; the driver must be told some (CSI, GetCapacity).
        volume_capabilities: vec![wire::any_capability()],
        parameters,
        accessible_topology: (!place.segments.is_empty()).then(|| wire::topology(&place.segments)),
    };
    let found = base.driver.client.get_capacity(ask).await;
    let found = found.map_err(|it| it.to_string())?;
    Ok(Room {
        available: found.available,
        largest: found.maximum_volume_size,
    })
}
