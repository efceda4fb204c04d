//! Tells events: core/v1, one POST each, never in the way of the work they speak of.
//!
//! Nothing is told twice: machines speak only when something changed, so there is no correlation.

use std::time::Duration;

use http::Request;
use kube::Client;
use serde_json::{Value, json};
use tintype_core::object::Key;
use tintype_core::write::Event;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::apply::{api_version, kind_name};
use crate::{Chain, Clock};

/// Events that wait to be sent; beyond that they are dropped, and the log says so.
const WAITING: usize = 4096;
/// How many are sent at once.
const AT_ONCE: usize = 8;
/// How long the end of a role waits for those that were told before.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Takes events; a task of its own sends them.
#[derive(Debug, Clone)]
pub struct Recorder {
    sender: mpsc::Sender<Event>,
}

impl Recorder {
    /// Starts sending as `component`, until [`Events::end`].
    pub fn start(client: Client, component: &str, clock: Clock) -> (Self, Events) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let stop = CancellationToken::new();
        let task = tokio::spawn(send_all(
            client,
            component.to_owned(),
            clock,
            receiver,
            stop.clone(),
        ));
        (Self { sender }, Events { stop, task })
    }

    /// Tells an event.
    pub fn tell(&self, event: Event) {
        if let Err(error) = self.sender.try_send(event) {
            warn!(%error, "an event is dropped: too many wait to be sent");
        }
    }
}

/// The task that sends.
#[derive(Debug)]
pub struct Events {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Events {
    /// Stops once those told before are sent, or the API server does not take them.
    pub async fn end(self) -> Result<(), JoinError> {
        self.stop.cancel();
        self.task.await
    }
}

async fn send_all(
    client: Client,
    component: String,
    clock: Clock,
    receiver: mpsc::Receiver<Event>,
    shutdown: CancellationToken,
) {
    let sending = send_until(client, component, clock, receiver, shutdown.clone());
    let too_late = async {
        shutdown.cancelled().await;
        tokio::time::sleep(LAST_WORDS).await;
    };
    tokio::select! {
        () = sending => {}
        () = too_late => warn!("events are dropped: the API server does not take them"),
    }
}

async fn send_until(
    client: Client,
    component: String,
    clock: Clock,
    mut receiver: mpsc::Receiver<Event>,
    shutdown: CancellationToken,
) {
    let slots = std::sync::Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
    let mut sending = tokio::task::JoinSet::new();
    loop {
        let event = tokio::select! {
            biased;
            event = receiver.recv() => event,
            () = shutdown.cancelled() => break,
        };
        let Some(event) = event else { break };
        let Ok(slot) = slots.clone().acquire_owned().await else {
            break;
        };
        while sending.try_join_next().is_some() {}
        let (client, body) = (client.clone(), of_event(&event, &component, clock));
        sending.spawn(async move {
            send(&client, &event.key, &body).await;
            drop(slot);
        });
    }
    while sending.join_next().await.is_some() {}
}

/// What an event is about, where that is no object of a machine.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) api_version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) key: Key,
    pub(crate) uid: String,
    pub(crate) version: String,
}

/// Sends one event of type `Normal` and waits until that is done.
pub(crate) async fn tell_about(
    client: &Client,
    clock: Clock,
    component: &str,
    subject: &Subject,
    reason: &str,
    message: &str,
) {
    let body = document(subject, component, clock, (false, reason, message));
    send(client, &subject.key, &body).await;
}

async fn send(client: &Client, key: &Key, body: &Value) {
    let path = format!("/api/v1/namespaces/{}/events", namespace(key));
    let request = Request::post(path)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(body.to_string().into_bytes());
    let sent = match request {
        Ok(request) => client.request::<Value>(request).await,
        Err(error) => Err(kube::Error::HttpError(error)),
    };
    match sent {
        Ok(_) => {}
        // The namespace is going, and the object with it.
        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => {
            debug!(object = %key, why = %status.message, "an event is not wanted");
        }
        Err(error) => {
            warn!(object = %key, error = %Chain(&error), "an event could not be sent");
        }
    }
}

/// Events of cluster-wide objects go to `default`.
fn namespace(key: &Key) -> &str {
    if key.namespace.is_empty() {
        "default"
    } else {
        &key.namespace
    }
}

fn of_event(event: &Event, component: &str, clock: Clock) -> Value {
    let subject = Subject {
        api_version: api_version(event.about),
        kind: kind_name(event.about),
        key: event.key.clone(),
        uid: event.uid.to_string(),
        version: event.version.to_string(),
    };
    let said = (event.warning, event.reason.as_str(), &*event.message);
    document(&subject, component, clock, said)
}

fn document(
    subject: &Subject,
    component: &str,
    clock: Clock,
    (warning, reason, message): (bool, &str, &str),
) -> Value {
    let now = clock.wall().rfc3339();
    let key = &subject.key;
    let mut involved = json!({
        "apiVersion": subject.api_version,
        "kind": subject.kind,
        "name": key.name,
        "uid": subject.uid,
        "resourceVersion": subject.version,
    });
    if !key.namespace.is_empty() {
        involved["namespace"] = key.namespace.as_ref().into();
    }
    // Room for a dot and the suffix in the 253 letters of a name.
    let stem: String = key.name.chars().take(235).collect();
    let random: u64 = rand::random();
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": format!("{stem}.{random:016x}"),
            "namespace": namespace(key),
        },
        "involvedObject": involved,
        "reason": reason,
        "message": cut(message),
        "type": if warning { "Warning" } else { "Normal" },
        "source": {"component": component},
        "reportingComponent": component,
        "reportingInstance": "",
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    })
}

/// Kubernetes takes 1024 bytes of message.
fn cut(message: &str) -> &str {
    message
        .char_indices()
        .take_while(|(at, letter)| at + letter.len_utf8() <= 1024)
        .last()
        .map_or("", |(at, letter)| &message[..at + letter.len_utf8()])
}

#[cfg(test)]
mod tests {
    use http::Response;
    use kube::client::Body;
    use tintype_api::Reason;
    use tintype_core::object::{Uid, Version};
    use tintype_core::write::Kind;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_does_not_hold_up_the_end() {
        let service = tower::service_fn(|_: Request<Body>| {
            std::future::pending::<Result<Response<Body>, kube::Error>>()
        });
        let client = Client::new(service, "default");
        let (recorder, events) = Recorder::start(client, "test", Clock::start());
        for number in 0..AT_ONCE + 10 {
            recorder.tell(Event {
                about: Kind::Snapshot,
                key: Key::namespaced("ns", format!("snap-{number}")),
                uid: Uid::parse("u1"),
                version: Version::parse("1"),
                warning: false,
                reason: Reason::SnapshotReady,
                message: "ready".to_owned(),
            });
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        let start = Instant::now();
        events.end().await.unwrap();
        assert_eq!(start.elapsed(), LAST_WORDS);
    }

    #[test]
    fn long_messages_are_cut_between_letters() {
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(""), "");
        let long = "ä".repeat(600);
        assert_eq!(cut(&long).len(), 1024);
        let odd = format!("a{long}");
        assert_eq!(cut(&odd).len(), 1023);
    }
}
