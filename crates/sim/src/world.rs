//! The whole: server, controllers, machines, time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use muster_api::machine::{MachineSpec, Phase};
use muster_api::site::SiteSpec;
use muster_api::{Machine as MachineObject, RepairPolicy, Site};
use muster_apiserver::pki::{Pki, ServingNames};
use muster_apiserver::{ApiServer, Config, Identity, Metrics, NoNodes, Object, Parts};
use muster_base::clock::SharedClock;
use muster_base::task::Tasks;
use muster_control::{install, is_conflict};
use muster_doctor::global::plan::canary::Limits as Canary;
use muster_machines::builtin::WORKER;
use muster_store::{Key, Limits, Store};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use serde_json::json;
use tempfile::TempDir;

use crate::clock::VirtualClock;
use crate::controllers::{self, Controllers};
use crate::faults::Faults;
use crate::history::{self, Seen, Watched};
use crate::machine::{self, Effect, Machine};
use crate::timetable::Fault;
use crate::{rights, wire};

/// When every simulation begins.
const BEGIN: &str = "2026-01-05T00:00:00Z";
/// Rest between two looks of [`World::wait`]: a twentieth of the time waited so far, within these bounds.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Every version of everything is kept: histories are read from it.
const RING_BYTES: usize = 1 << 30;

/// How a world differs from the usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Decides all chance.
    pub seed: u64,
    /// How often the controllers look at everything.
    pub sweep_every: Duration,
    /// How long a run is kept once it has ended.
    pub keep_runs: Duration,
    /// When a fault is made up; never without.
    pub canary: Option<Canary>,
}

impl Options {
    /// The usual, under a seed.
    pub fn new(seed: u64) -> Self {
        let muster_workflow::Config { sweep_every, keep_runs } = muster_workflow::Config::default();
        Self { seed, sweep_every, keep_runs, canary: None }
    }
}

/// A control plane with its machines.
pub struct World {
    options: Options,
    clock: SharedClock,
    server: ApiServer,
    admin: Client,
    tasks: Tasks,
    controllers: Arc<Controllers>,
    fleet: Arc<Faults>,
    engine: Arc<Faults>,
    agents: Arc<Faults>,
    machines: Mutex<BTreeMap<String, Arc<Machine>>>,
    directory: TempDir,
}

/// The machines here have their runtimes hang again and again within minutes, and each time is a fault of its own.
async fn patient(admin: &Client) -> Result<(), kube::Error> {
    let spec = json!({"successAfter": "1s", "personAfter": {"repairs": 100, "within": "1h"}});
    let patch = Patch::Merge(json!({ "spec": spec }));
    Api::<RepairPolicy>::all(admin.clone())
        .patch("runtime", &PatchParams::default(), &patch)
        .await
        .map(|_| ())
}

impl World {
    /// A control plane that runs, with no machine yet.
    ///
    /// # Panics
    /// What cannot be built is a defect of the simulation.
    pub async fn build(seed: u64) -> Self {
        Self::with(Options::new(seed)).await
    }

    /// The same, with other options.
    ///
    /// # Panics
    /// What cannot be built is a defect of the simulation.
    pub async fn with(options: Options) -> Self {
        let begin: Timestamp = BEGIN.parse().expect("a time");
        let clock: SharedClock = Arc::new(VirtualClock::new(begin));
        let tasks = Tasks::new();
        let directory = tempfile::tempdir().expect("a temporary directory");
        let server = server(&clock, &tasks, &directory).await;
        rights::ensure(&server).await.expect("the roles of the components");
        let plain = Arc::new(Faults::new(options.seed, "admin"));
        let admin = wire::client(&server, Identity::new("admin", &["system:masters"]), &plain);
        install::crds(&admin, muster_api::crds::all()).await.expect("Muster's kinds");
        muster_machines::builtin::ensure(&admin).await.expect("the role worker");
        muster_workflow::builtin::ensure(&admin).await.expect("the built-in workflows");
        patient(&admin).await.expect("the policy for runtimes");
        let faults = |component: &str| Arc::new(Faults::new(options.seed, component));
        let (fleet, engine, agents) = (faults("fleet"), faults("engine"), faults("agents"));
        let controllers = Controllers::new(controllers::Parts {
            server: server.clone(),
            clock: SharedClock::clone(&clock),
            options,
            fleet: Arc::clone(&fleet),
            engine: Arc::clone(&engine),
            world: tasks.clone(),
        });
        controllers.start();
        let machines = Mutex::default();
        Self { options, clock, server, admin, tasks, controllers, fleet, engine, agents, machines, directory }
    }

