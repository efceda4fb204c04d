//! Empties a namespace that is being deleted, says in its status what is still there, and lets it go at last.
//!
//! Objects with finalizers are waited for by watching them. Knows resources only from discovery.

mod pass;

use std::collections::{BTreeSet, HashMap, HashSet};

use super::engine::{Change, Collection, Controller, Outbox, Reply, Work};
use super::fields::{deleting, name, text, uid};

const NAMESPACES: &str = "/api/v1/namespaces";

pub(super) fn collections() -> Vec<Collection> {
    vec![Collection::metadata(NAMESPACES)]
}

#[derive(Debug, Default)]
pub(super) struct Namespaces {
    /// Uids of the namespaces that are being deleted.
    ending: HashMap<String, String>,
    /// Collections that were found not empty: their namespace, and the uids of what is left.
    left: HashMap<Collection, Left>,
}

#[derive(Debug)]
struct Left {
    namespace: String,
    uids: BTreeSet<String>,
    /// Whether the uids are complete.
    listed: bool,
}

impl Namespaces {
    fn observe_namespace(&mut self, change: Change<'_>, out: &mut Outbox<String>) {
        match change {
            Change::Put(namespace) if deleting(namespace) => {
                let known = self
                    .ending
                    .insert(name(namespace).to_owned(), uid(namespace).to_owned());
                // Later changes are our own, or concern finalizers that are not.
                if known.is_none() {
                    out.wake(name(namespace).to_owned());
                }
            }
            Change::Put(_) => {}
            Change::Gone(namespace) => self.forget(name(namespace), out),
            Change::Only(uids) => {
                let gone = self.ending.iter().filter(|(_, uid)| !uids.contains(*uid));
                for name in gone.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
                    self.forget(&name, out);
                }
            }
        }
    }

    fn forget(&mut self, namespace: &str, out: &mut Outbox<String>) {
        self.ending.remove(namespace);
        self.watch_only(namespace, &HashSet::new(), out);
    }

    /// Watches these collections of the namespace and no others.
    fn watch_only(
        &mut self,
        namespace: &str,
        wanted: &HashSet<Collection>,
        out: &mut Outbox<String>,
    ) {
        self.left.retain(|collection, left| {
            let keep = left.namespace != namespace || wanted.contains(collection);
            if !keep {
                out.unfollow(collection.clone());
            }
            keep
        });
        for collection in wanted {
            self.left.entry(collection.clone()).or_insert_with(|| {
                out.follow(collection.clone());
                Left {
                    namespace: namespace.to_owned(),
                    uids: BTreeSet::new(),
                    listed: false,
                }
            });
        }
    }
}

impl Controller for Namespaces {
    type Key = String;
    type Step = ();

    fn observe(&mut self, of: &Collection, change: Change<'_>, out: &mut Outbox<String>) {
        if &*of.path == NAMESPACES {
            return self.observe_namespace(change, out);
        }
        let Some(left) = self.left.get_mut(of) else {
            return;
        };
        match change {
            Change::Put(object) => {
                left.uids.insert(uid(object).to_owned());
            }
            Change::Gone(object) => {
                left.uids.remove(uid(object));
            }
            Change::Only(uids) => {
                left.uids.retain(|uid| uids.contains(uid));
                left.listed = true;
            }
        }
        if left.listed && left.uids.is_empty() {
            out.wake(left.namespace.clone());
        }
    }

    fn next(&mut self, namespace: &String) -> Option<((), Work)> {
        let waits = self
            .left
            .values()
            .any(|left| left.namespace == *namespace && !(left.listed && left.uids.is_empty()));
        if waits || !self.ending.contains_key(namespace) {
            return None;
        }
        let namespace = namespace.clone();
        Some(((), Work::task(|client| pass::empty(client, namespace))))
    }

    fn fold(
        &mut self,
        namespace: &String,
        (): (),
        reply: &Reply,
        out: &mut Outbox<String>,
    ) -> bool {
        let Ok(left) = reply else { return false };
        let paths = left.as_array().into_iter().flatten();
        let wanted: HashSet<_> = paths.map(|path| Collection::metadata(text(path))).collect();
        if wanted.is_empty() {
            self.forget(namespace, out);
        } else {
            // What was watched before is watched afresh, or an empty collection would seem to be one still.
            self.watch_only(namespace, &HashSet::new(), out);
            self.watch_only(namespace, &wanted, out);
        }
        true
    }
}
