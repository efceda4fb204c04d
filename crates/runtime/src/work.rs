//! Runs the machines of a role beside what they cannot do without, and ends all of it in order.
//!
//! Does not know what the machines do.

use std::future::Future;

use crate::Term;
use crate::event::Events;
use crate::tasks::Tasks;

/// Everything that lives while a role works.
#[derive(Debug)]
pub struct Work {
    /// The right to work.
    pub term: Term,
    /// Watches and resyncs; they end with the shutdown.
    pub tasks: Tasks,
    /// The telling of events.
    pub events: Events,
}

impl Work {
    /// Runs `engines` until they end, which is when the term does; or until `lost` says what they
    /// cannot go on without. Events already told are still sent, then the lease is given back.
    pub async fn run(
        self,
        engines: impl Future<Output = ()>,
        lost: impl Future<Output = anyhow::Error>,
    ) -> anyhow::Result<()> {
        let Self {
            term,
            mut tasks,
            events,
        } = self;
        let broken = tokio::select! {
            () = engines => None,
            why = lost => Some(why),
            why = tasks.died() => Some(why.into()),
        };
        // What breaks once the end was asked for is no news.
        let broken = broken.filter(|_| !term.end().is_cancelled());
        events.end().await?;
        let ended = term.finish().await;
        if let Some(why) = broken {
            return Err(why);
        }
        ended?;
        Ok(tasks.ended().await?)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use kube::Client;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{Clock, Recorder};

    fn work(end: &CancellationToken) -> Work {
        let service = tower::service_fn(|_: http::Request<kube::client::Body>| {
            pending::<Result<http::Response<kube::client::Body>, kube::Error>>()
        });
        let client = Client::new(service, "default");
        Work {
            term: Term::without_lease(end.clone()),
            tasks: Tasks::default(),
            events: Recorder::start(client, "test", Clock::start()).1,
        }
    }

    #[tokio::test]
    async fn a_watch_that_dies_ends_the_role() {
        let mut work = work(&CancellationToken::new());
        work.tasks
            .spawn("watch of contents", async { panic!("an odd object") });
        let error = work.run(pending(), pending()).await.unwrap_err();
        assert!(error.to_string().contains("watch of contents"), "{error:#}");
    }

    #[tokio::test]
    async fn what_is_lost_ends_the_role_unless_it_ends_anyway() {
        let lost = || std::future::ready(anyhow::anyhow!("the driver is lost"));
        let end = CancellationToken::new();
        let error = work(&end).run(pending(), lost()).await.unwrap_err();
        assert_eq!(error.to_string(), "the driver is lost");
        end.cancel();
        work(&end).run(pending(), lost()).await.unwrap();
    }
}
