//! The embedded control plane: store, keys, API server, controllers, scheduler, in one process.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kube::Client;
use muster_apiserver::pki::{Pki, ServingNames};
use muster_apiserver::{ApiServer, Config, Identity, InProcess, NodeDialer, Object, Parts, Tls};
use muster_base::clock::SharedClock;
use muster_base::task::{Kind, Tasks};
use muster_control::{Informers, Metrics};
use muster_scheduler::Scheduler;
use muster_store::Store;
use muster_workloads::Workloads;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::failure::{Code, Failure};
use crate::rights;

/// Bytes of events each resource keeps for watchers that resume.
const RING_BYTES: usize = 4 << 20;

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
    pki: Pki,
    tls: Tls,
    port: u16,
    address: String,
    shared: Shared,
}

/// The kubeconfig of a data directory.
pub(crate) fn kubeconfig(data_dir: &Path) -> PathBuf {
    data_dir.join("kubeconfig")
}

/// Opens the store of a data directory, if no other process has it.
pub(crate) fn open_store(data_dir: &Path) -> Result<Store<Object>, Failure> {
    let config =
        muster_store::Config { ring_bytes: RING_BYTES, ..muster_store::Config::new(data_dir.join("store")) };
    let (store, recovery) = Store::open(config).map_err(|error| Failure::store(&error))?;
    if let Some(torn) = recovery.torn {
        tracing::warn!(%torn, "the log ended in the middle of a write; what was not acknowledged is dropped");
    }
    Ok(store)
}

pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let advice = if error.kind() == std::io::ErrorKind::AddrInUse {
            "end what listens there, or choose another with --listen"
        } else {
            "choose another with --listen"
        };
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
        let host = if bound.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { bound.ip() };
        let address = format!("https://{}", SocketAddr::new(host, bound.port()));
        let plane = Self { server, pki, tls, port: bound.port(), address, shared: shared.clone() };
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

    /// Serves the API on a further address of this machine.
    pub(crate) async fn serve_also(&self, address: Ipv4Addr) -> Result<(), Failure> {
        let listener = bind(SocketAddr::new(IpAddr::V4(address), self.port)).await?;
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

    /// Starts the workload controllers and the scheduler.
    pub(crate) fn start_controllers(&self) {
        let shared = &self.shared;
        let config = muster_workloads::Config {
            root_ca: Some(self.pki.authority_pem().into()),
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

fn exposition(registry: &Registry) -> String {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, registry) {
        Ok(()) => text,
        Err(error) => format!("# the metrics cannot be written: {error}\n"),
    }
}
