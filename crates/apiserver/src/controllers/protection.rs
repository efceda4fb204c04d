//! Lets go of deleted claims that no pod uses, and of deleted volumes that are not bound.
//!
//! Other finalizers and the deletion itself are not its concern.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Value, json};

use super::engine::{Change, Collection, Controller, Outbox, Reply, Work};
use super::fields::{deleting, finalizers, name, namespace, text, uid, version};
use crate::local::Call;

const CLAIM_FINALIZER: &str = "kubernetes.io/pvc-protection";
const VOLUME_FINALIZER: &str = "kubernetes.io/pv-protection";

/// A deleted object that waits for our finalizer to be removed.
#[derive(Debug)]
struct Held {
    uid: String,
    version: u64,
    finalizers: Vec<String>,
    /// Somebody still needs it.
    used: bool,
}

impl Held {
    fn project(object: &Value, finalizer: &str) -> Option<Self> {
        let held = deleting(object) && finalizers(object).any(|held| held == finalizer);
        held.then(|| Self {
            uid: uid(object).to_owned(),
            version: version(object),
            finalizers: finalizers(object).map(str::to_owned).collect(),
            used: false,
        })
    }

    fn release(&self, path: String, finalizer: &str) -> Call {
        let rest: Vec<_> = self
            .finalizers
            .iter()
            .filter(|held| *held != finalizer)
            .collect();
        let metadata = json!({
            "uid": self.uid,
            "resourceVersion": self.version.to_string(),
            "finalizers": rest,
        });
        Call::merge(path, json!({ "metadata": metadata }))
    }
}

/// Namespace and name.
type Key = (String, String);

fn key(object: &Value) -> Key {
    (namespace(object).to_owned(), name(object).to_owned())
}

// ---

const CLAIMS: &str = "/api/v1/persistentvolumeclaims";
const PODS: &str = "/api/v1/pods";

/// Protects claims.
#[derive(Debug, Default)]
pub(super) struct Claims {
    held: BTreeMap<Key, Held>,
    /// Claims that each pod uses, and the reverse.
    pods: HashMap<Key, Pod>,
    users: HashMap<Key, HashSet<Key>>,
    /// Uids of held claims of which the server said that no pod uses them, and the version that it was said of.
    unused: HashMap<String, u64>,
}

#[derive(Debug)]
struct Pod {
    uid: String,
    claims: Vec<Key>,
}

#[derive(Debug)]
pub(super) enum Step {
    ListPods,
    Release,
}

impl Claims {
    pub(super) fn collections() -> Vec<Collection> {
        [CLAIMS, PODS].map(Collection::whole).into()
    }

    fn put_pod(&mut self, pod: &Value, out: &mut Outbox<Key>) {
        let pod_key = key(pod);
        self.drop_pod(&pod_key, out);
        let claims = claims_of(pod);
        for claim in &claims {
            let users = self.users.entry(claim.clone()).or_default();
            users.insert(pod_key.clone());
        }
        if !claims.is_empty() {
            let uid = uid(pod).to_owned();
            self.pods.insert(pod_key, Pod { uid, claims });
        }
    }

    fn drop_pod(&mut self, pod: &Key, out: &mut Outbox<Key>) {
        let claims = self.pods.remove(pod).map(|pod| pod.claims);
        for claim in claims.into_iter().flatten() {
            if let Some(users) = self.users.get_mut(&claim) {
                users.remove(pod);
                if users.is_empty() {
                    self.users.remove(&claim);
                }
            }
            out.wake(claim);
        }
    }
}

/// Claims that a pod uses. Before it is scheduled it uses none: no node starts a pod with a deleted claim.
fn claims_of(pod: &Value) -> Vec<Key> {
    let spec = &pod["spec"];
    if text(&spec["nodeName"]).is_empty() {
        return Vec::new();
    }
    let volumes = spec["volumes"].as_array().into_iter().flatten();
    let names = volumes.filter_map(|volume| {
        let claim = text(&volume["persistentVolumeClaim"]["claimName"]);
        if volume["ephemeral"].is_object() {
            // The claim of a generic ephemeral volume is named after the pod and the volume.
            Some(format!("{}-{}", name(pod), text(&volume["name"])))
        } else {
            (!claim.is_empty()).then(|| claim.to_owned())
        }
    });
    names
        .map(|claim| (namespace(pod).to_owned(), claim))
        .collect()
}

