//! Turns changes of objects into lines for a person: one per change that means something.
//! Keeps a fingerprint of what was last said of each object, never the object.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Instant,
};

use serde_json::Value;

use super::sentence::{Kind, Sentence, sentence};
use crate::words;

/// What has been said so far.
#[derive(Debug, Default)]
pub(crate) struct News {
    said: HashMap<(Kind, String), Said>,
    lists: HashMap<Kind, u64>,
}

#[derive(Debug, Default)]
struct Said {
    fingerprint: u64,
    /// When it was first seen; none for what was there before us.
    since: Option<Instant>,
    reached: bool,
    spoken_of: bool,
    /// The list that saw it last.
    list: u64,
}

impl News {
    /// A list of all objects of one kind begins.
    pub(crate) fn list(&mut self, kind: Kind) {
        *self.lists.entry(kind).or_default() += 1;
    }

    /// The list has ended: what was not on it went while nobody looked.
    pub(crate) fn listed(&mut self, kind: Kind) -> Vec<String> {
        let list = self.lists.get(&kind).copied().unwrap_or_default();
        let gone = self
            .said
            .extract_if(|(other, _), said| *other == kind && said.list != list);
        let gone = gone.filter(|(_, said)| said.spoken_of);
        gone.map(|((kind, name), _)| format!("{} {name} is gone", kind.as_str()))
            .collect()
    }

    /// An object as it is now. `listed` if it was there when we began to look.
    pub(crate) fn present(
        &mut self,
        kind: Kind,
        object: &Value,
        listed: bool,
        now: Instant,
    ) -> Option<String> {
        let name = name(object);
        let told = sentence(kind, object);
        let fingerprint = fingerprint(told.as_ref());
        let new = !self.said.contains_key(&(kind, name.clone()));
        let said = self.said.entry((kind, name.clone())).or_default();
        said.list = self.lists.get(&kind).copied().unwrap_or_default();
        if new {
            said.since = (!listed).then_some(now);
        } else if said.fingerprint == fingerprint {
            return None;
        }
        said.fingerprint = fingerprint;
        let told = told?;
        said.spoken_of = true;
        let first = told.reached && !said.reached;
        said.reached |= told.reached;
        if new && listed {
            return None;
        }
        let mut detail = told.detail;
        // What is as it should be when first seen has no time to tell.
        let since = said.since.filter(|_| first && !new);
        detail.extend(since.map(|since| words::lasted(now - since)));
        let detail = if detail.is_empty() {
            String::new()
        } else {
            format!(" ({})", detail.join(", "))
        };
        Some(format!("{} {name} {}{detail}", kind.as_str(), told.text))
    }

    /// An object that has gone.
    pub(crate) fn gone(&mut self, kind: Kind, object: &Value) -> Option<String> {
        let name = name(object);
        let said = self.said.remove(&(kind, name.clone()))?;
        // What was never spoken of is not missed.
        said.spoken_of
            .then(|| format!("{} {name} is gone", kind.as_str()))
    }

    /// Objects of one kind that are there.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.said.keys().filter(|(other, _)| *other == kind).count()
    }
}

fn name(object: &Value) -> String {
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    match metadata["namespace"].as_str() {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    }
}

fn fingerprint(told: Option<&Sentence>) -> u64 {
    let mut hasher = DefaultHasher::new();
    told.map(|told| (&told.text, &told.detail))
        .hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn snapshot(status: &Value) -> Value {
        json!({
            "metadata": {"namespace": "default", "name": "snap"},
            "spec": {"source": {"persistentVolumeClaimName": "data"}},
            "status": status
        })
    }

    #[test]
    fn a_snapshot_makes_one_line_per_change() {
        let (mut news, start) = (News::default(), Instant::now());
        let mut tell = |status, after| {
            let now = start + Duration::from_millis(after);
            news.present(Kind::Snapshot, &snapshot(&status), false, now)
        };
        let asked = tell(json!({}), 0).unwrap();
        assert_eq!(asked, "snapshot default/snap of claim data is asked for");
        let bound = json!({"boundVolumeSnapshotContentName": "content"});
        assert_eq!(tell(bound, 100), None);
        let ready = json!({"readyToUse": true, "restoreSize": "12Mi"});
        assert_eq!(
            tell(ready.clone(), 400).unwrap(),
            "snapshot default/snap is ready (12 MiB, 0.4 s)"
        );
        assert_eq!(tell(ready, 500), None);
        assert_eq!(
            news.gone(Kind::Snapshot, &snapshot(&json!({}))).unwrap(),
            "snapshot default/snap is gone"
        );
    }

    #[test]
    fn what_was_there_before_is_counted_not_told() {
        let (mut news, now) = (News::default(), Instant::now());
        assert_eq!(
            news.present(Kind::Snapshot, &snapshot(&json!({})), true, now),
            None
        );
        assert_eq!(news.count(Kind::Snapshot), 1);
        // Its age is not known, so its time is not told.
        let ready = snapshot(&json!({"readyToUse": true}));
        assert_eq!(
            news.present(Kind::Snapshot, &ready, false, now).unwrap(),
            "snapshot default/snap is ready"
        );
    }

    #[test]
    fn silent_objects_go_silently() {
        let mut news = News::default();
        let content = json!({"metadata": {"name": "c"}, "spec": {"source": {"volumeHandle": "v"}}});
        assert_eq!(
            news.present(Kind::Content, &content, false, Instant::now()),
            None
        );
        assert_eq!(news.gone(Kind::Content, &content), None);
    }
}
