//! Makes sure of the programs that tests start: installs them, or says exactly what is missing.
//!
//! Does not know which test needs which. Installs only as root and only with Debian's apt-get.

use std::env;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

/// A program and the Debian package it is in.
struct Need {
    program: &'static str,
    package: &'static str,
}

const NEEDS: &[Need] = &[
    Need {
        program: "kubectl",
        package: "kubernetes-client",
    },
    Need {
        program: "mkfs.xfs",
        package: "xfsprogs",
    },
    Need {
        program: "mkfs.ext4",
        package: "e2fsprogs",
    },
    Need {
        program: "losetup",
        package: "mount",
    },
    Need {
        program: "setpriv",
        package: "util-linux",
    },
];

/// After this every program is there, or there is an error.
pub(crate) fn meet() -> anyhow::Result<()> {
    let missing = missing(&folders());
    if missing.is_empty() {
        return Ok(());
    }
    let apt = found("apt-get", &folders());
    if !root()? || !apt {
        bail!(lack(&missing, apt));
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    println!("installing {}", packages.join(", "));
    apt_get(&["-q", "update"])?;
    apt_get(
        &[
            &["-q", "install", "-y", "--no-install-recommends"],
            &packages[..],
        ]
        .concat(),
    )
}

fn apt_get(args: &[&str]) -> anyhow::Result<()> {
    let status = Command::new("apt-get")
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .status()
        .context("start apt-get")?;
    if !status.success() {
        bail!(
            "`apt-get {}` failed ({status}); install by hand and try again",
            args.join(" ")
        );
    }
    Ok(())
}

/// The folders programs are looked for in; system programs are not on every user's path.
fn folders() -> Vec<std::path::PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(Into::into))
        .collect()
}

fn missing(folders: &[impl AsRef<Path>]) -> Vec<&'static Need> {
    NEEDS
        .iter()
        .filter(|need| !found(need.program, folders))
        .collect()
}

fn found(program: &str, folders: &[impl AsRef<Path>]) -> bool {
    folders
        .iter()
        .any(|folder| folder.as_ref().join(program).is_file())
}

fn root() -> anyhow::Result<bool> {
    let me = std::fs::metadata("/proc/self").context("look at /proc/self")?;
    Ok(me.uid() == 0)
}

fn lack(missing: &[&Need], apt: bool) -> String {
    let programs: Vec<&str> = missing.iter().map(|need| need.program).collect();
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    let cure = if apt {
        format!("as root: apt-get install {}", packages.join(" "))
    } else {
        format!("install what Debian has in {}", packages.join(", "))
    };
    format!(
        "tests need {}, not found on this machine; {cure}",
        programs.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_there_and_names_what_is_not() {
        let folder = tempfile::tempdir().unwrap();
        for need in NEEDS.iter().filter(|need| need.program != "mkfs.xfs") {
            std::fs::write(folder.path().join(need.program), "").unwrap();
        }
        let missing = missing(&[folder.path()]);
        assert_eq!(
            lack(&missing, true),
            "tests need mkfs.xfs, not found on this machine; as root: apt-get install xfsprogs"
        );
        assert_eq!(
            lack(&missing, false),
            "tests need mkfs.xfs, not found on this machine; install what Debian has in xfsprogs"
        );
    }
}
