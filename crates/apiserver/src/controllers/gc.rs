//! Deletes objects whose owners are gone, and completes the foreground and orphaning deletion of owners.
//!
//! Remembers the uid of every object, and more only of those that have owners or are being deleted so. Knows kinds
//! only from discovery and from definitions.

mod graph;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use self::graph::{Graph, Node, Owner, Place, Step, Uid};
use super::engine::{self, Change, Collection, Controller, Outbox, Reply, Work};
use super::fields::uid;
use super::resources::{Resource, discover};
use crate::local::{Call, LocalClient};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Collector {
    graph: Graph,
    resources: HashMap<Place, Resource>,
    /// Places of custom resources, by the uid of their definition.
    defined: HashMap<String, Place>,
}

/// What was asked of the server, as far as the reply's reading depends on it.
#[derive(Debug)]
enum Asked {
    ToWrite,
    ForOwner {
        owner: Uid,
        place: Place,
        /// Of the object that names it.
        namespace: String,
    },
}

/// Collects garbage until `stop`.
pub(super) async fn run(client: LocalClient, stop: CancellationToken) {
    let resources = loop {
        match discover(&client).await {
            Ok(resources) => break resources,
            Err(error) => tracing::warn!(%error, "cannot discover what there is to collect"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    };
    let mut collector = Collector::default();
    for resource in resources.into_iter().filter(collected) {
        collector.resources.insert(resource.path().into(), resource);
    }
    let places = collector.resources.keys().cloned();
    let collections = places.map(collection).collect();
    engine::run(collector, collections, client, stop).await;
}

fn collected(resource: &Resource) -> bool {
    // Events own nothing, nobody owns them, and there are many.
    resource.plural != "events" && resource.can(&["list", "watch", "delete"])
}

fn collection(place: Place) -> Collection {
    if &*place == DEFINITIONS {
        Collection::whole(place)
    } else {
        Collection::metadata(place)
    }
}

impl Controller for Collector {
    type Key = Uid;
    type Step = Asked;

    fn observe(&mut self, of: &Collection, change: Change<'_>, out: &mut Outbox<Uid>) {
        let gone = match change {
            Change::Put(object) => {
                if &*of.path == DEFINITIONS {
                    self.define(object, out);
                }
                self.graph
                    .put(&of.path, object)
                    .into_iter()
                    .for_each(|uid| out.wake(uid));
                return;
            }
            Change::Gone(object) => vec![uid(object).into()],
            Change::Only(uids) => self.graph.others(&of.path, uids),
        };
        for uid in gone {
            self.remove(&uid, out);
        }
    }

    fn next(&mut self, uid: &Uid) -> Option<(Asked, Work)> {
        let node = self.graph.node(uid)?;
        let step = self
            .graph
            .decide(uid, |node, owner| self.resource_of(node, owner).is_some());
        let call = match step {
            Step::Rest => return None,
            Step::LookUp(owner) => {
                let reference = node.owners.iter().find(|known| known.uid == owner)?;
                let (place, resource) = self.resource_of(node, reference)?;
                let place = Arc::clone(place);
                let path = resource.path_in(&node.namespace);
                let call = Call::get(format!("{path}/{}", reference.name));
                let namespace = if resource.namespaced {
                    node.namespace.clone()
                } else {
                    String::new()
                };
                let asked = Asked::ForOwner {
                    owner,
                    place,
                    namespace,
                };
                return Some((asked, call.into()));
            }
            Step::Delete { foreground } => {
                let policy = if foreground {
                    "Foreground"
                } else {
                    "Background"
                };
                let options = json!({
                    "kind": "DeleteOptions",
                    "apiVersion": "v1",
                    "preconditions": { "uid": uid, "resourceVersion": node.version.to_string() },
                    "propagationPolicy": policy,
                });
                Call::delete(self.path(node)?, options)
            }
            Step::Disown(owners) => self.disown(node, uid, &owners)?,
            Step::Release(dependent) => {
                let owners = [Arc::clone(uid)];
                self.disown(self.graph.node(&dependent)?, &dependent, &owners)?
            }
            Step::RemoveFinalizer(finalizer) => {
                let rest: Vec<_> = node
                    .finalizers
                    .iter()
                    .filter(|held| *held != finalizer)
                    .collect();
                self.patch(node, uid, json!({ "finalizers": rest }))?
            }
        };
        Some((Asked::ToWrite, call.into()))
    }

    fn fold(&mut self, _key: &Uid, asked: Asked, reply: &Reply, out: &mut Outbox<Uid>) -> bool {
        match (asked, reply) {
            (
                Asked::ForOwner {
                    owner,
                    place,
                    namespace,
                },
                Ok(object),
            ) => {
                let there = uid(object) == &*owner;
                self.graph
                    .looked_up(owner, &namespace, there.then_some(place));
                true
            }
            (
                Asked::ForOwner {
                    owner, namespace, ..
                },
                Err(error),
            ) if error.is_not_found() => {
                self.graph.looked_up(owner, &namespace, None);
                true
            }
            (Asked::ToWrite, Ok(object)) => {
                self.refresh(object, out);
                true
            }
            (_, Err(_)) => false,
        }
    }
}

impl Collector {
    fn remove(&mut self, uid: &str, out: &mut Outbox<Uid>) {
        if let Some(place) = self.defined.remove(uid) {
            self.undefine(&place, out);
        }
        self.graph
            .remove(uid)
            .into_iter()
            .for_each(|uid| out.wake(uid));
    }

    /// Takes in what a write gave back; a deletion's Status is not an object.
    fn refresh(&mut self, object: &Value, out: &mut Outbox<Uid>) {
        let Some(node) = self.graph.node(uid(object)) else {
            return;
        };
        let place = Arc::clone(&node.place);
        self.graph
            .put(&place, object)
            .into_iter()
            .for_each(|uid| out.wake(uid));
    }

    /// Follows the resource of a definition, in the version that is served now.
    fn define(&mut self, definition: &Value, out: &mut Outbox<Uid>) {
        let Some(resource) = Resource::of_definition(definition) else {
            return;
        };
        let place: Place = resource.path().into();
        let known = self
            .defined
            .insert(uid(definition).to_owned(), Arc::clone(&place));
        if let Some(known) = known.filter(|known| *known != place) {
            self.undefine(&known, out);
        }
        if self
            .resources
            .insert(Arc::clone(&place), resource)
            .is_none()
        {
            out.follow(collection(place));
            // Owners of this kind could not be looked up before.
            self.graph.nodes().cloned().for_each(|uid| out.wake(uid));
        }
    }

    fn undefine(&mut self, place: &Place, out: &mut Outbox<Uid>) {
        self.resources.remove(place);
        out.unfollow(collection(Arc::clone(place)));
        for uid in self.graph.others(place, &HashSet::new()) {
            self.graph
                .remove(&uid)
                .into_iter()
                .for_each(|uid| out.wake(uid));
        }
    }

    /// The resource of an owner, if an object there can have an owner of that kind.
    fn resource_of(&self, node: &Node, owner: &Owner) -> Option<(&Place, &Resource)> {
        self.resources.iter().find(|(_, resource)| {
            let same_kind = resource.group == owner.group && resource.kind == owner.kind;
            same_kind && (!resource.namespaced || !node.namespace.is_empty())
        })
    }

    fn path(&self, node: &Node) -> Option<String> {
        let resource = self.resources.get(&node.place)?;
        Some(format!(
            "{}/{}",
            resource.path_in(&node.namespace),
            node.name
        ))
    }

    fn disown(&self, node: &Node, uid: &str, owners: &[Uid]) -> Option<Call> {
        let kept = node
            .owners
            .iter()
            .filter(|owner| !owners.contains(&owner.uid));
        let kept: Vec<_> = kept.map(|owner| &owner.reference).collect();
        self.patch(node, uid, json!({ "ownerReferences": kept }))
    }

    fn patch(&self, node: &Node, uid: &str, mut metadata: Value) -> Option<Call> {
        metadata["uid"] = json!(uid);
        metadata["resourceVersion"] = json!(node.version.to_string());
        Some(Call::merge(
            self.path(node)?,
            json!({ "metadata": metadata }),
        ))
    }
}
