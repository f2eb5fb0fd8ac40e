//! `muster up`: a whole cluster on this machine.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use muster_agent::logs::Logs;
use muster_apiserver::{Identity, Object};
use muster_store::Store;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::controllers::{self, FleetClients, FleetConfig};
use super::{clock, machine_name, steady_clock};
use crate::cli::UpArgs;
use crate::failure::{Code, Failure};
use crate::node::{self, NodeConfig, OwnNode};
use crate::plane::{self, Plane, PlaneConfig, Shared, kubeconfig};
use crate::settings::{NodePart, Settings};
use crate::{rights, signals};

/// Where the reason stands why the node part is off; absent while it is on.
pub(crate) const NODE_OFF: &str = "node-off";
/// The process that holds the data directory.
pub(crate) const PID: &str = "muster.pid";

/// The settings that count: those of the command line, else of the file, else the defaults.
pub(crate) fn settings(args: UpArgs) -> Result<Settings, Failure> {
    let mut settings = Settings::read(args.config.as_deref())?;
    settings.data_dir = args.data_dir.unwrap_or(settings.data_dir);
    settings.listen = args.listen.unwrap_or(settings.listen);
    settings.machine = args.machine.or(settings.machine);
    settings.container_runtime_endpoint =
        args.container_runtime_endpoint.or(settings.container_runtime_endpoint);
    if args.without_node {
        settings.node = NodePart::Off;
    }
    Ok(settings)
}

/// Takes the port and the data directory. Where the port cannot be had nothing is made; a data directory that another
/// process holds is the better reason, for then it has the port as well.
async fn take(settings: &Settings) -> Result<(PathBuf, Store<Object>, TcpListener, SocketAddr), Failure> {
    let mut listener = plane::bind(settings.listen, "--listen").await;
    if !settings.data_dir.join("store").exists() {
        listener = Ok(listener?);
    }
    let data_dir = prepare(&settings.data_dir)?;
    let store = plane::open_store(&data_dir)?;
    let listener = listener?;
    let bound = listener.local_addr().map_err(|error| Failure::failed("cannot listen", &error))?;
    Ok((data_dir, store, listener, bound))
}

pub(crate) async fn run(settings: Settings) -> Result<(), Failure> {
    let began = Instant::now();
    let machine = machine_name(settings.machine.clone())?;
    let (data_dir, store, port, bound) = take(&settings).await?;
    let shared = Shared::new(steady_clock());
    let own_node = Arc::new(OwnNode::new(clock(), machine.clone()));
    let slot = own_node.slot();
    let config = PlaneConfig { data_dir: data_dir.clone(), pods_reach: reach(bound) };
    let plane = Plane::start(&config, store, bound, &shared, Arc::clone(&own_node) as _).await?;
    own_node.others(plane.agent_dialer()?);
    write(&data_dir.join(PID), &std::process::id().to_string())?;
    plane.start_controllers();
    let fleet = plane.client(rights::FLEET);
    // Only this process serves the history here: what a former life registered points to a port that is closed.
    let history = plane.client(rights::HISTORY);
    muster_history::withdraw(&history)
        .await
        .map_err(|error| Failure::api("cannot take the former webhook of the history away", &error))?;
    controllers::prepare(&fleet).await?;
    plane.serve(port);
    let ready_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(ready_ms, kubeconfig = %kubeconfig(&data_dir).display(), "the control plane is ready");
    let clients = FleetClients {
        leader: fleet,
        reader: plane.client(rights::READER),
        machines: plane.client(rights::MACHINES),
        workflow: plane.client(rights::WORKFLOW),
        bmc: plane.client(rights::BMC),
        doctor: plane.client(rights::GLOBAL_DOCTOR),
        history,
        joining: plane.client(rights::JOINING),
        claims: plane.client(rights::CLAIMS),
    };
    let history = muster_history::Config::new(data_dir.join("history"));
    // One process holds the data directory, so a former life of it is not waited for.
    let identity = format!("muster-up-{machine}");
    let problems = muster_doctor::global::Metrics::register(&mut shared.registry.lock());
    let repairs = muster_workflow::RepairMetrics::register(&mut shared.registry.lock());
    let config = FleetConfig {
        identity,
        sweep_every: settings.sweep_every,
        keep_runs: settings.keep_runs,
        history,
        problems,
        repairs,
    };
    let lost = controllers::start(&clients, &shared.clock, &shared.tasks, &shared.metrics, config);
    let config = NodeConfig {
        machine,
        data_dir: data_dir.clone(),
        runtime: node::runtime(settings.container_runtime_endpoint),
        address: node::own_address(),
        logs: None,
        pods: node::PodRange::First,
        time_servers: settings.time_servers,
        reboot: node::NO_REBOOT,
    };
    start_node_part(settings.node, &plane, &config, &shared, &slot).await?;
    let ended = tokio::select! {
        ended = signals::run_until_told(&shared.tasks) => ended,
        () = lost.cancelled() => Err(controllers::leadership_lost()),
    };
    remove_file(&data_dir.join(PID))?;
    ended
}

