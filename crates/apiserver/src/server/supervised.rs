//! Notices when a task ends that should go on for as long as the server does.
//!
//! Does not know what the tasks do, nor what is done about it.

use std::collections::HashMap;

use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

/// A part of the server ended that should not have. The process should end, and be started again.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{part} ended by itself: {why}")]
pub struct PartEnded {
    /// `the controller persistent-volume-binder`, `the store's writer`.
    pub part: String,
    pub why: String,
}

/// Tasks that go on until they are told to end.
#[derive(Debug, Default)]
pub(super) struct Supervised {
    tasks: JoinSet<()>,
    parts: HashMap<Id, String>,
}

impl Supervised {
    pub(super) fn spawn(&mut self, part: String, task: impl Future<Output = ()> + Send + 'static) {
        let id = self.tasks.spawn(task).id();
        self.parts.insert(id, part);
    }

    /// Waits for the first task that ends unasked, and lets the others go on; none once all ended
    /// because of `stop`.
    pub(super) async fn first_end(mut self, stop: &CancellationToken) -> Option<PartEnded> {
        while let Some(ended) = self.tasks.join_next_with_id().await {
            let (id, why) = match ended {
                Ok(_) if stop.is_cancelled() => continue,
                Ok((id, ())) => (id, "nobody asked it to".to_owned()),
                Err(panic) => (panic.id(), panic.to_string()),
            };
            let part = self.parts.remove(&id).unwrap_or_default();
            let ended = PartEnded { part, why };
            tracing::error!(error = %ended, "a part of the API server died");
            self.tasks.detach_all();
            return Some(ended);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tells_which_task_died_and_why() {
        let stop = CancellationToken::new();
        let mut tasks = Supervised::default();
        tasks.spawn("one".into(), stop.clone().cancelled_owned());
        tasks.spawn("another".into(), async { panic!("out of ideas") });
        let ended = tasks.first_end(&stop).await.unwrap();
        assert_eq!(ended.part, "another");
        assert!(ended.why.contains("out of ideas"), "{ended}");
    }

    #[tokio::test]
    async fn an_end_that_nobody_asked_for_is_one_too() {
        let mut tasks = Supervised::default();
        tasks.spawn("one".into(), async {});
        let ended = tasks.first_end(&CancellationToken::new()).await.unwrap();
        assert_eq!(ended.to_string(), "one ended by itself: nobody asked it to");
    }

    #[tokio::test]
    async fn who_was_told_to_end_did_not_die() {
        let stop = CancellationToken::new();
        let mut tasks = Supervised::default();
        tasks.spawn("one".into(), stop.clone().cancelled_owned());
        stop.cancel();
        assert_eq!(tasks.first_end(&stop).await, None);
    }
}
