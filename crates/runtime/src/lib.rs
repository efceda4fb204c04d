//! Runs the machines: watches, remembers, queues, applies.
//!
//! ```text
//! observe (caches) → facts → decide → Step → render → Write → apply → fold ↺
//! ```
//!
//! The pure part is in `tintype-core`; here is everything around it, written once for every role.
//! Knows no rule: which step follows is never chosen here.

mod apply;
mod cache;
mod chain;
mod clock;
mod definitions;
mod desk;
mod duration;
mod event;
pub mod flags;
pub mod gates;
mod http;
mod late;
pub mod lease;
mod limit;
mod metrics;
mod pass;
mod queue;
mod resync;
mod role;
mod rows;
mod tasks;
mod watch;
mod work;

pub use apply::{Applier, ApplyError, Reply, fold_reply};
pub use cache::{Cache, Change, Index};
pub use chain::Chain;
pub use clock::Clock;
pub use definitions::{Kind, KindsError, await_kinds};
pub use desk::Desk;
pub use duration::{DurationError, GoDuration};
pub use event::{Events, Recorder};
pub use http::HttpError;
pub use late::LateKinds;
pub use metrics::{
    CallMetrics, LeaderMetrics, Metrics, MetricsError, Operation, Operations, ProvisionMetrics,
    ReviewMetrics, SnapshotType,
};
pub use pass::{Engine, Machine};
pub use queue::Queue;
pub use resync::resync;
pub use role::{Role, RoleError, Term};
pub use rows::{ClaimRow, Row};
pub use tasks::{TaskDied, Tasks};
pub use watch::{catch_up, follow, watch, watch_labelled};
pub use work::Work;
