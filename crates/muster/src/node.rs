//! The node part of a process: the agent and the network of this machine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Node;
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use muster_agent::logs::{LogError, Logs, Options, Target};
use muster_agent::{Agent, Fleet, LogServer, Reboot, RuntimeChoice, Start};
use muster_apiserver::{
    AgentDialer, ByteStream, DialError, FollowLog, LogOptions, NodeDialer, Previous, Timestamps,
};
use muster_base::clock::SharedClock;
use muster_base::error::chain;
use muster_base::task::Kind;
use muster_control::Informers;
use muster_network::{DnsConfig, Network};
use muster_workloads::node::addresses::Range;

use crate::child::{self, DoctorProcess};
use crate::failure::{Code, Failure};
use crate::plane::Shared;

/// Addresses of the pods of one machine, of all pods, of Services.
const POD_CIDR: &str = "10.244.0.0/24";
const CLUSTER_CIDR: &str = "10.244.0.0/16";
const SERVICE_CIDR: &str = "10.96.0.0/16";
const DNS_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
const DOMAIN: &str = "cluster.local";
const BRIDGE: &str = "muster0";
const NETWORK_SWEEP: Duration = Duration::from_secs(300);

/// Where pods reach services of this machine: the bridge's own address.
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);

/// What the node part is told.
#[derive(Clone, Debug)]
pub(crate) struct NodeConfig {
    pub(crate) machine: String,
    pub(crate) data_dir: PathBuf,
    pub(crate) runtime: RuntimeChoice,
    pub(crate) address: Ipv4Addr,
    pub(crate) logs: Option<LogServer>,
    pub(crate) pods: PodRange,
    /// Time servers the doctor compares the clock with.
    pub(crate) time_servers: Vec<String>,
    /// How the machine is booted anew on order.
    pub(crate) reboot: Reboot,
}

/// Of a machine that runs the cluster.
pub(crate) const NO_REBOOT: Reboot =
    Reboot::Never("this machine runs the control plane; a person boots it anew");

/// Which part of the cluster's pod addresses a machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PodRange {
    /// The first: this machine runs the cluster.
    First,
    /// The one the cluster gives its Node when that is registered.
    Assigned,
}

/// The range that is divided among the machines.
pub(crate) fn pod_addresses() -> Range {
    Range::parse(CLUSTER_CIDR, 24).expect("the built-in networks are well written")
}

/// The directory of the agent.
pub(crate) fn agent_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("agent")
}

/// The agent's read-only socket.
pub(crate) fn probe_socket(data_dir: &Path) -> PathBuf {
    agent_dir(data_dir).join("probe.sock")
}

/// The doctor's own kubeconfig, in the data directory.
pub(crate) const DOCTOR_CREDENTIALS: &str = "doctor.kubeconfig";

/// The doctor of this machine, as a process of its own.
pub(crate) fn doctor(config: &NodeConfig) -> Result<DoctorProcess, Failure> {
    let program =
        child::own_program().map_err(|error| Failure::failed("cannot find the own program", &error))?;
    Ok(DoctorProcess {
        program,
        kubeconfig: config.data_dir.join(DOCTOR_CREDENTIALS),
        machine: config.machine.clone(),
        probe_socket: probe_socket(&config.data_dir),
        state_dir: config.data_dir.join("doctor"),
        time_servers: config.time_servers.clone(),
    })
}

/// The directory of the network's own record.
pub(crate) fn network_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("network")
}

/// The runtime that was asked for.
pub(crate) fn runtime(endpoint: Option<PathBuf>) -> RuntimeChoice {
    endpoint.map_or(RuntimeChoice::Supervised, RuntimeChoice::Endpoint)
}

/// The address under which this machine reaches others; the bridge's where it reaches none.
pub(crate) fn own_address() -> Ipv4Addr {
    let outward = || -> std::io::Result<IpAddr> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        Ok(socket.local_addr()?.ip())
    };
    match outward() {
        Ok(IpAddr::V4(address)) if !address.is_unspecified() && !address.is_loopback() => address,
        Ok(_) | Err(_) => GATEWAY,
    }
}

