//! Streams changes: from a resourceVersion, or after what there is now; bookmarks; 410.
//!
//! A watcher holds no queue: it reads from the store's window where it stopped. One that reads
//! too slowly finds its place forgotten, is told 410 and starts anew. Does not read requests.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use rand::Rng;
use serde_json::json;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::body::Body;
use crate::rest::{Call, Converter, Rendering, Reply, Selection};
use crate::schema::error::FieldError;
use crate::status::Failure;
use crate::store::{Bounds, Event, Expired, Object, Store};

const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// The last bookmark comes so long before the end, so that the next watch begins there.
const LAST_BOOKMARK: Duration = Duration::from_secs(2);
/// A watch without a timeout ends by itself after 30 to 60 minutes, as in Kubernetes.
const LONGEST_SECS: std::ops::Range<u64> = 1800..3600;
/// How much is read at once; a reader that does not take it holds this and no more.
const BATCH: Bounds = Bounds {
    events: 64,
    bytes: 256 << 10,
};
const INITIAL_END: &str = "k8s.io/initial-events-end";

struct Watcher {
    store: Store,
    bucket: Arc<str>,
    prefix: String,
    selection: Selection,
    rendering: Rendering,
    converter: Converter,
    news: Receiver<u64>,
    /// Changes up to here were sent, or need not be.
    reached: u64,
    /// What there was at the beginning and is not sent yet.
    initial: std::vec::IntoIter<Arc<Object>>,
    /// Whether a bookmark says that the beginning is over.
    mark_initial: bool,
    bookmarks: bool,
    next_bookmark: Instant,
    deadline: Instant,
    /// Read, but not told yet.
    events: std::vec::IntoIter<Event>,
    /// Told, but not sent yet: one line.
    ready: Option<Bytes>,
    closing: CancellationToken,
    ended: CancellationToken,
    over: bool,
}

/// Answers a watch request.
pub(crate) fn serve(call: &Call<'_>) -> Result<Reply, Failure> {
    let selection = Selection::parse(call)?;
    let rendering = Rendering::new(call)?;
    let store = call.api.store.clone();
    // Subscribed before anything is read, so that nothing falls between.
    let news = store.subscribe(call.bucket());
    let bookmarks = call.query.flag("allowWatchBookmarks");
    let (reached, initial, mark_initial) = beginning(call, &store, bookmarks)?;
    let resource = &call.target.resource;
    let deadline = deadline(call)?;
    let watcher = Watcher {
        bucket: call.bucket().clone(),
        prefix: call.prefix(),
        selection,
        rendering,
        converter: call.converter.clone(),
        news,
        reached,
        initial: initial.into_iter(),
        mark_initial,
        bookmarks,
        next_bookmark: next_bookmark(deadline),
        deadline,
        events: Vec::new().into_iter(),
        ready: None,
        closing: call.closing(),
        ended: resource.ended.clone(),
        store,
        over: false,
    };
    Ok(Reply::stream("application/json", watcher.into_body()))
}

fn deadline(call: &Call<'_>) -> Result<Instant, Failure> {
    let asked = call
        .query
        .number("timeoutSeconds")?
        .filter(|seconds| *seconds > 0);
    let seconds = asked.unwrap_or_else(|| rand::rng().random_range(LONGEST_SECS));
    // A year stands for any longer time.
    Ok(Instant::now() + Duration::from_secs(seconds.min(365 * 24 * 3600)))
}

fn next_bookmark(deadline: Instant) -> Instant {
    let now = Instant::now();
    match deadline.checked_sub(LAST_BOOKMARK) {
        Some(last) if last > now => last.min(now + BOOKMARK_EVERY),
        _ => now + BOOKMARK_EVERY,
    }
}

/// From which resourceVersion on, and after which objects; and whether a bookmark ends those.
fn beginning(
    call: &Call<'_>,
    store: &Store,
    bookmarks: bool,
) -> Result<(u64, Vec<Arc<Object>>, bool), Failure> {
    let asked = call.check_version("resourceVersion")?;
    let given = call.query.get("sendInitialEvents");
    let streamed = given.map(|_| call.query.flag("sendInitialEvents"));
    check_streaming(call, streamed, bookmarks)?;
    let all = match (streamed, asked) {
        (Some(streamed), _) => streamed,
        (None, None | Some(0)) => true,
        (None, Some(_)) => false,
    };
    if all {
        let listing = store.list(call.bucket(), &call.prefix());
        return Ok((listing.rv, listing.objects, streamed == Some(true)));
    }
    let from = asked.filter(|rv| *rv > 0).unwrap_or_else(|| store.rv());
    Ok((from, Vec::new(), false))
}

