//! Writes the Rust bindings of `proto/` into the crates that use them, or checks that they are
//! what the committed files say.
//!
//! It does not know what the messages mean. It needs no `protoc`: protox reads the files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tonic_prost_build::FileDescriptorSet;

/// One set of definitions and where its bindings live.
struct Bindings {
    /// Files in `proto/`.
    protos: &'static [&'static str],
    /// The generated folder, from the repository's root.
    out: &'static str,
    /// Client and server of each service too, not only messages.
    services: bool,
    /// Messages without a field called `secrets` that may still carry one.
    sensitive: &'static [&'static str],
}

const ALL: &[Bindings] = &[Bindings {
    protos: &[
        "csi.proto",
        "csi_group.proto",
        "csi_node.proto",
        "csi_snapshot_metadata.proto",
    ],
    out: "crates/csi/src/generated",
    services: true,
    // Mount options of network file systems hold passwords.
    sensitive: &[".csi.v1.VolumeCapability.MountVolume"],
}];

const MARK: &str = "// Generated from proto/ by `cargo xtask codegen`; do not edit.\n";

/// Regenerates everything; with `check` only compares and fails on a difference.
pub(crate) fn run(check: bool) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for bindings in ALL {
        let fresh = root.join("target/codegen").join(bindings.out);
        generate(&root, bindings, &fresh)?;
        settle(&fresh, &root.join(bindings.out), check)?;
    }
    Ok(())
}

fn generate(root: &Path, bindings: &Bindings, out: &Path) -> anyhow::Result<()> {
    if out.exists() {
        fs::remove_dir_all(out).with_context(|| format!("clear {}", out.display()))?;
    }
    fs::create_dir_all(out).with_context(|| format!("make {}", out.display()))?;
    let descriptors = protox::compile(bindings.protos, [root.join("proto")])
        .with_context(|| format!("compile {}", bindings.protos.join(", ")))?;
    let hidden = messages_with_secrets(&descriptors);
    tonic_prost_build::configure()
        .build_client(bindings.services)
        .build_server(bindings.services)
        .build_transport(false)
        .generate_default_stubs(true)
        .emit_rerun_if_changed(false)
        .btree_map(".")
        .skip_debug(
            hidden
                .iter()
                .map(String::as_str)
                .chain(bindings.sensitive.iter().copied()),
        )
        .out_dir(out)
        .compile_fds(descriptors)
        .with_context(|| format!("generate {}", bindings.out))
}

/// Full names of all messages with a field called `secrets`.
fn messages_with_secrets(descriptors: &FileDescriptorSet) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in &descriptors.file {
        for message in &file.message_type {
            if message.field.iter().any(|field| field.name() == "secrets") {
                found.insert(format!(".{}.{}", file.package(), message.name()));
            }
        }
    }
    found
}

/// Makes `kept` equal to `fresh`, or with `check` says how it differs.
fn settle(fresh: &Path, kept: &Path, check: bool) -> anyhow::Result<()> {
    let names: BTreeSet<PathBuf> = files(fresh)?.into_iter().chain(files(kept)?).collect();
    for name in names {
        let target = kept.join(&name);
        let want = fs::read_to_string(fresh.join(&name))
            .ok()
            .map(|text| format!("{MARK}{text}"));
        let have = fs::read_to_string(&target).ok();
        if want == have {
            continue;
        }
        if check {
            bail!(
                "{} is not what proto/ says; run `cargo xtask codegen`",
                target.display()
            );
        }
        match want {
            Some(text) => {
                fs::create_dir_all(kept).with_context(|| format!("make {}", kept.display()))?;
                fs::write(&target, text)
            }
            None => fs::remove_file(&target),
        }
        .with_context(|| format!("update {}", target.display()))?;
    }
    Ok(())
}

/// Names of the files in a folder that may not exist.
fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    fs::read_dir(folder)
        .with_context(|| format!("list {}", folder.display()))?
        .map(|entry| Ok(PathBuf::from(entry?.file_name())))
        .collect()
}
