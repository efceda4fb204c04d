//! Feeds a cache from a watch on the API server.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use kube::api::ListParams;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as start_watcher};
use kube::{Api, Client, ResourceExt as _};
use tintype_core::object::{Key, Uid};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{Cache, Chain, Row, Tasks};

/// Objects per page of a list.
const PAGE: u32 = 500;
/// Between two tries to read all of a kind.
const AGAIN: Duration = Duration::from_secs(1);

/// Watches all objects of the row's kind, in all namespaces, until `shutdown`.
///
/// Lost connections are made anew, with a growing delay; an object that cannot be read is logged
/// and costs nobody else anything.
pub fn watch<R: Row>(
    tasks: &mut Tasks,
    client: &Client,
    cache: &Arc<Cache<R>>,
    shutdown: &CancellationToken,
) {
    watch_labelled(tasks, client, cache, None, shutdown);
}

/// The same, of objects that have this label (`key=value`) only.
pub fn watch_labelled<R: Row>(
    tasks: &mut Tasks,
    client: &Client,
    cache: &Arc<Cache<R>>,
    label: Option<String>,
    shutdown: &CancellationToken,
) {
    let (client, cache, shutdown) = (client.clone(), cache.clone(), shutdown.clone());
    let name = format!("watch of {}", kind_name::<R>());
    tasks.spawn(name, follow(client, cache, label, shutdown));
}

/// Watches all objects of the row's kind that have this label, until `shutdown`.
pub async fn follow<R: Row>(
    client: Client,
    cache: Arc<Cache<R>>,
    label: Option<String>,
    shutdown: CancellationToken,
) {
    let api: Api<DeserializeGuard<R::Object>> = Api::all_with(client, &R::kind());
    let config = watcher::Config {
        label_selector: label,
        ..watcher::Config::default()
    };
    let mut events = start_watcher(api, config).default_backoff().boxed();
    let mut listed = HashSet::new();
    loop {
        let event = tokio::select! {
            () = shutdown.cancelled() => return,
            event = events.next() => event,
        };
        match event {
            None => return,
            Some(Err(error)) => {
                warn!(kind = kind_name::<R>(), error = %Chain(&error), "watch interrupted");
            }
            Some(Ok(Event::Init)) => listed.clear(),
            Some(Ok(Event::InitApply(object))) => {
                listed.insert(key_of(&object));
                offer(&cache, object);
            }
            Some(Ok(Event::InitDone)) => cache.sweep(&std::mem::take(&mut listed)),
            Some(Ok(Event::Apply(object))) => offer(&cache, object),
            Some(Ok(Event::Delete(object))) => {
                let uid = Uid::parse(object.uid().as_deref().unwrap_or_default());
                cache.remove(&key_of(&object), &uid);
            }
        }
    }
}

