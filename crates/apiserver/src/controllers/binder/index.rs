//! Holds what is known of claims, volumes and classes, and finds a counterpart without looking at all of them.
//!
//! Knows nothing of decisions or of where the objects come from.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use serde_json::Value;

use super::claim::{Claim, ClaimKey};
use super::shape::VolumeMode;
use super::volume::Volume;
use crate::controllers::fields::{annotation, text, uid};
use crate::quantity::Quantity;

const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
/// The provisioner of a class whose volumes are made by hand.
const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

/// What a StorageClass says about getting volumes.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) uid: String,
    /// None when volumes of this class are made by hand.
    pub(super) provisioner: Option<String>,
    pub(super) waits_for_node: bool,
    default: bool,
    created: String,
}

impl Class {
    pub(super) fn project(class: &Value) -> Self {
        let provisioner = text(&class["provisioner"]);
        let by_somebody = !provisioner.is_empty() && provisioner != NO_PROVISIONER;
        Self {
            uid: uid(class).to_owned(),
            provisioner: by_somebody.then(|| provisioner.to_owned()),
            waits_for_node: class["volumeBindingMode"] == "WaitForFirstConsumer",
            default: annotation(class, DEFAULT_CLASS) == Some("true"),
            created: text(&class["metadata"]["creationTimestamp"]).to_owned(),
        }
    }
}

/// Class and mode of volumes that stand together.
type Shelf = (String, VolumeMode);

#[derive(Debug, Default)]
pub(super) struct Index {
    claims: HashMap<ClaimKey, Claim>,
    volumes: HashMap<String, Volume>,
    pub(super) classes: HashMap<String, Class>,
    /// Volumes by the claim that their `claimRef` names.
    volumes_of: HashMap<ClaimKey, BTreeSet<String>>,
    /// Claims by the volume that they name.
    claims_of: HashMap<String, BTreeSet<ClaimKey>>,
    /// Claims without a volume, by class.
    waiting: HashMap<String, BTreeSet<ClaimKey>>,
    /// Volumes for anybody, by class and mode, the smallest first.
    free: HashMap<Shelf, BTreeSet<(Option<Quantity>, String)>>,
}

impl Index {
    pub(super) fn claim(&self, key: &ClaimKey) -> Option<&Claim> {
        self.claims.get(key)
    }

    pub(super) fn volume(&self, name: &str) -> Option<&Volume> {
        self.volumes.get(name)
    }

    pub(super) fn claims(&self) -> impl Iterator<Item = (&ClaimKey, &Claim)> {
        self.claims.iter()
    }

    pub(super) fn volumes(&self) -> impl Iterator<Item = (&String, &Volume)> {
        self.volumes.iter()
    }

    pub(super) fn put_claim(&mut self, key: &ClaimKey, claim: Option<Claim>) {
        if let Some(old) = self.claims.remove(key) {
            remove(&mut self.claims_of, &old.volume, key);
            remove(&mut self.waiting, old.class_name(), key);
        }
        let Some(claim) = claim else { return };
        if !claim.volume.is_empty() {
            add(&mut self.claims_of, claim.volume.clone(), key.clone());
        }
        if claim.waits() {
            add(
                &mut self.waiting,
                claim.class_name().to_owned(),
                key.clone(),
            );
        }
        self.claims.insert(key.clone(), claim);
    }

    pub(super) fn put_volume(&mut self, name: &str, volume: Option<Volume>) {
        if let Some(old) = self.volumes.remove(name) {
            if let Some(claim) = &old.claim {
                remove(&mut self.volumes_of, &claim.key, name);
            }
            let shelf = (old.class, old.mode);
            remove(&mut self.free, &shelf, &(old.capacity, name.to_owned()));
        }
        let Some(volume) = volume else { return };
        if let Some(claim) = &volume.claim {
            add(&mut self.volumes_of, claim.key.clone(), name.to_owned());
        }
        if volume.free() {
            let shelf = (volume.class.clone(), volume.mode);
            add(&mut self.free, shelf, (volume.capacity, name.to_owned()));
        }
        self.volumes.insert(name.to_owned(), volume);
    }

