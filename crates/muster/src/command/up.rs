//! `muster up`: a whole cluster on this machine.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use muster_agent::logs::Logs;
use muster_apiserver::Identity;

use super::controllers::{self, FleetClients, FleetConfig};
use super::{clock, machine_name};
use crate::child::{self, DoctorProcess};
use crate::cli::UpArgs;
use crate::failure::Failure;
use crate::node::{self, NodeConfig, OwnNode};
use crate::plane::{Plane, PlaneConfig, Shared, kubeconfig};
use crate::{rights, signals};

/// Where the reason stands why the node part is off; absent while it is on.
pub(crate) const NODE_OFF: &str = "node-off";
/// The process that holds the data directory.
pub(crate) const PID: &str = "muster.pid";

/// Whether this machine is to run containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NodePart {
    On,
    Off,
}

const SWEEP_EVERY: Duration = Duration::from_secs(15 * 60);

pub(crate) async fn run(args: UpArgs) -> Result<(), Failure> {
    let began = Instant::now();
    let machine = machine_name(args.machine)?;
    let part = if args.without_node { NodePart::Off } else { NodePart::On };
    let data_dir = prepare(&args.data.data_dir)?;
    let shared = Shared::new(clock());
    let own_node = Arc::new(OwnNode::new(clock()));
    let slot = own_node.slot();
    let config = PlaneConfig { data_dir: data_dir.clone(), listen: args.listen, pods_reach: node::GATEWAY };
    let (plane, port) = Plane::start(&config, &shared, own_node).await?;
    write(&data_dir.join(PID), &std::process::id().to_string())?;
    plane.start_controllers();
    let fleet = plane.client(rights::FLEET);
    controllers::prepare(&fleet).await?;
    plane.serve(port);
    let ready_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(ready_ms, kubeconfig = %kubeconfig(&data_dir).display(), "the control plane is ready");
    let clients = FleetClients {
        leader: fleet,
        machines: plane.client(rights::MACHINES),
        workflow: plane.client(rights::WORKFLOW),
    };
    // One process holds the data directory, so a former life of it is not waited for.
    let config = FleetConfig { identity: format!("muster-up-{machine}"), sweep_every: SWEEP_EVERY };
    let lost = controllers::start(&clients, &shared.clock, &shared.tasks, &shared.metrics, config);
    let config = NodeConfig {
        machine,
        data_dir: data_dir.clone(),
        runtime: node::runtime(args.container_runtime_endpoint),
        address: node::own_address(),
        logs: None,
    };
    if let Err(reason) = start_node(part, &plane, &config, &shared, &slot).await {
        tracing::warn!(%reason, "the node part is off");
        write(&data_dir.join(NODE_OFF), &reason.to_string())?;
    }
    let ended = tokio::select! {
        ended = signals::run_until_told(&shared.tasks) => ended,
        () = lost.cancelled() => Err(Failure::Failed("leadership of the fleet was lost; this process ends".to_owned())),
    };
    remove_file(&data_dir.join(PID))?;
    ended
}

/// Network, agent, the API where pods reach it, the doctor.
async fn start_node(
    part: NodePart,
    plane: &Plane,
    config: &NodeConfig,
    shared: &Shared,
    slot: &OnceLock<Logs>,
) -> Result<(), Failure> {
    if part == NodePart::Off {
        return Err(Failure::Failed("it was started with --without-node".to_owned()));
    }
    let clients = (plane.client(rights::AGENT), plane.client(rights::NETWORK));
    let logs = node::start(config, clients.0, clients.1, shared).await?;
    remove_file(&config.data_dir.join(NODE_OFF))?;
    plane.serve_also(node::GATEWAY).await?;
    if slot.set(logs).is_err() {
        tracing::error!("the node part was started twice");
    }
    start_doctor(plane, config, shared)
}

/// The doctor's own identity and process.
fn start_doctor(plane: &Plane, config: &NodeConfig, shared: &Shared) -> Result<(), Failure> {
    let path = config.data_dir.join("doctor.kubeconfig");
    plane.write_kubeconfig(&path, &Identity::component(rights::DOCTOR))?;
    let program =
        child::own_program().map_err(|error| Failure::failed("cannot find the own program", &error))?;
    DoctorProcess {
        program,
        kubeconfig: path,
        machine: config.machine.clone(),
        probe_socket: node::probe_socket(&config.data_dir),
    }
    .keep(&shared.tasks);
    Ok(())
}

/// Makes the data directory. Others may pass through it to the agent's read-only socket, and see nothing of it.
fn prepare(path: &Path) -> Result<std::path::PathBuf, Failure> {
    use std::os::unix::fs::PermissionsExt as _;
    let failed = |error: std::io::Error| {
        Failure::failed(format!("cannot use the data directory {}", path.display()), &error)
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
