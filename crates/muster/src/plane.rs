//! The embedded control plane: store, keys, API server, controllers, scheduler, in one process.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kube::Client;
use muster_apiserver::pki::{Pki, ServingNames, Subject};
use muster_apiserver::{AgentDialer, ApiServer, Config, Identity, InProcess, NodeDialer, Object, Parts, Tls};
use muster_base::clock::SharedClock;
use muster_base::error::chain;
use muster_base::task::{Kind, Tasks};
use muster_control::{Informers, Metrics};
use muster_scheduler::Scheduler;
use muster_store::{DataKeys, Sealing, Store};
use muster_workloads::Workloads;
use muster_workloads::certificate::Signer;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::failure::{Code, Failure};
use crate::{node, rights};

/// Bytes of events each resource keeps for watchers that resume.
const RING_BYTES: usize = 4 << 20;

/// Resources whose values stand encrypted in the data directory.
const SEALED: &[&str] = &["secrets"];

/// What the control plane is told.
pub(crate) struct PlaneConfig {
    pub(crate) data_dir: PathBuf,
    /// Where pods reach the API.
    pub(crate) pods_reach: Ipv4Addr,
}

/// What all parts of the process share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) clock: SharedClock,
    pub(crate) tasks: Tasks,
    pub(crate) registry: Arc<Mutex<Registry>>,
    pub(crate) metrics: Metrics,
}

impl Shared {
    pub(crate) fn new(clock: SharedClock) -> Self {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        Self { clock, tasks: Tasks::new(), registry: Arc::new(Mutex::new(registry)), metrics }
    }
}

/// The running control plane.
pub(crate) struct Plane {
    server: ApiServer,
    pki: Arc<Pki>,
    tls: Tls,
    port: u16,
    /// Whether it listens on every address.
    everywhere: bool,
    address: String,
    shared: Shared,
}

/// The kubeconfig of a data directory.
pub(crate) fn kubeconfig(data_dir: &Path) -> PathBuf {
    data_dir.join("kubeconfig")
}

/// Opens the store of a data directory, if no other process has it.
pub(crate) fn open_store(data_dir: &Path) -> Result<Store<Object>, Failure> {
    let keys = DataKeys::open(data_dir.join("pki/data.keys")).map_err(|error| Failure::keys(&error))?;
    let config = muster_store::Config {
        ring_bytes: RING_BYTES,
        sealing: Some(Sealing::new(keys, SEALED)),
        ..muster_store::Config::new(data_dir.join("store"))
    };
    let (store, recovery) = Store::open(config).map_err(|error| Failure::store(&error))?;
    if let Some(torn) = recovery.torn {
        tracing::warn!(%torn, "the log ended in the middle of a write; what was not acknowledged is dropped");
    }
    Ok(store)
}

/// A listener at the address that `flag` chose.
pub(crate) async fn bind(address: SocketAddr, flag: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let end =
            if error.kind() == std::io::ErrorKind::AddrInUse { "end what listens there, or " } else { "" };
        let advice = format!("{end}choose another with {flag}");
        Failure::Coded(Code::CannotListen, format!("cannot listen on {address}: {error}; {advice}"))
    })
}