    pub(super) fn volumes_of(&self, claim: &ClaimKey) -> impl Iterator<Item = &String> {
        self.volumes_of.get(claim).into_iter().flatten()
    }

    pub(super) fn claims_of(&self, volume: &str) -> impl Iterator<Item = &ClaimKey> {
        self.claims_of.get(volume).into_iter().flatten()
    }

    /// Claims that wait for a volume of the class.
    pub(super) fn waiting(&self, class: &str) -> impl Iterator<Item = &ClaimKey> {
        self.waiting.get(class).into_iter().flatten()
    }

    /// The volume that is reserved for the claim, else, unless that must wait, the smallest one that suits.
    pub(super) fn find_volume(
        &self,
        key: &ClaimKey,
        claim: &Claim,
        only_reserved: bool,
        taken: impl Fn(&str) -> bool,
    ) -> Option<&str> {
        let reserved = self.volumes_of(key).find(|name| {
            let volume = self.volumes.get(*name);
            volume.is_some_and(|v| v.is_for(key, claim) && v.holds(claim) && !v.deleting)
        });
        if let Some(name) = reserved {
            return Some(name);
        }
        if only_reserved {
            return None;
        }
        let shelf = (claim.class_name().to_owned(), claim.volume_mode);
        let from = (claim.request, String::new());
        let fitting = self.free.get(&shelf)?.range(from..);
        fitting.map(|(_, name)| name.as_str()).find(|name| {
            let volume = self.volumes.get(*name);
            volume.is_some_and(|v| v.suits(claim)) && !taken(name)
        })
    }

    /// The newest of the default classes; by name if two are of the same second.
    pub(super) fn default_class(&self) -> Option<&str> {
        let defaults = self.classes.iter().filter(|(_, class)| class.default);
        defaults
            .max_by(|(name, class), (other_name, other)| {
                class
                    .created
                    .cmp(&other.created)
                    .then_with(|| other_name.cmp(name))
            })
            .map(|(name, _)| name.as_str())
    }
}

fn add<K: Hash + Eq, V: Ord>(index: &mut HashMap<K, BTreeSet<V>>, key: K, value: V) {
    index.entry(key).or_default().insert(value);
}

