//! `tintype crds` and `tintype convert`: what is printed, and what the exit status says.

use std::{fs, os::unix::fs::symlink, process::Command};

use crate::process::{Up, succeed, text, tintype};

const OLD: &str = "\
apiVersion: groupsnapshot.storage.k8s.io/v1alpha1
kind: VolumeGroupSnapshot
metadata: {name: g}
spec: {source: {selector: {group: myGroup}}}
";

fn status(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn an_old_manifest_is_printed_anew_and_the_exit_status_says_whether_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("old.yaml");
    fs::write(&file, OLD).unwrap();
    let (code, out, said) = status(tintype().arg("convert").arg("-f").arg(&file));
    assert_eq!(code, Some(0), "{said}");
    assert!(
        out.contains("apiVersion: groupsnapshot.storage.k8s.io/v1\n"),
        "{out}"
    );
    assert!(
        said.contains("spec.source.selector.group: is now"),
        "{said}"
    );
    fs::write(&file, OLD.replace("selector: {group: myGroup}", "")).unwrap();
    let (code, out, said) = status(tintype().arg("convert").arg("-f").arg(&file));
    assert_eq!(code, Some(3), "{said}");
    assert!(out.starts_with("# still needed: spec.source"), "{out}");
    fs::write(&file, "{").unwrap();
    let (code, out, said) = status(tintype().arg("convert").arg("-f").arg(&file));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(
        said.contains("old.yaml, document 1: this is not YAML"),
        "{said}"
    );
}

#[test]
fn standard_input_is_a_file_too() {
    let mut command = Command::new("sh");
    command.args(["-c", "\"$0\" convert -f - <<END\n$1\nEND"]);
    command
        .arg(env!("CARGO_BIN_EXE_tintype"))
        .arg(OLD.trim_end());
    let output = succeed(&mut command);
    assert!(text(&output.stdout).contains("matchLabels"));
    assert!(text(&output.stderr).starts_with("standard input, document 1: "));
}

/// Upstream's images have these names for their programs, and manifests call them.
#[test]
fn the_webhook_is_called_by_both_of_upstreams_names() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["snapshot-conversion-webhook", "snapshot-validation-webhook"] {
        let link = folder.path().join(name);
        symlink(env!("CARGO_BIN_EXE_tintype"), &link).unwrap();
        // One dash, as upstream's own manifests have it.
        let (code, _, said) = status(Command::new(&link).args(["-port=0", "-v=2"]));
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("--tls-cert-file must be specified"), "{said}");
    }
}

#[tokio::test]
async fn a_cluster_is_looked_at_before_it_is_upgraded() {
    let folder = tempfile::tempdir().unwrap();
    let mut up = Up::start(folder.path());
    let kubeconfig = up.data_dir.join("kubeconfig");
    let check = |more: &[&str]| {
        let mut command = tintype();
        command.args(["crds", "--check", "--kubeconfig"]);
        status(command.arg(&kubeconfig).args(more))
    };
    // What the sandbox serves for old manifests would go with upstream's definitions.
    let (code, out, said) = check(&[]);
    assert_eq!(code, Some(3), "{out}{said}");
    assert!(out.contains("v1beta1 is served now"), "{out}");
    let (code, out, said) = check(&["--serve-legacy"]);
    assert_eq!(code, Some(0), "{out}{said}");
    assert!(out.starts_with("nothing stands in the way"), "{out}");
    let mut migrate = tintype();
    migrate.args(["crds", "--migrate-stored", "--kubeconfig"]);
    let (code, out, said) = status(migrate.arg(&kubeconfig));
    assert_eq!(code, Some(0), "{out}{said}");
    assert_eq!(out.matches("all is stored as v").count(), 6, "{out}");
    let (code, _, said) = check(&["--context", "none"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("cannot use --kubeconfig"), "{said}");
    up.signal("TERM");
    let (code, _, said) = check(&[]);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("tintype: cannot read the definition"),
        "{said}"
    );
}