/// The cgroup of a data directory's pods: two Musters on one machine share none.
fn cgroup_parent(data_dir: &Path) -> String {
    let sum =
        data_dir.as_os_str().as_encoded_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
    format!("/muster-{:08x}", sum >> 32)
}

/// The agent's settings; `down` needs the same to take everything back.
pub(crate) fn agent_config(config: &NodeConfig) -> muster_agent::Config {
    let dir = agent_dir(&config.data_dir);
    muster_agent::Config {
        pod_cidr: match config.pods {
            PodRange::First => POD_CIDR.to_owned(),
            PodRange::Assigned => String::new(),
        },
        cluster_dns: vec![DNS_ADDRESS.to_string()],
        cluster_domain: DOMAIN.to_owned(),
        cni_conf_dir: config.data_dir.join("cni"),
        cgroup_parent: cgroup_parent(&config.data_dir),
        runtime: config.runtime.clone(),
        start: Start::OnOrder,
        fleet: Fleet::Member,
        logs: config.logs.clone(),
        reboot: config.reboot.clone(),
        ..muster_agent::Config::new(&config.machine, IpAddr::V4(config.address), dir)
    }
}

fn network_config(config: &NodeConfig, pod_cidr: &str) -> muster_network::Config {
    let parse = |text: &str| text.parse().expect("the built-in networks are well written");
    muster_network::Config {
        node: config.machine.clone(),
        data_dir: network_dir(&config.data_dir),
        cni_conf_dir: config.data_dir.join("cni"),
        cni_bin_dir: "/usr/lib/cni".into(),
        bridge: BRIDGE.to_owned(),
        pod_cidr: parse(pod_cidr),
        cluster_cidr: parse(CLUSTER_CIDR),
        service_cidr: parse(SERVICE_CIDR),
        dns: DnsConfig {
            address: DNS_ADDRESS,
            port: 53,
            domain: DOMAIN.to_owned(),
            resolv_conf: "/etc/resolv.conf".into(),
        },
        sweep: NETWORK_SWEEP,
    }
}

/// Starts network and agent.
pub(crate) async fn start(
    config: &NodeConfig,
    agent_client: Client,
    network_client: Client,
    shared: &Shared,
) -> Result<Logs, Failure> {
    if !nix::unistd::Uid::effective().is_root() {
        let what = "the node part needs root: run Muster as root to run containers here";
        return Err(Failure::Coded(Code::NodeNeedsRoot, what.to_owned()));
    }
    let clock = SharedClock::clone(&shared.clock);
    let agent = Agent::build(agent_config(config), agent_client, clock, &mut shared.registry.lock())
        .map_err(|error| Failure::Coded(Code::NodeCannotRunContainers, chain(&error)))?;
    match config.pods {
        PodRange::First => network(network_config(config, POD_CIDR), network_client, shared).await?,
        PodRange::Assigned => network_when_assigned(config.clone(), network_client, shared.clone()),
    }
    let handle =
        agent.run(&shared.tasks).await.map_err(|error| Failure::failed("the agent cannot start", &error))?;
    Ok(handle.logs)
}

async fn network(config: muster_network::Config, client: Client, shared: &Shared) -> Result<(), Failure> {
    let informers = Informers::new(client, shared.tasks.clone());
    let network = Network::build(config, &informers, shared.metrics.clone()).await.map_err(|error| {
        let what = format!("the network of this node cannot be made: {}", chain(&error));
        Failure::Coded(Code::NodeNetworkUnusable, what)
    })?;
    let _applied = network.run(&shared.tasks);
    Ok(())
}

/// How long to rest after a network that could not be made.
const NETWORK_RETRY: Duration = Duration::from_secs(5);

/// Makes the network as soon as the Node has its part of the pod addresses. Until then the Node is not ready.
fn network_when_assigned(config: NodeConfig, client: Client, shared: Shared) {
    let tasks = shared.tasks.clone();
    let token = tasks.shutdown_token();
    tasks.spawn(Kind::Job, "network", async move {
        let assigned = async {
            loop {
                let nodes: Api<Node> = Api::all(client.clone());
                let assigned = |node: Option<&Node>| node.and_then(pod_cidr).is_some();
                let seen = await_condition(nodes, &config.machine, assigned).await;
                if let Some(range) = seen.ok().flatten().as_ref().and_then(pod_cidr) {
                    match network(network_config(&config, &range), client.clone(), &shared).await {
                        Ok(()) => return,
                        Err(failure) => tracing::warn!(%failure, "the network is tried again"),
                    }
                }
                tokio::time::sleep(NETWORK_RETRY).await;
            }
        };
        token.run_until_cancelled(assigned).await;
    });
}

