//! `muster agent`: the node part alone, against any Kubernetes.

use std::path::PathBuf;

use kube::config::Kubeconfig;

use super::{clock, machine_name};
use crate::cli::AgentArgs;
use crate::client::{connect_service, kubeconfig_path};
use crate::failure::Failure;
use crate::node::{self, NodeConfig};
use crate::plane::Shared;
use crate::signals;

pub(crate) async fn run(args: AgentArgs) -> Result<(), Failure> {
    let path = kubeconfig_path(&args.client)?;
    let client = connect_service(&path).await?;
    let data_dir = args.client.data.data_dir;
    std::fs::create_dir_all(&data_dir)
        .map_err(|error| Failure::failed(format!("cannot make {}", data_dir.display()), &error))?;
    let client_ca = match args.client_ca {
        Some(file) => file,
        None => cluster_ca(&path, &data_dir)?,
    };
    let config = NodeConfig {
        machine: machine_name(args.machine)?,
        data_dir,
        runtime: node::runtime(args.container_runtime_endpoint),
        address: args.node_address,
        logs: Some(node::log_server(args.node_address, client_ca)),
    };
    let shared = Shared::new(clock());
    node::start(&config, client.clone(), client, &shared).await?;
    tracing::info!(machine = config.machine, "the agent runs");
    signals::run_until_told(&shared.tasks).await
}

/// The certificate authority of the kubeconfig, as a file.
fn cluster_ca(kubeconfig: &std::path::Path, data_dir: &std::path::Path) -> Result<PathBuf, Failure> {
    let missing = || {
        Failure::Refused(format!(
            "{} names no certificate authority; give the one that signs the API server's client with --client-ca",
            kubeconfig.display()
        ))
    };
    let config = Kubeconfig::read_from(kubeconfig)
        .map_err(|error| Failure::failed(format!("cannot read {}", kubeconfig.display()), &error))?;
    let cluster = config.clusters.into_iter().find_map(|named| named.cluster).ok_or_else(missing)?;
    if let Some(file) = cluster.certificate_authority {
        return Ok(PathBuf::from(file));
    }
    let data = cluster.certificate_authority_data.ok_or_else(missing)?;
    let pem = base64_decode(&data).ok_or_else(missing)?;
    let path = data_dir.join("client-ca.crt");
    std::fs::write(&path, pem)
        .map_err(|error| Failure::failed(format!("cannot write {}", path.display()), &error))?;
    Ok(path)
}

fn base64_decode(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text.trim()).ok()
}
