//! Follows one collection: lists it in pages, then watches it, and lists again when the watch cannot go on.
//!
//! Knows nothing of what the objects are for.

use std::collections::HashSet;
use std::time::Duration;

use futures::StreamExt as _;
use serde_json::Value;
use tokio::sync::mpsc;

use super::Collection;
use crate::controllers::fields::{text, uid};
use crate::local::{Call, CallError, LocalClient, Shape, WatchEvent};

/// Objects of one page: bounds what is decoded at once.
const PAGE: usize = 500;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct News {
    pub(super) of: Collection,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Page(Vec<Value>),
    /// The pages are complete, and these are the uids of all objects.
    Listed(HashSet<String>),
    Put(Value),
    Gone(Value),
}

/// Nobody listens any more.
struct Deaf;

enum Stopped {
    Deaf,
    Failed(CallError),
}

impl From<Deaf> for Stopped {
    fn from(_: Deaf) -> Self {
        Self::Deaf
    }
}

impl From<CallError> for Stopped {
    fn from(error: CallError) -> Self {
        Self::Failed(error)
    }
}

struct Informer {
    client: LocalClient,
    of: Collection,
    news: mpsc::Sender<News>,
}

/// Tells `news` of the collection for as long as anybody listens.
pub(super) async fn follow(client: LocalClient, of: Collection, news: mpsc::Sender<News>) {
    let informer = Informer { client, of, news };
    let mut pause = FIRST_PAUSE;
    let mut version = None;
    loop {
        let before = version.clone();
        let ended = informer.list_and_watch(&mut version).await;
        if version != before {
            pause = FIRST_PAUSE;
        }
        match ended {
            Err(Stopped::Deaf) => return,
            Err(Stopped::Failed(error)) if error.is_expired() => {
                version = None;
                continue;
            }
            Err(Stopped::Failed(error)) => {
                if error.is_not_found() && informer.not_served().await.is_err() {
                    return;
                }
                tracing::debug!(collection = %informer.of.path, %error, ?pause, "cannot follow");
            }
            // It went on for a while, and its time was over.
            Ok(()) if version != before => continue,
            // It ended at once: so will the next, most likely.
            Ok(()) => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

impl Informer {
    fn shape(&self) -> Shape {
        if self.of.metadata_only {
            Shape::Metadata
        } else {
            Shape::Whole
        }
    }

    /// The collection's path with more in its query.
    fn path(&self, query: &str) -> String {
        let joint = if self.of.path.contains('?') { '&' } else { '?' };
        format!("{}{joint}{query}", self.of.path)
    }

    async fn tell(&self, what: What) -> Result<(), Deaf> {
        let of = self.of.clone();
        self.news.send(News { of, what }).await.map_err(|_| Deaf)
    }

    /// Goes on from `version`, or lists first if there is none.
    async fn list_and_watch(&self, version: &mut Option<String>) -> Result<(), Stopped> {
        let from = match version {
            Some(version) => version.clone(),
            None => self.list().await?,
        };
        *version = Some(from.clone());
        let query = format!("watch=1&allowWatchBookmarks=true&resourceVersion={from}");
        let path = self.path(&query);
        let mut events = self.client.watch(&path, self.shape()).await?;
        while let Some(event) = events.next().await {
            let (what, object_version) = match event? {
                WatchEvent::Put(object) => {
                    let version = resource_version(&object);
                    (Some(What::Put(object)), version)
                }
                WatchEvent::Gone(object) => {
                    let version = resource_version(&object);
                    (Some(What::Gone(object)), version)
                }
                WatchEvent::Bookmark(version) => (None, version),
            };
            if let Some(what) = what {
                self.tell(what).await?;
            }
            *version = Some(object_version);
        }
        Ok(())
    }

    /// Lists everything; gives the version that the list is of.
    async fn list(&self) -> Result<String, Stopped> {
        let mut uids = HashSet::new();
        let mut token = String::new();
        loop {
            let mut path = self.path(&format!("limit={PAGE}"));
            if !token.is_empty() {
                path = format!("{path}&continue={}", query_escaped(&token));
            }
            let mut list = self
                .client
                .call(Call::get(path).shaped(self.shape(), true))
                .await?;
            token = text(&list["metadata"]["continue"]).to_owned();
            let version = resource_version(&list);
            if let Value::Array(objects) = list["items"].take() {
                uids.extend(objects.iter().map(|object| uid(object).to_owned()));
                self.tell(What::Page(objects)).await?;
            }
            if token.is_empty() {
                self.tell(What::Listed(uids)).await?;
                return Ok(version);
            }
        }
    }

    /// A resource that is not served, or not any more, has no objects.
    async fn not_served(&self) -> Result<(), Deaf> {
        self.tell(What::Listed(HashSet::new())).await
    }
}

fn resource_version(object: &Value) -> String {
    text(&object["metadata"]["resourceVersion"]).to_owned()
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
fn query_escaped(text: &str) -> String {
    let escaped = text.bytes().map(|byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    });
    escaped.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn continue_tokens_pass_through_a_query_unharmed() {
        assert_eq!(query_escaped("a+/=Z9-_"), "a%2B%2F%3DZ9-_");
    }
}
