//! Writes the kubeconfig: readable by its owner alone, and never over somebody else's.
//! Does not know what is in it but who made it.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use kube::config::Kubeconfig;

use super::folder::write_aside;
use crate::words;

#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    #[error(
        "{} names other clusters ({}) and is left as it is; \
         name another file with --kubeconfig",
        words::path(path),
        others.join(", ")
    )]
    Others { path: PathBuf, others: Vec<String> },
    #[error(
        "{} is there and is no kubeconfig; name another file with --kubeconfig",
        words::path(path)
    )]
    NotOurs { path: PathBuf },
    #[error("cannot write the kubeconfig {}", words::path(path))]
    Write { path: PathBuf, source: io::Error },
}

/// Refuses a file that holds more than an earlier sandbox wrote. Changes nothing.
pub(crate) fn check(path: &Path, ours: &str) -> Result<(), KubeconfigError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(source) => {
            return Err(KubeconfigError::Write {
                path: path.to_owned(),
                source,
            });
        }
    };
    if text.trim().is_empty() {
        return Ok(());
    }
    let Ok(found) = Kubeconfig::from_yaml(&text) else {
        return Err(KubeconfigError::NotOurs {
            path: path.to_owned(),
        });
    };
    let others: Vec<_> = found
        .clusters
        .into_iter()
        .map(|cluster| cluster.name)
        .filter(|name| name != ours)
        .collect();
    if others.is_empty() {
        return Ok(());
    }
    Err(KubeconfigError::Others {
        path: path.to_owned(),
        others,
    })
}

/// Puts the file there, mode 0600.
pub(crate) fn write(path: &Path, contents: &str) -> Result<(), KubeconfigError> {
    write_aside(path, contents.as_bytes(), 0o600).map_err(|source| KubeconfigError::Write {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(name: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: {name}\n  cluster: {{server: x}}\n"
        )
    }

    #[test]
    fn only_our_own_file_is_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        check(&path, "tintype").unwrap();
        fs::write(&path, config("tintype")).unwrap();
        check(&path, "tintype").unwrap();
        fs::write(&path, config("production")).unwrap();
        let error = check(&path, "tintype").unwrap_err().to_string();
        assert!(error.contains("names other clusters (production) and is left as it is"));
        fs::write(&path, "- my shopping list").unwrap();
        let error = check(&path, "tintype").unwrap_err().to_string();
        assert!(error.contains("is there and is no kubeconfig"));
    }
}
