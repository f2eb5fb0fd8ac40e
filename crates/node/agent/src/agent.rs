//! The agent as a whole: built from a configuration, run as a set of tasks.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use muster_api::probe::KMSG_SOCKET;
use muster_base::clock::SharedClock;
use muster_base::error::chain;
use muster_base::task::{Kind, Tasks};
use muster_control::events::Events;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;

use crate::cgroup::Cgroups;
use crate::config::{Config, Fleet, RuntimeChoice, Start};
use crate::containerd::{Bringup, Layout, LayoutError, Limits, Settings, Supervisor, probe};
use crate::image::{self, Importer};
use crate::inventory::Reporter;
use crate::logs::{Logs, ServeError, Server};
use crate::node::{Facts, Keeper, Registration};
use crate::orders::{Desk, Disks, Executor, Ledger, LedgerError, MendHands, RoleHands};
use crate::pod::{Context, Driver, Node, STARTING_MAX, Teller};
use crate::runtime::Runtime;
use crate::runtime::cri::{self, Cri};

mod kmsg;
mod metrics;
mod readings;
mod remove;
mod smart;

use metrics::Metrics;
pub use readings::SocketError;
pub use remove::{RemoveError, remove};

#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error("this machine cannot run containers: {}", .missing.join("; "))]
    Machine { missing: Vec<String> },
    #[error("cannot make the directory {}", .path.display())]
    Directory {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Why a built agent does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Logs(#[from] ServeError),
    #[error(transparent)]
    Socket(#[from] SocketError),
}

/// A built agent.
pub struct Agent {
    config: Config,
    client: Client,
    clock: SharedClock,
    runtime: Arc<dyn Runtime>,
    bringup: Option<Arc<Bringup>>,
    keeper: Arc<Keeper>,
    desk: Arc<Desk>,
    node: Node,
}

/// What of a running agent others use.
#[derive(Clone)]
pub struct Handle {
    pub driver: Driver,
    pub logs: Logs,
}

/// Name of the doctor's socket in the data directory.
const PROBE_SOCKET: &str = "probe.sock";
const LOG_PORT: u16 = 10250;
const IMPORT_LIMIT: Duration = Duration::from_secs(120);
const REGISTER_RETRY: Duration = Duration::from_secs(1);

fn directory(path: PathBuf) -> Result<PathBuf, BuildError> {
    std::fs::create_dir_all(&path).map_err(|source| BuildError::Directory { path: path.clone(), source })?;
    Ok(path)
}

impl Agent {
    /// Prepares everything that cannot wait; starts nothing.
    ///
    /// # Errors
    /// The machine lacks something (all of it is named), the data directory is unusable, or the record of orders is damaged.
    pub fn build(
        config: Config,
        client: Client,
        clock: SharedClock,
        registry: &mut Registry,
    ) -> Result<Self, BuildError> {
        let metrics = Metrics::new(registry);
        let (socket, bringup) = match &config.runtime {
            RuntimeChoice::Endpoint(socket) => (socket.clone(), None),
            RuntimeChoice::Supervised => supervised(&config, &clock, &metrics)?,
        };
        let runtime: Arc<dyn Runtime> = Arc::new(Cri::new(&socket, cri::Limits::default()));
        let bringup = bringup.map(|(supervisor, importer)| {
            let archives_dir = config.data_dir.join("images");
            Arc::new(Bringup { supervisor, importer, runtime: runtime.clone(), archives_dir })
        });
        let node = node(&config)?;
        let port = config.logs.as_ref().map_or(LOG_PORT, |logs| logs.address.port());
        let facts = Facts::read(
            &config.roots,
            config.node_name.clone(),
            config.node_ip.to_string(),
            config.pod_cidr.clone(),
            port,
        );
        let keeper = Arc::new(Keeper::new(client.clone(), runtime.clone(), clock.clone(), facts));
        let executor = Arc::new(Executor {
            service: bringup.clone(),
            runtime: runtime.clone(),
            keeper: keeper.clone(),
            clock: clock.clone(),
            cgroups: node.cgroups.clone(),
            proc: config.roots.proc.clone(),
            sysctl_note: config.data_dir.join("sysctl-before.json"),
            logs_dir: node.logs_dir.clone(),
            disks: Disks { sys: config.roots.sys.join("block"), ..Disks::default() },
            role: RoleHands::new(Path::new("/"), &config.data_dir),
            mend: MendHands::new(Path::new("/"), &config.roots, &config.data_dir, &config.reboot),
            images_dir: match config.runtime {
                RuntimeChoice::Supervised => config.data_dir.join("containerd"),
                RuntimeChoice::Endpoint(_) => PathBuf::from("/var/lib/containerd"),
            },
        });
        let ledger = Ledger::open(&config.data_dir.join("orders.json"))?;
        let whose = (config.machine.clone(), crate::inventory::boot_id(&config.roots));
        let desk = Arc::new(Desk::new(client.clone(), clock.clone(), whose, ledger, executor));
        Ok(Self { config, client, clock, runtime, bringup, keeper, desk, node })
    }

    /// Starts every task. The containers outlive them.
    ///
    /// # Errors
    /// The log server or the doctor's socket cannot be bound.
    pub async fn run(self, tasks: &Tasks) -> Result<Handle, StartError> {
        let shutdown = tasks.shutdown_token();
        let context = Arc::new(Context {
            node: self.node.clone(),
            runtime: self.runtime.clone(),
            client: self.client.clone(),
            clock: self.clock.clone(),
            events: Teller::start(Events::new(self.client.clone(), "kubelet", self.clock.clone()), tasks),
            starting: Semaphore::new(STARTING_MAX),
            services: parking_lot::Mutex::default(),
        });
        let driver = Driver::new(context, tasks.clone());
        let logs = Logs::new(driver.clone(), self.node.clone());
        if let Some(server) = &self.config.logs {
            Server::bind(server.address, &server.tls, logs.clone(), self.clock.clone()).await?.start(tasks);
        }
        let source = readings::Source {
            runtime: self.runtime.clone(),
            supervisor: self.bringup.as_ref().map(|bringup| bringup.supervisor.clone()),
            boot_id: crate::inventory::boot_id(&self.config.roots),
            disks: Arc::default(),
        };
        let health = source.disks.clone();
        tasks.spawn(Kind::Service, "disk health", health.watch(self.config.roots.clone(), shutdown.clone()));
        readings::serve(&self.config.data_dir.join(PROBE_SOCKET), source, tasks)?;
        kmsg::serve(&self.config.data_dir.join(KMSG_SOCKET), self.config.kmsg.clone(), tasks)?;
        self.start_service(tasks);
        let (keeper, beat) = (self.keeper.clone(), self.keeper.clone());
        tasks.spawn(Kind::Service, "node status", keeper.run(shutdown.clone()));
        tasks.spawn(Kind::Service, "node heartbeat", beat.beat(shutdown.clone()));
        self.start_registration(tasks);
        if self.config.fleet == Fleet::Member {
            let reporter = Reporter {
                client: self.client.clone(),
                clock: self.clock.clone(),
                machine: self.config.machine.clone(),
                roots: self.config.roots.clone(),
            };
            tasks.spawn(Kind::Service, "inventory", reporter.run(shutdown.clone()));
            tasks.spawn(Kind::Service, "orders", self.desk.clone().run(shutdown));
        }
        driver.start();
        Ok(Handle { driver, logs })
    }

    /// A hung or failing runtime must not keep the agent from taking the order that heals it: this runs beside the rest.
    fn start_service(&self, tasks: &Tasks) {
        let Some(bringup) = self.bringup.clone() else { return };
        let watched = bringup.supervisor.clone();
        let shutdown = tasks.shutdown_token();
        tasks.spawn(Kind::Service, "containerd supervisor", async move { watched.watch(shutdown).await });
        if self.config.start == Start::OnOrder && !bringup.supervisor.is_wanted() {
            return;
        }
        let shutdown = tasks.shutdown_token();
        tasks.spawn(Kind::Job, "start containerd", async move {
            if let Some(Err(error)) = shutdown.run_until_cancelled(bringup.up()).await {
                tracing::warn!(error = chain(&error), "containerd is not up");
            }
        });
    }

    /// Registers at once, or, if only an order may do it, takes up again a node that was registered before.
    fn start_registration(&self, tasks: &Tasks) {
        let (keeper, start) = (self.keeper.clone(), self.config.start);
        let shutdown = tasks.shutdown_token();
        tasks.spawn(Kind::Job, "register node", async move {
            loop {
                let done = match start {
                    Start::AtOnce => keeper.register(&Registration::default()).await.map(|()| true),
                    Start::OnOrder => keeper.resume().await,
                };
                match done {
                    Ok(_) => return,
                    Err(error) => tracing::debug!(error = chain(&error), "node not registered yet"),
                }
                if shutdown.run_until_cancelled(tokio::time::sleep(REGISTER_RETRY)).await.is_none() {
                    return;
                }
            }
        });
    }
}

type Parts = (PathBuf, Option<(Arc<Supervisor>, Importer)>);

fn supervised(config: &Config, clock: &SharedClock, metrics: &Metrics) -> Result<Parts, BuildError> {
    let layout = Layout::new(&config.data_dir)?;
    directory(layout.dir().to_owned())?;
    let found = probe::judge(&probe::read());
    let missing: Vec<String> = found.missing().map(ToString::to_string).collect();
    let (Some(program), Some(cni_bin_dir)) = (found.containerd.clone(), found.cni_bin_dir.clone()) else {
        return Err(BuildError::Machine { missing });
    };
    if !missing.is_empty() {
        return Err(BuildError::Machine { missing });
    }
    let settings = Settings {
        pause_image: image::PAUSE.to_owned(),
        cni_bin_dir,
        cni_conf_dir: config.cni_conf_dir.clone(),
        restrict_oom_score: found.restrict_oom_score,
        runtimes: found.runtimes,
    };
    let socket = layout.socket();
    let importer =
        Importer { ctr: program.with_file_name("ctr"), socket: socket.clone(), limit: IMPORT_LIMIT };
    let metrics = metrics.clone();
    let report = move |event| metrics.service_event(&event);
    let supervisor = Supervisor::new(layout, settings, program, Limits::default(), clock.clone(), report);
    Ok((socket, Some((supervisor, importer))))
}

fn node(config: &Config) -> Result<Node, BuildError> {
    let facts =
        Facts::read(&config.roots, config.node_name.clone(), config.node_ip.to_string(), String::new(), 0);
    Ok(Node {
        name: config.node_name.clone(),
        ip: config.node_ip.to_string(),
        cpu_milli: facts.cpu_milli,
        memory_bytes: facts.memory_bytes,
        cluster_dns: config.cluster_dns.clone(),
        cluster_domain: config.cluster_domain.clone(),
        host_dns: config.host_dns.clone(),
        pods_dir: directory(config.data_dir.join("pods"))?,
        logs_dir: directory(config.data_dir.join("logs"))?,
        cgroups: Cgroups::new(config.cgroup_parent.clone()),
    })
}