fn pod_cidr(node: &Node) -> Option<String> {
    let range = node.spec.as_ref()?.pod_cidr.clone()?;
    range.parse::<ipnet::Ipv4Net>().is_ok().then_some(range)
}

/// Reads logs of this process's own agent, once there is one, and of other machines over their agents' ports.
pub(crate) struct OwnNode {
    clock: SharedClock,
    machine: String,
    logs: Arc<OnceLock<Logs>>,
    others: OnceLock<AgentDialer>,
}

impl OwnNode {
    pub(crate) fn new(clock: SharedClock, machine: String) -> Self {
        Self { clock, machine, logs: Arc::default(), others: OnceLock::new() }
    }

    /// How other machines are reached.
    pub(crate) fn others(&self, dialer: AgentDialer) {
        if self.others.set(dialer).is_err() {
            tracing::error!("the way to other machines was set twice");
        }
    }

    /// Where the agent's logs are put when it has started.
    pub(crate) fn slot(&self) -> Arc<OnceLock<Logs>> {
        Arc::clone(&self.logs)
    }

    fn open(&self, node: &str, options: &LogOptions) -> Result<ByteStream, DialError> {
        let Some(logs) = self.logs.get() else {
            let reason = "the node part of this process is off; `muster status` says why".to_owned();
            return Err(DialError::Unreachable { node: node.to_owned(), reason });
        };
        let target = Target {
            namespace: options.namespace.clone(),
            pod: options.pod.clone(),
            container: options.container.clone(),
        };
        let stream = logs.stream(target, wanted(options), &self.clock).map_err(|error| refused(&error))?;
        let bytes = stream.filter_map(|frame| async move {
            match frame {
                Ok(frame) => frame.into_data().ok(),
                Err(error) => {
                    tracing::warn!(%error, "a log cannot be read on");
                    None
                }
            }
        });
        Ok(Box::pin(bytes))
    }
}

fn refused(error: &LogError) -> DialError {
    let reason = chain(error);
    match error {
        LogError::NoPod { .. } | LogError::NoContainer { .. } => DialError::NotFound { reason },
        LogError::NotStarted { .. } | LogError::NoPrevious { .. } | LogError::Read { .. } => {
            DialError::BadRequest { reason }
        }
    }
}

fn wanted(options: &LogOptions) -> Options {
    use muster_agent::logs::{Follow, Since, Timestamps as Shown, Which};
    let seconds = options.since_seconds.map(Since::Seconds);
    Options {
        which: match options.previous {
            Previous::No => Which::Current,
            Previous::Yes => Which::Previous,
        },
        tail_lines: options.tail_lines,
        since: seconds.or(options.since_time.map(Since::Time)),
        limit_bytes: options.limit_bytes,
        timestamps: match options.timestamps {
            Timestamps::No => Shown::Hide,
            Timestamps::Yes => Shown::Show,
        },
        follow: match options.follow {
            FollowLog::No => Follow::ToTheEnd,
            FollowLog::Yes => Follow::ForEver,
        },
    }
}

impl NodeDialer for OwnNode {
    fn logs(&self, node: &str, options: LogOptions) -> BoxFuture<'static, Result<ByteStream, DialError>> {
        match self.others.get().filter(|_| node != self.machine) {
            Some(others) => others.logs(node, options),
            None => Box::pin(std::future::ready(self.open(node, &options))),
        }
    }
}

/// The log endpoint for an API server elsewhere.
pub(crate) fn log_server(address: Ipv4Addr, client_ca: PathBuf) -> LogServer {
    LogServer {
        address: SocketAddr::new(IpAddr::V4(address), 10250),
        tls: muster_agent::logs::Tls {
            client_ca,
            readers: vec!["system:masters".to_owned(), "kube-apiserver".to_owned()],
            names: vec![address.to_string()],
        },
    }
}
