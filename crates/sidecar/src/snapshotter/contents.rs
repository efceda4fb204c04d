//! Joins the content machine to its caches and to the driver.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use kube::Client;
use tintype_api::keys;
use tintype_core::content::{
    self, CallFailure, Memory, Outcome, Reply as DriverReply, Sighting, Step, Waiting,
};
use tintype_core::object::{Class, Content, ContentSource, Key};
use tintype_core::retry::Schedule;
use tintype_core::write::Write;
use tintype_core::{Seen, Stamp, Time, Timer, Verdict};
use tintype_csi::{CallError, Snapshot, v1};
use tintype_runtime::{Cache, Clock, Machine, Reply, fold_reply};
use tonic::Code;
use tracing::{info, warn};

use crate::driver::Driver;
use crate::memory::Remembered;
use crate::secrets::{self, SecretError};

/// How snapshots are named on storage.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub(crate) prefix: String,
    pub(crate) length: Option<usize>,
    pub(crate) extra_metadata: bool,
}

/// The content machine with everything around it.
pub(crate) struct Contents {
    pub(crate) cache: Arc<Cache<Content>>,
    pub(crate) classes: Arc<Cache<Class>>,
    pub(crate) driver: Driver,
    pub(crate) client: Client,
    pub(crate) clock: Clock,
    pub(crate) schedule: Schedule,
    /// The driver has `LIST_SNAPSHOTS`.
    pub(crate) lists: bool,
    pub(crate) names: Names,
    pub(crate) memory: Remembered<Memory>,
}

impl Contents {
    async fn create(&self, seen: &mut Sighting) {
        let Some(content) = seen.content.present().cloned() else {
            return;
        };
        let secrets = match self.secrets(&content).await {
            Ok(secrets) => secrets,
            Err(error) => return self.not_called(seen, "Failed to create snapshot", &error),
        };
        let request = self.create_request(&content, seen, secrets);
        let name = request.name.clone();
        let result = self.driver.client.create_snapshot(request).await;
        match result {
            Ok(snapshot) => {
                info!(content = %content.meta.key.name, %name, handle = snapshot.id, ready = snapshot.ready_to_use, "snapshot on storage");
                self.answered(seen, snapshot);
            }
            Err(error) => self.failed(seen, "Failed to create snapshot", &error),
        }
    }

    fn create_request(
        &self,
        content: &Content,
        seen: &Sighting,
        secrets: BTreeMap<String, String>,
    ) -> v1::CreateSnapshotRequest {
        let class = seen.class.as_ref().and_then(|it| it.present().cloned());
        let mut parameters = class
            .and_then(|it| content::create_parameters(&it).ok())
            .unwrap_or_default();
        if self.names.extra_metadata {
            let owner = &content.snapshot.key;
            for (key, value) in [
                (keys::METADATA_SNAPSHOT_NAME, &owner.name),
                (keys::METADATA_SNAPSHOT_NAMESPACE, &owner.namespace),
                (keys::METADATA_CONTENT_NAME, &content.meta.key.name),
            ] {
                parameters.insert(key.to_owned(), value.to_string());
            }
        }
        let source = match &content.source {
            ContentSource::Volume(handle) => handle.to_string(),
            ContentSource::Snapshot(_) | ContentSource::Neither | ContentSource::Both => {
                String::new()
            }
        };
        v1::CreateSnapshotRequest {
            source_volume_id: source,
            name: content::snapshot_name(&self.names.prefix, content, self.names.length),
            secrets,
            parameters,
        }
    }

    /// Spec sidecar 3.6; a driver without `LIST_SNAPSHOTS` is taken at the administrator's word.
    async fn ask(&self, seen: &mut Sighting) {
        let Some(handle) = seen.content.present().and_then(|it| it.handle()) else {
            return;
        };
        let handle = handle.to_owned();
        if !self.lists {
            let reply = DriverReply {
                handle: handle.into(),
                creation_time: None,
                size: 0,
                ready: true,
                group: None,
            };
            return seen
                .memory
                .folded_reply(reply, self.clock.now(), self.clock.wall());
        }
        let request = v1::ListSnapshotsRequest {
            snapshot_id: handle.clone(),
            ..Default::default()
        };
        match self.driver.client.list_snapshots(request).await {
            Ok(page) => match page.entries.into_iter().find(|it| it.id == handle) {
                Some(snapshot) => self.answered(seen, snapshot),
                None => self.fold_failure(
                    seen,
                    Outcome::NotCalled,
                    CallFailure {
                        what: "Failed to check and update snapshot content".into(),
                        code: "".into(),
                        message: format!(
                            "driver {} lists no snapshot {handle}; check spec.source.snapshotHandle",
                            self.driver.name
                        )
                        .into(),
                    },
                ),
            },
            Err(error) => self.failed(seen, "Failed to check and update snapshot content", &error),
        }
    }

    async fn delete(&self, seen: &mut Sighting) {
        let Some(content) = seen.content.present().cloned() else {
            return;
        };
        let Some(handle) = content.handle().map(str::to_owned) else {
            return;
        };
        let secrets = match secrets::read(&self.client, content.secret.as_deref()).await {
            Ok(secrets) => secrets,
            // Without it deletion would wait for ever (D6); the driver may not need it.
            Err(error @ (SecretError::Missing(_) | SecretError::Unnamed)) => {
                warn!(content = %content.meta.key.name, %error, "deletes without secrets");
                BTreeMap::new()
            }
            Err(error) => {
                return self.not_called_as(
                    seen,
                    Outcome::DeleteFailed,
                    "Failed to delete snapshot",
                    &error,
                );
            }
        };
        let request = v1::DeleteSnapshotRequest {
            snapshot_id: handle.clone(),
            secrets,
        };
        match self.driver.client.delete_snapshot(request).await {
            Ok(()) => {
                info!(content = %content.meta.key.name, handle, "snapshot deleted on storage");
                seen.memory.folded_deleted();
            }
            Err(error) => {
                let failure = failure("Failed to delete snapshot", &error);
                self.fold_failure(seen, Outcome::DeleteFailed, failure);
            }
        }
    }

