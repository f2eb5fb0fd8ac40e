//! An imagined machine: the agent's own code over a runtime in memory, its files in a directory, and its own doctor.

mod hands;
mod probe;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use muster_agent::Reboot;
use muster_agent::cgroup::Cgroups;
use muster_agent::inventory::{Reporter, Roots};
use muster_agent::node::{Facts, Keeper};
use muster_agent::orders::{Desk, Disks, Executor, Ledger, MendHands, RoleHands};
use muster_agent::pod::{Context, Driver, Node, STARTING_MAX, Teller};
use muster_agent::runtime::fake::{Fake, Health};
use muster_agent::runtime::proto::DnsConfig;
use muster_api::order::Verb;
use muster_base::clock::SharedClock;
use muster_base::task::{Kind, Tasks};
use muster_control::events::Events;
use muster_doctor::Doctor;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::dice::Dice;
use hands::Hands;
use probe::Probe;

/// Something a machine really did on order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// When it was begun.
    pub at: Timestamp,
    /// On which machine.
    pub machine: String,
    /// For which run.
    pub run: String,
    /// For which step of it.
    pub step: String,
    /// In which attempt.
    pub attempt: u32,
    /// Under which fence.
    pub generation: i64,
    /// What.
    pub verb: Verb,
}

/// What a machine is made of.
pub(crate) struct Parts {
    pub(crate) name: String,
    pub(crate) number: u8,
    pub(crate) directory: PathBuf,
    pub(crate) seed: u64,
    pub(crate) agent: Client,
    pub(crate) doctor: Client,
    pub(crate) clock: SharedClock,
    pub(crate) world: Tasks,
}

/// An imagined machine. Its runtime outlives its agent, as containers do.
pub struct Machine {
    parts: Parts,
    dice: Dice,
    runtime: Fake,
    effects: Mutex<Vec<Effect>>,
    /// Whether the runtime ever ran.
    started: AtomicBool,
    /// How many restarts of the runtime will not help.
    stubborn: Mutex<u32>,
    /// The agent's tasks; none while it is dead.
    life: Mutex<Option<Tasks>>,
    /// How often it booted anew.
    boots: AtomicU32,
}

/// Images that every imagined registry has.
const IMAGES: [&str; 2] = ["localhost/hello:1", "app:1"];

impl Machine {
    /// Puts the machine there and switches it on.
    pub(crate) fn new(parts: Parts) -> std::io::Result<Arc<Self>> {
        write_roots(&parts.directory, &parts.name)?;
        let runtime = Fake::new(SharedClock::clone(&parts.clock));
        runtime.set_network(parts.number);
        runtime.set_health(Health::Dead);
        for image in IMAGES {
            runtime.publish_image(image);
        }
        let dice = Dice::new(parts.seed, &parts.name);
        let machine = Arc::new(Self {
            parts,
            dice,
            runtime,
            effects: Mutex::default(),
            started: AtomicBool::new(false),
            stubborn: Mutex::new(0),
            life: Mutex::new(None),
            boots: AtomicU32::new(0),
        });
        machine.start_agent();
        machine.start_doctor();
        Ok(machine)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.parts.name
    }

    /// The directory that is its root; not all it does shows there.
    pub fn root(&self) -> PathBuf {
        self.parts.directory.join("root")
    }

    /// Its runtime.
    pub fn runtime(&self) -> &Fake {
        &self.runtime
    }

    /// Everything it did on order, in order.
    pub fn effects(&self) -> Vec<Effect> {
        self.effects.lock().clone()
    }

    /// The runtime takes connections and answers none.
    pub fn hang_runtime(&self) {
        self.runtime.set_health(Health::Hung);
    }

    /// The runtime is gone.
    pub fn kill_runtime(&self) {
        self.runtime.set_health(Health::Dead);
    }

    /// The next so many restarts of the runtime do not bring it back.
    pub fn resist_restarts(&self, restarts: u32) {
        *self.stubborn.lock() = restarts;
    }

