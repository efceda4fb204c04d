//! Keeps the tasks a role cannot do without, and says when one of them died.
//!
//! A watch that ends unnoticed leaves a cache that hears nothing any more. Does not know what the
//! tasks do.

use std::collections::HashMap;
use std::future::Future;

use tokio::task::{Id, JoinError, JoinSet};

/// A task ended by a panic.
#[derive(Debug, thiserror::Error)]
#[error("the task \"{name}\" died")]
pub struct TaskDied {
    /// What it did.
    pub name: String,
    /// Its last words.
    #[source]
    pub source: JoinError,
}

/// Tasks that run until the shutdown. Dropped, they are aborted.
#[derive(Debug, Default)]
pub struct Tasks {
    running: JoinSet<()>,
    names: HashMap<Id, String>,
}

impl Tasks {
    /// Starts a task; `name` says what it does.
    pub fn spawn(
        &mut self,
        name: impl Into<String>,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let started = self.running.spawn(task);
        self.names.insert(started.id(), name.into());
    }

    /// Waits for a task to die; for ever, if none does.
    pub async fn died(&mut self) -> TaskDied {
        match self.next_death().await {
            Some(death) => death,
            None => std::future::pending().await,
        }
    }

    /// Waits until all have ended, or one died.
    pub async fn ended(&mut self) -> Result<(), TaskDied> {
        self.next_death().await.map_or(Ok(()), Err)
    }

    async fn next_death(&mut self) -> Option<TaskDied> {
        while let Some(ended) = self.running.join_next_with_id().await {
            match ended {
                Ok((id, ())) => {
                    self.names.remove(&id);
                }
                Err(source) => {
                    let name = self.names.remove(&source.id()).unwrap_or_default();
                    return Some(TaskDied { name, source });
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Chain;

    #[tokio::test]
    async fn a_task_that_dies_is_told_by_name() {
        let mut tasks = Tasks::default();
        tasks.spawn("resync", async {});
        tasks.spawn("watch of contents", async { panic!("an odd object") });
        let death = tasks.died().await;
        let words = Chain(&death).to_string();
        assert!(
            words.contains("\"watch of contents\" died"),
            "names the task: {words}"
        );
        assert!(words.contains("an odd object"), "names the cause: {words}");
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_that_end_well_are_no_death() {
        let mut tasks = Tasks::default();
        tasks.spawn("resync", async {});
        let wait = std::time::Duration::from_secs(60);
        assert!(tokio::time::timeout(wait, tasks.died()).await.is_err());
        assert!(tasks.ended().await.is_ok());
    }
}