fn check_streaming(
    call: &Call<'_>,
    streamed: Option<bool>,
    bookmarks: bool,
) -> Result<(), Failure> {
    let matching = call.query.text("resourceVersionMatch");
    let mut errors = Vec::new();
    match (streamed, matching) {
        (None, "") | (Some(_), "NotOlderThan") => {}
        (None, _) => errors.push(FieldError::forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        )),
        (Some(_), _) => errors.push(FieldError::forbidden(
            "resourceVersionMatch",
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        )),
    }
    if streamed == Some(true) && !bookmarks {
        errors.push(FieldError::forbidden(
            "allowWatchBookmarks",
            "sendInitialEvents requires allowWatchBookmarks",
        ));
    }
    crate::rest::refuse("ListOptions", &errors)
}

impl Watcher {
    fn into_body(self) -> Body {
        let frames = stream::unfold(self, |mut watcher| async move {
            let bytes = watcher.next().await?;
            Some((Ok(Frame::data(bytes)), watcher))
        });
        StreamBody::new(frames).boxed_unsync()
    }

    /// The next chunk; none once the watch is over.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.ready.take() {
                return Some(bytes);
            }
            if self.over {
                return None;
            }
            if let Some(event) = self.events.next() {
                self.tell(&event).await;
                continue;
            }
            if let Some(object) = self.initial.next() {
                let event = Event {
                    rv: object.rv,
                    old: None,
                    new: Some(object),
                };
                self.tell(&event).await;
                continue;
            }
            // An exhausted iterator still holds its allocation.
            self.initial = Vec::new().into_iter();
            if std::mem::take(&mut self.mark_initial) {
                self.bookmark(true);
                continue;
            }
            // All that was read is told. On a busy resource there is always more.
            if self.must_end() {
                return None;
            }
            if self.bookmarks && Instant::now() >= self.next_bookmark {
                self.next_bookmark = next_bookmark(self.deadline);
                self.bookmark(false);
                continue;
            }
            match self.store.since(&self.bucket, self.reached, BATCH) {
                Err(expired) => self.expire(expired),
                Ok((events, reached)) => {
                    let waiting = events.is_empty();
                    self.events = events.into_iter();
                    self.reached = reached;
                    if waiting {
                        self.wait().await;
                    }
                }
            }
        }
    }

    fn must_end(&self) -> bool {
        self.closing.is_cancelled() || self.ended.is_cancelled() || Instant::now() >= self.deadline
    }

    /// Waits for news, for a bookmark to be due, or for the end.
    async fn wait(&mut self) {
        tokio::select! {
            changed = self.news.changed() => self.over = changed.is_err(),
            () = self.closing.cancelled() => {}
            () = self.ended.cancelled() => {}
            () = sleep_until(self.deadline) => {}
            () = sleep_until(self.next_bookmark), if self.bookmarks => {}
        }
    }

    /// Tells one change as it looks through the selectors.
    async fn tell(&mut self, event: &Event) {
        let both = event.old.iter().chain(&event.new);
        let near: Vec<&Arc<Object>> = both
            .filter(|object| object.key.starts_with(&self.prefix))
            .collect();
        if self.selection.looks_inside()
            && let Err(failure) = self.converter.prepare(&self.store, near).await
        {
            return self.fail(&failure);
        }
        let chosen = |object: &Option<Arc<Object>>| {
            object
                .as_ref()
                .filter(|object| object.key.starts_with(&self.prefix))
                .filter(|object| self.selection.matches(object))
                .cloned()
        };
        let (kind, object) = match (chosen(&event.old), chosen(&event.new)) {
            (None, Some(new)) => ("ADDED", new),
            (Some(_), Some(new)) => ("MODIFIED", new),
            (Some(old), None) => ("DELETED", Arc::new(old.at(event.rv))),
            (None, None) => return,
        };
        match self.converter.prepare(&self.store, [&object]).await {
            Ok(()) => self.send(kind, &object),
            Err(failure) => self.fail(&failure),
        }
        self.converter.forget();
    }

    fn send(&mut self, kind: &str, object: &Object) {
        let json = self.rendering.item(object);
        self.line(kind, &json);
    }

    fn bookmark(&mut self, ends_initial: bool) {
        let mut object = self.rendering.bookmark(self.reached);
        if ends_initial {
            object["metadata"]["annotations"] = json!({INITIAL_END: "true"});
        }
        self.line("BOOKMARK", object.to_string().as_bytes());
    }

    fn expire(&mut self, expired: Expired) {
        let message = format!(
            "too old resource version: {} ({})",
            self.reached, expired.oldest
        );
        self.fail(&Failure::expired(message));
    }

    /// The client starts anew.
    fn fail(&mut self, failure: &Failure) {
        self.line("ERROR", failure.status().to_string().as_bytes());
        self.over = true;
    }

    fn line(&mut self, kind: &str, json: &[u8]) {
        let mut line = Vec::with_capacity(json.len() + 40);
        line.extend_from_slice(b"{\"type\":\"");
        line.extend_from_slice(kind.as_bytes());
        line.extend_from_slice(b"\",\"object\":");
        line.extend_from_slice(json);
        line.extend_from_slice(b"}\n");
        self.ready = Some(line.into());
    }
}
