//! Keeps the latest changes of one resource, so that watches resume and paged lists look back.
//!
//! Does not know who watches: a reader comes with the resourceVersion it has seen.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::object::Object;

/// How many changes one resource keeps.
const MAX_EVENTS: usize = 10_000;
/// How many bytes of objects that only the window still holds one resource keeps.
const MAX_BYTES: usize = 16 << 20;

/// One change: `old` is absent for a creation, `new` for a deletion.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub rv: u64,
    pub old: Option<Arc<Object>>,
    pub new: Option<Arc<Object>>,
}

impl Event {
    fn key(&self) -> Option<&Arc<str>> {
        self.new
            .as_ref()
            .or(self.old.as_ref())
            .map(|object| &object.key)
    }

    fn bytes(&self) -> usize {
        self.old.as_ref().map_or(0, |object| object.json().len())
    }
}

/// The asked resourceVersion is older than what the window holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expired {
    /// The oldest resourceVersion one can still start after.
    pub oldest: u64,
}

#[derive(Debug)]
pub(crate) struct Window {
    events: VecDeque<Event>,
    bytes: usize,
    /// Every change up to here is forgotten.
    compacted: u64,
}

impl Window {
    pub(crate) fn new(compacted: u64) -> Self {
        Self {
            events: VecDeque::new(),
            bytes: 0,
            compacted,
        }
    }

    pub(crate) fn push(&mut self, event: Event) {
        self.bytes += event.bytes();
        self.events.push_back(event);
        while self.events.len() > MAX_EVENTS || (self.bytes > MAX_BYTES && self.events.len() > 1) {
            if let Some(gone) = self.events.pop_front() {
                self.bytes -= gone.bytes();
                self.compacted = gone.rv;
            }
        }
    }

    /// Up to `max` changes after `rv`, oldest first.
    pub(crate) fn since(&self, rv: u64, max: usize) -> Result<Vec<Event>, Expired> {
        if rv < self.compacted {
            return Err(Expired {
                oldest: self.compacted,
            });
        }
        let start = self.events.partition_point(|event| event.rv <= rv);
        Ok(self.events.range(start..).take(max).cloned().collect())
    }

    /// Turns `objects`, the state now, into the state at `rv`.
    pub(crate) fn undo(
        &self,
        rv: u64,
        objects: &mut BTreeMap<Arc<str>, Arc<Object>>,
    ) -> Result<(), Expired> {
        if rv < self.compacted {
            return Err(Expired {
                oldest: self.compacted,
            });
        }
        for event in self.events.iter().rev().take_while(|event| event.rv > rv) {
            match (&event.old, event.key()) {
                (Some(old), _) => {
                    objects.insert(old.key.clone(), old.clone());
                }
                (None, Some(key)) => {
                    objects.remove(key);
                }
                (None, None) => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::object::Draft;
    use super::*;

    fn object(name: &str, rv: u64) -> Arc<Object> {
        Arc::new(Draft::encode(&json!({"metadata": {"name": name}})).finish(name.into(), rv))
    }

    fn created(rv: u64) -> Event {
        Event {
            rv,
            old: None,
            new: Some(object("a", rv)),
        }
    }

    #[test]
    fn resumes_after_the_asked_resource_version() {
        let mut window = Window::new(3);
        for rv in [5, 7, 9] {
            window.push(created(rv));
        }
        let seen = |rv| -> Vec<u64> {
            window
                .since(rv, 10)
                .unwrap()
                .iter()
                .map(|event| event.rv)
                .collect()
        };
        assert_eq!(seen(3), [5, 7, 9]);
        assert_eq!(seen(5), [7, 9]);
        assert_eq!(seen(6), [7, 9]);
        assert_eq!(seen(9), [] as [u64; 0]);
        assert_eq!(window.since(2, 10).unwrap_err(), Expired { oldest: 3 });
    }

    #[test]
    fn forgets_the_oldest_changes_beyond_its_bounds() {
        let mut window = Window::new(0);
        for rv in 1..=(MAX_EVENTS as u64 + 5) {
            window.push(created(rv));
        }
        assert_eq!(window.events.len(), MAX_EVENTS);
        assert!(window.since(4, 1).is_err());
        assert_eq!(window.since(5, 1).unwrap()[0].rv, 6);
    }

    #[test]
    fn looks_back_to_an_earlier_state() {
        let mut window = Window::new(0);
        let (a1, a2, b3) = (object("a", 1), object("a", 2), object("b", 3));
        window.push(Event {
            rv: 1,
            old: None,
            new: Some(a1.clone()),
        });
        window.push(Event {
            rv: 2,
            old: Some(a1),
            new: Some(a2.clone()),
        });
        window.push(Event {
            rv: 3,
            old: None,
            new: Some(b3),
        });
        window.push(Event {
            rv: 4,
            old: Some(a2),
            new: None,
        });
        let now = BTreeMap::from([(Arc::from("b"), object("b", 3))]);
        let at = |rv| -> Vec<(String, u64)> {
            let mut objects = now.clone();
            window.undo(rv, &mut objects).unwrap();
            objects
                .values()
                .map(|object| (object.key.to_string(), object.rv))
                .collect()
        };
        assert_eq!(at(4), [("b".into(), 3)]);
        assert_eq!(at(3), [("a".into(), 2), ("b".into(), 3)]);
        assert_eq!(at(1), [("a".into(), 1)]);
        assert_eq!(at(0), []);
    }
}
