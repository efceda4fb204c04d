//! Finds out which sandbox a command means, and how to reach its API.
//! Knows flags, the environment and file names; talks to nobody.

use std::path::{Path, PathBuf};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};

use crate::{
    data_dir::{DataDir, DataDirError},
    request_error::RequestError,
    words,
};

/// Which sandbox is meant.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// The sandbox's folder; else the one the kubeconfig is in, else $XDG_DATA_HOME/tintype.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// How to reach its API; else `kubeconfig` in the sandbox's folder, or $KUBECONFIG if that is one.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(
        "cannot use the kubeconfig {}; start a sandbox with `tintype up`, \
         or name its kubeconfig with --kubeconfig",
        words::path(path)
    )]
    Kubeconfig {
        path: PathBuf,
        source: Box<KubeconfigError>,
    },
    #[error("cannot make a client from the kubeconfig {}", words::path(path))]
    Client { path: PathBuf, source: RequestError },
}

impl Place {
    /// The sandbox's folder and its kubeconfig. `environment` is `$KUBECONFIG`.
    pub(super) fn find(self, environment: Option<PathBuf>) -> Result<Found, DataDirError> {
        let Self {
            data_dir,
            kubeconfig,
        } = self;
        // What the environment names counts only if nothing was said, and only if it is a sandbox's.
        let said = data_dir.is_some() || kubeconfig.is_some();
        let kubeconfig =
            kubeconfig.or_else(|| environment.filter(|path| !said && sandbox(path).is_some()));
        let beside = kubeconfig.as_deref().and_then(sandbox);
        let data_dir = DataDir::choose(data_dir.as_deref().or(beside))?;
        let kubeconfig = kubeconfig.unwrap_or_else(|| data_dir.kubeconfig());
        Ok(Found {
            data_dir,
            kubeconfig,
        })
    }
}

/// The folder of a kubeconfig, if that is a sandbox's: a kubeconfig may be written anywhere.
fn sandbox(kubeconfig: &Path) -> Option<&Path> {
    kubeconfig
        .parent()
        .filter(|folder| folder.join("tintype.json").exists())
}

/// One sandbox.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) data_dir: DataDir,
    kubeconfig: PathBuf,
}

impl Found {
    pub(super) async fn client(&self) -> Result<Client, PlaceError> {
        let path = || self.kubeconfig.clone();
        let unusable = |source| PlaceError::Kubeconfig {
            path: path(),
            source: Box::new(source),
        };
        let kubeconfig = Kubeconfig::read_from(path()).map_err(unusable)?;
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        Client::try_from(config.map_err(unusable)?).map_err(|source| PlaceError::Client {
            path: path(),
            source: source.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_come_before_the_environment_and_it_before_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        for sandbox in [&one, &two] {
            std::fs::create_dir(sandbox).unwrap();
            std::fs::write(sandbox.join("tintype.json"), "").unwrap();
        }
        let found = |data_dir: Option<&PathBuf>, kubeconfig: Option<PathBuf>, environment| {
            let place = Place {
                data_dir: data_dir.cloned(),
                kubeconfig,
            };
            let found = place.find(environment).unwrap();
            (found.data_dir.path().to_owned(), found.kubeconfig)
        };
        let other = || Some(PathBuf::from("/elsewhere/config"));
        let in_two = || Some(two.join("kubeconfig"));
        let first = (one.clone(), one.join("kubeconfig"));
        assert_eq!(found(Some(&one), None, in_two()), first);
        assert_eq!(found(None, Some(one.join("kubeconfig")), in_two()), first);
        assert_eq!(
            found(Some(&one), other(), None),
            (one.clone(), other().unwrap())
        );
        assert_eq!(
            found(None, None, in_two()),
            (two.clone(), two.join("kubeconfig"))
        );
        // A cluster that is no sandbox is not meant by `tintype mount`.
        let home = DataDir::choose(None).unwrap();
        let default = (home.path().to_owned(), home.kubeconfig());
        assert_eq!(found(None, None, other()), default);
    }
}
