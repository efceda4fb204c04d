//! The roles beside a CSI driver: `csi-snapshotter` makes and removes the snapshots that contents
//! ask for, `csi-provisioner` makes and removes volumes.
//!
//! Neither knows how its machine decides; both meet the cluster's side only through the API.

mod calls;
mod driver;
mod memory;
pub mod provisioner;
mod secrets;
pub mod snapshotter;

use tintype_core::retry::Schedule;
use tintype_runtime::GoDuration;

/// The back-off that two flags describe.
fn schedule(start: GoDuration, max: GoDuration) -> Schedule {
    let millis = |it: GoDuration| u64::try_from(it.0.as_millis()).unwrap_or(u64::MAX);
    Schedule {
        start: millis(start),
        max: millis(max),
    }
}
