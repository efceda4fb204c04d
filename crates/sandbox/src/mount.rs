//! Lets a person look into a volume: `tintype mount PVC DIR` and `tintype unmount DIR`.
//! Finds the volume through the Kubernetes API and asks the driver over its socket; it has no
//! other way to the data.

use std::path::PathBuf;

mod claim;
mod node;
mod place;
mod record;

pub use claim::ClaimError;
pub(crate) use claim::find;
pub use node::NodeError;
pub(crate) use node::{Node, absolute};
use place::Place;
pub use place::PlaceError;
pub use record::RecordError;

/// Shows a volume at a directory, as a node would for a pod.
#[derive(Debug, clap::Args)]
pub struct MountArgs {
    /// Namespace of the claim; else the kubeconfig's, else `default`.
    #[arg(short, long)]
    namespace: Option<String>,
    /// Do not allow writing.
    #[arg(long)]
    read_only: bool,
    #[command(flatten)]
    place: Place,
    /// The PersistentVolumeClaim.
    #[arg(value_name = "PVC")]
    claim: String,
    /// An empty directory, or a name that is free.
    dir: PathBuf,
}

/// Takes a volume away from a directory.
#[derive(Debug, clap::Args)]
pub struct UnmountArgs {
    #[command(flatten)]
    place: Place,
    /// Where the volume was mounted.
    dir: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum MountError {
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error(transparent)]
    Node(#[from] NodeError),
}

/// `tintype mount`. What was done, in words.
pub async fn mount(args: MountArgs) -> Result<String, MountError> {
    let MountArgs {
        namespace,
        read_only,
        place,
        claim,
        dir,
    } = args;
    let sandbox = place.find(environment()).map_err(PlaceError::from)?;
    let client = sandbox.client().await?;
    let namespace = namespace.unwrap_or_else(|| client.default_namespace().to_owned());
    let mut found = find(&client, &namespace, &claim).await?;
    found.read_only |= read_only;
    let target = absolute(&dir)?;
    Node::connect(&sandbox.data_dir)
        .await?
        .mount(&found, &target)
        .await?;
    let target = crate::words::path(&target);
    Ok(format!(
        "claim {namespace}/{claim} is at {target}; take it away with `tintype unmount {target}`"
    ))
}

/// `tintype unmount`. What was done, in words.
pub async fn unmount(args: UnmountArgs) -> Result<String, MountError> {
    let UnmountArgs { place, dir } = args;
    let sandbox = place.find(environment()).map_err(PlaceError::from)?;
    let target = absolute(&dir)?;
    Node::connect(&sandbox.data_dir)
        .await?
        .unmount(&target)
        .await?;
    Ok(format!(
        "nothing is at {} any more",
        crate::words::path(&target)
    ))
}

fn environment() -> Option<PathBuf> {
    std::env::var_os("KUBECONFIG").map(PathBuf::from)
}
