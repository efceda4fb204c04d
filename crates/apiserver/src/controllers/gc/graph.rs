//! Holds who owns whom, and decides what becomes of an object whose owners change.
//!
//! Pure: knows nothing of the server. An owner counts as gone only when that was said, never for want of news.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use crate::controllers::fields::{deleting, finalizers, name, namespace, text, uid, version};

pub(super) const FOREGROUND: &str = "foregroundDeletion";
pub(super) const ORPHAN: &str = "orphan";

pub(super) type Uid = Arc<str>;
/// Path of the collection that an object is in.
pub(super) type Place = Arc<str>;
/// Empty for what is in none.
type Namespace = Arc<str>;

/// Where an object is.
#[derive(Debug, Clone)]
pub(super) struct Home {
    pub(super) place: Place,
    pub(super) namespace: Namespace,
}

/// An object that has owners, or whose own deletion waits for its dependents.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) version: u64,
    pub(super) deleting: bool,
    pub(super) finalizers: Vec<String>,
    pub(super) owners: Vec<Owner>,
}

/// One owner reference.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) uid: Uid,
    pub(super) group: String,
    pub(super) kind: String,
    pub(super) name: String,
    blocks: bool,
    pub(super) reference: Value,
}

impl Owner {
    fn project(reference: &Value) -> Self {
        let api_version = text(&reference["apiVersion"]);
        Self {
            uid: text(&reference["uid"]).into(),
            group: api_version
                .split_once('/')
                .map_or("", |(group, _)| group)
                .to_owned(),
            kind: text(&reference["kind"]).to_owned(),
            name: text(&reference["name"]).to_owned(),
            blocks: reference["blockOwnerDeletion"] == true,
            reference: reference.clone(),
        }
    }
}

impl Node {
    /// None if nothing can ever be due for the object.
    fn project(place: &Place, object: &Value) -> Option<Self> {
        let references = object["metadata"]["ownerReferences"].as_array();
        let node = Self {
            place: Arc::clone(place),
            namespace: namespace(object).to_owned(),
            name: name(object).to_owned(),
            version: version(object),
            deleting: deleting(object),
            finalizers: finalizers(object).map(str::to_owned).collect(),
            owners: references
                .into_iter()
                .flatten()
                .map(Owner::project)
                .collect(),
        };
        (!node.owners.is_empty() || node.ends(FOREGROUND) || node.ends(ORPHAN)).then_some(node)
    }

