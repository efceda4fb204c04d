//! Remembers a value per key between passes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tintype_core::object::Key;

/// One value per key; a key that is not there has the default. Clones share the values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Remembered<T>(Arc<Mutex<HashMap<Key, T>>>);

impl<T: Clone + Default> Remembered<T> {
    pub(crate) fn recall(&self, key: &Key) -> T {
        self.lock().get(key).cloned().unwrap_or_default()
    }

    pub(crate) fn keep(&self, key: &Key, value: T) {
        self.lock().insert(key.clone(), value);
    }

    pub(crate) fn forget(&self, key: &Key) {
        self.lock().remove(key);
    }

    /// How many keys have a value of this kind.
    pub(crate) fn count(&self, is: impl Fn(&T) -> bool) -> usize {
        self.lock().values().filter(|it| is(it)).count()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
