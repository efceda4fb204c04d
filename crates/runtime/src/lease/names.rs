//! Names the lease, its namespace and its holder by upstream's rules.

use std::ffi::OsStr;
use std::path::Path;

/// Where a pod reads its namespace.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// Letters, digits and dashes, not ending with a dash.
pub fn sanitized(name: &str) -> String {
    let mut name: String = name
        .chars()
        .map(|it| if it.is_ascii_alphanumeric() { it } else { '-' })
        .collect();
    if name.ends_with('-') {
        name.push('X');
    }
    name
}

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
    fn names_are_made_fit_as_upstream_does() {
        for (given, expect) in [
            ("snapshot-controller-7d9-x2", "snapshot-controller-7d9-x2"),
            (
                "external-snapshotter-leader-hostpath.csi.k8s.io",
                "external-snapshotter-leader-hostpath-csi-k8s-io",
            ),
            ("node.example.", "node-example-X"),
            ("a/b_c", "a-b-c"),
            ("ä", "-X"),
            ("", ""),
        ] {
            assert_eq!(sanitized(given), expect, "{given}");
        }
    }

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
