//! Finds the namespace of a lease and the name of its holder, as upstream does.

use std::ffi::OsStr;
use std::path::Path;

/// Where a pod reads its namespace.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// The namespace of the pod this runs in: `POD_NAMESPACE`, the service account's, or `default`.
pub fn own_namespace() -> String {
    namespace(
        std::env::var_os("POD_NAMESPACE").as_deref(),
        Path::new(NAMESPACE_FILE),
    )
}

fn namespace(environment: Option<&OsStr>, file: &Path) -> String {
    let environment = environment
        .and_then(OsStr::to_str)
        .map(str::to_owned)
        .filter(|it| !it.is_empty());
    let said = environment.or_else(|| {
        let text = std::fs::read_to_string(file).ok()?;
        Some(text.trim().to_owned()).filter(|it| !it.is_empty())
    });
    said.unwrap_or_else(|| "default".to_owned())
}

/// The host's name: a pod's own, unless it shares the node's network.
pub fn host_name() -> std::io::Result<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
    Ok(name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_namespace_is_the_pods_own_or_default() {
        let folder = std::env::temp_dir().join(format!("tintype-test-{}-ns", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("namespace");
        let none = folder.join("none");
        std::fs::write(&file, "storage\n").unwrap();
        assert_eq!(
            namespace(Some(OsStr::new("kube-system")), &file),
            "kube-system"
        );
        assert_eq!(namespace(Some(OsStr::new("")), &file), "storage");
        assert_eq!(namespace(None, &file), "storage");
        assert_eq!(namespace(None, &none), "default");
        std::fs::write(&file, " \n").unwrap();
        assert_eq!(namespace(None, &file), "default");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_host_has_a_name() {
        assert!(!host_name().unwrap().is_empty());
    }
}
