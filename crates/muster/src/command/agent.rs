//! `muster agent`: the node agent alone, against any Kubernetes; a new machine joins first.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};

use kube::Client;
use kube::config::Kubeconfig;
use muster_agent::Reboot;
use muster_agent::inventory::Roots;
use muster_agent::join::{Connection, Credentials, Invitation, JoinError};
use muster_base::clock::SharedClock;
use muster_base::error::chain;

use super::{clock, machine_name};
use crate::cli::AgentArgs;
use crate::client::{connect_service, kubeconfig_path};
use crate::failure::Failure;
use crate::node::{self, NodeConfig, PodRange};
use crate::plane::Shared;
use crate::signals;

/// The machine's own credentials, in the data directory.
pub(super) const CREDENTIALS: &str = "agent.kubeconfig";

pub(crate) async fn run(args: AgentArgs) -> Result<(), Failure> {
    let data_dir = args.client.data.data_dir.clone();
    let shared = Shared::new(clock());
    let path = data_dir.join(CREDENTIALS);
    let joined = match Credentials::load(&path).map_err(|error| failure(&error))? {
        Some(credentials) if wanted(&args, &credentials)? => Some(credentials),
        Some(_) => None,
        None => joining(&args, &path).await?,
    };
    let Some(credentials) = joined else { return with_kubeconfig(args, &shared).await };
    let address = args.node_address.unwrap_or_else(|| address_towards(&credentials.server));
    let client_ca = match args.client_ca {
        Some(file) => file,
        None => authority_file(&data_dir, &credentials.authority)?,
    };
    let config = NodeConfig {
        machine: credentials.machine.clone(),
        data_dir,
        runtime: node::runtime(args.container_runtime_endpoint),
        address,
        logs: Some(node::log_server(address, client_ca)),
        pods: PodRange::Assigned,
        time_servers: args.time_servers,
        reboot: args.reboot_program.map_or(Reboot::Systemd, Reboot::Program),
    };
    let connection = Connection::open(credentials, path, SharedClock::clone(&shared.clock))
        .await
        .map_err(|error| failure(&error))?;
    let client = connection.client();
    let doctor = connection.doctor(config.data_dir.join(node::DOCTOR_CREDENTIALS));
    connection.keep(&shared.tasks);
    start(&config, client, &shared).await?;
    node::doctor(&config)?.keep(&shared.tasks, doctor.keep(&shared.tasks));
    signals::run_until_told(&shared.tasks).await
}

async fn start(config: &NodeConfig, client: Client, shared: &Shared) -> Result<(), Failure> {
    node::start(config, client.clone(), client, shared).await?;
    tracing::info!(machine = config.machine, "the agent runs");
    Ok(())
}

fn failure(error: &JoinError) -> Failure {
    let text = chain(error);
    if error.is_refusal() { Failure::Refused(text) } else { Failure::Failed(text) }
}

/// Whether the machine's own credentials are to be used. A machine never changes its cluster by the way.
fn wanted(args: &AgentArgs, credentials: &Credentials) -> Result<bool, Failure> {
    let Some(server) = &args.join.server else { return Ok(args.client.kubeconfig.is_none()) };
    if server.trim_end_matches('/') == credentials.server {
        tracing::info!(machine = credentials.machine, "this machine joined before; its token is not needed");
        return Ok(true);
    }
    Err(Failure::Refused(format!(
        "this machine belongs to {} as {}; `muster down --purge` makes it nobody's",
        credentials.server, credentials.machine
    )))
}

/// Joins, if that was asked for.
async fn joining(args: &AgentArgs, path: &Path) -> Result<Option<Credentials>, Failure> {
    let (Some(server), Some(token), Some(ca_hash)) =
        (&args.join.server, &args.join.token, &args.join.ca_hash)
    else {
        return Ok(None);
    };
    if !nix::unistd::Uid::effective().is_root() {
        return Err(Failure::Refused("a machine joins as root; nothing was done".to_owned()));
    }
    let invitation = Invitation {
        server: server.clone(),
        token: token.clone(),
        ca_hash: ca_hash.clone(),
        name: machine_name(args.machine.clone())?,
        serial: muster_agent::inventory::observe(&Roots::default(), clock().now()).serial,
    };
    let credentials = muster_agent::join::join(&invitation).await.map_err(|error| failure(&error))?;
    credentials.save(path).map_err(|error| failure(&error))?;
    tracing::info!(machine = credentials.machine, server, "this machine has joined");
    Ok(Some(credentials))
}

/// The address of this machine that a server sees.
fn address_towards(server: &str) -> Ipv4Addr {
    let local = || {
        let uri: http::Uri = server.parse().ok()?;
        let target = (uri.host()?.to_owned(), uri.port_u16().unwrap_or(443));
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        socket.connect(target).ok()?;
        match socket.local_addr().ok()?.ip() {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        }
    };
    local().unwrap_or(Ipv4Addr::LOCALHOST)
}

/// Under an identity that somebody else gave.
async fn with_kubeconfig(args: AgentArgs, shared: &Shared) -> Result<(), Failure> {
    let path = kubeconfig_path(&args.client)?;
    let client = connect_service(&path).await?;
    let data_dir = args.client.data.data_dir;
    std::fs::create_dir_all(&data_dir)
        .map_err(|error| Failure::failed(format!("cannot make {}", data_dir.display()), &error))?;
    let client_ca = match args.client_ca {
        Some(file) => file,
        None => cluster_ca(&path, &data_dir)?,
    };
    let address = args.node_address.unwrap_or(Ipv4Addr::LOCALHOST);
    let config = NodeConfig {
        machine: machine_name(args.machine)?,
        data_dir,
        runtime: node::runtime(args.container_runtime_endpoint),
        address,
        logs: Some(node::log_server(address, client_ca)),
        pods: PodRange::First,
        time_servers: args.time_servers,
        reboot: args.reboot_program.map_or(Reboot::Systemd, Reboot::Program),
    };
    // Whoever brings the identities runs the doctor, too.
    start(&config, client, shared).await?;
    signals::run_until_told(&shared.tasks).await
}

fn authority_file(data_dir: &Path, pem: &str) -> Result<PathBuf, Failure> {
    let path = data_dir.join("client-ca.crt");
    std::fs::write(&path, pem)
        .map_err(|error| Failure::failed(format!("cannot write {}", path.display()), &error))?;
    Ok(path)
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
    authority_file(data_dir, &String::from_utf8_lossy(&pem))
}

fn base64_decode(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text.trim()).ok()
}
