//! Opens the cluster as `kubectl` would: the same files, the same context, the same namespace.

use std::path::PathBuf;

use anyhow::Context as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// Which cluster, as whom.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Access {
    /// Kubeconfig file; else those of $KUBECONFIG, else ~/.kube/config
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; else its current one
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

impl Access {
    /// A client of the context, whose default namespace is the context's.
    pub async fn open(&self) -> anyhow::Result<Client> {
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        let config = match &self.kubeconfig {
            Some(path) => {
                let file = Kubeconfig::read_from(path)
                    .with_context(|| format!("cannot use --kubeconfig {}", path.display()))?;
                Config::from_custom_kubeconfig(file, &options).await
            }
            None => Config::from_kubeconfig(&options).await,
        };
        let config = config.context(
            "no cluster to ask; set KUBECONFIG, or give --kubeconfig and perhaps --context",
        )?;
        Client::try_from(config).context("cannot make a Kubernetes client")
    }
}
