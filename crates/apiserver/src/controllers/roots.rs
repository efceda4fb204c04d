//! Publishes the authority's certificate in every namespace: the config map `kube-root-ca.crt`.
//!
//! Whoever runs in a cluster checks the server by it. Does not make certificates.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::engine::{Change, Collection, Controller, Outbox, Reply, Work};
use super::fields::{deleting, name, namespace, uid, version};
use crate::local::Call;

const NAMESPACES: &str = "/api/v1/namespaces";
const MAPS: &str = "/api/v1/configmaps?fieldSelector=metadata.name%3Dkube-root-ca.crt";
const NAME: &str = "kube-root-ca.crt";
const DESCRIBED: &str = "kubernetes.io/description";
const DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when \
                           using internal endpoints such as the internal service IP or \
                           kubernetes.default.svc. No other usage is guaranteed across \
                           distributions of Kubernetes clusters.";

/// The published maps, by namespace.
#[derive(Debug)]
pub(super) struct Roots {
    certificate: String,
    /// Uids of the namespaces that are not going.
    namespaces: HashMap<String, String>,
    maps: HashMap<String, Map>,
}

#[derive(Debug, Default)]
struct Map {
    uid: String,
    seen: u64,
    /// The version known to hold the certificate.
    good: u64,
}

/// A map that is to be made, or one that may say something else.
#[derive(Debug)]
pub(super) enum Step {
    Make,
    Mend,
}

pub(super) fn collections() -> Vec<Collection> {
    [NAMESPACES, MAPS].map(Collection::metadata).into()
}

impl Roots {
    pub(super) fn new(certificate: String) -> Self {
        Self {
            certificate,
            namespaces: HashMap::new(),
            maps: HashMap::new(),
        }
    }

    fn content(&self) -> Value {
        json!({
            "metadata": {"annotations": {DESCRIBED: DESCRIPTION}},
            "data": {"ca.crt": self.certificate},
        })
    }

    fn observe_map(&mut self, change: Change<'_>, out: &mut Outbox<String>) {
        match change {
            Change::Put(object) => {
                let map = self.maps.entry(namespace(object).to_owned()).or_default();
                uid(object).clone_into(&mut map.uid);
                map.seen = version(object);
                out.wake(namespace(object).to_owned());
            }
            Change::Gone(object) => {
                self.maps.remove(namespace(object));
                out.wake(namespace(object).to_owned());
            }
            Change::Only(uids) => {
                let gone = self.maps.extract_if(|_, map| !uids.contains(&map.uid));
                gone.for_each(|(place, _)| out.wake(place));
            }
        }
    }
}

impl Controller for Roots {
    type Key = String;
    type Step = Step;

    fn observe(&mut self, of: &Collection, change: Change<'_>, out: &mut Outbox<String>) {
        if &*of.path == MAPS {
            return self.observe_map(change, out);
        }
        match change {
            Change::Put(object) if !deleting(object) => {
                let place = name(object).to_owned();
                self.namespaces
                    .insert(place.clone(), uid(object).to_owned());
                out.wake(place);
            }
            Change::Put(object) | Change::Gone(object) => {
                self.namespaces.remove(name(object));
            }
            Change::Only(uids) => self.namespaces.retain(|_, uid| uids.contains(uid)),
        }
    }

    fn next(&mut self, namespace: &String) -> Option<(Step, Work)> {
        if !self.namespaces.contains_key(namespace) {
            return None;
        }
        let maps = format!("/api/v1/namespaces/{namespace}/configmaps");
        match self.maps.get(namespace) {
            None => {
                let mut map = self.content();
                map["metadata"]["name"] = json!(NAME);
                Some((Step::Make, Call::create(maps, map).into()))
            }
            // What it says is not watched, only that it changed; a patch of what is right writes nothing.
            Some(map) if map.seen > map.good => {
                let patch = Call::merge(format!("{maps}/{NAME}"), self.content());
                Some((Step::Mend, patch.into()))
            }
            Some(_) => None,
        }
    }

    fn fold(
        &mut self,
        namespace: &String,
        step: Step,
        reply: &Reply,
        _out: &mut Outbox<String>,
    ) -> bool {
        match (step, reply, self.maps.get_mut(namespace)) {
            (Step::Mend, Ok(object), Some(map)) => {
                map.good = version(object);
                true
            }
            // Whether it is there is for the watch alone to tell: it may be gone again already.
            _ => false,
        }
    }
}
