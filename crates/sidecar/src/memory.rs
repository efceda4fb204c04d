//! Remembers a value per key between passes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tintype_core::object::Key;
use tintype_runtime::{Metrics, MetricsError};

/// One value per key; a key that is not there has the default. Clones share the values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Remembered<T>(Arc<Mutex<HashMap<Key, T>>>);

impl<T: Clone + Default + Send + 'static> Remembered<T> {
    /// An empty one, whose values that are in doubt are told as a metric.
    pub(crate) fn with_doubts(
        metrics: &Metrics,
        doubtful: fn(&T) -> bool,
    ) -> Result<Self, MetricsError> {
        let memory = Self::default();
        let told = memory.clone();
        metrics.gauge(
            "tintype_uncertain_calls",
            "Objects whose last call to the driver may have had an effect nobody knows of.",
            move || told.lock().values().filter(|it| doubtful(it)).count(),
        )?;
        Ok(memory)
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
