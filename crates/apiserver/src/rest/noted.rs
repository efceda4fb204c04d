//! Collects what is noted while a request is served, however it ends: warnings for the client, annotations for the audit log.
//!
//! Does not know who notes.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Beyond so many bytes of warnings together, each is cut off after so many characters. As in Kubernetes.
const WARNINGS: usize = 4096;
const WARNING: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Noted {
    warnings: Mutex<Vec<String>>,
    annotations: Mutex<BTreeMap<String, String>>,
}

impl Noted {
    /// Each once: a write may be tried several times.
    pub(super) fn warn(&self, texts: impl IntoIterator<Item = String>) {
        let mut warnings = held(&self.warnings);
        for text in texts {
            if !warnings.contains(&text) {
                warnings.push(text);
            }
        }
    }

    /// The last text of a key holds.
    pub(super) fn annotate(&self, key: String, text: String) {
        held(&self.annotations).insert(key, text);
    }

    /// All warnings, shortened if they are too much for a header.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = std::mem::take(&mut *held(&self.warnings));
        if warnings.iter().map(String::len).sum::<usize>() <= WARNINGS {
            return warnings;
        }
        let mut left = WARNINGS;
        for text in &mut warnings {
            *text = text.chars().take(WARNING.min(left)).collect();
            left = left.saturating_sub(text.len());
        }
        warnings.retain(|text| !text.is_empty());
        warnings
    }

    pub(super) fn annotations(&self) -> BTreeMap<String, String> {
        std::mem::take(&mut *held(&self.annotations))
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
