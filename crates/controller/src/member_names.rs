//! Remembers the names of members while their group is made: they are hashes, and every pass over a
//! group asks for all of them.
//!
//! Does not know whether the members are there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tintype_core::group::member;
use tintype_core::object::{Group, Key, Uid};

/// Where the member of each volume is, in the order of the volumes.
type Named = Arc<[(Box<str>, member::Keys)]>;

/// The names of groups that are being made.
#[derive(Debug, Default)]
pub(crate) struct MemberNames(Mutex<HashMap<Key, (Uid, Named)>>);

impl MemberNames {
    /// Of the members of `group` that are cut from these volumes.
    pub(crate) fn of(&self, group: &Group, volumes: &[Box<str>]) -> Named {
        let key = &group.meta.key;
        if let Some((uid, named)) = self.lock().get(key)
            && *uid == group.meta.uid
            && named.iter().map(|(volume, _)| volume).eq(volumes)
        {
            return named.clone();
        }
        let named: Named = volumes
            .iter()
            .map(|it| (it.clone(), member::Keys::of(group, it)))
            .collect();
        // One that is ready is seldom passed.
        if group.ready != Some(true) {
            let known = (group.meta.uid.clone(), named.clone());
            self.lock().insert(key.clone(), known);
        }
        named
    }

    /// It is ready, or gone.
    pub(crate) fn forget(&self, group: &Key) {
        self.lock().remove(group);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, (Uid, Named)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tintype_core::object::GroupContent;
    use tintype_runtime::Row as _;

    use super::*;

    fn group(uid: &str, ready: bool) -> Group {
        Group::read_reply(json!({
            "metadata": {"namespace": "ns", "name": "nightly", "uid": uid, "resourceVersion": "1"},
            "spec": {"source": {"selector": {}}},
            "status": {"readyToUse": ready},
        }))
        .unwrap()
    }

    fn volumes(names: &[&str]) -> Vec<Box<str>> {
        let content = json!({
            "metadata": {"name": "c", "uid": "c", "resourceVersion": "1"},
            "spec": {"driver": "d", "deletionPolicy": "Delete", "volumeGroupSnapshotRef": {},
                "source": {"volumeHandles": names}},
        });
        GroupContent::read_reply(content).unwrap().volumes().into()
    }

    #[test]
    fn names_follow_the_group_and_its_volumes() {
        let names = MemberNames::default();
        for (uid, all) in [("u1", &["a", "b"][..]), ("u2", &["a", "b"]), ("u2", &["b"])] {
            let (group, volumes) = (group(uid, false), volumes(all));
            for _ in 0..2 {
                let found = names.of(&group, &volumes);
                let wanted = volumes.iter().map(|it| member::Keys::of(&group, it));
                assert!(found.iter().map(|(_, keys)| keys.clone()).eq(wanted));
            }
        }
    }

    #[test]
    fn nothing_is_kept_of_a_group_that_is_ready_or_gone() {
        let names = MemberNames::default();
        names.of(&group("u1", true), &volumes(&["a"]));
        assert!(names.lock().is_empty());
        let open = group("u1", false);
        names.of(&open, &volumes(&["a"]));
        assert_eq!(names.lock().len(), 1);
        names.forget(&open.meta.key);
        assert!(names.lock().is_empty());
    }
}
