//! Makes the Kubernetes client of a role that runs alone: from a file, or from the pod it is in.
//! Knows nothing of the role.

use std::path::{Path, PathBuf};

use kube::{
    Client, Config,
    config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError},
};

#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("cannot use the kubeconfig {}", path.display())]
    File {
        path: PathBuf,
        source: Box<KubeconfigError>,
    },
    #[error("this is not a pod with a service account; give a --kubeconfig")]
    NoPod(#[source] InClusterError),
    #[error("cannot make a Kubernetes client")]
    Client(#[source] Box<kube::Error>),
}

/// From `kubeconfig`, else from the pod's service account.
pub(crate) async fn client(kubeconfig: Option<&Path>) -> Result<Client, ClientError> {
    // An empty path is upstream's default, and means the pod.
    let config = match kubeconfig.filter(|path| !path.as_os_str().is_empty()) {
        Some(path) => from_file(path).await?,
        None => Config::incluster().map_err(ClientError::NoPod)?,
    };
    Client::try_from(config).map_err(|source| ClientError::Client(Box::new(source)))
}

async fn from_file(path: &Path) -> Result<Config, ClientError> {
    let error = |source| ClientError::File {
        path: path.to_owned(),
        source: Box::new(source),
    };
    let kubeconfig = Kubeconfig::read_from(path).map_err(error)?;
    let options = KubeConfigOptions::default();
    Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_kubeconfig_is_named() {
        let error = client(Some(Path::new("/no/such/file")))
            .await
            .map(drop)
            .unwrap_err();
        assert_eq!(error.to_string(), "cannot use the kubeconfig /no/such/file");
    }

    #[tokio::test]
    async fn outside_a_pod_a_kubeconfig_is_asked_for() {
        let error = client(Some(Path::new(""))).await.map(drop).unwrap_err();
        assert!(error.to_string().contains("give a --kubeconfig"), "{error}");
    }
}