    /// It is being deleted, and waits for this finalizer.
    fn ends(&self, finalizer: &str) -> bool {
        self.deleting && self.finalizers.iter().any(|held| held == finalizer)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Rest,
    /// Ask the server for this owner of the object.
    LookUp(Uid),
    /// Delete the object, in the foreground if its own dependents are to go first.
    Delete {
        foreground: bool,
    },
    /// Remove these owners from the object's references.
    Disown(Vec<Uid>),
    /// Remove the object from this dependent's references.
    Release(Uid),
    /// Nothing waits for this finalizer of the object any more.
    RemoveFinalizer(&'static str),
}

#[derive(Debug, Default)]
pub(super) struct Graph {
    /// Every object there is, and where.
    alive: HashMap<Uid, Home>,
    /// Each name once.
    namespaces: HashSet<Namespace>,
    nodes: HashMap<Uid, Node>,
    dependents: HashMap<Uid, BTreeSet<Uid>>,
    /// Owners that the server says are gone, for as long as an object names them.
    gone: HashSet<Uid>,
    /// Owners that the server says are not where an object of this namespace could have them. They
    /// may be elsewhere: an owner is in the same namespace, or in none.
    absent: HashSet<(Uid, Namespace)>,
}

impl Graph {
    pub(super) fn node(&self, uid: &str) -> Option<&Node> {
        self.nodes.get(uid)
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &Uid> {
        self.nodes.keys()
    }

    /// Takes in an object; gives the uids that it may matter to.
    pub(super) fn put(&mut self, place: &Place, object: &Value) -> Vec<Uid> {
        let uid: Uid = uid(object).into();
        if self
            .nodes
            .get(&uid)
            .is_some_and(|node| node.version > version(object))
        {
            return Vec::new();
        }
        let mut touched = self.unlink(&uid);
        self.gone.remove(&uid);
        let home = Home {
            place: Arc::clone(place),
            namespace: self.intern(namespace(object)),
        };
        self.absent
            .remove(&(Arc::clone(&uid), Arc::clone(&home.namespace)));
        self.alive.insert(Arc::clone(&uid), home);
        if let Some(node) = Node::project(place, object) {
            for owner in &node.owners {
                let dependents = self.dependents.entry(Arc::clone(&owner.uid)).or_default();
                dependents.insert(Arc::clone(&uid));
            }
            if node.ends(FOREGROUND) {
                touched.extend(self.dependents_of(&uid).cloned());
            }
            touched.push(Arc::clone(&uid));
            self.nodes.insert(uid, node);
        }
        touched
    }

    fn intern(&mut self, namespace: &str) -> Namespace {
        if let Some(known) = self.namespaces.get(namespace) {
            return Arc::clone(known);
        }
        let new: Namespace = namespace.into();
        self.namespaces.insert(Arc::clone(&new));
        new
    }

    /// Forgets an object that is gone; gives the uids that it matters to.
    pub(super) fn remove(&mut self, uid: &str) -> Vec<Uid> {
        let mut touched = self.unlink(uid);
        if let Some((uid, _)) = self.alive.remove_entry(uid) {
            touched.extend(self.dependents_of(&uid).cloned());
            if self.dependents.contains_key(&uid) {
                self.gone.insert(uid);
            }
        }
        touched
    }

    /// Objects of a place that are not in `uids`.
    pub(super) fn others(&self, place: &Place, uids: &HashSet<String>) -> Vec<Uid> {
        let there = self.alive.iter().filter(|(_, home)| home.place == *place);
        let gone = there.filter(|(uid, _)| !uids.contains(&***uid));
        gone.map(|(uid, _)| Arc::clone(uid)).collect()
    }

    /// The server answered whether the owner is where an object of `namespace` can have it.
    pub(super) fn looked_up(&mut self, owner: Uid, namespace: &str, found: Option<Place>) {
        let namespace = self.intern(namespace);
        match found {
            Some(place) => {
                self.alive.insert(owner, Home { place, namespace });
            }
            None => {
                self.absent.insert((owner, namespace));
            }
        }
    }

    /// Takes the node out; gives its owners, some of which may wait for that.
    fn unlink(&mut self, uid: &str) -> Vec<Uid> {
        let Some(node) = self.nodes.remove(uid) else {
            return Vec::new();
        };
        let owners = node.owners.into_iter().map(|owner| owner.uid);
        owners
            .inspect(|owner| {
                if let Some(dependents) = self.dependents.get_mut(owner) {
                    dependents.remove(uid);
                    if dependents.is_empty() {
                        self.dependents.remove(owner);
                        self.gone.remove(owner);
                        self.absent.retain(|(absent, _)| absent != owner);
                    }
                }
            })
            .collect()
    }

    fn dependents_of(&self, uid: &str) -> impl Iterator<Item = &Uid> {
        self.dependents.get(uid).into_iter().flatten()
    }

    /// `known` says whether an owner's kind is one that can be looked up from the object.
    pub(super) fn decide(&self, uid: &str, known: impl Fn(&Node, &Owner) -> bool) -> Step {
        let Some(node) = self.nodes.get(uid) else {
            return Step::Rest;
        };
        if node.ends(ORPHAN) {
            return match self.dependents_of(uid).next() {
                Some(dependent) => Step::Release(Arc::clone(dependent)),
                None => Step::RemoveFinalizer(ORPHAN),
            };
        }
        if node.ends(FOREGROUND) {
            let blocked = self.dependents_of(uid).any(|dependent| {
                let node = self.nodes.get(dependent);
                let owners = node.into_iter().flat_map(|node| &node.owners);
                owners
                    .into_iter()
                    .any(|owner| *owner.uid == *uid && owner.blocks)
            });
            return if blocked {
                Step::Rest
            } else {
                Step::RemoveFinalizer(FOREGROUND)
            };
        }
        if node.deleting {
            return Step::Rest;
        }
        self.decide_by_owners(uid, node, known)
    }

    /// The owner is there, in the object's own namespace or in none.
    fn reaches(&self, node: &Node, owner: &Owner) -> bool {
        self.alive
            .get(&owner.uid)
            .is_some_and(|home| home.namespace.is_empty() || *home.namespace == *node.namespace)
    }

    fn is_gone(&self, node: &Node, owner: &Owner) -> bool {
        let absent_in = |namespace: &str| {
            let known = self.namespaces.get(namespace);
            let owner = known.map(|namespace| (Arc::clone(&owner.uid), Arc::clone(namespace)));
            owner.is_some_and(|owner| self.absent.contains(&owner))
        };
        self.gone.contains(&owner.uid) || absent_in(&node.namespace) || absent_in("")
    }

    fn decide_by_owners(
        &self,
        uid: &str,
        node: &Node,
        known: impl Fn(&Node, &Owner) -> bool,
    ) -> Step {
        let (mut keeps, mut ending, mut lost) = (false, false, Vec::new());
        for owner in &node.owners {
            if self.reaches(node, owner) {
                let owning = self.nodes.get(&owner.uid);
                if owning.is_some_and(|owning| owning.ends(FOREGROUND)) {
                    ending = true;
                    lost.push(Arc::clone(&owner.uid));
                } else {
                    keeps = true;
                }
            } else if self.is_gone(node, owner) {
                lost.push(Arc::clone(&owner.uid));
            } else if !known(node, owner) {
                keeps = true;
            } else {
                return Step::LookUp(Arc::clone(&owner.uid));
            }
        }
        match (keeps, lost.is_empty()) {
            (_, true) => Step::Rest,
            (true, false) => Step::Disown(lost),
            (false, false) => Step::Delete {
                foreground: ending && self.dependents_of(uid).next().is_some(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    struct World(Graph);

    impl World {
        fn new() -> Self {
            Self(Graph::default())
        }

        fn put(&mut self, uid: &str, owners: &[&str], more: &Value) -> Vec<String> {
            let owners: Vec<_> = owners
                .iter()
                .map(|owner| json!({ "uid": owner, "kind": "Any", "blockOwnerDeletion": true }))
                .collect();
            let mut object = json!({ "metadata": { "uid": uid, "ownerReferences": owners } });
            json_patch::merge(&mut object["metadata"], more);
            let touched = self.0.put(&"/any".into(), &object);
            touched.iter().map(ToString::to_string).collect()
        }

        fn decide(&self, uid: &str) -> Step {
            self.0.decide(uid, |_, owner| owner.kind == "Any")
        }
    }

    fn ending(finalizer: &str) -> Value {
        json!({ "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": [finalizer] })
    }

    fn lost(uid: &str) -> Step {
        Step::Disown(vec![uid.into()])
    }

    #[test]
    fn an_object_goes_with_its_last_owner() {
        let mut world = World::new();
        world.put("a", &[], &json!({}));
        world.put("b", &[], &json!({}));
        world.put("child", &["a", "b"], &json!({}));
        assert_eq!(world.decide("child"), Step::Rest);
        assert_eq!(*world.0.remove("a"), ["child".into()]);
        assert_eq!(world.decide("child"), lost("a"));
        world.0.remove("b");
        assert_eq!(world.decide("child"), Step::Delete { foreground: false });
    }

    #[test]
    fn an_owner_not_seen_yet_is_looked_up_before_anything_is_deleted() {
        let mut world = World::new();
        world.put("child", &["a"], &json!({}));
        assert_eq!(world.decide("child"), Step::LookUp("a".into()));
        world.0.looked_up("a".into(), "", Some("/any".into()));
        assert_eq!(world.decide("child"), Step::Rest);
        world.put("other", &["b"], &json!({}));
        world.0.looked_up("b".into(), "", None);
        assert_eq!(world.decide("other"), Step::Delete { foreground: false });
    }

    #[test]
    fn an_owner_in_another_namespace_is_none_but_owns_what_is_in_its_own() {
        let mut world = World::new();
        let within = |namespace: &str| json!({ "namespace": namespace });
        world.put("foreign", &["a"], &within("y"));
        world.put("child", &["a"], &within("x"));
        assert_eq!(world.decide("foreign"), Step::LookUp("a".into()));
        world.0.looked_up("a".into(), "y", None);
        // What is so for one namespace says nothing of the other, in whatever order news come.
        assert_eq!(world.decide("foreign"), Step::Delete { foreground: false });
        assert_eq!(world.decide("child"), Step::LookUp("a".into()));
        world.put("a", &[], &within("x"));
        assert_eq!(world.decide("child"), Step::Rest);
        assert_eq!(world.decide("foreign"), Step::Delete { foreground: false });
        world.put("root", &[], &json!({}));
        world.put("under", &["root"], &within("y"));
        assert_eq!(
            world.decide("under"),
            Step::Rest,
            "an owner without a namespace"
        );
    }

    #[test]
    fn who_does_not_block_is_not_waited_for() {
        let mut world = World::new();
        world.put("a", &[], &json!({}));
        let reference = json!({ "ownerReferences": [{ "uid": "a", "kind": "Any" }] });
        world.put("child", &[], &reference);
        world.put("a", &[], &ending(FOREGROUND));
        assert_eq!(world.decide("child"), Step::Delete { foreground: false });
        assert_eq!(world.decide("a"), Step::RemoveFinalizer(FOREGROUND));
    }

    #[test]
    fn owners_of_an_unknown_kind_keep_an_object() {
        let mut world = World::new();
        let reference = json!({ "ownerReferences": [{ "uid": "a", "kind": "Unheard" }] });
        world.put("child", &[], &reference);
        assert_eq!(world.decide("child"), Step::Rest);
    }

    #[test]
    fn foreground_deletion_takes_the_dependents_first() {
        let mut world = World::new();
        world.put("a", &[], &json!({}));
        world.put("child", &["a"], &json!({}));
        world.put("grandchild", &["child"], &json!({}));
        let touched = world.put("a", &[], &ending(FOREGROUND));
        assert_eq!(touched, ["child", "a"]);
        assert_eq!(world.decide("a"), Step::Rest, "waits");
        assert_eq!(world.decide("child"), Step::Delete { foreground: true });
        assert_eq!(world.decide("grandchild"), Step::Rest);
        world.0.remove("grandchild");
        assert_eq!(world.decide("child"), Step::Delete { foreground: false });
        assert_eq!(*world.0.remove("child"), ["a".into()]);
        assert_eq!(world.decide("a"), Step::RemoveFinalizer(FOREGROUND));
    }

    #[test]
    fn orphaning_releases_every_dependent_first() {
        let mut world = World::new();
        world.put("a", &[], &json!({}));
        world.put("child", &["a"], &json!({}));
        world.put("a", &[], &ending(ORPHAN));
        assert_eq!(world.decide("a"), Step::Release("child".into()));
        assert_eq!(world.put("child", &[], &json!({})), ["a"]);
        assert_eq!(world.decide("a"), Step::RemoveFinalizer(ORPHAN));
        world.0.remove("a");
        assert_eq!(world.decide("child"), Step::Rest);
    }

    #[test]
    fn nothing_is_remembered_of_what_is_gone() {
        let mut world = World::new();
        world.put("a", &[], &json!({}));
        world.put("child", &["a"], &json!({}));
        assert_eq!(
            *world
                .0
                .others(&"/any".into(), &HashSet::from(["child".to_owned()])),
            ["a".into()]
        );
        world.0.remove("a");
        world.0.remove("child");
        let Graph {
            alive,
            nodes,
            dependents,
            gone,
            absent,
            namespaces: _,
        } = world.0;
        assert!(alive.is_empty() && nodes.is_empty() && dependents.is_empty());
        assert!(gone.is_empty() && absent.is_empty());
    }
}
