//! Looks whether the objects that a token names are still there.
//!
//! Knows the store, nothing of tokens.

use std::time::SystemTime;

use super::claims::{Private, Reference};
use crate::store::Store;

/// An object that is being deleted still counts for this long, so that what runs down can finish.
const LEEWAY: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

/// One object that was found well, in one of its versions.
#[derive(Debug, Clone)]
struct Found {
    bucket: &'static str,
    key: String,
    version: u64,
}

/// What was found when a token was last looked at; while nothing of it changed there is nothing to read.
#[derive(Debug, Clone, Default)]
pub(super) struct Holders {
    found: Vec<Found>,
    /// Some object is being deleted: time alone can end the token.
    going: bool,
}

impl Holders {
    /// Finds all, or says what is wrong with which.
    pub(super) fn find(store: &Store, of: &Private, now: SystemTime) -> Result<Self, String> {
        let within = |reference: &Reference| format!("{}/{}", of.namespace, reference.name);
        let account = &of.serviceaccount;
        let mut wanted = vec![(
            "serviceaccounts",
            "service account",
            within(account),
            account,
        )];
        wanted.extend(of.pod.iter().map(|pod| ("pods", "pod", within(pod), pod)));
        let secrets = of.secret.iter();
        wanted.extend(secrets.map(|secret| ("secrets", "secret", within(secret), secret)));
        // The node of a pod is only told, not looked for: the pod says where it is.
        let nodes = of.node.iter().filter(|_| of.pod.is_none());
        wanted.extend(nodes.map(|node| ("nodes", "node", node.name.clone(), node)));
        let mut holders = Self::default();
        for (bucket, kind, key, reference) in wanted {
            holders.look(store, (bucket, kind), key, reference, now)?;
        }
        Ok(holders)
    }

    fn look(
        &mut self,
        store: &Store,
        (bucket, kind): (&'static str, &str),
        key: String,
        reference: &Reference,
        now: SystemTime,
    ) -> Result<(), String> {
        let object = store.get(bucket, &key);
        let object = object.ok_or_else(|| format!("{kind} {key} not found"))?;
        let value = object.value();
        let uid = value["metadata"]["uid"].as_str().unwrap_or_default();
        if uid != reference.uid {
            let claimed = &reference.uid;
            return Err(format!(
                "{kind} UID ({uid}) does not match claim ({claimed})"
            ));
        }
        if let Some(deleted) = value["metadata"]["deletionTimestamp"].as_str() {
            let ends = deleted
                .parse::<jiff::Timestamp>()
                .ok()
                .map(|at| at + LEEWAY);
            let now = jiff::Timestamp::try_from(now).unwrap_or(jiff::Timestamp::MAX);
            if ends.is_none_or(|ends| ends < now) {
                return Err(format!("{kind} {key} has been deleted"));
            }
            self.going = true;
        }
        self.found.push(Found {
            bucket,
            key,
            version: object.rv,
        });
        Ok(())
    }

    /// Whether everything is as it was found.
    pub(super) fn unchanged(&self, store: &Store) -> bool {
        !self.going
            && self.found.iter().all(|found| {
                let now = store.get(found.bucket, &found.key);
                now.is_some_and(|object| object.rv == found.version)
            })
    }
}