impl Plane {
    /// Builds the API server over the store, to be served at `bound`.
    pub(crate) async fn start(
        config: &PlaneConfig,
        store: Store<Object>,
        bound: SocketAddr,
        shared: &Shared,
        dialer: Arc<dyn NodeDialer>,
    ) -> Result<Self, Failure> {
        let api = Config::new(SocketAddr::new(IpAddr::V4(config.pods_reach), bound.port()));
        let mut addresses = api.serving_addresses();
        addresses.push(bound.ip());
        if bound.ip().is_unspecified() {
            addresses.extend(own_addresses());
        }
        let host =
            nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let names = ServingNames { dns: if host.is_empty() { Vec::new() } else { vec![host] }, addresses };
        let failed = |error: &(dyn std::error::Error + 'static)| {
            Failure::failed("cannot make the cluster's keys", error)
        };
        let pki =
            Pki::open(&config.data_dir.join("pki"), &names, shared.clock.now()).map_err(|e| failed(&e))?;
        let registry = Arc::clone(&shared.registry);
        let parts = Parts {
            clock: SharedClock::clone(&shared.clock),
            tasks: shared.tasks.clone(),
            signing_key: pki.signing_key().map_err(|e| failed(&e))?,
            authority_pem: pki.authority_pem().to_owned(),
            front_proxy: pki.front_proxy(shared.clock.now()).map_err(|e| failed(&e))?,
            metrics: muster_apiserver::Metrics::register(&mut shared.registry.lock()),
            exposition: Arc::new(move || exposition(&registry.lock())),
            dialer,
        };
        let server = ApiServer::build(api, store, parts)
            .await
            .map_err(|error| Failure::failed("cannot create what every cluster has", &error))?;
        server
            .ensure_component_roles(&rights::table())
            .await
            .map_err(|error| Failure::failed("cannot create the roles of Muster's parts", &error))?;
        let tls = pki.tls().map_err(|e| failed(&e))?;
        let everywhere = bound.ip().is_unspecified();
        let host = if everywhere { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { bound.ip() };
        let address = format!("https://{}", SocketAddr::new(host, bound.port()));
        let plane = Self {
            server,
            pki: Arc::new(pki),
            tls,
            port: bound.port(),
            everywhere,
            address,
            shared: shared.clone(),
        };
        plane.write_kubeconfig(
            &kubeconfig(&config.data_dir),
            &Identity::new("muster:admin", &["system:masters"]),
        )?;
        Ok(plane)
    }

    /// Lets clients in through the port.
    pub(crate) fn serve(&self, listener: TcpListener) {
        let (server, tls, token) =
            (self.server.clone(), Tls::clone(&self.tls), self.shared.tasks.shutdown_token());
        self.shared.tasks.spawn(Kind::Service, "api port", async move {
            if let Err(error) = server.run(listener, tls, token).await {
                tracing::error!(error = muster_base::error::chain(&error), "the API port ended");
            }
        });
    }

    /// Serves the API where the pods of this machine reach it too, unless it listens everywhere already.
    pub(crate) async fn serve_to_pods(&self, address: Ipv4Addr) -> Result<(), Failure> {
        if self.everywhere {
            return Ok(());
        }
        let listener = bind(SocketAddr::new(IpAddr::V4(address), self.port), "--listen").await?;
        self.serve(listener);
        Ok(())
    }

    /// Writes a kubeconfig for `who`, unless a good one is there.
    pub(crate) fn write_kubeconfig(&self, path: &Path, who: &Identity) -> Result<(), Failure> {
        self.pki
            .write_kubeconfig(path, &self.address, who, self.shared.clock.now())
            .map_err(|error| Failure::failed("cannot write a kubeconfig", &error))
    }

    /// A client of a part of Muster, without a socket, under its own identity.
    pub(crate) fn client(&self, component: &str) -> Client {
        Client::new(InProcess::new(self.server.clone(), Identity::component(component)), "default")
    }

    /// A client of the agent of this machine, without a socket: its rights are those of any machine's agent.
    pub(crate) fn node_client(&self, machine: &str) -> Client {
        Client::new(InProcess::new(self.server.clone(), Identity::node(machine)), "default")
    }

    /// The way to the agents of other machines.
    pub(crate) fn agent_dialer(&self) -> Result<AgentDialer, Failure> {
        let who = Identity::new("kube-apiserver", &["system:masters"]);
        let tls = self
            .pki
            .agent_tls(&who, self.shared.clock.now())
            .map_err(|error| Failure::failed("cannot make the key towards the agents", &error))?;
        Ok(AgentDialer::new(self.server.store().clone(), tls, self.shared.tasks.clone()))
    }

    /// Starts the workload controllers and the scheduler.
    pub(crate) fn start_controllers(&self) {
        let shared = &self.shared;
        let config = muster_workloads::Config {
            root_ca: Some(self.pki.authority_pem().into()),
            pod_addresses: Some(node::pod_addresses()),
            signer: Some(signer(Arc::clone(&self.pki))),
            ..muster_workloads::Config::default()
        };
        let informers = Informers::new(self.client(muster_workloads::rules::INFORMERS), shared.tasks.clone());
        let client_for = |component: &str| self.client(component);
        let clock = || SharedClock::clone(&shared.clock);
        Workloads::build(config, &client_for, &informers, clock(), shared.metrics.clone())
            .start(&shared.tasks);
        let informers = Informers::new(self.client(rights::SCHEDULER), shared.tasks.clone());
        let scheduler = muster_scheduler::Config::default();
        Scheduler::build(scheduler, self.client(rights::SCHEDULER), &informers, clock()).start(&shared.tasks);
    }
}

/// Signs what was approved, for the subjects that each signer is for.
fn signer(pki: Arc<Pki>) -> Signer {
    Signer::new(move |request, now| {
        let which = if request.signer == muster_api::join::SIGNER { Subject::Agent } else { Subject::User };
        pki.sign_client(&request.pem, which, request.lifetime, now).map_err(|error| chain(&error))
    })
}

/// Every address of this machine, for an API that listens on all of them.
fn own_addresses() -> Vec<IpAddr> {
    let found = nix::ifaddrs::getifaddrs().into_iter().flatten();
    found.filter_map(|interface| Some(IpAddr::V4(interface.address?.as_sockaddr_in()?.ip()))).collect()
}

/// The metrics as Prometheus reads them.
pub(crate) fn exposition(registry: &Registry) -> String {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, registry) {
        Ok(()) => text,
        Err(error) => format!("# the metrics cannot be written: {error}\n"),
    }
}
