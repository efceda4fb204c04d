//! Binds claims to volumes: those that name each other, those that match, and those a provisioner makes.
//!
//! Watches claims, volumes and classes; the rules are in `decide`. Deleting a released volume is its provisioner's
//! part. Knows nothing of storage.

mod claim;
mod decide;
mod index;
mod render;
mod shape;
mod step;
mod volume;

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use self::claim::{Claim, ClaimKey};
use self::index::{Class, Index};
use self::volume::Volume;
use super::engine::{Change, Collection, Controller, Outbox, Reply, Work};
use super::fields::{name, namespace, uid, version};

const CLAIMS: &str = "/api/v1/persistentvolumeclaims";
const VOLUMES: &str = "/api/v1/persistentvolumes";
const CLASSES: &str = "/apis/storage.k8s.io/v1/storageclasses";

pub(super) fn collections() -> Vec<Collection> {
    [CLAIMS, VOLUMES, CLASSES].map(Collection::whole).into()
}

#[derive(Debug, Default)]
pub(super) struct Binder {
    index: Index,
    /// Volumes that a claim is just taking; no other claim may choose them.
    taking: HashMap<String, ClaimKey>,
    /// Claims, by uid, that the server says are gone, for as long as a volume names them.
    gone_claims: HashSet<String>,
    /// Volumes that the server says are not there, for as long as a claim names them.
    gone_volumes: HashSet<String>,
}

/// One pass is over one claim or one volume.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Claim(ClaimKey),
    Volume(String),
}

/// What was asked of the server, as far as the reply's reading depends on it.
#[derive(Debug)]
pub(super) enum Asked {
    ToWrite,
    /// Claim `uid` is there?
    ForClaim(String),
    ForVolume(String),
    /// The volume may be chosen by others again if this failed.
    ToTake(String),
}

impl Controller for Binder {
    type Key = Key;
    type Step = Asked;

    fn observe(&mut self, of: &Collection, change: Change<'_>, out: &mut Outbox<Key>) {
        match (&*of.path, change) {
            (CLAIMS, Change::Put(claim)) => self.put_claim(claim, out),
            (CLAIMS, Change::Gone(claim)) => self.drop_claim(&claim_key(claim), out),
            (CLAIMS, Change::Only(uids)) => {
                let claims = self.index.claims();
                let gone = claims.filter(|(_, claim)| !uids.contains(&claim.uid));
                for key in gone.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
                    self.drop_claim(&key, out);
                }
            }
            (VOLUMES, Change::Put(volume)) => self.put_volume(volume, out),
            (VOLUMES, Change::Gone(volume)) => self.drop_volume(name(volume), out),
            (VOLUMES, Change::Only(uids)) => {
                let volumes = self.index.volumes();
                let gone = volumes.filter(|(_, volume)| !uids.contains(&volume.uid));
                for name in gone.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
                    self.drop_volume(&name, out);
                }
            }
            (_, Change::Put(class)) => self.put_class(class, out),
            (_, Change::Gone(class)) => {
                self.index.classes.remove(name(class));
            }
            (_, Change::Only(uids)) => {
                self.index
                    .classes
                    .retain(|_, class| uids.contains(&class.uid));
            }
        }
    }

    fn next(&mut self, key: &Key) -> Option<(Asked, Work)> {
        let (asked, call) = match key {
            Key::Claim(key) => self.next_of_claim(key)?,
            Key::Volume(name) => self.next_of_volume(name)?,
        };
        Some((asked, call.into()))
    }

    fn fold(&mut self, _key: &Key, asked: Asked, reply: &Reply, out: &mut Outbox<Key>) -> bool {
        let gone = matches!(reply, Err(error) if error.is_not_found());
        match (asked, reply) {
            (Asked::ForClaim(expected), Ok(claim)) if uid(claim) != expected => {
                self.gone_claims.insert(expected)
            }
            (Asked::ForClaim(expected), Err(_)) if gone => self.gone_claims.insert(expected),
            (Asked::ForVolume(name), Err(_)) if gone => self.gone_volumes.insert(name),
            // It is there, so its news is on the way.
            (Asked::ForClaim(_) | Asked::ForVolume(_), _) => false,
            (Asked::ToTake(name), reply) => {
                self.taking.remove(&name);
                self.refresh(reply, out)
            }
            (Asked::ToWrite, reply) => self.refresh(reply, out),
        }
    }
}

