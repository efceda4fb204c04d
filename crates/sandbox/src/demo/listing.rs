//! Lists directories in byte order, and names the file in every error about one.
//! Knows nothing of what the files are for.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use crate::words;

/// One failed operation on one file.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", words::path(path))]
pub(crate) struct FileError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl FileError {
    /// For `map_err`: what was being done, to what.
    pub(crate) fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self {
            action,
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

/// The names in one directory: the same order on every machine, whatever its file system says.
pub(crate) fn sorted_names(folder: &Path) -> Result<Vec<OsString>, FileError> {
    let names: io::Result<Vec<OsString>> =
        fs::read_dir(folder).and_then(|all| all.map(|entry| Ok(entry?.file_name())).collect());
    let mut names = names.map_err(FileError::at("list", folder))?;
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_in_byte_order() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b", "a", "B", "_"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(sorted_names(dir.path()).unwrap(), ["B", "_", "a", "b"]);
    }

    #[test]
    fn an_error_names_the_action_and_the_file() {
        let error = sorted_names(Path::new("/no/such\nfolder")).unwrap_err();
        assert_eq!(error.to_string(), r#"cannot list "/no/such\nfolder""#);
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
