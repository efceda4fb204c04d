//! Keeps what a user was promised: which object was made, which deletion was taken.
//! Pure: sends nothing. What is asked for next is chosen here, so that nothing impossible is.

use std::collections::BTreeMap;

use rand::{Rng, rngs::StdRng, seq::IteratorRandom};

/// So many objects of each kind are there at most; then some go first.
const MANY: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Claim,
    Snapshot,
}

/// What to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    Claim { name: String },
    Snapshot { name: String, of: String },
    Restore { name: String, from: String },
    Delete { kind: Kind, name: String },
}

/// An object as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) version: u64,
    pub(crate) deleting: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deletion {
    No,
    /// Nobody knows whether the request arrived.
    Asked,
    Taken,
}

#[derive(Debug)]
struct Entry {
    kind: Kind,
    /// Absent as long as nobody knows whether it was made.
    made: Option<(String, u64)>,
    deletion: Deletion,
    /// Something is made of it: a user who takes it away now gets what they asked for.
    source: bool,
    /// It is not for the workers to delete.
    kept: bool,
}

impl Entry {
    /// It may have been asked for only a moment ago: whatever is being made of it goes with it.
    fn may_go(&self) -> bool {
        let stays = self.made.is_some() && self.deletion == Deletion::No;
        stays && !self.kept && !self.source
    }
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: BTreeMap<String, Entry>,
    names: u32,
    /// The highest resourceVersion that anybody was shown.
    version: u64,
    pub(crate) acknowledged: usize,
}

impl Ledger {
    /// What to ask for next; it counts as asked from now on.
    pub(crate) fn wish(&mut self, random: &mut StdRng) -> Wish {
        let claims = self
            .entries
            .values()
            .filter(|entry| entry.kind == Kind::Claim)
            .count();
        let full = self.entries.len() - claims >= MANY || claims >= MANY;
        let choice = if full { 9 } else { random.random_range(0..10) };
        let chosen = match choice {
            0 | 1 => None,
            2..=5 => self.source(Kind::Claim, random).map(|of| Wish::Snapshot {
                name: self.name("snapshot", Kind::Snapshot),
                of,
            }),
            6 | 7 => self
                .source(Kind::Snapshot, random)
                .map(|from| Wish::Restore {
                    name: self.name("restored", Kind::Claim),
                    from,
                }),
            _ => self.deletion(random),
        };
        chosen.unwrap_or_else(|| Wish::Claim {
            name: self.name("claim", Kind::Claim),
        })
    }

    fn name(&mut self, word: &str, kind: Kind) -> String {
        self.names += 1;
        let name = format!("{word}-{}", self.names);
        self.expect(&name, kind, false);
        name
    }

    /// An object of this name is going to be asked for.
    pub(crate) fn expect(&mut self, name: &str, kind: Kind, kept: bool) {
        let entry = Entry {
            kind,
            made: None,
            deletion: Deletion::No,
            source: false,
            kept,
        };
        self.entries.insert(name.to_owned(), entry);
    }

    fn source(&mut self, kind: Kind, random: &mut StdRng) -> Option<String> {
        let fit = self.entries.iter_mut().filter(|(_, entry)| {
            entry.kind == kind && entry.made.is_some() && entry.deletion == Deletion::No
        });
        let (name, entry) = fit.choose(random)?;
        entry.source = true;
        Some(name.clone())
    }

    fn deletion(&mut self, random: &mut StdRng) -> Option<Wish> {
        let fit = self.entries.iter_mut().filter(|(_, entry)| entry.may_go());
        let (name, entry) = fit.choose(random)?;
        entry.deletion = Deletion::Asked;
        Some(Wish::Delete {
            kind: entry.kind,
            name: name.clone(),
        })
    }

    /// The server said that it is made.
    pub(crate) fn made(&mut self, name: &str, uid: String, version: u64) {
        self.acknowledged += 1;
        self.version = self.version.max(version);
        if let Some(entry) = self.entries.get_mut(name) {
            entry.made = Some((uid, version));
        }
    }

