//! The client of a command: kubeconfig, connection, identity.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::cli::ClientArgs;
use crate::failure::{Code, Failure};

/// How long a command waits for one answer of the API.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The kubeconfig that counts.
pub(crate) fn kubeconfig_path(args: &ClientArgs) -> Result<PathBuf, Failure> {
    if let Some(path) = args.kubeconfig.as_ref().filter(|path| !path.as_os_str().is_empty()) {
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

/// A client for a command that ends: the API answers, and every answer has a limit.
pub(crate) async fn connect(args: &ClientArgs) -> Result<Client, Failure> {
    let path = kubeconfig_path(args)?;
    let mut config = load(&path).await?;
    config.read_timeout = Some(ANSWER_WITHIN);
    let url = config.cluster_url.clone();
    let client = build(config, &path)?;
    answers(&client, &url, &path).await?;
    Ok(client)
}

async fn answers(client: &Client, url: &http::Uri, path: &Path) -> Result<(), Failure> {
    match client.apiserver_version().await {
        Ok(_) => Ok(()),
        Err(error @ kube::Error::Api(_)) => Err(Failure::api(url, &error)),
        Err(error) => Err(Failure::Coded(
            Code::ApiUnreachable,
            format!(
                "the API at {url} (of {}) does not answer: {}; start it with `muster up`, or name another cluster with --kubeconfig",
                path.display(),
                innermost(&error)
            ),
        )),
    }
}

/// The layers above say no more than that there was an error.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(cause) = deepest.source() {
        deepest = cause;
    }
    deepest.to_string()
}

/// Where the cluster is, and its authority.
pub(crate) async fn config_of(args: &ClientArgs) -> Result<Config, Failure> {
    load(&kubeconfig_path(args)?).await
}

/// A client for a process that stays: watches may be silent.
pub(crate) async fn connect_service(path: &Path) -> Result<Client, Failure> {
    build(load(path).await?, path)
}

/// The same for one that cannot begin before the API answers.
pub(crate) async fn connect_service_now(path: &Path) -> Result<Client, Failure> {
    let config = load(path).await?;
    let url = config.cluster_url.clone();
    let client = build(config, path)?;
    answers(&client, &url, path).await?;
    Ok(client)
}

fn build(mut config: Config, path: &Path) -> Result<Client, Failure> {
    config.connect_timeout = Some(Duration::from_secs(5));
    config.write_timeout = Some(ANSWER_WITHIN);
    Client::try_from(config)
        .map_err(|error| Failure::failed(format!("{}: cannot build a client", path.display()), &error))
}

async fn load(path: &Path) -> Result<Config, Failure> {
    let kubeconfig = read(path)?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|error| Failure::failed(format!("{}: not a usable kubeconfig", path.display()), &error))
}

/// One file, or several as kubectl takes them: `a:b`, what comes first wins, those that are not there do not count.
fn read(path: &Path) -> Result<Kubeconfig, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        let advice = "name another with --kubeconfig or $KUBECONFIG";
        Failure::Failed(format!("cannot read the kubeconfig {}: {error}; {advice}", path.display()))
    };
    let several: Vec<PathBuf> = std::env::split_paths(path).filter(|path| path.exists()).collect();
    let mut merged: Option<Kubeconfig> = None;
    for file in &several {
        let next = Kubeconfig::read_from(file).map_err(|error| failed(&innermost(&error)))?;
        merged = Some(match merged {
            Some(first) => first.merge(next).map_err(|error| failed(&innermost(&error)))?,
            None => next,
        });
    }
    merged.ok_or_else(|| failed(&"there is no such file"))
}