/// Reads all objects of the row's kind, or those the `label` selects, past the watch, until that
/// succeeds or `shutdown` comes: afterwards the cache knows at least what there was when this began.
///
/// For who follows a leader: its watches may be behind what that one did last, each by another
/// while.
pub async fn catch_up<R: Row>(
    client: &Client,
    cache: &Cache<R>,
    label: Option<&str>,
    shutdown: &CancellationToken,
) {
    loop {
        let read = tokio::select! {
            () = shutdown.cancelled() => return,
            read = read_all(client, cache, label) => read,
        };
        let Err(error) = read else { return };
        warn!(kind = kind_name::<R>(), error = %Chain(&error), "cannot catch up with the last leader");
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

async fn read_all<R: Row>(
    client: &Client,
    cache: &Cache<R>,
    label: Option<&str>,
) -> Result<(), kube::Error> {
    let api: Api<DeserializeGuard<R::Object>> = Api::all_with(client.clone(), &R::kind());
    let before = cache.rows();
    let mut listed = HashSet::new();
    // Without a version this is a quorum read; the pages that follow are of the same moment.
    let mut params = ListParams::default().limit(PAGE);
    if let Some(label) = label {
        params = params.labels(label);
    }
    loop {
        let page = api.list(&params).await?;
        for object in page.items {
            listed.insert(key_of(&object));
            offer(cache, object);
        }
        match page.metadata.continue_ {
            Some(token) if !token.is_empty() => params = params.continue_token(&token),
            Some(_) | None => break,
        }
    }
    cache.take_unlisted(&before, &listed);
    Ok(())
}

fn kind_name<R: Row>() -> String {
    use kube::Resource as _;
    R::Object::kind(&R::kind()).into_owned()
}

fn key_of<K: kube::Resource>(object: &DeserializeGuard<K>) -> Key {
    Key::namespaced(object.namespace().unwrap_or_default(), object.name_any())
}

fn offer<R: Row>(cache: &Cache<R>, object: DeserializeGuard<R::Object>) {
    let key = key_of(&object);
    match object.0 {
        Ok(object) => match R::read(object) {
            Ok(row) => cache.offer(row),
            Err(error) => {
                warn!(kind = kind_name::<R>(), %key, %error, "an object of unexpected shape is left alone");
            }
        },
        Err(error) => {
            warn!(kind = kind_name::<R>(), %key, %error, "an object of unexpected shape is left alone");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;

    use http::{Request, Response};
    use kube::client::Body;
    use tintype_core::object::Content;

    use super::*;

    /// Two pages; the first try at the second one fails, and all of it is read anew.
    #[tokio::test(start_paused = true)]
    async fn who_follows_a_leader_reads_everything_past_its_watches() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = asked.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let query = request.uri().query().unwrap_or_default().to_owned();
            let mut asked = seen.lock().unwrap();
            asked.push(query.clone());
            let fails = asked.len() == 2;
            let (name, next) = if query.contains("continue=more") {
                ("two", "")
            } else {
                ("one", "more")
            };
            async move {
                if fails {
                    return Err(kube::Error::Service("no answer".into()));
                }
                let item = json!({"metadata": {"name": name, "uid": name, "resourceVersion": "7"}});
                let list = json!({"metadata": {"resourceVersion": "9", "continue": next},
                    "items": [item]});
                Ok(Response::new(Body::from(list.to_string().into_bytes())))
            }
        });
        let cache = Cache::<Content>::new(vec![]);
        let gone = json!({"metadata": {"name": "gone", "uid": "gone", "resourceVersion": "5"}});
        cache.offer(Content::read_reply(gone).unwrap());
        let client = Client::new(service, "default");
        catch_up(&client, &cache, None, &CancellationToken::new()).await;
        assert!(cache.get(&Key::cluster("gone")).present().is_none());
        for name in ["one", "two"] {
            assert!(cache.get(&Key::cluster(name)).present().is_some(), "{name}");
        }
        let asked = asked.lock().unwrap();
        assert_eq!(asked.len(), 4, "{asked:?}");
        // No version is named: what the server has agreed on is wanted.
        assert!(
            asked.iter().all(|it| !it.contains("resourceVersion")),
            "{asked:?}"
        );
    }

    #[tokio::test]
    async fn a_label_is_asked_for_with_every_list_and_watch() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = asked.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let query = request.uri().query().unwrap_or_default().to_owned();
            let watches = query.contains("watch=true");
            seen.lock().unwrap().push(query);
            async move {
                if watches {
                    std::future::pending::<()>().await;
                }
                let list = r#"{"metadata": {"resourceVersion": "1"}, "items": []}"#;
                Ok::<_, kube::Error>(Response::new(Body::from(list.as_bytes().to_vec())))
            }
        });
        let (cache, shutdown) = (Cache::<Content>::new(vec![]), CancellationToken::new());
        let label = Some("snapshot.storage.kubernetes.io/managed-by=node-1".to_owned());
        let client = Client::new(service, "default");
        let mut tasks = Tasks::default();
        catch_up(&client, &cache, label.as_deref(), &shutdown).await;
        watch_labelled(&mut tasks, &client, &cache, label, &shutdown);
        cache.synced().await;
        while asked.lock().unwrap().len() < 3 {
            tokio::task::yield_now().await;
        }
        shutdown.cancel();
        tasks.ended().await.unwrap();
        for query in asked.lock().unwrap().iter() {
            let wanted = "labelSelector=snapshot.storage.kubernetes.io%2Fmanaged-by%3Dnode-1";
            assert!(query.contains(wanted), "{query}");
        }
    }
}