    /// Kills the agent where it stands; it starts again after `down_for`.
    pub fn kill_agent(self: &Arc<Self>, down_for: Duration) {
        if let Some(tasks) = self.life.lock().take() {
            tasks.abort();
        }
        let (machine, token) = (Arc::clone(self), self.parts.world.shutdown_token());
        self.parts.world.spawn(Kind::Job, format!("agent of {} starts again", self.name()), async move {
            if token.run_until_cancelled(tokio::time::sleep(down_for)).await.is_some() {
                machine.start_agent();
            }
        });
    }

    /// Its operating system ends and boots anew. A runtime that only hung runs again then.
    fn reboot(self: &Arc<Self>) {
        let boots = self.boots.fetch_add(1, Ordering::Relaxed) + 1;
        tracing::debug!(machine = self.name(), boots, "the machine boots anew");
        if let Err(error) = write_boot_id(&self.parts.directory, &self.boot_id()) {
            tracing::error!(%error, "the identity of the boot cannot be written");
        }
        if *self.stubborn.lock() == 0 && self.started.load(Ordering::Relaxed) {
            self.runtime.set_health(Health::Well);
        }
        self.kill_agent(self.dice.between(Duration::from_secs(20), Duration::from_secs(60)));
    }

    fn boot_id(&self) -> String {
        match self.boots.load(Ordering::Relaxed) {
            0 => first_boot(&self.parts.name),
            boots => format!("{}-{boots}", first_boot(&self.parts.name)),
        }
    }

    /// Ends the agent for good.
    pub(crate) fn end(&self) {
        if let Some(tasks) = self.life.lock().take() {
            tasks.abort();
        }
    }

    fn is_alive(&self) -> bool {
        self.life.lock().is_some()
    }

    fn start_agent(self: &Arc<Self>) {
        let mut life = self.life.lock();
        if life.is_some() {
            return;
        }
        let tasks = Tasks::new();
        let keeper = Arc::new(Keeper::new(
            self.parts.agent.clone(),
            Arc::new(self.runtime.clone()),
            SharedClock::clone(&self.parts.clock),
            self.facts(),
        ));
        self.start_node(&keeper, &tasks);
        self.start_fleet(keeper, &tasks);
        Driver::new(Arc::new(self.pods(&tasks)), tasks.clone()).start();
        *life = Some(tasks);
    }