impl Binder {
    fn put_claim(&mut self, object: &Value, out: &mut Outbox<Key>) {
        let key = claim_key(object);
        let known = self.index.claim(&key);
        if known.is_some_and(|known| known.version >= version(object)) {
            return;
        }
        self.index.put_claim(&key, Some(Claim::project(object)));
        self.wake_around_claim(&key, out);
    }

    fn drop_claim(&mut self, key: &ClaimKey, out: &mut Outbox<Key>) {
        self.wake_around_claim(key, out);
        self.index.put_claim(key, None);
    }

    fn wake_around_claim(&self, key: &ClaimKey, out: &mut Outbox<Key>) {
        out.wake(Key::Claim(key.clone()));
        for name in self.index.volumes_of(key) {
            out.wake(Key::Volume(name.clone()));
        }
    }

    fn put_volume(&mut self, object: &Value, out: &mut Outbox<Key>) {
        let name = name(object);
        let known = self.index.volume(name);
        if known.is_some_and(|known| known.version >= version(object)) {
            return;
        }
        self.gone_volumes.remove(name);
        // Whom it named before must look elsewhere, whom it names now may bind.
        self.wake_around_volume(name, out);
        self.index.put_volume(name, Some(Volume::project(object)));
        self.wake_around_volume(name, out);
    }

    fn drop_volume(&mut self, name: &str, out: &mut Outbox<Key>) {
        self.wake_around_volume(name, out);
        let claim = self
            .index
            .volume(name)
            .and_then(|volume| volume.claim.as_ref());
        if let Some(claim) = claim {
            self.gone_claims.remove(&claim.uid);
        }
        self.index.put_volume(name, None);
    }

    fn wake_around_volume(&self, name: &str, out: &mut Outbox<Key>) {
        out.wake(Key::Volume(name.to_owned()));
        for key in self.index.claims_of(name) {
            out.wake(Key::Claim(key.clone()));
        }
        let Some(volume) = self.index.volume(name) else {
            return;
        };
        if let Some(claim) = &volume.claim {
            out.wake(Key::Claim(claim.key.clone()));
        } else if volume.free() {
            let waiting = self.index.waiting(&volume.class);
            let suited = waiting.filter(|key| {
                self.index
                    .claim(key)
                    .is_some_and(|claim| volume.suits(claim))
            });
            suited.for_each(|key| out.wake(Key::Claim(key.clone())));
        }
    }

    fn put_class(&mut self, object: &Value, out: &mut Outbox<Key>) {
        let name = name(object);
        self.index
            .classes
            .insert(name.to_owned(), Class::project(object));
        // The claims that leave their class open wait under no class.
        for class in [name, ""] {
            for key in self.index.waiting(class) {
                out.wake(Key::Claim(key.clone()));
            }
        }
    }

    /// Takes in what a write gave back, unless the object went away meanwhile.
    fn refresh(&mut self, reply: &Reply, out: &mut Outbox<Key>) -> bool {
        let Ok(object) = reply else { return false };
        match object["kind"].as_str() {
            Some("PersistentVolumeClaim") => {
                let known = self.index.claim(&claim_key(object));
                if known.is_some_and(|known| known.uid == uid(object)) {
                    self.put_claim(object, out);
                }
            }
            Some("PersistentVolume") => {
                let known = self.index.volume(name(object));
                if known.is_some_and(|known| known.uid == uid(object)) {
                    self.put_volume(object, out);
                }
            }
            _ => {}
        }
        true
    }
}

fn claim_key(claim: &Value) -> ClaimKey {
    (namespace(claim).to_owned(), name(claim).to_owned())
}
