//! Keeps the latest changes of one resource, so that watches resume and paged lists look back.
//!
//! Does not know who watches: a reader comes with the resourceVersion it has seen.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::object::Object;

/// How much one resource keeps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub events: usize,
    /// Of objects that only the window still holds.
    pub bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            events: 10_000,
            bytes: 16 << 20,
        }
    }
}

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

    /// What is kept in memory for this change alone.
    fn bytes(&self) -> usize {
        self.old.as_ref().map_or(0, |object| object.json().len())
    }

    /// What a reader who is slow to pass it on may come to hold.
    fn weight(&self) -> usize {
        self.bytes() + self.new.as_ref().map_or(0, |object| object.json().len())
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
    bounds: Bounds,
    /// Every change up to here is forgotten.
    compacted: u64,
}

impl Window {
    pub(crate) fn new(compacted: u64, bounds: Bounds) -> Self {
        Self {
            events: VecDeque::new(),
            bytes: 0,
            bounds,
            compacted,
        }
    }

    pub(crate) fn push(&mut self, event: Event) {
        self.bytes += event.bytes();
        self.events.push_back(event);
        let Bounds { events, bytes } = self.bounds;
        while self.events.len() > events || (self.bytes > bytes && self.events.len() > 1) {
            if let Some(gone) = self.events.pop_front() {
                self.bytes -= gone.bytes();
                self.compacted = gone.rv;
            }
        }
    }

    /// Changes after `rv`, oldest first: as many as `max` allows, but one at least. Also tells
    /// whether these are all.
    pub(crate) fn since(&self, rv: u64, max: Bounds) -> Result<(Vec<Event>, bool), Expired> {
        if rv < self.compacted {
            return Err(Expired {
                oldest: self.compacted,
            });
        }
        let start = self.events.partition_point(|event| event.rv <= rv);
        let mut left = max.bytes;
        let few = self.events.range(start..).take(max.events);
        let events: Vec<Event> = few
            .enumerate()
            .take_while(|(at, event)| {
                let fits = event.weight() <= left;
                left = left.saturating_sub(event.weight());
                fits || *at == 0
            })
            .map(|(_, event)| event.clone())
            .collect();
        let all = start + events.len() == self.events.len();
        Ok((events, all))
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

    const FEW: Bounds = Bounds {
        events: 10,
        bytes: usize::MAX,
    };

    fn window(compacted: u64) -> Window {
        Window::new(compacted, Bounds::default())
    }

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
        let mut window = window(3);
        for rv in [5, 7, 9] {
            window.push(created(rv));
        }
        let seen = |rv| -> Vec<u64> {
            window
                .since(rv, FEW)
                .unwrap()
                .0
                .iter()
                .map(|event| event.rv)
                .collect()
        };
        assert_eq!(seen(3), [5, 7, 9]);
        assert_eq!(seen(5), [7, 9]);
        assert_eq!(seen(6), [7, 9]);
        assert_eq!(seen(9), [] as [u64; 0]);
        assert_eq!(window.since(2, FEW).unwrap_err(), Expired { oldest: 3 });
    }

    #[test]
    fn forgets_the_oldest_changes_beyond_its_bounds() {
        let mut window = window(0);
        for rv in 1..=(Bounds::default().events as u64 + 5) {
            window.push(created(rv));
        }
        assert_eq!(window.events.len(), Bounds::default().events);
        assert!(window.since(4, FEW).is_err());
        assert_eq!(window.since(5, FEW).unwrap().0[0].rv, 6);
    }

    #[test]
    fn a_reader_gets_no_more_at_once_than_it_may_hold() {
        let mut window = window(0);
        for rv in 1..=9 {
            window.push(created(rv));
        }
        let read = |events, bytes| {
            let (events, all) = window.since(2, Bounds { events, bytes }).unwrap();
            (events.len(), all)
        };
        let one = object("a", 1).json().len();
        assert_eq!(read(10, 10 * one), (7, true));
        assert_eq!(read(3, 10 * one), (3, false));
        assert_eq!(read(10, 2 * one), (2, false));
        assert_eq!(read(10, 1), (1, false));
    }

    #[test]
    fn looks_back_to_an_earlier_state() {
        let mut window = window(0);
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