    /// Secrets for a create; one that is going has to come to an end without them (D32).
    async fn secrets(&self, content: &Content) -> Result<BTreeMap<String, String>, SecretError> {
        match secrets::read(&self.client, content.secret.as_deref()).await {
            Err(SecretError::Missing(_) | SecretError::Unnamed) if content.meta.deleting => {
                Ok(BTreeMap::new())
            }
            other => other,
        }
    }

    fn answered(&self, seen: &mut Sighting, snapshot: Snapshot) {
        let nanos = snapshot
            .creation_time
            .and_then(|it| it.duration_since(UNIX_EPOCH).ok())
            .and_then(|it| i64::try_from(it.as_nanos()).ok());
        let reply = DriverReply {
            handle: snapshot.id.into(),
            creation_time: nanos,
            size: i64::try_from(snapshot.size_bytes).unwrap_or(i64::MAX),
            ready: snapshot.ready_to_use,
            group: snapshot.group_snapshot_id.map(Into::into),
        };
        seen.memory
            .folded_reply(reply, self.clock.now(), self.clock.wall());
    }

    fn failed(&self, seen: &mut Sighting, what: &str, error: &CallError) {
        // A name that is taken says that something was made under it.
        let outcome = if error.is_uncertain() || error.code == Code::AlreadyExists {
            Outcome::Uncertain
        } else {
            Outcome::Refused
        };
        self.fold_failure(seen, outcome, failure(what, error));
    }

    fn not_called(&self, seen: &mut Sighting, what: &str, error: &SecretError) {
        self.not_called_as(seen, Outcome::NotCalled, what, error);
    }

    fn not_called_as(
        &self,
        seen: &mut Sighting,
        outcome: Outcome,
        what: &str,
        error: &SecretError,
    ) {
        let failure = CallFailure {
            what: what.into(),
            code: "".into(),
            message: error.to_string().into(),
        };
        self.fold_failure(seen, outcome, failure);
    }

    fn fold_failure(&self, seen: &mut Sighting, outcome: Outcome, failure: CallFailure) {
        warn!(driver = %self.driver.name, code = %failure.code, "{}: {}", failure.what, failure.message);
        seen.memory.folded_failure(
            outcome,
            failure,
            self.clock.now(),
            self.schedule,
            rand::random(),
        );
    }
}

fn failure(what: &str, error: &CallError) -> CallFailure {
    CallFailure {
        what: what.into(),
        code: format!("{:?}", error.code).into(),
        message: error.message.as_str().into(),
    }
}

impl Machine for Contents {
    type Seen = Sighting;
    type Step = Step;
    type Why = Waiting;

    const NAME: &'static str = "content";

    fn observe(&self, key: &Key, now: Time) -> Sighting {
        let content = self.cache.get(key);
        let memory = self
            .memory
            .recall(key)
            .about(content.present().map(AsRef::as_ref));
        if memory.is_blank() {
            self.memory.forget(key);
        }
        let class = content
            .present()
            .and_then(|it| it.class.clone())
            .map(|name| self.classes.get(&Key::cluster(name)));
        Sighting {
            content,
            class,
            driver: self.driver.name.clone(),
            memory,
            now,
        }
    }

    fn decide(&self, seen: &Sighting) -> Verdict<Step, Waiting> {
        content::decide(&seen.facts())
    }

    fn render(&self, step: Step, seen: &Sighting, wall: Stamp) -> Option<Write> {
        content::render(step, seen, wall)
    }

    fn fold(&self, key: &Key, seen: &mut Sighting, step: Step, reply: Reply) {
        seen.see(fold_reply(&self.cache, key, reply));
        match step {
            Step::MarkCreating => seen.memory.folded_mark(),
            Step::ClearMark => seen.memory.folded_clear(),
            Step::RecordStatus => seen.memory.folded_record(),
            Step::RecordFailure
            | Step::Release
            | Step::CreateOnStorage
            | Step::AskStatus
            | Step::DeleteOnStorage => {}
        }
        self.memory.keep(key, seen.memory.clone());
        seen.now = self.clock.now();
    }

    async fn call(&self, key: &Key, step: Step, seen: &mut Sighting) {
        match step {
            Step::CreateOnStorage => self.create(seen).await,
            Step::AskStatus => self.ask(seen).await,
            Step::DeleteOnStorage => self.delete(seen).await,
            Step::MarkCreating
            | Step::RecordStatus
            | Step::ClearMark
            | Step::RecordFailure
            | Step::Release => {
                // The content went while the step was decided.
                seen.content = Seen::NotCached;
            }
        }
        self.memory.keep(key, seen.memory.clone());
        // What was said in the object meanwhile counts.
        if let Seen::Present(row) = self.cache.get(key) {
            seen.see(Seen::Present(row));
        }
        seen.now = self.clock.now();
    }

    fn delay(&self, seen: &Sighting, _timer: Timer) -> Duration {
        Duration::from_millis(seen.memory.backoff.remaining(self.clock.now()))
    }
}
