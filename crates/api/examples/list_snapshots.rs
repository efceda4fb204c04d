//! Lists the snapshots of a cluster, of all namespaces, with their age and what keeps them from being ready.
//!
//! Uses the cluster that `kubectl` would use: `cargo run -p tintype-api --example list_snapshots`.
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use tintype_api::VolumeSnapshot;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let client = Client::try_default().await?;
    let snapshots: Api<VolumeSnapshot> = Api::all(client);
    for snapshot in snapshots.list(&ListParams::default()).await? {
        let namespace = snapshot.namespace().unwrap_or_default();
        let name = snapshot.name_any();
        let size = snapshot
            .status
            .as_ref()
            .and_then(|status| status.restore_size.as_ref())
            .map_or_else(|| "-".to_owned(), ToString::to_string);
        let state = match snapshot.error_message() {
            _ if snapshot.deleting() => "being deleted",
            _ if snapshot.ready() => "ready",
            Some(message) => message,
            None => "waiting",
        };
        println!("{namespace}/{name}\t{size}\t{state}");
    }
    Ok(())
}
