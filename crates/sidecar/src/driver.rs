//! Meets the driver next door: connects, asks its name, waits until it is ready.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tintype_csi::{Address, Client};
use tintype_runtime::CallMetrics;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::calls::Calls;

/// How long a driver may take to open its socket.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two questions whether it is ready.
const PROBE: Duration = Duration::from_secs(1);

/// A driver that said it is ready.
#[derive(Clone)]
pub(crate) struct Driver {
    pub(crate) client: Client,
    pub(crate) name: Arc<str>,
}

impl Driver {
    /// Waits until the driver goes away, and says so.
    pub(crate) async fn lost(&self) -> anyhow::Error {
        self.client.lost().await;
        anyhow::anyhow!(
            "the connection to CSI driver {} is lost; the sidecar ends so that both start afresh",
            self.name
        )
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What `work` comes to, unless the driver is lost before.
pub(crate) async fn unless_lost<T>(
    driver: &Driver,
    work: impl Future<Output = T>,
) -> anyhow::Result<T> {
    tokio::select! {
        done = work => Ok(done),
        lost = driver.lost() => Err(lost),
    }
}

/// Connects to the driver at `address`; none if `shutdown` comes first (spec sidecar 3.2).
pub(crate) async fn meet(
    address: &str,
    deadline: Duration,
    metrics: CallMetrics,
    shutdown: &CancellationToken,
) -> anyhow::Result<Option<Driver>> {
    let parsed: Address = address
        .parse()
        .with_context(|| format!("--csi-address {address}"))?;
    let meeting = async {
        let client = Client::connect(&parsed, PATIENCE)
            .await
            .with_context(|| format!("no CSI driver at {address}"))?
            .with_deadline(deadline)
            .with_observer(Arc::new(Calls(metrics.clone())));
        let info = client
            .get_plugin_info()
            .await
            .with_context(|| format!("the CSI driver at {address} does not say its name"))?;
        metrics.name_driver(&info.name);
        loop {
            match client.probe().await {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) if error.is_uncertain() => {}
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("CSI driver {} is broken", info.name));
                }
            }
            info!(driver = info.name, "waits for the driver to be ready");
            tokio::time::sleep(PROBE).await;
        }
        Ok(Driver {
            client,
            name: info.name.into(),
        })
    };
    tokio::select! {
        driver = meeting => driver.map(Some),
        () = shutdown.cancelled() => Ok(None),
    }
}
