//! Remembers a value per key between passes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tintype_core::object::Key;
use tintype_runtime::{Metrics, MetricsError};

/// Counts some of what is remembered.
pub(crate) type Count = Box<dyn Fn() -> usize + Send + Sync>;

/// Tells as a metric how many objects there are whose calls are in doubt, by all of these counts.
pub(crate) fn tell_doubts(metrics: &Metrics, counts: Vec<Count>) -> Result<(), MetricsError> {
    metrics.gauge(
        "tintype_uncertain_calls",
        "Objects whose last call to the driver may have had an effect nobody knows of.",
        move || counts.iter().map(|count| count()).sum(),
    )
}

/// One value per key; a key that is not there has the default. Clones share the values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Remembered<T>(Arc<Mutex<HashMap<Key, T>>>);

impl<T: Clone + Default + Send + 'static> Remembered<T> {
    /// Counts those values, whenever it is asked.
    pub(crate) fn count(&self, which: fn(&T) -> bool) -> Count {
        let memory = self.clone();
        Box::new(move || memory.lock().values().filter(|it| which(it)).count())
    }

    pub(crate) fn recall(&self, key: &Key) -> T {
        self.lock().get(key).cloned().unwrap_or_default()
    }

    pub(crate) fn keep(&self, key: &Key, value: T) {
        self.lock().insert(key.clone(), value);
    }

    pub(crate) fn forget(&self, key: &Key) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