/// Where pods reach the API: pods of other machines can only where others can.
fn reach(listen: std::net::SocketAddr) -> std::net::Ipv4Addr {
    match listen.ip() {
        std::net::IpAddr::V4(ip) if !ip.is_loopback() && !ip.is_unspecified() => ip,
        std::net::IpAddr::V4(_) | std::net::IpAddr::V6(_) => node::GATEWAY,
    }
}

/// The node part, or the reason why it is off where `muster status` finds it.
async fn start_node_part(
    part: NodePart,
    plane: &Plane,
    config: &NodeConfig,
    shared: &Shared,
    slot: &OnceLock<Logs>,
) -> Result<(), Failure> {
    let note = config.data_dir.join(NODE_OFF);
    if part == NodePart::Off {
        tracing::info!("the node part is off, as was asked for");
        return write(
            &note,
            "off, as was asked for; start Muster without --without-node to run containers here",
        );
    }
    if let Err(reason) = start_node(plane, config, shared, slot).await {
        tracing::warn!(%reason, "the node part is off");
        write(&note, &reason.to_string())?;
    }
    Ok(())
}

/// Network, agent, the API where pods reach it, the doctor.
async fn start_node(
    plane: &Plane,
    config: &NodeConfig,
    shared: &Shared,
    slot: &OnceLock<Logs>,
) -> Result<(), Failure> {
    let clients = (plane.node_client(&config.machine), plane.client(rights::NETWORK));
    let logs = node::start(config, clients.0, clients.1, shared).await?;
    remove_file(&config.data_dir.join(NODE_OFF))?;
    plane.serve_to_pods(node::GATEWAY).await?;
    if slot.set(logs).is_err() {
        tracing::error!("the node part was started twice");
    }
    start_doctor(plane, config, shared)
}

/// The doctor's own identity and process.
fn start_doctor(plane: &Plane, config: &NodeConfig, shared: &Shared) -> Result<(), Failure> {
    let path = config.data_dir.join(node::DOCTOR_CREDENTIALS);
    plane.write_kubeconfig(&path, &Identity::component(rights::DOCTOR))?;
    node::doctor(config)?.keep(&shared.tasks, watch::channel(1).1);
    Ok(())
}

/// Makes the data directory. Others may pass through it to the agent's read-only socket, and see nothing of it.
fn prepare(path: &Path) -> Result<PathBuf, Failure> {
    use std::os::unix::fs::PermissionsExt as _;
    let failed = |error: std::io::Error| {
        let what = format!(
            "cannot use the data directory {}: {error}; make it writable, or choose another with --data-dir",
            path.display()
        );
        Failure::Coded(Code::DataDirectoryUnusable, what)
    };
    std::fs::create_dir_all(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o711)).map_err(failed)?;
    path.canonicalize().map_err(failed)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
        .map_err(|error| Failure::failed(format!("cannot write {}", path.display()), &error))
}

fn remove_file(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::failed(format!("cannot remove {}", path.display()), &error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
