//! Leaves a role's last words where Kubernetes looks for them: `kubectl describe pod` shows them.
//! Knows no roles.

use std::{fs::OpenOptions, io::Write as _, path::Path};

/// `terminationMessagePath` of a container that names no other.
const PLACE: &str = "/dev/termination-log";

/// Kubernetes shows no more bytes than this.
const MOST: usize = 4096;

/// Writes why the role ended, if there is somebody who reads it.
pub(crate) fn leave(text: &str) {
    leave_at(Path::new(PLACE), text);
}

fn leave_at(place: &Path, text: &str) {
    // Only a kubelet makes this file; where there is none, nobody reads it.
    let Ok(mut file) = OpenOptions::new().write(true).truncate(true).open(place) else {
        return;
    };
    let mut end = text.len().min(MOST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    if let Err(error) = file.write_all(&text.as_bytes()[..end]) {
        tracing::debug!(%error, "nobody gets the last words");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn last_words_are_written_only_where_somebody_looks_for_them() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("termination-log");
        leave_at(&place, "lost");
        assert!(!place.exists());
        fs::write(&place, "the words of an earlier life").unwrap();
        leave_at(&place, "lost");
        assert_eq!(fs::read_to_string(&place).unwrap(), "lost");
        leave_at(&place, &format!("a{}", "ä".repeat(4096)));
        assert_eq!(fs::read_to_string(&place).unwrap().len(), 4095);
    }
}