    fn start_node(&self, keeper: &Arc<Keeper>, tasks: &Tasks) {
        let token = tasks.shutdown_token();
        let (status, beat, found) = (Arc::clone(keeper), Arc::clone(keeper), Arc::clone(keeper));
        tasks.spawn(Kind::Service, "node status", status.run(token.clone()));
        tasks.spawn(Kind::Service, "node heartbeat", beat.beat(token));
        tasks.spawn(Kind::Job, "node resumes", async move {
            while found.resume().await.is_err() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    }

    fn start_fleet(self: &Arc<Self>, keeper: Arc<Keeper>, tasks: &Tasks) {
        let token = tasks.shutdown_token();
        let parts = &self.parts;
        let reporter = Reporter {
            client: parts.agent.clone(),
            clock: SharedClock::clone(&parts.clock),
            machine: parts.name.clone(),
            roots: roots(&parts.directory),
        };
        tasks.spawn(Kind::Service, "inventory", reporter.run(token.clone()));
        let executor = Executor {
            service: None,
            runtime: Arc::new(self.runtime.clone()),
            keeper,
            clock: SharedClock::clone(&parts.clock),
            cgroups: self.cgroups(),
            proc: parts.directory.join("proc"),
            sysctl_note: parts.directory.join("sysctl-before.json"),
            logs_dir: parts.directory.join("logs"),
            role: RoleHands::new(&parts.directory.join("root"), &parts.directory),
            disks: Disks { sys: parts.directory.join("sys/block"), dev: parts.directory.join("dev") },
            mend: MendHands::new(
                &parts.directory.join("root"),
                &roots(&parts.directory),
                &parts.directory,
                &Reboot::Systemd,
            ),
            images_dir: parts.directory.join("images"),
        };
        let ledger = Ledger::open(&parts.directory.join("orders.json"))
            .expect("the record of orders was written by this machine");
        let hands = Arc::new(Hands { machine: Arc::clone(self), executor });
        let clock = SharedClock::clone(&parts.clock);
        let desk = Desk::new(parts.agent.clone(), clock, (parts.name.clone(), self.boot_id()), ledger, hands);
        tasks.spawn(Kind::Service, "orders", Arc::new(desk).run(token));
    }

    fn start_doctor(self: &Arc<Self>) {
        let machine = Arc::clone(self);
        let world = self.parts.world.clone();
        self.parts.world.spawn(Kind::Job, format!("doctor of {}", self.name()), async move {
            loop {
                let config = muster_doctor::Config::new(machine.parts.name.clone(), PathBuf::new());
                let source = Box::new(Probe(Arc::clone(&machine)));
                let clock = SharedClock::clone(&machine.parts.clock);
                match Doctor::over(config, source, machine.parts.doctor.clone(), clock).await {
                    Ok(doctor) => return doctor.run(&world).await,
                    Err(error) => tracing::debug!(%error, "the doctor cannot read what it filed before"),
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    }

    fn cgroups(&self) -> Cgroups {
        Cgroups { parent: "/muster".to_owned(), mount: self.parts.directory.join("cgroup") }
    }

    fn address(&self) -> String {
        format!("192.0.2.{}", self.parts.number)
    }

    fn facts(&self) -> Facts {
        Facts {
            name: self.parts.name.clone(),
            ip: self.address(),
            cpu_milli: 4000,
            memory_bytes: 8 << 30,
            pods_max: 110,
            pod_cidr: format!("10.244.{}.0/24", self.parts.number),
            kernel: "6.1.0-sim".to_owned(),
            os_image: "Simulated".to_owned(),
            machine_id: format!("machine-{}", self.parts.name),
            boot_id: self.boot_id(),
            port: 10250,
        }
    }

    fn events(&self) -> Events {
        Events::new(self.parts.agent.clone(), "kubelet", SharedClock::clone(&self.parts.clock))
    }

    fn pods(&self, tasks: &Tasks) -> Context {
        let facts = self.facts();
        Context {
            node: Node {
                name: facts.name,
                ip: facts.ip,
                cpu_milli: facts.cpu_milli,
                memory_bytes: facts.memory_bytes,
                cluster_dns: Vec::new(),
                cluster_domain: "cluster.local".to_owned(),
                host_dns: DnsConfig::default(),
                pods_dir: self.parts.directory.join("pods"),
                logs_dir: self.parts.directory.join("logs"),
                cgroups: self.cgroups(),
            },
            runtime: Arc::new(self.runtime.clone()),
            client: self.parts.agent.clone(),
            clock: SharedClock::clone(&self.parts.clock),
            events: Teller::start(self.events(), tasks),
            starting: Semaphore::new(STARTING_MAX),
            services: Mutex::default(),
        }
    }
}

fn first_boot(machine: &str) -> String {
    format!("boot-of-{machine}")
}

fn roots(directory: &Path) -> Roots {
    Roots { proc: directory.join("proc"), sys: directory.join("sys") }
}

fn write_boot_id(directory: &Path, boot_id: &str) -> std::io::Result<()> {
    std::fs::write(directory.join("proc/sys/kernel/random/boot_id"), boot_id)
}

/// As much of `/proc` as an inventory reads.
fn write_roots(directory: &Path, machine: &str) -> std::io::Result<()> {
    let proc = directory.join("proc");
    for below in ["proc/sys/kernel/random", "sys/class/dmi/id", "pods", "logs", "cgroup", "root/etc"] {
        std::fs::create_dir_all(directory.join(below))?;
    }
    write_boot_id(directory, &first_boot(machine))?;
    std::fs::write(proc.join("sys/kernel/osrelease"), "6.1.0-sim\n")?;
    std::fs::write(proc.join("meminfo"), "MemTotal:        8388608 kB\n")?;
    let thread = |number: u32| format!("processor\t: {number}\nmodel name\t: Simulated\n\n");
    std::fs::write(proc.join("cpuinfo"), (0..4).map(thread).collect::<String>())?;
    std::fs::write(directory.join("sys/class/dmi/id/product_serial"), format!("SN-{machine}\n"))
}
