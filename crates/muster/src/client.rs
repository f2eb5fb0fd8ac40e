//! The client of a command: kubeconfig, connection, identity.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::cli::ClientArgs;
use crate::failure::Failure;

/// How long a command waits for one answer of the API.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The kubeconfig that counts.
pub(crate) fn kubeconfig_path(args: &ClientArgs) -> Result<PathBuf, Failure> {
    if let Some(path) = &args.kubeconfig {
        return Ok(path.clone());
    }
    let path = args.data.data_dir.join("kubeconfig");
    if path.exists() {
        return Ok(path);
    }
    Err(Failure::Failed(format!(
        "no cluster: {} is not there; run `muster up`, or name another cluster with --kubeconfig or $KUBECONFIG",
        path.display()
    )))
}

/// A client for a command that ends: every answer has a limit.
pub(crate) async fn connect(args: &ClientArgs) -> Result<Client, Failure> {
    let path = kubeconfig_path(args)?;
    let mut config = load(&path).await?;
    config.read_timeout = Some(ANSWER_WITHIN);
    build(config, &path)
}

/// A client for a process that stays: watches may be silent.
pub(crate) async fn connect_service(path: &Path) -> Result<Client, Failure> {
    build(load(path).await?, path)
}

fn build(mut config: Config, path: &Path) -> Result<Client, Failure> {
    config.connect_timeout = Some(Duration::from_secs(5));
    config.write_timeout = Some(ANSWER_WITHIN);
    Client::try_from(config)
        .map_err(|error| Failure::failed(format!("{}: cannot build a client", path.display()), &error))
}

async fn load(path: &Path) -> Result<Config, Failure> {
    let kubeconfig = Kubeconfig::read_from(path).map_err(|error| {
        Failure::failed(format!("{}: cannot read the kubeconfig", path.display()), &error)
    })?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|error| Failure::failed(format!("{}: not a usable kubeconfig", path.display()), &error))
}