fn remove<K, Q, V, W>(index: &mut HashMap<K, BTreeSet<V>>, key: &Q, value: &W)
where
    K: Hash + Eq + std::borrow::Borrow<Q>,
    Q: Hash + Eq + ?Sized,
    V: Ord + std::borrow::Borrow<W>,
    W: Ord + ?Sized,
{
    if let Some(values) = index.get_mut(key) {
        values.remove(value);
        if values.is_empty() {
            index.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn key(name: &str) -> ClaimKey {
        ("ns".to_owned(), name.to_owned())
    }

    fn claim(more: &Value) -> Claim {
        let mut claim = json!({
            "metadata": { "uid": "u", "resourceVersion": "1" },
            "spec": {
                "storageClassName": "fast",
                "accessModes": ["ReadWriteOnce"],
                "resources": { "requests": { "storage": "2Gi" } },
            },
        });
        json_patch::merge(&mut claim, more);
        Claim::project(&claim)
    }

    fn shelf(volumes: &[(&str, Value)]) -> Index {
        let mut index = Index::default();
        for (name, more) in volumes {
            let mut volume = json!({
                "metadata": { "resourceVersion": "1", "labels": { "disk": "ssd" } },
                "spec": {
                    "storageClassName": "fast",
                    "accessModes": ["ReadWriteOnce"],
                    "capacity": { "storage": "10Gi" },
                },
                "status": { "phase": "Available" },
            });
            json_patch::merge(&mut volume, more);
            index.put_volume(name, Some(Volume::project(&volume)));
        }
        index
    }

    fn found<'a>(index: &'a Index, more: &Value) -> Option<&'a str> {
        index.find_volume(&key("c"), &claim(more), false, |_| false)
    }

    fn sized(size: &str) -> Value {
        json!({ "spec": { "capacity": { "storage": size } } })
    }

    #[test]
    fn the_smallest_volume_that_is_big_enough_is_found() {
        let index = shelf(&[
            ("big", sized("10Gi")),
            ("small", sized("1Gi")),
            ("right", sized("3Gi")),
        ]);
        assert_eq!(found(&index, &json!({})), Some("right"));
        let all_but_right =
            index.find_volume(&key("c"), &claim(&json!({})), false, |n| n == "right");
        assert_eq!(
            all_but_right,
            Some("big"),
            "what another claim just took is left out"
        );
    }

    #[test]
    fn a_volume_must_suit_in_every_respect() {
        let index = shelf(&[("v", json!({}))]);
        for (wanted, expected) in [
            (json!({}), Some("v")),
            (json!({ "spec": { "storageClassName": "slow" } }), None),
            (json!({ "spec": { "storageClassName": null } }), None),
            (
                json!({ "spec": { "accessModes": ["ReadWriteMany"] } }),
                None,
            ),
            (json!({ "spec": { "volumeMode": "Block" } }), None),
            (
                json!({ "spec": { "volumeAttributesClassName": "gold" } }),
                None,
            ),
            (
                json!({ "spec": { "resources": { "requests": { "storage": "11Gi" } } } }),
                None,
            ),
            (
                json!({ "spec": { "selector": { "matchLabels": { "disk": "ssd" } } } }),
                Some("v"),
            ),
            (
                json!({ "spec": { "selector": { "matchLabels": { "disk": "hdd" } } } }),
                None,
            ),
        ] {
            assert_eq!(found(&index, &wanted), expected, "{wanted}");
        }
    }

    #[test]
    fn volumes_that_are_not_free_are_not_found() {
        for not_free in [
            json!({ "status": { "phase": "Released" } }),
            json!({ "status": { "phase": "Failed" } }),
            json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } }),
            json!({ "spec": { "claimRef": { "namespace": "ns", "name": "other" } } }),
        ] {
            let index = shelf(&[("v", not_free.clone())]);
            assert_eq!(found(&index, &json!({})), None, "{not_free}");
        }
    }

    #[test]
    fn a_reserved_volume_comes_before_any_other_and_whatever_its_class() {
        let reserved = |uid: &str| {
            json!({ "spec": {
                "storageClassName": "other",
                "claimRef": { "namespace": "ns", "name": "c", "uid": uid },
            } })
        };
        let index = shelf(&[("free", sized("3Gi")), ("reserved", reserved("u"))]);
        assert_eq!(found(&index, &json!({})), Some("reserved"));
        let index = shelf(&[("free", sized("3Gi")), ("of-an-earlier", reserved("old"))]);
        assert_eq!(found(&index, &json!({})), Some("free"));
        let late = claim(&json!({}));
        let only_reserved = index.find_volume(&key("c"), &late, true, |_| false);
        assert_eq!(only_reserved, None);
    }

    #[test]
    fn what_left_is_no_longer_found() {
        let mut index = shelf(&[("v", json!({}))]);
        index.put_claim(&key("c"), Some(claim(&json!({}))));
        assert_eq!(index.waiting("fast").count(), 1);
        index.put_claim(
            &key("c"),
            Some(claim(&json!({ "spec": { "volumeName": "v" } }))),
        );
        assert_eq!(
            (index.waiting("fast").count(), index.claims_of("v").count()),
            (0, 1)
        );
        index.put_claim(&key("c"), None);
        index.put_volume("v", None);
        assert_eq!(found(&index, &json!({})), None);
        assert!(index.waiting.is_empty() && index.claims_of.is_empty() && index.free.is_empty());
    }

    #[test]
    fn the_newest_default_class_counts() {
        let mut index = Index::default();
        for (name, default, created) in [
            ("a", "true", "2026-01-01T00:00:00Z"),
            ("b", "true", "2026-01-02T00:00:00Z"),
            ("c", "false", "2026-01-03T00:00:00Z"),
        ] {
            let class = json!({ "metadata": {
                "annotations": { DEFAULT_CLASS: default }, "creationTimestamp": created,
            } });
            index
                .classes
                .insert(name.to_owned(), Class::project(&class));
        }
        assert_eq!(index.default_class(), Some("b"));
    }
}