impl Controller for Claims {
    type Key = Key;
    type Step = Step;

    fn observe(&mut self, of: &Collection, change: Change<'_>, out: &mut Outbox<Key>) {
        match (&*of.path, change) {
            (PODS, Change::Put(pod)) => self.put_pod(pod, out),
            (PODS, Change::Gone(pod)) => self.drop_pod(&key(pod), out),
            (PODS, Change::Only(uids)) => {
                let gone = self.pods.iter().filter(|(_, pod)| !uids.contains(&pod.uid));
                for pod in gone.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
                    self.drop_pod(&pod, out);
                }
            }
            (_, Change::Put(claim)) => put(&mut self.held, claim, CLAIM_FINALIZER, out),
            (_, Change::Gone(claim)) => {
                self.held.remove(&key(claim));
                self.unused.remove(uid(claim));
            }
            (_, Change::Only(uids)) => {
                self.held.retain(|_, held| uids.contains(&held.uid));
                self.unused.retain(|uid, _| uids.contains(uid));
            }
        }
    }

    fn next(&mut self, key: &Key) -> Option<(Step, Work)> {
        let held = self.held.get(key)?;
        if self.users.contains_key(key) {
            return None;
        }
        let (namespace, name) = key;
        // A cache without such a pod has not said that there is none.
        if self.unused.get(&held.uid) != Some(&held.version) {
            let path = format!("/api/v1/namespaces/{namespace}/pods");
            return Some((Step::ListPods, Call::get(path).into()));
        }
        let path = format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}");
        Some((Step::Release, held.release(path, CLAIM_FINALIZER).into()))
    }

    fn fold(&mut self, key: &Key, step: Step, reply: &Reply, _out: &mut Outbox<Key>) -> bool {
        let Some(held) = self.held.get(key) else {
            return true;
        };
        match (step, reply) {
            (Step::ListPods, Ok(pods)) => {
                let pods = pods["items"].as_array().into_iter().flatten();
                let used = pods.flat_map(claims_of).any(|claim| claim == *key);
                if !used {
                    self.unused.insert(held.uid.clone(), held.version);
                }
                !used
            }
            (Step::Release, Ok(_)) => {
                self.unused.remove(&held.uid);
                self.held.remove(key);
                true
            }
            (_, Err(_)) => false,
        }
    }
}

// ---

const VOLUMES: &str = "/api/v1/persistentvolumes";

/// Protects volumes.
#[derive(Debug, Default)]
pub(super) struct Volumes {
    held: BTreeMap<Key, Held>,
}

impl Volumes {
    pub(super) fn collections() -> Vec<Collection> {
        vec![Collection::whole(VOLUMES)]
    }
}

impl Controller for Volumes {
    type Key = Key;
    type Step = ();

    fn observe(&mut self, _of: &Collection, change: Change<'_>, out: &mut Outbox<Key>) {
        match change {
            Change::Put(volume) => {
                put(&mut self.held, volume, VOLUME_FINALIZER, out);
                if let Some(held) = self.held.get_mut(&key(volume)) {
                    held.used = volume["status"]["phase"] == "Bound";
                }
            }
            Change::Gone(volume) => {
                self.held.remove(&key(volume));
            }
            Change::Only(uids) => self.held.retain(|_, held| uids.contains(&held.uid)),
        }
    }

    fn next(&mut self, key: &Key) -> Option<((), Work)> {
        let held = self.held.get(key).filter(|held| !held.used)?;
        let path = format!("{VOLUMES}/{}", key.1);
        Some(((), held.release(path, VOLUME_FINALIZER).into()))
    }

    fn fold(&mut self, key: &Key, (): (), reply: &Reply, _out: &mut Outbox<Key>) -> bool {
        if reply.is_ok() {
            self.held.remove(key);
        }
        reply.is_ok()
    }
}

fn put(held: &mut BTreeMap<Key, Held>, object: &Value, finalizer: &str, out: &mut Outbox<Key>) {
    let key = key(object);
    match Held::project(object, finalizer) {
        Some(new) => {
            held.insert(key.clone(), new);
            out.wake(key);
        }
        None => {
            held.remove(&key);
        }
    }
}
