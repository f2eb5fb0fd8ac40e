//! Runs the agent against any Kubernetes: `agent KUBECONFIG DATA_DIR NODE_NAME NODE_IP [CLIENT_CA]`.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use muster_agent::logs::Tls;
use muster_agent::{Agent, Config, Fleet, LogServer};
use muster_base::clock::SystemClock;
use muster_base::task::Tasks;
use prometheus_client::registry::Registry;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_env_filter("muster=debug,warn").with_writer(std::io::stderr).init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kubeconfig, data_dir, name, ip, rest @ ..] = arguments.as_slice() else {
        return Err("usage: agent KUBECONFIG DATA_DIR NODE_NAME NODE_IP [CLIENT_CA]".into());
    };
    let kubeconfig = kube::config::Kubeconfig::read_from(kubeconfig)?;
    let settings =
        kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default()).await?;
    let client = kube::Client::try_from(settings)?;
    let mut config = Config::new(name, ip.parse()?, data_dir.into());
    config.cgroup_parent = format!("/muster-{name}");
    // The kinds an agent reads and writes; the controllers install the others.
    let mut kinds = muster_api::crds::all();
    kinds.retain(|crd| matches!(crd.spec.names.kind.as_str(), "Order" | "Inventory"));
    muster_control::install::crds(&client, kinds).await?;
    config.fleet = Fleet::Member;
    config.logs = rest.first().map(|ca| LogServer {
        address: std::net::SocketAddr::new(config.node_ip, 10250),
        tls: Tls {
            client_ca: ca.into(),
            readers: vec!["system:masters".to_owned()],
            names: vec![ip.clone(), name.clone()],
        },
    });
    let tasks = Tasks::new();
    let mut registry = Registry::default();
    let agent = Agent::build(config, client, Arc::new(SystemClock), &mut registry)?;
    let handle = agent.run(&tasks).await?;
    let mut term = signal(SignalKind::terminate())?;
    term.recv().await;
    tracing::info!(pods = handle.driver.count(), "draining");
    tasks.drain(Duration::from_secs(10)).await?;
    Ok(())
}