    /// The server said that it is deleted, or will be.
    pub(crate) fn deleted(&mut self, name: &str) {
        self.acknowledged += 1;
        if let Some(entry) = self.entries.get_mut(name) {
            entry.deletion = Deletion::Taken;
        }
    }

    /// Compares what is there with what was promised, and goes on from what is there.
    pub(crate) fn compare(&mut self, found: &[Found], version: u64) -> Vec<String> {
        let mut wrong = Vec::new();
        if version < self.version {
            wrong.push(format!(
                "resourceVersion {version} comes before {}",
                self.version
            ));
        }
        self.version = version;
        self.entries.retain(|name, entry| {
            let found = found
                .iter()
                .find(|found| found.name == *name && found.kind == entry.kind);
            if let Some(what) = entry.broken(found) {
                wrong.push(format!("{name} {what}"));
            }
            entry.source = false;
            let Some(found) = found else { return false };
            entry.made = Some((found.uid.clone(), found.version));
            entry.deletion = if found.deleting {
                Deletion::Taken
            } else {
                Deletion::No
            };
            true
        });
        let unknown = found
            .iter()
            .filter(|found| !self.entries.contains_key(&found.name));
        wrong.extend(unknown.map(|found| format!("nobody asked for {}", found.name)));
        wrong
    }

    /// How many objects of a kind should stay.
    pub(crate) fn stay(&self, kind: Kind) -> usize {
        let stays = |entry: &&Entry| entry.kind == kind && entry.deletion == Deletion::No;
        self.entries.values().filter(stays).count()
    }
}

impl Entry {
    /// The promise that what is there does not keep.
    fn broken(&self, found: Option<&Found>) -> Option<&'static str> {
        let (uid, version) = self.made.as_ref()?;
        match (self.deletion, found) {
            (Deletion::No, None) => Some("was made and is not there"),
            (_, Some(found)) if found.uid != *uid => Some("is another object"),
            (_, Some(found)) if found.version < *version => Some("is as it was earlier"),
            (Deletion::No, Some(found)) if found.deleting => Some("is deleted, unasked"),
            (Deletion::Taken, Some(found)) if !found.deleting => Some("is no longer deleted"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    fn found(name: &str, uid: &str, version: u64, deleting: bool) -> Found {
        Found {
            kind: Kind::Claim,
            name: name.into(),
            uid: uid.into(),
            version,
            deleting,
        }
    }

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        for (name, deletion) in [
            ("a", Deletion::No),
            ("b", Deletion::Taken),
            ("c", Deletion::Asked),
        ] {
            let made = Some(("u".to_owned(), 5));
            let entry = Entry {
                kind: Kind::Claim,
                made,
                deletion,
                source: false,
                kept: false,
            };
            ledger.entries.insert(name.to_owned(), entry);
        }
        ledger.version = 9;
        ledger
    }

    #[test]
    fn every_broken_promise_is_found() {
        let kept = [found("a", "u", 7, false), found("c", "u", 5, false)];
        assert_eq!(ledger().compare(&kept, 9), [] as [&str; 0]);
        let check = |found: &[Found], version, wanted: &str| {
            assert_eq!(ledger().compare(found, version), [wanted]);
        };
        check(&[], 9, "a was made and is not there");
        check(&[found("a", "v", 7, false)], 9, "a is another object");
        check(&[found("a", "u", 4, false)], 9, "a is as it was earlier");
        check(&[found("a", "u", 7, true)], 9, "a is deleted, unasked");
        check(
            &[kept[0].clone(), found("b", "u", 5, false)],
            9,
            "b is no longer deleted",
        );
        check(&kept, 8, "resourceVersion 8 comes before 9");
        check(
            &[kept[0].clone(), found("d", "u", 7, false)],
            9,
            "nobody asked for d",
        );
    }

    #[test]
    fn a_source_in_use_is_not_deleted() {
        let mut random = StdRng::seed_from_u64(1);
        let mut ledger = ledger();
        ledger.source(Kind::Claim, &mut random).unwrap();
        assert_eq!(ledger.deletion(&mut random), None);
    }
}
