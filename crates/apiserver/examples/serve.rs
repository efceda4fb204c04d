//! Serves a folder as a Kubernetes API and writes the administrator's kubeconfig, to show how the crate is embedded.
//!
//! `cargo run -p tintype-apiserver --example serve -- FOLDER [PORT]`, then `kubectl --kubeconfig FOLDER/kubeconfig …`.
//! Ctrl-C ends it. Knows nothing that another program could not know.

use std::fs::{OpenOptions, Permissions};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tintype_apiserver::{Config, Server};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let folder = args.next().context("usage: serve FOLDER [PORT]")?;
    let data_dir = PathBuf::from(folder);
    let port = match args.next() {
        Some(port) => port
            .to_string_lossy()
            .parse()
            .context("PORT must be a number below 65536")?,
        None => 0,
    };

    // Everything is in the folder: a second server on it is refused.
    let server = Server::open(Config {
        data_dir: data_dir.clone(),
        addr: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
    })?;
    let address = server.bind().await?;

    let shutdown = CancellationToken::new();
    server.spawn_controllers(shutdown.clone());
    let serving = tokio::spawn({
        let (server, shutdown) = (server.clone(), shutdown.clone());
        async move { server.serve(shutdown).await }
    });

    let kubeconfig = data_dir.join("kubeconfig");
    write_private(&kubeconfig, &server.kubeconfig(address))?;
    let mut out = std::io::stdout();
    writeln!(out, "export KUBECONFIG={}", kubeconfig.display())?;

    tokio::signal::ctrl_c().await?;
    shutdown.cancel();
    serving.await?;
    Ok(())
}

/// The kubeconfig holds a key: nobody else may read it.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())?;
    Ok(())
}