    /// A client that may do everything, on whose way nothing goes wrong.
    pub fn admin(&self) -> Client {
        self.admin.clone()
    }

    /// The API server.
    pub fn server(&self) -> &ApiServer {
        &self.server
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The clock all parts of the simulation share.
    pub fn clock(&self) -> SharedClock {
        SharedClock::clone(&self.clock)
    }

    /// The controllers.
    pub fn controllers(&self) -> &Controllers {
        &self.controllers
    }

    /// The faults on the way of the fleet's controllers.
    pub fn fleet_faults(&self) -> &Faults {
        &self.fleet
    }

    /// The faults on the way of the scheduler and the other controllers.
    pub fn engine_faults(&self) -> &Faults {
        &self.engine
    }

    /// The faults on the way of agents and doctors.
    pub fn agent_faults(&self) -> &Faults {
        &self.agents
    }

    /// Kills all controllers at once and starts them anew on the same store.
    pub fn crash_controllers(&self) {
        self.controllers.crash(Duration::ZERO);
    }

    /// A machine of this name.
    ///
    /// # Panics
    /// There is none.
    pub fn machine(&self, name: &str) -> Arc<Machine> {
        Arc::clone(self.machines.lock().get(name).unwrap_or_else(|| panic!("no machine {name} was added")))
    }

    /// Writes a machine of role `worker` down and switches an imagined one on.
    pub async fn add_machine(&self, name: &str, site: &str) -> Arc<Machine> {
        self.add_machine_as(
            name,
            MachineSpec { site: site.to_owned(), role: WORKER.to_owned(), ..MachineSpec::default() },
        )
        .await
    }

    /// Writes a machine down as given and switches an imagined one on.
    ///
    /// # Panics
    /// The API refuses it.
    pub async fn add_machine_as(&self, name: &str, spec: MachineSpec) -> Arc<Machine> {
        let site = Site::new(&spec.site, SiteSpec::default());
        match Api::<Site>::all(self.admin()).create(&PostParams::default(), &site).await {
            Err(error) if !is_conflict(&error) => panic!("site {}: {error}", spec.site),
            Ok(_) | Err(_) => {}
        }
        let object = MachineObject::new(name, spec);
        let written = Api::<MachineObject>::all(self.admin()).create(&PostParams::default(), &object).await;
        written.unwrap_or_else(|error| panic!("machine {name}: {error}"));
        let mut machines = self.machines.lock();
        let number = u8::try_from(machines.len() + 1).expect("at most 255 imagined machines");
        let machine = Machine::new(machine::Parts {
            name: name.to_owned(),
            number,
            directory: self.directory.path().join(name),
            seed: self.options.seed,
            agent: wire::client(&self.server, Identity::node(name), &self.agents),
            doctor: wire::client(&self.server, rights::identity(rights::DOCTOR), &self.agents),
            clock: SharedClock::clone(&self.clock),
            world: self.tasks.clone(),
        });
        let machine = machine.expect("files below the temporary directory");
        machines.insert(name.to_owned(), Arc::clone(&machine));
        machine
    }

    /// Lets a fault come.
    pub fn strike(&self, fault: &Fault) {
        match fault {
            Fault::RuntimeHangs(machine) => self.machine(machine).hang_runtime(),
            Fault::RuntimeDies(machine) => self.machine(machine).kill_runtime(),
            Fault::AgentDies(machine, away) => self.machine(machine).kill_agent(*away),
            Fault::ControllersDie(away) => self.controllers.crash(*away),
            Fault::ControllersDieAtWrite(write) => self.fleet.crash_after(Some(*write)),
            Fault::WatchesEnd => {
                for faults in [&self.fleet, &self.engine, &self.agents] {
                    faults.cut_watches();
                }
            }
        }
    }

    /// What all machines did on order.
    pub fn effects(&self) -> Vec<Effect> {
        let mut effects: Vec<Effect> =
            self.machines.lock().values().flat_map(|machine| machine.effects()).collect();
        effects.sort_by_key(|effect| effect.at);
        effects
    }

    /// Every version of every object of a kind, in order.
    pub fn history<K: Watched>(&self) -> Vec<Seen<K>> {
        history::all(self.server.store())
    }

    /// An object as it is now.
    pub fn get<K: Watched>(&self, namespace: &str, name: &str) -> Option<K> {
        let key = Key::new(history::resource::<K>(), namespace, name);
        let entry = self.server.store().get(&key)?;
        Some(history::read(&entry.value, entry.revision.get()))
    }

    /// All objects of a kind as they are now.
    pub fn list<K: Watched>(&self) -> Vec<K> {
        let snapshot = self.server.store().snapshot(&history::resource::<K>());
        snapshot.iter().map(|entry| history::read(&entry.value, entry.revision.get())).collect()
    }

    /// The phase a machine is in.
    pub fn phase(&self, machine: &str) -> Option<Phase> {
        self.get::<MachineObject>("", machine)?.status.map(|status| status.phase)
    }

    /// Looks until `look` has what it wants; `Err` says what is there instead.
    ///
    /// # Panics
    /// It did not come within `max`; the last state seen is shown.
    pub async fn wait<T>(&self, what: &str, max: Duration, look: impl Fn(&Self) -> Result<T, String>) -> T {
        let begin = tokio::time::Instant::now();
        loop {
            let seen = match look(self) {
                Ok(found) => return found,
                Err(seen) => seen,
            };
            assert!(
                begin.elapsed() < max,
                "seed {}: {what} did not come within {max:?}; last seen: {seen}",
                self.options.seed
            );
            tokio::time::sleep((begin.elapsed() / 20).clamp(LOOK_EVERY.0, LOOK_EVERY.1)).await;
        }
    }

    /// Waits until a machine is in a phase, ten minutes at most.
    pub async fn wait_phase(&self, machine: &str, wanted: Phase) {
        let what = format!("{machine} to be {}", wanted.as_str());
        self.wait(&what, Duration::from_secs(600), |world| match world.phase(machine) {
            Some(phase) if phase == wanted => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.controllers.end();
        for machine in self.machines.lock().values() {
            machine.end();
        }
        self.tasks.abort();
    }
}

async fn server(clock: &SharedClock, tasks: &Tasks, directory: &TempDir) -> ApiServer {
    let config = Config::new(([127, 0, 0, 1], 6443).into());
    let names = ServingNames { dns: vec!["sim".to_owned()], addresses: config.serving_addresses() };
    let pki = Pki::open(&directory.path().join("pki"), &names, clock.now()).expect("keys");
    let store: Store<Object> = Store::in_memory(Limits { ring_bytes: RING_BYTES });
    let parts = Parts {
        clock: SharedClock::clone(clock),
        tasks: tasks.clone(),
        signing_key: pki.signing_key().expect("a signing key"),
        authority_pem: pki.authority_pem().to_owned(),
        front_proxy: pki.front_proxy(clock.now()).expect("keys"),
        metrics: Metrics::register(&mut Registry::default()),
        exposition: Arc::new(String::new),
        dialer: Arc::new(NoNodes),
    };
    ApiServer::build(config, store, parts).await.expect("a server on an empty store")
}
